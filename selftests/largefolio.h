/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device all of whose cache is large folios: the fixture of large.c and held.c.
 */
#ifndef SELFTESTS_LARGEFOLIO_H
#define SELFTESTS_LARGEFOLIO_H

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

/* Enough for a folio that an operation cuts, and a neighbour on both sides. */
#define FOLIOS	3
/* So many single pages are a request to a file or a disk. */
#define REQUEST_FOLIOS	64
#define RW	(PROT_READ | PROT_WRITE)
/* A machine for tests has room for some folios of this size, and memory in so large pieces. */
#define MAX_PMD	(32 << 20)

static inline int policy(const struct scope_dev *d, unsigned int flags, __u64 *value)
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

static inline int set_policy(const struct scope_dev *d, __u64 kb)
{
	return policy(d, MMAPSCOPE_POLICY_SET, &kb);
}

static inline int resize(const struct scope_dev *d, long pages)
{
	struct mmapscope_resize r = { .size = sizeof(r), .dev_size = pages * d->page };

	return ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &r) ? -errno : 0;
}

FIXTURE(large) {
	struct scope_dev dev;
	long pmd;		/* bytes that a PMD maps */
	long folio;		/* bytes in each folio of the device */
	long n;			/* pages in that */
	char *p;		/* the device, mapped, all of it cached */
	long migrated;		/* pages that the kernel had moved before */
};

/* Of what a PMD maps, a folio is all: mapped as a whole, with one fault and one notification. */
#define PMD	1
/* Or a 16th: mapped page by page, dirty as a whole. */
#define PTES	16

FIXTURE_VARIANT(large) {
	const char *store;
	int part;		/* of what a PMD maps is a folio */
};

#define LARGE_VARIANTS(kind)							\
FIXTURE_VARIANT_ADD(large, kind##_pmd) {					\
	.store = #kind,								\
	.part = PMD,								\
};										\
FIXTURE_VARIANT_ADD(large, kind##_ptes) {					\
	.store = #kind,								\
	.part = PTES,								\
}

LARGE_VARIANTS(ram);
LARGE_VARIANTS(ext4);
LARGE_VARIANTS(tmpfs);
LARGE_VARIANTS(block);

/* The kernel reads ahead in such folios where it is advised to, and the policy allows them. */
static inline void cache_by_advice(FIXTURE_DATA(large) *self)
{
	if (madvise(self->p, FOLIOS * self->folio, MADV_HUGEPAGE))
		fatal("MADV_HUGEPAGE: %m");
	touch_pages(self->p, self->dev.pages);
}

/* Pages @first to @first + @n - 1 by a single write, of which the pages done are returned. */
static inline long write_pages(const struct scope_dev *d, long first, long n)
{
	char *buf = malloc(n * d->page);
	ssize_t done;
	long i;

	for (i = 0; i < n; i++)
		page_fill(buf + i * d->page, d->page, first + i, 1);
	done = pwrite(d->fd, buf, n * d->page, first * d->page);
	free(buf);
	return done < 0 ? -errno : done / d->page;
}

/* A write makes folios as large as it is. */
static inline void cache_by_write(FIXTURE_DATA(large) *self)
{
	long i;

	for (i = 0; i < FOLIOS; i++) {
		if (write_pages(&self->dev, i * self->n, self->n) != self->n)
			fatal("writing folio %ld: %m", i);
	}
	if (fsync(self->dev.fd))
		fatal("fsync: %m");
	touch_pages(self->p, self->dev.pages);
}

static inline long migrated_pages(void)
{
	return file_field("/proc/vmstat", "pgmigrate_success");
}

FIXTURE_SETUP(large)
{
	__u64 kb;

	NEED_DEVICES();
	NEED_STORE(variant->store);
	vm_quiet();
	/* All of the device may be dirty before somebody writes it. */
	vm_set("dirty_ratio", 80);
	vm_set("dirty_background_ratio", 60);
	self->pmd = file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
	if (self->pmd <= 0 || self->pmd > MAX_PMD)
		SKIP_SETUP("needs huge pages of at most %d MiB", MAX_PMD >> 20);
	self->folio = self->pmd / variant->part;
	dev_create(&self->dev, variant->store, FOLIOS * self->folio, 0);
	self->n = self->folio / self->dev.page;
	kb = self->folio >> 10;
	ASSERT_EQ(0, policy(&self->dev, MMAPSCOPE_POLICY_SET, &kb));
	if (kb != (__u64)self->folio >> 10) {
		dev_destroy(&self->dev, true);
		SKIP_SETUP("this kernel cannot choose the size of folios");
	}
	dev_fill(&self->dev, 0, self->dev.pages, 1);
	/*
	 * The kernel aligns only what a PMD could map.  Smaller folios may lie in two page tables
	 * otherwise, and mlock(2) does not mark such ones as locked.
	 */
	self->p = variant->part == PMD ?
		  dev_map(&self->dev, 0, self->dev.pages, RW) :
		  dev_map_aligned(&self->dev, 0, self->dev.pages, RW, self->pmd);
	/* Memory in one piece, for folios of that size. */
	file_write("/proc/sys/vm/compact_memory", "1");
	if (variant->part == PMD)
		cache_by_advice(self);
	else
		cache_by_write(self);
	stats_mark(&self->dev);
	self->migrated = migrated_pages();
}

FIXTURE_TEARDOWN(large)
{
	/* Which may split folios: good to know of a failure. */
	if (migrated_pages() != self->migrated)
		printf("# the kernel has moved %ld pages meanwhile\n",
		       migrated_pages() - self->migrated);
	vm_quiet();
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

#endif /* SELFTESTS_LARGEFOLIO_H */
