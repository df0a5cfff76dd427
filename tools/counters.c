// SPDX-License-Identifier: GPL-2.0
/*
 * A device's counters.  Their names come from the list in the header of the interface only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static void get_counter(const struct column *column, const void *row, struct cell *cell)
{
	cell->number = ((const struct sample *)row)->value[column->index];
}

#define COUNTER_COLUMN(counter, kind, text) \
	{ #counter, #counter, COLUMN_NUMBER, MMAPSCOPE_STAT_##counter, get_counter },

static const struct column counter_column[] = {
	MMAPSCOPE_STATS(COUNTER_COLUMN)
};

#define IS_GAUGE_C false
#define IS_GAUGE_G true
#define COUNTER_GAUGE(counter, kind, text) IS_GAUGE_##kind,

static const bool gauges[] = {
	MMAPSCOPE_STATS(COUNTER_GAUGE)
};

/**
 * counter_is_gauge() - whether a counter says how it is now
 * @index: enum mmapscope_stat
 *
 * Return: false if it counts events.
 */
bool counter_is_gauge(unsigned int index)
{
	return gauges[index];
}

/**
 * counter_name() - the name of a counter
 * @index: enum mmapscope_stat
 *
 * Return: the name.
 */
const char *counter_name(unsigned int index)
{
	return counter_column[index].name;
}

/**
 * counter_delta() - how far a counter has moved
 * @now: a later sample
 * @before: an earlier one
 * @index: enum mmapscope_stat; not a gauge
 *
 * Return: the difference; after a reset, what was counted since then.
 */
__u64 counter_delta(const struct sample *now, const struct sample *before, unsigned int index)
{
	__u64 new = now->value[index], old = before->value[index];

	return new >= old ? new - old : new;
}

static int ask_stats(int fd, struct sample *sample)
{
	struct mmapscope_info info = { .size = sizeof(info) };
	struct mmapscope_stats stats = {
		.size = sizeof(stats),
		.count = MMAPSCOPE_NR_STATS,
		.values = (uintptr_t)sample->value,
	};
	int error = retry_ioctl(fd, MMAPSCOPE_IOC_INFO, &info);

	if (!error)
		error = retry_ioctl(fd, MMAPSCOPE_IOC_STATS, &stats);
	/* An older module has fewer counters, a newer one more, which have no names here. */
	sample->nr = stats.count < MMAPSCOPE_NR_STATS ? stats.count : MMAPSCOPE_NR_STATS;
	sample->page_size = info.page_size;
	memcpy(sample->name, info.name, sizeof(sample->name));
	sample->name[sizeof(sample->name) - 1] = 0;
	return error;
}

/* The node is closed again at once: while it is open, the device cannot be removed. */
static int read_sample(unsigned int id, struct sample *sample)
{
	int fd = open_device(id, O_RDONLY);
	int error;

	if (fd < 0)
		return fd;
	memset(sample, 0, sizeof(*sample));
	sample->id = id;
	error = ask_stats(fd, sample);
	close(fd);
	return error;
}

static bool read_one(unsigned int id, struct sample_set *set)
{
	int error = read_sample(id, set->sample);

	if (error)
		fail_device(id, -error, NULL);
	else
		set->nr = 1;
	return !error;
}

/* Or is about to: whoever removes it has not let go of it yet. */
static bool has_vanished(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -EBUSY;
}

static bool read_all(const struct device_list *list, struct sample_set *set)
{
	for (size_t i = 0; i < list->nr; i++) {
		int error;

		if (list->info[i].flags & MMAPSCOPE_INFO_REMOVED)
			continue;
		error = read_sample(list->info[i].id, &set->sample[set->nr]);
		if (has_vanished(error))
			continue;
		if (error) {
			fail_device(list->info[i].id, -error, NULL);
			return false;
		}
		set->nr++;
	}
	return true;
}

/**
 * read_samples() - read the counters of one device or of all
 * @id: the number of the device; NULL for all
 * @set: the samples; set->sample is to be freed also after an error
 *
 * Return: false after a message.
 */
bool read_samples(const unsigned int *id, struct sample_set *set)
{
	struct device_list list = { .nr = 1 };
	bool done = false;

	*set = (struct sample_set){ 0 };
	if (!id && !read_list(&list))
		return false;
	set->sample = calloc(list.nr + 1, sizeof(*set->sample));
	if (set->sample)
		done = id ? read_one(*id, set) : read_all(&list, set);
	else
		fail_errno("counters", ENOMEM, NULL);
	free(list.info);
	return done;
}

/**
 * print_counters() - print the counters of a device, one per line
 * @file: where to
 * @sample: the counters
 * @indent: before every line
 */
void print_counters(FILE *file, const struct sample *sample, const char *indent)
{
	const struct columns columns = { counter_column, sample->nr, sizeof(*sample) };

	print_record(file, &columns, sample, indent);
}

/**
 * json_sample() - write the counters of a device as an object
 * @json: the text
 * @sample: the counters
 * @before: an earlier sample, for the member "delta"; NULL leaves it out
 */
void json_sample(struct json *json, const struct sample *sample, const struct sample *before)
{
	const struct columns columns = { counter_column, sample->nr, sizeof(*sample) };

	json_open(json, NULL, '{');
	json_string(json, "name", sample->name);
	json_number(json, "page_size", sample->page_size);
	json_open(json, "stats", '{');
	json_members(json, &columns, sample);
	json_close(json, '}');
	if (before) {
		json_open(json, "delta", '{');
		for (unsigned int i = 0; i < sample->nr; i++) {
			if (!gauges[i])
				json_number(json, counter_column[i].name,
					    counter_delta(sample, before, i));
		}
		json_close(json, '}');
	}
	json_close(json, '}');
}
