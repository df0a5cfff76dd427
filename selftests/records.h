/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a writer stores between two power cuts, so that whoever looks afterwards knows every byte.
 *
 * The writer stores batches of records and makes each batch durable before it begins the next.
 * All of it follows from a seed and the numbers of the cycle (from one power cut to the next), the
 * batch and the record.  Records go to two places:
 *
 *   - a log: one after the other, of many lengths, not aligned to anything, so that many cross
 *     pages.  What was confirmed is never written again.
 *   - a table of entries, in random order.  An entry has room for two generations of its record,
 *     and a new one overwrites the older of them, which a confirmed one has superseded: the newest
 *     confirmed one is never touched, as in every program that must survive a power cut.
 *
 *	page 0		page 1				...
 *	canary	|	table	|	log -->			|
 */
#ifndef SELFTESTS_RECORDS_H
#define SELFTESTS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#define TABLE_ENTRIES	256
#define BATCH_MAX	12
#define RECORD_MAX	20000

/**
 * struct record - one of a batch
 * @cycle: number of the cycle, from 1
 * @batch: number of the batch in the cycle, from 1
 * @nth: number of the record in the batch, from 0
 * @entry: of the table; -1 in the log
 * @gen: generation of the entry, from 1
 * @len: bytes, with the head
 * @pos: where on the device
 */
struct record {
	__u32 cycle;
	__u32 batch;
	__u32 nth;
	int entry;
	__u32 gen;
	__u32 len;
	__u64 pos;
};

/**
 * struct plan - what is confirmed, and so where the next records go
 * @seed: makes all contents differ from those of other seeds
 * @size: of the device
 * @log_pos: end of the log
 * @gen: newest generation of each entry; 0: none
 */
struct plan {
	__u64 seed;
	__u64 size;
	__u64 log_pos;
	__u32 gen[TABLE_ENTRIES];
};

void plan_init(struct plan *plan, __u64 seed, __u64 size);
/* A number that follows from its arguments, for whatever else is to be chosen about a batch. */
__u64 plan_draw(__u64 seed, __u32 cycle, __u32 batch, __u32 what);
/* The records of a batch, if all before it are confirmed.  Returns how many. */
int plan_batch(const struct plan *plan, __u32 cycle, __u32 batch,
	       struct record records[BATCH_MAX]);
/* The batch is confirmed. */
void plan_confirm(struct plan *plan, const struct record *records, int nr);

/* Where the two generations of an entry are, and how long they are. */
__u64 table_pos(int entry, __u32 gen);
__u32 table_len(int entry);
__u64 log_start(void);

/* Writes the bytes of a record to @at, which may be a mapping of the device. */
void record_fill(void *at, __u64 seed, const struct record *record);

/**
 * enum found - what there is in the place of a record
 * @FOUND_IT: it
 * @FOUND_ZEROS: nothing was ever written there, or it was lost
 * @FOUND_OTHER: another record, whole
 * @FOUND_TORN: none of these
 */
enum found { FOUND_IT, FOUND_ZEROS, FOUND_OTHER, FOUND_TORN };

enum found record_find(const void *at, __u64 seed, const struct record *record);
bool all_zeros(const void *at, size_t len);

#endif /* SELFTESTS_RECORDS_H */
