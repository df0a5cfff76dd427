// SPDX-License-Identifier: GPL-2.0
/*
 * The file or block device behind a device: opened with the rights of whoever runs the command,
 * and looked at more closely than the module can.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tool.h"

/* How deep block devices may be stacked; deeper ones are not looked at. */
#define MOST_LEVELS 8

static bool is_our_node(const struct stat *st)
{
	char link[PATH_MAX], path[64];
	ssize_t length;

	if (!S_ISCHR(st->st_mode))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/subsystem", major(st->st_rdev),
		 minor(st->st_rdev));
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return false;
	link[length] = '\0';
	return strlen(link) > 10 && !strcmp(link + length - 10, "/mmapscope");
}

/* The regular file of a device has a name, but is in no folder: the kernel adds "(deleted)". */
static bool is_our_name(const char *line)
{
	unsigned int id;
	char end;
	int found = sscanf(line, "/mmapscope%u%c", &id, &end);

	return found == 1 || (found == 2 && end == ' ');
}

/* The file that a loop device shows in sysfs: is it one of ours, as a node or by its name? */
static bool loops_over_ours(const char *block)
{
	char path[PATH_MAX], line[PATH_MAX];
	struct stat st;
	FILE *file;
	bool ours = false;

	snprintf(path, sizeof(path), "%.4000s/loop/backing_file", block);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		ours = (!stat(line, &st) && is_our_node(&st)) ||
			is_our_name(line);
	}
	fclose(file);
	return ours;
}

static bool stands_on_ours(const char *block, int level);

static bool slaves_stand_on_ours(const char *block, int level)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool ours = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%.3000s/slaves", block);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!ours && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%.3000s/slaves/%s", block, entry->d_name);
		ours = stands_on_ours(path, level + 1);
	}
	closedir(dir);
	return ours;
}

/* @block: its folder in sysfs.  A partition's device is the folder above. */
static bool stands_on_ours(const char *block, int level)
{
	char whole[PATH_MAX];

	if (level > MOST_LEVELS)
		return false;
	snprintf(whole, sizeof(whole), "%.4000s/partition", block);
	if (!access(whole, F_OK)) {
		snprintf(whole, sizeof(whole), "%.4000s/..", block);
		return stands_on_ours(whole, level + 1);
	}
	return loops_over_ours(block) || slaves_stand_on_ours(block, level);
}

static int check_block(const char *path, const struct stat *st)
{
	char block[64];

	snprintf(block, sizeof(block), "/sys/dev/block/%u:%u", major(st->st_rdev),
		 minor(st->st_rdev));
	if (!stands_on_ours(block, 0))
		return 0;
	fail(path, "it stands on a device of this module, which would wait for itself");
	return -1;
}

static int make_larger(struct backing *backing, __u64 size)
{
	if (backing->size >= size)
		return 0;
	if (!ftruncate(backing->fd, size)) {
		backing->grown = true;
		return 0;
	}
	fail_errno(backing->path, errno, NULL);
	return -1;
}

static int check_file(struct backing *backing, __u64 size)
{
	struct stat st;

	if (fstat(backing->fd, &st)) {
		fail_errno(backing->path, errno, NULL);
		return -1;
	}
	backing->size = st.st_size;
	if (S_ISBLK(st.st_mode))
		return check_block(backing->path, &st);
	return S_ISREG(st.st_mode) && size ? make_larger(backing, size) : 0;
}

/* What it means that the file is not there depends on whether it would have been made. */
static int fail_open(const char *path, int error, bool make, bool sized)
{
	static const struct advice advice[] = {
		{ EACCES, "you may not read and write it; --read-only needs to read only" },
		{ EPERM, "it cannot be written by anybody; use --read-only" },
		{ EROFS, "it cannot be written; use --read-only" },
		{ EISDIR, "a directory; a regular file or a block device is needed" },
		{ ENXIO, "nothing answers there: a socket, or a node without a driver" },
		{ ENODEV, "nothing answers there: a node without a driver" },
		{ 0 }
	};

	if (error == ENOENT && make)
		return fail(path, "the folder does not exist");
	if (error == ENOENT && sized)
		return fail(path, "no such file, and --read-only makes none");
	if (error == ENOENT)
		return fail(path, "no such file; with --size it is made");
	return fail_errno(path, error, advice);
}

/**
 * open_backing() - open what shall stand behind a device
 * @backing: for undo_backing(), or for close() of its descriptor
 * @path: a regular file or a block device
 * @read_only: it will not be written
 * @size: make a regular file at least so large, if it may be written; 0: leave it as it is
 *
 * Return: false after a message.
 */
bool open_backing(struct backing *backing, const char *path, bool read_only, __u64 size)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
	bool make = size && !read_only;

	*backing = (struct backing){ .path = path, .fd = -1 };
	if (make)
		backing->fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	backing->made = backing->fd >= 0;
	if (backing->fd < 0)
		backing->fd = open(path, flags | (make ? O_CREAT : 0), 0600);
	if (backing->fd < 0) {
		fail_open(path, errno, make, size);
		return false;
	}
	if (!check_file(backing, make ? size : 0))
		return true;
	undo_backing(backing);
	return false;
}

/**
 * undo_backing() - leave no trace of open_backing()
 * @backing: nothing stands on it; its descriptor is closed
 */
void undo_backing(struct backing *backing)
{
	if (backing->made)
		unlink(backing->path);
	else if (backing->grown && ftruncate(backing->fd, backing->size))
		fail_errno(backing->path, errno, NULL);
	close(backing->fd);
}
