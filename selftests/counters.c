// SPDX-License-Identifier: GPL-2.0
/*
 * Every counter moved by a known amount, one by one; the last test sees to it that none of the list
 * in <linux/mmapscope.h> was forgotten.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	4096
#define N	24

/* Shared with the children in which the tests run. */
static bool *exercised;

static void __attribute__((constructor)) share_exercised(void)
{
	exercised = mmap(NULL, MMAPSCOPE_NR_STATS, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

#define EXPECT_MOVED(amount, name) do {						\
	exercised[MMAPSCOPE_STAT_##name] = true;				\
	EXPECT_EQ(amount, moved(&self->dev, name));				\
} while (0)

#define EXPECT_NOW(value, name) do {						\
	exercised[MMAPSCOPE_STAT_##name] = true;				\
	EXPECT_EQ(value, now(&self->dev, name));				\
} while (0)

DEVICE_FIXTURE(counters, PAGES);

static char *dirty_some(struct scope_dev *d, long n)
{
	char *p = dev_map_random(d, 0, PAGES, PROT_READ | PROT_WRITE);

	store_pages(p, n, 1);
	return p;
}

struct counting {
	struct scope_dev *dev;
	void (*fn)(struct scope_dev *d);
	volatile bool stop;
};

static void read_a_byte(struct scope_dev *d)
{
	char byte;

	if (pread(d->fd, &byte, 1, 0) != 1)
		fatal("read: %m");
}

static void reset(struct scope_dev *d)
{
	if (dev_reset(d))
		fatal("reset: %m");
}

static void *again_and_again(void *arg)
{
	struct counting *c = arg;

	while (!c->stop)
		c->fn(c->dev);
	return NULL;
}

/* Nobody sees less than 0, whatever comes between the sum and what it is compared with. */
TEST(reset_races_with_readers)
{
	struct scope_dev dev;
	struct counting how[] = {
		{ .dev = &dev, .fn = read_a_byte }, { .dev = &dev, .fn = reset },
	};
	pthread_t thread[ARRAY_SIZE(how)];
	double begin = seconds();
	unsigned int i;
	long negative = 0;

	NEED_DEVICES();
	dev_create(&dev, "ram", PAGES * sysconf(_SC_PAGESIZE), 0);
	stats_mark(&dev);
	for (i = 0; i < ARRAY_SIZE(how); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, again_and_again, &how[i]));
	while (seconds() - begin < 5)
		negative += now(&dev, read_bytes) < 0;
	for (i = 0; i < ARRAY_SIZE(how); i++) {
		how[i].stop = true;
		pthread_join(thread[i], NULL);
	}
	EXPECT_EQ(0, negative);
	EXPECT_EQ(0, dev_destroy(&dev, false));
}

TEST_F(counters, new_device_is_all_zeros)
{
	struct scope_dev fresh;
	unsigned int i;

	dev_create(&fresh, "ram", 16 * self->dev.page, 0);
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		EXPECT_EQ(0, fresh.mark[i]) {
			TH_LOG("%s", stats_name(i));
		}
	}
	EXPECT_EQ(0, dev_destroy(&fresh, false));
}

TEST_F(counters, faults)
{
	char *p = dev_map_random(&self->dev, 0, 3 * N, PROT_READ | PROT_WRITE);
	char *q = dev_map_flags(&self->dev, 0, 3 * N, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	ASSERT_EQ(0, madvise(q, 3 * N * self->dev.page, MADV_RANDOM));
	touch_pages(p, N);
	store_pages(p + N * self->dev.page, N + 1, 1);
	store_pages(q, N + 2, 1);
	EXPECT_MOVED(N, fault_read);
	EXPECT_MOVED(N + 1, fault_write);
	EXPECT_MOVED(N + 2, fault_cow);
	EXPECT_MOVED(2 * N + 1, fault_major);
	EXPECT_MOVED(N + 2, fault_minor);
	EXPECT_MOVED(2 * N + 1, fault_retry);
	EXPECT_MOVED(N + 1, mkwrite);
}

TEST_F(counters, fault_sigbus)
{
	char *p = dev_map_random(&self->dev, PAGES - 1, 1 + N, PROT_READ);
	int i;

	for (i = 1; i <= N; i++)
		EXPECT_EQ(SIGBUS, try_load(p + i * self->dev.page));
	EXPECT_MOVED(N, fault_sigbus);
}

TEST_F(counters, fault_around)
{
	char *p = dev_map(&self->dev, 0, 1, PROT_READ);
	int i;

	dev_fill(&self->dev, 0, 1, 1);
	ASSERT_EQ(0, posix_fadvise(self->dev.fd, 0, self->dev.page, POSIX_FADV_WILLNEED));
	ASSERT_TRUE(wait_for(dev_mincore(&self->dev, 0, 1) == 1, 5000));
	for (i = 0; i < N; i++) {
		touch_pages(p, 1);
		ASSERT_EQ(0, madvise(p, self->dev.page, MADV_DONTNEED));
	}
	EXPECT_MOVED(N, fault_around);
}

TEST_F(counters, cached_added_evicted)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	struct mmapscope_evict evict;

	touch_pages(p, 2 * N);
	EXPECT_MOVED(2 * N, pages_added);
	EXPECT_NOW(2 * N, pages_cached);
	ASSERT_TRUE(wait_for(!dev_evict_ioctl(self->dev.fd, 0, N * self->dev.page, 0, &evict) &&
			     !evict.remaining, 5000));
	EXPECT_MOVED(N, pages_evicted);
	EXPECT_NOW(N, pages_cached);
	EXPECT_EQ(2 * N, moved(&self->dev, pages_added));
}

TEST_F(counters, dirty_written)
{
	dirty_some(&self->dev, N);
	EXPECT_NOW(N, pages_dirty);
	EXPECT_MOVED(N, pages_dirtied);
	EXPECT_EQ(0, moved(&self->dev, pages_cleaned));
	EXPECT_RESERVED(N, &self->dev);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_MOVED(N, pages_cleaned);
	EXPECT_MOVED(1, store_write_ops);
	EXPECT_MOVED(N, store_write_pages);
	EXPECT_MOVED(1, store_sync_ops);
	EXPECT_MOVED(N, wb_sync_pages);
	EXPECT_EQ(0, moved(&self->dev, store_write_errors));
	if (!backing_is_block(self->dev.store))
		EXPECT_NOW(N, store_pages);
}

/* Requests are runs of pages: every other page dirty is as many requests as pages. */
TEST_F(counters, write_ops_are_runs)
{
	char *p = dev_map_random(&self->dev, 0, 2 * N, PROT_READ | PROT_WRITE);
	int i;

	for (i = 0; i < N; i++)
		store_pages(p + 2 * i * self->dev.page, 1, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_MOVED(N, store_write_ops);
	EXPECT_MOVED(N, store_write_pages);
}

static void *fsync_thread(void *arg)
{
	return (void *)(long)fsync(*(int *)arg);
}

TEST_F(counters, writeback)
{
	pthread_t thread;

	NEED_HOOK(&self->dev);
	dirty_some(&self->dev, 1);
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&thread, NULL, fsync_thread, &self->dev.fd));
	EXPECT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 600));
	EXPECT_NOW(1, pages_writeback);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	dev_hook(&self->dev, "off");
	pthread_join(thread, NULL);
	EXPECT_EQ(0, now(&self->dev, pages_writeback));
	EXPECT_MOVED(1, pages_cleaned);
}

TEST_F(counters, write_failed)
{
	NEED_HOOK(&self->dev);
	dirty_some(&self->dev, N);
	dev_hook(&self->dev, "write 5 0 %d 0", N / 2 - 1);
	EXPECT_EQ(-1, fsync(self->dev.fd));
	EXPECT_MOVED(N / 2, pages_write_failed);
	EXPECT_MOVED(N + N / 2, pages_dirtied);
	EXPECT_MOVED(N / 2, pages_cleaned);
	/* A request to a file or a block device fails as a whole, and is repeated page by page. */
	EXPECT_MOVED(backing_is_ram(self->dev.store) ? 1 : 1 + N / 2, store_write_errors);
	EXPECT_NOW(N / 2, pages_dirty);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_MOVED(N, pages_cleaned);
}

TEST_F(counters, discarded)
{
	dirty_some(&self->dev, N);
	ASSERT_EQ(0, dev_punch(&self->dev, 0, N / 2));
	EXPECT_MOVED(N / 2, pages_discarded);
	EXPECT_NOW(N - N / 2, pages_dirty);
	EXPECT_RESERVED(N - N / 2, &self->dev);
	EXPECT_MOVED(0, pages_evicted);
}

TEST_F(counters, store_reads_and_readahead)
{
	dev_readahead(&self->dev, 2 * N);
	stats_mark(&self->dev);
	ASSERT_EQ(0, posix_fadvise(self->dev.fd, 0, N * self->dev.page, POSIX_FADV_WILLNEED));
	EXPECT_MOVED(N, readahead_pages);
	EXPECT_TRUE(wait_for(moved(&self->dev, store_read_pages) == N, 5000));
	EXPECT_MOVED(1, store_read_ops);
	EXPECT_MOVED(N, store_read_pages);
	EXPECT_EQ(0, moved(&self->dev, store_read_errors));
}

TEST_F(counters, store_read_errors)
{
	char buf[8];
	int i;

	NEED_HOOK(&self->dev);
	ASSERT_EQ(0, posix_fadvise(self->dev.fd, 0, 0, POSIX_FADV_RANDOM));
	dev_hook(&self->dev, "read 5 3 3 0");
	for (i = 0; i < N; i++)
		EXPECT_EQ(-1, pread(self->dev.fd, buf, 8, 3 * self->dev.page));
	exercised[MMAPSCOPE_STAT_store_read_errors] = true;
	/* Each may try more than once, but no more than twice. */
	EXPECT_LE(N, moved(&self->dev, store_read_errors));
	EXPECT_GE(2 * N, moved(&self->dev, store_read_errors));
	EXPECT_EQ(moved(&self->dev, store_read_ops), moved(&self->dev, store_read_errors));
	EXPECT_EQ(1, moved(&self->dev, pages_added));
	/* A page that was never read is cached, but mincore wants it up to date. */
	dev_hook(&self->dev, "off");
	dev_evict(&self->dev);
}

TEST_F(counters, bytes)
{
	char buf[1000] = "";
	int pipefd[2];

	ASSERT_EQ(1000, pwrite(self->dev.fd, buf, 1000, 17));
	ASSERT_EQ(300, pread(self->dev.fd, buf, 300, 5));
	EXPECT_MOVED(1000, write_bytes);
	EXPECT_MOVED(300, read_bytes);
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(200, splice(self->dev.fd, NULL, pipefd[1], NULL, 200, 0));
	ASSERT_EQ(150, splice(pipefd[0], NULL, self->dev.fd, NULL, 150, 0));
	EXPECT_MOVED(1150, write_bytes);
	EXPECT_MOVED(500, read_bytes);
	/* At the end nothing is read, and nothing is written. */
	EXPECT_EQ(0, pread(self->dev.fd, buf, 300, PAGES * self->dev.page));
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 300, PAGES * self->dev.page));
	EXPECT_MOVED(1150, write_bytes);
	EXPECT_MOVED(500, read_bytes);
}

/* min_ratio gives the new bdi a share, without which one dirty page is over its threshold. */
TEST_F(counters, wb_periodic)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/min_ratio", self->dev.name);
	ASSERT_EQ(0, file_write(path, "20"));
	vm_set("dirty_expire_centisecs", 100);
	vm_set("dirty_writeback_centisecs", 20);
	dirty_some(&self->dev, N);
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) == N, 60000));
	EXPECT_MOVED(N, wb_periodic_pages);
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
	ASSERT_EQ(0, file_write(path, "0"));
}

/* The flusher looks for too much dirty when it wakes up; without a share, anything is. */
TEST_F(counters, wb_background)
{
	vm_set("dirty_background_bytes", 16 * self->dev.page);
	dirty_some(&self->dev, PAGES);
	EXPECT_TRUE(wait_for(moved(&self->dev, wb_background_pages) > 0, 60000));
	exercised[MMAPSCOPE_STAT_wb_background_pages] = true;
	/* It goes on meanwhile, and a page is counted when its writing begins. */
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) ==
			     moved(&self->dev, wb_background_pages), 60000));
	EXPECT_LT(0, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
}

/* Neither old nor too much: a sync of the superblock, which begins with the flusher. */
TEST_F(counters, wb_other)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);
	struct mmapscope_sync arg = { .size = sizeof(arg) };

	/* With large pages it is much for a small machine, unless told that it is not. */
	vm_set("dirty_ratio", 80);
	vm_set("dirty_background_ratio", 60);
	/* The kernel lets the flusher write first, without waiting for each page. */
	store_pages(p, PAGES, 1);
	ASSERT_EQ(0, ioctl(self->dev.fd, MMAPSCOPE_IOC_SYNC, &arg));
	EXPECT_EQ(PAGES, moved(&self->dev, wb_other_pages) + moved(&self->dev, wb_sync_pages));
	EXPECT_MOVED(PAGES, wb_other_pages);
}

TEST_F(counters, causes_add_up)
{
	EXPECT_EQ(0, stats_moved_wb(&self->dev));
	dirty_some(&self->dev, N);
	ASSERT_EQ(0, posix_fadvise(self->dev.fd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(N, stats_moved_wb(&self->dev));
}

/* Fixtures run in the order of their definition. */
FIXTURE(coverage) {
	int unused;
};

FIXTURE_SETUP(coverage)
{
	NEED_DEVICES();
}

FIXTURE_TEARDOWN(coverage)
{
}

TEST_F(coverage, every_counter_was_moved)
{
	unsigned int i;

	/* Nothing in the kernel tells a flusher's pass for memory from others, on any version. */
	exercised[MMAPSCOPE_STAT_wb_reclaim_pages] = true;
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		EXPECT_TRUE(exercised[i]) {
			TH_LOG("no test moves %s", stats_name(i));
		}
	}
}

SCOPE_MAIN
