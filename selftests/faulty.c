// SPDX-License-Identifier: GPL-2.0
/*
 * Stores on real disks that fail: bad sectors, writes that are refused, flushes that fail, disks
 * that lie.  errors.c says the same of all stores, by the module's own hook; here nothing of the
 * module knows, and what is on the disk is read below everything.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "shaky.h"

#define PAGES	256
#define N	16
#define BAD	5
#define RW	(PROT_READ | PROT_WRITE)

static void set_up(struct shaky *s, struct scope_dev *d, const char *store)
{
	__u64 bytes = PAGES * sysconf(_SC_PAGESIZE);

	vm_quiet();
	shaky_make(s, store, 0, bytes);
	dev_create_on(d, store, s->fd, bytes);
}

static void tear_down(struct __test_metadata *_metadata, struct shaky *s, struct scope_dev *d)
{
	vm_quiet();
	shaky_all(s, SHAKY_SOUND);
	EXPECT_STREQ("", dev_books(d));
	EXPECT_EQ(0, dev_destroy(d, _metadata->aborted));
	EXPECT_EQ(0, shaky_end(s));
}

FIXTURE(faulty) {
	struct shaky shaky;
	struct scope_dev dev;
};
FIXTURE_VARIANT(faulty) {
	const char *store;
};
STORE_VARIANT(faulty, block);
STORE_VARIANT(faulty, ext4);

FIXTURE_SETUP(faulty)
{
	NEED_DEVICES();
	NEED_SHAKY(variant->store);
	set_up(&self->shaky, &self->dev, variant->store);
}

FIXTURE_TEARDOWN(faulty)
{
	tear_down(_metadata, &self->shaky, &self->dev);
}

static void flusher_on(void)
{
	vm_set("dirty_expire_centisecs", 10);
	vm_set("dirty_writeback_centisecs", 10);
}

static int fsync_errno(int fd)
{
	return fsync(fd) ? errno : 0;
}

static int msync_errno(void *at, size_t length)
{
	return msync(at, length, MS_SYNC) ? errno : 0;
}

/* Nobody waits: what has been put under writeback has also come out of it. */
static bool all_clean(struct scope_dev *d)
{
	return !now(d, pages_dirty) && !now(d, pages_writeback);
}

/* Pages @first to @first + @n - 1 get their contents of a generation, through a mapping of all. */
static void fill(struct scope_dev *d, char *map, long first, long n, __u64 gen)
{
	long i;

	for (i = first; i < first + n; i++)
		page_fill(map + i * d->page, d->page, i, gen);
}

/*
 * Of @n pages from @first on, mapped at @map + @first: the first that is not of a generation, or
 * -1.
 */
static long mapped_differs(struct scope_dev *d, const char *map, long first, long n, __u64 gen)
{
	long i;

	for (i = first; i < first + n; i++)
		if (page_differs(map + i * d->page, d->page, i, gen) >= 0)
			return i;
	return -1;
}

static void break_page(struct shaky *s, long page, long index)
{
	shaky_set(s, SHAKY_BROKEN, index * page, page);
}

/* One sector is enough to make a page unreadable, and none of the others. */
TEST_F(faulty, bad_sector_is_sigbus_at_that_page)
{
	struct scope_dev *d = &self->dev;
	char *p, *buf = malloc(N * d->page);

	dev_fill(d, 0, N, 1);
	p = dev_map_random(d, 0, N, PROT_READ);
	shaky_set(&self->shaky, SHAKY_BROKEN, (BAD + 1) * d->page - SECTOR, SECTOR);
	EXPECT_EQ(SIGBUS, try_load(p + BAD * d->page));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, BAD, 1));
	EXPECT_EQ(-1, mapped_differs(d, p, BAD + 1, N - BAD - 1, 1));
	EXPECT_EQ(BAD * d->page, pread(d->fd, buf, N * d->page, 0));
	EXPECT_EQ(-1, pread(d->fd, buf, d->page, BAD * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(d->fd, "x", 1, BAD * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(d->page, pread(d->fd, buf, d->page, (BAD + 1) * d->page));
	EXPECT_LE(1, moved(d, fault_sigbus));
	EXPECT_LE(3, moved(d, store_read_errors));
	EXPECT_EQ(0, moved(d, pages_dirtied));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, try_load(p + BAD * d->page));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 1));
	free(buf);
}

/* The readahead that runs into it fails, and costs its neighbours nothing. */
TEST_F(faulty, bad_sector_in_a_readahead)
{
	struct scope_dev *d = &self->dev;
	char *p;

	dev_fill(d, 0, PAGES, 2);
	p = dev_map(d, 0, PAGES, PROT_READ);
	shaky_set(&self->shaky, SHAKY_BROKEN, BAD * d->page, SECTOR);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, BAD, 2));
	EXPECT_EQ(-1, mapped_differs(d, p, BAD + 1, PAGES - BAD - 1, 2));
	EXPECT_LE(1, moved(d, readahead_pages));
	EXPECT_EQ(SIGBUS, try_load(p + BAD * d->page));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, PAGES, 2));
}

/* What is written together with a bad place is written all the same. */
TEST_F(faulty, neighbours_of_a_bad_place_are_written)
{
	struct scope_dev *d = &self->dev;
	char *p;

	dev_fill(d, 0, N, 1);
	p = dev_map(d, 0, N, RW);
	fill(d, p, 0, N, 2);
	break_page(&self->shaky, d->page, BAD);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(1, now(d, pages_dirty));
	EXPECT_EQ(N - 1, moved(d, pages_cleaned));
	EXPECT_EQ(1, moved(d, pages_write_failed));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, BAD, 2));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, BAD, 1, 1));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, BAD + 1, N - BAD - 1, 2));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 2));
}

/* A description that was open hears of it once, by fsync or msync, whoever else has heard. */
TEST_F(faulty, each_open_file_hears_of_it_once)
{
	struct scope_dev *d = &self->dev;
	int other = dev_open(d, O_RDWR), reader = dev_open(d, O_RDONLY);
	char *p = dev_map(d, 0, N, RW);
	int later;

	fill(d, p, 0, N, 3);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	EXPECT_EQ(EIO, msync_errno(p, N * d->page));
	EXPECT_EQ(N, now(d, pages_dirty));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 3));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 0));
	shaky_all(&self->shaky, SHAKY_SOUND);
	later = dev_open(d, O_RDWR);
	EXPECT_EQ(0, msync_errno(p, N * d->page));
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(EIO, fsync_errno(other));
	EXPECT_EQ(0, fsync_errno(other));
	EXPECT_EQ(EIO, fsync_errno(reader));
	EXPECT_EQ(0, fsync_errno(reader));
	EXPECT_EQ(0, fsync_errno(later));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 3));
	close(other);
	close(reader);
	close(later);
}

/* Nobody asks: the flusher tries, fails, waits, tries again, and the data get there. */
TEST_F(faulty, flusher_writes_once_the_cause_is_lifted)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, N, RW);

	fill(d, p, 0, N, 4);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	flusher_on();
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) >= 2 * N, 60000));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 0));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_TRUE(wait_for(all_clean(d), 90000));
	EXPECT_EQ(N, moved(d, pages_cleaned));
	EXPECT_EQ(0, moved(d, wb_sync_pages));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 4));
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(0, fsync_errno(d->fd));
}

/* No way to notice but to read; whoever reads after an eviction gets what the disk has. */
TEST_F(faulty, lying_disk)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, N, RW);

	dev_fill(d, 0, N, 1);
	fill(d, p, 0, N, 2);
	/* The ext4 must not be lied to. */
	shaky_all(&self->shaky, SHAKY_LYING);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2));
	shaky_all(&self->shaky, SHAKY_SOUND);
	dev_evict(d);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 1));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 1));
}

/* Removal does not lose what could not be written, unless it is told to. */
TEST_F(faulty, removal_refuses_and_force_discards)
{
	struct scope_dev *d = &self->dev;
	__u64 discarded = 99;
	char *p = dev_map(d, 0, N, RW);

	fill(d, p, 0, N, 6);
	dev_unmap(d, p);
	close(d->fd);
	break_page(&self->shaky, d->page, BAD);
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	d->fd = dev_open(d, O_RDWR);
	ASSERT_LE(0, d->fd);
	EXPECT_EQ(1, now(d, pages_dirty));
	EXPECT_EQ(-1, dev_differs(d, BAD, 1, 6));
	EXPECT_STREQ("", dev_books(d));
	close(d->fd);
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_EQ(1, discarded);
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, BAD, 6));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, BAD, 1, 0));
	/* Free for the next one, which finds what there is. */
	shaky_all(&self->shaky, SHAKY_SOUND);
	close(d->ctl);
	dev_create_on(d, variant->store, self->shaky.fd, PAGES * d->page);
	EXPECT_EQ(-1, dev_differs(d, 0, BAD, 6));
	EXPECT_EQ(-1, dev_differs(d, BAD, 1, 0));
}

/* Punching writes to the disk, too, or asks it to forget. */
TEST_F(faulty, punch_on_a_broken_disk)
{
	struct scope_dev *d = &self->dev;

	dev_fill(d, 0, PAGES, 1);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	/* A file system only takes note: its own blocks are sound. */
	EXPECT_EQ(backing_is_block(variant->store) ? -EIO : 0, dev_punch(d, 0, N));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, dev_punch(d, 0, N));
	EXPECT_EQ(-1, dev_differs(d, 0, N, 0));
	EXPECT_EQ(-1, dev_differs(d, N, PAGES - N, 1));
}

/* Growing again must not show what could not be forgotten as if it were new. */
TEST_F(faulty, shrinking_on_a_broken_disk)
{
	struct scope_dev *d = &self->dev;
	struct mmapscope_resize resize = { .size = sizeof(resize), .dev_size = N * d->page };

	dev_fill(d, 0, PAGES, 1);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	EXPECT_EQ(0, ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &resize));
	resize.dev_size = PAGES * d->page;
	/* A file system only takes note, so there is nothing left to be forgotten. */
	if (backing_is_block(variant->store)) {
		EXPECT_EQ(-1, ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &resize));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(N * d->page, lseek(d->fd, 0, SEEK_END));
	}
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &resize));
	EXPECT_EQ(-1, dev_differs(d, 0, N, 1));
	EXPECT_EQ(-1, dev_differs(d, N, PAGES - N, 0));
}

/* Everybody writes, while the disk breaks and heals; in the end it holds what was written last. */
struct weather {
	struct scope_dev *dev;
	volatile bool stop;
	volatile long rounds;
	long first;		/* pages of this writer */
	bool map;		/* write by a mapping */
	__u64 gen;
};

static void write_round(struct weather *w, char *map, char *buf)
{
	struct scope_dev *d = w->dev;
	long i;

	w->gen++;
	for (i = w->first; i < w->first + N; i++) {
		if (w->map) {
			page_fill(map + i * d->page, d->page, i, w->gen);
			continue;
		}
		page_fill(buf, d->page, i, w->gen);
		if (pwrite(d->fd, buf, d->page, i * d->page) != d->page)
			fatal("pwrite of a whole page: %m");
	}
	if (w->rounds & 1)
		fsync(d->fd);
	w->rounds++;
}

static void *writer(void *arg)
{
	struct weather *w = arg;
	long length = PAGES * w->dev->page;
	char *map = mmap(NULL, length, RW, MAP_SHARED, w->dev->fd, 0);
	char *buf = malloc(w->dev->page);

	if (map == MAP_FAILED)
		fatal("mmap: %m");
	while (!w->stop)
		write_round(w, map, buf);
	free(buf);
	munmap(map, length);
	return NULL;
}

TEST_F(faulty, nothing_is_lost_when_it_comes_and_goes)
{
	struct scope_dev *d = &self->dev;
	struct weather w[4];
	pthread_t thread[4];
	unsigned int i, round;
	char *p = dev_map(d, 0, PAGES, RW);

	/*
	 * A store that needs its page read is SIGBUS in bad weather: all of it is cached, and
	 * stays.
	 */
	touch_pages(p, PAGES);
	flusher_on();
	for (i = 0; i < 4; i++) {
		w[i] = (struct weather) { .dev = d, .first = i * N, .map = i & 1 };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, writer, &w[i]));
	}
	for (round = 0; round < 20; round++) {
		long before = moved(d, store_write_errors);

		shaky_all(&self->shaky, SHAKY_BROKEN);
		EXPECT_TRUE(wait_for(moved(d, store_write_errors) > before, 60000));
		shaky_all(&self->shaky, round & 1 ? SHAKY_SOUND : SHAKY_SLOW);
		before = moved(d, pages_cleaned);
		EXPECT_TRUE(wait_for(moved(d, pages_cleaned) > before, 60000));
	}
	for (i = 0; i < 4; i++)
		w[i].stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	shaky_all(&self->shaky, SHAKY_SOUND);
	fsync_errno(d->fd);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_TRUE(all_clean(d));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-1, mapped_differs(d, p, w[i].first, N, w[i].gen));
		EXPECT_EQ(-1, shaky_differs(&self->shaky, w[i].first, N, w[i].gen));
	}
}

/* What no file system bears: it would give up its journal. */
FIXTURE(disk) {
	struct shaky shaky;
	struct scope_dev dev;
};

FIXTURE_SETUP(disk)
{
	NEED_DEVICES();
	NEED_SHAKY("block");
	set_up(&self->shaky, &self->dev, "block");
}

FIXTURE_TEARDOWN(disk)
{
	tear_down(_metadata, &self->shaky, &self->dev);
}

/*
 * A disk that has become read-only, as flash does at the end of its life: all can be read, nothing
 * be written.  Its flush fails, too, so even an fsync that has nothing to write does.  (A file
 * system would give up its journal.)
 */
TEST_F(disk, that_became_read_only)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, N, RW);

	dev_fill(d, 0, N, 1);
	shaky_all(&self->shaky, SHAKY_READ_ONLY);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 1));
	fill(d, p, 0, N, 2);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(N, now(d, pages_dirty));
	EXPECT_EQ(EIO, -dev_evict_ioctl(d->fd, 0, 0, 0, NULL));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 1));
	shaky_all(&self->shaky, SHAKY_SOUND);
	/* The eviction has tried, too, and failed. */
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 2));
}

/* All pages were written, but the disk cannot say that they will last. */
TEST_F(disk, that_cannot_flush)
{
	struct scope_dev *d = &self->dev;
	int other = dev_open(d, O_RDONLY);
	char *p = dev_map(d, 0, N, RW);

	fill(d, p, 0, N, 2);
	/* A place where the device is not: only the flush gets there. */
	shaky_set(&self->shaky, SHAKY_READ_ONLY, PAGES * d->page, d->page);
	EXPECT_EQ(EIO, msync_errno(p, N * d->page));
	EXPECT_EQ(N, moved(d, pages_cleaned));
	EXPECT_EQ(0, moved(d, pages_write_failed));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 2));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(EIO, fsync_errno(other));
	EXPECT_EQ(0, fsync_errno(other));
	close(other);
}

SCOPE_MAIN
