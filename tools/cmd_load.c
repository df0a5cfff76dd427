// SPDX-License-Identifier: GPL-2.0
/* load, unload */
#include <getopt.h>
#include <string.h>

#include "tool.h"

static bool check_words(const struct command *self, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');

		if (!equals || equals == argv[i]) {
			usage(self, "%s: PARAM=VALUE is expected", argv[i]);
			return false;
		}
		/* The kernel knows no way to write a quote inside of quotes. */
		if (strchr(equals, '"')) {
			usage(self, "%s: a value cannot contain a quote", argv[i]);
			return false;
		}
	}
	return true;
}

static int run_load(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!check_words(self, argc - optind, argv + optind))
		return EXIT_USAGE;
	return insert_module(argc - optind, argv + optind);
}

const struct command cmd_load = {
	.name = "load",
	.arguments = "[PARAM=VALUE...]",
	.summary = "Load the module",
	.details =
		"\nTakes the first that there is: the file named in MMAPSCOPE_MODULE, ./mmapscope.ko,\n"
		"mmapscope.ko in the folder above this program, the installed module. Parameters:\n"
		"  devices=N           RAM-backed devices to create (1)\n"
		"  size_mb=N           size of each (1024)\n"
		"  store_limit_mb=N    memory that all RAM stores may take (half of RAM)\n"
		"  large_folio_kb=N    largest folio of a new device's cache, 0: single pages (2048)",
	.run = run_load,
};

static int run_unload(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 0, 0))
		return EXIT_USAGE;
	return remove_module();
}

const struct command cmd_unload = {
	.name = "unload",
	.arguments = "",
	.summary = "Unload the module; the contents of RAM stores end with it",
	.run = run_unload,
};
