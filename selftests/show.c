// SPDX-License-Identifier: GPL-2.0
/* sysfs and debugfs show what the ioctls say; reset keeps the books balanced. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256
#define N	16
#define RW	(PROT_READ | PROT_WRITE)

DEVICE_FIXTURE(show, PAGES);

static char *path_of(const struct scope_dev *d, const char *dir, const char *file)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, d->name, file);
	return path;
}

/* Some of everything. */
static void use(struct scope_dev *d)
{
	char *p = dev_map(d, 0, PAGES, RW);

	touch_pages(p, PAGES);
	store_pages(p, N, 1);
	if (fsync(d->fd))
		fatal("fsync: %m");
	store_pages(p, N / 2, 2);
}

TEST_F(show, stats_file_is_the_list)
{
	char text[8192], name[64], *line, *save;
	__u64 values[MMAPSCOPE_NR_STATS];
	unsigned long long value;
	int i = 0;

	use(&self->dev);
	ASSERT_LT(0, file_read(path_of(&self->dev, DEBUGFS_DIR, "stats"), text, sizeof(text)));
	stats_read(&self->dev, values);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), i++) {
		ASSERT_EQ(2, sscanf(line, "%63s %llu", name, &value));
		if (i >= MMAPSCOPE_NR_STATS)
			continue;
		EXPECT_STREQ(stats_name(i), name);
		EXPECT_EQ(values[i], value) {
			TH_LOG("%s", name);
		}
	}
	EXPECT_LE(MMAPSCOPE_NR_STATS, i);
}

TEST_F(show, stats_file_in_small_pieces)
{
	char whole[8192], piece[8192];
	int fd, n = 0;

	use(&self->dev);
	ASSERT_LT(0, file_read(path_of(&self->dev, DEBUGFS_DIR, "stats"), whole, sizeof(whole)));
	fd = open(path_of(&self->dev, DEBUGFS_DIR, "stats"), O_RDONLY);
	ASSERT_LE(0, fd);
	while (n < (int)sizeof(piece) - 1 && read(fd, piece + n, 1) == 1)
		n++;
	piece[n] = 0;
	EXPECT_STREQ(whole, piece);
	close(fd);
}

TEST_F(show, modes)
{
	struct stat st;

	ASSERT_EQ(0, stat(self->dev.node, &st));
	EXPECT_EQ(0600, (int)(st.st_mode & 07777));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	ASSERT_EQ(0, stat(CONTROL_NODE, &st));
	EXPECT_EQ(0600, (int)(st.st_mode & 07777));
	ASSERT_EQ(0, stat(path_of(&self->dev, DEBUGFS_DIR, "stats"), &st));
	EXPECT_EQ(0400, (int)(st.st_mode & 07777));
	ASSERT_EQ(0, stat(path_of(&self->dev, DEBUGFS_DIR, "reset"), &st));
	EXPECT_EQ(0200, (int)(st.st_mode & 07777));
	ASSERT_EQ(0, stat(path_of(&self->dev, CLASS_DIR, "size"), &st));
	EXPECT_EQ(0444, (int)(st.st_mode & 07777));
}

TEST_F(show, size_everywhere)
{
	struct mmapscope_info info;

	dev_info(&self->dev, &info);
	EXPECT_EQ(PAGES * self->dev.page, file_number(path_of(&self->dev, CLASS_DIR, "size")));
	EXPECT_EQ(PAGES * self->dev.page, (long)info.dev_size);
	EXPECT_EQ(PAGES * self->dev.page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(self->dev.page, (long)info.page_size);
	EXPECT_EQ(self->dev.id, info.id);
	EXPECT_STREQ(self->dev.name, info.name);
	EXPECT_EQ(MMAPSCOPE_STORE_RAM, info.store);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(1, info.open_files);
}

TEST_F(show, numbers_of_the_node)
{
	unsigned int major, minor;
	struct stat st;
	char text[32];

	ASSERT_EQ(0, fstat(self->dev.fd, &st));
	ASSERT_LT(0, file_read(path_of(&self->dev, CLASS_DIR, "dev"), text, sizeof(text)));
	ASSERT_EQ(2, sscanf(text, "%u:%u", &major, &minor));
	EXPECT_EQ(major(st.st_rdev), major);
	EXPECT_EQ(minor(st.st_rdev), minor);
	EXPECT_EQ(self->dev.id, minor);
}

TEST_F(show, bdi_has_the_devices_name)
{
	EXPECT_EQ(0, access(path_of(&self->dev, "/sys/class/bdi", "read_ahead_kb"), R_OK | W_OK));
	EXPECT_LT(0, file_number(path_of(&self->dev, "/sys/class/bdi", "read_ahead_kb")));
}

static void check_after_reset(struct __test_metadata *_metadata, struct scope_dev *d)
{
	__u64 v[MMAPSCOPE_NR_STATS];
	unsigned int i;

	stats_read(d, v);
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		__u64 expect = 0;

		switch (i) {
		case MMAPSCOPE_STAT_pages_cached:
		case MMAPSCOPE_STAT_pages_added:
			expect = PAGES;
			break;
		case MMAPSCOPE_STAT_pages_dirty:
		case MMAPSCOPE_STAT_pages_dirtied:
			expect = N / 2;
			break;
		case MMAPSCOPE_STAT_store_pages:
			expect = N;
			break;
		}
		EXPECT_EQ(expect, v[i]) {
			TH_LOG("%s", stats_name(i));
		}
	}
}

TEST_F(show, reset_by_ioctl)
{
	use(&self->dev);
	ASSERT_EQ(0, dev_reset(&self->dev));
	check_after_reset(_metadata, &self->dev);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(N / 2, now(&self->dev, pages_cleaned));
	EXPECT_EQ(N / 2, now(&self->dev, store_write_pages));
	EXPECT_STREQ("", dev_books(&self->dev));
	ASSERT_EQ(0, dev_reset(&self->dev));
	EXPECT_EQ(0, now(&self->dev, pages_cleaned));
	EXPECT_EQ(0, now(&self->dev, pages_dirtied));
}

TEST_F(show, reset_by_debugfs)
{
	char *path = path_of(&self->dev, DEBUGFS_DIR, "reset");

	use(&self->dev);
	EXPECT_EQ(-EINVAL, file_write(path, "0\n"));
	EXPECT_EQ(-EINVAL, file_write(path, "2\n"));
	EXPECT_EQ(-EINVAL, file_write(path, "one\n"));
	EXPECT_EQ(PAGES, now(&self->dev, pages_added) - 0);
	EXPECT_EQ(N + N / 2, now(&self->dev, pages_dirtied));
	self->dev.was_reset = true;
	ASSERT_EQ(0, file_write(path, "1\n"));
	check_after_reset(_metadata, &self->dev);
}

/* debugfs keeps the directory until its readers are done; a late reader gets an error, no more. */
TEST_F(show, files_go_with_the_device)
{
	struct scope_dev other;
	char path[160], buf[64];
	int fd;

	dev_create(&other, variant->store, N * self->dev.page, 0);
	snprintf(path, sizeof(path), "%s", path_of(&other, DEBUGFS_DIR, "stats"));
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, dev_destroy(&other, false));
	EXPECT_EQ(-1, read(fd, buf, sizeof(buf)));
	close(fd);
	EXPECT_NE(0, access(path, F_OK));
	EXPECT_NE(0, access(path_of(&other, CLASS_DIR, "size"), F_OK));
	EXPECT_NE(0, access(path_of(&other, "/sys/class/bdi", "read_ahead_kb"), F_OK));
	EXPECT_NE(0, access(other.node, F_OK));
}

/* The device that the module makes itself. */
TEST(first_device)
{
	long mb = file_number(MODULE_DIR "/parameters/size_mb");
	int fd;

	NEED_DEVICES();
	if (file_number(MODULE_DIR "/parameters/devices") < 1)
		SKIP(return, "the module was loaded with devices=0");
	fd = open("/dev/mmapscope0", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(mb << 20, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(mb << 20, file_number(CLASS_DIR "/mmapscope0/size"));
	EXPECT_EQ(0, access(DEBUGFS_DIR "/mmapscope0/stats", R_OK));
	close(fd);
}

SCOPE_MAIN
