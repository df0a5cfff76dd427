// SPDX-License-Identifier: GPL-2.0
/* create */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define DEFAULT_SIZE (1024ULL * 1024 * 1024)

enum { CHOICE_ID = 256, CHOICE_ROUND };

/**
 * struct request - what the user wants
 * @create: for the module
 * @path: of the file or block device; NULL for a RAM store
 * @sized: a size was given
 */
struct request {
	struct mmapscope_create create;
	const char *path;
	bool sized;
};

static const struct choice create_choices[] = {
	{ 's', "size", "SIZE", "size of the device (1G; of a file, what the file has)" },
	{ 'S', "store", "STORE", "what stands behind it: ram or file:PATH (ram)" },
	{ 'r', "read-only", NULL, "refuse to open it for writing" },
	{ CHOICE_ROUND, "round", NULL, "leave out the end of a file that is no whole page" },
	{ CHOICE_ID, "id", "N", "its number (the lowest that is free)" },
	{ 0 }
};

static const char *set_size(const char *text, struct request *request)
{
	const char *why = parse_size(text, &request->create.dev_size);

	request->sized = true;
	return why ? why : check_device_size(request->create.dev_size, sysconf(_SC_PAGESIZE));
}

static const char *set_id(const char *text, struct mmapscope_create *create)
{
	__u64 id;
	const char *why = parse_number(text, MMAPSCOPE_MAX_DEVICES - 1, &id);

	create->id = id;
	return why;
}

static const char *set_choice(int choice, struct request *request)
{
	struct mmapscope_create *create = &request->create;

	switch (choice) {
	case 's':
		return set_size(optarg, request);
	case 'S':
		return parse_store(optarg, &create->store, &request->path);
	case CHOICE_ID:
		return set_id(optarg, create);
	case CHOICE_ROUND:
		create->flags |= MMAPSCOPE_CREATE_ROUND_DOWN;
		return NULL;
	default:
		create->flags |= MMAPSCOPE_CREATE_READ_ONLY;
		return NULL;
	}
}

/* From the list, not from the device: to open it would hinder somebody who removes it at once. */
static int print_created(unsigned int id)
{
	struct device_list list;
	bool found = false;

	if (!json_wanted) {
		puts(device_node(id));
		return EXIT_DONE;
	}
	if (!read_list(&list))
		return EXIT_FAILED;
	for (size_t i = 0; i < list.nr && !found; i++) {
		found = list.info[i].id == id;
		if (found)
			print_list_json(&list.info[i], 1);
	}
	free(list.info);
	return found ? EXIT_DONE : fail_device(id, ENODEV, NULL);
}

static int fail_create(const struct request *request, int error)
{
	static const struct advice general[] = {
		{ EEXIST, "this number is taken: leave out --id to get one that is free" },
		{ ENOSPC, "all numbers are taken: remove a device first" },
		{ EINVAL, "the module does not accept this size, or is older than this command" },
		{ 0 }
	};
	static const struct advice of_file[] = {
		{ EBUSY, "in use: mounted, swapped to, or part of another device" },
		{ ELOOP, "a device of this module cannot stand behind another" },
		{ EISDIR, "a directory; a regular file or a block device is needed" },
		{ EOPNOTSUPP, "no file or block device that is read and written in place" },
		{ EFBIG, "smaller than the size that was asked for" },
		{ ERANGE, "no whole pages: --round leaves out its end, --size adds to it" },
		{ EACCES, "you may not open it again" },
		{ EROFS, "it cannot be written; use --read-only" },
		{ ETXTBSY, "a program that is running" },
		{ ENXIO, "its disk is gone" },
		{ EIO, "its disk does not answer, or could not take what was still to be written" },
		{ 0 }
	};
	if (request->path && find_advice(of_file, error))
		return fail_errno(request->path, error, of_file);
	return fail_errno("create", error, general);
}

/* Over a file: the module gets it as a descriptor, so what may be done with it is decided here. */
static int create_over_file(int control, struct request *request)
{
	struct mmapscope_create *create = &request->create;
	bool read_only = create->flags & MMAPSCOPE_CREATE_READ_ONLY;
	struct backing backing;
	int error;

	if (!open_backing(&backing, request->path, read_only,
			  request->sized ? create->dev_size : 0))
		return EXIT_FAILED;
	create->store_fd = backing.fd;
	error = retry_ioctl(control, MMAPSCOPE_IOC_CREATE, create);
	if (error) {
		undo_backing(&backing);
		return fail_create(request, -error);
	}
	close(backing.fd);
	return EXIT_DONE;
}

static int create_in_memory(int control, struct request *request)
{
	int error = retry_ioctl(control, MMAPSCOPE_IOC_CREATE, &request->create);

	return error ? fail_create(request, -error) : EXIT_DONE;
}

/* The control node comes first: without it, nothing shall happen to a file. */
static int create_device(struct request *request)
{
	int fd = open_control(O_RDWR);
	int code;

	if (fd < 0)
		return EXIT_FAILED;
	code = request->path ? create_over_file(fd, request) : create_in_memory(fd, request);
	close(fd);
	if (code)
		return code;
	if (wait_for_node(device_node(request->create.id)))
		return EXIT_FAILED;
	return print_created(request->create.id);
}

static int run_create(const struct command *self, int argc, char **argv)
{
	struct request request = {
		.create = {
			.size = sizeof(request.create),
			.store = MMAPSCOPE_STORE_RAM,
			.id = MMAPSCOPE_ID_ANY,
		},
	};
	int choice;

	while ((choice = next_choice(self, argc, argv)) >= 0) {
		const char *why = set_choice(choice, &request);

		if (why)
			return usage(self, "%s: %s", optarg, why);
	}
	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 0, 0))
		return EXIT_USAGE;
	if (!request.path && request.create.flags & MMAPSCOPE_CREATE_ROUND_DOWN)
		return usage(self, "--round is for a file");
	if (!request.path && !request.sized)
		request.create.dev_size = DEFAULT_SIZE;
	return create_device(&request);
}

const struct command cmd_create = {
	.name = "create",
	.arguments = "",
	.summary = "Create a device and print the path of its node",
	.details =
		"\nSizes take a suffix K, M, G, T, P or E, which are powers of 1024.\n"
		"\n"
		"With --store file:PATH the bytes are in a regular file or on a block device, and stay\n"
		"there when the device is removed. With --size a regular file that is smaller is made\n"
		"larger (sparse), and one that does not exist is made.",
	.choices = create_choices,
	.json = true,
	.run = run_create,
};
