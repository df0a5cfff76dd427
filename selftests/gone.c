// SPDX-License-Identifier: GPL-2.0
/*
 * A disk that is pulled out of the machine while a device stands on it, or on a file on it.  What
 * is cached can be read, everything else is an error, nothing hangs, and the device can be
 * removed.
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
#define N	16
#define RW	(PROT_READ | PROT_WRITE)
#define FOLDER	"/tmp/gone"
#define DRIVER	"/sys/bus/virtio/drivers/virtio_blk"

FIXTURE(gone) {
	char node[64];			/* of the disk */
	char virtio[32];		/* its name on its bus */
	int fd;				/* of it, or of a file on it */
	struct scope_dev dev;
};
FIXTURE_VARIANT(gone) {
	const char *store;
};
STORE_VARIANT(gone, block);
STORE_VARIANT(gone, ext4);

/* Its place on the virtio bus; false if it has none. */
static bool find_virtio(const char *node, char *name, size_t size)
{
	char path[128], real[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/class/block/%s/device", strrchr(node, '/') + 1);
	if (!realpath(path, real))
		return false;
	snprintf(name, size, "%.30s", strrchr(real, '/') + 1);
	return !strncmp(name, "virtio", 6);
}

static int open_store(const char *node, const char *store)
{
	int fd;

	if (backing_is_block(store)) {
		fd = open(node, O_RDWR | O_CLOEXEC);
	} else {
		ext4_make(node, "", FOLDER);
		fd = open(FOLDER "/store", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (ftruncate(fd, PAGES * sysconf(_SC_PAGESIZE)))
			fatal("ftruncate: %m");
	}
	if (fd < 0)
		fatal("open: %m");
	return fd;
}

FIXTURE_SETUP(gone)
{
	NEED_DEVICES();
	NEED_SHAKY(variant->store);
	shaky_disk(1, self->node, sizeof(self->node));
	if (!find_virtio(self->node, self->virtio, sizeof(self->virtio)))
		SKIP_SETUP("needs a virtio disk");
	vm_quiet();
	self->fd = open_store(self->node, variant->store);
	dev_create_on(&self->dev, variant->store, self->fd, PAGES * sysconf(_SC_PAGESIZE));
	dev_fill(&self->dev, 0, PAGES, 1);
}

static int tell_driver(const char *what, const char *device)
{
	char path[128];

	snprintf(path, sizeof(path), DRIVER "/%s", what);
	return file_write(path, device);
}

/* The machine gets its disk back, for the tests that follow. */
FIXTURE_TEARDOWN(gone)
{
	close(self->fd);
	umount2(FOLDER, MNT_DETACH);
	tell_driver("unbind", self->virtio);
	EXPECT_EQ(0, tell_driver("bind", self->virtio));
	EXPECT_TRUE(wait_for(!access(self->node, R_OK | W_OK), 20000));
}

static int fsync_errno(int fd)
{
	return fsync(fd) ? errno : 0;
}

TEST_F(gone, in_the_middle_of_it)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map_random(d, 0, PAGES, RW), byte;
	__u64 discarded = 0;
	long i;
	int err;

	for (i = 0; i < N; i++)
		page_fill(p + i * d->page, d->page, i, 2);
	ASSERT_EQ(0, tell_driver("unbind", self->virtio));
	EXPECT_NE(0, access(self->node, F_OK));
	/* Not cached. */
	EXPECT_EQ(SIGBUS, try_load(p + N * d->page));
	EXPECT_EQ(-1, pread(d->fd, &byte, 1, (N + 1) * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(d->fd, "x", 1, (N + 2) * d->page));
	EXPECT_EQ(EIO, errno);
	err = fsync_errno(d->fd);
	EXPECT_TRUE(err == EIO || err == EROFS);
	EXPECT_EQ(N, now(d, pages_dirty));
	for (i = 0; i < N; i++)
		EXPECT_EQ(-1, page_differs(p + i * d->page, d->page, i, 2));
	/* A file system only takes note of that. */
	if (backing_is_block(variant->store))
		EXPECT_EQ(-EIO, dev_punch(d, 2 * N, 1));
	for (i = N; i < N + 3; i++)
		EXPECT_EQ(SIGBUS, try_load(p + i * d->page));
	EXPECT_LE(N, moved(d, pages_write_failed));
	dev_unmap(d, p);
	close(d->fd);
	err = -dev_remove(d->ctl, d->id, 0, NULL);
	EXPECT_TRUE(err == EIO || err == EROFS);
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_EQ(N, (long)discarded);
	close(d->ctl);
}

/* It comes back, and holds what it held when it went. */
TEST_F(gone, and_comes_back)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, N, RW);
	long i;

	for (i = 0; i < N; i++)
		page_fill(p + i * d->page, d->page, i, 2);
	ASSERT_EQ(0, fsync_errno(d->fd));
	for (i = 0; i < N; i++)
		page_fill(p + i * d->page, d->page, i, 3);
	ASSERT_EQ(0, tell_driver("unbind", self->virtio));
	EXPECT_NE(0, fsync_errno(d->fd));
	EXPECT_EQ(0, dev_destroy(d, true));
	close(self->fd);
	umount2(FOLDER, MNT_DETACH);
	ASSERT_EQ(0, tell_driver("bind", self->virtio));
	ASSERT_TRUE(wait_for(!access(self->node, R_OK | W_OK), 20000));
	if (backing_is_block(variant->store)) {
		self->fd = open(self->node, O_RDWR | O_CLOEXEC);
	} else {
		ASSERT_EQ(0, mount(self->node, FOLDER, "ext4", 0, NULL));
		self->fd = open(FOLDER "/store", O_RDWR | O_CLOEXEC);
	}
	ASSERT_LE(0, self->fd);
	dev_create_on(d, variant->store, self->fd, PAGES * sysconf(_SC_PAGESIZE));
	EXPECT_EQ(-1, dev_differs(d, 0, N, 2));
	EXPECT_EQ(-1, dev_differs(d, N, PAGES - N, 1));
	EXPECT_STREQ("", dev_books(d));
	EXPECT_EQ(0, dev_destroy(d, false));
}

/* A loop device is not taken away from who uses it: it goes when the device on it does. */
TEST(loop_device_stays)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), nr, loop, file;
	const __u64 bytes = PAGES * sysconf(_SC_PAGESIZE);
	char node[32], path[] = "/tmp/loop-XXXXXX";
	struct loop_info64 info;
	struct scope_dev dev;

	NEED_DEVICES();
	if (control < 0)
		SKIP(return, "needs loop devices");
	vm_quiet();
	nr = ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(node, sizeof(node), "/dev/loop%d", nr);
	loop = open(node, O_RDWR | O_CLOEXEC);
	file = mkstemp(path);
	ASSERT_LE(0, loop);
	ASSERT_EQ(0, ftruncate(file, bytes));
	ASSERT_EQ(0, unlink(path));
	ASSERT_EQ(0, ioctl(loop, LOOP_SET_FD, file));
	dev_create_on(&dev, "block", loop, bytes);
	EXPECT_EQ(0, ioctl(loop, LOOP_CLR_FD));
	close(loop);
	dev_fill(&dev, 0, PAGES, 1);
	EXPECT_EQ(-1, dev_differs(&dev, 0, PAGES, 1));
	EXPECT_EQ(0, dev_destroy(&dev, false));
	loop = open(node, O_RDWR | O_CLOEXEC);
	EXPECT_TRUE(wait_for(ioctl(loop, LOOP_GET_STATUS64, &info) && errno == ENXIO, 20000));
	close(loop);
	close(file);
	close(control);
}

SCOPE_MAIN
