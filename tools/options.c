// SPDX-License-Identifier: GPL-2.0
/*
 * A command's table of options gives getopt_long() its tables and the user the help.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define MOST_CHOICES 12

static const struct choice help_choice = { 'h', "help", NULL, "print this help" };
static const struct choice json_choice = { 'J', "json", NULL, "print JSON" };

struct tables {
	const struct choice *choice[MOST_CHOICES];
	struct option option[MOST_CHOICES + 1];
	char letters[2 + 2 * MOST_CHOICES];
	unsigned int nr;
};

static void add_choice(struct tables *tables, const struct choice *choice)
{
	char *letters = tables->letters + strlen(tables->letters);

	/* A command with more is a mistake of this program, and its help test finds it. */
	if (tables->nr == MOST_CHOICES)
		abort();
	tables->choice[tables->nr] = choice;
	tables->option[tables->nr++] = (struct option){
		.name = choice->name,
		.has_arg = choice->argument ? required_argument : no_argument,
		.val = choice->letter,
	};
	if (choice->letter < 256) {
		*letters++ = choice->letter;
		if (choice->argument)
			*letters = ':';
	}
}

static void make_tables(const struct command *command, struct tables *tables)
{
	memset(tables, 0, sizeof(*tables));
	/* ':' tells a missing argument from an unknown option. */
	tables->letters[0] = ':';
	for (const struct choice *choice = command->choices; choice && choice->name; choice++)
		add_choice(tables, choice);
	if (command->json)
		add_choice(tables, &json_choice);
	add_choice(tables, &help_choice);
}

static int bad_choice(const struct command *command, int found, char **argv)
{
	const char *word = argv[optind - 1];

	/* For a letter, optind may still be at the cluster of letters or already beyond it. */
	if (optopt && optopt < 256 && strncmp(word, "--", 2))
		usage(command, found == ':' ? "option -%c needs an argument" :
		      "unknown option -%c", optopt);
	else
		usage(command, found == ':' ? "option %s needs an argument" :
		      "unknown option %s", word);
	return CHOICE_BAD;
}

/**
 * next_choice() - get the next option of the command line
 * @command: the command
 * @argc: as for main()
 * @argv: as for main(); the name of the command is argv[0]
 *
 * Deals with --help and --json by itself.
 *
 * Return: the letter, with the argument in optarg, or one of CHOICE_*.
 */
int next_choice(const struct command *command, int argc, char **argv)
{
	struct tables tables;
	int found;

	make_tables(command, &tables);
	opterr = 0;
	do {
		found = getopt_long(argc, argv, tables.letters, tables.option, NULL);
		if (found == json_choice.letter)
			json_wanted = true;
	} while (found == json_choice.letter);
	if (found == -1)
		return CHOICE_END;
	if (found == '?' || found == ':')
		return bad_choice(command, found, argv);
	if (found != help_choice.letter)
		return found;
	print_command_help(stdout, command);
	return CHOICE_HELP;
}

/**
 * leave_code() - the exit code when the options say that there is nothing to do
 * @choice: CHOICE_HELP or CHOICE_BAD
 *
 * Return: the exit code.
 */
int leave_code(int choice)
{
	return choice == CHOICE_HELP ? EXIT_DONE : EXIT_USAGE;
}

static void print_choice(FILE *file, const struct choice *choice)
{
	char names[64];

	snprintf(names, sizeof(names), "%c%c%c --%s%s%s", choice->letter < 256 ? '-' : ' ',
		 choice->letter < 256 ? choice->letter : ' ', choice->letter < 256 ? ',' : ' ',
		 choice->name, choice->argument ? " " : "",
		 choice->argument ? choice->argument : "");
	fprintf(file, "  %-25s %s\n", names, choice->help);
}

/**
 * print_command_help() - print the help of one command
 * @file: where to
 * @command: the command
 */
void print_command_help(FILE *file, const struct command *command)
{
	struct tables tables;

	make_tables(command, &tables);
	fprintf(file, "Usage: mmapscope %s [OPTION...]%s%s\n\n%s.\n", command->name,
		*command->arguments ? " " : "", command->arguments, command->summary);
	if (command->details)
		fprintf(file, "%s\n", command->details);
	fputs("\nOptions:\n", file);
	for (unsigned int i = 0; i < tables.nr; i++)
		print_choice(file, tables.choice[i]);
}

/**
 * want_arguments() - check how many arguments there are after the options
 * @command: the command
 * @argc: as for main()
 * @least: at least so many
 * @most: at most so many
 *
 * Return: false after a message.
 */
bool want_arguments(const struct command *command, int argc, int least, int most)
{
	int nr = argc - optind;

	if (nr < least)
		usage(command, "an argument is missing: %s", command->arguments);
	else if (nr > most)
		usage(command, "too many arguments");
	return nr >= least && nr <= most;
}

/**
 * take_device() - get the next argument, the name of a device
 * @command: the command
 * @argv: as for main(); there is an argument at optind, which moves on
 * @id: the number of the device
 *
 * Return: false after a message.
 */
bool take_device(const struct command *command, char **argv, unsigned int *id)
{
	const char *word = argv[optind++];
	const char *why = parse_device(word, id);

	if (why)
		usage(command, "%s: %s", word, why);
	return !why;
}

/**
 * want_device() - get the only argument, the name of a device
 * @command: the command
 * @argc: as for main()
 * @argv: as for main()
 * @id: the number of the device
 *
 * Return: false after a message.
 */
bool want_device(const struct command *command, int argc, char **argv, unsigned int *id)
{
	return want_arguments(command, argc, 1, 1) && take_device(command, argv, id);
}
