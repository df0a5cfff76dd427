// SPDX-License-Identifier: GPL-2.0
/* Stores that can be made to fail: see shaky.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/fiemap.h>
#include <linux/fs.h>

#include "device.h"
#include "shaky.h"
#include "util.h"

#define MAX_DISKS	4

static const char *const folders[MAX_DISKS] = {
	"/tmp/shaky-0", "/tmp/shaky-1", "/tmp/shaky-2", "/tmp/shaky-3",
};

/* --- file systems --- */

/* Runs a command of words with a blank between them; without a shell, which may be one's own. */
static int run_quietly(void *command)
{
	int null = open("/dev/null", O_WRONLY);
	char *words[32], *rest = command;
	unsigned int nr = 0;

	if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		return 1;
	while (nr < sizeof(words) / sizeof(words[0]) - 1 && (words[nr] = strsep(&rest, " ")))
		nr += !!*words[nr];
	words[nr] = NULL;
	execvp(words[0], words);
	return 1;
}

/* busybox has one, too, which makes an ext2 only and knows no -V. */
const char *ext4_unavailable(void)
{
	char command[] = "mke2fs -V";

	return in_child(run_quietly, command) ? "needs mke2fs of e2fsprogs" : NULL;
}

void ext4_make(const char *node, const char *options, const char *folder)
{
	char command[256];

	snprintf(command, sizeof(command), "mke2fs -F -q -t ext4 -b 4096 %s %s", options, node);
	if (in_child(run_quietly, command))
		fatal("mke2fs %s failed", node);
	mkdir(folder, 0700);
	if (mount(node, folder, "ext4", 0, NULL))
		fatal("mount %s on %s: %s", node, folder, strerror(errno));
}

/* --- disks --- */

bool shaky_disk(int nth, char *name, size_t size)
{
	char names[256], *next, *rest = names;

	snprintf(names, sizeof(names), "%s", getenv("SCOPE_BLOCK") ?: "");
	do {
		next = strsep(&rest, " ");
	} while (next && (!*next || nth--));
	if (next)
		snprintf(name, size, "%s", next);
	return next;
}

const char *shaky_unavailable(const char *kind)
{
	char name[64];

	if (!shaky_disk(1, name, sizeof(name)))
		return "needs SCOPE_BLOCK, two block devices to overwrite";
	if (kind[0] == 'e' && ext4_unavailable())
		return ext4_unavailable();
	return dm_unavailable("linear error flakey delay");
}

static void open_disk(struct shaky *s, int nth)
{
	__u64 has, range[2] = { 0 };
	char name[64];

	if (!shaky_disk(nth, name, sizeof(name)))
		fatal("there are no %d disks in SCOPE_BLOCK", nth + 1);
	s->disk = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (s->disk < 0 || ioctl(s->disk, BLKGETSIZE64, &has))
		fatal("%s: %s", name, strerror(errno));
	range[1] = has;
	if (ioctl(s->disk, BLKZEROOUT, range))
		fatal("%s cannot be made all zeros: %s", name, strerror(errno));
	s->sectors = has / SECTOR;
}

/* --- tables --- */

static const struct {
	const char *type;
	const char *more;	/* for the target, after device and sector; NULL: nothing at all */
} ways[] = {
	[SHAKY_SOUND] = { "linear", "" },
	[SHAKY_BROKEN] = { "error", NULL },
	[SHAKY_READ_ONLY] = { "flakey", " 0 1 1 error_writes" },
	[SHAKY_LYING] = { "flakey", " 0 1 1 drop_writes" },
	[SHAKY_SLOW] = { "delay", " 100" },
};

_Static_assert(SHAKY_DELAY == 100, "as the table says");

/* What becomes of sectors @from to @to - 1. */
static unsigned int add_part(const struct shaky *s, struct dm_part *part, enum shaky_way way,
			     __u64 from, __u64 to)
{
	struct stat st;

	if (from >= to)
		return 0;
	if (fstat(s->disk, &st))
		fatal("stat: %s", strerror(errno));
	memset(part, 0, sizeof(*part));
	part->sectors = to - from;
	part->type = ways[way].type;
	if (ways[way].more)
		snprintf(part->args, sizeof(part->args), "%u:%u %llu%s", major(st.st_rdev),
			 minor(st.st_rdev), from, ways[way].more);
	return 1;
}

static void set_sectors(struct shaky *s, enum shaky_way way, __u64 from, __u64 to)
{
	struct dm_part parts[3];
	unsigned int nr = 0;
	int err;

	if (to > s->sectors)
		fatal("the disk is too small: %llu sectors", s->sectors);
	nr += add_part(s, &parts[nr], SHAKY_SOUND, 0, from);
	nr += add_part(s, &parts[nr], way, from, to);
	nr += add_part(s, &parts[nr], SHAKY_SOUND, to, s->sectors);
	/*
	 * Linux 6.1 may free a delay with its timer running, which a request on its way started
	 * while the device was being suspended: let it run out first.
	 */
	if (s->slow) {
		dm_suspend(&s->dm);
		sleep_ms(3 * SHAKY_DELAY);
	}
	err = dm_table(&s->dm, parts, nr);
	if (err)
		fatal("table of %s: %s", s->dm.name, strerror(-err));
	s->slow = way == SHAKY_SLOW;
}

void shaky_set(struct shaky *s, enum shaky_way way, __u64 from, __u64 bytes)
{
	__u64 first = s->first + from / SECTOR;

	set_sectors(s, way, first, first + bytes / SECTOR);
}

void shaky_all(struct shaky *s, enum shaky_way way)
{
	shaky_set(s, way, 0, s->bytes);
}

void shaky_gone(struct shaky *s)
{
	set_sectors(s, SHAKY_BROKEN, 0, s->sectors);
}

/* --- the store --- */

/*
 * A test that died may have left anything: a suspended disk, a device on it, a mounted file
 * system.
 */
static void remove_left_over(const char *name, const char *folder)
{
	struct dm dm;
	int err;

	if (!dm_revive(&dm, name))
		return;
	fprintf(stderr, "# removing %s, left by an earlier test\n", name);
	dev_remove_left_overs();
	umount2(folder, MNT_DETACH);
	err = dm_remove(&dm);
	if (err)
		fatal("%s: %s", name, strerror(-err));
}

static void write_zeros(int fd, __u64 bytes)
{
	size_t chunk = 1 << 20;
	void *zeros = calloc(1, chunk);
	__u64 at;
	ssize_t n;

	for (at = 0; at < bytes; at += n) {
		n = pwrite(fd, zeros, bytes - at < chunk ? bytes - at : chunk, at);
		if (n <= 0)
			fatal("write: %s", strerror(errno));
	}
	free(zeros);
	if (fsync(fd))
		fatal("fsync: %s", strerror(errno));
}

/* Where the only extent of a file begins. */
static __u64 first_sector(int fd, __u64 bytes)
{
	struct {
		struct fiemap head;
		struct fiemap_extent extent[2];
	} map = {
		.head = { .fm_length = bytes, .fm_flags = FIEMAP_FLAG_SYNC, .fm_extent_count = 2 },
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &map))
		fatal("FIEMAP: %s", strerror(errno));
	if (map.head.fm_mapped_extents != 1 || map.extent[0].fe_length < bytes ||
	    map.extent[0].fe_flags & ~FIEMAP_EXTENT_LAST)
		fatal("a new file of %llu bytes is not one extent", bytes);
	return map.extent[0].fe_physical / SECTOR;
}

static void make_file(struct shaky *s, const char *folder)
{
	ext4_make(s->dm.node, "-m 0 -E packed_meta_blocks=1,lazy_itable_init=0,nodiscard", folder);
	s->folder = folder;
	snprintf(s->path, sizeof(s->path), "%s/store", folder);
	s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0 || fallocate(s->fd, 0, 0, s->bytes))
		fatal("%s: %s", s->path, strerror(errno));
	write_zeros(s->fd, s->bytes);
	s->first = first_sector(s->fd, s->bytes);
}

static void make_node(struct shaky *s)
{
	snprintf(s->path, sizeof(s->path), "%s", s->dm.node);
	s->fd = open(s->path, O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		fatal("%s: %s", s->path, strerror(errno));
}

void shaky_make(struct shaky *s, const char *kind, int nth, __u64 bytes)
{
	char name[32];

	snprintf(name, sizeof(name), "scope-shaky-%d", nth);
	remove_left_over(name, folders[nth]);
	memset(s, 0, sizeof(*s));
	s->bytes = bytes;
	open_disk(s, nth);
	dm_create(&s->dm, name);
	set_sectors(s, SHAKY_SOUND, 0, s->sectors);
	if (kind[0] == 'e')
		make_file(s, folders[nth]);
	else
		make_node(s);
}

long shaky_differs(const struct shaky *s, long first, long n, __u64 gen)
{
	long page = sysconf(_SC_PAGESIZE), i, bad = -1;
	void *buf = aligned_alloc(page, page);

	for (i = first; i < first + n && bad < 0; i++) {
		if (pread(s->disk, buf, page, s->first * SECTOR + i * page) != page)
			fatal("page %ld of the disk: %s", i, strerror(errno));
		if (page_differs(buf, page, i, gen) >= 0)
			bad = i;
	}
	free(buf);
	return bad;
}

int shaky_end(struct shaky *s)
{
	close(s->fd);
	close(s->disk);
	if (s->folder && umount(s->folder))
		return -errno;
	return dm_remove(&s->dm);
}
