// SPDX-License-Identifier: GPL-2.0
/*
 * The mmapscope command: the table of commands, and what stands before a command's name.
 */
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

bool json_wanted;

static const struct command * const commands[] = {
	&cmd_load, &cmd_unload, &cmd_create, &cmd_remove, &cmd_resize, &cmd_list, &cmd_stat,
	&cmd_reset, &cmd_sync, &cmd_evict, &cmd_punch, &cmd_policy, &cmd_file, &cmd_help,
};

/**
 * find_command() - look a command up
 * @name: its name
 *
 * Return: the command, or NULL.
 */
const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static void print_help(FILE *file)
{
	fputs("Usage: mmapscope [-J] COMMAND [ARGUMENT...]\n"
	      "       mmapscope -h | -V\n\n"
	      "An oscilloscope for the Linux paging path: devices whose page cache can be watched.\n\n"
	      "Commands:\n", file);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(file, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nOptions:\n"
	      "  -J, --json     print JSON\n"
	      "  -h, --help     print this help, or after a command the command's\n"
	      "  -V, --version  print the version\n\n"
	      "DEV is 0, mmapscope0 or /dev/mmapscope0. Exit code: 0 done, 1 failed, 2 wrong usage.\n"
	      "mmapscope(8) has the rest.\n", file);
}

static int run_help(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	const struct command *command;

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 0, 1))
		return EXIT_USAGE;
	if (optind == argc) {
		print_help(stdout);
		return EXIT_DONE;
	}
	command = find_command(argv[optind]);
	if (!command)
		return usage(NULL, "%s: there is no such command", argv[optind]);
	print_command_help(stdout, command);
	return EXIT_DONE;
}

const struct command cmd_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "Print help",
	.run = run_help,
};

static int run_command(int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);

	if (!command)
		return usage(NULL, "%s: there is no such command", argv[0]);
	if (json_wanted && !command->json)
		return usage(command, "prints no data, so it does not take --json");
	/* 0 instead of 1 makes getopt start anew with the command's own options. */
	optind = 0;
	return command->run(command, argc, argv);
}

/* What stands before the command's name; -1 means that a command follows. */
static int read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	int found;

	opterr = 0;
	while ((found = getopt_long(argc, argv, "+JhV", options, NULL)) == 'J')
		json_wanted = true;
	switch (found) {
	case 'h':
		print_help(stdout);
		return EXIT_DONE;
	case 'V':
		puts("mmapscope " MMAPSCOPE_VERSION);
		return EXIT_DONE;
	case -1:
		return -1;
	default:
		if (optopt)
			return usage(NULL, "unknown option -%c", optopt);
		return usage(NULL, "unknown option %s", argv[optind - 1]);
	}
}

/*
 * Whoever starts this without one of the standard descriptors would have the next file that is
 * opened in its place: messages would be written into the file behind a device.  To write to these
 * is an error, as it was.
 */
static bool fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	int code;

	if (!fill_standard_descriptors())
		return EXIT_FAILED;
	code = read_options(argc, argv);
	if (code < 0 && optind == argc) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (code < 0)
		code = run_command(argc - optind, argv + optind);
	return flush_output(code);
}
