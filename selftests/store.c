// SPDX-License-Identifier: GPL-2.0
/* The RAM store: holes, size, the limit on memory, discard. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	512
#define N	32
#define RW	(PROT_READ | PROT_WRITE)
#define TIB	(1ULL << 40)

DEVICE_FIXTURE(store, PAGES);
STORE_VARIANT(store, vfat);

TEST_F(store, holes_are_zeros_and_cost_nothing)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);
	long i;

	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 0));
	for (i = 0; i < PAGES; i++)
		if (page_differs(p + i * page, page, i, 0) >= 0)
			break;
	EXPECT_EQ(PAGES, i);
	EXPECT_HOLDS(0, &self->dev);
}

TEST_F(store, holds_what_was_dirtied)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, RW);
	struct mmapscope_info info;

	store_pages(p, N, 1);
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 2 * N * self->dev.page));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_HOLDS(N + 1, &self->dev);
	store_pages(p, N, 2);
	EXPECT_HOLDS(N + 1, &self->dev);
	dev_info(&self->dev, &info);
	EXPECT_EQ(now(&self->dev, store_pages), (long)info.store_pages);
}

TEST_F(store, punch_makes_holes)
{
	char *p;
	long i;

	dev_fill(&self->dev, 0, PAGES, 1);
	p = dev_map(&self->dev, 0, PAGES, RW);
	touch_pages(p, PAGES / 2);
	ASSERT_EQ(0, dev_punch(&self->dev, N, 2 * N));
	EXPECT_HOLDS(PAGES - 2 * N, &self->dev);
	for (i = 0; i < PAGES; i++)
		if (page_differs(p + i * self->dev.page, self->dev.page, i,
				 i < N || i >= 3 * N) >= 0)
			break;
	EXPECT_EQ(PAGES, i);
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	ASSERT_EQ(0, dev_punch(&self->dev, 0, PAGES));
	EXPECT_HOLDS(0, &self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 0));
	/* What was punched takes stores again. */
	p[0] = 3;
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(3, p[0]);
}

TEST_F(store, punch_spares_private_copies)
{
	char *p;

	dev_fill(&self->dev, 0, 2, 1);
	p = dev_map_flags(&self->dev, 0, 2, RW, MAP_PRIVATE);
	*p = 'c';
	touch_pages(p + self->dev.page, 1);
	ASSERT_EQ(0, dev_punch(&self->dev, 0, 2));
	EXPECT_EQ('c', *p);
	EXPECT_EQ(-1, page_differs(p + self->dev.page, self->dev.page, 1, 0));
}

TEST_F(store, punch_needs_a_range_and_a_writer)
{
	struct scope_dev ro = self->dev;

	EXPECT_EQ(-EINVAL, dev_punch(&self->dev, 0, 0));
	EXPECT_EQ(-EINVAL, dev_punch(&self->dev, PAGES - 1, 2));
	EXPECT_EQ(-EINVAL, dev_punch(&self->dev, PAGES, 1));
	ro.fd = dev_open(&self->dev, O_RDONLY);
	EXPECT_EQ(-EBADF, dev_punch(&ro, 0, 1));
	close(ro.fd);
}

/* One page may be there or not; whose it is must never be in doubt. */
struct race {
	struct scope_dev *dev;
	volatile bool stop;
	long bad, reads;
};

/*
 * Halfway through a punch or a write some bytes are zero and others are not: the kernel copies with
 * "rep movsb", which may stop after any byte.
 */
static bool torn_between(__u64 seen, __u64 whole)
{
	int i;

	for (i = 0; i < 8; i++) {
		unsigned char byte = seen >> 8 * i;

		if (byte && byte != (unsigned char)(whole >> 8 * i))
			return false;
	}
	return true;
}

static void *race_reader(void *arg)
{
	struct race *r = arg;
	long page = r->dev->page, i;
	char *buf = malloc(page), *expected = malloc(page);
	char *p = mmap(NULL, N * page, PROT_READ, MAP_SHARED, r->dev->fd, 0);

	while (!r->stop) {
		for (i = 0; i < N; i++) {
			if (pread(r->dev->fd, buf, page, i * page) != page)
				r->bad++;
			page_fill(expected, 8, i, 1);
			if (!torn_between(*(__u64 *)buf, *(__u64 *)expected))
				r->bad++;
			memcpy(buf, p + i * page + page - 8, 8);
			if (!torn_between(*(__u64 *)buf, (__u64)i + 1))
				r->bad++;
			r->reads++;
		}
		dev_evict_ioctl(r->dev->fd, 0, 0, 0, NULL);
	}
	munmap(p, N * page);
	free(expected);
	free(buf);
	return NULL;
}

TEST_F(store, discard_races_with_readers)
{
	struct race race = { .dev = &self->dev };
	long page = self->dev.page, i, round;
	bool single = dev_single_pages(&self->dev);
	pthread_t reader[2];
	char *buf = malloc(page);

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&reader[i], NULL, race_reader, &race));
	for (round = 0; round < 150; round++) {
		for (i = 0; i < N; i++) {
			page_fill(buf, page, i, 1);
			*(__u64 *)(buf + page - 8) = i + 1;
			ASSERT_EQ(page, pwrite(self->dev.fd, buf, page, i * page));
		}
		if (round & 1)
			ASSERT_EQ(0, fsync(self->dev.fd));
		for (i = 0; i < N; i += 4)
			ASSERT_EQ(0, dev_punch(&self->dev, i, 4));
		/* A large folio across the end of a hole keeps its room if a reader holds it. */
		if (!single)
			ASSERT_EQ(0, dev_punch(&self->dev, 0, PAGES));
		EXPECT_HOLDS(0, &self->dev);
	}
	EXPECT_TRUE(wait_for(race.reads > 100, 20000));
	race.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(reader[i], NULL);
	EXPECT_EQ(0, race.bad);
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, PAGES, 0));
	free(buf);
}

static long offset_of(long i, __u64 bytes, long page)
{
	/* Scattered, with the first and the last page among them. */
	return (long)((bytes / page - 1) * i / (N - 1));
}

TEST(terabyte)
{
	struct scope_dev dev;
	char *p, byte;
	long i, at;

	NEED_DEVICES();
	vm_quiet();
	dev_create(&dev, "ram", TIB, 0);
	EXPECT_EQ((long)TIB, lseek(dev.fd, 0, SEEK_END));
	p = dev_map_random(&dev, 0, dev.pages, RW);
	EXPECT_EQ(0, now(&dev, pages_cached));
	for (i = 0; i < N; i++)
		p[offset_of(i, TIB, dev.page) * dev.page + i] = i + 1;
	EXPECT_EQ(N, now(&dev, pages_cached));
	EXPECT_EQ(N, moved(&dev, fault_major));
	dev_evict(&dev);
	EXPECT_EQ(N, now(&dev, store_pages));
	for (i = 0; i < N; i++) {
		at = offset_of(i, TIB, dev.page) * dev.page;
		EXPECT_EQ(i + 1, p[at + i]);
		EXPECT_EQ(0, p[at + dev.page / 2]);
		EXPECT_EQ(at, lseek(dev.fd, at, SEEK_DATA));
	}
	at = offset_of(1, TIB, dev.page) * dev.page;
	EXPECT_EQ(at, lseek(dev.fd, dev.page, SEEK_DATA));
	EXPECT_EQ(1, pread(dev.fd, &byte, 1, TIB - dev.page + N - 1));
	EXPECT_EQ(N, byte);
	ASSERT_EQ(0, dev_punch(&dev, 0, dev.pages));
	EXPECT_EQ(0, now(&dev, store_pages));
	EXPECT_STREQ("", dev_books(&dev));
	EXPECT_EQ(0, dev_destroy(&dev, false));
}

TEST(largest_device)
{
	long page = sysconf(_SC_PAGESIZE);
	__u64 bytes = (1ULL << 63) - page;
	struct scope_dev dev;
	char byte = 'l';

	NEED_DEVICES();
	vm_quiet();
	dev_create(&dev, "ram", bytes, 0);
	EXPECT_EQ((long)bytes, lseek(dev.fd, 0, SEEK_END));
	EXPECT_EQ(1, pwrite(dev.fd, &byte, 1, bytes - 1));
	EXPECT_EQ(-1, pwrite(dev.fd, &byte, 1, bytes));
	EXPECT_EQ((long)bytes - page, lseek(dev.fd, 0, SEEK_DATA));
	EXPECT_EQ(0, fsync(dev.fd));
	EXPECT_EQ(0, dev_evict_ioctl(dev.fd, 0, 0, 0, NULL));
	byte = 0;
	EXPECT_EQ(1, pread(dev.fd, &byte, 1, bytes - 1));
	EXPECT_EQ('l', byte);
	EXPECT_EQ(0, dev_punch(&dev, dev.pages - 1, 1));
	EXPECT_EQ(0, now(&dev, store_pages));
	EXPECT_EQ(0, dev_destroy(&dev, false));
}

/* The limit is on all RAM stores together. */
FIXTURE(limit) {
	struct scope_dev dev;
	long pages;		/* what may still be taken */
};

static long held_by_all(int ctl)
{
	static struct mmapscope_info info[MMAPSCOPE_MAX_DEVICES];
	struct mmapscope_list list = {
		.size = sizeof(list),
		.count = MMAPSCOPE_MAX_DEVICES,
		.entry_size = sizeof(info[0]),
		.entries = (uintptr_t)info,
	};
	long held = 0;
	unsigned int i;

	if (ioctl(ctl, MMAPSCOPE_IOC_LIST, &list))
		fatal("list: %m");
	for (i = 0; i < list.count; i++)
		held += info[i].store_pages;
	return held;
}

FIXTURE_SETUP(limit)
{
	long mb = file_number(MODULE_DIR "/parameters/store_limit_mb");
	struct sysinfo si;

	NEED_DEVICES();
	sysinfo(&si);
	if (mb <= 0 || (__u64)mb << 20 > si.freeram * (__u64)si.mem_unit / 2)
		SKIP_SETUP("needs store_limit_mb set to less than half of the free memory");
	vm_quiet();
	dev_create(&self->dev, "ram", TIB, 0);
	self->pages = (mb << 20) / self->dev.page - held_by_all(self->dev.ctl);
}

FIXTURE_TEARDOWN(limit)
{
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

static long write_until_full(struct scope_dev *d)
{
	char *buf = calloc(16, d->page);
	long done = 0, n;

	while ((n = pwrite(d->fd, buf, 16 * d->page, done)) > 0)
		done += n;
	free(buf);
	return n < 0 && errno == ENOSPC ? done / d->page : -1;
}

TEST_F(limit, write_gets_enospc)
{
	char buf[1] = "x";

	EXPECT_EQ(self->pages, write_until_full(&self->dev));
	EXPECT_HOLDS(self->pages, &self->dev);
	/* What is there already may be changed, also after it was written back and dropped. */
	EXPECT_EQ(1, pwrite(self->dev.fd, buf, 1, 0));
	dev_evict(&self->dev);
	EXPECT_EQ(1, pwrite(self->dev.fd, buf, 1, self->dev.page));
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 1, self->pages * self->dev.page));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, fsync(self->dev.fd));
}

TEST_F(limit, store_gets_sigbus)
{
	long page = self->dev.page;
	char *p = dev_map_random(&self->dev, 0, self->pages + N, RW);
	char *copy;

	ASSERT_LT(0, write_until_full(&self->dev));
	stats_mark(&self->dev);
	EXPECT_EQ(SIGBUS, try_store(p + (self->pages + 1) * page, 1));
	EXPECT_EQ(1, moved(&self->dev, fault_sigbus));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, try_load(p + (self->pages + 1) * page));
	EXPECT_EQ(SIGBUS, try_store(p + (self->pages + 1) * page, 1));
	/* A private copy is not the store's. */
	copy = dev_map_flags(&self->dev, self->pages + 2, 1, RW, MAP_PRIVATE);
	EXPECT_EQ(0, try_store(copy, 1));
	ASSERT_EQ(0, dev_punch(&self->dev, 0, 2));
	EXPECT_EQ(0, try_store(p + (self->pages + 1) * page, 1));
	EXPECT_EQ(0, try_store(p + (self->pages + 2) * page, 1));
	EXPECT_EQ(SIGBUS, try_store(p + (self->pages + 3) * page, 1));
}

TEST_F(limit, is_shared_and_given_back)
{
	struct scope_dev other;

	dev_create(&other, "ram", TIB, 0);
	ASSERT_EQ(self->pages, write_until_full(&self->dev));
	EXPECT_EQ(-1, pwrite(other.fd, "x", 1, 0));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, dev_punch(&self->dev, 0, N));
	EXPECT_EQ(N, write_until_full(&other));
	EXPECT_EQ(0, dev_destroy(&other, false));
	EXPECT_EQ(self->pages - N, held_by_all(self->dev.ctl));
	EXPECT_EQ(N * self->dev.page, pwrite(self->dev.fd, calloc(N, self->dev.page),
					     N * self->dev.page, 0));
}

TEST_F(limit, write_across_it_is_short)
{
	char *buf = calloc(2 * N, self->dev.page);

	ASSERT_LT(0, write_until_full(&self->dev));
	ASSERT_EQ(0, dev_punch(&self->dev, 0, 3));
	EXPECT_EQ(3 * self->dev.page, pwrite(self->dev.fd, buf, 2 * N * self->dev.page,
					     (self->pages + 5) * self->dev.page));
	free(buf);
}

SCOPE_MAIN
