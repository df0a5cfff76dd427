// SPDX-License-Identifier: GPL-2.0
/* Scratch devices of the selftests and their counters: see device.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backing.h"
#include "device.h"
#include "util.h"

const char *dev_unavailable(void)
{
	static char why[128];
	int ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);

	if (ctl < 0) {
		snprintf(why, sizeof(why), "cannot open %s: %s", CONTROL_NODE, strerror(errno));
		return why;
	}
	close(ctl);
	return NULL;
}

int dev_remove(int ctl, unsigned int id, unsigned int flags, __u64 *discarded)
{
	struct mmapscope_remove arg = { .size = sizeof(arg), .flags = flags, .id = id };

	if (ioctl(ctl, MMAPSCOPE_IOC_REMOVE, &arg))
		return -errno;
	if (discarded)
		*discarded = arg.discarded;
	return 0;
}

void dev_remove_left_overs(void)
{
	int ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);

	static struct mmapscope_info info[MMAPSCOPE_MAX_DEVICES];
	struct mmapscope_list list = {
		.size = sizeof(list),
		.count = MMAPSCOPE_MAX_DEVICES,
		.entry_size = sizeof(info[0]),
		.entries = (uintptr_t)info,
	};
	unsigned int i;
	int ret;

	if (ctl < 0 || ioctl(ctl, MMAPSCOPE_IOC_LIST, &list))
		fatal("list: %s", strerror(errno));
	for (i = 0; i < list.count; i++) {
		if (info[i].id < SCRATCH_ID || (info[i].flags & MMAPSCOPE_INFO_REMOVED))
			continue;
		fprintf(stderr, "# removing %s, left by an earlier test\n", info[i].name);
		ret = dev_remove(ctl, info[i].id, MMAPSCOPE_REMOVE_FORCE, NULL);
		if (ret)
			fprintf(stderr, "# %s: %s\n", info[i].name, strerror(-ret));
	}
	close(ctl);
}

/* One attempt: the next number, or the next block device, may be free. */
static bool try_create(struct scope_dev *d, const char *store, struct mmapscope_create *arg,
		       int *nth)
{
	int err;

	if (!backing_is_ram(store)) {
		arg->store = MMAPSCOPE_STORE_FILE;
		arg->store_fd = backing_open(store, arg->dev_size, *nth);
		if (arg->store_fd < 0)
			fatal("a store of kind '%s': only %d, all in use", store, *nth);
	}
	err = ioctl(d->ctl, MMAPSCOPE_IOC_CREATE, arg) ? errno : 0;
	if (!backing_is_ram(store))
		close(arg->store_fd);
	if (err == EBUSY && backing_is_block(store))
		++*nth;
	else if (err == EEXIST)
		arg->id++;
	else if (err)
		fatal("create %llu bytes as number %u: %s", arg->dev_size, arg->id, strerror(err));
	return !err;
}

static void begin(struct scope_dev *d, const char *store, __u64 bytes)
{
	static bool cleaned;

	memset(d, 0, sizeof(*d));
	d->store = store;
	d->page = sysconf(_SC_PAGESIZE);
	d->pages = bytes / d->page;
	d->ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
	if (d->ctl < 0)
		fatal("%s: %s", CONTROL_NODE, strerror(errno));
	/* A later device of this test, or of a child of it, would find its siblings. */
	if (!cleaned)
		dev_remove_left_overs();
	cleaned = true;
}

static void finish(struct scope_dev *d, unsigned int id, bool read_only)
{
	d->id = id;
	snprintf(d->name, sizeof(d->name), "mmapscope%u", d->id);
	snprintf(d->node, sizeof(d->node), "/dev/%s", d->name);
	d->fd = dev_open(d, read_only ? O_RDONLY : O_RDWR);
	if (d->fd < 0)
		fatal("%s: %s", d->node, strerror(errno));
	stats_mark(d);
}

void dev_create(struct scope_dev *d, const char *store, __u64 bytes, unsigned int flags)
{
	struct mmapscope_create arg = {
		.size = sizeof(arg),
		.flags = flags,
		.dev_size = bytes,
		.store = MMAPSCOPE_STORE_RAM,
		.id = SCRATCH_ID,
	};
	int nth = 0;

	begin(d, store, bytes);
	while (!try_create(d, store, &arg, &nth))
		;
	finish(d, arg.id, flags & MMAPSCOPE_CREATE_READ_ONLY);
}

int dev_try_on(int ctl, int fd, __u64 bytes, unsigned int *id)
{
	struct mmapscope_create arg = {
		.size = sizeof(arg),
		.dev_size = bytes,
		.store = MMAPSCOPE_STORE_FILE,
		.store_fd = fd,
		.id = SCRATCH_ID,
	};
	int err;

	do {
		err = ioctl(ctl, MMAPSCOPE_IOC_CREATE, &arg) ? -errno : 0;
	} while (err == -EEXIST && ++arg.id);
	*id = arg.id;
	return err;
}

void dev_create_on(struct scope_dev *d, const char *store, int fd, __u64 bytes)
{
	unsigned int id;
	int err;

	begin(d, store, bytes);
	err = dev_try_on(d->ctl, fd, bytes, &id);
	if (err)
		fatal("create %llu bytes on a %s: %s", bytes, store, strerror(-err));
	finish(d, id, false);
}

int dev_destroy(struct scope_dev *d, bool force)
{
	int i, ret;

	for (i = 0; i < DEV_MAPPINGS; i++)
		if (d->map[i].at)
			munmap(d->map[i].at, d->map[i].len);
	memset(d->map, 0, sizeof(d->map));
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	ret = dev_remove(d->ctl, d->id, force ? MMAPSCOPE_REMOVE_FORCE : 0, NULL);
	close(d->ctl);
	d->ctl = -1;
	return ret;
}

int dev_open(const struct scope_dev *d, int flags)
{
	return open(d->node, flags | O_CLOEXEC);
}

void dev_info(const struct scope_dev *d, struct mmapscope_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (ioctl(d->fd, MMAPSCOPE_IOC_INFO, info))
		fatal("info of %s: %s", d->name, strerror(errno));
}

static char *map_at(struct scope_dev *d, void *where, long first, long n, int prot, int flags)
{
	void *at = mmap(where, n * d->page, prot, flags, d->fd, first * d->page);
	int i;

	if (at == MAP_FAILED)
		fatal("mmap of %ld pages at page %ld: %s", n, first, strerror(errno));
	for (i = 0; i < DEV_MAPPINGS; i++) {
		if (!d->map[i].at) {
			d->map[i].at = at;
			d->map[i].len = n * d->page;
			return at;
		}
	}
	fatal("more than %d mappings", DEV_MAPPINGS);
}

char *dev_map_flags(struct scope_dev *d, long first, long n, int prot, int flags)
{
	return map_at(d, NULL, first, n, prot, flags);
}

char *dev_map_aligned(struct scope_dev *d, long first, long n, int prot, unsigned long bytes)
{
	size_t len = n * d->page + bytes;
	char *room = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		fatal("room for a mapping of %zu bytes: %s", len, strerror(errno));
	return map_at(d, (void *)(((unsigned long)room + bytes - 1) & -bytes), first, n, prot,
		      MAP_SHARED | MAP_FIXED);
}

char *dev_map(struct scope_dev *d, long first, long n, int prot)
{
	return dev_map_flags(d, first, n, prot, MAP_SHARED);
}

char *dev_map_random(struct scope_dev *d, long first, long n, int prot)
{
	char *at = dev_map(d, first, n, prot);

	if (madvise(at, n * d->page, MADV_RANDOM))
		fatal("MADV_RANDOM: %s", strerror(errno));
	return at;
}

void dev_forget(struct scope_dev *d, void *at)
{
	int i;

	for (i = 0; i < DEV_MAPPINGS; i++) {
		if (d->map[i].at == at) {
			d->map[i].at = NULL;
			return;
		}
	}
	fatal("no mapping at %p", at);
}

void dev_unmap(struct scope_dev *d, void *at)
{
	int i;

	for (i = 0; i < DEV_MAPPINGS; i++)
		if (d->map[i].at == at)
			munmap(at, d->map[i].len);
	dev_forget(d, at);
}

int dev_evict_ioctl(int fd, __u64 offset, __u64 length, unsigned int flags,
		    struct mmapscope_evict *evict)
{
	struct mmapscope_evict arg = {
		.size = sizeof(arg),
		.flags = flags,
		.offset = offset,
		.length = length,
	};
	int ret = ioctl(fd, MMAPSCOPE_IOC_EVICT, &arg) ? -errno : 0;

	if (evict)
		*evict = arg;
	return ret;
}

void dev_evict(struct scope_dev *d)
{
	int ret = 0;

	if (!wait_for((ret = dev_evict_ioctl(d->fd, 0, 0, 0, NULL)) ||
		      now(d, pages_cached) == 0, 5000) || ret)
		fatal("evict: %s, %ld pages still cached", strerror(-ret), now(d, pages_cached));
}

int dev_punch(const struct scope_dev *d, long first, long n)
{
	struct mmapscope_punch arg = {
		.size = sizeof(arg),
		.offset = first * d->page,
		.length = n * d->page,
	};

	return ioctl(d->fd, MMAPSCOPE_IOC_PUNCH, &arg) ? -errno : 0;
}

bool dev_single_pages(const struct scope_dev *d)
{
	struct mmapscope_policy arg = {
		.size = sizeof(arg),
		.id = MMAPSCOPE_POLICY_large_folio_kb,
	};

	if (ioctl(d->fd, MMAPSCOPE_IOC_POLICY, &arg))
		fatal("policy: %s", strerror(errno));
	return !arg.value;
}

int dev_reset(struct scope_dev *d)
{
	struct mmapscope_reset arg = { .size = sizeof(arg) };

	d->was_reset = true;
	return ioctl(d->fd, MMAPSCOPE_IOC_RESET, &arg) ? -errno : 0;
}

void dev_readahead(struct scope_dev *d, long pages)
{
	char path[128], text[32];
	int ret;

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", d->name);
	snprintf(text, sizeof(text), "%ld\n", pages * d->page / 1024);
	ret = file_write(path, text);
	if (ret)
		fatal("%s: %s", path, strerror(-ret));
	close(d->fd);
	d->fd = dev_open(d, O_RDWR);
	if (d->fd < 0)
		fatal("%s: %s", d->node, strerror(errno));
}

bool dev_has_hook(const struct scope_dev *d)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/test_fail", d->name);
	return !access(path, W_OK);
}

void dev_hook(const struct scope_dev *d, const char *fmt, ...)
{
	char path[128], text[128];
	va_list args;
	int ret;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, args);
	va_end(args);
	strcat(text, "\n");
	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/test_fail", d->name);
	ret = file_write(path, text);
	if (ret)
		fatal("%s: %s", path, strerror(-ret));
}

/* --- counters --- */

const char *stats_name(unsigned int stat)
{
	static const char *const name[MMAPSCOPE_NR_STATS] = {
#define STAT_NAME(id, kind, text) [MMAPSCOPE_STAT_##id] = #id,
		MMAPSCOPE_STATS(STAT_NAME)
#undef STAT_NAME
	};

	return stat < MMAPSCOPE_NR_STATS ? name[stat] : "?";
}

void stats_read(const struct scope_dev *d, __u64 *values)
{
	struct mmapscope_stats arg = {
		.size = sizeof(arg),
		.count = MMAPSCOPE_NR_STATS,
		.values = (uintptr_t)values,
	};

	if (ioctl(d->fd, MMAPSCOPE_IOC_STATS, &arg))
		fatal("stats of %s: %s", d->name, strerror(errno));
	if (arg.count < MMAPSCOPE_NR_STATS)
		fatal("the module has %u counters, this test knows %u", arg.count,
		      MMAPSCOPE_NR_STATS);
}

void stats_mark(struct scope_dev *d)
{
	stats_read(d, d->mark);
}

long stats_now(const struct scope_dev *d, enum mmapscope_stat stat)
{
	__u64 values[MMAPSCOPE_NR_STATS];

	stats_read(d, values);
	return values[stat];
}

long stats_moved(const struct scope_dev *d, enum mmapscope_stat stat)
{
	return stats_now(d, stat) - d->mark[stat];
}

long stats_moved_wb(const struct scope_dev *d)
{
	return moved(d, wb_sync_pages) + moved(d, wb_periodic_pages) +
	       moved(d, wb_background_pages) + moved(d, wb_reclaim_pages) +
	       moved(d, wb_other_pages);
}

long dev_mincore(const struct scope_dev *d, long first, long n)
{
	unsigned char *vec = malloc(n);
	long i, cached = 0;
	void *at;

	at = mmap(NULL, n * d->page, PROT_NONE, MAP_SHARED, d->fd, first * d->page);
	if (at == MAP_FAILED || !vec || mincore(at, n * d->page, vec))
		fatal("mincore of %ld pages: %s", n, strerror(errno));
	for (i = 0; i < n; i++)
		cached += vec[i] & 1;
	munmap(at, n * d->page);
	free(vec);
	return cached;
}

/* The equations over one snapshot; which of them is broken, or 0. */
static int broken_equation(const __u64 *v, bool was_reset, __u64 *left, __u64 *right)
{
#define V(name)	v[MMAPSCOPE_STAT_##name]
	*left = V(pages_dirtied);
	*right = V(pages_cleaned) + V(pages_write_failed) + V(pages_discarded) + V(pages_dirty) +
		 V(pages_writeback);
	if (*left != *right)
		return 1;
	*left = V(fault_read) + V(fault_write) + V(fault_cow);
	*right = V(fault_minor) + V(fault_major);
	if (*left != *right)
		return 2;
	*left = V(pages_added);
	*right = V(pages_cached) + V(pages_evicted) + V(pages_discarded);
	if (*left != *right && !was_reset)
		return 3;
	*left = V(wb_sync_pages) + V(wb_periodic_pages) + V(wb_background_pages) +
		V(wb_reclaim_pages) + V(wb_other_pages);
	*right = V(pages_cleaned) + V(pages_write_failed) + V(pages_writeback);
	if (*left != *right && !was_reset)
		return 4;
#undef V
	return 0;
}

const char *dev_books(const struct scope_dev *d)
{
	static const char *const equation[] = {
		NULL,
		"pages_dirtied = cleaned + write_failed + discarded + dirty + writeback",
		"fault_read + fault_write + fault_cow = fault_minor + fault_major",
		"pages_added = cached + evicted + discarded",
		"wb_*_pages = cleaned + write_failed + writeback",
	};
	static char text[256];
	__u64 v[MMAPSCOPE_NR_STATS], left = 0, right = 0;
	int broken;

	/* A read while something moves may see half of it: look again before complaining. */
	if (!wait_for((stats_read(d, v),
		       !(broken = broken_equation(v, d->was_reset, &left, &right))), 2000)) {
		snprintf(text, sizeof(text), "%s: %llu, %llu", equation[broken], left, right);
		return text;
	}
	if (d->pages * d->page > 1L << 30)
		return "";
	/* A page whose read failed stays cached; mincore only counts what is up to date. */
	if (!wait_for((left = now(d, pages_cached)) == (right = dev_mincore(d, 0, d->pages)) ||
		      (left > right && now(d, store_read_errors)), 2000)) {
		snprintf(text, sizeof(text), "pages_cached %llu, mincore counts %llu", left, right);
		return text;
	}
	return "";
}

/* --- contents --- */

static __u64 word_of(__u64 index, long word, __u64 gen)
{
	__u64 x = index << 32 ^ gen << 12 ^ word;

	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ULL;
	return gen ? (x ^ x >> 29) | 1 : 0;
}

void page_fill(void *page, long size, __u64 index, __u64 gen)
{
	__u64 *words = page;
	long i;

	for (i = 0; i < size / 8; i++)
		words[i] = word_of(index, i, gen);
}

long page_differs(const void *page, long size, __u64 index, __u64 gen)
{
	const __u64 *words = page;
	long i;

	for (i = 0; i < size / 8; i++)
		if (words[i] != word_of(index, i, gen))
			return i;
	return -1;
}

void dev_fill(struct scope_dev *d, long first, long n, __u64 gen)
{
	char *buf = malloc(d->page);
	long i;

	for (i = first; i < first + n; i++) {
		page_fill(buf, d->page, i, gen);
		if (pwrite(d->fd, buf, d->page, i * d->page) != d->page)
			fatal("pwrite of page %ld: %s", i, strerror(errno));
	}
	free(buf);
	if (fsync(d->fd))
		fatal("fsync: %s", strerror(errno));
	dev_evict(d);
	stats_mark(d);
}

long dev_differs(const struct scope_dev *d, long first, long n, __u64 gen)
{
	char *buf = malloc(d->page);
	long i, bad = -1;

	for (i = first; i < first + n && bad < 0; i++) {
		if (pread(d->fd, buf, d->page, i * d->page) != d->page)
			fatal("pread of page %ld: %s", i, strerror(errno));
		if (page_differs(buf, d->page, i, gen) >= 0)
			bad = i;
	}
	free(buf);
	return bad;
}
