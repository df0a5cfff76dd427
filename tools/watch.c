// SPDX-License-Identifier: GPL-2.0
/*
 * `stat` at intervals, in the manner of vmstat.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

#define NS_PER_SECOND	1000000000ULL
#define LINES_PER_HEADING	20

/* The columns: how far a counter has moved, or what a gauge says now. */
static const struct view {
	const char *heading;
	unsigned int index;
} views[] = {
	{ "major", MMAPSCOPE_STAT_fault_major },
	{ "minor", MMAPSCOPE_STAT_fault_minor },
	{ "around", MMAPSCOPE_STAT_fault_around },
	{ "mkwrite", MMAPSCOPE_STAT_mkwrite },
	{ "cached", MMAPSCOPE_STAT_pages_cached },
	{ "dirty", MMAPSCOPE_STAT_pages_dirty },
	{ "wback", MMAPSCOPE_STAT_pages_writeback },
	{ "evicted", MMAPSCOPE_STAT_pages_evicted },
	{ "cleaned", MMAPSCOPE_STAT_pages_cleaned },
	{ "read", MMAPSCOPE_STAT_store_read_pages },
	{ "written", MMAPSCOPE_STAT_store_write_pages },
};

/* Nobody expects these to move; when one does, it is named at the end of the line. */
static const unsigned int alarms[] = {
	MMAPSCOPE_STAT_fault_sigbus,
	MMAPSCOPE_STAT_pages_write_failed,
	MMAPSCOPE_STAT_pages_discarded,
	MMAPSCOPE_STAT_store_read_errors,
	MMAPSCOPE_STAT_store_write_errors,
};

static bool in_views(unsigned int index)
{
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		if (views[i].index == index)
			return true;
	}
	return false;
}

static bool in_alarms(unsigned int index)
{
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		if (alarms[i] == index)
			return true;
	}
	return false;
}

static void print_heading(const struct watch *watch)
{
	if (!watch->id)
		printf("%-13s ", "device");
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		printf("%s%8s", i ? " " : "", views[i].heading);
	putchar('\n');
}

static void print_line(const struct watch *watch, const struct sample *now,
		       const struct sample *before)
{
	if (!watch->id)
		printf("%-13s ", now->name);
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		unsigned int index = views[i].index;

		printf("%s%8llu", i ? " " : "", counter_is_gauge(index) ? now->value[index] :
		       counter_delta(now, before, index));
	}
	for (unsigned int i = 0; i < now->nr; i++) {
		if (counter_is_gauge(i) || in_views(i) || !(watch->all || in_alarms(i)))
			continue;
		if (counter_delta(now, before, i))
			printf("  %s +%llu", counter_name(i), counter_delta(now, before, i));
	}
	putchar('\n');
}

/* A device that was not there before has counted from 0. */
static const struct sample *find_before(const struct sample_set *set, unsigned int id)
{
	static const struct sample none;

	for (size_t i = 0; i < set->nr; i++) {
		if (set->sample[i].id == id)
			return &set->sample[i];
	}
	return &none;
}

static void print_json(const struct sample_set *now, const struct sample_set *before,
		       __u64 time, __u64 interval)
{
	struct json json = { .file = stdout };

	json_open(&json, NULL, '{');
	json_seconds(&json, "time", time);
	json_seconds(&json, "interval", interval);
	json_open(&json, "devices", '[');
	for (size_t i = 0; i < now->nr; i++)
		json_sample(&json, &now->sample[i], find_before(before, now->sample[i].id));
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

static void print_text(const struct watch *watch, const struct sample_set *now,
		       const struct sample_set *before)
{
	static unsigned int lines;

	for (size_t i = 0; i < now->nr; i++) {
		if (lines++ % LINES_PER_HEADING == 0)
			print_heading(watch);
		print_line(watch, &now->sample[i], find_before(before, now->sample[i].id));
	}
}

static __u64 get_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/*
 * Waits until @time.  The signal is blocked all the time and only taken here, so that none is lost
 * and no line is cut.
 */
static bool is_interrupted(const sigset_t *signals, __u64 time)
{
	for (;;) {
		__u64 now = get_time();
		__u64 left = time > now ? time - now : 0;
		struct timespec timeout = { left / NS_PER_SECOND, left % NS_PER_SECOND };

		if (sigtimedwait(signals, NULL, &timeout) > 0)
			return true;
		/* EINTR: stopped and continued. */
		if (errno != EINTR)
			return false;
	}
}

/* One interval; @before becomes what is now. */
static int next_interval(const struct watch *watch, struct sample_set *before, __u64 *last)
{
	struct sample_set now;
	__u64 time;

	if (!read_samples(watch->id, &now)) {
		free(now.sample);
		return EXIT_FAILED;
	}
	time = get_time();
	if (json_wanted)
		print_json(&now, before, time, time - *last);
	else
		print_text(watch, &now, before);
	free(before->sample);
	*before = now;
	*last = time;
	return flush_output(EXIT_DONE);
}

/**
 * watch_counters() - print how counters move, at intervals
 * @watch: what was asked for
 *
 * Return: an exit code.
 */
int watch_counters(const struct watch *watch)
{
	struct sample_set before;
	int code = EXIT_FAILED;
	__u64 next, last, done;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	last = get_time();
	next = last;
	if (read_samples(watch->id, &before))
		code = EXIT_DONE;
	for (done = 0; !code && (!watch->count || done < watch->count); done++) {
		next += watch->interval;
		if (is_interrupted(&signals, next))
			break;
		code = next_interval(watch, &before, &last);
		/* After a stop of minutes, go on from now instead of catching up. */
		if (last > next + watch->interval)
			next = last;
	}
	free(before.sample);
	return code;
}
