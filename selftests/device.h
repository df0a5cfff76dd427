/* SPDX-License-Identifier: GPL-2.0 */
/* Scratch devices, their mappings, their counters, and contents that can be checked. */
#ifndef SELFTESTS_DEVICE_H
#define SELFTESTS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/mmapscope.h>

#define CONTROL_NODE	"/dev/mmapscope-control"
#define DEBUGFS_DIR	"/sys/kernel/debug/mmapscope"
#define CLASS_DIR	"/sys/class/mmapscope"
#define MODULE_DIR	"/sys/module/mmapscope"

/* Numbers of scratch devices start here; whatever is found there at set-up is a left-over. */
#define SCRATCH_ID	512

#define DEV_MAPPINGS	16

struct scope_dev {
	int ctl;
	int fd;			/* O_RDWR, or O_RDONLY for a read-only device */
	unsigned int id;
	long page;		/* bytes in a page */
	long pages;		/* pages in the device */
	char name[32];
	char node[64];
	const char *store;	/* what stands behind it: see backing.h */
	bool was_reset;
	struct {
		void *at;
		size_t len;
	} map[DEV_MAPPINGS];
	__u64 mark[MMAPSCOPE_NR_STATS];
};

/* Why this process cannot make devices, or NULL. */
const char *dev_unavailable(void);

void dev_create(struct scope_dev *d, const char *store, __u64 bytes, unsigned int flags);
/* A device on what @fd refers to, which stays the caller's. */
void dev_create_on(struct scope_dev *d, const char *store, int fd, __u64 bytes);
/* The same, if it goes: 0 or -errno, and only a number. */
int dev_try_on(int ctl, int fd, __u64 bytes, unsigned int *id);
/* Devices that an earlier test has left, because it died. */
void dev_remove_left_overs(void);
/* Unmaps, closes and removes, by force only if @force.  0 or -errno. */
int dev_destroy(struct scope_dev *d, bool force);
int dev_remove(int ctl, unsigned int id, unsigned int flags, __u64 *discarded);
int dev_open(const struct scope_dev *d, int flags);
void dev_info(const struct scope_dev *d, struct mmapscope_info *info);
/* A shared mapping of pages @first to @first + @n - 1; unmapped when the device is destroyed. */
char *dev_map(struct scope_dev *d, long first, long n, int prot);
char *dev_map_flags(struct scope_dev *d, long first, long n, int prot, int flags);
/* As dev_map(), at a multiple of @bytes. */
char *dev_map_aligned(struct scope_dev *d, long first, long n, int prot, unsigned long bytes);
/* As dev_map(), with MADV_RANDOM: no readahead, no fault-around, so that counts are exact. */
char *dev_map_random(struct scope_dev *d, long first, long n, int prot);
void dev_unmap(struct scope_dev *d, void *at);
/* The mapping is the test's own business from now on (moved, replaced, gone). */
void dev_forget(struct scope_dev *d, void *at);

/* Evicts; returns how many pages stayed, with the ioctl's own result in @evict if not NULL. */
int dev_evict_ioctl(int fd, __u64 offset, __u64 length, unsigned int flags,
		    struct mmapscope_evict *evict);
/* Evicts the whole device, until nothing is cached. */
void dev_evict(struct scope_dev *d);
int dev_punch(const struct scope_dev *d, long first, long n);
/* Is every folio of the cache a single page (large_folio_kb=0)? */
bool dev_single_pages(const struct scope_dev *d);
int dev_reset(struct scope_dev *d);
/* Sets the readahead window, and reopens the device, since open samples it. */
void dev_readahead(struct scope_dev *d, long pages);
/* Sets (or clears, with "off") the store's test hook. */
void dev_hook(const struct scope_dev *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool dev_has_hook(const struct scope_dev *d);

/* Counters: the value now, and how far it moved since stats_mark(). */
void stats_read(const struct scope_dev *d, __u64 *values);
void stats_mark(struct scope_dev *d);
long stats_now(const struct scope_dev *d, enum mmapscope_stat stat);
long stats_moved(const struct scope_dev *d, enum mmapscope_stat stat);
const char *stats_name(unsigned int stat);

#define now(d, name)	stats_now(d, MMAPSCOPE_STAT_##name)
#define moved(d, name)	stats_moved(d, MMAPSCOPE_STAT_##name)

/* All reads and writes put under writeback, whatever the cause. */
long stats_moved_wb(const struct scope_dev *d);

/*
 * The equations that hold at any quiet moment, and pages_cached against mincore.  "" if they hold,
 * else which one does not, with the numbers.
 */
const char *dev_books(const struct scope_dev *d);
/* Pages of the range that mincore says are cached. */
long dev_mincore(const struct scope_dev *d, long first, long n);

/* Page contents that name their page, word and generation; generation 0 is all zeros. */
void page_fill(void *page, long size, __u64 index, __u64 gen);
/* The first word that is not what page_fill() wrote, or -1. */
long page_differs(const void *page, long size, __u64 index, __u64 gen);
/* Writes pages of generation @gen to the store, and leaves the cache empty. */
void dev_fill(struct scope_dev *d, long first, long n, __u64 gen);
/* Reads the range with pread() and compares: the first page that differs, or -1. */
long dev_differs(const struct scope_dev *d, long first, long n, __u64 gen);

#endif /* SELFTESTS_DEVICE_H */
