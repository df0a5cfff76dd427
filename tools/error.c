// SPDX-License-Identifier: GPL-2.0
/*
 * Messages: "mmapscope: what: why", and what to do about it where the user can do something.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Meanings that hold everywhere; include/uapi/linux/mmapscope.h says so. */
static const struct advice common_advice[] = {
	{ EPERM, "not permitted: this needs root (CAP_SYS_ADMIN)" },
	{ EACCES, "permission denied: this needs root, or a node whose mode lets you in" },
	{ ENODEV, "the device was removed" },
	{ ENXIO, "the device was removed" },
	{ EROFS, "the device is read-only" },
	{ ENOTTY, "not a node of mmapscope, or its module is older than this command" },
	{ E2BIG, "the module is older than this command and cannot do what was asked" },
	{ 0 }
};

/**
 * find_advice() - what an errno means here
 * @advice: a table; may be NULL
 * @error: the errno
 *
 * Return: NULL if the table does not say.
 */
const char *find_advice(const struct advice *advice, int error)
{
	for (; advice && advice->error; advice++) {
		if (advice->error == error)
			return advice->text;
	}
	return NULL;
}

/**
 * fail() - print an error
 * @what: what failed
 * @format: why, as for printf()
 *
 * Return: EXIT_FAILED.
 */
int fail(const char *what, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "mmapscope: %s: ", what);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

/**
 * fail_errno() - print an error of a system call
 * @what: what failed
 * @error: the errno
 * @advice: what it means here, where that is not what it means everywhere; may be NULL
 *
 * Return: EXIT_FAILED.
 */
int fail_errno(const char *what, int error, const struct advice *advice)
{
	const char *why = find_advice(advice, error);

	if (!why)
		why = find_advice(common_advice, error);
	return fail(what, "%s", why ? why : strerror(error));
}

/**
 * usage() - print an error of the command line
 * @command: the command; NULL if none was chosen
 * @format: what is wrong, as for printf()
 *
 * Return: EXIT_USAGE.
 */
int usage(const struct command *command, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "mmapscope: %s%s", command ? command->name : "", command ? ": " : "");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nTry 'mmapscope %s%s--help'.\n", command ? command->name : "",
		command ? " " : "");
	return EXIT_USAGE;
}

/**
 * module_is_loaded() - whether the module is in the kernel
 *
 * Return: true if it is, or is being inserted or removed.
 */
bool module_is_loaded(void)
{
	return !access(MMAPSCOPE_SYS_MODULE, F_OK);
}

/**
 * flush_output() - find out whether standard output took everything
 * @code: the exit code so far
 *
 * Return: @code, or EXIT_FAILED after a message.
 */
int flush_output(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	return fail_errno("standard output", errno, NULL);
}
