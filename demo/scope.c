// SPDX-License-Identifier: GPL-2.0
/*
 * The device and its counters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

#define IS_GAUGE_C false
#define IS_GAUGE_G true
#define COUNTER(name, kind, text) { #name, IS_GAUGE_##kind },

const struct counter counter_table[] = { MMAPSCOPE_STATS(COUNTER) };

/**
 * open_scope() - open the device, which must be empty
 * @node: its path
 * @size: how many bytes are needed
 *
 * Return: the descriptor.
 */
int open_scope(const char *node, size_t size)
{
	struct mmapscope_info info = { .size = sizeof(info) };
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s: is the module loaded, and are you root?", node, strerror(errno));
	if (ioctl(fd, MMAPSCOPE_IOC_INFO, &info))
		die("%s: %s: is this one of mmapscope's devices?", node, strerror(errno));
	if (info.store_pages)
		die("%s: there are data on it; 'mmapscope create' makes an empty one", node);
	if (info.dev_size < size)
		die("%s: %llu bytes are less than the file's %zu", node, info.dev_size, size);
	return fd;
}

/**
 * read_counters() - read the counters
 * @fd: the device
 * @counters: where to
 */
void read_counters(int fd, struct counters *counters)
{
	struct mmapscope_stats stats = {
		.size = sizeof(stats),
		.count = MMAPSCOPE_NR_STATS,
		.values = (uintptr_t)counters->value,
	};

	memset(counters, 0, sizeof(*counters));
	if (ioctl(fd, MMAPSCOPE_IOC_STATS, &stats))
		die("reading the counters: %s", strerror(errno));
}

static bool books_balance(const struct counters *counters)
{
	const __u64 *value = counters->value;

	return value[MMAPSCOPE_STAT_pages_dirtied] ==
	       value[MMAPSCOPE_STAT_pages_cleaned] +
	       value[MMAPSCOPE_STAT_pages_write_failed] +
	       value[MMAPSCOPE_STAT_pages_discarded] +
	       value[MMAPSCOPE_STAT_pages_dirty] +
	       value[MMAPSCOPE_STAT_pages_writeback];
}

/**
 * read_quiet_counters() - read the counters when nothing moves, and check that the books balance
 * @fd: the device
 * @counters: where to
 */
void read_quiet_counters(int fd, struct counters *counters)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	/* The flusher may be at work between two counters, but not for a second. */
	for (int i = 0; i < 100; i++) {
		read_counters(fd, counters);
		if (books_balance(counters))
			break;
		nanosleep(&pause, NULL);
	}
	expect(books_balance(counters),
	       "the books balance: every page that became dirty is accounted for");
}

/**
 * evict_all() - write all dirty pages and drop the cache
 * @fd: the device
 * @evict: what the module says about it
 */
void evict_all(int fd, struct mmapscope_evict *evict)
{
	*evict = (struct mmapscope_evict){ .size = sizeof(*evict) };
	if (ioctl(fd, MMAPSCOPE_IOC_EVICT, evict))
		die("evicting: %s", strerror(errno));
}

/**
 * get_checksum() - compute a checksum that a person can compare: FNV-1a, 64 bits
 * @bytes: of these
 * @length: how many
 *
 * Return: the checksum.
 */
__u64 get_checksum(const char *bytes, size_t length)
{
	__u64 hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
	return hash;
}
