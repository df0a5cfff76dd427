// SPDX-License-Identifier: GPL-2.0
/*
 * Which way a load or a store takes, and that it is counted once.  MADV_RANDOM keeps readahead and
 * fault-around out, so that every number is exact.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256

DEVICE_FIXTURE(faults, PAGES);

/* Everything that reached ->fault or ->map_pages or ->page_mkwrite. */
static long all_faults(struct scope_dev *d)
{
	return moved(d, fault_read) + moved(d, fault_write) + moved(d, fault_cow) +
	       moved(d, fault_around) + moved(d, mkwrite);
}

/* Loads the cache without a mapping. */
static void warm(struct scope_dev *d)
{
	char *buf = malloc(d->pages * d->page);

	if (pread(d->fd, buf, d->pages * d->page, 0) != d->pages * d->page)
		fatal("pread: %m");
	free(buf);
	stats_mark(d);
}

/* A fault for each of @n; or fewer, where newer kernels map all of a large folio by one. */
#define EXPECT_ONE_EACH(n, faults) do {						\
	if (dev_single_pages(&self->dev)) {					\
		EXPECT_EQ(n, faults);						\
	} else {								\
		EXPECT_GE(n, faults);						\
		EXPECT_LE(1, faults);						\
	}									\
} while (0)

TEST_F(faults, cold_read_is_major)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);

	touch_pages(p + 5 * self->dev.page, 1);
	EXPECT_EQ(1, moved(&self->dev, fault_read));
	EXPECT_EQ(1, moved(&self->dev, fault_major));
	EXPECT_EQ(0, moved(&self->dev, fault_minor));
	EXPECT_EQ(1, moved(&self->dev, pages_added));
	EXPECT_EQ(1, moved(&self->dev, store_read_pages));
	EXPECT_EQ(0, moved(&self->dev, fault_around));
}

TEST_F(faults, cold_read_is_retried_and_counted_once)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);

	touch_pages(p, PAGES);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_retry));
	EXPECT_EQ(PAGES, moved(&self->dev, fault_read));
	EXPECT_EQ(PAGES, moved(&self->dev, fault_major));
}

TEST_F(faults, second_touch_is_free)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);

	touch_pages(p, PAGES);
	stats_mark(&self->dev);
	touch_pages(p, PAGES);
	EXPECT_EQ(0, all_faults(&self->dev));
}

TEST_F(faults, mapping_alone_touches_nothing)
{
	dev_map(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);
	EXPECT_EQ(0, all_faults(&self->dev));
	EXPECT_EQ(0, now(&self->dev, pages_cached));
}

TEST_F(faults, cached_read_is_minor)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);

	warm(&self->dev);
	touch_pages(p, PAGES);
	EXPECT_ONE_EACH(PAGES, moved(&self->dev, fault_read));
	EXPECT_EQ(moved(&self->dev, fault_read), moved(&self->dev, fault_minor));
	EXPECT_EQ(0, moved(&self->dev, fault_major));
	EXPECT_EQ(0, moved(&self->dev, fault_around));
	EXPECT_EQ(0, moved(&self->dev, fault_retry));
}

TEST_F(faults, cached_write_is_minor_and_notified)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);

	warm(&self->dev);
	store_pages(p, PAGES, 1);
	EXPECT_ONE_EACH(PAGES, moved(&self->dev, fault_write));
	EXPECT_EQ(moved(&self->dev, fault_write), moved(&self->dev, fault_minor));
	EXPECT_EQ(0, moved(&self->dev, fault_read));
	EXPECT_EQ(moved(&self->dev, fault_write), moved(&self->dev, mkwrite));
	EXPECT_EQ(PAGES, moved(&self->dev, pages_dirtied));
}

TEST_F(faults, cold_write_is_major_and_notified)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);

	store_pages(p, PAGES, 1);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_write));
	EXPECT_EQ(PAGES, moved(&self->dev, fault_major));
	EXPECT_EQ(PAGES, moved(&self->dev, mkwrite));
}

TEST_F(faults, write_to_mapped_page_is_only_notified)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);

	touch_pages(p, PAGES);
	stats_mark(&self->dev);
	store_pages(p, PAGES, 1);
	EXPECT_EQ(PAGES, moved(&self->dev, mkwrite));
	EXPECT_EQ(PAGES, all_faults(&self->dev));
}

TEST_F(faults, further_stores_are_free)
{
	char *p = dev_map_random(&self->dev, 0, 1, PROT_READ | PROT_WRITE);
	int i;

	for (i = 0; i < 1000; i++)
		store_pages(p, 1, i);
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(1, moved(&self->dev, fault_write));
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
}

TEST_F(faults, store_after_writeback_is_notified_again)
{
	char *p = dev_map_random(&self->dev, 0, 1, PROT_READ | PROT_WRITE);

	store_pages(p, 1, 1);
	ASSERT_EQ(0, msync(p, self->dev.page, MS_SYNC));
	store_pages(p, 1, 2);
	EXPECT_EQ(2, moved(&self->dev, mkwrite));
	EXPECT_EQ(2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, fault_write));
}

TEST_F(faults, two_mappings_are_two_notifications)
{
	char *p = dev_map_random(&self->dev, 0, 1, PROT_READ | PROT_WRITE);
	char *q = dev_map_random(&self->dev, 0, 1, PROT_READ | PROT_WRITE);

	store_pages(p, 1, 1);
	store_pages(q, 1, 2);
	EXPECT_EQ(2, moved(&self->dev, mkwrite));
	EXPECT_EQ(2, moved(&self->dev, fault_write));
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(2, *p);
}

TEST_F(faults, first_touch_private_write_is_cow)
{
	char *p = dev_map_flags(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_RANDOM));
	warm(&self->dev);
	store_pages(p, PAGES, 1);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_cow));
	EXPECT_EQ(PAGES, moved(&self->dev, fault_minor));
	EXPECT_EQ(0, moved(&self->dev, fault_write));
	EXPECT_EQ(0, moved(&self->dev, mkwrite));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
}

TEST_F(faults, cold_private_write_is_major_cow)
{
	char *p = dev_map_flags(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_RANDOM));
	store_pages(p, PAGES, 1);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_cow));
	EXPECT_EQ(PAGES, moved(&self->dev, fault_major));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
}

TEST_F(faults, private_write_after_read_reaches_no_driver)
{
	char *p = dev_map_flags(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	touch_pages(p, PAGES);
	stats_mark(&self->dev);
	store_pages(p, PAGES, 1);
	EXPECT_EQ(0, all_faults(&self->dev));
}

TEST_F(faults, private_copy_leaves_the_object)
{
	char *shared = dev_map(&self->dev, 0, 1, PROT_READ | PROT_WRITE);
	char *copy = dev_map_flags(&self->dev, 0, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	*shared = 1;
	EXPECT_EQ(1, *copy);
	*copy = 2;
	EXPECT_EQ(1, *shared);
	*shared = 3;
	EXPECT_EQ(2, *copy);
	dev_unmap(&self->dev, copy);
	EXPECT_EQ(3, *shared);
}

/* The windows of fault-around are aligned by address; each costs one fault. */
TEST_F(faults, around_maps_the_neighbours)
{
	long bytes = file_number("/sys/kernel/debug/fault_around_bytes");
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);
	unsigned long first = (unsigned long)p, last = first + PAGES * self->dev.page - 1;

	if (bytes <= self->dev.page)
		SKIP(return, "fault-around maps one page only, or its size cannot be read");
	warm(&self->dev);
	touch_pages(p, PAGES);
	EXPECT_ONE_EACH((long)(last / bytes - first / bytes + 1), moved(&self->dev, fault_around));
	EXPECT_EQ(0, moved(&self->dev, fault_read));
}

TEST_F(faults, random_advice_skips_around)
{
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);

	warm(&self->dev);
	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_RANDOM));
	touch_pages(p, 1);
	EXPECT_EQ(1, moved(&self->dev, fault_read));
	EXPECT_EQ(0, moved(&self->dev, fault_around));
	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_NORMAL));
	touch_pages(p + (PAGES - 1) * self->dev.page, 1);
	EXPECT_EQ(1, moved(&self->dev, fault_around));
}

TEST_F(faults, executing_is_a_read)
{
	char *p = mmap(NULL, self->dev.page, PROT_READ | PROT_EXEC, MAP_SHARED, self->dev.fd, 0);

	if (p == MAP_FAILED && errno == EPERM)
		SKIP(return, "/dev is mounted noexec");
	ASSERT_NE(MAP_FAILED, p);
	touch_pages(p, 1);
	EXPECT_EQ(1, moved(&self->dev, fault_read));
	munmap(p, self->dev.page);
}

TEST_F(faults, beyond_the_end_is_sigbus)
{
	char *p = dev_map_random(&self->dev, PAGES - 1, 3, PROT_READ | PROT_WRITE);

	EXPECT_EQ(0, try_load(p));
	stats_mark(&self->dev);
	EXPECT_EQ(SIGBUS, try_load(p + self->dev.page));
	EXPECT_EQ(SIGBUS, try_store(p + 2 * self->dev.page, 1));
	EXPECT_EQ(2, moved(&self->dev, fault_sigbus));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
}

/* getrusage counts what came back after a RETRY as major: the same faults, single-threaded. */
TEST_F(faults, rusage_agrees)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	struct rusage before, cold, warm_end;

	getrusage(RUSAGE_SELF, &before);
	touch_pages(p, PAGES);
	getrusage(RUSAGE_SELF, &cold);
	EXPECT_EQ(moved(&self->dev, fault_major), cold.ru_majflt - before.ru_majflt);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_major));

	ASSERT_EQ(0, madvise(p, PAGES * self->dev.page, MADV_DONTNEED));
	stats_mark(&self->dev);
	getrusage(RUSAGE_SELF, &cold);
	touch_pages(p, PAGES);
	getrusage(RUSAGE_SELF, &warm_end);
	EXPECT_EQ(0, warm_end.ru_majflt - cold.ru_majflt);
	EXPECT_EQ(PAGES, moved(&self->dev, fault_minor));
	/* The process has a few faults of its own. */
	EXPECT_LE(PAGES, warm_end.ru_minflt - cold.ru_minflt);
	EXPECT_GE(PAGES + 16, warm_end.ru_minflt - cold.ru_minflt);
}

TEST_F(faults, sequential_scan_reads_ahead)
{
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);
	long reached;

	touch_pages(p, PAGES);
	reached = moved(&self->dev, fault_major);
	EXPECT_LE(1, reached);
	EXPECT_GE(PAGES / 2, reached);
	EXPECT_EQ(PAGES, moved(&self->dev, pages_added));
	EXPECT_EQ(PAGES, moved(&self->dev, store_read_pages));
	EXPECT_EQ(PAGES, moved(&self->dev, readahead_pages));
	EXPECT_GT(PAGES, moved(&self->dev, store_read_ops));
}

SCOPE_MAIN
