// SPDX-License-Identifier: GPL-2.0
/* Another size for a device that is in use. */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "mmapscope.h"

static void set_size(struct scope_device *dev, u64 size)
{
	WRITE_ONCE(dev->size, size);
	i_size_write(dev->inode, size);
}

/*
 * A large folio that the new end would cut in two is written back and dropped first: truncation
 * would split it, and a split at the end of a file removes tails without telling anybody that they
 * were dirty.
 */
static int drop_folio_across(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);
	bool across;

	if (IS_ERR_OR_NULL(folio))
		return 0;
	across = folio->index < index;
	folio_put(folio);
	return across ? scope_drop_large(mapping, index, index) : 0;
}

/*
 * What lies beyond the end becomes a hole.  If the store does not do that now, it must before the
 * device grows again.
 */
static void forget_beyond(struct scope_device *dev, u64 end)
{
	struct store *store = dev->store;
	pgoff_t first = dev->size >> PAGE_SHIFT;

	dev->stale_end = max(dev->stale_end, end);
	if (!store->ops->punch(store, first, (dev->stale_end >> PAGE_SHIFT) - first))
		dev->stale_end = 0;
}

/* What lies beyond the end is discarded, and counted. */
static int shrink(struct scope_device *dev, u64 size)
{
	struct address_space *mapping = scope_mapping(dev);
	u64 end = dev->size;
	int err;

	filemap_invalidate_lock(mapping);
	err = drop_folio_across(mapping, size >> PAGE_SHIFT);
	if (!err) {
		set_size(dev, size);
		truncate_pagecache(dev->inode, size);
		scope_forget_failed(dev, size >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
		forget_beyond(dev, end);
	}
	filemap_invalidate_unlock(mapping);
	return err;
}

/*
 * Nothing of the cache lies beyond the end, or would after growing.  Whoever looked at the size
 * before it shrank, and waited for invalidate_lock, has brought pages there since: they hold what
 * the store had.
 */
static int clear_beyond(struct scope_device *dev)
{
	struct address_space *mapping = scope_mapping(dev);
	int err = drop_folio_across(mapping, dev->size >> PAGE_SHIFT);

	if (!err)
		truncate_pagecache(dev->inode, dev->size);
	return err;
}

/* The store's part, which may take long: nobody who wants a page shall wait for it. */
static int grow_store(struct scope_device *dev, u64 size)
{
	struct store *store = dev->store;

	if (dev->stale_end > dev->size)
		forget_beyond(dev, dev->stale_end);
	if (dev->stale_end > dev->size)
		return -EIO;
	return store->ops->grow ? store->ops->grow(store, size) : 0;
}

/*
 * What the device gave back by shrinking reads as zeros when it comes into reach again.  What it
 * has never had is as the store has it: holes in memory, and of a file what its owner put there.
 */
static int grow(struct scope_device *dev, u64 size)
{
	struct address_space *mapping = scope_mapping(dev);
	int err = grow_store(dev, size);

	if (err)
		return err;
	filemap_invalidate_lock(mapping);
	err = clear_beyond(dev);
	if (!err)
		set_size(dev, size);
	filemap_invalidate_unlock(mapping);
	return err;
}

/**
 * scope_resize() - change the size of a device
 * @dev: the caller has it open
 * @size: bytes, whole pages, in range
 *
 * i_rwsem serialises with write(2), punch, other resizes and forced removal.  A fault that saw the
 * old size finds its folio truncated, or sees the new size under the folio lock.
 *
 * Return: 0, -ENODEV, -EBUSY, -EINTR, or an error of the store, with the size unchanged.
 */
int scope_resize(struct scope_device *dev, u64 size)
{
	int err = scope_inode_lock(dev->inode);

	if (err)
		return err;
	if (scope_device_dead(dev))
		err = -ENODEV;
	else if (size < dev->size)
		err = shrink(dev, size);
	else
		err = grow(dev, size);
	inode_unlock(dev->inode);
	if (!err)
		scope_device_announce(dev);
	return err;
}
