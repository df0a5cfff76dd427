// SPDX-License-Identifier: GPL-2.0
/*
 * Data and holes, as a reader of the device sees them: what the store holds, and what is dirty in
 * the cache before it.
 *
 * A RAM store knows what is dirty, because its room was taken when it became so.  The others are
 * told when it is written; until then the cache's tags say where data are.
 */

#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include "mmapscope.h"

/*
 * Is page @index dirty or being written?  The tags say so at every moment: when one is set and the
 * other cleared, it is in one go under this lock.  The flags of the folio are not: both are clear
 * for a moment at the begin of a writeback.
 */
static bool is_dirty(struct address_space *mapping, pgoff_t index)
{
	unsigned long flags;
	bool dirty;

	xa_lock_irqsave(&mapping->i_pages, flags);
	dirty = xa_get_mark(&mapping->i_pages, index, PAGECACHE_TAG_DIRTY) ||
		xa_get_mark(&mapping->i_pages, index, PAGECACHE_TAG_WRITEBACK);
	xa_unlock_irqrestore(&mapping->i_pages, flags);
	return dirty;
}

/**
 * scope_next_dirty() - where something is dirty, or being written
 * @mapping: the page cache of a device
 * @index: page to begin at
 * @end: page to end before
 *
 * Dirty is looked for twice, because that is what a page becomes whose write fails.  A page that
 * is only locked is neither.
 *
 * Return: the first such page; @end if there is none.
 */
pgoff_t scope_next_dirty(struct address_space *mapping, pgoff_t index, pgoff_t end)
{
	static const xa_mark_t tags[] = {
		PAGECACHE_TAG_DIRTY, PAGECACHE_TAG_WRITEBACK, PAGECACHE_TAG_DIRTY,
	};
	pgoff_t found = end;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tags) && found > index; i++) {
		unsigned long at = index;

		/* What is found may be the head of a folio that begins before. */
		if (xa_find(&mapping->i_pages, &at, found - 1, tags[i]))
			found = max(at, index);
	}
	return found;
}

/**
 * scope_next_data() - where data begin
 * @dev: the device
 * @index: page to begin at
 * @end: page to end before
 *
 * Not serialised with those who change that: what was true meanwhile is true.
 *
 * Return: the first page that is not a hole; @end if there is none.
 */
pgoff_t scope_next_data(struct scope_device *dev, pgoff_t index, pgoff_t end)
{
	struct store *store = dev->store;
	pgoff_t dirty = end;

	if (index >= end)
		return end;
	/* The cache first: what is written meanwhile is in the store then. */
	if (store->queue)
		dirty = scope_next_dirty(scope_mapping(dev), index, end);
	if (dirty == index)
		return index;
	return store->ops->next_data(store, index, dirty);
}

/**
 * scope_next_hole() - where data end
 * @dev: the device
 * @index: page to begin at
 * @end: page to end before
 *
 * Return: the first page that is a hole; @end if there is none, or if a fatal signal came.
 */
pgoff_t scope_next_hole(struct scope_device *dev, pgoff_t index, pgoff_t end)
{
	struct store *store = dev->store;

	while (index < end && !fatal_signal_pending(current)) {
		index = store->ops->next_hole(store, index, end);
		if (index >= end || !store->queue)
			break;
		/* Not dirty, and still a hole: else it was written between the two questions. */
		if (!is_dirty(scope_mapping(dev), index) &&
		    store->ops->next_hole(store, index, index + 1) == index)
			return index;
		index++;
		cond_resched();
	}
	return fatal_signal_pending(current) ? end : min(index, end);
}
