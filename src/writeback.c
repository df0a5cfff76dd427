// SPDX-License-Identifier: GPL-2.0
/*
 * From dirty to clean.
 *
 * The kernel decides when: the flusher because pages are old (kupdate) or many (background),
 * sync(2), fsync(2) and msync(2), removal.  All of them come through ->writepages, which writes
 * what is dirty in a range, page by page, and counts why.
 *
 * A page whose write fails stays dirty: the data are still only in memory, and whoever lifts the
 * cause wants them written.  The error goes into the mapping's errseq_t, so that the next fsync or
 * msync of each file that was open reports it, once.  Asking for durability always tries again at
 * once; the flusher waits, 1 s after the first failure and twice as long after each further one up
 * to 30 s, because it would otherwise spin: a page that was tried counts as progress there.
 *
 * A device keeps no more than a 64th of the memory so, and nothing if the kernel lets only less
 * than that be dirty.  What does not fit is given up, as file systems do with all of it: the page
 * is clean, its data are in the cache only, and the error has been reported.  It is lost from there
 * on until it becomes dirty again, or is written, or is made a hole.  While a device has such pages
 * it is not removed without force, and nothing of ours drops them from the cache; reclaim does.
 * Dirty pages that cannot be written would otherwise use up what all devices may have dirty.  For
 * the same reason the flusher waits only as long as it all fits: what nobody tries is not given up
 * either.
 *
 *	dirty --clear_dirty_for_io--> writeback --written--> clean          pages_cleaned
 *	  ^                              `------failed---> dirty again     pages_write_failed
 *	  `------------------------------------------------'               and pages_dirtied
 *
 * A page that is made dirty again while it is under writeback has entered dirty twice, and leaves
 * twice.
 */

#include <linux/backing-dev.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/writeback.h>

#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

#define BACKOFF_FIRST	HZ
#define BACKOFF_MAX	(30 * HZ)

/* So many pages that its store does not take a device may keep dirty: see keep_or_give_up(). */
static unsigned long scope_keep_limit;

/**
 * struct write_pass - one call of ->writepages
 * @run: what is being written
 * @cause: counter of the reason for it
 */
struct write_pass {
	struct scope_run run;
	enum mmapscope_stat cause;
};

/*
 * The flusher is a work item, and no work item of ours writes.  Work for memory pressure and the
 * first pass of sync(2) look the same here: both are "other".
 */
static enum mmapscope_stat writeback_cause(const struct writeback_control *wbc)
{
	if (wbc->sync_mode == WB_SYNC_ALL || !(current->flags & PF_WQ_WORKER))
		return MMAPSCOPE_STAT_wb_sync_pages;
	if (wbc->for_kupdate)
		return MMAPSCOPE_STAT_wb_periodic_pages;
	if (wbc->for_background)
		return MMAPSCOPE_STAT_wb_background_pages;
	return MMAPSCOPE_STAT_wb_other_pages;
}

static bool waiting(struct scope_device *dev)
{
	return unlikely(READ_ONCE(dev->write_backoff)) &&
	       time_before(jiffies, READ_ONCE(dev->write_retry_at));
}

/*
 * Many writes may end at once, and in interrupts.  Of those that end within one wait, none changes
 * it: neither do the failures of one pass lengthen it many times, nor does a page that could be
 * written shorten it, beside one that cannot.  The last one to know decides what follows, and each
 * answer was true a moment ago.
 */
static void update_backoff(struct scope_device *dev, int err)
{
	unsigned long backoff = READ_ONCE(dev->write_backoff);

	if (likely(!err && !backoff))
		return;
	if (waiting(dev))
		return;
	backoff = !err ? 0 : backoff ? min_t(unsigned long, 2 * backoff, BACKOFF_MAX) :
				       BACKOFF_FIRST;
	WRITE_ONCE(dev->write_retry_at, jiffies + backoff);
	WRITE_ONCE(dev->write_backoff, backoff);
	if (!err) {
		WRITE_ONCE(dev->keep, scope_keep_limit);
		WRITE_ONCE(dev->told_lost, false);
	}
}

/*
 * All that is dirty, exactly: a device that can write nothing keeps just as much as it may.  The
 * superblock may be on its way out, when the device has no inode.
 */
static unsigned long reclaimable(struct address_space *mapping)
{
	return wb_stat_sum(&inode_to_bdi(mapping->host)->wb, WB_RECLAIMABLE);
}

/*
 * Shall the flusher leave the store alone?  Not if more is dirty than the device may keep: that
 * must be tried, to be written or given up.  Each page is one less, so this does not make it spin.
 */
static bool backing_off(struct address_space *mapping, const struct writeback_control *wbc)
{
	struct scope_device *dev = scope_mapping_device(mapping);

	return wbc->sync_mode == WB_SYNC_NONE && waiting(dev) &&
	       reclaimable(mapping) <= READ_ONCE(dev->keep);
}

/*
 * Is so much dirty, of all devices, that whoever makes more dirty has to wait until it is less?
 * The kernel knows, and looks after every so many pages that a task has made dirty, as this one
 * has that comes here often.  The flag is as old as the answer.
 */
static bool over_the_limit(struct scope_device *dev)
{
	return balance_dirty_pages_ratelimited_flags(scope_mapping(dev), BDP_ASYNC) == -EAGAIN &&
	       READ_ONCE(inode_to_bdi(dev->inode)->wb.dirty_exceeded);
}

/* May these pages stay dirty, which the store did not take?  Those that it never saw may. */
static bool may_keep(struct scope_device *dev, pgoff_t first, pgoff_t last)
{
	if (page_set_add(&dev->kept, first, last))
		return false;
	if (page_set_count(&dev->kept) <= READ_ONCE(dev->keep))
		return true;
	page_set_remove(&dev->kept, first, last);
	return false;
}

/*
 * What becomes of a folio that the store did not take?  It is under writeback.  It stays dirty
 * unless too many have: they cannot be reclaimed, and all who dirty pages of whatever device would
 * be made to wait for them.  If they do that already, nothing is kept any more, until the store
 * takes a page.  If somebody makes it dirty at this very moment it is both, dirty and lost, until
 * it is written.
 */
static void keep_or_give_up(struct scope_device *dev, struct folio *folio)
{
	pgoff_t first = folio->index, last = first + folio_nr_pages(folio) - 1;

	if (unlikely(over_the_limit(dev)))
		WRITE_ONCE(dev->keep, 0);
	/* If somebody has made it dirty again already, it is kept in any case. */
	if (likely(may_keep(dev, first, last) || folio_test_dirty(folio)) ||
	    page_set_add(&dev->lost, first, last)) {
		scope_aops.dirty_folio(scope_mapping(dev), folio);
		return;
	}
	if (!xchg(&dev->told_lost, true))
		pr_warn_ratelimited("%s: %lu pages may wait for the store: others are cached only\n",
				    dev->name, READ_ONCE(dev->keep));
}

/**
 * scope_forget_failed() - the store has these pages now, or nobody wants them any more
 * @dev: the device
 * @first: first page
 * @last: last page, inclusive
 *
 * In any context.
 */
void scope_forget_failed(struct scope_device *dev, pgoff_t first, pgoff_t last)
{
	page_set_remove(&dev->kept, first, last);
	page_set_remove(&dev->lost, first, last);
}

/*
 * The end of a folio's writeback; in any context after success, in process context otherwise.
 * Dirtying it again here needs no folio lock: truncation waits for the writeback bit.  Everything
 * is counted before the bit is cleared, so that who waited for it, as fsync does, finds it counted.
 */
static void end_write(struct scope_device *dev, struct folio *folio, int err)
{
	unsigned long nr = folio_nr_pages(folio);

	update_backoff(dev, err);
	if (likely(!err)) {
		scope_stat_add(dev, MMAPSCOPE_STAT_pages_cleaned, nr);
		scope_forget_failed(dev, folio->index, folio->index + nr - 1);
	} else {
		mapping_set_error(scope_mapping(dev), err);
		scope_stat_add(dev, MMAPSCOPE_STAT_pages_write_failed, nr);
		keep_or_give_up(dev, folio);
	}
	folio_end_writeback(folio);
}

/*
 * One folio, locked and with its dirty flag just cleared.  ->page_mkwrite and write(2) wait for the
 * writeback bit, so that what is written does not change on the way.
 *
 * Return: 0, or an error, which ends a pass that nobody waits for.
 */
static int write_folio(struct folio *folio, struct writeback_control *wbc, void *data)
{
	struct write_pass *pass = data;
	struct scope_device *dev = pass->run.dev;
	unsigned long nr = folio_nr_pages(folio);
	int err;

	/* A request of this pass has failed: as if it had not looked at this folio. */
	if (unlikely(backing_off(folio->mapping, wbc))) {
		folio_redirty_for_writepage(wbc, folio);
		folio_unlock(folio);
		return -EIO;
	}
	scope_stat_add(dev, pass->cause, nr);
	folio_start_writeback(folio);
	folio_unlock(folio);

	err = scope_run_add(&pass->run, folio);
	if (unlikely(err))
		wbc->pages_skipped += nr;
	return err;
}

/**
 * scope_writepages() - ->writepages: write dirty pages of a range
 * @mapping: the page cache of a device
 * @wbc: which, how many, and for whom
 *
 * Return: 0.  Errors of the store are reported through the mapping's errseq_t, to each file that
 * wants to know; an errno here would be a second report to one of them.
 */
int scope_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	struct write_pass pass = {
		.run = {
			.dev = scope_mapping_device(mapping),
			.op = STORE_WRITE,
			.opf = wbc_to_write_flags(wbc),
			.end = end_write,
		},
		.cause = writeback_cause(wbc),
	};

	if (backing_off(mapping, wbc))
		return 0;
	compat_write_dirty_folios(mapping, wbc, write_folio, &pass);
	scope_run_end(&pass.run);
	return 0;
}

/**
 * scope_write_and_wait() - write what is dirty in a range, and wait
 * @mapping: the page cache of a device
 * @start: first byte
 * @end: last byte
 *
 * What counts is whether the store has the range afterwards.  The error that filemap_*() remembers
 * may be of a write that was repeated since, with success; it stays in the errseq_t for those who
 * call fsync.
 *
 * Return: 0, or the store's error, with pages left that are dirty or lost.
 */
int scope_write_and_wait(struct address_space *mapping, loff_t start, loff_t end)
{
	struct scope_device *dev = scope_mapping_device(mapping);
	pgoff_t after = (end >> PAGE_SHIFT) + 1;
	int err = filemap_write_and_wait_range(mapping, start, end);

	if (page_set_any(&dev->lost, start >> PAGE_SHIFT, end >> PAGE_SHIFT))
		return err ?: -EIO;
	if (err && scope_next_dirty(mapping, start >> PAGE_SHIFT, after) == after)
		err = 0;
	return err;
}

/**
 * scope_writeback_init_device() - what a device begins with
 * @dev: new
 */
void scope_writeback_init_device(struct scope_device *dev)
{
	dev->keep = scope_keep_limit;
}

/**
 * scope_writeback_init() - how many pages that cannot be written may stay dirty
 */
void __init scope_writeback_init(void)
{
	scope_keep_limit = max_t(unsigned long, totalram_pages() / 64, SZ_1M >> PAGE_SHIFT);
}
