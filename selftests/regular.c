// SPDX-License-Identifier: GPL-2.0
/*
 * What a character device is not asked for: another size, its own sync, BLKGETSIZE64, and the
 * device as a regular file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "task.h"

#define PAGES	256
#define RW	(PROT_READ | PROT_WRITE)
#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

DEVICE_FIXTURE(regular, PAGES);

static int resize(const struct scope_dev *d, __u64 bytes)
{
	struct mmapscope_resize r = { .size = sizeof(r), .dev_size = bytes };

	return ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &r) ? -errno : 0;
}

static int sync_device(const struct scope_dev *d)
{
	struct mmapscope_sync s = { .size = sizeof(s) };

	return ioctl(d->fd, MMAPSCOPE_IOC_SYNC, &s) ? -errno : 0;
}

static int regular_fd(int fd)
{
	struct mmapscope_file f = { .size = sizeof(f) };
	int ret = ioctl(fd, MMAPSCOPE_IOC_FILE, &f);

	return ret < 0 ? -errno : ret;
}

TEST_F(regular, size_by_blkgetsize64)
{
	__u64 bytes = 0;

	ASSERT_EQ(0, ioctl(self->dev.fd, BLKGETSIZE64, &bytes));
	EXPECT_EQ(PAGES * self->dev.page, (long)bytes);
	EXPECT_EQ(-1, ioctl(self->dev.fd, BLKGETSIZE64, NULL));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(regular, shrink_is_sigbus_and_leaves_nothing)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, PAGES, RW);
	char size[64];

	snprintf(size, sizeof(size), "/sys/class/mmapscope/%s/size", self->dev.name);
	store_pages(p, PAGES, 9);
	ASSERT_EQ(0, resize(&self->dev, 10 * page));
	EXPECT_EQ(10 * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(10 * page, file_number(size));
	/* A large folio that crosses the new end is written first. */
	if (dev_single_pages(&self->dev))
		EXPECT_EQ(PAGES - 10, moved(&self->dev, pages_discarded));
	EXPECT_RESERVED(10, &self->dev);
	EXPECT_EQ(0, try_load(p + 9 * page));
	EXPECT_EQ(SIGBUS, try_load(p + 10 * page));
	EXPECT_EQ(SIGBUS, try_store(p + 10 * page, 1));
	ASSERT_EQ(0, resize(&self->dev, PAGES * page));
	EXPECT_EQ(9, p[9 * page]);
	EXPECT_EQ(0, p[10 * page]);
	EXPECT_EQ(0, p[(PAGES - 1) * page]);
}

TEST_F(regular, growth_is_reached_by_mremap)
{
	long page = self->dev.page;
	char *p = mmap(NULL, PAGES * page, RW, MAP_SHARED, self->dev.fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, resize(&self->dev, 2 * PAGES * page));
	p = mremap(p, PAGES * page, 2 * PAGES * page, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, try_store(p + (2 * PAGES - 1) * page, 3));
	EXPECT_EQ(0, munmap(p, 2 * PAGES * page));
	self->dev.pages = 2 * PAGES;
}

TEST_F(regular, resize_has_a_range)
{
	EXPECT_EQ(-EINVAL, resize(&self->dev, 0));
	EXPECT_EQ(-EINVAL, resize(&self->dev, self->dev.page + 1));
	EXPECT_EQ(-EINVAL, resize(&self->dev, 1ULL << 63));
	EXPECT_EQ(PAGES * self->dev.page, lseek(self->dev.fd, 0, SEEK_END));
}

TEST_F(regular, sync_writes_and_flushes)
{
	store_pages(dev_map(&self->dev, 0, PAGES, RW), PAGES, 1);
	EXPECT_EQ(0, sync_device(&self->dev));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(PAGES, moved(&self->dev, pages_cleaned));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
}

TEST_F(regular, sync_reports_an_error_once)
{
	if (!dev_has_hook(&self->dev))
		SKIP(return, "needs the module loaded with test_hooks=1");
	store_pages(dev_map(&self->dev, 0, 1, RW), 1, 1);
	dev_hook(&self->dev, "write 5 0 0 0");
	EXPECT_EQ(-EIO, sync_device(&self->dev));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, sync_device(&self->dev));
	EXPECT_EQ(0, sync_device(&self->dev));
	EXPECT_EQ(-1, fsync(self->dev.fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(self->dev.fd));
}

TEST_F(regular, file_is_the_device)
{
	char *p = dev_map(&self->dev, 0, PAGES, RW), *q;
	int fd = regular_fd(self->dev.fd);
	struct stat st;
	char c = 0;

	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_TRUE(S_ISREG(st.st_mode));
	EXPECT_EQ(PAGES * self->dev.page, st.st_size);
	if (!backing_is_block(self->dev.store))
		EXPECT_EQ(0, st.st_blocks);
	p[5] = 42;
	EXPECT_EQ(1, pread(fd, &c, 1, 5));
	EXPECT_EQ(42, c);
	c = 43;
	EXPECT_EQ(1, pwrite(fd, &c, 1, 6));
	EXPECT_EQ(43, p[6]);
	q = mmap(NULL, self->dev.page, RW, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, q);
	q[7] = 44;
	EXPECT_EQ(44, p[7]);
	EXPECT_EQ(0, munmap(q, self->dev.page));
	EXPECT_EQ(0, syncfs(fd));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(0, fstat(fd, &st));
	if (!backing_is_block(self->dev.store) && dev_single_pages(&self->dev))
		EXPECT_EQ(self->dev.page / 512, st.st_blocks);
	EXPECT_EQ(-EBUSY, dev_remove(self->dev.ctl, self->dev.id, 0, NULL));
	close(fd);
}

TEST_F(regular, file_is_open_as_the_device_is)
{
	int ro = dev_open(&self->dev, O_RDONLY), fd = regular_fd(ro);
	char c = 1;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, &c, 1, 0));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->dev.page, RW, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, fallocate(fd, PUNCH, 0, self->dev.page));
	EXPECT_EQ(EBADF, errno);
	close(fd);
	close(ro);
}

TEST_F(regular, file_takes_the_calls_that_a_node_cannot)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, PAGES, RW), *q;
	int fd = regular_fd(self->dev.fd);

	ASSERT_LE(0, fd);
	memset(p, 7, 8 * page);
	ASSERT_EQ(0, fallocate(fd, PUNCH, 100, 3 * page));
	EXPECT_EQ(7, p[99]);
	EXPECT_EQ(0, p[100]);
	EXPECT_EQ(0, p[3 * page + 99]);
	EXPECT_EQ(7, p[3 * page + 100]);
	EXPECT_RESERVED(6, &self->dev);
	ASSERT_EQ(0, fallocate(fd, PUNCH, page + 10, 20));
	EXPECT_RESERVED(6, &self->dev);
	ASSERT_EQ(0, fallocate(fd, PUNCH, 4 * page + 10, 20));
	EXPECT_EQ(7, p[4 * page + 9]);
	EXPECT_EQ(0, p[4 * page + 10]);
	EXPECT_EQ(7, p[4 * page + 30]);

	ASSERT_EQ(0, fallocate(fd, 0, 100 * page, 10 * page));
	EXPECT_RESERVED(16, &self->dev);
	EXPECT_EQ(-1, fallocate(fd, 0, 0, (PAGES + 1) * page));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, page));
	EXPECT_EQ(EOPNOTSUPP, errno);

	q = mmap(NULL, 8 * page, RW, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(7, q[5 * page]);
	EXPECT_EQ(0, madvise(q + 5 * page, page, MADV_REMOVE));
	EXPECT_EQ(0, p[5 * page]);
	EXPECT_EQ(0, munmap(q, 8 * page));
	EXPECT_EQ(0, sync_file_range(fd, 0, 8 * page, SYNC_FILE_RANGE_WRITE));
	EXPECT_EQ(0, readahead(fd, 0, 8 * page));
	close(fd);
}

/* What the node says of its size, the file says as well, at every moment. */
TEST_F(regular, file_has_the_size_of_the_device)
{
	long page = self->dev.page;
	int fd = regular_fd(self->dev.fd), i;
	struct stat st;
	__u64 bytes;

	ASSERT_LE(0, fd);
	for (i = 0; i < 2; i++) {
		long size = (PAGES - i * 3) * page;

		ASSERT_EQ(0, resize(&self->dev, size));
		bytes = 0;
		EXPECT_EQ(0, ioctl(fd, BLKGETSIZE64, &bytes));
		EXPECT_EQ(size, (long)bytes);
		EXPECT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(size, st.st_size);
		EXPECT_EQ(size, lseek(fd, 0, SEEK_END));
	}
	EXPECT_EQ(-1, ioctl(fd, BLKGETSIZE64, NULL));
	EXPECT_EQ(EFAULT, errno);
	self->dev.pages = PAGES - 3;
	close(fd);
}

static bool earlier(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* The inode is as new as the device. */
TEST(file_has_times)
{
	struct timespec before, after;
	struct scope_dev d;
	struct stat st;
	int fd;

	NEED_DEVICES();
	/* The clock of inodes. */
	ASSERT_EQ(0, clock_gettime(CLOCK_REALTIME_COARSE, &before));
	dev_create(&d, "ram", sysconf(_SC_PAGESIZE), 0);
	ASSERT_EQ(0, clock_gettime(CLOCK_REALTIME_COARSE, &after));
	fd = regular_fd(d.fd);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_FALSE(earlier(st.st_mtim, before));
	EXPECT_FALSE(earlier(after, st.st_mtim));
	EXPECT_FALSE(earlier(st.st_atim, before));
	EXPECT_FALSE(earlier(after, st.st_atim));
	EXPECT_FALSE(earlier(st.st_ctim, before));
	EXPECT_FALSE(earlier(after, st.st_ctim));
	close(fd);
	EXPECT_EQ(0, dev_destroy(&d, false));
}

static int do_allocate(struct scope_dev *d)
{
	int fd = regular_fd(d->fd), err;

	if (fd < 0)
		return fd;
	err = fallocate(fd, 0, 0, d->pages * d->page) ? -errno : 0;
	close(fd);
	return err;
}

/* Room beyond the end could be neither reached nor given back. */
TEST(shrink_races_with_fallocate)
{
	const __u64 bytes = 64 << 20;
	struct scope_dev d;
	int i, full = 0;

	NEED_DEVICES();
	dev_create(&d, "ram", bytes, 0);
	for (i = 0; i < 20; i++) {
		struct task task;
		int err;

		ASSERT_EQ(0, resize(&d, bytes));
		task_begin(&task, do_allocate, &d);
		wait_for(now(&d, store_pages) > 1 || task.over, 5000);
		ASSERT_EQ(0, resize(&d, d.page));
		err = task_end(&task);
		/* It came first, or met the end. */
		EXPECT_TRUE(!err || err == -ENOSPC);
		full += !err;
		EXPECT_GE(1, now(&d, store_pages));
	}
	EXPECT_LT(0, full);
	EXPECT_EQ(0, dev_destroy(&d, false));
}

/* copy_file_range() until it copies no more: the bytes, or -errno if it was none. */
static long copy_range(int from, loff_t in, int to, loff_t out, size_t len)
{
	long done = 0;
	ssize_t n;

	do {
		n = copy_file_range(from, &in, to, &out, len - done, 0);
		if (n > 0)
			done += n;
	} while (n > 0 && done < (long)len);
	return done || !n ? done : -errno;
}

/* Odd offsets, so that no page can be moved as it is. */
TEST_F(regular, file_copies_within_itself)
{
	long page = self->dev.page, len = 3 * page + 5, to = 50 * page + 10, i;
	char *p = dev_map(&self->dev, 0, PAGES, RW);
	int fd = regular_fd(self->dev.fd);

	ASSERT_LE(0, fd);
	for (i = 0; i < 6 * page; i++)
		p[i] = i % 251 + 1;
	stats_mark(&self->dev);
	EXPECT_EQ(len, copy_range(fd, 100, fd, to, len));
	EXPECT_EQ(0, memcmp(p + 100, p + to, len));
	EXPECT_EQ(0, p[to - 1]);
	EXPECT_EQ(0, p[to + len]);
	EXPECT_EQ(len, moved(&self->dev, read_bytes));
	EXPECT_EQ(len, moved(&self->dev, write_bytes));
	/* As read(2) and write(2) do at the end. */
	EXPECT_EQ(0, copy_range(fd, PAGES * page, fd, 0, page));
	EXPECT_EQ(100, copy_range(fd, 0, fd, PAGES * page - 100, page));
	EXPECT_EQ(0, memcmp(p, p + PAGES * page - 100, 100));
	EXPECT_EQ(-ENOSPC, copy_range(fd, 0, fd, PAGES * page, page));
	EXPECT_EQ(-EINVAL, copy_range(fd, 0, fd, 10, page));
	close(fd);
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(0, memcmp(p + 100, p + to, len));
}

/* To the kernel it is a file system of its own, and the node is no file. */
TEST_F(regular, file_copies_nowhere_else)
{
	int fd = regular_fd(self->dev.fd), ro_node, ro, other = memfd_create("other", MFD_CLOEXEC);
	long page = self->dev.page;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, ftruncate(other, page));
	EXPECT_EQ(-EXDEV, copy_range(fd, 0, other, 0, page));
	EXPECT_EQ(-EXDEV, copy_range(other, 0, fd, 0, page));
	EXPECT_EQ(-EINVAL, copy_range(self->dev.fd, 0, fd, page, page));
	EXPECT_EQ(-EINVAL, copy_range(fd, 0, self->dev.fd, page, page));
	ro_node = dev_open(&self->dev, O_RDONLY);
	ro = regular_fd(ro_node);
	ASSERT_LE(0, ro);
	EXPECT_EQ(-EBADF, copy_range(fd, 0, ro, page, page));
	EXPECT_EQ(page, copy_range(ro, 0, fd, page, page));
	close(ro);
	close(ro_node);
	close(other);
	close(fd);
}

TEST_F(regular, file_keeps_its_size)
{
	int fd = regular_fd(self->dev.fd);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fchmod(fd, 0777));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(PAGES * self->dev.page, lseek(fd, 0, SEEK_END));
	close(fd);
}

TEST_F(regular, file_can_be_opened_again)
{
	int fd = regular_fd(self->dev.fd), again;
	char path[64], c = 5;

	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_TRUNC);
	ASSERT_LE(0, again);
	close(fd);
	EXPECT_EQ(1, pwrite(again, &c, 1, 0));
	EXPECT_EQ(5, *dev_map(&self->dev, 0, 1, PROT_READ));
	EXPECT_EQ(PAGES * self->dev.page, lseek(again, 0, SEEK_END));
	close(again);
}

/* The file holds the superblock; the device must be freed by its close, and not before. */
TEST_F(regular, file_outlives_a_forced_removal)
{
	long page = self->dev.page;
	struct scope_dev other;
	char buf[16], *q;
	int fd, i;

	for (i = 0; i < 20; i++) {
		other = self->dev;
		fd = regular_fd(self->dev.fd);
		ASSERT_LE(0, fd);
		q = mmap(NULL, page, RW, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, q);
		q[0] = 1;
		close(self->dev.fd);
		ASSERT_EQ(0, dev_remove(self->dev.ctl, self->dev.id, MMAPSCOPE_REMOVE_FORCE, NULL));
		EXPECT_EQ(SIGBUS, try_load(q));
		EXPECT_EQ(-1, pread(fd, buf, sizeof(buf), 0));
		EXPECT_EQ(ENODEV, errno);
		EXPECT_EQ(0, munmap(q, page));
		close(fd);
		close(other.ctl);
		/* The number is free again as soon as the last file is gone. */
		dev_create(&self->dev, variant->store, PAGES * page, 0);
	}
}

/* A path has no open file that removal could count, or wait for. */
TEST_F(regular, path_does_not_hold_up_removal)
{
	struct mmapscope_create c = {
		.size = sizeof(c),
		.dev_size = PAGES * self->dev.page,
		.id = SCRATCH_ID + 1,
	};
	struct scope_dev other = self->dev;
	char path[64];
	int fd, by_path;

	ASSERT_EQ(0, ioctl(self->dev.ctl, MMAPSCOPE_IOC_CREATE, &c));
	snprintf(other.node, sizeof(other.node), "/dev/mmapscope%u", c.id);
	other.fd = dev_open(&other, O_RDWR);
	fd = regular_fd(other.fd);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	by_path = open(path, O_PATH);
	ASSERT_LE(0, by_path);
	close(fd);
	close(other.fd);
	EXPECT_EQ(0, dev_remove(self->dev.ctl, c.id, 0, NULL));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", by_path);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENODEV, errno);
	/* Its number is free when nobody can refer to it any more. */
	EXPECT_EQ(-1, ioctl(self->dev.ctl, MMAPSCOPE_IOC_CREATE, &c));
	EXPECT_EQ(EEXIST, errno);
	close(by_path);
	EXPECT_TRUE(wait_for(!ioctl(self->dev.ctl, MMAPSCOPE_IOC_CREATE, &c), 5000));
	EXPECT_EQ(0, dev_remove(self->dev.ctl, c.id, 0, NULL));
}

SCOPE_MAIN
