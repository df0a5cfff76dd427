// SPDX-License-Identifier: GPL-2.0
/*
 * Who may use a block device, or a file, at the same time as a device on it: nobody who writes to
 * it without knowing of the other.  Both ways round.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/fs.h>

#include "harness.h"
#include "shaky.h"

#define PAGES	256
#define FOLDER	"/tmp/claims"

FIXTURE(claims) {
	char disk[64];
	int fd, ctl;
	long page;
};

FIXTURE_SETUP(claims)
{
	NEED_DEVICES();
	NEED_SHAKY("ext4");
	shaky_disk(0, self->disk, sizeof(self->disk));
	self->page = sysconf(_SC_PAGESIZE);
	self->ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
	self->fd = open(self->disk, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	dev_remove_left_overs();
	umount2(FOLDER, MNT_DETACH);
}

FIXTURE_TEARDOWN(claims)
{
	close(self->fd);
	close(self->ctl);
}

/* A device on @fd: its number, or -errno. */
static int attach(int ctl, int fd)
{
	unsigned int id;

	return dev_try_on(ctl, fd, PAGES * sysconf(_SC_PAGESIZE), &id) ?: (int)id;
}

static int detach(int ctl, int id)
{
	return dev_remove(ctl, id, 0, NULL);
}

static int attach_path(int ctl, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), id;

	if (fd < 0)
		fatal("%s: %m", path);
	id = attach(ctl, fd);
	close(fd);
	return id;
}

/* Expects that there can be a device on @fd, now that nobody is there any more. */
#define EXPECT_FREE(fd) do {							\
	int __id = attach(self->ctl, fd);					\
	EXPECT_LE(0, __id);							\
	EXPECT_EQ(0, detach(self->ctl, __id));					\
} while (0)

TEST_F(claims, mounted_disk)
{
	int id;

	ext4_make(self->disk, "", FOLDER);
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	ASSERT_EQ(0, umount(FOLDER));
	id = attach(self->ctl, self->fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-1, mount(self->disk, FOLDER, "ext4", 0, NULL));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, detach(self->ctl, id));
	EXPECT_EQ(0, mount(self->disk, FOLDER, "ext4", 0, NULL));
	EXPECT_EQ(0, umount(FOLDER));
	EXPECT_FREE(self->fd);
}

/* Makes all of @fd swap space. */
static void make_swap(int fd, long page, long pages)
{
	struct {
		char boot[1024];
		__u32 version, last, bad;
	} head = { .version = 1, .last = pages - 1 };

	if (pwrite(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    pwrite(fd, "SWAPSPACE2", 10, page - 10) != 10 || fsync(fd))
		fatal("swap header: %m");
}

TEST_F(claims, swap_disk)
{
	int id;

	make_swap(self->fd, self->page, PAGES);
	ASSERT_EQ(0, swapon(self->disk, 0));
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	ASSERT_EQ(0, swapoff(self->disk));
	id = attach(self->ctl, self->fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-1, swapon(self->disk, 0));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, detach(self->ctl, id));
}

TEST_F(claims, swap_file)
{
	const char *path = FOLDER "/swap";
	char *zeros = calloc(PAGES, self->page);
	int fd;

	ext4_make(self->disk, "", FOLDER);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(PAGES * self->page, write(fd, zeros, PAGES * self->page));
	make_swap(fd, self->page, PAGES);
	ASSERT_EQ(0, swapon(path, 0));
	EXPECT_EQ(-EBUSY, attach(self->ctl, fd));
	ASSERT_EQ(0, swapoff(path));
	EXPECT_FREE(fd);
	close(fd);
	EXPECT_EQ(0, umount(FOLDER));
	free(zeros);
}

/* Whoever asks for a block device alone; the device mapper does, too. */
TEST_F(claims, exclusive_openers)
{
	struct dm_part part = { .sectors = 8, .type = "linear" };
	struct stat st;
	struct dm dm;
	int fd, id;

	ASSERT_EQ(0, fstat(self->fd, &st));
	snprintf(part.args, sizeof(part.args), "%u:%u 0", major(st.st_rdev), minor(st.st_rdev));
	fd = open(self->disk, O_RDWR | O_EXCL | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	/* Not even he himself: it is not for him that the device is. */
	EXPECT_EQ(-EBUSY, attach(self->ctl, fd));
	close(fd);
	id = attach(self->ctl, self->fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-1, open(self->disk, O_RDWR | O_EXCL | O_CLOEXEC));
	EXPECT_EQ(EBUSY, errno);
	dm_create(&dm, "scope-claims");
	EXPECT_EQ(-EBUSY, dm_table(&dm, &part, 1));
	EXPECT_EQ(0, detach(self->ctl, id));
	EXPECT_EQ(0, dm_table(&dm, &part, 1));
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	EXPECT_EQ(0, dm_remove(&dm));
	EXPECT_FREE(self->fd);
}

/* A block device by whatever name. */
TEST_F(claims, second_device_on_a_disk)
{
	const char *alias = "/tmp/claims-alias";
	struct stat st;
	int id;

	unlink(alias);
	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, mknod(alias, S_IFBLK | 0600, st.st_rdev));
	id = attach(self->ctl, self->fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, alias));
	EXPECT_EQ(0, detach(self->ctl, id));
	EXPECT_EQ(0, unlink(alias));
	EXPECT_FREE(self->fd);
}

/* A file by whatever name, as long as it is one. */
TEST_F(claims, second_device_on_a_file)
{
	const char *path = FOLDER "/a", *link_path = FOLDER "/b", *copy = FOLDER "/c";
	const char *symbolic = FOLDER "/d", *bound = FOLDER "-bound";
	int fd, other, id, other_id;

	ext4_make(self->disk, "", FOLDER);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	other = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(0, ftruncate(fd, PAGES * self->page));
	ASSERT_EQ(0, ftruncate(other, PAGES * self->page));
	ASSERT_EQ(0, link(path, link_path));
	ASSERT_EQ(0, symlink("a", symbolic));
	close(open(bound, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	ASSERT_EQ(0, mount(path, bound, NULL, MS_BIND, NULL));
	id = attach(self->ctl, fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-EBUSY, attach(self->ctl, fd));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, path));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, link_path));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, symbolic));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, bound));
	other_id = attach(self->ctl, other);
	EXPECT_LE(0, other_id);
	EXPECT_EQ(0, detach(self->ctl, other_id));
	EXPECT_EQ(0, detach(self->ctl, id));
	EXPECT_EQ(0, umount(bound));
	EXPECT_FREE(fd);
	close(fd);
	close(other);
	EXPECT_EQ(0, unlink(bound));
	EXPECT_EQ(0, umount(FOLDER));
}

/* Adds or removes a partition of a quarter of the disk, without writing a table. */
static int partition(int fd, int nr, bool add)
{
	struct blkpg_partition part = { .pno = nr, .start = (nr - 1) << 24, .length = 1 << 24 };
	struct blkpg_ioctl_arg arg = {
		.op = add ? BLKPG_ADD_PARTITION : BLKPG_DEL_PARTITION,
		.datalen = sizeof(part),
		.data = &part,
	};

	return ioctl(fd, BLKPG, &arg) ? -errno : 0;
}

TEST_F(claims, partition_and_whole_disk)
{
	char first[80], second[80];
	int id, other;

	snprintf(first, sizeof(first), "%s1", self->disk);
	snprintf(second, sizeof(second), "%s2", self->disk);
	ASSERT_EQ(0, partition(self->fd, 1, true));
	ASSERT_EQ(0, partition(self->fd, 2, true));
	ASSERT_TRUE(wait_for(!access(first, R_OK) && !access(second, R_OK), 20000));
	id = attach_path(self->ctl, first);
	ASSERT_LE(0, id);
	EXPECT_EQ(-EBUSY, attach(self->ctl, self->fd));
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, first));
	other = attach_path(self->ctl, second);
	EXPECT_LE(0, other);
	EXPECT_EQ(-EBUSY, partition(self->fd, 1, false));
	EXPECT_EQ(0, detach(self->ctl, other));
	EXPECT_EQ(0, detach(self->ctl, id));
	id = attach(self->ctl, self->fd);
	ASSERT_LE(0, id);
	EXPECT_EQ(-EBUSY, attach_path(self->ctl, first));
	EXPECT_EQ(0, detach(self->ctl, id));
	EXPECT_EQ(0, partition(self->fd, 1, false));
	EXPECT_EQ(0, partition(self->fd, 2, false));
	EXPECT_FREE(self->fd);
}

/*
 * What was written by the node before is seen, and what the device wrote is seen by the node
 * after.
 */
TEST_F(claims, cache_of_the_node)
{
	char *buf = calloc(2, self->page);
	struct scope_dev dev;

	vm_quiet();
	page_fill(buf, self->page, 0, 7);
	ASSERT_EQ(self->page, pwrite(self->fd, buf, self->page, 0));
	dev_create_on(&dev, "block", self->fd, PAGES * self->page);
	EXPECT_EQ(-1, dev_differs(&dev, 0, 1, 7));
	dev_fill(&dev, 0, 2, 8);
	EXPECT_EQ(0, dev_destroy(&dev, false));
	EXPECT_EQ(2 * self->page, pread(self->fd, buf, 2 * self->page, 0));
	EXPECT_EQ(-1, page_differs(buf, self->page, 0, 8));
	EXPECT_EQ(-1, page_differs(buf + self->page, self->page, 1, 8));
	free(buf);
}

/* A disk that may not be written makes a device that cannot be. */
TEST_F(claims, read_only_disk)
{
	int on = 1, off = 0, id, fd;
	char node[64];

	ASSERT_EQ(0, ioctl(self->fd, BLKROSET, &on));
	fd = open(self->disk, O_RDONLY | O_CLOEXEC);
	id = attach(self->ctl, fd);
	ASSERT_LE(0, id);
	snprintf(node, sizeof(node), "/dev/mmapscope%d", id);
	EXPECT_EQ(-1, open(node, O_RDWR));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(0, detach(self->ctl, id));
	close(fd);
	ASSERT_EQ(0, ioctl(self->fd, BLKROSET, &off));
}

SCOPE_MAIN
