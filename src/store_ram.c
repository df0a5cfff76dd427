// SPDX-License-Identifier: GPL-2.0
/*
 * A sparse store in memory: an xarray of pages.  What is not there reads as zeros and takes no
 * memory.
 *
 * The page for an index is allocated when a folio there first becomes dirty, not when it is
 * written: writing then needs no memory, which is just what there is none of when memory pressure
 * makes the flusher write.  Until it is written the page holds zeros, the contents of the hole
 * that it was.
 *
 * Look-ups run under RCU and take a reference, so that a punch may free a page under a look-up; see
 * get_page_at().  Inserting and erasing take the xarray's lock.
 */

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

static unsigned long store_limit_mb;
module_param(store_limit_mb, ulong, 0444);
MODULE_PARM_DESC(store_limit_mb,
		 "memory that all RAM stores together may hold, in MiB (default 0: half of the memory)");

/* In pages; fixed at load. */
static long ram_limit;
/* Pages held by all RAM stores.  Touched only when a page is allocated or freed. */
static atomic_long_t ram_used;

/**
 * struct store_ram - a sparse array of pages
 * @store: what the rest of the module knows
 * @pages: index to struct page, each with a reference of its own
 * @nr_pages: how many
 */
struct store_ram {
	struct store store;
	struct xarray pages;
	atomic_long_t nr_pages;
};

static struct store_ram *to_ram(struct store *store)
{
	return container_of(store, struct store_ram, store);
}

/*
 * A reference to the page at @index, or NULL for a hole.  Between the look-up and taking the
 * reference, a punch may free the page, and somebody else may be given it: hence the test for 0,
 * and the second look at the slot.
 */
static struct page *get_page_at(struct store_ram *ram, pgoff_t index)
{
	XA_STATE(xas, &ram->pages, index);
	struct page *page;

	rcu_read_lock();
repeat:
	xas_reset(&xas);
	page = xas_load(&xas);
	if (xas_retry(&xas, page))
		goto repeat;
	if (page) {
		if (!get_page_unless_zero(page))
			goto repeat;
		if (unlikely(page != xas_reload(&xas))) {
			put_page(page);
			goto repeat;
		}
	}
	rcu_read_unlock();
	return page;
}

/*
 * Take pages off the limit: all of them, or none.  Who asks for more than there is must not be in
 * the way, not even for a moment, of one who asks for less.
 */
static bool charge(struct store_ram *ram, long nr)
{
	long used = atomic_long_read(&ram_used);

	do {
		if (nr > ram_limit - used)
			return false;
	} while (!atomic_long_try_cmpxchg(&ram_used, &used, used + nr));
	atomic_long_add(nr, &ram->nr_pages);
	return true;
}

static void uncharge(struct store_ram *ram, long nr)
{
	atomic_long_sub(nr, &ram_used);
	atomic_long_sub(nr, &ram->nr_pages);
}

/*
 * Give @index a page of zeros, which was charged.  Two who try at once, for instance fallocate(2)
 * and a fault, are decided by xa_cmpxchg().  __GFP_RETRY_MAYFAIL: tell the caller, who can tell
 * his, instead of calling the OOM killer.
 */
static int add_page(struct store_ram *ram, pgoff_t index, gfp_t gfp)
{
	struct page *page = alloc_page(gfp | __GFP_ZERO | __GFP_HIGHMEM);
	struct page *old;

	if (!page)
		return -ENOMEM;
	old = xa_cmpxchg(&ram->pages, index, NULL, page, gfp);
	if (likely(!old))
		return 0;
	put_page(page);
	return xa_is_err(old) ? xa_err(old) : -EEXIST;
}

static long count_holes(struct store_ram *ram, pgoff_t first, unsigned long nr)
{
	unsigned long i;
	long holes = 0;

	for (i = 0; i < nr; i++)
		holes += !xa_load(&ram->pages, first + i);
	return holes;
}

/*
 * The limit is asked for all pages at once, so that a large folio that does not fit takes nothing.
 * If memory runs out on the way, the pages that were added stay: they hold zeros, as the hole did.
 */
static int ram_reserve(struct store *store, pgoff_t first, unsigned long nr)
{
	struct store_ram *ram = to_ram(store);
	long holes = count_holes(ram, first, nr);
	unsigned long i;
	int err = 0;

	if (!holes)
		return 0;
	if (!charge(ram, holes))
		return -ENOSPC;
	for (i = 0; i < nr && holes; i++) {
		if (xa_load(&ram->pages, first + i))
			continue;
		err = add_page(ram, first + i,
			       GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
		if (err == -ENOMEM)
			break;
		holes -= !err;
		err = 0;
	}
	/* What was charged and not needed: somebody else filled a hole, or there was no memory. */
	uncharge(ram, holes);
	return err;
}

static int ram_read(struct store *store, struct folio *folio)
{
	struct store_ram *ram = to_ram(store);
	unsigned long i, nr = folio_nr_pages(folio), held = 0;

	for (i = 0; i < nr; i++) {
		struct page *page = get_page_at(ram, folio->index + i);

		if (!page) {
			clear_highpage(folio_page(folio, i));
			continue;
		}
		copy_highpage(folio_page(folio, i), page);
		put_page(page);
		held++;
	}
	if (held == nr)
		folio_set_mappedtodisk(folio);
	flush_dcache_folio(folio);
	return 0;
}

/* For a page that nobody reserved, while it is being written: without reclaim. */
static int reserve_nowait(struct store_ram *ram, pgoff_t index)
{
	int err;

	if (!charge(ram, 1))
		return -ENOSPC;
	err = add_page(ram, index, GFP_NOWAIT | __GFP_NOWARN);
	if (err)
		uncharge(ram, 1);
	return err == -EEXIST ? 0 : err;
}

/*
 * The page is there: it was reserved before the folio became dirty, and a punch takes the folio
 * first.  A page that somebody dirtied by a pin, behind the back of ->page_mkwrite, was read from
 * the store or written to it before, or is a hole that is allocated here, without reclaim.
 */
static int ram_write(struct store *store, struct folio *folio)
{
	struct store_ram *ram = to_ram(store);
	unsigned long i, nr = folio_nr_pages(folio);

	for (i = 0; i < nr; i++) {
		pgoff_t index = folio->index + i;
		struct page *page = get_page_at(ram, index);

		if (unlikely(!page)) {
			int err = reserve_nowait(ram, index);

			if (err)
				return err;
			page = get_page_at(ram, index);
			if (WARN_ON_ONCE(!page))
				return -EIO;
		}
		copy_highpage(page, folio_page(folio, i));
		put_page(page);
	}
	return 0;
}

/* As one asks for much by it, a fatal signal ends it; what was taken stays. */
static int ram_allocate(struct store *store, pgoff_t first, unsigned long nr)
{
	int err = 0;

	for (; nr && !err; first++, nr--) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = ram_reserve(store, first, 1);
		cond_resched();
	}
	return err;
}

static int ram_punch(struct store *store, pgoff_t first, unsigned long nr)
{
	struct store_ram *ram = to_ram(store);
	struct page *page;
	unsigned long index;

	xa_for_each_range(&ram->pages, index, page, first, first + nr - 1) {
		if (xa_erase(&ram->pages, index) != page)
			continue;
		put_page(page);
		uncharge(ram, 1);
		cond_resched();
	}
	return 0;
}

/* Memory is as durable as it will get. */
static int ram_sync(struct store *store)
{
	return 0;
}

static pgoff_t ram_next_data(struct store *store, pgoff_t index, pgoff_t end)
{
	unsigned long found = index;

	if (!xa_find(&to_ram(store)->pages, &found, end - 1, XA_PRESENT))
		return end;
	return found;
}

static pgoff_t ram_next_hole(struct store *store, pgoff_t index, pgoff_t end)
{
	XA_STATE(xas, &to_ram(store)->pages, index);
	struct page *page;

	rcu_read_lock();
	xas_for_each(&xas, page, end - 1) {
		if (xas_retry(&xas, page))
			continue;
		if (xas.xa_index != index)
			break;
		index++;
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return index;
}

static u64 ram_nr_pages(struct store *store)
{
	return atomic_long_read(&to_ram(store)->nr_pages);
}

static u32 ram_io_mode(struct store *store)
{
	return MMAPSCOPE_IO_MEMORY;
}

static void ram_destroy(struct store *store)
{
	struct store_ram *ram = to_ram(store);

	ram_punch(store, 0, ULONG_MAX);
	xa_destroy(&ram->pages);
	kfree(ram);
}

static const struct store_ops ram_ops = {
	.kind = MMAPSCOPE_STORE_RAM,
	.read = ram_read,
	.write = ram_write,
	.reserve = ram_reserve,
	.allocate = ram_allocate,
	.punch = ram_punch,
	.sync = ram_sync,
	.next_data = ram_next_data,
	.next_hole = ram_next_hole,
	.nr_pages = ram_nr_pages,
	.io_mode = ram_io_mode,
	.destroy = ram_destroy,
};

/**
 * store_ram_create() - make an empty RAM store
 *
 * Return: the store, or ERR_PTR(-ENOMEM).
 */
struct store *store_ram_create(void)
{
	struct store_ram *ram = kzalloc(sizeof(*ram), GFP_KERNEL);

	if (!ram)
		return ERR_PTR(-ENOMEM);
	ram->store.ops = &ram_ops;
	xa_init(&ram->pages);
	return &ram->store;
}

/**
 * store_ram_init() - check the limit that was asked for
 *
 * Return: 0, or -EINVAL if it is more than the machine has.
 */
int __init store_ram_init(void)
{
	unsigned long total = totalram_pages();
	unsigned long total_mb = total >> (20 - PAGE_SHIFT);

	if (store_limit_mb > total_mb) {
		pr_err("store_limit_mb=%lu: must be 0 (half of the memory) to %lu, which is all of it\n",
		       store_limit_mb, total_mb);
		return -EINVAL;
	}
	ram_limit = store_limit_mb ? store_limit_mb << (20 - PAGE_SHIFT) : total / 2;
	return 0;
}
