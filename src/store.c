// SPDX-License-Identifier: GPL-2.0
/*
 * The one door between the page cache and a store: what is done to every request is done here, or
 * in io.c if the store answers later.
 */

#include <linux/mm.h>
#include <linux/pagemap.h>

#include "mmapscope.h"

/* The counters of a kind of request. */
static const struct {
	enum mmapscope_stat ops;
	enum mmapscope_stat pages;
	enum mmapscope_stat errors;
} request_stats[] = {
	[STORE_READ] = {
		MMAPSCOPE_STAT_store_read_ops,
		MMAPSCOPE_STAT_store_read_pages,
		MMAPSCOPE_STAT_store_read_errors,
	},
	[STORE_WRITE] = {
		MMAPSCOPE_STAT_store_write_ops,
		MMAPSCOPE_STAT_store_write_pages,
		MMAPSCOPE_STAT_store_write_errors,
	},
};

/**
 * scope_count_request() - count a request that was answered
 * @dev: the device
 * @op: STORE_READ or STORE_WRITE
 * @nr: pages in it
 * @err: 0 or what it failed with
 */
void scope_count_request(struct scope_device *dev, enum store_op op, unsigned long nr, int err)
{
	scope_stat_inc(dev, request_stats[op].ops);
	scope_stat_add(dev, request_stats[op].pages, nr);
	if (unlikely(err))
		scope_stat_inc(dev, request_stats[op].errors);
}

/**
 * scope_store_hooks() - do to a request what the selftests want done to it
 * @dev: the device
 * @op: kind of request
 * @index: first page
 * @nr: how many
 *
 * May sleep.
 *
 * Return: 0, or the errno that the request shall fail with.
 */
int scope_store_hooks(struct scope_device *dev, enum store_op op, pgoff_t index, unsigned long nr)
{
	if (likely(!dev->hooks))
		return 0;
	return scope_testhook_run(dev->hooks, op, index, nr);
}

/* A folio, to or from a store that answers at once. */
static int transfer(struct scope_device *dev, enum store_op op, struct folio *folio)
{
	const struct store_ops *ops = dev->store->ops;
	int err = scope_store_hooks(dev, op, folio->index, folio_nr_pages(folio));

	if (unlikely(err))
		return err;
	return op == STORE_READ ? ops->read(dev->store, folio) : ops->write(dev->store, folio);
}

/* Requests that were answered at once are counted when their run is over. */
static void count_run(struct scope_run *run)
{
	if (run->nr)
		scope_count_request(run->dev, run->op, run->nr, run->err);
	run->nr = 0;
	run->err = 0;
}

static int add_now(struct scope_run *run, struct folio *folio)
{
	unsigned long nr = folio_nr_pages(folio);
	pgoff_t index = folio->index;
	int err = transfer(run->dev, run->op, folio);

	run->end(run->dev, folio, err);
	if (index != run->next)
		count_run(run);
	run->nr += nr;
	run->next = index + nr;
	run->err = run->err ?: err;
	return err;
}

static void add_later(struct scope_run *run, struct folio *folio)
{
	/* The folio may be gone as soon as it is submitted. */
	pgoff_t next = folio->index + folio_nr_pages(folio);

	if (run->io && folio->index != run->next)
		scope_run_end(run);
	if (!run->io || !store_io_add(run->io, folio)) {
		scope_run_end(run);
		run->io = store_io_alloc(run->dev, run->op, run->opf, run->end);
		store_io_add(run->io, folio);
	}
	run->next = next;
}

/**
 * scope_run_add() - read or write one more folio
 * @run: see struct scope_run
 * @folio: locked (to be read) or under writeback; the store lets it go by @run->end
 *
 * May sleep.
 *
 * Return: 0, or the error of a store that answers at once.
 */
int scope_run_add(struct scope_run *run, struct folio *folio)
{
	if (!run->dev->store->queue)
		return add_now(run, folio);
	add_later(run, folio);
	return 0;
}

/**
 * scope_run_end() - that was all for now
 * @run: can be used again
 *
 * May sleep.
 */
void scope_run_end(struct scope_run *run)
{
	count_run(run);
	if (run->io)
		store_io_submit(run->io);
	run->io = NULL;
}

/* Some file systems say so when the caller is killed: that is no failure of the store's. */
static int killed(int err)
{
	return err == -ERESTARTSYS ? -EINTR : err;
}

/**
 * scope_store_sync() - make durable what was written
 * @dev: the device
 *
 * A flush that failed concerns all who have written: each open file learns of it at its next fsync.
 * A file system tells its error once, so whoever flushes at the same time must not miss it:
 * sync_lock makes asking and taking note one step.
 *
 * Return: 0, the store's errno, or -EINTR: a fatal signal came.
 */
int scope_store_sync(struct scope_device *dev)
{
	int err;

	if (mutex_lock_killable(&dev->sync_lock))
		return -EINTR;
	err = scope_store_hooks(dev, STORE_SYNC, 0, ULONG_MAX);
	scope_stat_inc(dev, MMAPSCOPE_STAT_store_sync_ops);
	err = err ?: killed(dev->store->ops->sync(dev->store));
	if (err && err != -EINTR)
		mapping_set_error(scope_mapping(dev), err);
	mutex_unlock(&dev->sync_lock);
	return err;
}
