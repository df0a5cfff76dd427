// SPDX-License-Identifier: GPL-2.0
/*
 * Out of the page cache on request: evict keeps the contents, punch makes them zeros.  Reclaim
 * needs nothing from here: clean pages are on the kernel's own LRU lists.
 */

#include <linux/fadvise.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "mmapscope.h"

/* How often, a tick apart, a folio is tried that somebody holds: one that has to go, or should. */
#define DROP_TRIES	50
#define DROP_TRIES_SHORT	5

/**
 * struct page_range - whole pages of a device
 * @start: first byte
 * @end: first byte after it
 */
struct page_range {
	loff_t start;
	loff_t end;
};

static pgoff_t first_page(const struct page_range *range)
{
	return range->start >> PAGE_SHIFT;
}

static pgoff_t last_page(const struct page_range *range)
{
	return (range->end - 1) >> PAGE_SHIFT;
}

/*
 * Check a range from user space: no overflow, begins within the device.  The caller decides what a
 * range that reaches beyond the end means.
 */
static int make_range(struct scope_device *dev, u64 offset, u64 length, struct page_range *range)
{
	u64 end;

	if (check_add_overflow(offset, length, &end) || end > SCOPE_MAX_SIZE)
		return -EINVAL;
	if (offset >= scope_device_size(dev))
		return -EINVAL;
	range->start = offset;
	range->end = end;
	return 0;
}

static int dontneed(struct file *file, pgoff_t first, pgoff_t last)
{
	return vfs_fadvise(file, (loff_t)first << PAGE_SHIFT,
			   (loff_t)(last - first + 1) << PAGE_SHIFT, POSIX_FADV_DONTNEED);
}

/*
 * Drop what is clean and mapped nowhere.  Pages that sit in another CPU's LRU batch have a
 * reference more than they should: POSIX_FADV_DONTNEED drains the batches, which no exported
 * function does, but it also starts to write what is dirty.
 */
static int drop_clean(struct file *file, pgoff_t first, pgoff_t last, bool may_write)
{
	if (may_write)
		return dontneed(file, first, last);
	invalidate_mapping_pages(file->f_mapping, first, last);
	return 0;
}

/*
 * The first page from @index on that must not go, and in *@next the first one after its folio; or
 * @last + 1 for both: the cache is the only place where its data are, or, if @mlocked too, somebody
 * has locked it into memory.  That may change at any time.
 */
static pgoff_t find_kept(struct address_space *mapping, pgoff_t index, pgoff_t last, bool mlocked,
			 pgoff_t *next)
{
	struct scope_device *dev = scope_mapping_device(mapping);
	struct folio *folio;

	while (index <= last && (folio = scope_cache_next(mapping, &index, last))) {
		bool kept = mlocked && folio_test_mlocked(folio);

		*next = folio->index + folio_nr_pages(folio);
		kept = kept || page_set_any(&dev->lost, folio->index, *next - 1);
		folio_put(folio);
		if (kept)
			return index;
		index = *next;
		cond_resched();
	}
	*next = last + 1;
	return last + 1;
}

/*
 * Neither unmapping nor dropping respects any of that: go around it.  If not @unmap, what is locked
 * into memory is mapped, and stays by itself.
 *
 * Return: 1 if something was kept, 0 if not, or an errno.
 */
static int drop_others(struct file *file, pgoff_t first, pgoff_t last, bool may_write, bool unmap)
{
	struct address_space *mapping = file->f_mapping;
	bool kept = false;
	int err = 0;

	while (first <= last && !err) {
		pgoff_t next, end = find_kept(mapping, first, last, unmap, &next);

		kept |= end <= last;
		if (end > first && unmap)
			unmap_mapping_pages(mapping, first, end - first, false);
		if (end > first)
			err = drop_clean(file, first, end - 1, may_write);
		if (fatal_signal_pending(current))
			err = -EINTR;
		first = next;
	}
	return err ?: kept;
}

/**
 * scope_evict() - drop pages from the cache, keeping the contents
 * @file: an open file of the device
 * @evict: the request; @evict->evicted and @evict->remaining are filled in
 *
 * Races with faults and writes only in what it finds: each page is judged by the kernel under its
 * lock, and one that is used or dirtied meanwhile stays.
 *
 * Return: 0, -EINVAL for the range, or an error of the store.
 */
int scope_evict(struct file *file, struct mmapscope_evict *evict)
{
	struct scope_device *dev = file->private_data;
	struct address_space *mapping = file->f_mapping;
	bool may_write = !(evict->flags & MMAPSCOPE_EVICT_NO_WRITE);
	struct page_range range;
	unsigned long before, after;
	loff_t size;
	int err;

	if (!IS_ALIGNED(evict->offset | evict->length, PAGE_SIZE))
		return -EINVAL;
	err = make_range(dev, evict->offset, evict->length, &range);
	if (err)
		return err;
	size = scope_device_size(dev);
	if (!evict->length || range.end > size)
		range.end = size;
	if (range.start >= range.end)
		return -EINVAL;
	if (may_write) {
		err = scope_write_and_wait(mapping, range.start, range.end - 1);
		if (err)
			return err;
	}
	before = scope_cache_count(mapping, first_page(&range), last_page(&range));
	err = drop_others(file, first_page(&range), last_page(&range), may_write, true);
	/*
	 * The mark of mlock(2) outlives the process until the batch of the CPU on which that died
	 * is drained, which this has done: what is mapped nowhere goes now.
	 */
	if (err > 0 && may_write)
		err = drop_others(file, first_page(&range), last_page(&range), true, false);
	if (err < 0)
		return err;
	after = scope_cache_count(mapping, first_page(&range), last_page(&range));
	evict->evicted = before > after ? before - after : 0;
	evict->remaining = after;
	return 0;
}

static bool is_large_at(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);
	bool large;

	if (IS_ERR_OR_NULL(folio))
		return false;
	large = folio_test_large(folio);
	folio_put(folio);
	return large;
}

/*
 * Write back, unmap and drop one folio.  The kernel drops only what nobody else refers to.
 * Somebody may do so for a moment, or dirty it again until it is gone: try for a while.  Others may
 * drop it as well.
 */
static int drop_folio(struct address_space *mapping, pgoff_t from, pgoff_t to, int tries)
{
	int err;

	for (;;) {
		if (signal_pending(current))
			return -EINTR;
		err = scope_write_and_wait(mapping, (loff_t)from << PAGE_SHIFT,
					   ((loff_t)(to + 1) << PAGE_SHIFT) - 1);
		if (err)
			return err;
		unmap_mapping_pages(mapping, from, to - from + 1, false);
		if (invalidate_mapping_pages(mapping, from, to) || !is_large_at(mapping, from))
			return 0;
		if (!--tries)
			return -EBUSY;
		schedule_timeout_interruptible(1);
	}
}

/**
 * scope_drop_large() - write back and drop every large folio that has pages in a range
 * @mapping: the page cache of a device; the caller holds i_rwsem and invalidate_lock
 * @first: first page
 * @last: last page, inclusive
 *
 * Nobody can add folios meanwhile.  A folio that somebody refers to, for instance to do direct I/O
 * into it, must stay: what arrives later would be lost.
 *
 * Return: 0, with no page of the range in a large folio; -EBUSY: a folio is in use; -EINTR: a
 * signal; or an error of the store.
 */
int scope_drop_large(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	struct folio *folio;
	int err = 0;

	while (!err && first <= last) {
		pgoff_t from, next;
		bool large;

		folio = scope_cache_next(mapping, &first, last);
		if (!folio)
			break;
		from = folio->index;
		next = from + folio_nr_pages(folio);
		large = folio_test_large(folio);
		folio_put(folio);
		if (large)
			err = drop_folio(mapping, from, next - 1, DROP_TRIES);
		first = next;
		cond_resched();
	}
	return err;
}

/*
 * Truncation must not meet a large folio of which only a part is to go, to the one side of the
 * beginning of page @index.  It would split it, and if somebody came between its two splits take
 * away what is to stay, without a word that it was dirty.
 *
 * Whoever has locked the folio into memory keeps it, and nobody waits long for whoever holds it:
 * the caller has another way.
 */
static void drop_across(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);
	bool across, locked;
	pgoff_t from, last;

	if (IS_ERR_OR_NULL(folio))
		return;
	from = folio->index;
	last = from + folio_nr_pages(folio) - 1;
	across = from < index;
	locked = folio_test_mlocked(folio);
	folio_put(folio);
	if (across && !locked)
		drop_folio(mapping, from, last, DROP_TRIES_SHORT);
}

/* Zeros for pages of a folio that stays.  The caller holds invalidate_lock. */
static int zero_pages(struct scope_device *dev, pgoff_t first, pgoff_t end)
{
	int err = 0;

	for (; first < end && !err; first++) {
		err = scope_cache_zero(dev, (loff_t)first << PAGE_SHIFT, PAGE_SIZE, false);
		cond_resched();
	}
	return err;
}

/* Narrow a range by the pages of folios that reach beyond its ends. */
static void leave_folios_across(struct address_space *mapping, pgoff_t *first, pgoff_t *end)
{
	struct folio *folio = filemap_get_folio(mapping, *first);

	if (!IS_ERR_OR_NULL(folio)) {
		if (folio->index < *first)
			*first = min(folio->index + folio_nr_pages(folio), *end);
		folio_put(folio);
	}
	folio = filemap_get_folio(mapping, *end);
	if (!IS_ERR_OR_NULL(folio)) {
		if (folio->index < *end)
			*end = max(folio->index, *first);
		folio_put(folio);
	}
}

static int punch_whole(struct scope_device *dev, pgoff_t first, pgoff_t end)
{
	int err;

	if (first >= end)
		return 0;
	truncate_pagecache_range(dev->inode, (loff_t)first << PAGE_SHIFT,
				 ((loff_t)end << PAGE_SHIFT) - 1);
	err = dev->store->ops->punch(dev->store, first, end - first);
	if (!err)
		scope_forget_failed(dev, first, end - 1);
	return err;
}

/*
 * Pages @first to before @end become a hole.  The caller holds i_rwsem and invalidate_lock.
 *
 * Those that are in a folio which reaches beyond an end, and which cannot be dropped because
 * somebody holds it or the store does not take it, are zeroed instead.  The store keeps its room
 * for them, because the zeros will be written.
 */
static int punch_pages(struct scope_device *dev, pgoff_t first, pgoff_t end)
{
	struct address_space *mapping = scope_mapping(dev);
	pgoff_t begin = first, after = end;
	int err;

	drop_across(mapping, first);
	drop_across(mapping, end);
	if (fatal_signal_pending(current))
		return -EINTR;
	leave_folios_across(mapping, &first, &end);
	err = punch_whole(dev, first, end);
	if (!err)
		err = zero_pages(dev, begin, first);
	return err ?: zero_pages(dev, end, after);
}

/* Zero the parts of pages at both ends of a range, and narrow it to whole pages. */
static int zero_edges(struct scope_device *dev, struct page_range *range)
{
	loff_t start = round_up(range->start, PAGE_SIZE);
	loff_t end = round_down(range->end, PAGE_SIZE);
	int err = 0;

	if (start > end)
		return scope_cache_zero(dev, range->start, range->end - range->start, true) ?: 1;
	if (range->start < start)
		err = scope_cache_zero(dev, range->start, start - range->start, true);
	if (!err && end < range->end)
		err = scope_cache_zero(dev, end, range->end - end, true);
	range->start = start;
	range->end = end;
	return err ?: start == end;
}

/**
 * scope_punch() - make a range of the device a hole
 * @dev: a device that the caller has open for writing
 * @offset: first byte
 * @length: bytes
 *
 * i_rwsem keeps write(2) out, invalidate_lock everybody who would fill the cache from the store,
 * so that between emptying the cache and emptying the store nothing can bring the old bytes back.
 * Parts of pages are zeroed in the cache.
 *
 * Return: 0, -EINVAL for the range, -ENODEV if the device is dead, -EINTR, or an error of the
 * store.
 */
int scope_punch(struct scope_device *dev, loff_t offset, loff_t length)
{
	struct inode *inode = dev->inode;
	struct page_range range;
	int err;

	err = scope_inode_lock(inode);
	if (err)
		return err;
	err = -ENODEV;
	if (scope_device_dead(dev))
		goto out;
	err = make_range(dev, offset, length, &range);
	if (!err && (!length || range.end > dev->size))
		err = -EINVAL;
	if (!err)
		err = zero_edges(dev, &range);
	if (!err) {
		filemap_invalidate_lock(inode->i_mapping);
		err = punch_pages(dev, first_page(&range), last_page(&range) + 1);
		filemap_invalidate_unlock(inode->i_mapping);
	}
out:
	inode_unlock(inode);
	return err < 0 ? err : 0;
}
