// SPDX-License-Identifier: GPL-2.0
/*
 * O_DIRECT of another file into and out of a mapping: the other file's driver reads and writes the
 * pages of our cache themselves, which it has pinned.  SCOPE_DIRECT names the file, or a block
 * device whose contents do not matter; /dev/ram0 by default.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256
#define N	32
#define RW	(PROT_READ | PROT_WRITE)

/* The first pages of the other driver's file. */
static void fill_file(int file, long page, __u64 gen)
{
	char *buf = aligned_alloc(page, page);
	long i;

	for (i = 0; i < N; i++) {
		page_fill(buf, page, i, gen);
		if (pwrite(file, buf, page, i * page) != page)
			fatal("write with O_DIRECT: %m");
	}
	free(buf);
}

FIXTURE(direct) {
	struct scope_dev dev;
	int file;
};

FIXTURE_VARIANT(direct) {
	const char *store;
};

STORE_VARIANT(direct, ram);
STORE_VARIANT(direct, ext4);
STORE_VARIANT(direct, tmpfs);
STORE_VARIANT(direct, block);

FIXTURE_SETUP(direct)
{
	const char *path = getenv("SCOPE_DIRECT");
	long page = sysconf(_SC_PAGESIZE);

	NEED_DEVICES();
	NEED_STORE(variant->store);
	if (!path)
		path = "/dev/ram0";
	self->file = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (self->file < 0)
		SKIP_SETUP("cannot open %s with O_DIRECT: %s; name a file in SCOPE_DIRECT", path,
			   strerror(errno));
	vm_quiet();
	dev_create(&self->dev, variant->store, PAGES * page, 0);
	fill_file(self->file, page, 77);
}

FIXTURE_TEARDOWN(direct)
{
	close(self->file);
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

/* The device holds the file's pages, in memory and in the store. */
static void check_arrived(struct __test_metadata *_metadata, FIXTURE_DATA(direct) *self)
{
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 77));
	/* What was cleaned while it arrived, the kernel makes dirty again, a moment later. */
	EXPECT_TRUE(wait_for(!fsync(self->dev.fd) && !now(&self->dev, pages_dirty), 5000));
	dev_evict(&self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 77));
}

TEST_F(direct, read_into_cold_mapping)
{
	char *p = dev_map_random(&self->dev, 0, N, RW);

	ASSERT_EQ(N * self->dev.page, pread(self->file, p, N * self->dev.page, 0));
	EXPECT_EQ(N, moved(&self->dev, mkwrite));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	check_arrived(_metadata, self);
}

TEST_F(direct, read_into_clean_mapping)
{
	char *p = dev_map_random(&self->dev, 0, N, RW);

	dev_fill(&self->dev, 0, N, 1);
	touch_pages(p, N);
	ASSERT_EQ(N * self->dev.page, pread(self->file, p, N * self->dev.page, 0));
	check_arrived(_metadata, self);
}

TEST_F(direct, read_into_dirty_mapping)
{
	char *p = dev_map_random(&self->dev, 0, N, RW);

	store_pages(p, N, 5);
	ASSERT_EQ(N * self->dev.page, pread(self->file, p, N * self->dev.page, 0));
	check_arrived(_metadata, self);
}

TEST_F(direct, read_into_private_mapping)
{
	char *p = dev_map_flags(&self->dev, 0, N, RW, MAP_PRIVATE);

	ASSERT_EQ(N * self->dev.page, pread(self->file, p, N * self->dev.page, 0));
	EXPECT_EQ(-1, page_differs(p, self->dev.page, 0, 77));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 0));
}

TEST_F(direct, read_where_stores_are_forbidden)
{
	char *p = dev_map(&self->dev, 0, 1, PROT_READ);
	char *end = dev_map(&self->dev, PAGES - 1, 2, RW);

	EXPECT_EQ(-1, pread(self->file, p, self->dev.page, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(self->file, end + self->dev.page, self->dev.page, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

static void write_and_compare(struct __test_metadata *_metadata, FIXTURE_DATA(direct) *self,
			      const char *p)
{
	long page = self->dev.page, i;
	char *buf = aligned_alloc(page, page);

	ASSERT_EQ(N * page, pwrite(self->file, p, N * page, 0));
	for (i = 0; i < N; i++) {
		ASSERT_EQ(page, pread(self->file, buf, page, i * page));
		EXPECT_EQ(-1, page_differs(buf, page, i, 3));
	}
	free(buf);
}

TEST_F(direct, write_from_cold_mapping)
{
	dev_fill(&self->dev, 0, N, 3);
	write_and_compare(_metadata, self, dev_map_random(&self->dev, 0, N, PROT_READ));
	EXPECT_EQ(N, moved(&self->dev, fault_major));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(direct, write_from_dirty_mapping)
{
	char *p = dev_map_random(&self->dev, 0, N, RW);
	long i;

	for (i = 0; i < N; i++)
		page_fill(p + i * self->dev.page, self->dev.page, i, 3);
	write_and_compare(_metadata, self, p);
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
}

struct cleaner {
	struct scope_dev *dev;
	volatile bool stop;
	int err;
};

static void *clean(void *arg)
{
	struct cleaner *c = arg;

	while (!c->stop && !c->err) {
		c->err = fsync(c->dev->fd) ? -errno : 0;
		c->err = c->err ?: dev_evict_ioctl(c->dev->fd, 0, 0, 0, NULL);
	}
	return NULL;
}

/*
 * Pages that are pinned and being filled are cleaned under the hands of the other driver.  Each
 * round brings other bytes, so that none of them can stand in for those of another.
 */
TEST_F(direct, read_races_with_writeback_and_evict)
{
	struct cleaner c = { .dev = &self->dev };
	char *p = dev_map_random(&self->dev, 0, N, RW);
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, clean, &c));
	for (i = 99; i >= 0; i--) {
		fill_file(self->file, self->dev.page, 77 + i);
		ASSERT_EQ(N * self->dev.page, pread(self->file, p, N * self->dev.page, 0));
		ASSERT_EQ(-1, dev_differs(&self->dev, 0, N, 77 + i));
	}
	c.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, c.err);
	check_arrived(_metadata, self);
}

SCOPE_MAIN
