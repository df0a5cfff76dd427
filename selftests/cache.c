// SPDX-License-Identifier: GPL-2.0
/* The page cache is the kernel's own: its tools see it, fill it and empty it. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	1024
#define N	32

#ifndef __NR_cachestat
#define __NR_cachestat	451
#endif

DEVICE_FIXTURE(cache, PAGES);

static long advise(struct scope_dev *d, long first, long n, int advice)
{
	return posix_fadvise(d->fd, first * d->page, n * d->page, advice);
}

/*
 * Pages in another CPU's batch for the LRU are not dropped, on kernels whose drop_caches does not
 * empty the batches; compaction does.
 */
static int drop_caches(void)
{
	file_write("/proc/sys/vm/compact_memory", "1");
	return file_write("/proc/sys/vm/drop_caches", "1");
}

static bool drop_caches_until(struct scope_dev *d, long left)
{
	return wait_for(drop_caches() || now(d, pages_cached) == left, 10000) &&
	       now(d, pages_cached) == left;
}

TEST_F(cache, mincore_agrees)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	unsigned char vec[PAGES];
	long i;

	for (i = 0; i < PAGES; i += 3)
		touch_pages(p + i * self->dev.page, 1);
	ASSERT_EQ(0, mincore(p, PAGES * self->dev.page, vec));
	for (i = 0; i < PAGES; i++)
		if ((vec[i] & 1) != (i % 3 == 0))
			break;
	EXPECT_EQ(PAGES, i);
	EXPECT_EQ((PAGES + 2) / 3, now(&self->dev, pages_cached));
}

TEST_F(cache, drop_caches_drops_clean_pages)
{
	dev_fill(&self->dev, 0, PAGES, 1);
	ASSERT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 1));
	EXPECT_EQ(PAGES, now(&self->dev, pages_cached));
	EXPECT_TRUE(drop_caches_until(&self->dev, 0));
	EXPECT_EQ(PAGES, moved(&self->dev, pages_evicted));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 1));
}

TEST_F(cache, drop_caches_keeps_dirty_and_mapped_pages)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ | PROT_WRITE);
	char byte;

	touch_pages(p, N);
	ASSERT_EQ(1, pwrite(self->dev.fd, "d", 1, N * self->dev.page));
	ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, (N + 1) * self->dev.page));
	EXPECT_TRUE(drop_caches_until(&self->dev, N + 1));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	stats_mark(&self->dev);
	touch_pages(p, N);
	EXPECT_EQ(0, moved(&self->dev, fault_read));
}

TEST_F(cache, willneed_reads_the_range)
{
	dev_fill(&self->dev, 0, PAGES, 2);
	dev_readahead(&self->dev, N);
	stats_mark(&self->dev);
	ASSERT_EQ(0, advise(&self->dev, 8, N, POSIX_FADV_WILLNEED));
	EXPECT_EQ(N, now(&self->dev, pages_cached));
	EXPECT_TRUE(wait_for(dev_mincore(&self->dev, 8, N) == N, 5000));
	EXPECT_EQ(N, moved(&self->dev, readahead_pages));
	EXPECT_EQ(-1, dev_differs(&self->dev, 8, N, 2));
	EXPECT_EQ(N, moved(&self->dev, store_read_pages));
	/* Again: nothing to do. */
	ASSERT_EQ(0, advise(&self->dev, 8, N, POSIX_FADV_WILLNEED));
	EXPECT_EQ(N, moved(&self->dev, store_read_pages));
}

TEST_F(cache, willneed_beyond_the_end)
{
	dev_readahead(&self->dev, N);
	stats_mark(&self->dev);
	ASSERT_EQ(0, advise(&self->dev, PAGES - 2, 10, POSIX_FADV_WILLNEED));
	ASSERT_EQ(0, advise(&self->dev, PAGES + 2, 10, POSIX_FADV_WILLNEED));
	EXPECT_EQ(2, moved(&self->dev, pages_added));
}

TEST_F(cache, dontneed_drops_clean_pages)
{
	dev_readahead(&self->dev, 2 * N);
	ASSERT_EQ(0, advise(&self->dev, 0, 2 * N, POSIX_FADV_WILLNEED));
	EXPECT_TRUE(wait_for(!advise(&self->dev, 0, N, POSIX_FADV_DONTNEED) &&
			     now(&self->dev, pages_cached) == N, 5000));
	EXPECT_EQ(0, dev_mincore(&self->dev, 0, N));
}

/* Starts to write what is dirty; a later call finds it clean. */
TEST_F(cache, dontneed_writes_dirty_pages)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ | PROT_WRITE);

	store_pages(p, N, 3);
	dev_unmap(&self->dev, p);
	EXPECT_TRUE(wait_for(!advise(&self->dev, 0, 0, POSIX_FADV_DONTNEED) &&
			     !now(&self->dev, pages_cached), 5000));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	p = dev_map(&self->dev, 0, N, PROT_READ);
	EXPECT_EQ(3, p[self->dev.page]);
}

TEST_F(cache, random_reads_only_what_is_asked)
{
	char byte;
	int i;

	ASSERT_EQ(0, advise(&self->dev, 0, 0, POSIX_FADV_RANDOM));
	for (i = 0; i < N; i++)
		ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, i * 7 * self->dev.page));
	EXPECT_EQ(N, moved(&self->dev, pages_added));
	EXPECT_EQ(N, moved(&self->dev, store_read_pages));
}

/* The doubled window of SEQUENTIAL needs fewer requests for the same pages. */
TEST_F(cache, sequential_reads_further_ahead)
{
	char *buf = malloc(self->dev.page);
	long ops[2];
	int i, j;

	for (i = 0; i < 2; i++) {
		dev_readahead(&self->dev, N);
		ASSERT_EQ(0, advise(&self->dev, 0, 0, i ? POSIX_FADV_SEQUENTIAL :
							  POSIX_FADV_NORMAL));
		stats_mark(&self->dev);
		for (j = 0; j < PAGES; j++)
			ASSERT_EQ(self->dev.page, pread(self->dev.fd, buf, self->dev.page,
							j * self->dev.page));
		EXPECT_EQ(PAGES, moved(&self->dev, store_read_pages));
		ops[i] = moved(&self->dev, store_read_ops);
		dev_evict(&self->dev);
	}
	EXPECT_LT(ops[1], ops[0]);
	EXPECT_GE(PAGES / 8, ops[0]);
	free(buf);
}

TEST_F(cache, other_advice)
{
	EXPECT_EQ(0, advise(&self->dev, 0, 0, POSIX_FADV_NOREUSE));
	EXPECT_EQ(0, advise(&self->dev, 0, 0, POSIX_FADV_NORMAL));
	EXPECT_EQ(EINVAL, advise(&self->dev, 0, 0, 99));
	EXPECT_EQ(EINVAL, posix_fadvise(self->dev.fd, 0, -1, POSIX_FADV_NORMAL));
}

TEST_F(cache, evict_drops_and_counts)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	struct mmapscope_evict evict;

	dev_fill(&self->dev, 0, PAGES, 3);
	touch_pages(p, PAGES);
	stats_mark(&self->dev);
	ASSERT_EQ(0, dev_evict_ioctl(self->dev.fd, N * self->dev.page, N * self->dev.page, 0,
				     &evict));
	EXPECT_EQ(N, (long)(evict.evicted + evict.remaining));
	EXPECT_EQ((long)evict.evicted, moved(&self->dev, pages_evicted));
	EXPECT_EQ((long)evict.remaining, dev_mincore(&self->dev, N, N));
	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	dev_evict(&self->dev);
	stats_mark(&self->dev);
	EXPECT_EQ(-1, page_differs(p, self->dev.page, 0, 3));
	EXPECT_EQ(1, moved(&self->dev, fault_major));
}

TEST_F(cache, evict_writes_dirty_pages_first)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ | PROT_WRITE);

	store_pages(p, N, 6);
	dev_evict(&self->dev);
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(6, p[(N - 1) * self->dev.page]);
}

TEST_F(cache, evict_no_write_leaves_dirty_pages)
{
	char *p = dev_map_random(&self->dev, 0, 2 * N, PROT_READ | PROT_WRITE);
	struct mmapscope_evict evict = { 0 };

	store_pages(p, N, 6);
	touch_pages(p + N * self->dev.page, N);
	/* Without writing nothing drains the batches of other CPUs: reading does, in time. */
	EXPECT_TRUE(wait_for(dev_evict_ioctl(self->dev.fd, 0, 0, MMAPSCOPE_EVICT_NO_WRITE,
					     &evict) ||
			     evict.remaining == N || drop_caches_until(&self->dev, N), 5000));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	EXPECT_EQ(N, now(&self->dev, pages_cached));
	EXPECT_EQ(0, stats_moved_wb(&self->dev));
	EXPECT_EQ(6, *p);
}

TEST_F(cache, evict_leaves_locked_pages)
{
	char *p = dev_map_random(&self->dev, 0, 2 * N, PROT_READ);
	struct mmapscope_evict evict = { 0 };

	touch_pages(p, 2 * N);
	ASSERT_EQ(0, mlock(p, N * self->dev.page));
	EXPECT_TRUE(wait_for(dev_evict_ioctl(self->dev.fd, 0, 0, 0, &evict) ||
			     now(&self->dev, pages_cached) == N, 5000));
	EXPECT_EQ(N, (long)evict.remaining);
	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	ASSERT_EQ(0, munlock(p, N * self->dev.page));
	dev_evict(&self->dev);
}

static void run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		fatal("CPU %d: %m", cpu);
}

/*
 * What a process had locked into memory keeps the mark for some time after its death: the kernel
 * takes it away in batches for each CPU, and evicting must get along with that.
 */
TEST_F(cache, evict_after_a_locker_died)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ);
	int status = -1, cpus;
	pid_t pid;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	/* Where this process is, where the other one locks, and where it dies. */
	for (cpus = 0; cpus < 8; cpus++) {
		run_on(cpus & 1);
		pid = fork();
		if (!pid) {
			run_on(cpus >> 1 & 1);
			if (mlock(p, 3 * self->dev.page))
				_exit(1);
			run_on(cpus >> 2 & 1);
			raise(SIGKILL);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(3, now(&self->dev, pages_cached));
		dev_evict(&self->dev);
	}
}

TEST_F(cache, evict_needs_no_write_permission)
{
	int fd = dev_open(&self->dev, O_RDONLY);

	EXPECT_EQ(0, dev_evict_ioctl(fd, 0, 0, 0, NULL));
	close(fd);
}

TEST_F(cache, cachestat_agrees)
{
	struct {
		__u64 off, len;
	} range = { 0, 0 };
	struct {
		__u64 cache, dirty, writeback, evicted, recently;
	} stat;
	char *p;

	if (syscall(__NR_cachestat, -1, &range, &stat, 0) && errno == ENOSYS)
		SKIP(return, "this kernel has no cachestat(2)");
	p = dev_map_random(&self->dev, 0, 2 * N, PROT_READ | PROT_WRITE);
	touch_pages(p, 2 * N);
	store_pages(p, N, 1);
	ASSERT_EQ(0, syscall(__NR_cachestat, self->dev.fd, &range, &stat, 0));
	EXPECT_EQ(2 * N, (long)stat.cache);
	EXPECT_EQ(N, (long)stat.dirty);
}

SCOPE_MAIN
