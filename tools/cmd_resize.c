// SPDX-License-Identifier: GPL-2.0
/* resize */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "tool.h"

static int resize_device(unsigned int id, __u64 size)
{
	static const struct advice advice[] = {
		{ EBUSY, "a page at the new end is pinned (direct I/O?), so the size stays" },
		{ EIO, "the store did not take a dirty page at the new end: the size stays" },
		{ ENOSPC, "the store has no room for that, so the size stays" },
		{ EINVAL, "the size must be from one page to 8E less one page" },
		{ EFBIG, "its store cannot be that large" },
		{ 0 }
	};
	struct mmapscope_resize resize = { .size = sizeof(resize), .dev_size = size };
	int fd = open_device(id, O_RDWR);
	int error = fd < 0 ? fd : retry_ioctl(fd, MMAPSCOPE_IOC_RESIZE, &resize);

	if (fd >= 0)
		close(fd);
	return error ? fail_device(id, -error, advice) : EXIT_DONE;
}

static int run_resize(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	const char *why;
	unsigned int id;
	__u64 size;

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 2, 2) || !take_device(self, argv, &id))
		return EXIT_USAGE;
	why = parse_size(argv[optind], &size);
	if (!why)
		why = check_device_size(size, sysconf(_SC_PAGESIZE));
	if (why)
		return usage(self, "%s: %s", argv[optind], why);
	return resize_device(id, size);
}

const struct command cmd_resize = {
	.name = "resize",
	.arguments = "DEV SIZE",
	.summary = "Change the size of a device, which may be in use",
	.details =
		"\nWhat is beyond a smaller size is thrown away, and touching it in a mapping is SIGBUS.\n"
		"What a larger size adds reads as zeros.",
	.run = run_resize,
};
