// SPDX-License-Identifier: GPL-2.0
/*
 * Devices over regular files: what may stand behind one, what lasts, and what the file's owner and
 * its file system can do to it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64
#define N	16
#define RW	(PROT_READ | PROT_WRITE)
#define TIB	(1ULL << 40)

/* A file of the test's own, with a name and a descriptor that stays open, and a device over it. */
FIXTURE(filestore) {
	struct scope_dev dev;
	char path[128];
	int file;
	int ctl;
};

FIXTURE_VARIANT(filestore) {
	const char *store;
};

STORE_VARIANT(filestore, ext4);
STORE_VARIANT(filestore, xfs);
STORE_VARIANT(filestore, btrfs);
STORE_VARIANT(filestore, tmpfs);
STORE_VARIANT(filestore, vfat);

static int create(int ctl, int fd, unsigned int flags, __u64 bytes, struct mmapscope_create *arg)
{
	*arg = (struct mmapscope_create) {
		.size = sizeof(*arg),
		.flags = flags,
		.dev_size = bytes,
		.store = MMAPSCOPE_STORE_FILE,
		.id = MMAPSCOPE_ID_ANY,
		.store_fd = fd,
	};
	return ioctl(ctl, MMAPSCOPE_IOC_CREATE, arg) ? -errno : 0;
}

/* For what must fail: a device that was made all the same is removed again. */
static int try_create(int ctl, int fd, unsigned int flags, __u64 bytes)
{
	struct mmapscope_create arg;
	int err = create(ctl, fd, flags, bytes, &arg);

	if (!err && dev_remove(ctl, arg.id, 0, NULL))
		fatal("device %u cannot be removed", arg.id);
	return err;
}

/* Makes d the device over @fd. */
static int attach(struct scope_dev *d, int fd, unsigned int flags, int open_flags)
{
	struct mmapscope_create arg;
	int ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC), err = create(ctl, fd, flags, 0, &arg);

	if (err) {
		close(ctl);
		return err;
	}
	memset(d, 0, sizeof(*d));
	d->ctl = ctl;
	d->store = "file";
	d->id = arg.id;
	d->page = sysconf(_SC_PAGESIZE);
	d->pages = arg.dev_size / d->page;
	snprintf(d->name, sizeof(d->name), "mmapscope%u", d->id);
	snprintf(d->node, sizeof(d->node), "/dev/%s", d->name);
	d->fd = dev_open(d, open_flags);
	if (d->fd < 0)
		return -errno;
	stats_mark(d);
	return 0;
}

/* The file's descriptor. */
static int make(struct scope_dev *d, const char *store, char *path, size_t size)
{
	int fd;

	vm_quiet();
	snprintf(path, size, "%s/filestore", backing_folder(store));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, PAGES * sysconf(_SC_PAGESIZE)) || attach(d, fd, 0, O_RDWR))
		fatal("a device over %s: %m", path);
	return fd;
}

FIXTURE_SETUP(filestore)
{
	NEED_DEVICES();
	NEED_STORE(variant->store);
	self->file = make(&self->dev, variant->store, self->path, sizeof(self->path));
	self->ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
}

FIXTURE_TEARDOWN(filestore)
{
	vm_quiet();
	if (self->dev.ctl >= 0) {
		EXPECT_STREQ("", dev_books(&self->dev));
		EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	}
	close(self->file);
	unlink(self->path);
	close(self->ctl);
}

static void fill(struct scope_dev *d, long first, long n, __u64 gen)
{
	char *p = dev_map(d, first, n, RW);
	long i;

	for (i = 0; i < n; i++)
		page_fill(p + i * d->page, d->page, first + i, gen);
	dev_unmap(d, p);
}

/* The bytes of the file itself: the first page that is not of generation @gen, or -1. */
static long file_differs(int fd, long page, long first, long n, __u64 gen)
{
	char *buf = malloc(page);
	long i, found = -1;

	for (i = first; i < first + n && found < 0; i++)
		if (pread(fd, buf, page, i * page) != page || page_differs(buf, page, i, gen) >= 0)
			found = i;
	free(buf);
	return found;
}

TEST_F(filestore, says_what_it_is)
{
	struct mmapscope_info info;

	dev_info(&self->dev, &info);
	EXPECT_EQ(MMAPSCOPE_STORE_FILE, info.store);
	EXPECT_EQ(backing_is_tmpfs(variant->store) ? MMAPSCOPE_IO_BUFFERED : MMAPSCOPE_IO_DIRECT,
		  info.io_mode);
	EXPECT_STREQ(self->path, info.store_path);
	EXPECT_EQ(PAGES * self->dev.page, (long)info.dev_size);
	EXPECT_EQ(0, info.flags);
}

TEST_F(filestore, what_was_synced_is_in_the_file)
{
	fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 0, PAGES, 1));
	fill(&self->dev, 3, 2, 2);
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 0, PAGES, 1));
	dev_evict(&self->dev);
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 3, 2, 2));
	EXPECT_EQ(-1, dev_differs(&self->dev, 3, 2, 2));
	EXPECT_EQ(-1, dev_differs(&self->dev, 5, PAGES - 5, 1));
}

TEST_F(filestore, survives_removal)
{
	fill(&self->dev, 0, PAGES, 7);
	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	ASSERT_EQ(0, attach(&self->dev, self->file, 0, O_RDWR));
	EXPECT_EQ(0, now(&self->dev, pages_cached));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 7));
}

TEST_F(filestore, pins_the_module)
{
	EXPECT_LT(0, file_number(MODULE_DIR "/refcnt"));
	close(self->dev.fd);
	EXPECT_LT(0, file_number(MODULE_DIR "/refcnt"));
	self->dev.fd = dev_open(&self->dev, O_RDWR);
}

TEST_F(filestore, sync_reaches_the_store)
{
	fill(&self->dev, 0, N, 3);
	sync();
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 0, N, 3));
}

TEST_F(filestore, what_cannot_be_a_store)
{
	struct scope_dev *d = &self->dev;
	int pipes[2], fd;

	EXPECT_EQ(-EBADF, try_create(self->ctl, 1000, 0, 0));
	EXPECT_EQ(-EBADF, try_create(self->ctl, -1, 0, 0));
	fd = open(self->path, O_WRONLY);
	EXPECT_EQ(-EBADF, try_create(self->ctl, fd, 0, 0));
	close(fd);
	fd = open(self->path, O_PATH);
	EXPECT_EQ(-EBADF, try_create(self->ctl, fd, 0, 0));
	close(fd);
	fd = open("/", O_RDONLY);
	EXPECT_EQ(-EISDIR, try_create(self->ctl, fd, 0, 0));
	close(fd);
	fd = open("/dev/null", O_RDWR);
	EXPECT_EQ(-EOPNOTSUPP, try_create(self->ctl, fd, 0, 0));
	close(fd);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EOPNOTSUPP, try_create(self->ctl, pipes[0], 0, 0));
	close(pipes[0]);
	close(pipes[1]);
	fd = open("/proc/self/maps", O_RDONLY);
	EXPECT_NE(0, try_create(self->ctl, fd, 0, 0));
	close(fd);
	EXPECT_EQ(-ELOOP, try_create(self->ctl, d->fd, 0, 0));
	EXPECT_EQ(-EOPNOTSUPP, try_create(self->ctl, d->ctl, 0, 0));
}

TEST_F(filestore, regular_file_of_a_device_cannot_be_a_store)
{
	struct mmapscope_file arg = { .size = sizeof(arg) };
	int fd = ioctl(self->dev.fd, MMAPSCOPE_IOC_FILE, &arg);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ELOOP, try_create(self->ctl, fd, 0, 0));
	close(fd);
}

TEST_F(filestore, one_device_for_a_file)
{
	char other[160];
	int fd = open(self->path, O_RDWR);

	EXPECT_EQ(-EBUSY, try_create(self->ctl, fd, 0, 0));
	close(fd);
	if (backing_is_vfat(variant->store))
		return;
	snprintf(other, sizeof(other), "%s.link", self->path);
	ASSERT_EQ(0, link(self->path, other));
	fd = open(other, O_RDWR);
	EXPECT_EQ(-EBUSY, try_create(self->ctl, fd, 0, 0));
	close(fd);
	unlink(other);
}

TEST_F(filestore, sizes)
{
	long page = self->dev.page;
	struct mmapscope_create arg;

	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	EXPECT_EQ(-EFBIG, try_create(self->ctl, self->file, 0, (PAGES + 1) * page));
	EXPECT_EQ(-EINVAL, try_create(self->ctl, self->file, 0, page + 1));
	EXPECT_EQ(0, try_create(self->ctl, self->file, 0, page));
	ASSERT_EQ(0, ftruncate(self->file, 5 * page + 100));
	EXPECT_EQ(-ERANGE, try_create(self->ctl, self->file, 0, 0));
	EXPECT_EQ(0, try_create(self->ctl, self->file, 0, 5 * page));
	ASSERT_EQ(0, create(self->ctl, self->file, MMAPSCOPE_CREATE_ROUND_DOWN, 0, &arg));
	EXPECT_EQ(5 * page, (long)arg.dev_size);
	EXPECT_EQ(0, dev_remove(self->ctl, arg.id, 0, NULL));
	ASSERT_EQ(0, ftruncate(self->file, 100));
	EXPECT_EQ(-ERANGE, try_create(self->ctl, self->file, MMAPSCOPE_CREATE_ROUND_DOWN, 0));
	ASSERT_EQ(0, ftruncate(self->file, 0));
	EXPECT_EQ(-ERANGE, try_create(self->ctl, self->file, 0, 0));
	self->dev.ctl = -1;
}

/* The end of a file that is no whole page is nobody's business of the device's. */
TEST_F(filestore, rounded_end_stays_as_it_is)
{
	long page = self->dev.page;
	char tail[100], found[100];

	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	memset(tail, 'T', sizeof(tail));
	ASSERT_EQ(0, ftruncate(self->file, 5 * page));
	ASSERT_EQ(100, pwrite(self->file, tail, 100, 5 * page));
	ASSERT_EQ(0, attach(&self->dev, self->file, MMAPSCOPE_CREATE_ROUND_DOWN, O_RDWR));
	fill(&self->dev, 0, 5, 4);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(5 * page + 100, lseek(self->file, 0, SEEK_END));
	EXPECT_EQ(100, pread(self->file, found, 100, 5 * page));
	EXPECT_EQ(0, memcmp(tail, found, 100));
}

TEST_F(filestore, read_only_descriptor_makes_a_read_only_device)
{
	int fd = open(self->path, O_RDONLY);
	struct mmapscope_info info;

	fill(&self->dev, 0, N, 5);
	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	ASSERT_EQ(0, attach(&self->dev, fd, 0, O_RDONLY));
	close(fd);
	dev_info(&self->dev, &info);
	EXPECT_EQ(MMAPSCOPE_INFO_READ_ONLY, info.flags);
	EXPECT_EQ(-1, dev_open(&self->dev, O_RDWR));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 5));
	EXPECT_EQ(0, fsync(self->dev.fd));
}

/* Flags and position of the descriptor that was handed over are the caller's own. */
TEST_F(filestore, descriptor_is_only_looked_at)
{
	int fd = open(self->path, O_RDWR | O_APPEND);

	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	ASSERT_EQ(11, lseek(fd, 11, SEEK_SET));
	ASSERT_EQ(0, attach(&self->dev, fd, 0, O_RDWR));
	fill(&self->dev, 2, N, 6);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(backing_has_holes(variant->store) ? 2 * self->dev.page : 0,
		  lseek(self->dev.fd, 0, SEEK_DATA));
	EXPECT_EQ(11, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(PAGES * self->dev.page, lseek(fd, 0, SEEK_END));
	close(fd);
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 2, N, 6));
}

static int write_with_limit(void *arg)
{
	struct scope_dev *d = arg;
	struct rlimit none = { 0, 0 };

	signal(SIGXFSZ, SIG_DFL);
	if (setrlimit(RLIMIT_FSIZE, &none))
		return 1;
	fill(d, 0, N, 8);
	return fsync(d->fd) ? 2 : 0;
}

/* Whoever happens to write pages back has not asked for a longer file. */
TEST_F(filestore, file_size_limit_of_the_caller_is_none)
{
	EXPECT_EQ(0, in_child(write_with_limit, &self->dev));
	EXPECT_EQ(-1, file_differs(self->file, self->dev.page, 0, N, 8));
}

TEST_F(filestore, truncated_file_is_not_made_longer)
{
	long page = self->dev.page;
	char *p = dev_map_random(&self->dev, 0, PAGES, RW);
	int other;

	fill(&self->dev, 0, PAGES, 1);
	dev_evict(&self->dev);
	ASSERT_EQ(0, ftruncate(self->file, 10 * page));
	EXPECT_EQ(0, try_load(p + 9 * page));
	EXPECT_EQ(SIGBUS, try_load(p + 10 * page));
	EXPECT_EQ(SIGBUS, try_load(p + 20 * page));
	EXPECT_EQ(PAGES * page, lseek(self->dev.fd, 0, SEEK_END));

	/* A write of what is there goes on; one beyond waits until it is there again. */
	page_fill(p + 9 * page, page, 9, 2);
	EXPECT_EQ(0, fsync(self->dev.fd));
	other = dev_open(&self->dev, O_RDWR);
	EXPECT_EQ(-1, pwrite(self->dev.fd, "x", 1, 20 * page));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, ftruncate(self->file, PAGES * page));
	EXPECT_EQ(0, try_load(p + 10 * page));
	EXPECT_EQ(0, try_load(p + 20 * page));
	page_fill(p + 20 * page, page, 20, 3);
	ASSERT_EQ(0, ftruncate(self->file, 10 * page));
	EXPECT_EQ(-1, fsync(self->dev.fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(10 * page, lseek(self->file, 0, SEEK_END));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, ftruncate(self->file, PAGES * page));
	EXPECT_EQ(-1, fsync(other));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(other));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(-1, file_differs(self->file, page, 20, 1, 3));
	EXPECT_EQ(-1, file_differs(self->file, page, 9, 1, 2));
	close(other);
}

TEST_F(filestore, holes_pass_through)
{
	long page = self->dev.page;
	struct stat st;

	if (!backing_has_holes(variant->store))
		SKIP(return, "%s knows no holes: see solid", variant->store);
	fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, dev_punch(&self->dev, 8, N));
	EXPECT_EQ(8 * page, lseek(self->file, 0, SEEK_HOLE));
	EXPECT_EQ((8 + N) * page, lseek(self->file, 8 * page, SEEK_DATA));
	EXPECT_EQ(8 * page, lseek(self->dev.fd, 0, SEEK_HOLE));
	EXPECT_EQ((8 + N) * page, lseek(self->dev.fd, 8 * page, SEEK_DATA));
	/* Dirty in the cache, and not yet in the file. */
	fill(&self->dev, 12, 2, 9);
	EXPECT_EQ(12 * page, lseek(self->dev.fd, 8 * page, SEEK_DATA));
	EXPECT_EQ(14 * page, lseek(self->dev.fd, 12 * page, SEEK_HOLE));
	EXPECT_EQ((8 + N) * page, lseek(self->file, 8 * page, SEEK_DATA));
	EXPECT_EQ(-1, dev_differs(&self->dev, 8, 4, 0));
	ASSERT_EQ(0, fsync(self->dev.fd));
	/* btrfs counts them a moment after they are on the disk. */
	EXPECT_TRUE(wait_for(now(&self->dev, store_pages) == PAGES - N + 2, 5000));
	ASSERT_EQ(0, fstat(self->file, &st));
	EXPECT_EQ((PAGES - N + 2) * page / 512, st.st_blocks);
}

static int resize(struct scope_dev *d, __u64 bytes)
{
	struct mmapscope_resize arg = { .size = sizeof(arg), .dev_size = bytes };

	return ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &arg) ? -errno : 0;
}

TEST_F(filestore, resize_makes_the_file_longer_and_never_shorter)
{
	long page = self->dev.page;

	fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(0, resize(&self->dev, 2 * PAGES * page));
	EXPECT_EQ(2 * PAGES * page, lseek(self->file, 0, SEEK_END));
	fill(&self->dev, PAGES, PAGES, 2);
	ASSERT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, resize(&self->dev, 10 * page));
	EXPECT_EQ(2 * PAGES * page, lseek(self->file, 0, SEEK_END));
	EXPECT_EQ(-1, file_differs(self->file, page, 10, PAGES, 0));
	ASSERT_EQ(0, resize(&self->dev, PAGES * page));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, 10, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, 10, PAGES - 10, 0));
}

TEST_F(filestore, many_side_by_side)
{
	enum { MANY = 256 };
	static unsigned int ids[MANY];
	struct mmapscope_create arg;
	char path[200], byte;
	int i, fd, nr = 0;

	if (backing_is_vfat(variant->store))
		SKIP(return, "the same as on the others, and takes its time");
	for (i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "%s.%d", self->path, i);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, self->dev.page));
		unlink(path);
		ASSERT_EQ(0, create(self->ctl, fd, 0, 0, &arg));
		ids[nr++] = arg.id;
		close(fd);
	}
	for (i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "/dev/mmapscope%u", ids[i]);
		fd = open(path, O_RDWR);
		byte = i;
		EXPECT_EQ(1, pwrite(fd, &byte, 1, 0));
		close(fd);
	}
	for (i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "/dev/mmapscope%u", ids[i]);
		fd = open(path, O_RDWR);
		EXPECT_EQ(1, pread(fd, &byte, 1, 0));
		EXPECT_EQ((char)i, byte);
		close(fd);
		EXPECT_EQ(0, dev_remove(self->ctl, ids[i], 0, NULL));
	}
}

/* A file system that is full, and then is not. */
TEST_F(filestore, full_file_system)
{
	char folder[] = "/tmp/fullXXXXXX", path[64];
	struct scope_dev d;
	long page = self->dev.page;
	char *p;
	int fd, hog;

	ASSERT_NE(NULL, mkdtemp(folder));
	ASSERT_EQ(0, mount("full", folder, "tmpfs", 0, "size=1m"));
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	ASSERT_EQ(0, ftruncate(fd, 1 << 20));
	snprintf(path, sizeof(path), "%s/hog", folder);
	hog = open(path, O_RDWR | O_CREAT, 0600);
	ASSERT_EQ(0, fallocate(hog, 0, 0, (1 << 20) - 8 * page));
	ASSERT_EQ(0, attach(&d, fd, 0, O_RDWR));
	close(fd);

	p = dev_map(&d, 0, N, RW);
	store_pages(p, N, 1);
	EXPECT_EQ(-1, msync(p, N * page, MS_SYNC));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_LT(0, now(&d, pages_dirty));
	EXPECT_GE(N - 6, now(&d, pages_dirty));
	dev_unmap(&d, p);
	close(d.fd);
	EXPECT_EQ(-ENOSPC, dev_remove(d.ctl, d.id, 0, NULL));
	d.fd = dev_open(&d, O_RDWR);
	ASSERT_LE(0, d.fd);
	ASSERT_EQ(0, ftruncate(hog, 0));
	fsync(d.fd);
	EXPECT_EQ(0, fsync(d.fd));
	EXPECT_EQ(0, now(&d, pages_dirty));
	EXPECT_STREQ("", dev_books(&d));
	EXPECT_EQ(0, dev_destroy(&d, false));
	close(hog);
	EXPECT_EQ(0, umount(folder));
	rmdir(folder);
}

/* Bookkeeping is for what is touched. */
TEST_F(filestore, as_large_as_the_file_system_allows)
{
	__u64 bytes = (strcmp(variant->store, "ext4") ? 64 : 8) * TIB;
	long page = self->dev.page;
	long before = file_field("/proc/meminfo", "MemAvailable");
	char *p;
	int i;

	if (!backing_has_holes(variant->store))
		SKIP(return, "%s has less than that, and knows no holes", variant->store);
	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	ASSERT_EQ(0, ftruncate(self->file, bytes));
	ASSERT_EQ(0, attach(&self->dev, self->file, 0, O_RDWR));
	EXPECT_EQ(bytes, (__u64)lseek(self->dev.fd, 0, SEEK_END));
	p = mmap(NULL, bytes, RW, MAP_SHARED, self->dev.fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, bytes, MADV_RANDOM));
	for (i = 1; i <= N; i++)
		page_fill(p + bytes / N * i - page, page, i, 1);
	ASSERT_EQ(0, msync(p, bytes, MS_SYNC));
	for (i = 1; i <= N; i++)
		EXPECT_EQ(-1, page_differs(p + bytes / N * i - page, page, i, 1));
	EXPECT_EQ((__u64)bytes / N - page, (__u64)lseek(self->dev.fd, 0, SEEK_DATA));
	EXPECT_EQ(0, munmap(p, bytes));
	/* Page tables are gone with the mapping. */
	EXPECT_GT(64 << 10, before - file_field("/proc/meminfo", "MemAvailable"));
	ASSERT_EQ(0, dev_destroy(&self->dev, false));
	ASSERT_EQ(0, ftruncate(self->file, PAGES * page));
	ASSERT_EQ(0, attach(&self->dev, self->file, 0, O_RDWR));
}

/* A file system that knows no holes. */
FIXTURE(solid) {
	struct scope_dev dev;
	char path[128];
	int file;
};

FIXTURE_VARIANT(solid) {
	const char *store;
};

STORE_VARIANT(solid, vfat);

FIXTURE_SETUP(solid)
{
	NEED_DEVICES();
	NEED_STORE(variant->store);
	self->file = make(&self->dev, variant->store, self->path, sizeof(self->path));
}

FIXTURE_TEARDOWN(solid)
{
	vm_quiet();
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	close(self->file);
	unlink(self->path);
}

/* They take as much room as anything else. */
TEST_F(solid, punch_writes_zeros)
{
	long page = self->dev.page;
	struct stat before, after;

	fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, fstat(self->file, &before));
	fill(&self->dev, 10, 1, 2);
	ASSERT_EQ(0, dev_punch(&self->dev, 8, N));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, 8, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, 8, N, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, 8 + N, PAGES - 8 - N, 1));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(-1, file_differs(self->file, page, 8, N, 0));
	ASSERT_EQ(0, fstat(self->file, &after));
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	EXPECT_EQ(PAGES, now(&self->dev, store_pages));
	EXPECT_EQ(0, lseek(self->dev.fd, 0, SEEK_DATA));
	EXPECT_EQ(PAGES * page, lseek(self->dev.fd, 0, SEEK_HOLE));
	/* By direct I/O, over zeros that went through the file's cache. */
	fill(&self->dev, 9, 2, 3);
	dev_evict(&self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, 8, 1, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, 9, 2, 3));
	EXPECT_EQ(-1, file_differs(self->file, page, 9, 2, 3));
	/* What somebody has cut off is not brought back by zeros. */
	ASSERT_EQ(0, ftruncate(self->file, 10 * page));
	EXPECT_EQ(0, dev_punch(&self->dev, 8, N));
	EXPECT_EQ(10 * page, lseek(self->file, 0, SEEK_END));
	ASSERT_EQ(0, ftruncate(self->file, PAGES * page));
}

/* A longer file takes room at once: the device grows by all of it or not at all. */
TEST_F(solid, grow_on_a_full_file_system)
{
	long page = self->dev.page;
	struct statvfs fs;
	char path[160];
	int hog;

	fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	snprintf(path, sizeof(path), "%s.hog", self->path);
	hog = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_LE(0, hog);
	unlink(path);
	ASSERT_EQ(0, fstatvfs(hog, &fs));
	ASSERT_EQ(0, fallocate(hog, FALLOC_FL_KEEP_SIZE, 0,
			       (__u64)fs.f_bfree * fs.f_frsize - N * page));
	EXPECT_EQ(-ENOSPC, resize(&self->dev, 2 * PAGES * page));
	EXPECT_EQ(PAGES * page, lseek(self->dev.fd, 0, SEEK_END));
	/* What could be had is given back. */
	EXPECT_EQ(PAGES * page, lseek(self->file, 0, SEEK_END));
	EXPECT_EQ(PAGES, now(&self->dev, store_pages));
	/* All that it has, it has room for. */
	fill(&self->dev, 0, PAGES, 2);
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(-1, file_differs(self->file, page, 0, PAGES, 2));
	close(hog);
	ASSERT_EQ(0, resize(&self->dev, 2 * PAGES * page));
	self->dev.pages = 2 * PAGES;
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 2));
	EXPECT_EQ(-1, dev_differs(&self->dev, PAGES, PAGES, 0));
}

SCOPE_MAIN
