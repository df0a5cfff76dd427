// SPDX-License-Identifier: GPL-2.0
/* Records that power cuts must not destroy: see records.h. */
#include <string.h>

#include "records.h"

#define RECORD_MAGIC	0x6d6d617073636f70ULL
#define TABLE_START	4096
#define GOLDEN		0x9e3779b97f4a7c15ULL

struct head {
	__u64 magic;
	__u64 seed;
	__u32 cycle;
	__u32 batch;
	__u32 nth;
	__u32 len;
	__u64 sum;	/* of all bytes of the record, this one as 0 */
};

/* Multiples of 8. */
static const __u32 table_sizes[] = { 64, 200, 512, 1000, 2056, 4096, 6000, 9000 };
static const __u32 log_sizes[] = { 48, 64, 136, 520, 1000, 3000, 4096, 4104, 8200, RECORD_MAX };

#define NR(array)	(sizeof(array) / sizeof((array)[0]))

/* The finaliser of splitmix64: each bit of the result depends on each bit of @x. */
static __u64 mix(__u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

__u64 plan_draw(__u64 seed, __u32 cycle, __u32 batch, __u32 what)
{
	__u64 x = mix(seed + GOLDEN);

	x = mix(x + cycle * GOLDEN);
	x = mix(x + batch * GOLDEN);
	return mix(x + what * GOLDEN);
}

__u32 table_len(int entry)
{
	return table_sizes[entry % NR(table_sizes)];
}

__u64 table_pos(int entry, __u32 gen)
{
	__u64 pos = TABLE_START;
	int i;

	for (i = 0; i < entry; i++)
		pos += 2 * table_len(i);
	return pos + (gen % 2) * table_len(entry);
}

__u64 log_start(void)
{
	return table_pos(TABLE_ENTRIES, 0);
}

void plan_init(struct plan *plan, __u64 seed, __u64 size)
{
	memset(plan, 0, sizeof(*plan));
	plan->seed = seed;
	plan->size = size;
	plan->log_pos = log_start();
}

static bool entry_taken(const struct record *records, int nr, int entry)
{
	int i;

	for (i = 0; i < nr; i++)
		if (records[i].entry == entry)
			return true;
	return false;
}

/* One generation of an entry per batch, or its newest confirmed one would be overwritten. */
static void plan_table(const struct plan *plan, struct record *records, int nth, __u64 draw)
{
	struct record *record = &records[nth];
	int entry = draw % TABLE_ENTRIES;

	while (entry_taken(records, nth, entry))
		entry = (entry + 1) % TABLE_ENTRIES;
	record->entry = entry;
	record->gen = plan->gen[entry] + 1;
	record->len = table_len(entry);
	record->pos = table_pos(entry, record->gen);
}

int plan_batch(const struct plan *plan, __u32 cycle, __u32 batch,
	       struct record records[BATCH_MAX])
{
	int nr = 1 + plan_draw(plan->seed, cycle, batch, 0) % BATCH_MAX;
	__u64 log_pos = plan->log_pos;
	int i;

	for (i = 0; i < nr; i++) {
		__u64 draw = plan_draw(plan->seed, cycle, batch, 1 + i);

		records[i] = (struct record) {
			.cycle = cycle,
			.batch = batch,
			.nth = i,
			.entry = -1,
			.len = log_sizes[(draw >> 8) % NR(log_sizes)],
			.pos = log_pos,
		};
		/* A log that is full stays as it is. */
		if (draw & 1 || log_pos + records[i].len > plan->size)
			plan_table(plan, records, i, draw >> 8);
		else
			log_pos += records[i].len;
	}
	return nr;
}

void plan_confirm(struct plan *plan, const struct record *records, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		if (records[i].entry >= 0)
			plan->gen[records[i].entry] = records[i].gen;
		else
			plan->log_pos = records[i].pos + records[i].len;
	}
}

static __u64 sum_words(__u64 sum, const void *at, size_t len)
{
	__u64 word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, (const char *)at + i, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ULL;
		sum ^= sum >> 29;
	}
	return sum;
}

/* Of a record that is in ordinary memory. */
static __u64 record_sum(const struct head *at, size_t len)
{
	struct head head = *at;

	head.sum = 0;
	return sum_words(sum_words(GOLDEN, &head, sizeof(head)), at + 1, len - sizeof(head));
}

static void build(void *buf, __u64 seed, const struct record *record)
{
	__u64 key = plan_draw(seed, record->cycle, record->batch, 0x100 + record->nth);
	struct head *head = buf;
	__u64 *words = buf;
	size_t i;

	*head = (struct head) {
		.magic = RECORD_MAGIC,
		.seed = seed,
		.cycle = record->cycle,
		.batch = record->batch,
		.nth = record->nth,
		.len = record->len,
	};
	for (i = sizeof(*head) / sizeof(*words); i < record->len / sizeof(*words); i++)
		words[i] = mix(key + i * GOLDEN);
	head->sum = record_sum(head, record->len);
}

static __u64 scratch[2][RECORD_MAX / sizeof(__u64)];

void record_fill(void *at, __u64 seed, const struct record *record)
{
	build(scratch[0], seed, record);
	memcpy(at, scratch[0], record->len);
}

bool all_zeros(const void *at, size_t len)
{
	const char *p = at;

	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

enum found record_find(const void *at, __u64 seed, const struct record *record)
{
	const struct head *head = (const struct head *)scratch[1];

	build(scratch[0], seed, record);
	if (!memcmp(at, scratch[0], record->len))
		return FOUND_IT;
	if (all_zeros(at, record->len))
		return FOUND_ZEROS;
	memcpy(scratch[1], at, record->len);
	if (head->magic == RECORD_MAGIC && head->len >= sizeof(*head) &&
	    head->len <= record->len && !(head->len % sizeof(__u64)) &&
	    head->sum == record_sum(head, head->len))
		return FOUND_OTHER;
	return FOUND_TORN;
}
