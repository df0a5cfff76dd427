// SPDX-License-Identifier: GPL-2.0
/* evict, punch */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "tool.h"

#define RANGE_CHOICE { 'r', "range", "OFF:LEN", "these bytes, in whole pages" }

static const char *set_range(struct range *range)
{
	const char *why = parse_range(optarg, range);

	return why ? why : check_range(range, sysconf(_SC_PAGESIZE));
}

static void get_evicted(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_evict *)row)->evicted;
}

static void get_remaining(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_evict *)row)->remaining;
}

static const struct column evict_column[] = {
	{ "evicted", "evicted", COLUMN_NUMBER, 0, get_evicted },
	{ "remaining", "remaining", COLUMN_NUMBER, 0, get_remaining },
};

static const struct columns evict_columns = {
	evict_column, ARRAY_SIZE(evict_column), sizeof(struct mmapscope_evict)
};

static int evict_pages(unsigned int id, struct mmapscope_evict *evict)
{
	static const struct advice advice[] = {
		{ EIO, "the store did not take a dirty page, so nothing was dropped" },
		{ ENOSPC, "the store had no room for a dirty page, so nothing was dropped" },
		{ EINVAL, "the module does not accept the range" },
		{ 0 }
	};
	int fd = open_device(id, O_RDONLY);
	int error = fd < 0 ? fd : retry_ioctl(fd, MMAPSCOPE_IOC_EVICT, evict);

	if (fd >= 0)
		close(fd);
	if (error)
		return fail_device(id, -error, advice);
	print_result(&evict_columns, evict);
	return EXIT_DONE;
}

static int run_evict(const struct command *self, int argc, char **argv)
{
	struct mmapscope_evict evict = { .size = sizeof(evict) };
	struct range range = { 0 };
	const char *why = NULL;
	unsigned int id;
	int choice;

	while ((choice = next_choice(self, argc, argv)) >= 0) {
		if (choice == 'n')
			evict.flags |= MMAPSCOPE_EVICT_NO_WRITE;
		else
			why = set_range(&range);
		if (why)
			return usage(self, "%s: %s", optarg, why);
	}
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_device(self, argc, argv, &id))
		return EXIT_USAGE;
	evict.offset = range.offset;
	evict.length = range.length;
	return evict_pages(id, &evict);
}

static const struct choice evict_choices[] = {
	RANGE_CHOICE,
	{ 'n', "no-write", NULL, "leave dirty pages alone instead of writing them first" },
	{ 0 }
};

const struct command cmd_evict = {
	.name = "evict",
	.arguments = "DEV",
	.summary = "Drop a device's pages from its cache, the dirty ones after they were written",
	.details =
		"\nPrints how many pages left the cache and how many remain: locked, pinned, dirty or in\n"
		"use. The contents do not change. A range of length 0 reaches to the end.",
	.choices = evict_choices,
	.json = true,
	.run = run_evict,
};

static int punch_hole(unsigned int id, const struct range *range)
{
	static const struct advice advice[] = {
		{ EINVAL, "the range is not inside of the device" },
		{ 0 }
	};
	struct mmapscope_punch punch = {
		.size = sizeof(punch),
		.offset = range->offset,
		.length = range->length,
	};
	int fd = open_device(id, O_RDWR);
	int error = fd < 0 ? fd : retry_ioctl(fd, MMAPSCOPE_IOC_PUNCH, &punch);

	if (fd >= 0)
		close(fd);
	return error ? fail_device(id, -error, advice) : EXIT_DONE;
}

static int run_punch(const struct command *self, int argc, char **argv)
{
	struct range range = { 0 };
	unsigned int id;
	int choice;

	while ((choice = next_choice(self, argc, argv)) >= 0) {
		const char *why = set_range(&range);

		if (why)
			return usage(self, "%s: %s", optarg, why);
	}
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_device(self, argc, argv, &id))
		return EXIT_USAGE;
	if (!range.length)
		return usage(self, "--range OFF:LEN with a length is needed");
	return punch_hole(id, &range);
}

static const struct choice punch_choices[] = {
	RANGE_CHOICE,
	{ 0 }
};

const struct command cmd_punch = {
	.name = "punch",
	.arguments = "--range OFF:LEN DEV",
	.summary = "Throw a range away: it reads as zeros and takes no memory",
	.choices = punch_choices,
	.run = run_punch,
};
