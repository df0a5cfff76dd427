// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios: that they are there, that the counters stay exact in base pages, and what
 * splitting one does to the books.  What becomes of one that somebody holds, and where there is no
 * room for one.  The policy that turns them off.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"

/* Enough for a folio that an operation cuts, and a neighbour on both sides. */
#define FOLIOS	3
/* So many single pages are a request to a file or a disk. */
#define REQUEST_FOLIOS	64
#define RW	(PROT_READ | PROT_WRITE)
/* A machine for tests has room for some folios of this size, and memory in so large pieces. */
#define MAX_PMD	(32 << 20)

static int policy(const struct scope_dev *d, unsigned int flags, __u64 *value)
{
	struct mmapscope_policy p = {
		.size = sizeof(p),
		.flags = flags,
		.id = MMAPSCOPE_POLICY_large_folio_kb,
		.value = *value,
	};
	int err = ioctl(d->fd, MMAPSCOPE_IOC_POLICY, &p) ? -errno : 0;

	*value = p.value;
	return err;
}

static int set_policy(const struct scope_dev *d, __u64 kb)
{
	return policy(d, MMAPSCOPE_POLICY_SET, &kb);
}

static int resize(const struct scope_dev *d, long pages)
{
	struct mmapscope_resize r = { .size = sizeof(r), .dev_size = pages * d->page };

	return ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &r) ? -errno : 0;
}

FIXTURE(large) {
	struct scope_dev dev;
	long pmd;		/* bytes that a PMD maps */
	long folio;		/* bytes in each folio of the device */
	long n;			/* pages in that */
	char *p;		/* the device, mapped, all of it cached */
	long migrated;		/* pages that the kernel had moved before */
};

/* Of what a PMD maps, a folio is all: mapped as a whole, with one fault and one notification. */
#define PMD	1
/* Or a 16th: mapped page by page, dirty as a whole. */
#define PTES	16

FIXTURE_VARIANT(large) {
	const char *store;
	int part;		/* of what a PMD maps is a folio */
};

#define LARGE_VARIANTS(kind)							\
FIXTURE_VARIANT_ADD(large, kind##_pmd) {					\
	.store = #kind,								\
	.part = PMD,								\
};										\
FIXTURE_VARIANT_ADD(large, kind##_ptes) {					\
	.store = #kind,								\
	.part = PTES,								\
}

LARGE_VARIANTS(ram);
LARGE_VARIANTS(ext4);
LARGE_VARIANTS(tmpfs);
LARGE_VARIANTS(block);

/* The kernel reads ahead in such folios where it is advised to, and the policy allows them. */
static void cache_by_advice(FIXTURE_DATA(large) *self)
{
	if (madvise(self->p, FOLIOS * self->folio, MADV_HUGEPAGE))
		fatal("MADV_HUGEPAGE: %m");
	touch_pages(self->p, self->dev.pages);
}

/* Pages @first to @first + @n - 1 by a single write, of which the pages done are returned. */
static long write_pages(const struct scope_dev *d, long first, long n)
{
	char *buf = malloc(n * d->page);
	ssize_t done;
	long i;

	for (i = 0; i < n; i++)
		page_fill(buf + i * d->page, d->page, first + i, 1);
	done = pwrite(d->fd, buf, n * d->page, first * d->page);
	free(buf);
	return done < 0 ? -errno : done / d->page;
}

/* A write makes folios as large as it is. */
static void cache_by_write(FIXTURE_DATA(large) *self)
{
	long i;

	for (i = 0; i < FOLIOS; i++) {
		if (write_pages(&self->dev, i * self->n, self->n) != self->n)
			fatal("writing folio %ld: %m", i);
	}
	if (fsync(self->dev.fd))
		fatal("fsync: %m");
	touch_pages(self->p, self->dev.pages);
}

static long migrated_pages(void)
{
	return file_field("/proc/vmstat", "pgmigrate_success");
}

FIXTURE_SETUP(large)
{
	__u64 kb;

	NEED_DEVICES();
	NEED_STORE(variant->store);
	vm_quiet();
	/* All of the device may be dirty before somebody writes it. */
	vm_set("dirty_ratio", 80);
	vm_set("dirty_background_ratio", 60);
	self->pmd = file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
	if (self->pmd <= 0 || self->pmd > MAX_PMD)
		SKIP_SETUP("needs huge pages of at most %d MiB", MAX_PMD >> 20);
	self->folio = self->pmd / variant->part;
	dev_create(&self->dev, variant->store, FOLIOS * self->folio, 0);
	self->n = self->folio / self->dev.page;
	kb = self->folio >> 10;
	ASSERT_EQ(0, policy(&self->dev, MMAPSCOPE_POLICY_SET, &kb));
	if (kb != (__u64)self->folio >> 10) {
		dev_destroy(&self->dev, true);
		SKIP_SETUP("this kernel cannot choose the size of folios");
	}
	dev_fill(&self->dev, 0, self->dev.pages, 1);
	/*
	 * The kernel aligns only what a PMD could map.  Smaller folios may lie in two page tables
	 * otherwise, and mlock(2) does not mark such ones as locked.
	 */
	self->p = variant->part == PMD ?
		  dev_map(&self->dev, 0, self->dev.pages, RW) :
		  dev_map_aligned(&self->dev, 0, self->dev.pages, RW, self->pmd);
	/* Memory in one piece, for folios of that size. */
	file_write("/proc/sys/vm/compact_memory", "1");
	if (variant->part == PMD)
		cache_by_advice(self);
	else
		cache_by_write(self);
	stats_mark(&self->dev);
	self->migrated = migrated_pages();
}

FIXTURE_TEARDOWN(large)
{
	/* Which may split folios: good to know of a failure. */
	if (migrated_pages() != self->migrated)
		printf("# the kernel has moved %ld pages meanwhile\n",
		       migrated_pages() - self->migrated);
	vm_quiet();
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

TEST_F(large, mappings_are_aligned_and_huge)
{
	if (variant->part == PMD) {
		EXPECT_EQ(0, (long)self->p & (self->pmd - 1));
		EXPECT_EQ(FOLIOS * self->pmd >> 10, smaps_kb(self->p, "FilePmdMapped"));
	} else {
		EXPECT_EQ(0, smaps_kb(self->p, "FilePmdMapped"));
	}
	EXPECT_EQ(self->dev.pages, now(&self->dev, pages_cached));
	EXPECT_EQ(self->dev.pages, dev_mincore(&self->dev, 0, self->dev.pages));
}

TEST_F(large, one_byte_dirties_a_folio)
{
	self->p[self->folio + 5] = 2;
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(self->n, moved(&self->dev, pages_dirtied));
	/* Its neighbour is as dirty, and has a page-table entry of its own or not. */
	self->p[self->folio + self->dev.page] = 2;
	EXPECT_EQ(variant->part == PMD ? 1 : 2, moved(&self->dev, mkwrite));
	EXPECT_EQ(self->n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(self->n, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, msync(self->p, FOLIOS * self->folio, MS_SYNC));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(self->n, moved(&self->dev, store_write_pages));
	EXPECT_EQ(self->n, moved(&self->dev, wb_sync_pages));
	EXPECT_EQ(1, moved(&self->dev, store_write_ops));
}

TEST_F(large, evicted_whole_and_read_back)
{
	store_pages(self->p, self->dev.pages, 7);
	dev_evict(&self->dev);
	EXPECT_EQ(self->dev.pages, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(self->dev.pages, moved(&self->dev, pages_evicted));
	EXPECT_EQ(7, self->p[2 * self->folio]);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(large, punch_inside_a_dirty_folio)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;

	store_pages(self->p, 3 * self->n, 5);
	ASSERT_EQ(0, dev_punch(&self->dev, first, n));
	/* The folio was written before, and has left the cache. */
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(2 * self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(self->dev.pages - n, &self->dev);
	EXPECT_EQ(5, self->p[(first - 1) * page]);
	EXPECT_EQ(0, self->p[first * page]);
	EXPECT_EQ(0, self->p[(first + n - 1) * page]);
	EXPECT_EQ(5, self->p[(first + n) * page]);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(3 * self->n, moved(&self->dev, pages_cleaned));
}

TEST_F(large, shrink_across_a_dirty_folio)
{
	long page = self->dev.page, end = self->n + 2;

	store_pages(self->p, 3 * self->n, 5);
	ASSERT_EQ(0, resize(&self->dev, end));
	EXPECT_EQ(end * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_HOLDS(end, &self->dev);
	EXPECT_EQ(self->n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(self->n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(5, self->p[end * page - 1 - (page - 1)]);
	EXPECT_EQ(SIGBUS, try_load(self->p + end * page));

	ASSERT_EQ(0, resize(&self->dev, self->dev.pages));
	EXPECT_EQ(5, self->p[(end - 1) * page]);
	EXPECT_EQ(0, self->p[end * page]);
	EXPECT_EQ(0, self->p[2 * self->folio]);
}

/* A write that covers a folio reads nothing.  Linux before 6.6 takes it page by page. */
TEST_F(large, write_counts_pages)
{
	long n = self->n;

	dev_evict(&self->dev);
	stats_mark(&self->dev);
	ASSERT_EQ(n, write_pages(&self->dev, n, n));
	EXPECT_EQ(n, now(&self->dev, pages_cached));
	EXPECT_EQ(n, now(&self->dev, pages_dirty));
	EXPECT_EQ(n, moved(&self->dev, pages_added));
	EXPECT_EQ(n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(self->folio, moved(&self->dev, write_bytes));
	EXPECT_EQ(0, moved(&self->dev, mkwrite));
	EXPECT_EQ(0, moved(&self->dev, store_read_pages));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(n, moved(&self->dev, store_write_pages));
	EXPECT_EQ(n, moved(&self->dev, wb_sync_pages));
	if (variant->part == PMD && !backing_is_ram(variant->store) &&
	    moved(&self->dev, store_write_ops) > 1) {
		EXPECT_EQ(n / REQUEST_FOLIOS, moved(&self->dev, store_write_ops));
	} else {
		EXPECT_EQ(1, moved(&self->dev, store_write_ops));
	}
	/* And a folio it is, where the kernel can choose its size. */
	self->p[self->folio] = 2;
	if (variant->part != PMD)
		EXPECT_EQ(2 * n, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	EXPECT_EQ(-1, dev_differs(&self->dev, n + 1, n - 1, 1));
}

/* Nor larger than its place allows: what is not written is neither cached nor dirty. */
TEST_F(large, write_makes_none_larger_than_itself)
{
	long n = self->n, page = self->dev.page;
	char buf[100] = "";

	dev_evict(&self->dev);
	stats_mark(&self->dev);
	ASSERT_EQ(n + 1, write_pages(&self->dev, n / 2, n + 1));
	EXPECT_EQ(n + 1, moved(&self->dev, pages_added));
	EXPECT_EQ(n + 1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, moved(&self->dev, store_read_pages));
	/* The bytes around a part of a page are read. */
	ASSERT_EQ(sizeof(buf), pwrite(self->dev.fd, buf, sizeof(buf), 2 * n * page + 50));
	EXPECT_EQ(n + 2, moved(&self->dev, pages_added));
	EXPECT_EQ(n + 2, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, store_read_pages));
	EXPECT_EQ(n + 2, now(&self->dev, pages_cached));
}

TEST_F(large, none_reaches_beyond_the_end)
{
	long n = self->n, end = 2 * n + 3;

	ASSERT_EQ(0, resize(&self->dev, end));
	self->dev.pages = end;
	dev_evict(&self->dev);
	touch_pages(self->p, end);
	EXPECT_EQ(end, now(&self->dev, pages_cached));
	EXPECT_EQ(SIGBUS, try_load(self->p + end * self->dev.page));
	dev_evict(&self->dev);
	stats_mark(&self->dev);
	EXPECT_EQ(n + 3, write_pages(&self->dev, n, 2 * n));
	EXPECT_EQ(n + 3, now(&self->dev, pages_cached));
	EXPECT_EQ(n + 3, moved(&self->dev, pages_dirtied));
	EXPECT_HOLDS(end, &self->dev);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(n + 3, moved(&self->dev, store_write_pages));
}

/* The limit on the memory of stores: all but @left pages go to @hog. */
static bool leave_room(struct scope_dev *hog, long left)
{
	struct mmapscope_file f = { .size = sizeof(f) };
	long mb = file_number(MODULE_DIR "/parameters/store_limit_mb");
	struct sysinfo si;
	int fd, err;

	sysinfo(&si);
	if (mb <= 0 || (__u64)mb << 20 > si.freeram * (__u64)si.mem_unit / 2)
		return false;
	dev_create(hog, "ram", 2 * ((__u64)mb << 20), 0);
	fd = ioctl(hog->fd, MMAPSCOPE_IOC_FILE, &f);
	if (fd < 0)
		fatal("MMAPSCOPE_IOC_FILE: %m");
	err = fallocate(fd, 0, 0, hog->pages * hog->page) ? errno : 0;
	close(fd);
	if (err != ENOSPC)
		fatal("fallocate of more than the limit: %s", strerror(err));
	err = dev_punch(hog, 0, left);
	if (err)
		fatal("punch: %s", strerror(-err));
	return true;
}

/* A write that gets no room for a folio goes on with smaller ones, as far as there is room. */
TEST_F(large, write_takes_what_room_there_is)
{
	long n = self->n, left = n / 2 + 3;
	struct scope_dev hog;

	if (!backing_is_ram(variant->store))
		SKIP(return, "about stores in memory");
	ASSERT_EQ(0, dev_punch(&self->dev, n, n));
	if (!leave_room(&hog, left))
		SKIP(return, "needs store_limit_mb set to less than half of the free memory");
	stats_mark(&self->dev);
	EXPECT_EQ(left, write_pages(&self->dev, n, n));
	EXPECT_EQ(left, moved(&self->dev, pages_dirtied));
	EXPECT_HOLDS(2 * n + left, &self->dev);
	EXPECT_EQ(-ENOSPC, write_pages(&self->dev, n + left, 1));
	EXPECT_EQ(left, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, n, left, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, n + left, n - left, 0));
	EXPECT_EQ(0, dev_destroy(&hog, false));
}

/* A folio in the cache gets room for all of it, or none. */
TEST_F(large, store_wants_room_for_the_folio)
{
	long n = self->n, page = self->dev.page;
	struct scope_dev hog;

	if (!backing_is_ram(variant->store))
		SKIP(return, "about stores in memory");
	if (variant->part != PMD)
		SKIP(return, "only a read by advice makes folios that have no room");
	ASSERT_EQ(0, dev_punch(&self->dev, n, n));
	touch_pages(self->p + n * page, n);
	ASSERT_EQ(FOLIOS * self->pmd >> 10, smaps_kb(self->p, "FilePmdMapped"));
	if (!leave_room(&hog, n - 1))
		SKIP(return, "needs store_limit_mb set to less than half of the free memory");
	stats_mark(&self->dev);
	EXPECT_EQ(SIGBUS, try_store(self->p + (n + 2) * page, 1));
	EXPECT_EQ(1, moved(&self->dev, fault_sigbus));
	EXPECT_HOLDS(2 * n, &self->dev);
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(-ENOSPC, write_pages(&self->dev, n, 1));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	/* Single pages have it. */
	EXPECT_EQ(0, set_policy(&self->dev, 0));
	EXPECT_EQ(0, try_store(self->p + (n + 2) * page, 1));
	EXPECT_HOLDS(2 * n + 1, &self->dev);
	EXPECT_EQ(0, dev_punch(&self->dev, n + 2, 1));
	EXPECT_EQ(0, set_policy(&self->dev, self->folio >> 10));
	EXPECT_EQ(0, dev_punch(&hog, n - 1, 1));
	dev_evict(&self->dev);
	EXPECT_EQ(0, try_store(self->p + (n + 2) * page, 1));
	EXPECT_HOLDS(3 * n, &self->dev);
	EXPECT_EQ(0, dev_destroy(&hog, false));
}

/* A reference to a page of the cache, such as drivers have that read or write it. */
struct hold {
	int pipe[2];
};

static void hold_page(struct hold *h, char *at)
{
	struct iovec iov = { .iov_base = at, .iov_len = 1 };

	if (pipe(h->pipe) || vmsplice(h->pipe[1], &iov, 1, 0) != 1)
		fatal("vmsplice: %m");
}

static void let_go(struct hold *h)
{
	close(h->pipe[0]);
	close(h->pipe[1]);
}

/* It cannot be split, so it stays dirty as a whole, and will write zeros. */
TEST_F(large, punch_inside_a_held_dirty_folio)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;
	struct hold h;
	int i;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&h, self->p + (self->n + 1) * page);
	EXPECT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(3 * self->n, &self->dev);
	/* Once in the cache, and once from the store. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(5, self->p[(first - 1) * page]);
		EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
		EXPECT_EQ(5, self->p[(first + n) * page]);
		let_go(&h);
		ASSERT_EQ(0, fsync(self->dev.fd));
		/* The one was written before as well, in the hope that it could go. */
		EXPECT_EQ(4 * self->n, moved(&self->dev, pages_cleaned));
		dev_evict(&self->dev);
		hold_page(&h, self->p);
	}
	let_go(&h);
}

/* So does a clean one: what somebody has pinned in order to write to it must not be lost. */
TEST_F(large, punch_inside_a_held_clean_folio)
{
	long first = self->n + 3, n = self->n / 2;
	struct hold h;

	hold_page(&h, self->p + (self->n + 1) * self->dev.page);
	EXPECT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_cached));
	EXPECT_EQ(self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(3 * self->n, &self->dev);
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, first, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, first + n, 3 * self->n - first - n, 1));
	let_go(&h);
}

/* Both ends stay, and between them goes what the range has all of. */
TEST_F(large, punch_across_held_dirty_folios)
{
	long half = self->n / 2, n = 2 * self->n, page = self->dev.page;
	struct hold first, last;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&first, self->p);
	hold_page(&last, self->p + (3 * self->n - 1) * page);
	EXPECT_EQ(0, dev_punch(&self->dev, half, n));
	EXPECT_EQ(self->n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(n, &self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, half, n, 0));
	let_go(&first);
	let_go(&last);
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(5, self->p[(half - 1) * page]);
	EXPECT_EQ(-1, dev_differs(&self->dev, half, n, 0));
	EXPECT_EQ(5, self->p[(half + n) * page]);
}

/* Nor does it take away pages beside the hole that somebody has locked into memory. */
TEST_F(large, punch_beside_locked_pages)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;

	ASSERT_EQ(0, mlock(self->p + self->folio, self->folio));
	ASSERT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_cached));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, first, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, first + n, 3 * self->n - first - n, 1));
	EXPECT_EQ(0, munlock(self->p + self->folio, self->folio));
	EXPECT_EQ(0, self->p[first * page]);
}

struct neighbour {
	volatile char *at;
	volatile bool began, stop;
	char last;
};

static void *store_on(void *arg)
{
	struct neighbour *n = arg;

	while (!n->stop) {
		*n->at = ++n->last;
		n->began = true;
	}
	return NULL;
}

/* Who stores beside the hole all the time comes between whatever is done to the folio. */
TEST_F(large, punch_beside_stores)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page, end = first + n;
	struct neighbour beside = { .at = self->p + end * page };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, store_on, &beside));
	ASSERT_TRUE(wait_for(beside.began, 10000));
	for (i = 1; i <= 30; i++) {
		store_pages(self->p, first, i);
		store_pages(self->p + (end + 1) * page, self->dev.pages - end - 1, i);
		ASSERT_EQ(0, dev_punch(&self->dev, first, n));
		EXPECT_EQ(i, self->p[(first - 1) * page]);
		EXPECT_EQ(0, self->p[first * page]);
		EXPECT_EQ(0, self->p[(end - 1) * page]);
		EXPECT_EQ(i, self->p[(end + 1) * page]);
		EXPECT_EQ(i, self->p[(2 * self->n - 1) * page]);
	}
	beside.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(beside.last, *beside.at);
}

/* What arrives in a page of it could get lost otherwise. */
TEST_F(large, resize_does_not_cut_a_held_folio)
{
	long n = self->n, page = self->dev.page;
	struct hold h;

	store_pages(self->p, 3 * n, 5);
	hold_page(&h, self->p + (n + 1) * page);
	EXPECT_EQ(-EBUSY, resize(&self->dev, n + 2));
	EXPECT_EQ(3 * n * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(5, self->p[(n + 2) * page]);
	EXPECT_EQ(5, self->p[(3 * n - 1) * page]);
	let_go(&h);
	EXPECT_EQ(0, resize(&self->dev, n + 2));
	EXPECT_EQ((n + 2) * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, resize(&self->dev, 3 * n));
	EXPECT_EQ(5, self->p[(n + 1) * page]);
	EXPECT_EQ(0, self->p[(n + 2) * page]);
}

/* One that the new end leaves whole, on either side of it, is in nobody's way. */
TEST_F(large, resize_beside_held_folios)
{
	long n = self->n, page = self->dev.page;
	struct hold below, beyond;

	store_pages(self->p, 3 * n, 5);
	hold_page(&below, self->p + (2 * n - 1) * page);
	hold_page(&beyond, self->p + 2 * n * page);
	EXPECT_EQ(0, resize(&self->dev, 2 * n));
	EXPECT_EQ(n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(2 * n, now(&self->dev, pages_cached));
	EXPECT_EQ(2 * n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(2 * n, &self->dev);
	EXPECT_EQ(SIGBUS, try_load(self->p + 2 * n * page));
	EXPECT_EQ(0, resize(&self->dev, 3 * n));
	EXPECT_EQ(0, self->p[2 * n * page]);
	let_go(&below);
	let_go(&beyond);
	EXPECT_EQ(5, self->p[(2 * n - 1) * page]);
	EXPECT_EQ(-1, dev_differs(&self->dev, 2 * n, n, 0));
}

static void no_op(int sig)
{
	(void)sig;
}

/* It waits for whoever holds the folio, but a signal is more important. */
TEST_F(large, resize_is_ended_by_a_signal)
{
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { 0 };
	struct sigaction sa = { .sa_handler = no_op };
	struct hold h;
	int err;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&h, self->p + (self->n + 1) * self->dev.page);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	err = resize(&self->dev, self->n + 2);
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(-EINTR, err);
	EXPECT_EQ(3 * self->folio, lseek(self->dev.fd, 0, SEEK_END));
	let_go(&h);
	EXPECT_EQ(5, self->p[self->folio]);
}

TEST_F(large, policy_stays_while_a_folio_is_held)
{
	long n = self->n, page = self->dev.page;
	__u64 kb = 0, was;
	struct hold h;

	store_pages(self->p, 3 * n, 5);
	ASSERT_EQ(0, policy(&self->dev, 0, &kb));
	was = kb;
	hold_page(&h, self->p + (2 * n + 1) * page);
	EXPECT_EQ(-EBUSY, set_policy(&self->dev, 0));
	EXPECT_EQ(-EBUSY, set_policy(&self->dev, was));
	EXPECT_EQ(0, policy(&self->dev, 0, &kb));
	EXPECT_EQ(was, kb);
	EXPECT_EQ(5, self->p[0]);
	EXPECT_EQ(5, self->p[(2 * n + 1) * page]);
	let_go(&h);
	EXPECT_EQ(0, set_policy(&self->dev, 0));
	EXPECT_EQ(5, self->p[(2 * n + 1) * page]);
}

TEST_F(large, policy_turns_them_off)
{
	__u64 kb = 1;

	ASSERT_EQ(0, set_policy(&self->dev, 0));
	ASSERT_EQ(0, policy(&self->dev, 0, &kb));
	EXPECT_EQ(0, kb);
	EXPECT_EQ(0, now(&self->dev, pages_cached));
	touch_pages(self->p, self->dev.pages);
	EXPECT_EQ(0, smaps_kb(self->p, "FilePmdMapped"));
	stats_mark(&self->dev);
	self->p[self->folio + 5] = 2;
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
}

TEST_F(large, policy_has_a_range)
{
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 3));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, (self->dev.page >> 10) / 2));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 2 * self->pmd >> 10));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, 1 << 20));
	EXPECT_EQ(-EINVAL, set_policy(&self->dev, ~0ULL));
}

struct dropper {
	int fd;
	volatile bool stop;
};

static void *drop_all(void *arg)
{
	struct dropper *d = arg;

	while (!d->stop)
		posix_fadvise(d->fd, 0, 0, POSIX_FADV_DONTNEED);
	return NULL;
}

/* A folio that somebody else has dropped is none that stands in the way. */
TEST_F(large, policy_changes_while_others_drop_folios)
{
	struct dropper d = { .fd = self->dev.fd };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, drop_all, &d));
	for (i = 0; i < 30; i++) {
		touch_pages(self->p, self->dev.pages);
		EXPECT_EQ(0, set_policy(&self->dev, self->folio >> 10));
	}
	d.stop = true;
	pthread_join(thread, NULL);
}

TEST_F(large, policy_changes_under_stores)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, set_policy(&self->dev, i & 1 ? self->folio >> 10 : 0));
		store_pages(self->p, self->dev.pages, i + 1);
	}
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(20, self->p[0]);
	EXPECT_EQ(20, self->p[(self->dev.pages - 1) * self->dev.page]);
}

SCOPE_MAIN
