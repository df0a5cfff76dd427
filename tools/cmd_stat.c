// SPDX-License-Identifier: GPL-2.0
/* stat */
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

#include "tool.h"

/* Shorter ones would measure the command itself. */
#define LEAST_INTERVAL	1000000ULL
#define DEFAULT_INTERVAL	1000000000ULL

static const struct choice stat_choices[] = {
	{ 'i', "interval", "SECONDS", "print how the counters move, every SECONDS" },
	{ 'c', "count", "N", "stop after N intervals" },
	{ 'a', "all", NULL, "with -i: also name every other counter that moved" },
	{ 0 }
};

static void print_text(const struct sample_set *set, bool headings)
{
	for (size_t i = 0; i < set->nr; i++) {
		if (headings)
			printf("%s%s:\n", i ? "\n" : "", set->sample[i].name);
		print_counters(stdout, &set->sample[i], headings ? "  " : "");
	}
}

static void print_json(const struct sample_set *set)
{
	struct json json = { .file = stdout };

	json_open(&json, NULL, '{');
	json_open(&json, "devices", '[');
	for (size_t i = 0; i < set->nr; i++)
		json_sample(&json, &set->sample[i], NULL);
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

static int print_once(const unsigned int *id)
{
	struct sample_set set;
	bool good = read_samples(id, &set);

	if (good && json_wanted)
		print_json(&set);
	else if (good)
		print_text(&set, !id);
	free(set.sample);
	return good ? EXIT_DONE : EXIT_FAILED;
}

static const char *set_choice(int choice, struct watch *watch)
{
	const char *why = NULL;

	if (choice == 'a') {
		watch->all = true;
	} else if (choice == 'i') {
		why = parse_time(optarg, &watch->interval);
		if (!why && watch->interval < LEAST_INTERVAL)
			why = "an interval has at least 1ms";
	} else {
		why = parse_number(optarg, LLONG_MAX, &watch->count);
		if (!why && !watch->count)
			why = "at least 1 is expected";
	}
	return why;
}

static int run_stat(const struct command *self, int argc, char **argv)
{
	struct watch watch = { 0 };
	unsigned int id;
	int choice;

	while ((choice = next_choice(self, argc, argv)) >= 0) {
		const char *why = set_choice(choice, &watch);

		if (why)
			return usage(self, "%s: %s", optarg, why);
	}
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (optind < argc) {
		if (!want_device(self, argc, argv, &id))
			return EXIT_USAGE;
		watch.id = &id;
	}
	if (!watch.interval && !watch.count)
		return print_once(watch.id);
	if (!watch.interval)
		watch.interval = DEFAULT_INTERVAL;
	return watch_counters(&watch);
}

const struct command cmd_stat = {
	.name = "stat",
	.arguments = "[DEV]",
	.summary = "Print the counters of a device, or of all",
	.details =
		"\nWith -i or -c, every line says how far counters moved during an interval; cached, dirty\n"
		"and wback are pages now. mmapscope(8) explains every counter. Ctrl-C ends it.",
	.choices = stat_choices,
	.json = true,
	.run = run_stat,
};
