// SPDX-License-Identifier: GPL-2.0
/* file */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool.h"

/* The descriptor that the command finds, and a name for it that it can open. */
#define FILE_FD		3
#define FILE_PATH	"/proc/self/fd/3"

static const struct choice file_choices[] = {
	{ 'r', "read-only", NULL, "open the device for reading only" },
	{ 0 }
};

/* ioctl() with a result; nothing is waited for, so that no signal can end it. */
static int make_file(int fd)
{
	struct mmapscope_file file = { .size = sizeof(file) };
	int result = ioctl(fd, MMAPSCOPE_IOC_FILE, &file);

	return result < 0 ? -errno : result;
}

/* Leaves the device's own descriptor to close-on-exec, or to be replaced. */
static int place_file(int fd)
{
	if (fd == FILE_FD)
		return fcntl(fd, F_SETFD, 0) ? -errno : 0;
	return dup2(fd, FILE_FD) < 0 ? -errno : 0;
}

static int open_file(unsigned int id, int flags)
{
	static const struct advice advice[] = {
		{ EROFS, "the device is read-only: use --read-only" },
		{ 0 }
	};
	int fd = open_device(id, flags);

	if (fd >= 0)
		fd = make_file(fd);
	if (fd >= 0)
		fd = place_file(fd);
	return fd < 0 ? fail_device(id, -fd, advice) : EXIT_DONE;
}

/* @word with every {} replaced; it lasts until the program ends. */
static char *replace_braces(char *word)
{
	char *text = NULL, *at;
	size_t length;
	FILE *file;

	if (!strstr(word, "{}"))
		return word;
	file = open_memstream(&text, &length);
	if (!file)
		return NULL;
	for (; (at = strstr(word, "{}")); word = at + 2)
		fprintf(file, "%.*s" FILE_PATH, (int)(at - word), word);
	fputs(word, file);
	return fclose(file) ? NULL : text;
}

static int run_program(char **argv)
{
	for (char **word = argv; *word; word++) {
		*word = replace_braces(*word);
		if (!*word)
			return fail_errno("file", ENOMEM, NULL);
	}
	if (setenv("MMAPSCOPE_FILE", FILE_PATH, true))
		return fail_errno("file", errno, NULL);
	execvp(argv[0], argv);
	return fail(argv[0], "%s", strerror(errno));
}

static int run_file(const struct command *self, int argc, char **argv)
{
	int choice, flags = O_RDWR;
	unsigned int id;

	while ((choice = next_choice(self, argc, argv)) >= 0)
		flags = O_RDONLY;
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 2, INT_MAX) || !take_device(self, argv, &id))
		return EXIT_USAGE;
	if (open_file(id, flags))
		return EXIT_FAILED;
	return run_program(argv + optind);
}

const struct command cmd_file = {
	.name = "file",
	.arguments = "DEV -- COMMAND [ARGUMENT...]",
	.summary = "Run a command that finds the device as a regular file",
	.details =
		"\nThe file is descriptor 3 of COMMAND, and its path is " FILE_PATH ": in the\n"
		"environment variable MMAPSCOPE_FILE, and in place of every {} in the arguments. It is\n"
		"coherent with the device. The exit code is COMMAND's.",
	.choices = file_choices,
	.run = run_file,
};
