// SPDX-License-Identifier: GPL-2.0
/* Every advice of madvise(2) that makes sense on a mapped device, and those that are refused. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	512
#define N	32

#ifndef MADV_COLD
#define MADV_COLD		20
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

DEVICE_FIXTURE(advice, PAGES);

static char *map_filled(struct scope_dev *d, long n, int prot)
{
	dev_fill(d, 0, n, 1);
	return dev_map(d, 0, n, prot);
}

static long differs(struct scope_dev *d, const char *p, long n)
{
	long i;

	for (i = 0; i < n; i++)
		if (page_differs(p + i * d->page, d->page, i, 1) >= 0)
			return i;
	return -1;
}

TEST_F(advice, random_reads_exactly_what_is_touched)
{
	char *p = map_filled(&self->dev, PAGES, PROT_READ);
	int i;

	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_RANDOM));
	for (i = 0; i < N; i++)
		touch_pages(p + i * 11 * self->dev.page, 1);
	EXPECT_EQ(N, moved(&self->dev, pages_added));
	EXPECT_EQ(N, moved(&self->dev, fault_major));
	EXPECT_EQ(0, moved(&self->dev, readahead_pages));
}

TEST_F(advice, normal_reads_around)
{
	char *p = map_filled(&self->dev, PAGES, PROT_READ);

	dev_readahead(&self->dev, N);
	dev_unmap(&self->dev, p);
	p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_NORMAL));
	stats_mark(&self->dev);
	touch_pages(p + 4 * N * self->dev.page, 1);
	EXPECT_EQ(1, moved(&self->dev, fault_major));
	EXPECT_EQ(N, moved(&self->dev, pages_added));
	EXPECT_EQ(N, moved(&self->dev, readahead_pages));
}

TEST_F(advice, sequential_reads_ahead_only)
{
	char *p = map_filled(&self->dev, PAGES, PROT_READ);
	long at = 4 * N;

	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_SEQUENTIAL));
	touch_pages(p + at * self->dev.page, 1);
	EXPECT_EQ(0, dev_mincore(&self->dev, 0, at));
	/* The fault has waited for its own page only. */
	EXPECT_TRUE(wait_for(dev_mincore(&self->dev, at, PAGES - at) > 1, 5000));
	EXPECT_EQ(-1, differs(&self->dev, p, PAGES));
	EXPECT_GE(PAGES / 4, moved(&self->dev, fault_major));
}

TEST_F(advice, willneed_loads_without_faults)
{
	char *p = map_filled(&self->dev, N, PROT_READ);

	dev_readahead(&self->dev, N);
	dev_unmap(&self->dev, p);
	p = dev_map(&self->dev, 0, N, PROT_READ);
	stats_mark(&self->dev);
	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_WILLNEED));
	EXPECT_EQ(N, now(&self->dev, pages_cached));
	EXPECT_EQ(0, moved(&self->dev, fault_read) + moved(&self->dev, fault_around));
	EXPECT_EQ(-1, differs(&self->dev, p, N));
	EXPECT_EQ(0, moved(&self->dev, fault_major));
}

TEST_F(advice, dontneed_drops_the_page_table_only)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ | PROT_WRITE);

	store_pages(p, N, 4);
	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_DONTNEED));
	EXPECT_EQ(0, smaps_kb(p, "Rss"));
	EXPECT_EQ(N, now(&self->dev, pages_cached));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	stats_mark(&self->dev);
	EXPECT_EQ(4, p[(N - 1) * self->dev.page]);
	EXPECT_EQ(1, moved(&self->dev, fault_minor));
	EXPECT_EQ(0, moved(&self->dev, pages_added));
}

TEST_F(advice, dontneed_drops_private_copies)
{
	char *p = dev_map_flags(&self->dev, 0, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	ASSERT_EQ(2, pwrite(self->dev.fd, "ab", 2, 0));
	*p = 'x';
	EXPECT_EQ('x', *p);
	ASSERT_EQ(0, madvise(p, self->dev.page, MADV_DONTNEED));
	EXPECT_EQ('a', *p);
}

TEST_F(advice, cold_keeps_everything)
{
	char *p;

	/* Readahead of what comes next would be read, and counted, at any time. */
	dev_fill(&self->dev, 0, N, 1);
	p = dev_map_random(&self->dev, 0, N, PROT_READ | PROT_WRITE);
	touch_pages(p, N);
	if (madvise(p, N * self->dev.page, MADV_COLD) && errno == EINVAL)
		SKIP(return, "this kernel has no MADV_COLD");
	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	stats_mark(&self->dev);
	EXPECT_EQ(-1, differs(&self->dev, p, N));
	EXPECT_EQ(0, moved(&self->dev, store_read_pages));
}

TEST_F(advice, pageout_drops_clean_pages)
{
	char *p = map_filled(&self->dev, N, PROT_READ);

	NEED_SINGLE_PAGES(&self->dev);
	ASSERT_EQ(-1, differs(&self->dev, p, N));
	/* A page in another CPU's batch for the LRU is passed over; compaction empties these. */
	EXPECT_TRUE(wait_for(file_write("/proc/sys/vm/compact_memory", "1") ||
			     madvise(p, N * self->dev.page, MADV_PAGEOUT) ||
			     dev_mincore(&self->dev, 0, N) == 0, 10000));
	EXPECT_EQ(0, dev_mincore(&self->dev, 0, N));
	EXPECT_EQ(0, smaps_kb(p, "Rss"));
	EXPECT_EQ(-1, differs(&self->dev, p, N));
}

TEST_F(advice, pageout_loses_no_dirty_page)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);
	int i;

	for (i = 0; i < N; i++)
		((volatile char *)p)[i * self->dev.page] = p[i * self->dev.page];
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_PAGEOUT));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(N, now(&self->dev, pages_dirty) + moved(&self->dev, pages_cleaned));
	EXPECT_EQ(-1, differs(&self->dev, p, N));
}

TEST_F(advice, populate_read_maps_all)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);

	if (madvise(p, N * self->dev.page, MADV_POPULATE_READ) && errno == EINVAL)
		SKIP(return, "this kernel has no MADV_POPULATE_READ");
	EXPECT_EQ(N * self->dev.page / 1024, smaps_kb(p, "Rss"));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	stats_mark(&self->dev);
	EXPECT_EQ(-1, differs(&self->dev, p, N));
	EXPECT_EQ(0, moved(&self->dev, fault_read) + moved(&self->dev, fault_around));
}

TEST_F(advice, populate_write_dirties_all)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);

	if (madvise(p, N * self->dev.page, MADV_POPULATE_WRITE) && errno == EINVAL)
		SKIP(return, "this kernel has no MADV_POPULATE_WRITE");
	EXPECT_EQ(N, moved(&self->dev, mkwrite));
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	stats_mark(&self->dev);
	store_pages(p, N, 1);
	EXPECT_EQ(0, moved(&self->dev, mkwrite) + moved(&self->dev, fault_write));
}

TEST_F(advice, populate_beyond_the_end_fails)
{
	char *p = dev_map(&self->dev, PAGES - 1, 2, PROT_READ);

	EXPECT_EQ(-1, madvise(p, 2 * self->dev.page, MADV_POPULATE_READ));
	EXPECT_TRUE(errno == EFAULT || errno == EINVAL);
	EXPECT_EQ(0, try_load(p));
}

static int load_first(void *arg)
{
	touch_pages(arg, 1);
	return 0;
}

TEST_F(advice, dontfork_and_dofork)
{
	char *p = dev_map(&self->dev, 0, N, PROT_READ);

	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_DONTFORK));
	EXPECT_EQ(128 + SIGSEGV, in_child(load_first, p));
	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_DOFORK));
	EXPECT_EQ(0, in_child(load_first, p));
}

TEST_F(advice, dontdump_and_dodump)
{
	char *p = dev_map(&self->dev, 0, N, PROT_READ);

	EXPECT_FALSE(smaps_flag(p, "dd"));
	ASSERT_EQ(0, madvise(p, N * self->dev.page, MADV_DONTDUMP));
	EXPECT_TRUE(smaps_flag(p, "dd"));
	EXPECT_EQ(0, madvise(p, N * self->dev.page, MADV_DODUMP));
	EXPECT_FALSE(smaps_flag(p, "dd"));
}

TEST_F(advice, hugepage_and_nohugepage)
{
	char *p = map_filled(&self->dev, PAGES, PROT_READ | PROT_WRITE);

	if (madvise(p, PAGES * self->dev.page, MADV_HUGEPAGE) && errno == EINVAL)
		SKIP(return, "this kernel has no transparent huge pages");
	EXPECT_TRUE(smaps_flag(p, "hg"));
	EXPECT_EQ(-1, differs(&self->dev, p, PAGES));
	EXPECT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_NOHUGEPAGE));
	EXPECT_TRUE(smaps_flag(p, "nh"));
	dev_evict(&self->dev);
	EXPECT_EQ(-1, differs(&self->dev, p, PAGES));
}

/* KSM leaves shared file mappings alone: accepted without effect, or EINVAL without KSM. */
TEST_F(advice, mergeable_changes_nothing)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);

	if (madvise(p, N * self->dev.page, MADV_MERGEABLE))
		EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, differs(&self->dev, p, N));
	if (madvise(p, N * self->dev.page, MADV_UNMERGEABLE))
		EXPECT_EQ(EINVAL, errno);
}

/* The system call refuses a character device: there is an ioctl instead. */
TEST_F(advice, remove_is_refused)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);

	EXPECT_EQ(-1, madvise(p, N * self->dev.page, MADV_REMOVE));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, differs(&self->dev, p, N));
	EXPECT_HOLDS(N, &self->dev);
}

TEST_F(advice, free_and_wipeonfork_are_refused)
{
	char *p = map_filled(&self->dev, N, PROT_READ | PROT_WRITE);

	EXPECT_EQ(-1, madvise(p, N * self->dev.page, MADV_FREE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, madvise(p, N * self->dev.page, MADV_WIPEONFORK));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, differs(&self->dev, p, N));
}

TEST_F(advice, collapse_changes_no_data)
{
	char *p = map_filled(&self->dev, PAGES, PROT_READ);

	if (madvise(p, PAGES * self->dev.page, MADV_COLLAPSE))
		EXPECT_TRUE(errno == EINVAL || errno == EAGAIN || errno == ENOMEM);
	EXPECT_EQ(-1, differs(&self->dev, p, PAGES));
}

SCOPE_MAIN
