// SPDX-License-Identifier: GPL-2.0
/*
 * Who makes a page dirty, who makes it clean, and what survives: msync, fsync, fork, exit, munmap,
 * two processes, punch, stores during writeback.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	512
#define N	16

DEVICE_FIXTURE(dirty, PAGES);
STORE_VARIANT(dirty, vfat);

static char *map_rw(struct scope_dev *d, long first, long n)
{
	return dev_map_random(d, first, n, PROT_READ | PROT_WRITE);
}

TEST_F(dirty, store_is_not_written_at_once)
{
	store_pages(map_rw(&self->dev, 0, N), N, 1);
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	EXPECT_EQ(N, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, moved(&self->dev, store_write_pages));
}

TEST_F(dirty, load_dirties_nothing)
{
	touch_pages(map_rw(&self->dev, 0, N), N);
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_HOLDS(0, &self->dev);
}

TEST_F(dirty, msync_sync_writes_and_flushes)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 7);
	ASSERT_EQ(0, msync(p, N * self->dev.page, MS_SYNC));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
	dev_evict(&self->dev);
	EXPECT_EQ(7, p[(N - 1) * self->dev.page]);
	EXPECT_EQ(1, moved(&self->dev, fault_read));
}

TEST_F(dirty, msync_async_forces_nothing)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 1);
	ASSERT_EQ(0, msync(p, N * self->dev.page, MS_ASYNC));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	EXPECT_EQ(0, moved(&self->dev, store_write_pages));
}

TEST_F(dirty, msync_writes_its_range_only)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 1);
	ASSERT_EQ(0, msync(p + 2 * self->dev.page, 3 * self->dev.page, MS_SYNC));
	EXPECT_EQ(N - 3, now(&self->dev, pages_dirty));
	EXPECT_EQ(3, moved(&self->dev, store_write_pages));
}

TEST_F(dirty, msync_invalidate_keeps_stores)
{
	char *p = map_rw(&self->dev, 0, 1);

	*p = 9;
	ASSERT_EQ(0, msync(p, self->dev.page, MS_SYNC | MS_INVALIDATE));
	EXPECT_EQ(9, *p);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(dirty, fsync_and_fdatasync)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 1);
	ASSERT_EQ(0, fdatasync(self->dev.fd));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	store_pages(p, N, 2);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(2 * N, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(2, moved(&self->dev, store_sync_ops));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(2 * N, moved(&self->dev, store_write_pages));
}

TEST_F(dirty, munmap_keeps_it)
{
	char *p = map_rw(&self->dev, 0, N);
	char byte = 0;

	store_pages(p, N, 5);
	dev_unmap(&self->dev, p);
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, self->dev.page));
	EXPECT_EQ(5, byte);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
}

static int store_and_die(void *arg)
{
	store_pages(arg, N, 6);
	raise(SIGKILL);
	return 0;
}

TEST_F(dirty, killed_process_loses_nothing)
{
	char *p = map_rw(&self->dev, 0, N);

	EXPECT_EQ(128 + SIGKILL, in_child(store_and_die, p));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	EXPECT_EQ(6, p[self->dev.page]);
}

static int store_more(void *arg)
{
	store_pages(arg, N, 8);
	return 0;
}

/* The child has page tables of its own: it is notified again, but the pages are dirty already. */
TEST_F(dirty, fork_shares_dirty_pages)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 1);
	stats_mark(&self->dev);
	EXPECT_EQ(0, in_child(store_more, p));
	EXPECT_EQ(8, *p);
	EXPECT_EQ(N, moved(&self->dev, mkwrite));
	EXPECT_EQ(N, moved(&self->dev, fault_write));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
}

struct other {
	struct scope_dev *dev;
	char expect;
};

static int open_and_add(void *arg)
{
	struct other *o = arg;
	int fd = dev_open(o->dev, O_RDWR);
	char *p = mmap(NULL, o->dev->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED || *p != o->expect)
		return 1;
	*p += 1;
	return msync(p, o->dev->page, MS_SYNC) ? 2 : 0;
}

TEST_F(dirty, two_processes_see_each_other)
{
	struct other o = { .dev = &self->dev, .expect = 40 };
	char *p = map_rw(&self->dev, 0, 1);

	*p = 40;
	EXPECT_EQ(0, in_child(open_and_add, &o));
	EXPECT_EQ(41, *p);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	/* The msync of the other process also made our page-table entry read-only. */
	stats_mark(&self->dev);
	*p = 42;
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
}

static void *fsync_thread(void *arg)
{
	return (void *)(long)fsync(*(int *)arg);
}

struct storer {
	char *at;
	char value;
	volatile bool done;
};

static void *store_thread(void *arg)
{
	struct storer *s = arg;

	*(volatile char *)s->at = s->value;
	s->done = true;
	return NULL;
}

/* Whether the store waits for the writeback is the device's affair; that it is counted is not. */
TEST_F(dirty, store_under_writeback_is_written_next_time)
{
	struct storer s = { .value = 2 };
	pthread_t sync_id, store_id;

	NEED_HOOK(&self->dev);
	s.at = map_rw(&self->dev, 0, 1);
	*s.at = 1;
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&sync_id, NULL, fsync_thread, &self->dev.fd));
	EXPECT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 600));
	ASSERT_EQ(0, pthread_create(&store_id, NULL, store_thread, &s));
	pthread_join(sync_id, NULL);
	pthread_join(store_id, NULL);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(2, moved(&self->dev, pages_cleaned));
	dev_evict(&self->dev);
	EXPECT_EQ(2, *s.at);
}

TEST_F(dirty, write_under_writeback_is_written_next_time)
{
	pthread_t sync_id;
	char two = 2, byte;

	NEED_HOOK(&self->dev);
	*map_rw(&self->dev, 0, 1) = 1;
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&sync_id, NULL, fsync_thread, &self->dev.fd));
	EXPECT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 600));
	ASSERT_EQ(1, pwrite(self->dev.fd, &two, 1, 0));
	pthread_join(sync_id, NULL);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, 0));
	EXPECT_EQ(2, byte);
}

TEST_F(dirty, punch_discards)
{
	char *p = map_rw(&self->dev, 0, N);

	store_pages(p, N, 1);
	ASSERT_EQ(0, dev_punch(&self->dev, 0, N / 2));
	EXPECT_EQ(N / 2, moved(&self->dev, pages_discarded));
	EXPECT_EQ(N / 2, now(&self->dev, pages_dirty));
	EXPECT_EQ(0, p[0]);
	EXPECT_EQ(0, p[(N / 2 - 1) * self->dev.page]);
	EXPECT_EQ(1, p[N / 2 * self->dev.page]);
	EXPECT_EQ(0, moved(&self->dev, store_write_pages));
}

/* A punch waits for the writeback: the page was written, and what was stored since is discarded. */
TEST_F(dirty, punch_under_writeback)
{
	pthread_t sync_id;
	char *p;

	NEED_HOOK(&self->dev);
	p = map_rw(&self->dev, 0, 1);
	*p = 1;
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&sync_id, NULL, fsync_thread, &self->dev.fd));
	EXPECT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 600));
	ASSERT_EQ(0, dev_punch(&self->dev, 0, 1));
	pthread_join(sync_id, NULL);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(1, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(0, *p);
	EXPECT_HOLDS(0, &self->dev);
}

TEST_F(dirty, mremap_moves_it)
{
	char *p = map_rw(&self->dev, 0, N);
	char *q;

	store_pages(p, N, 3);
	dev_forget(&self->dev, p);
	q = mremap(p, N * self->dev.page, 2 * N * self->dev.page, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	stats_mark(&self->dev);
	store_pages(q, N, 4);
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	ASSERT_EQ(0, msync(q, N * self->dev.page, MS_SYNC));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	munmap(q, 2 * N * self->dev.page);
	dev_evict(&self->dev);
	EXPECT_EQ(4, *map_rw(&self->dev, 0, 1));
}

TEST_F(dirty, write_and_store_are_one_dirty_page)
{
	char *p = map_rw(&self->dev, 0, 1);

	ASSERT_EQ(3, pwrite(self->dev.fd, "abc", 3, 0));
	p[3] = 'd';
	ASSERT_EQ(1, pwrite(self->dev.fd, "e", 1, 4));
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, memcmp(p, "abcde", 6));
}

TEST_F(dirty, whole_page_write_reads_nothing)
{
	char *buf = calloc(1, self->dev.page);

	ASSERT_EQ(self->dev.page, pwrite(self->dev.fd, buf, self->dev.page, 0));
	EXPECT_EQ(0, moved(&self->dev, store_read_ops));
	ASSERT_EQ(1, pwrite(self->dev.fd, buf, 1, 2 * self->dev.page));
	EXPECT_EQ(1, moved(&self->dev, store_read_pages));
	EXPECT_EQ(2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(2, moved(&self->dev, pages_added));
	free(buf);
}

TEST_F(dirty, private_stores_are_nobodys_business)
{
	char *p = dev_map_flags(&self->dev, 0, N, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	store_pages(p, N, 1);
	ASSERT_EQ(0, msync(p, N * self->dev.page, MS_SYNC));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, moved(&self->dev, mkwrite));
	EXPECT_HOLDS(0, &self->dev);
}

TEST_F(dirty, synchronous_writes_leave_nothing_dirty)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	int fd = dev_open(&self->dev, O_RDWR | O_SYNC);
	int dfd = dev_open(&self->dev, O_RDWR | O_DSYNC);

	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	ASSERT_EQ(1, pwrite(dfd, "x", 1, self->dev.page));
	ASSERT_EQ(1, pwritev2(self->dev.fd, &iov, 1, 2 * self->dev.page, RWF_DSYNC));
	ASSERT_EQ(1, pwritev2(self->dev.fd, &iov, 1, 3 * self->dev.page, RWF_SYNC));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(4, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(4, moved(&self->dev, store_sync_ops));
	close(fd);
	close(dfd);
}

TEST_F(dirty, store_after_close_of_the_descriptor)
{
	char *p = map_rw(&self->dev, 0, 1);

	close(self->dev.fd);
	*p = 1;
	EXPECT_EQ(0, msync(p, self->dev.page, MS_SYNC));
	*p = 2;
	self->dev.fd = dev_open(&self->dev, O_RDWR);
	ASSERT_LE(0, self->dev.fd);
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	EXPECT_EQ(1, moved(&self->dev, pages_cleaned));
}

SCOPE_MAIN
