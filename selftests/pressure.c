// SPDX-License-Identifier: GPL-2.0
/*
 * More than fits into memory: meant for a guest with 256 MiB.  Nobody may be killed, nothing may be
 * lost, and what does not fit gets an error.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/fs.h>

#include "harness.h"

#define TIB	(1ULL << 40)
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(pressure) {
	struct scope_dev dev;
	long ram;		/* pages in this machine */
	long limit;		/* pages that the stores may take */
	long killed;
};

FIXTURE_SETUP(pressure)
{
	long mb = file_number(MODULE_DIR "/parameters/store_limit_mb");
	struct sysinfo si;

	NEED_DEVICES();
	sysinfo(&si);
	if (si.totalram * (__u64)si.mem_unit > 1ULL << 30)
		SKIP_SETUP("needs a machine with little memory, at most 1 GiB");
	vm_quiet();
	self->ram = si.totalram * si.mem_unit / sysconf(_SC_PAGESIZE);
	self->limit = mb > 0 ? (mb << 20) / sysconf(_SC_PAGESIZE) : self->ram / 2;
	self->killed = file_field("/proc/vmstat", "oom_kill");
	/* The flusher as it is on any machine. */
	vm_set("dirty_expire_centisecs", 300);
	vm_set("dirty_writeback_centisecs", 100);
	dev_create(&self->dev, "ram", TIB, 0);
}

FIXTURE_TEARDOWN(pressure)
{
	vm_quiet();
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	EXPECT_EQ(self->killed, file_field("/proc/vmstat", "oom_kill"));
}

static long available(void)
{
	return file_field("/proc/meminfo", "MemAvailable") * 1024 / sysconf(_SC_PAGESIZE);
}

/*
 * The working set takes memory twice, in the store and in the cache.  Memory that cannot be
 * swapped is taken away, so that the cache has room for two thirds of it: with less, a guest whose
 * CPUs do not run at the same time runs out of memory before its flusher gets one.
 */
static long set_size(const FIXTURE_DATA(pressure) *self)
{
	long n = self->limit * 9 / 10, most = available() * 2 / 5;

	return n < most ? n : most;
}

static void take_memory_for(long set)
{
	long n = available() - set - set * 2 / 3;
	char *p;

	if (n <= 0)
		fatal("too little memory: %ld pages are available", available());
	p = mmap(NULL, n * sysconf(_SC_PAGESIZE), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mlock(p, n * sysconf(_SC_PAGESIZE)))
		fatal("mlock of %ld pages: %m", n);
}

TEST_F_TIMEOUT(pressure, rewrite_many_times, 240)
{
	long n = set_size(self), page = self->dev.page, i, bad = 0;
	char *p = dev_map(&self->dev, 0, n, RW);
	int round;

	take_memory_for(n);
	for (round = 1; round <= 4; round++) {
		for (i = 0; i < n; i++) {
			if (round > 1 && page_differs(p + i * page, page, i, round - 1) >= 0)
				bad++;
			page_fill(p + i * page, page, i, round);
		}
	}
	EXPECT_EQ(0, bad);
	for (i = 0; i < n; i++)
		bad += page_differs(p + i * page, page, i, 4) >= 0;
	EXPECT_EQ(0, bad);
	EXPECT_LT(0, moved(&self->dev, pages_evicted));
	EXPECT_LE(n, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(0, moved(&self->dev, pages_write_failed));
}

TEST_F_TIMEOUT(pressure, rewrite_by_write, 240)
{
	long n = set_size(self), page = self->dev.page, i;
	char *buf = malloc(page);
	int round;

	take_memory_for(n);
	for (round = 1; round <= 3; round++) {
		for (i = 0; i < n; i++) {
			page_fill(buf, page, i, round);
			ASSERT_EQ(page, pwrite(self->dev.fd, buf, page, i * page));
		}
	}
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, n, 3));
	EXPECT_LT(0, moved(&self->dev, pages_evicted));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	free(buf);
}

/* Page tables are not reclaimed: what is scattered page by page needs one for each page. */
#define CLUSTER	64

/* Over a device four thousand times the memory, more than fits into it; some of it written. */
TEST_F_TIMEOUT(pressure, terabyte_touched_sparsely, 240)
{
	long n = self->ram * 3 / 2, page = self->dev.page, i, at, bad = 0;
	long stride = self->dev.pages / (n / CLUSTER + 1);
	char *p = dev_map_random(&self->dev, 0, self->dev.pages, RW);

	for (i = 0; i < n; i++) {
		at = i / CLUSTER * stride + i % CLUSTER;
		if (i % 16 == 0)
			page_fill(p + at * page, page, at, 5);
		else
			bad += p[at * page] != 0;
	}
	EXPECT_EQ(0, bad);
	EXPECT_LT(0, moved(&self->dev, pages_evicted));
	EXPECT_EQ(n, moved(&self->dev, pages_added));
	for (i = 0; i < n; i += 16) {
		at = i / CLUSTER * stride + i % CLUSTER;
		bad += page_differs(p + at * page, page, at, 5) >= 0;
	}
	EXPECT_EQ(0, bad);
	EXPECT_EQ((n + 15) / 16, now(&self->dev, store_pages));
	EXPECT_GT(self->ram, now(&self->dev, pages_cached));
}

TEST_F_TIMEOUT(pressure, scan_larger_than_memory, 240)
{
	long data = self->limit / 2, n = self->ram * 2, page = self->dev.page, i, bad = 0;
	char *p;

	dev_fill(&self->dev, 0, data, 6);
	p = dev_map(&self->dev, 0, n, PROT_READ);
	for (i = 0; i < n; i++)
		bad += page_differs(p + i * page, 64, i, i < data ? 6 : 0) >= 0;
	EXPECT_EQ(0, bad);
	EXPECT_LE(n, moved(&self->dev, pages_added));
	EXPECT_LT(n / 4, moved(&self->dev, pages_evicted));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, data, 6));
	EXPECT_EQ(data, now(&self->dev, store_pages));
}

static int fill_up(void *arg)
{
	struct scope_dev *d = arg;
	char *p = mmap(NULL, d->pages * d->page, RW, MAP_SHARED, d->fd, 0);
	long i;

	if (p == MAP_FAILED)
		return 1;
	for (i = 0; i < d->pages; i++)
		if (try_store(p + i * d->page, 1))
			return 0;
	return 2;
}

/* The store says no before the machine does. */
TEST_F_TIMEOUT(pressure, full_store_is_an_error_not_a_kill, 240)
{
	EXPECT_EQ(0, in_child(fill_up, &self->dev));
	EXPECT_EQ(self->limit * 99 / 100, now(&self->dev, store_pages) * 99 / 100);
	EXPECT_LT(0, moved(&self->dev, fault_sigbus));
	EXPECT_EQ(-1, pwrite(self->dev.fd, "x", 1, TIB - 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, dev_punch(&self->dev, 0, self->dev.pages));
	EXPECT_EQ(1, pwrite(self->dev.fd, "x", 1, TIB - 1));
}

/*
 * The kernel gives up, and kills, where nothing becomes free in some rounds of reclaim, without
 * regard to a flusher that emulation keeps from its CPU just then: so take a breath now and then.
 */
static void store_slowly(char *p, long n, long page)
{
	long i;

	for (i = 0; i < n; i++) {
		p[i * page] = 1;
		if (i % 16 == 15)
			sleep_ms(1);
	}
}

/* Anonymous memory that must be had pushes our pages out, dirty ones after they were written. */
TEST_F_TIMEOUT(pressure, dirty_pages_make_room, 240)
{
	long n = self->limit / 2, page = self->dev.page, want, i, bad = 0;
	char *p = dev_map(&self->dev, 0, n, RW), *anon;

	for (i = 0; i < n; i++)
		page_fill(p + i * page, page, i, 7);
	want = available() * 3 / 4;
	ASSERT_LT(0, want);
	anon = mmap(NULL, want * page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, anon);
	store_slowly(anon, want, page);
	EXPECT_EQ(want, (long)touch_pages(anon, want));
	EXPECT_LT(0, moved(&self->dev, pages_cleaned));
	EXPECT_LT(0, moved(&self->dev, pages_evicted));
	munmap(anon, want * page);
	for (i = 0; i < n; i++)
		bad += page_differs(p + i * page, page, i, 7) >= 0;
	EXPECT_EQ(0, bad);
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
}

/*
 * Over a store that is no memory: what does not fit has to go there, and the way there needs some.
 */
FIXTURE(larger) {
	struct scope_dev dev;
	long killed;
	const char *swap;
};

FIXTURE_VARIANT(larger) {
	const char *store;
};

STORE_VARIANT(larger, ext4);
STORE_VARIANT(larger, block);

FIXTURE_SETUP(larger)
{
	struct sysinfo si;

	NEED_DEVICES();
	NEED_STORE(variant->store);
	sysinfo(&si);
	if (si.totalram * (__u64)si.mem_unit > 1ULL << 30)
		SKIP_SETUP("needs a machine with little memory, at most 1 GiB");
	vm_quiet();
	self->killed = file_field("/proc/vmstat", "oom_kill");
	vm_set("dirty_expire_centisecs", 300);
	vm_set("dirty_writeback_centisecs", 100);
	dev_create(&self->dev, variant->store, (si.totalram * (__u64)si.mem_unit * 3) &
		   -sysconf(_SC_PAGESIZE), 0);
}

FIXTURE_TEARDOWN(larger)
{
	if (self->swap)
		EXPECT_EQ(0, swapoff(self->swap));
	vm_quiet();
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	EXPECT_EQ(self->killed, file_field("/proc/vmstat", "oom_kill"));
}

/* What mkswap writes. */
static int make_swap(const char *path)
{
	long page = sysconf(_SC_PAGESIZE);
	char *header = calloc(1, page);
	__u64 bytes = 0;
	__u32 *info = (void *)(header + 1024);
	int fd = open(path, O_RDWR), err = 0;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
		fatal("%s: %m", path);
	info[0] = 1;
	info[1] = bytes / page - 1;
	memcpy(header + page - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, header, page, 0) != page || fsync(fd))
		fatal("%s: %m", path);
	close(fd);
	free(header);
	if (swapon(path, 0))
		err = errno;
	return err;
}

/*
 * KASAN keeps what was freed, and lets go of it when somebody allocates who may wait.  Faults and
 * writeback do not, so that a guest that does nothing else would be full of freed requests: with
 * 55000 of them, more than 100 MiB, Linux 7.3 ran out of memory.  A file that is opened will do.
 */
static void let_kasan_forget(long i)
{
	if (i % 64 == 0)
		close(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* Three times the memory, written in order and then, in part, at random. */
static long write_all(struct scope_dev *d)
{
	long n = d->pages, page = d->page, i, at = 0, bad = 0;
	char *p = dev_map(d, 0, n, RW), *gen = malloc(n);

	memset(gen, 1, n);

	for (i = 0; i < n; i++) {
		let_kasan_forget(i);
		page_fill(p + i * page, 64, i, 1);
	}
	for (i = 0; i < n / 64; i++) {
		let_kasan_forget(i);
		at = (at + 1000003) % n;
		page_fill(p + at * page, 64, at, 2);
		gen[at] = 2;
	}
	for (i = 0; i < n; i++) {
		let_kasan_forget(i);
		bad += page_differs(p + i * page, 64, i, gen[i]) >= 0;
	}
	free(gen);
	dev_unmap(d, p);
	return bad;
}

TEST_F_TIMEOUT(larger, written_through_the_mapping, 1200)
{
	EXPECT_EQ(0, write_all(&self->dev));
	EXPECT_LT(self->dev.pages / 3, moved(&self->dev, pages_evicted));
	EXPECT_EQ(0, moved(&self->dev, pages_write_failed));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
}

TEST_F_TIMEOUT(larger, written_with_swap, 1200)
{
	const char *swap = getenv("SCOPE_SWAP");
	int err;

	if (!swap)
		SKIP(return, "needs SCOPE_SWAP, a block device to swap to");
	err = make_swap(swap);
	if (err)
		SKIP(return, "cannot swap to %s: %s", swap, strerror(err));
	self->swap = swap;
	EXPECT_EQ(0, write_all(&self->dev));
	EXPECT_LT(self->dev.pages / 3, moved(&self->dev, pages_evicted));
	EXPECT_EQ(0, moved(&self->dev, pages_write_failed));
}

SCOPE_MAIN
