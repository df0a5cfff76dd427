// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy on the paging path fails once: mmap, faults, read, write, splice,
 * sync, and what the device as a regular file can do.  See sweep.h; failnth.c has the ioctls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ops.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/* Pages that an operation is about; in the holes they begin here. */
#define N	4
#define HOLE(b)	((b)->half + 3)

/* All of the upper half, since a large folio takes room for all that it covers. */
static void all_holes(struct bench *b)
{
	bench_hole(b, b->half, b->half);
}

/* --- mappings --- */

static void map_with(struct bench *b, int flags)
{
	b->map = dev_map_flags(&b->dev, 0, b->dev.pages, RW, flags);
	/* Refused where there are no huge pages. */
	madvise(b->map, b->dev.pages * b->page, MADV_HUGEPAGE);
}

static const char *unmap(struct bench *b, int ret)
{
	(void)ret;
	dev_unmap(&b->dev, b->map);
	return NULL;
}

static void cold_map(struct bench *b)
{
	bench_cold(b);
	map_with(b, MAP_SHARED);
}

static void warm_map(struct bench *b)
{
	bench_warm(b);
	map_with(b, MAP_SHARED);
}

static void private_map(struct bench *b)
{
	bench_warm(b);
	map_with(b, MAP_PRIVATE);
}

static void random_map(struct bench *b)
{
	bench_cold(b);
	b->map = dev_map_random(&b->dev, 0, b->dev.pages, RW);
}

static int map_and(struct bench *b, int flags)
{
	void *at = mmap(NULL, b->half * b->page, RW, flags, b->dev.fd, 0);

	b->map = at == MAP_FAILED ? NULL : at;
	return result(b->map ? 0 : -1);
}

static int run_mmap(struct bench *b)
{
	return map_and(b, MAP_SHARED);
}

static int run_mmap_populate(struct bench *b)
{
	return map_and(b, MAP_SHARED | MAP_POPULATE);
}

static int run_mmap_private_populate(struct bench *b)
{
	return map_and(b, MAP_PRIVATE | MAP_POPULATE);
}

static const char *unmap_half(struct bench *b, int ret)
{
	(void)ret;
	if (b->map)
		munmap(b->map, b->half * b->page);
	return NULL;
}

OP_SMALL(mmap, .run = run_mmap, .after = unmap_half, .points = 1, .failed = 1)
OP_LARGE(mmap_populate, .before = bench_cold, .run = run_mmap_populate, .after = unmap_half,
	 .points = 1)
OP_SMALL(mmap_private_populate, .before = bench_cold, .run = run_mmap_private_populate,
	 .after = unmap_half, .points = 1)

static void touched_map(struct bench *b)
{
	cold_map(b);
	touch_pages(b->map, b->half);
}

static int run_munmap_middle(struct bench *b)
{
	return result(munmap(b->map + b->page, b->page));
}

static int run_mprotect_middle(struct bench *b)
{
	return result(mprotect(b->map + b->page, b->page, PROT_READ));
}

static int run_mremap(struct bench *b)
{
	void *at = mremap(b->map, b->dev.pages * b->page, b->half * b->page, MREMAP_MAYMOVE);

	return result(at == MAP_FAILED ? -1 : 0);
}

OP_LARGE(munmap_middle, .before = touched_map, .run = run_munmap_middle, .after = unmap)
OP_LARGE(mprotect_middle, .before = touched_map, .run = run_mprotect_middle, .after = unmap)
OP_SMALL(mremap, .before = touched_map, .run = run_mremap, .after = unmap)

/* --- faults: what could not be had is tried again, or is a signal --- */

static int run_load(struct bench *b)
{
	(void)*(volatile char *)(b->map + 3 * b->page);
	return 0;
}

OP_HUGE(load_cold, .before = cold_map, .run = run_load, .after = unmap, .points = 2,
	.endless = true)
OP_SMALL(load_random, .before = random_map, .run = run_load, .after = unmap, .points = 2,
	 .endless = true)
OP_HUGE(load_warm, .before = warm_map, .run = run_load, .after = unmap, .endless = true)

/* Stores what bench_will_write() has prepared. */
static int run_store(struct bench *b)
{
	memcpy(b->map + b->write.first * b->page, b->buf, b->write.n * b->page);
	return 0;
}

static void will_store_to_hole(struct bench *b)
{
	all_holes(b);
	cold_map(b);
	bench_will_write(b, HOLE(b), N);
}

static void will_store_to_cached_hole(struct bench *b)
{
	all_holes(b);
	warm_map(b);
	touch_pages(b->map + HOLE(b) * b->page, N);
	bench_will_write(b, HOLE(b), N);
}

static void will_store_cold(struct bench *b)
{
	cold_map(b);
	bench_will_write(b, 2, N);
}

static void will_store_to_clean(struct bench *b)
{
	warm_map(b);
	touch_pages(b->map, b->half);
	bench_will_write(b, 2, N);
}

OP_LARGE(store_to_hole, .before = will_store_to_hole, .run = run_store, .after = unmap,
	 .errors = { BY_SIGNAL(SIGBUS) }, .points = 2, .failed = 1, .endless = true)
OP_LARGE(store_to_cached_hole, .before = will_store_to_cached_hole, .run = run_store,
	 .after = unmap, .errors = { BY_SIGNAL(SIGBUS) }, .points = 1, .failed = 1,
	 .endless = true)
OP_LARGE(store_cold, .before = will_store_cold, .run = run_store, .after = unmap,
	 .errors = { BY_SIGNAL(SIGBUS) }, .points = 2, .endless = true)
OP_HUGE(store_to_clean, .before = will_store_to_clean, .run = run_store, .after = unmap,
	.errors = { BY_SIGNAL(SIGBUS) }, .endless = true)

static int run_private_store(struct bench *b)
{
	*(volatile char *)(b->map + 3 * b->page) = 1;
	return 0;
}

static void private_touched_map(struct bench *b)
{
	private_map(b);
	touch_pages(b->map, b->half);
}

OP_HUGE(store_private, .before = private_map, .run = run_private_store, .after = unmap,
	.points = 1, .endless = true)
OP_LARGE(store_private_after_load, .before = private_touched_map, .run = run_private_store,
	 .after = unmap, .points = 1, .endless = true)

static int run_populate_read(struct bench *b)
{
	return result(madvise(b->map, b->half * b->page, MADV_POPULATE_READ));
}

static int run_populate_write(struct bench *b)
{
	return result(madvise(b->map + HOLE(b) * b->page, N * b->page, MADV_POPULATE_WRITE));
}

static void hole_map(struct bench *b)
{
	all_holes(b);
	cold_map(b);
}

OP_HUGE(populate_read, .before = cold_map, .run = run_populate_read, .after = unmap,
	.points = 2, .endless = true)
OP_LARGE(populate_write, .before = hole_map, .run = run_populate_write, .after = unmap,
	 .points = 2, .failed = 1, .endless = true)

static int run_mlock(struct bench *b)
{
	return result(mlock(b->map, b->half * b->page));
}

OP_LARGE(mlock, .before = cold_map, .run = run_mlock, .after = unmap,
	 .errors = { ENOMEM, EAGAIN, EFAULT }, .points = 2, .endless = true)

static int run_willneed(struct bench *b)
{
	return result(madvise(b->map, b->half * b->page, MADV_WILLNEED));
}

static int run_dontneed(struct bench *b)
{
	return result(madvise(b->map, b->half * b->page, MADV_DONTNEED));
}

static int run_pageout(struct bench *b)
{
	return result(madvise(b->map, b->half * b->page, MADV_PAGEOUT));
}

OP_LARGE(madvise_willneed, .before = cold_map, .run = run_willneed, .after = unmap, .points = 2)
OP_LARGE(madvise_dontneed, .before = touched_map, .run = run_dontneed, .after = unmap)
OP_LARGE(madvise_pageout, .before = touched_map, .run = run_pageout, .after = unmap)

/* Pinned by somebody else, who is in this case we. */
static int run_get_user_pages(struct bench *b)
{
	struct iovec to = { b->buf, N * b->page }, from = { b->map + b->page, N * b->page };

	return result(process_vm_readv(getpid(), &to, 1, &from, 1, 0));
}

static int run_get_user_pages_write(struct bench *b)
{
	struct iovec from = { b->buf, N * b->page };
	struct iovec to = { b->map + HOLE(b) * b->page, N * b->page };

	return result(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
}

OP_LARGE(get_user_pages, .before = cold_map, .run = run_get_user_pages, .after = unmap,
	 .points = 2, .endless = true)
OP_LARGE(get_user_pages_write, .before = will_store_to_hole, .run = run_get_user_pages_write,
	 .after = unmap, .points = 2, .failed = 1, .bytes = true, .endless = true)

/* --- read, write, splice --- */

static int run_read(struct bench *b)
{
	return result(pread(b->dev.fd, b->buf, b->half * b->page, 0));
}

/* What was read, if less than was asked for, is what is there. */
static const char *after_read(struct bench *b, int ret)
{
	long i;

	for (i = 0; i < ret / b->page; i++)
		if (page_differs(b->buf + i * b->page, b->page, i, b->gen[i]) >= 0)
			return "read something else";
	return NULL;
}

OP_LARGE(read_cold, .before = bench_cold, .run = run_read, .after = after_read, .points = 2)
OP_LARGE(read_warm, .before = bench_warm, .run = run_read, .after = after_read)

static int run_write(struct bench *b)
{
	return result(pwrite(b->dev.fd, b->buf, b->write.n * b->page,
			     b->write.first * b->page));
}

static void will_write_hole(struct bench *b)
{
	all_holes(b);
	bench_cold(b);
	bench_will_write(b, HOLE(b), N);
}

static void will_write_cold(struct bench *b)
{
	bench_cold(b);
	bench_will_write(b, 2, N);
}

static void will_write_warm(struct bench *b)
{
	bench_warm(b);
	bench_will_write(b, 2, N);
}

OP_LARGE(write_hole, .before = will_write_hole, .run = run_write, .points = 2, .failed = 2,
	 .bytes = true)
OP_LARGE(write_cold, .before = will_write_cold, .run = run_write, .points = 2, .failed = 1,
	 .bytes = true)
OP_LARGE(write_warm, .before = will_write_warm, .run = run_write, .bytes = true)

static int run_write_sync(struct bench *b)
{
	struct iovec from = { b->buf, b->write.n * b->page };

	return result(pwritev2(b->dev.fd, &from, 1, b->write.first * b->page, RWF_DSYNC));
}

OP_SMALL(write_sync, .before = will_write_hole, .run = run_write_sync, .points = 2, .failed = 2,
	 .bytes = true)

/* A part of a page, which must be read for it; the bytes are those that are there. */
static void will_write_part(struct bench *b)
{
	bench_warm(b);
	bench_cold(b);
}

static int run_write_part(struct bench *b)
{
	long at = 3 * b->page + 100;

	return result(pwrite(b->dev.fd, b->buf + at, 200, at));
}

OP_LARGE(write_part, .before = will_write_part, .run = run_write_part, .points = 2, .failed = 1)

/* At the file's own position: a splice(2) that cannot tell a new one has failed, and is done. */
static void will_splice(struct bench *b, long first)
{
	if (lseek(b->dev.fd, first * b->page, SEEK_SET) < 0)
		fatal("lseek: %m");
	if (pipe(b->pipe))
		fatal("pipe: %m");
	if (fcntl(b->pipe[1], F_SETPIPE_SZ, 2 * N * b->page) < 0)
		fatal("F_SETPIPE_SZ: %m");
}

static const char *after_splice(struct bench *b, int ret)
{
	(void)ret;
	close(b->pipe[0]);
	close(b->pipe[1]);
	return NULL;
}

static void will_splice_read(struct bench *b)
{
	will_splice(b, 0);
	bench_cold(b);
}

static int run_splice_read(struct bench *b)
{
	return result(splice(b->dev.fd, NULL, b->pipe[1], NULL, N * b->page, 0));
}

static const char *after_splice_read(struct bench *b, int ret)
{
	const char *wrong = NULL;

	if (ret > 0 && read(b->pipe[0], b->buf, ret) != ret)
		wrong = "the pipe holds less than was said";
	after_splice(b, ret);
	return wrong ?: after_read(b, ret);
}

OP_LARGE(splice_read, .before = will_splice_read, .run = run_splice_read,
	 .after = after_splice_read, .points = 2)

static void will_splice_write(struct bench *b)
{
	will_splice(b, HOLE(b));
	will_write_hole(b);
	if (write(b->pipe[1], b->buf, N * b->page) != N * b->page)
		fatal("pipe: %m");
}

static int run_splice_write(struct bench *b)
{
	return result(splice(b->pipe[0], NULL, b->dev.fd, NULL, N * b->page, 0));
}

OP_LARGE(splice_write, .before = will_splice_write, .run = run_splice_write,
	 .after = after_splice, .points = 2, .failed = 2, .bytes = true)

/* --- fsync, msync and others that write or drop --- */

static void dirty(struct bench *b)
{
	bench_warm(b);
	bench_fill(b, 0, b->half);
}

static void dirty_map(struct bench *b)
{
	dirty(b);
	map_with(b, MAP_SHARED);
	touch_pages(b->map, b->half);
}

static int run_fsync(struct bench *b)
{
	return result(fsync(b->dev.fd));
}

static int run_msync(struct bench *b)
{
	return result(msync(b->map, b->half * b->page, MS_SYNC));
}

static int run_sync(struct bench *b)
{
	(void)b;
	sync();
	return 0;
}

static int run_fadvise_dontneed(struct bench *b)
{
	return -posix_fadvise(b->dev.fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int run_fadvise_willneed(struct bench *b)
{
	return -posix_fadvise(b->dev.fd, 0, b->half * b->page, POSIX_FADV_WILLNEED);
}

OP_LARGE(fsync, .before = dirty, .run = run_fsync)
OP_LARGE(msync, .before = dirty_map, .run = run_msync, .after = unmap)
OP_SMALL(sync_all, .before = dirty, .run = run_sync)
OP_SMALL(fadvise_dontneed, .before = dirty, .run = run_fadvise_dontneed)
OP_LARGE(fadvise_willneed, .before = bench_cold, .run = run_fadvise_willneed, .points = 2)

static int run_seek_data(struct bench *b)
{
	return lseek(b->dev.fd, b->page, SEEK_DATA) < 0 ? -errno : 0;
}

static int run_seek_hole(struct bench *b)
{
	return lseek(b->dev.fd, b->page, SEEK_HOLE) < 0 ? -errno : 0;
}

OP_SMALL(seek_data, .before = dirty, .run = run_seek_data)
OP_SMALL(seek_hole, .before = dirty, .run = run_seek_hole)

/* --- the device as a regular file --- */

static void get_file(struct bench *b)
{
	struct mmapscope_file arg = { .size = sizeof(arg) };

	b->file = ioctl(b->dev.fd, MMAPSCOPE_IOC_FILE, &arg);
	if (b->file < 0)
		fatal("file: %m");
}

static const char *close_file(struct bench *b, int ret)
{
	(void)ret;
	close(b->file);
	return NULL;
}

static void will_allocate(struct bench *b)
{
	get_file(b);
	all_holes(b);
	bench_cold(b);
}

static int run_fallocate(struct bench *b)
{
	return result(fallocate(b->file, 0, HOLE(b) * b->page, N * b->page));
}

OP_SMALL(fallocate, .before = will_allocate, .run = run_fallocate, .after = close_file, .points = 1,
	 .failed = 1)

/* From the middle of one page to the middle of another, on the store and not cached. */
static void will_punch_bytes(struct bench *b)
{
	get_file(b);
	bench_fill(b, 4, N);
	bench_cold(b);
}

static int run_punch_bytes(struct bench *b)
{
	return result(fallocate(b->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				4 * b->page + 100, (N - 1) * b->page));
}

/* Nothing but zeros came, and not outside of what was asked for. */
static const char *after_punch_bytes(struct bench *b, int ret)
{
	long first = 4 * b->page, from = 100, to = from + (N - 1) * b->page, i;
	const char *wrong = NULL;
	char *was = malloc(N * b->page);

	close_file(b, ret);
	if (!was || pread(b->dev.fd, b->buf, N * b->page, first) != N * b->page)
		fatal("pread: %m");
	for (i = 0; i < N; i++)
		page_fill(was + i * b->page, b->page, 4 + i, b->gen[4]);
	for (i = 0; i < N * b->page && !wrong; i++) {
		bool inside = i >= from && i < to;

		if (b->buf[i] != was[i] && (!inside || b->buf[i]))
			wrong = "bytes that nobody wrote";
		else if (!ret && inside && b->buf[i])
			wrong = "punched, and not zero";
	}
	free(was);
	bench_fill(b, 4, N);
	return wrong;
}

OP_LARGE(punch_bytes, .before = will_punch_bytes, .run = run_punch_bytes,
	 .after = after_punch_bytes, .points = 2, .failed = 1)

static void will_remove(struct bench *b)
{
	get_file(b);
	bench_fill(b, 4, N);
	b->map = mmap(NULL, b->half * b->page, RW, MAP_SHARED, b->file, 0);
	if (b->map == MAP_FAILED)
		fatal("mmap: %m");
	b->write.first = 4;
	b->write.n = N;
	b->write.gen = 0;
}

static int run_madvise_remove(struct bench *b)
{
	return result(madvise(b->map + 4 * b->page, N * b->page, MADV_REMOVE));
}

static const char *after_remove(struct bench *b, int ret)
{
	munmap(b->map, b->half * b->page);
	return close_file(b, ret);
}

OP_LARGE(madvise_remove, .before = will_remove, .run = run_madvise_remove, .after = after_remove)

static int run_fstat(struct bench *b)
{
	struct stat st;

	return result(fstat(b->file, &st));
}

static void dirty_file(struct bench *b)
{
	get_file(b);
	dirty(b);
}

static void cold_file(struct bench *b)
{
	get_file(b);
	bench_cold(b);
}

static int run_syncfs(struct bench *b)
{
	return result(syncfs(b->file));
}

static int run_sync_file_range(struct bench *b)
{
	return result(sync_file_range(b->file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
				      SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
}

static int run_readahead(struct bench *b)
{
	return result(readahead(b->file, 0, b->half * b->page));
}

OP_SMALL(fstat, .before = get_file, .run = run_fstat, .after = close_file)
OP_SMALL(syncfs, .before = dirty_file, .run = run_syncfs, .after = close_file)
OP_SMALL(sync_file_range, .before = dirty_file, .run = run_sync_file_range, .after = close_file)
OP_LARGE(readahead, .before = cold_file, .run = run_readahead, .after = close_file, .points = 2)

/* --- all of them --- */

TEST_F_TIMEOUT(failing, everything_fails, 120)
{
	storm_test(_metadata, &self->b, 100, 2);
}

TEST_F_TIMEOUT(failing, one_in_ten_fails, 120)
{
	storm_test(_metadata, &self->b, 10, 10);
}

TEST_F_TIMEOUT(failing, one_in_three_fails, 120)
{
	storm_test(_metadata, &self->b, 33, 10);
}

SCOPE_MAIN
