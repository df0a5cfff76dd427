// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy on the way of every ioctl, of open and close, and of the files in
 * debugfs and sysfs, fails once: see sweep.h.  failpath.c does the same to the paging path.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"

#define SPARE_ID	(SCRATCH_ID + 100)
#define SPARE_PAGES	16

/* --- another device, for what cannot be done to the one that is checked --- */

static int spare_create(struct bench *b, unsigned int id)
{
	struct mmapscope_create arg = {
		.size = sizeof(arg),
		.dev_size = SPARE_PAGES * b->page,
		.id = id,
	};
	int ret = ioctl(b->dev.ctl, MMAPSCOPE_IOC_CREATE, &arg) ? -errno : 0;

	b->spare = arg.id;
	return ret;
}

static int spare_open(struct bench *b)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/mmapscope%u", b->spare);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int remove_ioctl(struct bench *b, unsigned int flags)
{
	return dev_remove(b->dev.ctl, b->spare, flags, NULL);
}

/* What a device that is gone, or was never quite there, has left behind. */
static const char *spare_left(const struct bench *b)
{
	static const char *const places[] = {
		"/dev/mmapscope%u",
		CLASS_DIR "/mmapscope%u",
		"/sys/class/bdi/mmapscope%u",
		DEBUGFS_DIR "/mmapscope%u",
	};
	static char left[128];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(left, sizeof(left), places[i], b->spare);
		if (!access(left, F_OK))
			return left;
	}
	return NULL;
}

static void new_spare(struct bench *b)
{
	int ret = spare_create(b, SPARE_ID);

	if (ret)
		fatal("create: %s", strerror(-ret));
}

static void no_spare(struct bench *b)
{
	b->spare = SPARE_ID;
}

/* As if it had never been.  That its number can be used again the next run will see. */
static const char *spare_is_gone(struct bench *b)
{
	if (remove_ioctl(b, 0) != -ENOENT)
		return "the device is there";
	return spare_left(b);
}

static const char *spare_remove(struct bench *b)
{
	return remove_ioctl(b, 0) ? "the device cannot be removed" : spare_is_gone(b);
}

/* --- the control node --- */

static int run_create(struct bench *b)
{
	return spare_create(b, SPARE_ID);
}

static int run_create_any(struct bench *b)
{
	return spare_create(b, MMAPSCOPE_ID_ANY);
}

static bool spare_is_there(const struct bench *b)
{
	char path[64];

	snprintf(path, sizeof(path), CLASS_DIR "/mmapscope%u", b->spare);
	return !access(path, F_OK);
}

/* If only telling the result failed, it is done. */
static const char *after_create(struct bench *b, int ret)
{
	bool there = spare_is_there(b);

	if (there && ret && ret != -EFAULT)
		return "not created, and there";
	if (!there && !ret)
		return "created, and not there";
	return there ? spare_remove(b) : spare_is_gone(b);
}

/* A device that is not the one of the test, and not there from the beginning. */
static bool find_spare(struct bench *b)
{
	static struct mmapscope_info info[8];
	struct mmapscope_list arg = {
		.size = sizeof(arg),
		.count = ARRAY_SIZE(info),
		.entry_size = sizeof(info[0]),
		.entries = (uintptr_t)info,
	};
	unsigned int i;

	if (ioctl(b->dev.ctl, MMAPSCOPE_IOC_LIST, &arg))
		fatal("list: %m");
	for (i = 0; i < arg.count; i++) {
		b->spare = info[i].id;
		if (b->spare && b->spare != b->dev.id)
			return true;
	}
	b->spare = SPARE_ID;
	return false;
}

static const char *after_create_any(struct bench *b, int ret)
{
	bool there = find_spare(b);

	if (there && ret && ret != -EFAULT)
		return "not created, and there";
	if (!there && !ret)
		return "created, and not there";
	if (there && remove_ioctl(b, 0))
		return "the device cannot be removed";
	return spare_left(b);
}

OP_SMALL(create, .cmd = MMAPSCOPE_IOC_CREATE, .before = no_spare, .run = run_create,
	 .after = after_create)
OP_SMALL(create_any, .cmd = MMAPSCOPE_IOC_CREATE, .run = run_create_any, .after = after_create_any)

static void dirty_spare(struct bench *b)
{
	new_spare(b);
	b->fd = spare_open(b);
	if (b->fd < 0 || pwrite(b->fd, b->buf, 4 * b->page, 0) != 4 * b->page)
		fatal("mmapscope%u: %m", b->spare);
}

static void closed_spare(struct bench *b)
{
	dirty_spare(b);
	close(b->fd);
}

static int run_remove(struct bench *b)
{
	return remove_ioctl(b, 0);
}

/* If only telling the result failed, it is done. */
static const char *after_remove(struct bench *b, int ret)
{
	bool there = spare_is_there(b);

	if (there && !ret)
		return "removed, and still there";
	if (!there && ret && ret != -EFAULT)
		return "not removed, and gone";
	return there ? spare_remove(b) : spare_is_gone(b);
}

OP_SMALL(remove, .cmd = MMAPSCOPE_IOC_REMOVE, .before = closed_spare, .run = run_remove,
	 .after = after_remove)

static void used_spare(struct bench *b)
{
	dirty_spare(b);
	b->map = mmap(NULL, SPARE_PAGES * b->page, RW, MAP_SHARED, b->fd, 0);
	if (b->map == MAP_FAILED)
		fatal("mmap: %m");
	store_pages(b->map, SPARE_PAGES, 1);
}

static int run_remove_forced(struct bench *b)
{
	return remove_ioctl(b, MMAPSCOPE_REMOVE_FORCE);
}

static const char *after_remove_forced(struct bench *b, int ret)
{
	int signal = try_load(b->map);
	const char *wrong = NULL;
	char byte;

	if (signal != SIGBUS && !ret)
		wrong = "removed, and still mapped";
	else if (signal && ret && ret != -EFAULT)
		wrong = "not removed, and not mapped any more";
	else if (signal && (pread(b->fd, &byte, 1, 0) >= 0 || errno != ENODEV))
		wrong = "removed, and can still be read";
	munmap(b->map, SPARE_PAGES * b->page);
	close(b->fd);
	if (wrong)
		return wrong;
	return signal ? spare_is_gone(b) : spare_remove(b);
}

OP_SMALL(remove_forced, .cmd = MMAPSCOPE_IOC_REMOVE, .before = used_spare, .run = run_remove_forced,
	 .after = after_remove_forced)

static int run_list(struct bench *b)
{
	static struct mmapscope_info info[8];
	struct mmapscope_list arg = {
		.size = sizeof(arg),
		.count = ARRAY_SIZE(info),
		.entry_size = sizeof(info[0]),
		.entries = (uintptr_t)info,
	};

	return result(ioctl(b->dev.ctl, MMAPSCOPE_IOC_LIST, &arg));
}

OP_SMALL(list, .cmd = MMAPSCOPE_IOC_LIST, .run = run_list, .points = 1)

/* --- a device's node --- */

static int run_info(struct bench *b)
{
	struct mmapscope_info arg = { .size = sizeof(arg) };

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_INFO, &arg));
}

OP_SMALL(info, .cmd = MMAPSCOPE_IOC_INFO, .run = run_info)

static int run_stats(struct bench *b)
{
	static __u64 values[MMAPSCOPE_NR_STATS];
	struct mmapscope_stats arg = {
		.size = sizeof(arg),
		.count = MMAPSCOPE_NR_STATS,
		.values = (uintptr_t)values,
	};

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_STATS, &arg));
}

OP_SMALL(stats, .cmd = MMAPSCOPE_IOC_STATS, .run = run_stats)

static int run_reset(struct bench *b)
{
	return dev_reset(&b->dev);
}

OP_SMALL(reset, .cmd = MMAPSCOPE_IOC_RESET, .run = run_reset)

/* Clean pages below, dirty ones above. */
static void clean_and_dirty(struct bench *b)
{
	bench_fill(b, b->half, 8);
	bench_warm(b);
}

static int run_evict(struct bench *b)
{
	return dev_evict_ioctl(b->dev.fd, 0, 0, 0, NULL);
}

static int run_evict_clean(struct bench *b)
{
	return dev_evict_ioctl(b->dev.fd, 0, 0, MMAPSCOPE_EVICT_NO_WRITE, NULL);
}

OP_LARGE(evict, .cmd = MMAPSCOPE_IOC_EVICT, .before = clean_and_dirty, .run = run_evict)
OP_LARGE(evict_clean, .cmd = MMAPSCOPE_IOC_EVICT, .before = clean_and_dirty,
	 .run = run_evict_clean)

/* Dirty, in as large folios as there are, and mapped. */
static void dirty_map(struct bench *b)
{
	unsigned char gen;
	long i;

	bench_fill(b, 0, b->half);
	bench_cold(b);
	b->map = dev_map(&b->dev, 0, b->dev.pages, RW);
	/* Refused where there are no huge pages. */
	madvise(b->map, b->dev.pages * b->page, MADV_HUGEPAGE);
	touch_pages(b->map, b->half);
	gen = bench_new_gen(b);
	for (i = 0; i < b->half; i++)
		page_fill(b->map + i * b->page, b->page, i, gen);
	memset(b->gen, gen, b->half);
}

static const char *unmap(struct bench *b, int ret)
{
	(void)ret;
	dev_unmap(&b->dev, b->map);
	return NULL;
}

/* Zeros are what generation 0 is. */
static void will_punch(struct bench *b)
{
	dirty_map(b);
	b->write.first = 4;
	b->write.n = b->half / 2;
	b->write.gen = 0;
}

static int run_punch(struct bench *b)
{
	return dev_punch(&b->dev, 4, b->half / 2);
}

OP_LARGE(punch, .cmd = MMAPSCOPE_IOC_PUNCH, .before = will_punch, .run = run_punch,
	 .after = unmap)

static int run_sync(struct bench *b)
{
	struct mmapscope_sync arg = { .size = sizeof(arg) };

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_SYNC, &arg));
}

OP_LARGE(sync, .cmd = MMAPSCOPE_IOC_SYNC, .before = dirty_map, .run = run_sync, .after = unmap)

static int resize(struct bench *b, long pages)
{
	struct mmapscope_resize arg = { .size = sizeof(arg), .dev_size = pages * b->page };

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_RESIZE, &arg));
}

static const char *size_back(struct bench *b, int ret, long wanted)
{
	long size = lseek(b->dev.fd, 0, SEEK_END) / b->page;

	if (size != b->dev.pages && size != wanted)
		return "a size that nobody wanted";
	if (ret ? size == wanted : size != wanted)
		return "the size is not what the call said";
	if (resize(b, b->dev.pages))
		return "cannot be resized";
	return NULL;
}

static int run_grow(struct bench *b)
{
	return resize(b, b->dev.pages + 8);
}

static const char *after_grow(struct bench *b, int ret)
{
	return size_back(b, ret, b->dev.pages + 8);
}

OP_SMALL(grow, .cmd = MMAPSCOPE_IOC_RESIZE, .run = run_grow, .after = after_grow)

/* Across the middle of a dirty folio. */
static void will_shrink(struct bench *b)
{
	dirty_map(b);
	b->write.first = 5;
	b->write.n = b->dev.pages - 5;
	b->write.gen = 0;
}

static int run_shrink(struct bench *b)
{
	return resize(b, 5);
}

static const char *after_shrink(struct bench *b, int ret)
{
	unmap(b, ret);
	return size_back(b, ret, 5);
}

OP_LARGE(shrink, .cmd = MMAPSCOPE_IOC_RESIZE, .before = will_shrink, .run = run_shrink,
	 .after = after_shrink)

static int regular_fd(const struct bench *b)
{
	struct mmapscope_file arg = { .size = sizeof(arg) };

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_FILE, &arg));
}

static int run_file(struct bench *b)
{
	b->file = regular_fd(b);
	return b->file;
}

static void get_file(struct bench *b)
{
	b->file = regular_fd(b);
	if (b->file < 0)
		fatal("file: %s", strerror(-b->file));
}

static const char *close_file(struct bench *b, int ret)
{
	(void)ret;
	if (b->file >= 0)
		close(b->file);
	b->file = -1;
	return NULL;
}

OP_SMALL(file, .cmd = MMAPSCOPE_IOC_FILE, .run = run_file, .after = close_file,
	 .errors = { ENOMEM, EFAULT, EMFILE, ENFILE })

static int policy(struct bench *b, unsigned int flags, __u64 value)
{
	struct mmapscope_policy arg = {
		.size = sizeof(arg),
		.flags = flags,
		.id = MMAPSCOPE_POLICY_large_folio_kb,
		.value = value,
	};

	return result(ioctl(b->dev.fd, MMAPSCOPE_IOC_POLICY, &arg));
}

static int run_policy_get(struct bench *b)
{
	return policy(b, 0, 0);
}

static int run_policy_set(struct bench *b)
{
	return policy(b, MMAPSCOPE_POLICY_SET, 0);
}

/* What is cached is in large folios, if there are any. */
static void large_and_dirty(struct bench *b)
{
	if (b->dev.pages > SMALL_PAGES && policy(b, MMAPSCOPE_POLICY_SET, 2048))
		fatal("large_folio_kb: %m");
	dirty_map(b);
}

OP_SMALL(policy_get, .cmd = MMAPSCOPE_IOC_POLICY, .run = run_policy_get)
OP_LARGE(policy_set, .cmd = MMAPSCOPE_IOC_POLICY, .before = large_and_dirty,
	 .run = run_policy_set, .after = unmap)

static int run_blkgetsize64(struct bench *b)
{
	__u64 bytes;

	return result(ioctl(b->dev.fd, BLKGETSIZE64, &bytes));
}

OP_SMALL(blkgetsize64, .cmd = BLKGETSIZE64, .run = run_blkgetsize64)

/* --- open and close --- */

static int run_open(struct bench *b)
{
	b->fd = dev_open(&b->dev, O_RDWR);
	return result(b->fd);
}

static const char *close_fd(struct bench *b, int ret)
{
	(void)ret;
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	return NULL;
}

OP_SMALL(open, .run = run_open, .after = close_fd)

static int run_open_control(struct bench *b)
{
	b->fd = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
	return result(b->fd);
}

OP_SMALL(open_control, .run = run_open_control, .after = close_fd)

static int run_open_file(struct bench *b)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", b->file);
	b->fd = open(path, O_RDWR | O_CLOEXEC);
	return result(b->fd);
}

/* ENOENT is what procfs says when it has no memory for its inode. */
static const char *close_both(struct bench *b, int ret)
{
	close_fd(b, ret);
	return close_file(b, ret);
}

OP_SMALL(open_file, .before = get_file, .run = run_open_file, .after = close_both,
	 .errors = { ENOMEM, EFAULT, ENOENT })

static void open_fd(struct bench *b)
{
	b->fd = dev_open(&b->dev, O_RDWR);
	if (b->fd < 0)
		fatal("open: %m");
}

static int run_close(struct bench *b)
{
	int fd = b->fd;

	b->fd = -1;
	return result(close(fd));
}

OP_SMALL(close, .before = open_fd, .run = run_close)

static void open_file_as_fd(struct bench *b)
{
	b->fd = regular_fd(b);
	if (b->fd < 0)
		fatal("file: %s", strerror(-b->fd));
}

OP_SMALL(close_regular, .before = open_file_as_fd, .run = run_close)

/* The close that frees a device. */
static void dead_spare(struct bench *b)
{
	dirty_spare(b);
	if (remove_ioctl(b, MMAPSCOPE_REMOVE_FORCE))
		fatal("cannot remove by force");
}

static const char *after_last_close(struct bench *b, int ret)
{
	(void)ret;
	return spare_is_gone(b);
}

OP_SMALL(close_removed, .before = dead_spare, .run = run_close, .after = after_last_close)

/* --- debugfs and sysfs --- */

static int read_file(const char *path)
{
	static char text[8192];

	return file_read(path, text, sizeof(text));
}

static int run_debugfs_stats(struct bench *b)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/stats", b->dev.name);
	return read_file(path);
}

static int run_debugfs_policy(struct bench *b)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/policy", b->dev.name);
	return read_file(path);
}

static int run_debugfs_policy_set(struct bench *b)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/policy", b->dev.name);
	return file_write(path, "large_folio_kb 0\n");
}

static int run_debugfs_reset(struct bench *b)
{
	char path[128];

	b->dev.was_reset = true;
	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/reset", b->dev.name);
	return file_write(path, "1\n");
}

static int run_sysfs_size(struct bench *b)
{
	char path[128];

	snprintf(path, sizeof(path), CLASS_DIR "/%s/size", b->dev.name);
	return read_file(path);
}

OP_SMALL(debugfs_stats, .run = run_debugfs_stats)
OP_SMALL(debugfs_policy, .run = run_debugfs_policy)
OP_SMALL(debugfs_policy_set, .run = run_debugfs_policy_set)
OP_SMALL(debugfs_reset, .run = run_debugfs_reset)
OP_SMALL(sysfs_size, .run = run_sysfs_size)

/* --- all of them --- */

static bool is_swept(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < nr_ops; i++) {
		if (all_ops[i]->cmd == cmd)
			return true;
	}
	return false;
}

/* A command that was added and is not swept fails here: one that is not known is ENOTTY. */
TEST_F(failing, every_command_is_swept)
{
	int fds[] = { self->b.dev.ctl, self->b.dev.fd };
	unsigned int i, nr, known = 0;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		for (nr = 0; nr < 256; nr++) {
			unsigned int cmd = _IO(MMAPSCOPE_IOC_TYPE, nr);

			if (!ioctl(fds[i], cmd, NULL) || errno == ENOTTY)
				continue;
			known++;
			EXPECT_TRUE(is_swept(cmd)) {
				TH_LOG("ioctl %#x of node %u", cmd, i);
			}
		}
	}
	EXPECT_LE(12, known);
}

TEST_F_TIMEOUT(failing, everything_fails, 120)
{
	storm_test(_metadata, &self->b, 100, 2);
}

TEST_F_TIMEOUT(failing, one_in_ten_fails, 120)
{
	storm_test(_metadata, &self->b, 10, 10);
}

TEST_F_TIMEOUT(failing, one_in_three_fails, 120)
{
	storm_test(_metadata, &self->b, 33, 10);
}

SCOPE_MAIN
