// SPDX-License-Identifier: GPL-2.0
/*
 * Who has a device open or mapped: what the kernel's EBUSY does not say.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tool.h"

/**
 * struct target - a device that is looked for
 * @node: device number of its node
 * @name: what the link to it in /proc says when it is a regular file
 */
struct target {
	dev_t node;
	char name[32];
};

struct targets {
	struct target *target;
	size_t nr;
};

static bool find_targets(const char *const *nodes, size_t nr, struct targets *targets)
{
	struct stat status;

	targets->nr = 0;
	targets->target = calloc(nr + 1, sizeof(*targets->target));
	for (size_t i = 0; targets->target && i < nr; i++) {
		if (stat(nodes[i], &status) || !S_ISCHR(status.st_mode))
			continue;
		targets->target[targets->nr].node = status.st_rdev;
		snprintf(targets->target[targets->nr++].name, sizeof(targets->target->name),
			 "/%.30s", strrchr(nodes[i], '/') + 1);
	}
	return targets->nr;
}

/*
 * The device as a regular file is in a file system of its own, which has no block device and which
 * nobody can mount.  To ask the module for its number would be to use it as one, which keeps the
 * module loaded: so it is known by its name.
 */
static bool is_regular_file(const struct target *target, int dir, const char *name)
{
	char link[64];
	ssize_t length = readlinkat(dir, name, link, sizeof(link) - 1);

	if (length < 0)
		return false;
	link[length] = 0;
	/* The kernel adds "(deleted)": it is in no folder. */
	link[strcspn(link, " ")] = 0;
	return !strcmp(link, target->name);
}

static bool match_target(const struct target *target, const struct statx *status, int dir,
			 const char *name)
{
	if (S_ISCHR(status->stx_mode))
		return target->node == makedev(status->stx_rdev_major, status->stx_rdev_minor);
	return S_ISREG(status->stx_mode) && !status->stx_dev_major &&
	       is_regular_file(target, dir, name);
}

/* Any node with the device's number will do, under whatever name in whatever container. */
static bool is_target(int dir, const char *name, const struct targets *targets)
{
	struct statx status;

	/* Other programs' files may be on a server that is gone: do not ask it. */
	if (statx(dir, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &status))
		return false;
	for (size_t i = 0; i < targets->nr; i++) {
		if (match_target(&targets->target[i], &status, dir, name))
			return true;
	}
	return false;
}

/* How many of the links in a folder of a process lead to a target. */
static unsigned int count_links(const char *pid, const char *folder, const struct targets *targets)
{
	struct dirent *entry;
	unsigned int found = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, folder);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		found += is_target(dirfd(dir), entry->d_name, targets);
	closedir(dir);
	return found;
}

static void print_name(FILE *file, const char *pid)
{
	char path[64], name[64] = "?";
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = 0;
		fclose(comm);
	}
	/* A process chooses its name, and this goes to a terminal. */
	for (char *at = name; *at; at++)
		fputc(isprint((unsigned char)*at) ? *at : '?', file);
}

static bool print_process(FILE *file, const char *pid, const struct targets *targets)
{
	unsigned int opened = count_links(pid, "fd", targets);
	unsigned int mapped = count_links(pid, "map_files", targets);

	if (!opened && !mapped)
		return false;
	fprintf(file, "  process %s (", pid);
	print_name(file, pid);
	fprintf(file, "):%s%s%s\n", opened ? " open" : "", opened && mapped ? "," : "",
		mapped ? " mapped" : "");
	return true;
}

static bool print_processes(FILE *file, const struct targets *targets)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool any = false;

	while (proc && (entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			any |= print_process(file, entry->d_name, targets);
	}
	if (proc)
		closedir(proc);
	return any;
}

/**
 * print_holders() - print the processes that have a node open or mapped
 * @file: where to
 * @nodes: paths of nodes
 * @nr: how many
 */
void print_holders(FILE *file, const char *const *nodes, size_t nr)
{
	struct targets targets;

	if (!find_targets(nodes, nr, &targets) || !print_processes(file, &targets))
		fputs("  no process found that has it open: look for a loop device or another\n"
		      "  user inside the kernel, for a device that was used as a regular file\n"
		      "  (it keeps the module until it is removed), or ask again as root\n", file);
	free(targets.target);
}
