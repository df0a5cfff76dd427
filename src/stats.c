// SPDX-License-Identifier: GPL-2.0
/*
 * Reading the counters.
 *
 * Events are counted per CPU, in 64 bits, and only ever upwards; a sum over the CPUs while they
 * count is a value that each counter had at some moment of the summing.  A reset writes no
 * counter: it remembers the sums, and readers subtract them.
 *
 * Three gauges come from the kernel's own books, not from ours, which makes the balance equation a
 * real check: pages_cached is the mapping's nrpages, pages_dirty and pages_writeback are the bdi's
 * WB_RECLAIMABLE and WB_WRITEBACK, and the bdi has no other inode.
 *
 * After a reset "entered" must start at what is inside.  For pages_dirtied the sum of all exits up
 * to the reset is subtracted instead of the entries: entries minus exits is what is inside, at
 * whatever moment each was read, so that a reset under load cannot bring the books out of balance.
 */

#include <linux/backing-dev.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>

#include "mmapscope.h"

#define STAT(name) MMAPSCOPE_STAT_##name

#define STAT_NAME(name, kind, text) #name,
const char * const scope_stat_names[MMAPSCOPE_NR_STATS] = {
	MMAPSCOPE_STATS(STAT_NAME)
};

/**
 * scope_stats_sum() - one counter since creation, whatever was reset
 * @dev: a device that the caller keeps from going away
 * @stat: no gauge
 */
u64 scope_stats_sum(struct scope_device *dev, enum mmapscope_stat stat)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(dev->counters, cpu)->value[stat]);
	return sum;
}

static void sum_counters(struct scope_device *dev, u64 *values)
{
	unsigned int i;

	for (i = 0; i < MMAPSCOPE_NR_STATS; i++)
		values[i] = scope_stats_sum(dev, i);
}

static void read_gauges(struct scope_device *dev, u64 *values)
{
	struct bdi_writeback *wb = &inode_to_bdi(dev->inode)->wb;

	values[STAT(pages_cached)] = READ_ONCE(scope_mapping(dev)->nrpages);
	values[STAT(pages_dirty)] = wb_stat_sum(wb, WB_RECLAIMABLE);
	values[STAT(pages_writeback)] = wb_stat_sum(wb, WB_WRITEBACK);
	values[STAT(store_pages)] = dev->store->ops->nr_pages(dev->store);
}

/*
 * What entered and is neither there any more nor was discarded left clean.  While pages come and go
 * the terms are of different moments, and the difference may be short of 0 for one.
 */
static u64 pages_evicted(const u64 *values)
{
	s64 evicted = values[STAT(pages_added)] - values[STAT(pages_cached)] -
		      values[STAT(pages_discarded)];

	return evicted > 0 ? evicted : 0;
}

/**
 * scope_stats_read() - all counters since creation or the last reset, and all gauges
 * @dev: a device that the caller keeps from going away
 * @values: array of MMAPSCOPE_NR_STATS
 *
 * May sleep.  Sums and baseline are of one moment, or a reset in between would leave less than 0.
 */
void scope_stats_read(struct scope_device *dev, u64 *values)
{
	unsigned int i;

	mutex_lock(&dev->baseline_lock);
	sum_counters(dev, values);
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++)
		values[i] -= dev->baseline[i];
	mutex_unlock(&dev->baseline_lock);
	read_gauges(dev, values);
	values[STAT(pages_evicted)] = pages_evicted(values);
}

/**
 * scope_stats_reset() - start counting from here
 * @dev: a device that the caller keeps from going away
 *
 * May sleep.  An event that happens during the reset is counted before it or after it.
 */
void scope_stats_reset(struct scope_device *dev)
{
	u64 base[MMAPSCOPE_NR_STATS];

	mutex_lock(&dev->baseline_lock);
	sum_counters(dev, base);
	base[STAT(pages_dirtied)] = base[STAT(pages_cleaned)] + base[STAT(pages_write_failed)] +
				    base[STAT(pages_discarded)];
	base[STAT(pages_added)] -= READ_ONCE(scope_mapping(dev)->nrpages);
	memcpy(dev->baseline, base, sizeof(base));
	mutex_unlock(&dev->baseline_lock);
}
