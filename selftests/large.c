// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios: that they are there, that the counters stay exact in base pages, and what
 * splitting one does to the books.  The policy that turns them off.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

/* Enough for a folio that an operation cuts, and a neighbour on both sides. */
#define FOLIOS	3
#define RW	(PROT_READ | PROT_WRITE)
/* A machine for tests has room for some folios of this size, and memory in so large pieces. */
#define MAX_PMD	(32 << 20)

static int policy(const struct scope_dev *d, unsigned int flags, __u64 *value)
{
	struct mmapscope_policy p = {
		.size = sizeof(p),
		.flags = flags,
		.id = MMAPSCOPE_POLICY_large_folio_kb,
		.value = *value,
	};
	int err = ioctl(d->fd, MMAPSCOPE_IOC_POLICY, &p) ? -errno : 0;

	*value = p.value;
	return err;
}

static int set_policy(const struct scope_dev *d, __u64 kb)
{
	return policy(d, MMAPSCOPE_POLICY_SET, &kb);
}

FIXTURE(large) {
	struct scope_dev dev;
	long pmd;		/* bytes that a PMD maps */
	long folio;		/* bytes in each folio of the device */
	long n;			/* pages in that */
	char *p;		/* the device, mapped, all of it cached */
};

FIXTURE_VARIANT(large) {
	int part;		/* of what a PMD maps is a folio */
};

/* Mapped as a whole, which is one fault and one write notification. */
FIXTURE_VARIANT_ADD(large, pmd) {
	.part = 1,
};

/* Mapped page by page, dirty as a whole. */
FIXTURE_VARIANT_ADD(large, ptes) {
	.part = 16,
};

/* The kernel reads ahead in such folios where it is advised to, and the policy allows them. */
static void cache_by_advice(FIXTURE_DATA(large) *self)
{
	if (madvise(self->p, FOLIOS * self->folio, MADV_HUGEPAGE))
		fatal("MADV_HUGEPAGE: %m");
	touch_pages(self->p, self->dev.pages);
}

/* A write makes folios as large as it is. */
static void cache_by_write(FIXTURE_DATA(large) *self)
{
	char *buf = malloc(self->folio);
	long i, j, page = self->dev.page;

	for (i = 0; i < FOLIOS; i++) {
		for (j = 0; j < self->n; j++)
			page_fill(buf + j * page, page, i * self->n + j, 1);
		if (pwrite(self->dev.fd, buf, self->folio, i * self->folio) != self->folio)
			fatal("writing folio %ld: %m", i);
	}
	free(buf);
	if (fsync(self->dev.fd))
		fatal("fsync: %m");
	touch_pages(self->p, self->dev.pages);
}

FIXTURE_SETUP(large)
{
	__u64 kb;

	NEED_DEVICES();
	vm_quiet();
	/* All of the device may be dirty before somebody writes it. */
	vm_set("dirty_ratio", 80);
	vm_set("dirty_background_ratio", 60);
	self->pmd = file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
	if (self->pmd <= 0 || self->pmd > MAX_PMD)
		SKIP_SETUP("needs huge pages of at most %d MiB", MAX_PMD >> 20);
	self->folio = self->pmd / variant->part;
	dev_create(&self->dev, "ram", FOLIOS * self->folio, 0);
	self->n = self->folio / self->dev.page;
	kb = self->folio >> 10;
	ASSERT_EQ(0, policy(&self->dev, MMAPSCOPE_POLICY_SET, &kb));
	if (kb != (__u64)self->folio >> 10) {
		dev_destroy(&self->dev, true);
		SKIP_SETUP("this kernel cannot choose the size of folios");
	}
	dev_fill(&self->dev, 0, self->dev.pages, 1);
	self->p = dev_map(&self->dev, 0, self->dev.pages, RW);
	/* Memory in one piece, for folios of that size. */
	file_write("/proc/sys/vm/compact_memory", "1");
	if (variant->part == 1)
		cache_by_advice(self);
	else
		cache_by_write(self);
	stats_mark(&self->dev);
}

FIXTURE_TEARDOWN(large)
{
	vm_quiet();
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

TEST_F(large, mappings_are_aligned_and_huge)
{
	if (variant->part == 1) {
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
	EXPECT_EQ(variant->part == 1 ? 1 : 2, moved(&self->dev, mkwrite));
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
	EXPECT_EQ(n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(3 * self->n - n, now(&self->dev, pages_dirty));
	EXPECT_EQ(self->dev.pages - n, now(&self->dev, store_pages));
	EXPECT_EQ(5, self->p[(first - 1) * page]);
	EXPECT_EQ(0, self->p[first * page]);
	EXPECT_EQ(0, self->p[(first + n - 1) * page]);
	EXPECT_EQ(5, self->p[(first + n) * page]);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(3 * self->n - n, moved(&self->dev, pages_cleaned));
}

TEST_F(large, shrink_across_a_dirty_folio)
{
	struct mmapscope_resize r = { .size = sizeof(r) };
	long page = self->dev.page, end = self->n + 2;

	store_pages(self->p, 3 * self->n, 5);
	r.dev_size = end * page;
	ASSERT_EQ(0, ioctl(self->dev.fd, MMAPSCOPE_IOC_RESIZE, &r));
	EXPECT_EQ(end * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(end, now(&self->dev, store_pages));
	EXPECT_EQ(self->n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(5, self->p[end * page - 1 - (page - 1)]);
	EXPECT_EQ(SIGBUS, try_load(self->p + end * page));

	r.dev_size = FOLIOS * self->folio;
	ASSERT_EQ(0, ioctl(self->dev.fd, MMAPSCOPE_IOC_RESIZE, &r));
	EXPECT_EQ(5, self->p[(end - 1) * page]);
	EXPECT_EQ(0, self->p[end * page]);
	EXPECT_EQ(0, self->p[2 * self->folio]);
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

TEST_F(large, policy_changes_under_stores)
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
