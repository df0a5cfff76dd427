// SPDX-License-Identifier: GPL-2.0
/*
 * Into the page cache, and out of being clean: the address_space_operations except writeback.
 *
 * pages_added is counted where a folio is first seen.  Most folios arrive by ->readahead, which is
 * given new ones only.  ->read_folio and ->write_begin may be given one that an earlier read or
 * write left behind because it failed; PG_checked marks those ("counted, not up to date"), so that
 * only they pay for it.  The mark is set and tested under the folio lock.  A writer that is killed
 * before he gets that lock leaves a folio that is not counted yet: whoever fills it counts it.
 *
 * PG_mappedtodisk means what it says: the store has space for all of the folio.  It saves the store
 * look-up when a page becomes dirty again, and is lost with the folio.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

#include "mmapscope.h"

/* @folio is locked, and not up to date. */
static void count_added(struct scope_device *dev, struct folio *folio)
{
	if (!folio_test_checked(folio))
		scope_stat_add(dev, MMAPSCOPE_STAT_pages_added, folio_nr_pages(folio));
}

/* @folio is locked and stays in the cache without being up to date, at least for now. */
static void mark_counted(struct folio *folio)
{
	folio_set_checked(folio);
}

/*
 * The end of a read: the store has filled the folio, or could not.  A folio that cannot be read
 * stays in the cache without being up to date: whoever needs it calls ->read_folio and gets the
 * error.  May be called in an interrupt.
 */
static void end_read(struct scope_device *dev, struct folio *folio, int err)
{
	if (unlikely(err))
		mark_counted(folio);
	folio_end_read(folio, !err);
}

/* One folio, because readahead was off or failed.  Its lock keeps it in the cache. */
static int cache_read_folio(struct file *file, struct folio *folio)
{
	struct scope_run run = {
		.dev = scope_mapping_device(folio->mapping),
		.op = STORE_READ,
		.end = end_read,
	};
	int err;

	count_added(run.dev, folio);
	err = scope_run_add(&run, folio);
	scope_run_end(&run);
	return err;
}

/* A run of new folios, each locked until its bytes are there. */
static void cache_readahead(struct readahead_control *rac)
{
	struct scope_run run = {
		.dev = scope_mapping_device(rac->mapping),
		.op = STORE_READ,
		.end = end_read,
	};
	unsigned long nr = readahead_count(rac);
	struct folio *folio;

	scope_stat_add(run.dev, MMAPSCOPE_STAT_pages_added, nr);
	scope_stat_add(run.dev, MMAPSCOPE_STAT_readahead_pages, nr);
	while ((folio = readahead_folio(rac)))
		scope_run_add(&run, folio);
	scope_run_end(&run);
}

/*
 * Take space in the store for a locked folio.  It is taken before the folio becomes dirty, while
 * there is somebody to be told that there is none: a writeback that cannot allocate would lose the
 * data.
 */
static int reserve_space(struct scope_device *dev, struct folio *folio)
{
	int err;

	if (folio_test_mappedtodisk(folio) || !dev->store->ops->reserve)
		return 0;
	err = dev->store->ops->reserve(dev->store, folio->index, folio_nr_pages(folio));
	if (!err)
		folio_set_mappedtodisk(folio);
	return err;
}

/*
 * Every way to become dirty ends here: write(2), ->page_mkwrite, and the kernel's own for pinned
 * and unmapped pages.  Only the call that changed the flag counts.
 */
static bool cache_dirty_folio(struct address_space *mapping, struct folio *folio)
{
	struct scope_device *dev = scope_mapping_device(mapping);
	unsigned long nr = folio_nr_pages(folio);

	if (!filemap_dirty_folio(mapping, folio))
		return false;
	scope_stat_add(dev, MMAPSCOPE_STAT_pages_dirtied, nr);
	page_set_remove(&dev->lost, folio->index, folio->index + nr - 1);
	return true;
}

/**
 * scope_cache_make_dirty() - make a folio dirty, with space for it in the store
 * @dev: the device
 * @folio: locked, up to date, in @dev's cache
 *
 * What folio_mark_dirty() does, without asking which mapping it is: this is the path of every first
 * store to a clean page.  PG_reclaim is cleared as there, so that a page that was meant to be
 * reclaimed after its writeback is not, now that it is in use.
 *
 * Return: 0, or -ENOSPC or -ENOMEM from the store, with the folio as it was.
 */
int scope_cache_make_dirty(struct scope_device *dev, struct folio *folio)
{
	int err = reserve_space(dev, folio);

	if (unlikely(err))
		return err;
	if (unlikely(folio_test_reclaim(folio)))
		folio_clear_reclaim(folio);
	cache_dirty_folio(scope_mapping(dev), folio);
	return 0;
}

/* What lock_for_write() says of a folio that has left the cache meanwhile. */
#define FOLIO_GONE	1

/*
 * Lock a folio and wait until its writeback is over.  FGP_WRITEBEGIN would do both, but who waits
 * here may wait for a store that hangs, and must be one whom a signal can kill.
 */
static int lock_for_write(struct address_space *mapping, struct folio *folio)
{
	int err;

	if (folio_lock_killable(folio))
		return -EINTR;
	if (unlikely(folio->mapping != mapping))
		err = FOLIO_GONE;
	else if (folio_test_writeback(folio) && folio_wait_writeback_killable(folio))
		err = -EINTR;
	else
		return 0;
	folio_unlock(folio);
	return err;
}

/*
 * Fill the folio around what is about to be written.  @folio is locked, counted and not up to date;
 * if this fails it is not locked any more.  The read goes on without who asked for it, so a signal
 * may end the wait.
 */
static int fill_for_write(struct scope_device *dev, struct folio *folio)
{
	struct scope_run run = {
		.dev = dev,
		.op = STORE_READ,
		.end = end_read,
	};
	int err = scope_run_add(&run, folio);

	scope_run_end(&run);
	if (!err)
		err = lock_for_write(scope_mapping(dev), folio);
	if (!err && !folio_test_uptodate(folio)) {
		folio_unlock(folio);
		err = -EIO;
	}
	return err;
}

/* Will all of the folio be written?  @len may reach beyond it. */
static bool writes_whole(struct folio *folio, loff_t pos, unsigned int len)
{
	return !offset_in_folio(folio, pos) && len >= folio_size(folio);
}

/*
 * How large a folio a write may get: as large as the write is, unless the store has no room for
 * all of it; then page by page, as far as it goes.  i_rwsem keeps a punch from taking the room
 * away again.
 */
static fgf_t write_order(struct scope_device *dev, loff_t pos, unsigned int len)
{
	const struct store_ops *ops = dev->store->ops;
	pgoff_t first = pos >> PAGE_SHIFT;

	if (fgf_set_order(len) && ops->reserve &&
	    ops->reserve(dev->store, first, ((pos + len - 1) >> PAGE_SHIFT) - first + 1))
		return 0;
	return fgf_set_order(len);
}

/*
 * Lock a folio and make sure that it can take the write: 0, with the folio locked; FOLIO_GONE; or
 * an errno.  A folio that will be written whole is not read; it stays locked, so nobody sees the
 * old memory.
 */
static int prepare_folio(struct scope_device *dev, struct folio *folio, loff_t pos,
			 unsigned int len)
{
	int err = lock_for_write(scope_mapping(dev), folio);

	if (err)
		return err;
	err = reserve_space(dev, folio);
	if (!folio_test_uptodate(folio)) {
		count_added(dev, folio);
		mark_counted(folio);
		if (!err && !writes_whole(folio, pos, len))
			return fill_for_write(dev, folio);
	}
	if (err)
		folio_unlock(folio);
	return err;
}

/*
 * Find or make the folio at @pos, lock it and make sure that it can take the write.  The caller
 * holds i_rwsem.  Before it is locked, anybody may fill a new folio, or truncation take it away.
 */
static int cache_write_begin(struct address_space *mapping, loff_t pos, unsigned int len,
			     struct folio **foliop)
{
	struct scope_device *dev = scope_mapping_device(mapping);
	struct folio *folio;
	int err;

	do {
		/* A long write ends when the device is removed by force. */
		if (scope_device_dead(dev))
			return -ENODEV;
		folio = __filemap_get_folio(mapping, pos >> PAGE_SHIFT,
					    FGP_CREAT | FGP_WRITE | FGP_FOR_MMAP |
					    write_order(dev, pos, len),
					    mapping_gfp_mask(mapping));
		if (IS_ERR_OR_NULL(folio))
			return folio ? PTR_ERR(folio) : -ENOMEM;
		err = prepare_folio(dev, folio, pos, len);
		if (err)
			folio_put(folio);
	} while (err == FOLIO_GONE);
	if (!err)
		*foliop = folio;
	return err;
}

/*
 * A short copy into a folio that is not up to date leaves bytes that nobody wrote: take none of it,
 * the caller tries again with less.  Newer kernels come here with nothing copied before they fault
 * in the caller's memory, and again afterwards.
 */
static int cache_write_end(struct address_space *mapping, loff_t pos, unsigned int len,
			   unsigned int copied, struct folio *folio)
{
	if (copied < len && !folio_test_uptodate(folio)) {
		copied = 0;
	} else if (copied) {
		flush_dcache_folio(folio);
		if (!folio_test_uptodate(folio))
			folio_mark_uptodate(folio);
		folio_mark_dirty(folio);
	}
	folio_unlock(folio);
	folio_put(folio);
	return copied;
}

/*
 * Does the page read as zeros already, because nothing is there?  Not if what is there was given up
 * by writeback.
 */
static bool is_hole(struct scope_device *dev, pgoff_t index)
{
	return !page_set_any(&dev->lost, index, index) &&
	       scope_next_data(dev, index, index + 1) != index;
}

/**
 * scope_cache_zero() - write zeros into a page
 * @dev: the caller holds its i_rwsem
 * @pos: first byte
 * @len: bytes, within the page
 * @may_ask: the caller holds no lock that those may wait for who lock the file behind the store
 *
 * A hole is left alone, if the store can be asked: memory always can.
 *
 * Return: 0, or an error of the store.
 */
int scope_cache_zero(struct scope_device *dev, loff_t pos, unsigned int len, bool may_ask)
{
	struct folio *folio;
	int err;

	if ((may_ask || dev->store->ops->reserve) && is_hole(dev, pos >> PAGE_SHIFT))
		return 0;
	err = cache_write_begin(scope_mapping(dev), pos, len, &folio);
	if (err)
		return err;
	folio_zero_range(folio, offset_in_folio(folio, pos), len);
	cache_write_end(scope_mapping(dev), pos, len, len, folio);
	return 0;
}

COMPAT_WRITE_AOPS(cache_write_begin, cache_write_end)

/*
 * Called for every folio that truncation takes away, unmapped and locked, before its dirty flag is
 * dropped: see AS_RELEASE_ALWAYS in pseudofs.c.  Nobody can make it dirty again: it is mapped
 * nowhere, and those who pinned it take the folio lock first.
 */
static void cache_invalidate_folio(struct folio *folio, size_t offset, size_t len)
{
	struct scope_device *dev = scope_mapping_device(folio->mapping);
	unsigned long nr = folio_nr_pages(folio);

	if (offset || len < folio_size(folio) || !folio_test_dirty(folio))
		return;
	scope_stat_add(dev, MMAPSCOPE_STAT_pages_discarded, nr);
	page_set_remove(&dev->kept, folio->index, folio->index + nr - 1);
}

/* There is no private data that could stand in the way. */
static bool cache_release_folio(struct folio *folio, gfp_t gfp)
{
	return true;
}

const struct address_space_operations scope_aops = {
	.read_folio = cache_read_folio,
	.readahead = cache_readahead,
	.write_begin = compat_write_begin,
	.write_end = compat_write_end,
	.dirty_folio = cache_dirty_folio,
	.writepages = scope_writepages,
	.invalidate_folio = cache_invalidate_folio,
	.release_folio = cache_release_folio,
	.migrate_folio = filemap_migrate_folio,
	COMPAT_ERROR_REMOVE,
};

/**
 * scope_cache_next() - the next folio of a range
 * @mapping: the page cache
 * @index: where to begin; moved to where it was found, or beyond what is not there any more
 * @last: last page, inclusive
 *
 * What comes and goes meanwhile may or may not be found.
 *
 * Return: a folio that has page *@index, with a reference; or NULL.
 */
struct folio *scope_cache_next(struct address_space *mapping, pgoff_t *index, pgoff_t last)
{
	void *entry;

	while ((entry = xa_find(&mapping->i_pages, index, last, XA_PRESENT))) {
		struct folio *folio = NULL;

		if (!xa_is_value(entry))
			folio = filemap_get_folio(mapping, *index);
		if (!IS_ERR_OR_NULL(folio))
			return folio;
		if ((*index)++ == last)
			break;
	}
	return NULL;
}

/**
 * scope_cache_count() - how many pages of a range are cached
 * @mapping: the page cache
 * @first: first page
 * @last: last page, inclusive
 *
 * May sleep.
 */
unsigned long scope_cache_count(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	struct folio *folio;
	unsigned long nr = 0;

	while (first <= last && (folio = scope_cache_next(mapping, &first, last))) {
		pgoff_t next = folio->index + folio_nr_pages(folio);

		nr += min(next, last + 1) - first;
		first = next;
		folio_put(folio);
		cond_resched();
	}
	return nr;
}
