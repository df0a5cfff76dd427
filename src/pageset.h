/* SPDX-License-Identifier: GPL-2.0 */
/* Sets of page numbers that are empty nearly always. */
#ifndef PAGESET_H
#define PAGESET_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <linux/xarray.h>

/**
 * struct page_set - some pages of a device
 * @entries: a bit for each; its lock is taken with interrupts off
 * @nr: how many there are
 */
struct page_set {
	struct xarray entries;
	atomic_long_t nr;
};

void page_set_init(struct page_set *pages);
void page_set_destroy(struct page_set *pages);
int page_set_add(struct page_set *pages, pgoff_t first, pgoff_t last);
void __page_set_remove(struct page_set *pages, pgoff_t first, pgoff_t last);
bool __page_set_any(struct page_set *pages, pgoff_t first, pgoff_t last);

static inline unsigned long page_set_count(struct page_set *pages)
{
	return atomic_long_read(&pages->nr);
}

/* What is asked of every page costs nothing as long as there is none. */
static inline void page_set_remove(struct page_set *pages, pgoff_t first, pgoff_t last)
{
	if (unlikely(page_set_count(pages)))
		__page_set_remove(pages, first, last);
}

static inline bool page_set_any(struct page_set *pages, pgoff_t first, pgoff_t last)
{
	return unlikely(page_set_count(pages)) && __page_set_any(pages, first, last);
}

#endif /* PAGESET_H */
