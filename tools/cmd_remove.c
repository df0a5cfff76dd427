// SPDX-License-Identifier: GPL-2.0
/* remove */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "tool.h"

static const struct choice remove_choices[] = {
	{ 'f', "force", NULL, "also if it is in use, or its store does not take the dirty pages" },
	{ 0 }
};

static void get_name(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_remove *done = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%s", device_name(done->id));
}

static void get_discarded(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_remove *)row)->discarded;
}

static const struct column remove_column[] = {
	{ "name", NULL, COLUMN_TEXT, 0, get_name },
	{ "discarded", "discarded", COLUMN_NUMBER, 0, get_discarded },
};

static const struct columns remove_columns = {
	remove_column, ARRAY_SIZE(remove_column), sizeof(struct mmapscope_remove)
};

static int fail_busy(const struct mmapscope_remove *remove)
{
	const char *node = device_node(remove->id);
	int code;

	/* Nothing else can be in the way then. */
	if (remove->flags & MMAPSCOPE_REMOVE_FORCE)
		return fail(node, "somebody else is just removing it");
	code = fail(node, "in use; end these or use --force:");
	print_holders(stderr, &node, 1);
	return code;
}

static int fail_remove(const struct mmapscope_remove *remove, int error)
{
	static const struct advice advice[] = {
		{ EIO, "the store did not take the dirty pages, so the device stays; "
		  "--force throws them away" },
		{ ENOSPC, "the store has no room for the dirty pages, so the device stays; "
		  "--force throws them away" },
		{ 0 }
	};

	return error == EBUSY ? fail_busy(remove) : fail_device(remove->id, error, advice);
}

static int remove_device(struct mmapscope_remove *remove)
{
	int fd = open_control(O_RDWR);
	int error;

	if (fd < 0)
		return EXIT_FAILED;
	error = retry_ioctl(fd, MMAPSCOPE_IOC_REMOVE, remove);
	close(fd);
	if (error)
		return fail_remove(remove, -error);
	if (json_wanted || remove->flags & MMAPSCOPE_REMOVE_FORCE)
		print_result(&remove_columns, remove);
	return EXIT_DONE;
}

static int run_remove(const struct command *self, int argc, char **argv)
{
	struct mmapscope_remove remove = { .size = sizeof(remove) };
	int choice;

	while ((choice = next_choice(self, argc, argv)) >= 0)
		remove.flags |= MMAPSCOPE_REMOVE_FORCE;
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_device(self, argc, argv, &remove.id))
		return EXIT_USAGE;
	return remove_device(&remove);
}

const struct command cmd_remove = {
	.name = "remove",
	.arguments = "DEV",
	.summary = "Write a device's dirty pages to its store and remove it",
	.details =
		"\nA device in use stays. With --force it goes: mappings get SIGBUS, open files ENODEV,\n"
		"and the number of dirty pages that were discarded is printed.",
	.choices = remove_choices,
	.json = true,
	.run = run_remove,
};
