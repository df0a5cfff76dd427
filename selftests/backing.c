// SPDX-License-Identifier: GPL-2.0
/*
 * What stands behind scratch devices: see backing.h.
 *
 * SCOPE_EXT4	a folder on a file system whose files can do direct I/O
 * SCOPE_XFS	a folder on xfs
 * SCOPE_BTRFS	a folder on btrfs
 * SCOPE_VFAT	a folder on vfat, which knows no holes
 * SCOPE_TMPFS	a folder on tmpfs (/tmp)
 * SCOPE_BLOCK	block devices that may be overwritten, with blanks between them
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/magic.h>

#include "backing.h"
#include "util.h"

static int open_file(const char *store, __u64 bytes)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/scope-%d", backing_folder(store), getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path) || ftruncate(fd, bytes))
		fatal("%s of %llu bytes: %s", path, bytes, strerror(errno));
	/* Zeros instead of a hole are dirty at first, and count among what may be dirty at all. */
	if (!backing_has_holes(store) && fsync(fd))
		fatal("fsync of %s: %s", path, strerror(errno));
	return fd;
}

static int open_block(__u64 bytes, int nth)
{
	char names[256], *name, *rest = names;
	__u64 range[2] = { 0, bytes }, has = 0;
	int fd;

	snprintf(names, sizeof(names), "%s", getenv("SCOPE_BLOCK"));
	while ((name = strsep(&rest, " ")) && nth--)
		;
	if (!name)
		return -1;
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &has))
		fatal("%s: %s", name, strerror(errno));
	if (has < bytes)
		fatal("%s has %llu bytes, and the test needs %llu", name, has, bytes);
	if (ioctl(fd, BLKZEROOUT, range))
		fatal("%s cannot be made all zeros: %s", name, strerror(errno));
	return fd;
}

static const struct kind {
	const char *name;
	const char *variable;
	const char *without;	/* what there is without the variable */
	long magic;		/* what statfs says of a folder that needs no variable */
} kinds[] = {
	{ .name = "ext4", .variable = "SCOPE_EXT4" },
	{ .name = "xfs", .variable = "SCOPE_XFS" },
	{ .name = "btrfs", .variable = "SCOPE_BTRFS" },
	{ .name = "vfat", .variable = "SCOPE_VFAT" },
	{ .name = "tmpfs", .variable = "SCOPE_TMPFS", .without = "/tmp", .magic = TMPFS_MAGIC },
	{ .name = "block", .variable = "SCOPE_BLOCK" },
};

static const struct kind *find_kind(const char *store)
{
	unsigned int i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, store))
			return &kinds[i];
	fatal("no way to make a device with a store of kind '%s'", store);
}

const char *backing_folder(const char *store)
{
	const struct kind *kind = find_kind(store);
	const char *folder = getenv(kind->variable);
	struct statfs fs;

	if (!folder && kind->without && !statfs(kind->without, &fs) && fs.f_type == kind->magic)
		folder = kind->without;
	return folder;
}

const char *backing_unavailable(const char *store)
{
	static char why[64];

	if (backing_is_ram(store) || backing_folder(store))
		return NULL;
	snprintf(why, sizeof(why), "needs %s: see backing.c", find_kind(store)->variable);
	return why;
}

int backing_open(const char *store, __u64 bytes, int nth)
{
	return backing_is_block(store) ? open_block(bytes, nth) : open_file(store, bytes);
}

bool backing_wanted(const char *name)
{
	const char *wanted = getenv("SCOPE_STORES");
	size_t length = strcspn(name, "_");
	const char *at;

	if (!wanted)
		return true;
	for (at = wanted; *at; at++) {
		if (strncmp(at, name, length))
			continue;
		if ((at == wanted || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
	}
	return false;
}
