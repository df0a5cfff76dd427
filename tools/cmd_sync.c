// SPDX-License-Identifier: GPL-2.0
/* sync, reset */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tool.h"

static int sync_file(int fd)
{
	int result;

	do {
		result = fsync(fd);
	} while (result && errno == EINTR);
	return result ? -errno : 0;
}

/* A module that does not know the command: fsync() of the node does the same to the device. */
static int sync_open_device(int fd)
{
	struct mmapscope_sync sync = { .size = sizeof(sync) };
	int error = retry_ioctl(fd, MMAPSCOPE_IOC_SYNC, &sync);

	return error == -ENOTTY ? sync_file(fd) : error;
}

static int sync_device(unsigned int id)
{
	static const struct advice advice[] = {
		{ EIO, "some pages could not be written to the store" },
		{ ENOSPC, "the store had no room for some pages" },
		{ 0 }
	};
	int fd = open_device(id, O_RDONLY);
	int error = fd < 0 ? fd : sync_open_device(fd);

	if (fd >= 0)
		close(fd);
	return error ? fail_device(id, -error, advice) : EXIT_DONE;
}

static int run_sync(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	unsigned int id;

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_device(self, argc, argv, &id))
		return EXIT_USAGE;
	return sync_device(id);
}

const struct command cmd_sync = {
	.name = "sync",
	.arguments = "DEV",
	.summary = "Write a device's dirty pages to its store and flush the store",
	.run = run_sync,
};

static int reset_device(unsigned int id)
{
	struct mmapscope_reset reset = { .size = sizeof(reset) };
	int fd = open_device(id, O_RDWR);
	int error = fd < 0 ? fd : retry_ioctl(fd, MMAPSCOPE_IOC_RESET, &reset);

	if (fd >= 0)
		close(fd);
	return error ? fail_device(id, -error, NULL) : EXIT_DONE;
}

static int run_reset(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	unsigned int id;

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_device(self, argc, argv, &id))
		return EXIT_USAGE;
	return reset_device(id);
}

const struct command cmd_reset = {
	.name = "reset",
	.arguments = "DEV",
	.summary = "Let a device's event counters start again at 0",
	.details =
		"\nThe entry counts pages_added and pages_dirtied start again at what is cached and dirty,\n"
		"so that the books still balance.",
	.run = run_reset,
};
