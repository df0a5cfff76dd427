// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes and requests to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define NODE_WAIT_MS	5000
#define NODE_POLL_MS	10

static const char not_loaded[] = "the module is not loaded: run 'mmapscope load'";
static const char no_nodes[] =
	"no such node although the module is loaded: is devtmpfs mounted on /dev, or udev running?";

/**
 * device_name() - the name of a device
 * @id: its number
 *
 * Return: a string that the next call overwrites.
 */
const char *device_name(unsigned int id)
{
	static char name[MMAPSCOPE_NAME_LEN];

	snprintf(name, sizeof(name), "mmapscope%u", id);
	return name;
}

/**
 * device_node() - the path of a device's node
 * @id: its number
 *
 * Return: a string that the next call overwrites.
 */
const char *device_node(unsigned int id)
{
	static char node[sizeof(MMAPSCOPE_NODE_PREFIX) + 16];

	snprintf(node, sizeof(node), MMAPSCOPE_NODE_PREFIX "%u", id);
	return node;
}

static bool means_missing(int error)
{
	return error == ENOENT || error == ENXIO || error == ENODEV;
}

/* fsync() of an ordinary file would succeed and say nothing about any device. */
static int open_node(const char *node, int flags)
{
	int fd = open(node, flags | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &status) && S_ISCHR(status.st_mode))
		return fd;
	close(fd);
	return -ENOTTY;
}

/**
 * open_control() - open the control node
 * @flags: as for open()
 *
 * Return: the descriptor, or -1 after a message.
 */
int open_control(int flags)
{
	static const struct advice unloaded[] = {
		{ ENOENT, not_loaded }, { ENXIO, not_loaded }, { ENODEV, not_loaded }, { 0 }
	};
	static const struct advice loaded[] = {
		{ ENOENT, no_nodes }, { 0 }
	};
	int fd = open_node(MMAPSCOPE_CONTROL, flags);

	if (fd >= 0)
		return fd;
	fail_errno(MMAPSCOPE_CONTROL, -fd, module_is_loaded() ? loaded : unloaded);
	return -1;
}

/**
 * open_device() - open the node of a device
 * @id: its number
 * @flags: as for open()
 *
 * Return: the descriptor, or a negative errno.
 */
int open_device(unsigned int id, int flags)
{
	return open_node(device_node(id), flags);
}

/**
 * fail_device() - print an error of a device
 * @id: its number
 * @error: the errno
 * @advice: what it means here, as for fail_errno()
 *
 * Return: EXIT_FAILED.
 */
int fail_device(unsigned int id, int error, const struct advice *advice)
{
	if (means_missing(error) && !module_is_loaded())
		return fail(device_node(id), "%s", not_loaded);
	if (means_missing(error))
		return fail(device_node(id),
			    "there is no such device: 'mmapscope list' shows those there are");
	/* As open(2) says it; a command that may be told so for another reason says which. */
	if (error == EBUSY && !find_advice(advice, error))
		return fail(device_node(id), "it is just being removed");
	return fail_errno(device_node(id), error, advice);
}

/**
 * retry_ioctl() - ioctl() that is not ended by a stop and continue of the process
 * @fd: the descriptor
 * @request: MMAPSCOPE_IOC_*
 * @argument: its struct
 *
 * Return: 0 or a negative errno.
 */
int retry_ioctl(int fd, unsigned long request, void *argument)
{
	int result;

	/* A signal that should end the program does so: none has a handler. */
	do {
		result = ioctl(fd, request, argument);
	} while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : 0;
}

/**
 * wait_for_node() - wait until a node is there
 * @node: its path
 *
 * devtmpfs makes a node at once, udev and its likes some time later.
 *
 * Return: an exit code.
 */
int wait_for_node(const char *node)
{
	const struct timespec pause = { .tv_nsec = NODE_POLL_MS * 1000000 };

	for (int waited = 0; waited < NODE_WAIT_MS; waited += NODE_POLL_MS) {
		if (!access(node, F_OK))
			return EXIT_DONE;
		nanosleep(&pause, NULL);
	}
	return fail(node, "%s", no_nodes);
}
