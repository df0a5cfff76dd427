// SPDX-License-Identifier: GPL-2.0
/* The device mapper by its ioctls: see dm.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dm-ioctl.h>

#include "dm.h"
#include "util.h"

#define DM_NODE	"/dev/" DM_DIR "/" DM_CONTROL_NODE

/*
 * How a table is changed, or everything stopped: without waiting for what is under way elsewhere.
 */
#define AT_ONCE	(DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG)

struct message {
	struct dm_ioctl head;
	char data[4096];
} __attribute__((aligned(8)));

static void begin(struct message *m, const char *name, __u32 flags)
{
	memset(m, 0, sizeof(*m));
	m->head.version[0] = DM_VERSION_MAJOR;
	m->head.data_size = sizeof(*m);
	m->head.data_start = offsetof(struct message, data);
	m->head.flags = flags;
	snprintf(m->head.name, sizeof(m->head.name), "%s", name);
}

static int send(struct message *m, unsigned long command)
{
	int fd = open(DM_NODE, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = ioctl(fd, command, m) ? -errno : 0;
	close(fd);
	return err;
}

static bool has_target(const struct message *m, const char *name, size_t length)
{
	const struct dm_target_versions *v = (const void *)m->data;

	while (strlen(v->name) != length || memcmp(v->name, name, length)) {
		if (!v->next)
			return false;
		v = (const void *)((const char *)v + v->next);
	}
	return true;
}

const char *dm_unavailable(const char *targets)
{
	static char why[160];
	struct message m;
	size_t length;

	begin(&m, "", 0);
	if (send(&m, DM_LIST_VERSIONS) || m.head.flags & DM_BUFFER_FULL_FLAG)
		return "needs the device mapper (dm-mod)";
	for (; *targets; targets += length + !!targets[length]) {
		length = strcspn(targets, " ");
		if (has_target(&m, targets, length))
			continue;
		snprintf(why, sizeof(why), "needs the device mapper's target %.*s", (int)length,
			 targets);
		return why;
	}
	return NULL;
}

static unsigned int minor_of(__u64 dev)
{
	return (dev & 0xff) | (dev >> 12 & ~0xffU);
}

void dm_create(struct dm *dm, const char *name)
{
	struct message m;
	int err;

	begin(&m, name, 0);
	err = send(&m, DM_DEV_CREATE);
	if (err)
		fatal("a device of the device mapper: %s", strerror(-err));
	snprintf(dm->name, sizeof(dm->name), "%s", name);
	snprintf(dm->node, sizeof(dm->node), "/dev/dm-%u", minor_of(m.head.dev));
	dm->dev = m.head.dev;
}

static int load(const struct dm *dm, const struct dm_part *parts, unsigned int nr)
{
	struct message m;
	char *at = m.data;
	__u64 start = 0;
	unsigned int i;

	begin(&m, dm->name, 0);
	m.head.target_count = nr;
	for (i = 0; i < nr; i++) {
		struct dm_target_spec *spec = (void *)at;

		at += sizeof(*spec);
		if (at + sizeof(parts->args) + 8 > m.data + sizeof(m.data))
			fatal("a table of %u parts is too long", nr);
		spec->sector_start = start;
		spec->length = parts[i].sectors;
		snprintf(spec->target_type, sizeof(spec->target_type), "%s", parts[i].type);
		strcpy(at, parts[i].args);
		at += (strlen(at) + 8) & ~7UL;
		spec->next = at - (char *)spec;
		start += parts[i].sectors;
	}
	return send(&m, DM_TABLE_LOAD);
}

static int change_state(const struct dm *dm, __u32 flags)
{
	struct message m;

	begin(&m, dm->name, flags);
	return send(&m, DM_DEV_SUSPEND);
}

int dm_table(const struct dm *dm, const struct dm_part *parts, unsigned int nr)
{
	return load(dm, parts, nr) ?: change_state(dm, AT_ONCE);
}

void dm_suspend(const struct dm *dm)
{
	int err = change_state(dm, DM_SUSPEND_FLAG | AT_ONCE);

	if (err)
		fatal("suspend %s: %s", dm->name, strerror(-err));
}

void dm_resume(const struct dm *dm)
{
	int err = change_state(dm, AT_ONCE);

	if (err)
		fatal("resume %s: %s", dm->name, strerror(-err));
}

int dm_remove(const struct dm *dm)
{
	struct message m;
	int err = 0;

	/* Whoever looks at new block devices has it open for a moment. */
	wait_for((begin(&m, dm->name, 0), err = send(&m, DM_DEV_REMOVE)) != -EBUSY, 5000);
	return err;
}

bool dm_revive(struct dm *dm, const char *name)
{
	snprintf(dm->name, sizeof(dm->name), "%s", name);
	return change_state(dm, AT_ONCE) != -ENXIO;
}
