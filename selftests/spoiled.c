// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to the file of a device without the device being asked: its file system is full, it
 * is truncated, it becomes read-only.  Each time the data stay dirty, fsync says so, and they are
 * written when the cause is gone.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/loop.h>

#include "harness.h"
#include "shaky.h"

#define PAGES	256
#define N	64
#define RW	(PROT_READ | PROT_WRITE)
#define FOLDER	"/tmp/spoiled"
#define STORE	FOLDER "/store"
#define FILLER	FOLDER "/filler"

FIXTURE(spoiled) {
	int file, filler;
	int loop;			/* a block device of @file, or -1 */
	struct scope_dev dev;
};
FIXTURE_VARIANT(spoiled) {
	const char *store;
};
STORE_VARIANT(spoiled, ext4);		/* by direct I/O */
STORE_VARIANT(spoiled, tmpfs);		/* through the file's cache */
STORE_VARIANT(spoiled, loop);		/* a block device over a sparse file, on ext4 */

static bool is(const char *store, const char *kind)
{
	return !strcmp(store, kind);
}

static int loop_over(int file)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop;
	char node[32];

	snprintf(node, sizeof(node), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	close(control);
	loop = open(node, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, file))
		fatal("%s: %m", node);
	return loop;
}

/* A small file system with nothing in it but a sparse file. */
FIXTURE_SETUP(spoiled)
{
	long bytes = PAGES * sysconf(_SC_PAGESIZE);
	char disk[64];

	NEED_DEVICES();
	NEED_SHAKY("ext4");
	if (is(variant->store, "loop") && access("/dev/loop-control", R_OK))
		SKIP_SETUP("needs loop devices");
	vm_quiet();
	dev_remove_left_overs();
	umount2(FOLDER, MNT_DETACH);
	shaky_disk(0, disk, sizeof(disk));
	mkdir(FOLDER, 0700);
	if (!is(variant->store, "tmpfs"))
		ext4_make(disk, "-m 0", FOLDER);
	else if (mount("tmpfs", FOLDER, "tmpfs", 0, "size=4m"))
		fatal("mount a tmpfs: %m");
	self->file = open(STORE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	self->filler = open(FILLER, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(0, ftruncate(self->file, bytes));
	self->loop = is(variant->store, "loop") ? loop_over(self->file) : -1;
	dev_create_on(&self->dev, self->loop < 0 ? variant->store : "block",
		      self->loop < 0 ? self->file : self->loop, bytes);
}

FIXTURE_TEARDOWN(spoiled)
{
	vm_quiet();
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	if (self->loop >= 0)
		EXPECT_EQ(0, ioctl(self->loop, LOOP_CLR_FD));
	close(self->loop);
	close(self->file);
	close(self->filler);
	/* The loop device lets go of its file a moment later. */
	EXPECT_TRUE(wait_for(!umount(FOLDER), 20000));
}

static void flusher_on(void)
{
	vm_set("dirty_expire_centisecs", 10);
	vm_set("dirty_writeback_centisecs", 10);
}

static int fsync_errno(int fd)
{
	return fsync(fd) ? errno : 0;
}

static bool all_clean(struct scope_dev *d)
{
	return !now(d, pages_dirty) && !now(d, pages_writeback);
}

static void fill(struct scope_dev *d, char *map, long first, long n, __u64 gen)
{
	long i;

	for (i = first; i < first + n; i++)
		page_fill(map + i * d->page, d->page, i, gen);
}

/* The first page of the file that is not of a generation, or -1. */
static long file_differs(int file, long page, long first, long n, __u64 gen)
{
	char *buf = malloc(page);
	long i, bad = -1;

	for (i = first; i < first + n && bad < 0; i++) {
		if (pread(file, buf, page, i * page) != page ||
		    page_differs(buf, page, i, gen) >= 0)
			bad = i;
	}
	free(buf);
	return bad;
}

/* Leaves no block free. */
static void fill_up(int filler)
{
	size_t chunk = 1 << 20;
	char *buf = calloc(1, chunk);

	for (; chunk >= 512; chunk /= 2)
		while (write(filler, buf, chunk) > 0)
			;
	if (errno != ENOSPC)
		fatal("filling up: %m");
	fsync(filler);
	free(buf);
}

/*
 * What could be written is on the disk; the others wait for room, and get it by themselves.
 *
 * The loop device of Linux 6.12 and newer tells nobody that its file took a request in part only,
 * so there the pages that have no room are in requests of their own.
 */
TEST_F(spoiled, full)
{
	struct scope_dev *d = &self->dev;
	const long more = self->loop < 0 ? 8 : 16, nr = N - 8;
	int other = dev_open(d, O_RDONLY);
	char *p = dev_map(d, 0, PAGES, RW);
	int err;

	/* Some of the file has its blocks already. */
	fill(d, p, 0, 8, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	fill_up(self->filler);
	fill(d, p, 0, 8, 2);
	fill(d, p, more, nr, 2);
	err = fsync_errno(d->fd);
	/* Up to 6.8 or so, a loop device says no more than that. */
	EXPECT_TRUE(err == ENOSPC || (err == EIO && self->loop >= 0));
	EXPECT_EQ(nr, now(d, pages_dirty));
	EXPECT_EQ(-1, file_differs(self->file, d->page, 0, 8, 2));
	dev_unmap(d, p);
	close(d->fd);
	close(other);
	EXPECT_EQ(-err, dev_remove(d->ctl, d->id, 0, NULL));
	d->fd = dev_open(d, O_RDWR);
	ASSERT_LE(0, d->fd);
	EXPECT_EQ(-1, dev_differs(d, 0, 8, 2));
	EXPECT_EQ(-1, dev_differs(d, more, nr, 2));
	stats_mark(d);
	flusher_on();
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) > 0, 60000));
	ASSERT_EQ(0, ftruncate(self->filler, 0));
	EXPECT_TRUE(wait_for(all_clean(d), 90000));
	EXPECT_EQ(0, moved(d, wb_sync_pages));
	EXPECT_EQ(-1, file_differs(self->file, d->page, 0, 8, 2));
	EXPECT_EQ(-1, file_differs(self->file, d->page, more, nr, 2));
	EXPECT_EQ(err, fsync_errno(d->fd));
	EXPECT_EQ(0, fsync_errno(d->fd));
}

/* Somebody cuts the file off in the middle of a page, and of a sector. */
TEST_F(spoiled, truncated)
{
	struct scope_dev *d = &self->dev;
	const long bytes = PAGES * d->page, cut = 5 * d->page + 100;
	struct mmapscope_info before, after;
	struct stat st;
	char *p, byte;

	if (self->loop >= 0)
		SKIP(return, "a loop device makes its file longer again");
	dev_fill(d, 0, PAGES, 1);
	dev_info(d, &before);
	p = dev_map_random(d, 0, PAGES, RW);
	touch_pages(p + 8 * d->page, 1);
	ASSERT_EQ(0, ftruncate(self->file, cut));
	/* Before, beyond, and across the new end. */
	EXPECT_EQ(0, try_load(p + 4 * d->page));
	EXPECT_EQ(SIGBUS, try_load(p + 6 * d->page));
	EXPECT_EQ(SIGBUS, try_load(p + 5 * d->page));
	EXPECT_EQ(-1, pread(d->fd, &byte, 1, 7 * d->page));
	EXPECT_EQ(EIO, errno);
	fill(d, p, 3, 1, 2);
	fill(d, p, 8, 1, 2);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(1, now(d, pages_dirty));
	EXPECT_EQ(-1, page_differs(p + 8 * d->page, d->page, 8, 2));
	EXPECT_EQ(0, fstat(self->file, &st));
	EXPECT_EQ(cut, st.st_size);
	EXPECT_EQ(-1, file_differs(self->file, d->page, 3, 1, 2));
	ASSERT_EQ(0, ftruncate(self->file, bytes));
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, file_differs(self->file, d->page, 8, 1, 2));
	dev_evict(d);
	EXPECT_EQ(-1, page_differs(p + 4 * d->page, d->page, 4, 1));
	EXPECT_EQ(-1, page_differs(p + 6 * d->page, d->page, 6, 0));
	EXPECT_EQ(-1, page_differs(p + 8 * d->page, d->page, 8, 2));
	/* None of that was a reason to take another way. */
	dev_info(d, &after);
	EXPECT_EQ(before.io_mode, after.io_mode);
}

/* Whether a file system is mounted read-only, as the kernel says. */
static bool mounted_read_only(const char *folder)
{
	char where[256], options[256], line[1024];
	FILE *f = fopen("/proc/mounts", "re");
	bool found = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %255s %*s %255s", where, options) == 2 &&
		    !strcmp(where, folder))
			found = !strncmp(options, "ro", 2);
	}
	if (f)
		fclose(f);
	return found;
}

/* It takes all others along; they are made writable again. */
static void remount_all(void)
{
	char where[256], options[256], line[1024];
	FILE *f = fopen("/proc/mounts", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "/dev/%*s %255s ext4 %255s", where, options) == 2 &&
		    mount(NULL, where, NULL, MS_REMOUNT, NULL))
			fatal("remount of %s: %m", where);
	}
	if (f)
		fclose(f);
}

/*
 * A file system is not made read-only under a device that writes to it, nor unmounted; but the
 * emergency remount of the magic SysRq key asks nobody.
 */
TEST_F(spoiled, read_only)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, N, RW);

	fill(d, p, 0, N, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	close(self->filler);
	close(self->file);
	/* Only the device, or the loop device below it, has the file open. */
	EXPECT_EQ(-1, umount(FOLDER));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, mount(NULL, FOLDER, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(EBUSY, errno);
	self->file = open(STORE, O_RDWR | O_CLOEXEC);
	self->filler = -1;
	/*
	 * That is for file systems on disks; and it is the loop device's file that it would be
	 * about.
	 */
	if (!is(variant->store, "ext4"))
		return;
	if (file_write("/proc/sysrq-trigger", "u"))
		SKIP(return, "needs the magic SysRq key");
	ASSERT_TRUE(wait_for(mounted_read_only(FOLDER), 60000));
	fill(d, p, 0, N, 2);
	/* The ext4 of 6.1 would take them, as they need no new blocks, but not flush them. */
	EXPECT_EQ(EROFS, fsync_errno(d->fd));
	EXPECT_EQ(N, now(d, pages_dirty));
	EXPECT_EQ(-1, file_differs(self->file, d->page, 0, N, 1));
	stats_mark(d);
	flusher_on();
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) > 0, 60000));
	remount_all();
	EXPECT_TRUE(wait_for(all_clean(d), 90000));
	EXPECT_EQ(0, moved(d, wb_sync_pages));
	EXPECT_EQ(-1, file_differs(self->file, d->page, 0, N, 2));
}

SCOPE_MAIN
