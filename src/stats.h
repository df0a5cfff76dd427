/* SPDX-License-Identifier: GPL-2.0 */
/* The counters: declared once, in MMAPSCOPE_STATS of the UAPI header. */
#ifndef MMAPSCOPE_STATS_H
#define MMAPSCOPE_STATS_H

#include <linux/mmapscope.h>
#include <linux/types.h>

/**
 * struct scope_counters - one CPU's share of the event counters
 * @value: indexed by enum mmapscope_stat; only ever added to, by this CPU.  Gauges and derived
 *	counters have a slot that stays 0.
 */
struct scope_counters {
	u64 value[MMAPSCOPE_NR_STATS];
};

#endif /* MMAPSCOPE_STATS_H */
