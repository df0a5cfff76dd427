// SPDX-License-Identifier: GPL-2.0
/*
 * A set of page numbers: an xarray of values that are 63 bits each.  It takes next to no memory,
 * and none when pages leave it, which may be in an interrupt, and with the spinlocks of a fault
 * held.  Each change of an entry is one step under the lock of the xarray, and the number of pages
 * follows within it.
 */

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/xarray.h>

#include "pageset.h"

/* How many pages an entry is for. */
#define PER_ENTRY	BITS_PER_XA_VALUE

static unsigned long entry_bits(void *entry)
{
	return entry ? xa_to_value(entry) : 0;
}

/* The bits of entry @at for pages @first to @last. */
static unsigned long range_bits(unsigned long at, pgoff_t first, pgoff_t last)
{
	pgoff_t begin = at * PER_ENTRY;

	return GENMASK(min(last - begin, (pgoff_t)PER_ENTRY - 1),
		       first > begin ? first - begin : 0);
}

/* Return: 0, or -ENOMEM when bits are set. */
static int change_entry(struct page_set *pages, unsigned long at, unsigned long set,
			unsigned long clear)
{
	XA_STATE(xas, &pages->entries, at);
	unsigned long flags, was, is;

	do {
		xas_lock_irqsave(&xas, flags);
		was = entry_bits(xas_load(&xas));
		is = (was | set) & ~clear;
		if (is != was)
			xas_store(&xas, is ? xa_mk_value(is) : NULL);
		if (!xas_error(&xas))
			atomic_long_add((long)hweight_long(is) - (long)hweight_long(was),
					&pages->nr);
		xas_unlock_irqrestore(&xas, flags);
	} while (xas_nomem(&xas, GFP_NOIO | __GFP_NOWARN));
	return xas_error(&xas);
}

/**
 * page_set_init() - begin without pages
 * @pages: all zeros
 */
void page_set_init(struct page_set *pages)
{
	xa_init_flags(&pages->entries, XA_FLAGS_LOCK_IRQ);
}

/**
 * page_set_destroy() - forget all of them
 * @pages: nobody uses it any more
 */
void page_set_destroy(struct page_set *pages)
{
	xa_destroy(&pages->entries);
}

/**
 * page_set_add() - take pages into a set
 * @pages: the set
 * @first: first page
 * @last: last page, inclusive
 *
 * May sleep.
 *
 * Return: 0, or -ENOMEM, with none of them in it that was not before.
 */
int page_set_add(struct page_set *pages, pgoff_t first, pgoff_t last)
{
	unsigned long at;

	for (at = first / PER_ENTRY; at <= last / PER_ENTRY; at++) {
		int err = change_entry(pages, at, range_bits(at, first, last), 0);

		if (!err)
			continue;
		if (at > first / PER_ENTRY)
			page_set_remove(pages, first, at * PER_ENTRY - 1);
		return err;
	}
	return 0;
}

/**
 * __page_set_remove() - take pages out of a set, as far as they are in it
 * @pages: the set
 * @first: first page
 * @last: last page, inclusive
 *
 * In any context.
 */
void __page_set_remove(struct page_set *pages, pgoff_t first, pgoff_t last)
{
	unsigned long at = first / PER_ENTRY;
	void *entry;

	xa_for_each_range(&pages->entries, at, entry, at, last / PER_ENTRY)
		change_entry(pages, at, 0, range_bits(at, first, last));
}

/**
 * __page_set_any() - is one of these pages in a set?
 * @pages: the set
 * @first: first page
 * @last: last page, inclusive
 *
 * Not serialised with those who change that: what was true meanwhile is true.
 */
bool __page_set_any(struct page_set *pages, pgoff_t first, pgoff_t last)
{
	unsigned long at = first / PER_ENTRY;
	void *entry;

	xa_for_each_range(&pages->entries, at, entry, at, last / PER_ENTRY) {
		if (entry_bits(entry) & range_bits(at, first, last))
			return true;
	}
	return false;
}
