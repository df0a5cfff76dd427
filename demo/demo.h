/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The demonstration: what its files share.
 *
 *   demo.c   the file, and one step after the other
 *   steps.c  the steps
 *   scope.c  the device and its counters
 *   show.c   what is printed
 */
#ifndef MMAPSCOPE_DEMO_H
#define MMAPSCOPE_DEMO_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/mmapscope.h>

/* checkpatch takes the usual spelling of the attribute for a mistake in a macro, too. */
#define __printf(format_at, first) __attribute((format(printf, format_at, first)))

/**
 * struct counters - all counters of the device at one moment
 * @value: by enum mmapscope_stat
 */
struct counters {
	__u64 value[MMAPSCOPE_NR_STATS];
};

/**
 * struct counter - what is known of a counter
 * @name: its name
 * @is_gauge: it says how it is now; otherwise it counts events
 */
struct counter {
	const char *name;
	bool is_gauge;
};

/**
 * struct demo - the state of the demonstration
 * @fd: the device
 * @file: name of the file
 * @word: what is searched
 * @size: bytes in the file
 * @pages: pages that they take
 * @page_size: bytes in a page
 * @original: the file's bytes
 * @expected: what the device must hold
 * @map: the device, mapped shared
 * @found: how often @word is in the file
 * @changed: how many of those were changed up to now
 * @touched: pages that the last step changed
 * @evict: what the last eviction said
 * @line: what the current step did
 * @before: counters before the current step
 * @now: counters after it
 */
struct demo {
	int fd;
	const char *file;
	const char *word;
	size_t size;
	size_t pages;
	size_t page_size;
	char *original;
	char *expected;
	char *map;
	size_t found;
	size_t changed;
	size_t touched;
	struct mmapscope_evict evict;
	char line[160];
	struct counters before;
	struct counters now;
};

/**
 * struct step - a step of the demonstration
 * @name: its name; NULL ends the table
 * @run: does it and leaves a line that says what was done
 * @check: checks the counters that moved meanwhile
 */
struct step {
	const char *name;
	void (*run)(struct demo *demo);
	void (*check)(const struct demo *demo);
};

/* steps.c */
extern const struct step steps[];

void map_device(struct demo *demo);
size_t count_words(const struct demo *demo, const char *text);

/* scope.c */
extern const struct counter counter_table[MMAPSCOPE_NR_STATS];

int open_scope(const char *node, size_t size);
void read_counters(int fd, struct counters *counters);
void read_quiet_counters(int fd, struct counters *counters);
void evict_all(int fd, struct mmapscope_evict *evict);
__u64 get_checksum(const char *bytes, size_t length);

/* show.c */
__printf(1, 2) void die(const char *format, ...);
__printf(2, 3) void expect(bool holds, const char *format, ...);
unsigned int expectations_met(void);
void show_step(unsigned int number, const char *name, const char *line);
void show_progress(const char *text);
void show_moved(const struct counters *before, const struct counters *now);
void show_cached(const void *map, size_t size);

#endif /* MMAPSCOPE_DEMO_H */
