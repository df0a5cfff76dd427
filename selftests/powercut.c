// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's half of scripts/powercut: looks for what earlier runs were told to be durable, and
 * then stores records and makes them durable until the power is cut.
 *
 *	powercut --node DEVICE --report FILE --seed N [--hold N] [--check] [CONFIRMED...]
 *
 * CONFIRMED are the numbers of batches that were confirmed in the cycles before, oldest first.
 * Lines go to FILE, each by one write(2), which returns when the host has it:
 *
 *	check looked N lost N confirmed N unconfirmed N there N canary N
 *			first of all: see struct state; it ends with status 3 if something was lost
 *	canary N	this number was written to the store, and not flushed
 *	stored N	the records of batch N were stored to the mapping
 *	written N	and written to the store, not flushed
 *	confirmed N	and msync, or whatever it was this time, returned 0
 *	hold N		as "written", and nothing more will happen (--hold N)
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/mmapscope.h>

#include "records.h"
#include "util.h"

#define EXIT_LOST	3
/* Of lost records, so many are described. */
#define MAX_WORDS	20

/* What else is drawn for a batch: see plan_draw(). */
enum { DRAW_SYNC = 0x200, DRAW_PUSH, DRAW_HUGE };

/**
 * struct device - the device, and how the host is told
 * @fd: of the node
 * @report: side channel
 * @at: all of it
 * @size: bytes
 * @page: bytes
 */
struct device {
	int fd;
	int report;
	char *at;
	__u64 size;
	size_t page;
};

/* At the begin of the device: written in every batch, by itself and never flushed by itself. */
struct canary {
	__u32 cycle;
	__u32 batch;
};

static void __attribute__((format(printf, 2, 3)))
tell(const struct device *dev, const char *fmt, ...)
{
	char line[160];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (write(dev->report, line, len) != len)
		fatal("report: %m");
}

static void open_device(struct device *dev, const char *node, const char *channel)
{
	off_t size;

	dev->fd = open(node, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		fatal("%s: %m", node);
	dev->report = open(channel, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (dev->report < 0)
		fatal("%s: %m", channel);
	size = lseek(dev->fd, 0, SEEK_END);
	if (size < 0)
		fatal("size of %s: %m", node);
	dev->size = size;
	dev->page = sysconf(_SC_PAGESIZE);
	dev->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, 0);
	if (dev->at == MAP_FAILED)
		fatal("mmap of %s: %m", node);
}

/* --- looking for what was confirmed --- */

/**
 * struct slot - the place of one generation of an entry
 * @record: what was confirmed there last; its length is 0 as long as nothing was
 * @unknown: something else may have been written over it when the power was cut
 */
struct slot {
	struct record record;
	bool unknown;
};

/**
 * struct state - what must be on the device, and what was found
 * @plan: after what was confirmed so far
 * @slots: of the table
 * @log_end: how far the log may have been written
 * @looked: records that must be there, of all cycles
 * @lost: those of them that are not, and places where there should be nothing
 * @confirmed: records that were confirmed in the last cycle
 * @unconfirmed: those after them, which may be there
 * @there: those of these that are
 */
struct state {
	const struct device *dev;
	struct plan plan;
	struct slot slots[TABLE_ENTRIES][2];
	__u64 log_end;
	unsigned int looked;
	unsigned int lost;
	unsigned int confirmed;
	unsigned int unconfirmed;
	unsigned int there;
};

static const char * const found_names[] = {
	[FOUND_IT] = "it",
	[FOUND_ZEROS] = "zeros",
	[FOUND_OTHER] = "another record",
	[FOUND_TORN] = "something else",
};

static void note_lost(struct state *s, const struct record *record, enum found found)
{
	if (s->lost++ >= MAX_WORDS)
		return;
	printf("lost: cycle %u batch %u record %u, %u bytes at %llu", record->cycle, record->batch,
	       record->nth, record->len, (unsigned long long)record->pos);
	if (record->entry >= 0)
		printf(" (entry %d, generation %u)", record->entry, record->gen);
	printf(": found %s\n", found_names[found]);
}

static void look_for(struct state *s, const struct record *record)
{
	enum found found = record_find(s->dev->at + record->pos, s->plan.seed, record);

	s->looked++;
	if (found != FOUND_IT)
		note_lost(s, record, found);
}

static void must_be_zeros(struct state *s, __u64 pos, __u64 len)
{
	if (all_zeros(s->dev->at + pos, len))
		return;
	if (s->lost++ < MAX_WORDS)
		printf("lost: the zeros of %llu bytes at %llu, where nothing was ever stored\n",
		       (unsigned long long)len, (unsigned long long)pos);
}

/* The log is looked at record by record, the table when it is known what came last. */
static void confirm(struct state *s, const struct record *records, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		const struct record *record = &records[i];
		struct slot slot = { .record = *record };

		if (record->entry < 0)
			look_for(s, record);
		else
			s->slots[record->entry][record->gen % 2] = slot;
	}
	plan_confirm(&s->plan, records, nr);
	if (s->plan.log_pos > s->log_end)
		s->log_end = s->plan.log_pos;
}

/* The batch during which the power was cut. */
static void may_have_been(struct state *s, const struct record *records, int nr, bool last)
{
	int i;

	for (i = 0; i < nr; i++) {
		const struct record *record = &records[i];

		if (record->entry >= 0)
			s->slots[record->entry][record->gen % 2].unknown = true;
		else if (record->pos + record->len > s->log_end)
			s->log_end = record->pos + record->len;
		if (!last)
			continue;
		s->unconfirmed++;
		if (record_find(s->dev->at + record->pos, s->plan.seed, record) == FOUND_IT)
			s->there++;
	}
}

static void look_at_cycle(struct state *s, __u32 cycle, __u32 batches, bool last)
{
	struct record records[BATCH_MAX];
	__u32 batch;
	int nr;

	for (batch = 1; batch <= batches; batch++) {
		nr = plan_batch(&s->plan, cycle, batch, records);
		confirm(s, records, nr);
		if (last)
			s->confirmed += nr;
	}
	nr = plan_batch(&s->plan, cycle, batch, records);
	may_have_been(s, records, nr, last);
}

static void look_at_table(struct state *s)
{
	int entry, i;

	for (entry = 0; entry < TABLE_ENTRIES; entry++) {
		for (i = 0; i < 2; i++) {
			const struct slot *slot = &s->slots[entry][i];

			if (slot->unknown)
				continue;
			if (slot->record.len)
				look_for(s, &slot->record);
			else
				must_be_zeros(s, table_pos(entry, i), table_len(entry));
		}
	}
}

/* Returns whether nothing was lost, with the plan for what comes next. */
static bool look(const struct device *dev, struct plan *plan, int cycles, char **confirmed)
{
	static struct state s;
	const struct canary *canary = (const struct canary *)dev->at;
	__u32 batch = canary->cycle == (__u32)cycles ? canary->batch : 0;
	int i;

	s.dev = dev;
	s.plan = *plan;
	s.log_end = log_start();
	for (i = 0; i < cycles; i++)
		look_at_cycle(&s, i + 1, strtoul(confirmed[i], NULL, 10), i + 1 == cycles);
	look_at_table(&s);
	must_be_zeros(&s, s.log_end, dev->size - s.log_end);
	tell(dev, "check looked %u lost %u confirmed %u unconfirmed %u there %u canary %u\n",
	     s.looked, s.lost, s.confirmed, s.unconfirmed, s.there, batch);
	*plan = s.plan;
	return !s.lost;
}

/* --- storing --- */

/* From the first page of a range to its last one. */
static size_t whole_pages(const struct device *dev, __u64 *pos, size_t len)
{
	__u64 end = *pos + len;

	*pos -= *pos % dev->page;
	return (end - *pos + dev->page - 1) / dev->page * dev->page;
}

/* Written to the store, which may forget it; not flushed. */
static int push(const struct device *dev, __u64 pos, size_t len)
{
	struct mmapscope_evict evict = { .size = sizeof(evict) };

	evict.length = whole_pages(dev, &pos, len);
	evict.offset = pos;
	return ioctl(dev->fd, MMAPSCOPE_IOC_EVICT, &evict);
}

/**
 * struct batch - what is to be made durable now
 * @dev: where
 * @records: stored to the mapping, and perhaps written already
 * @nr: how many
 */
struct batch {
	const struct device *dev;
	struct record records[BATCH_MAX];
	int nr;
};

static int sync_msync(const struct batch *batch)
{
	return msync(batch->dev->at, batch->dev->size, MS_SYNC);
}

static int sync_ranges(const struct batch *batch)
{
	int i, err = 0;

	for (i = 0; i < batch->nr && !err; i++) {
		__u64 pos = batch->records[i].pos;
		size_t len = whole_pages(batch->dev, &pos, batch->records[i].len);

		err = msync(batch->dev->at + pos, len, MS_SYNC);
	}
	return err;
}

static int sync_fsync(const struct batch *batch)
{
	return fsync(batch->dev->fd);
}

static int sync_fdatasync(const struct batch *batch)
{
	return fdatasync(batch->dev->fd);
}

static int sync_ioctl(const struct batch *batch)
{
	struct mmapscope_sync arg = { .size = sizeof(arg) };

	return ioctl(batch->dev->fd, MMAPSCOPE_IOC_SYNC, &arg);
}

static int sync_system(const struct batch *batch)
{
	(void)batch;
	sync();
	return 0;
}

/* The same bytes once more, each record durable by itself. */
static int sync_write(const struct batch *batch)
{
	static char buf[RECORD_MAX];
	int i;

	for (i = 0; i < batch->nr; i++) {
		const struct record *record = &batch->records[i];
		struct iovec iov = { .iov_base = buf, .iov_len = record->len };

		memcpy(buf, batch->dev->at + record->pos, record->len);
		if (pwritev2(batch->dev->fd, &iov, 1, record->pos, RWF_DSYNC) != record->len)
			return -1;
	}
	return 0;
}

/* The ways to make a batch durable.  What stands twice is taken twice as often. */
static const struct way {
	const char *name;
	int (*sync)(const struct batch *batch);
} ways[] = {
	{ "msync", sync_msync },
	{ "msync", sync_msync },
	{ "msync", sync_msync },
	{ "msync of ranges", sync_ranges },
	{ "msync of ranges", sync_ranges },
	{ "fsync", sync_fsync },
	{ "fdatasync", sync_fdatasync },
	{ "the ioctl", sync_ioctl },
	{ "sync", sync_system },
	{ "RWF_DSYNC", sync_write },
};

#define NR_WAYS	(sizeof(ways) / sizeof(ways[0]))

static void store_canary(const struct device *dev, __u32 cycle, __u32 batch)
{
	*(struct canary *)dev->at = (struct canary) { .cycle = cycle, .batch = batch };
	if (push(dev, 0, sizeof(struct canary)))
		fatal("evict: %m");
	tell(dev, "canary %u\n", batch);
}

static void store_records(const struct batch *batch, __u64 seed)
{
	int i;

	for (i = 0; i < batch->nr; i++)
		record_fill(batch->dev->at + batch->records[i].pos, seed, &batch->records[i]);
}

static void write_batch(const struct batch *batch, __u64 seed, __u32 hold)
{
	const struct device *dev = batch->dev;
	__u32 cycle = batch->records->cycle, nth = batch->records->batch;
	const struct way *way;

	store_canary(dev, cycle, nth);
	store_records(batch, seed);
	tell(dev, "stored %u\n", nth);
	/* Sometimes nothing is dirty any more when it is to be made durable. */
	if (nth == hold || !(plan_draw(seed, cycle, nth, DRAW_PUSH) % 3)) {
		if (push(dev, 0, dev->size))
			fatal("evict: %m");
		tell(dev, "%s %u\n", nth == hold ? "hold" : "written", nth);
	}
	while (nth == hold)
		pause();
	way = &ways[plan_draw(seed, cycle, nth, DRAW_SYNC) % NR_WAYS];
	if (way->sync(batch))
		fatal("batch %u, %s: %m", nth, way->name);
	tell(dev, "confirmed %u\n", nth);
}

static void __attribute__((noreturn))
write_until_cut(const struct device *dev, struct plan *plan, __u32 cycle, __u32 hold)
{
	struct batch batch = { .dev = dev };
	__u32 nth;

	if (!(plan_draw(plan->seed, cycle, 0, DRAW_HUGE) % 4))
		madvise(dev->at, dev->size, MADV_HUGEPAGE);
	for (nth = 1;; nth++) {
		batch.nr = plan_batch(plan, cycle, nth, batch.records);
		write_batch(&batch, plan->seed, hold);
		plan_confirm(plan, batch.records, batch.nr);
	}
}

int main(int argc, char **argv)
{
	enum { NODE, REPORT, SEED, HOLD, CHECK };
	static const struct option options[] = {
		{ "node", required_argument, NULL, NODE },
		{ "report", required_argument, NULL, REPORT },
		{ "seed", required_argument, NULL, SEED },
		{ "hold", required_argument, NULL, HOLD },
		{ "check", no_argument, NULL, CHECK },
		{ 0 }
	};
	const char *values[CHECK + 1] = { 0 };
	struct device dev;
	struct plan plan;
	int choice;

	while ((choice = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (choice > CHECK)
			return 2;
		values[choice] = optarg ? optarg : "";
	}
	if (!values[NODE] || !values[REPORT] || !values[SEED])
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_device(&dev, values[NODE], values[REPORT]);
	plan_init(&plan, strtoull(values[SEED], NULL, 10), dev.size);
	if (!look(&dev, &plan, argc - optind, argv + optind))
		return EXIT_LOST;
	if (!values[CHECK])
		write_until_cut(&dev, &plan, argc - optind + 1,
				values[HOLD] ? strtoul(values[HOLD], NULL, 10) : 0);
	return 0;
}
