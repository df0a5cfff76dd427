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
		/* The regular file of a device has a name, but is in no folder. */
		ours = (!stat(line, &st) && is_our_node(&st)) ||
			!strncmp(line + (*line == '/'), "mmapscope", 9);
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

static int make_larger(const char *path, int fd, const struct stat *st, __u64 size)
{
	if ((__u64)st->st_size >= size || !ftruncate(fd, size))
		return 0;
	fail_errno(path, errno, NULL);
	return -1;
}

static int check_file(const char *path, int fd, __u64 size)
{
	struct stat st;

	if (fstat(fd, &st)) {
		fail_errno(path, errno, NULL);
		return -1;
	}
	if (S_ISBLK(st.st_mode))
		return check_block(path, &st);
	return S_ISREG(st.st_mode) && size ? make_larger(path, fd, &st, size) : 0;
}

/**
 * open_backing() - open what shall stand behind a device
 * @path: a regular file or a block device
 * @read_only: it will not be written
 * @size: make a regular file at least so large, if it may be written; 0: leave it as it is
 *
 * Return: a descriptor, or -1 after a message.
 */
int open_backing(const char *path, bool read_only, __u64 size)
{
	static const struct advice advice[] = {
		{ ENOENT, "no such file; with --size it is made" },
		{ EACCES, "you may not read and write it; --read-only needs to read only" },
		{ EROFS, "it cannot be written; use --read-only" },
		{ EISDIR, "a directory; a regular file or a block device is needed" },
		{ 0 }
	};
	bool make = size && !read_only;
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | (make ? O_CREAT : 0) | O_CLOEXEC |
		      O_NONBLOCK, 0600);

	if (fd < 0) {
		fail_errno(path, errno, advice);
		return -1;
	}
	if (!check_file(path, fd, make ? size : 0))
		return fd;
	close(fd);
	return -1;
}
