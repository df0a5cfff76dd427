// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios: that they are there, that the counters stay exact in base pages, what splitting one
 * does to the books, and where there is no room for one.  The policy that turns them off.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "largefolio.h"

TEST_F(large, mappings_are_aligned_and_huge)
{
	if (variant->part == PMD) {
		EXPECT_EQ(0, (long)self->p & (self->pmd - 1));
		EXPECT_EQ(FOLIOS * self->pmd >> 10, smaps_kb(self->p, "FilePmdMapped"));
	} else {
		EXPECT_EQ(0, smaps_kb(self->p, "FilePmdMapped"));
	}
	EXPECT_EQ(self->dev.pages, now(&self->dev, pages_cached));
	EXPECT_EQ(self->dev.pages, dev_mincore(&self->dev, 0, self->dev.pages));
}

TEST_F(large, one_byte_dirties_a_folio)
{
	self->p[self->folio + 5] = 2;
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(self->n, moved(&self->dev, pages_dirtied));
	/* Its neighbour is as dirty, and has a page-table entry of its own or not. */
	self->p[self->folio + self->dev.page] = 2;
	EXPECT_EQ(variant->part == PMD ? 1 : 2, moved(&self->dev, mkwrite));
	EXPECT_EQ(self->n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(self->n, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, msync(self->p, FOLIOS * self->folio, MS_SYNC));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(self->n, moved(&self->dev, store_write_pages));
	EXPECT_EQ(self->n, moved(&self->dev, wb_sync_pages));
	EXPECT_EQ(1, moved(&self->dev, store_write_ops));
}

TEST_F(large, evicted_whole_and_read_back)
{
	store_pages(self->p, self->dev.pages, 7);
	dev_evict(&self->dev);
	EXPECT_EQ(self->dev.pages, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(self->dev.pages, moved(&self->dev, pages_evicted));
	EXPECT_EQ(7, self->p[2 * self->folio]);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(large, punch_inside_a_dirty_folio)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;

	store_pages(self->p, 3 * self->n, 5);
	ASSERT_EQ(0, dev_punch(&self->dev, first, n));
	/* The folio was written before, and has left the cache. */
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(2 * self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(self->dev.pages - n, &self->dev);
	EXPECT_EQ(5, self->p[(first - 1) * page]);
	EXPECT_EQ(0, self->p[first * page]);
	EXPECT_EQ(0, self->p[(first + n - 1) * page]);
	EXPECT_EQ(5, self->p[(first + n) * page]);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(3 * self->n, moved(&self->dev, pages_cleaned));
}

TEST_F(large, shrink_across_a_dirty_folio)
{
	long page = self->dev.page, end = self->n + 2;

	store_pages(self->p, 3 * self->n, 5);
	ASSERT_EQ(0, resize(&self->dev, end));
	EXPECT_EQ(end * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_HOLDS(end, &self->dev);
	EXPECT_EQ(self->n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(5, self->p[end * page - 1 - (page - 1)]);
	EXPECT_EQ(SIGBUS, try_load(self->p + end * page));

	ASSERT_EQ(0, resize(&self->dev, self->dev.pages));
	EXPECT_EQ(5, self->p[(end - 1) * page]);
	EXPECT_EQ(0, self->p[end * page]);
	EXPECT_EQ(0, self->p[2 * self->folio]);
}

/* A write that covers a folio reads nothing.  Linux before 6.6 takes it page by page. */
TEST_F(large, write_counts_pages)
{
	long n = self->n;

	dev_evict(&self->dev);
	stats_mark(&self->dev);
	ASSERT_EQ(n, write_pages(&self->dev, n, n));
	EXPECT_EQ(n, now(&self->dev, pages_cached));
	EXPECT_EQ(n, now(&self->dev, pages_dirty));
	EXPECT_EQ(n, moved(&self->dev, pages_added));
	EXPECT_EQ(n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(self->folio, moved(&self->dev, write_bytes));
	EXPECT_EQ(0, moved(&self->dev, mkwrite));
	EXPECT_EQ(0, moved(&self->dev, store_read_pages));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(n, moved(&self->dev, store_write_pages));
	EXPECT_EQ(n, moved(&self->dev, wb_sync_pages));
	if (variant->part == PMD && !backing_is_ram(variant->store) &&
	    moved(&self->dev, store_write_ops) > 1) {
		EXPECT_EQ(n / REQUEST_FOLIOS, moved(&self->dev, store_write_ops));
	} else {
		EXPECT_EQ(1, moved(&self->dev, store_write_ops));
	}
	/* And a folio it is, where the kernel can choose its size. */
	self->p[self->folio] = 2;
	if (variant->part != PMD)
		EXPECT_EQ(2 * n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(-1, dev_differs(&self->dev, n + 1, n - 1, 1));
}

/* Nor larger than its place allows: what is not written is neither cached nor dirty. */
TEST_F(large, write_makes_none_larger_than_itself)
{
	long n = self->n, page = self->dev.page;
	char buf[100] = "";

	dev_evict(&self->dev);
	stats_mark(&self->dev);
	ASSERT_EQ(n + 1, write_pages(&self->dev, n / 2, n + 1));
	EXPECT_EQ(n + 1, moved(&self->dev, pages_added));
	EXPECT_EQ(n + 1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, moved(&self->dev, store_read_pages));
	/* The bytes around a part of a page are read. */
	ASSERT_EQ(sizeof(buf), pwrite(self->dev.fd, buf, sizeof(buf), 2 * n * page + 50));
	EXPECT_EQ(n + 2, moved(&self->dev, pages_added));
	EXPECT_EQ(n + 2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, store_read_pages));
	EXPECT_EQ(n + 2, now(&self->dev, pages_cached));
}

TEST_F(large, none_reaches_beyond_the_end)
{
	long n = self->n, end = 2 * n + 3;

	ASSERT_EQ(0, resize(&self->dev, end));
	self->dev.pages = end;
	dev_evict(&self->dev);
	touch_pages(self->p, end);
	EXPECT_EQ(end, now(&self->dev, pages_cached));
	EXPECT_EQ(SIGBUS, try_load(self->p + end * self->dev.page));
	dev_evict(&self->dev);
	stats_mark(&self->dev);
	EXPECT_EQ(n + 3, write_pages(&self->dev, n, 2 * n));
	EXPECT_EQ(n + 3, now(&self->dev, pages_cached));
	EXPECT_EQ(n + 3, moved(&self->dev, pages_dirtied));
	EXPECT_HOLDS(end, &self->dev);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(n + 3, moved(&self->dev, store_write_pages));
}

/* The limit on the memory of stores: all but @left pages go to @hog. */
static bool leave_room(struct scope_dev *hog, long left)
{
	struct mmapscope_file f = { .size = sizeof(f) };
	long mb = file_number(MODULE_DIR "/parameters/store_limit_mb");
	struct sysinfo si;
	int fd, err;

	sysinfo(&si);
	if (mb <= 0 || (__u64)mb << 20 > si.freeram * (__u64)si.mem_unit / 2)
		return false;
	dev_create(hog, "ram", 2 * ((__u64)mb << 20), 0);
	fd = ioctl(hog->fd, MMAPSCOPE_IOC_FILE, &f);
	if (fd < 0)
		fatal("MMAPSCOPE_IOC_FILE: %m");
	err = fallocate(fd, 0, 0, hog->pages * hog->page) ? errno : 0;
	close(fd);
	if (err != ENOSPC)
		fatal("fallocate of more than the limit: %s", strerror(err));
	err = dev_punch(hog, 0, left);
	if (err)
		fatal("punch: %s", strerror(-err));
	return true;
}

/* A write that gets no room for a folio goes on with smaller ones, as far as there is room. */
TEST_F(large, write_takes_what_room_there_is)
{
	long n = self->n, left = n / 2 + 3;
	struct scope_dev hog;

	if (!backing_is_ram(variant->store))
		SKIP(return, "about stores in memory");
	ASSERT_EQ(0, dev_punch(&self->dev, n, n));
	if (!leave_room(&hog, left))
		SKIP(return, "needs store_limit_mb set to less than half of the free memory");
	stats_mark(&self->dev);
	EXPECT_EQ(left, write_pages(&self->dev, n, n));
	EXPECT_EQ(left, moved(&self->dev, pages_dirtied));
	EXPECT_HOLDS(2 * n + left, &self->dev);
	EXPECT_EQ(-ENOSPC, write_pages(&self->dev, n + left, 1));
	EXPECT_EQ(left, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, n, left, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, n + left, n - left, 0));
	EXPECT_EQ(0, dev_destroy(&hog, false));
}

/* A folio in the cache gets room for all of it, or none. */
TEST_F(large, store_wants_room_for_the_folio)
{
	long n = self->n, page = self->dev.page;
	struct scope_dev hog;

	if (!backing_is_ram(variant->store))
		SKIP(return, "about stores in memory");
	if (variant->part != PMD)
		SKIP(return, "only a read by advice makes folios that have no room");
	ASSERT_EQ(0, dev_punch(&self->dev, n, n));
	touch_pages(self->p + n * page, n);
	ASSERT_EQ(FOLIOS * self->pmd >> 10, smaps_kb(self->p, "FilePmdMapped"));
	if (!leave_room(&hog, n - 1))
		SKIP(return, "needs store_limit_mb set to less than half of the free memory");
	stats_mark(&self->dev);
	EXPECT_EQ(SIGBUS, try_store(self->p + (n + 2) * page, 1));
	EXPECT_EQ(1, moved(&self->dev, fault_sigbus));
	EXPECT_HOLDS(2 * n, &self->dev);
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(-ENOSPC, write_pages(&self->dev, n, 1));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	/* Single pages have it. */
	EXPECT_EQ(0, set_policy(&self->dev, 0));
	EXPECT_EQ(0, try_store(self->p + (n + 2) * page, 1));
	EXPECT_HOLDS(2 * n + 1, &self->dev);
	EXPECT_EQ(0, dev_punch(&self->dev, n + 2, 1));
	EXPECT_EQ(0, set_policy(&self->dev, self->folio >> 10));
	EXPECT_EQ(0, dev_punch(&hog, n - 1, 1));
	dev_evict(&self->dev);
	EXPECT_EQ(0, try_store(self->p + (n + 2) * page, 1));
	EXPECT_HOLDS(3 * n, &self->dev);
	EXPECT_EQ(0, dev_destroy(&hog, false));
}

TEST_F(large, policy_turns_them_off)
{
	__u64 kb = 1;

	ASSERT_EQ(0, set_policy(&self->dev, 0));
	ASSERT_EQ(0, policy(&self->dev, 0, &kb));
	EXPECT_EQ(0, kb);
	EXPECT_EQ(0, now(&self->dev, pages_cached));
	touch_pages(self->p, self->dev.pages);
	EXPECT_EQ(0, smaps_kb(self->p, "FilePmdMapped"));
	stats_mark(&self->dev);
	self->p[self->folio + 5] = 2;
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
}

TEST_F(large, policy_has_a_range)
{
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 3));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, (self->dev.page >> 10) / 2));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 2 * self->pmd >> 10));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 1 << 20));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, ~0ULL));
}

struct dropper {
	int fd;
	volatile bool stop;
};

static void *drop_all(void *arg)
{
	struct dropper *d = arg;

	while (!d->stop)
		posix_fadvise(d->fd, 0, 0, POSIX_FADV_DONTNEED);
	return NULL;
}

/* A folio that somebody else has dropped is none that stands in the way. */
TEST_F_TIMEOUT(large, policy_changes_while_others_drop_folios, 180)
{
	struct dropper d = { .fd = self->dev.fd };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, drop_all, &d));
	for (i = 0; i < 30; i++) {
		touch_pages(self->p, self->dev.pages);
		EXPECT_EQ(0, set_policy(&self->dev, self->folio >> 10));
	}
	d.stop = true;
	pthread_join(thread, NULL);
}

TEST_F_TIMEOUT(large, policy_changes_under_stores, 180)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, set_policy(&self->dev, i & 1 ? self->folio >> 10 : 0));
		store_pages(self->p, self->dev.pages, i + 1);
	}
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(20, self->p[0]);
	EXPECT_EQ(20, self->p[(self->dev.pages - 1) * self->dev.page]);
}

SCOPE_MAIN
