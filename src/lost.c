// SPDX-License-Identifier: GPL-2.0
/*
 * Pages whose data the store did not take, and that did not stay dirty either: see writeback.c.
 * The data are in the cache only, as long as that has room, and after that nowhere.
 *
 * A page is lost from there on until it becomes dirty again, or is written, or is made a hole.
 * While a device has such pages it is not removed without force, and nothing of ours drops them
 * from the cache; reclaim does.
 *
 * A set of page numbers: an xarray of values that are 63 bits each.  It takes next to no memory,
 * and none when pages leave it, which may be in an interrupt, and with the spinlocks of a fault
 * held.
 */

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/xarray.h>

#include "mmapscope.h"

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

/*
 * Change bits of an entry.  The lock makes that one step; the number follows within it.
 *
 * Return: 0, or -ENOMEM when bits are set.
 */
static int change_entry(struct scope_device *dev, unsigned long at, unsigned long set,
			unsigned long clear)
{
	XA_STATE(xas, &dev->lost, at);
	unsigned long flags, was, is;

	do {
		xas_lock_irqsave(&xas, flags);
		was = entry_bits(xas_load(&xas));
		is = (was | set) & ~clear;
		if (is != was)
			xas_store(&xas, is ? xa_mk_value(is) : NULL);
		if (!xas_error(&xas))
			atomic_long_add((long)hweight_long(is) - (long)hweight_long(was),
					&dev->nr_lost);
		xas_unlock_irqrestore(&xas, flags);
	} while (xas_nomem(&xas, GFP_NOIO | __GFP_NOWARN));
	return xas_error(&xas);
}

/**
 * scope_lost_init() - begin without lost pages
 * @dev: new
 */
void scope_lost_init(struct scope_device *dev)
{
	xa_init_flags(&dev->lost, XA_FLAGS_LOCK_IRQ);
}

/**
 * scope_lost_destroy() - forget all of them
 * @dev: has no cache any more
 */
void scope_lost_destroy(struct scope_device *dev)
{
	xa_destroy(&dev->lost);
}

/**
 * scope_lost_add() - pages are lost
 * @dev: the device
 * @first: first page
 * @last: last page, inclusive
 *
 * May sleep.
 *
 * Return: 0, or -ENOMEM, with none of them lost that was not before.
 */
int scope_lost_add(struct scope_device *dev, pgoff_t first, pgoff_t last)
{
	unsigned long at;

	for (at = first / PER_ENTRY; at <= last / PER_ENTRY; at++) {
		int err = change_entry(dev, at, range_bits(at, first, last), 0);

		if (!err)
			continue;
		if (at > first / PER_ENTRY)
			scope_lost_remove(dev, first, at * PER_ENTRY - 1);
		return err;
	}
	return 0;
}

/**
 * __scope_lost_remove() - pages are not lost, if they were
 * @dev: the device
 * @first: first page
 * @last: last page, inclusive
 *
 * In any context.
 */
void __scope_lost_remove(struct scope_device *dev, pgoff_t first, pgoff_t last)
{
	unsigned long at = first / PER_ENTRY;
	void *entry;

	xa_for_each_range(&dev->lost, at, entry, at, last / PER_ENTRY)
		change_entry(dev, at, 0, range_bits(at, first, last));
}

/**
 * __scope_lost_any() - is one of these pages lost?
 * @dev: the device
 * @first: first page
 * @last: last page, inclusive
 *
 * Not serialised with those who change that: what was true meanwhile is true.
 */
bool __scope_lost_any(struct scope_device *dev, pgoff_t first, pgoff_t last)
{
	unsigned long at = first / PER_ENTRY;
	void *entry;

	xa_for_each_range(&dev->lost, at, entry, at, last / PER_ENTRY) {
		if (entry_bits(entry) & range_bits(at, first, last))
			return true;
	}
	return false;
}
