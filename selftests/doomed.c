// SPDX-License-Identifier: GPL-2.0
/*
 * Stores that fail for ever, with more dirty pages than a device may keep for them: the flusher
 * does not spin, nobody else waits, nobody is told that all is well, and the device can be
 * removed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "shaky.h"

/* Several times what a device may keep on a machine with 1 GiB. */
#define BYTES	(48 << 20)
#define FEW	256
/* The kernel counts what is dirty for each CPU, and adds up now and then. */
#define SLACK	256
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(doomed) {
	struct shaky shaky;
	struct scope_dev dev;
	long keep;			/* pages that a device may keep: see writeback.c */
};
FIXTURE_VARIANT(doomed) {
	const char *store;
};
STORE_VARIANT(doomed, block);
STORE_VARIANT(doomed, ext4);

static long pages_kept(long page)
{
	long keep = file_field("/proc/meminfo", "MemTotal") * 1024 / page / 64;

	return keep > (1 << 20) / page ? keep : (1 << 20) / page;
}

FIXTURE_SETUP(doomed)
{
	long page = sysconf(_SC_PAGESIZE);

	self->keep = pages_kept(page);
	NEED_DEVICES();
	NEED_SHAKY(variant->store);
	if (2 * self->keep > BYTES / page)
		SKIP_SETUP("needs a machine with less memory");
	vm_quiet();
	shaky_make(&self->shaky, variant->store, 0, BYTES);
	dev_create_on(&self->dev, variant->store, self->shaky.fd, BYTES);
}

FIXTURE_TEARDOWN(doomed)
{
	vm_quiet();
	shaky_all(&self->shaky, SHAKY_SOUND);
	/* A test that has removed it has put a -1 here. */
	if (self->dev.ctl >= 0) {
		EXPECT_STREQ("", dev_books(&self->dev));
		EXPECT_EQ(0, dev_destroy(&self->dev, true));
	}
	EXPECT_EQ(0, shaky_end(&self->shaky));
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

static void fill(struct scope_dev *d, char *map, long n, __u64 gen)
{
	long i;

	for (i = 0; i < n; i++)
		page_fill(map + i * d->page, d->page, i, gen);
}

/* How many of the pages mapped at @map are of a generation. */
static long count_mapped(struct scope_dev *d, const char *map, long n, __u64 gen)
{
	long i, found = 0;

	for (i = 0; i < n; i++)
		found += page_differs(map + i * d->page, d->page, i, gen) < 0;
	return found;
}

/* Likewise on the disk. */
static long count_stored(struct shaky *s, long n, __u64 gen)
{
	long i, found = 0;

	for (i = 0; i < n; i++)
		found += shaky_differs(s, i, 1, gen) < 0;
	return found;
}

/*
 * After the first failure the flusher waits 1 s, then 2, 4...: there cannot be more attempts than
 * seconds have passed, however slow this machine is, and one that spins makes thousands.
 */
TEST_F(doomed, flusher_does_not_spin)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, FEW, RW);
	double begin = seconds();
	long attempts, ops;

	fill(d, p, FEW, 1);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	flusher_on();
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) >= 3 * FEW, 60000));
	sleep_ms(2000);
	attempts = moved(d, pages_write_failed) / FEW;
	ops = moved(d, store_write_ops);
	EXPECT_GE(seconds() - begin + 2, attempts);
	/* A request for many pages, and then one for each. */
	EXPECT_GE((attempts + 1) * 2 * FEW, ops);
	EXPECT_EQ(0, moved(d, wb_sync_pages));
}

/*
 * Of what its store does not take, a device keeps so much to try it again; of the rest, who has
 * written it has been told.
 */
TEST_F(doomed, keeps_so_much_and_says_what_it_lost)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, d->pages, RW);
	struct mmapscope_evict evict;
	__u64 discarded = 0;
	long lost;

	fill(d, p, d->pages, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	stats_mark(d);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	fill(d, p, d->pages, 2);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(d->pages, moved(d, pages_write_failed));
	EXPECT_GE(self->keep + SLACK, now(d, pages_dirty));
	EXPECT_LT(self->keep / 4, now(d, pages_dirty));
	/*
	 * There is memory enough, so all of it is in the cache still, and nothing of ours drops
	 * it.
	 */
	EXPECT_EQ(-EIO, dev_evict_ioctl(d->fd, 0, 0, 0, NULL));
	EXPECT_EQ(0, dev_evict_ioctl(d->fd, 0, 0, MMAPSCOPE_EVICT_NO_WRITE, &evict));
	EXPECT_EQ(d->pages, (long)evict.remaining);
	EXPECT_EQ(d->pages, count_mapped(d, p, d->pages, 2));
	EXPECT_STREQ("", dev_books(d));
	dev_unmap(d, p);
	close(d->fd);
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	/* What was kept gets there. What was lost stays lost, and stands against removal. */
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	d->fd = dev_open(d, O_RDWR);
	ASSERT_LE(0, d->fd);
	EXPECT_EQ(0, now(d, pages_dirty));
	EXPECT_STREQ("", dev_books(d));
	lost = count_stored(&self->shaky, d->pages, 1);
	EXPECT_EQ(d->pages, lost + count_stored(&self->shaky, d->pages, 2));
	EXPECT_LE(d->pages - self->keep - SLACK, lost);
	close(d->fd);
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_EQ(lost, (long)discarded);
	close(d->ctl);
	d->ctl = -1;
}

/* Who was told and writes it again, or does not want it any more, has put it right. */
TEST_F(doomed, what_was_lost_can_be_written_again)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, d->pages, RW);

	touch_pages(p, d->pages);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	fill(d, p, d->pages, 1);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-EIO, dev_evict_ioctl(d->fd, 0, 0, 0, NULL));
	fill(d, p, d->pages / 2, 2);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(0, dev_evict_ioctl(d->fd, 0, d->pages / 2 * d->page, 0, NULL));
	EXPECT_EQ(-EIO, dev_evict_ioctl(d->fd, 0, 0, 0, NULL));
	EXPECT_EQ(0, dev_punch(d, d->pages / 2, d->pages / 2));
	dev_evict(d);
	EXPECT_EQ(d->pages / 2, count_mapped(d, p, d->pages / 2, 2));
	EXPECT_EQ(-1, dev_differs(d, d->pages / 2, d->pages / 2, 0));
	EXPECT_STREQ("", dev_books(d));
	EXPECT_EQ(0, dev_destroy(d, false));
}

/* The flusher does not wait with what is too much; what is left then may wait. */
TEST_F(doomed, flusher_keeps_no_more)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map(d, 0, d->pages, RW);
	long failed;

	shaky_all(&self->shaky, SHAKY_SOUND);
	touch_pages(p, d->pages);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	fill(d, p, d->pages, 2);
	flusher_on();
	EXPECT_TRUE(wait_for(now(d, pages_dirty) <= self->keep + SLACK &&
			     !now(d, pages_writeback), 40000));
	EXPECT_LT(self->keep / 4, now(d, pages_dirty));
	EXPECT_EQ(0, moved(d, wb_sync_pages));
	EXPECT_EQ(d->pages, count_mapped(d, p, d->pages, 2));
	/* Several requests may be under way when the first one fails. */
	failed = moved(d, pages_write_failed);
	sleep_ms(3000);
	EXPECT_GE(3 * self->keep, moved(d, pages_write_failed) - failed);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
}

/* Somebody who writes all of a device, again and again. */
struct user {
	struct scope_dev *dev;
	bool map;
	volatile bool stop;
	volatile long rounds;
	volatile int ended;		/* with this errno, or signal */
	pthread_t thread;
};

static bool write_round(struct user *u, char *map, const char *buf)
{
	struct scope_dev *d = u->dev;
	long i;

	for (i = 0; i < d->pages && !u->stop && !u->ended; i++) {
		if (u->map)
			u->ended = try_store(map + i * d->page, u->rounds);
		else if (pwrite(d->fd, buf, d->page, i * d->page) != d->page)
			u->ended = errno;
	}
	return i == d->pages;
}

static void *user_thread(void *arg)
{
	struct user *u = arg;
	long length = u->dev->pages * u->dev->page;
	char *map = mmap(NULL, length, RW, MAP_SHARED, u->dev->fd, 0);
	char *buf = calloc(1, u->dev->page);

	if (map == MAP_FAILED)
		fatal("mmap: %m");
	while (!u->stop && !u->ended)
		u->rounds += write_round(u, map, buf);
	munmap(map, length);
	free(buf);
	return NULL;
}

static void start(struct user *u, struct scope_dev *d, bool map)
{
	*u = (struct user) { .dev = d, .map = map };
	if (pthread_create(&u->thread, NULL, user_thread, u))
		fatal("no thread");
}

static int finish(struct user *u)
{
	u->stop = true;
	pthread_join(u->thread, NULL);
	return u->ended;
}

/*
 * Several times of what may be dirty on a store that does not take it: one round is that, and on a
 * machine with all checkers takes minutes beside those who write to the other.
 */
static const char *write_much(struct scope_dev *d)
{
	const int rounds = scope_slow() > 3 ? 1 : 3;
	char *p = dev_map(d, 0, d->pages, RW);
	int round;

	for (round = 1; round <= rounds; round++) {
		store_pages(p, d->pages, round);
		if (fsync(d->fd))
			return "fsync";
	}
	dev_unmap(d, p);
	return dev_books(d);
}

/* While @d hangs or fails and is written to all the time. */
static void others_write_much(struct __test_metadata *_metadata, struct scope_dev *d)
{
	__u64 bytes = (__u64)d->pages * d->page;
	struct scope_dev ram, other;
	struct shaky sound;

	shaky_make(&sound, d->store, 1, bytes);
	dev_create(&ram, "ram", bytes, 0);
	dev_create_on(&other, d->store, sound.fd, bytes);
	EXPECT_STREQ("", write_much(&ram));
	EXPECT_STREQ("", write_much(&other));
	EXPECT_EQ(0, dev_destroy(&ram, false));
	EXPECT_EQ(0, dev_destroy(&other, false));
	EXPECT_EQ(0, shaky_end(&sound));
}

/* Nor do those that write to the one that fails wait for ever: they get round again and again. */
static void others_go_on(struct __test_metadata *_metadata, struct shaky *s, struct scope_dev *d)
{
	struct user writer, mapper;

	touch_pages(dev_map(d, 0, d->pages, PROT_READ), d->pages);
	shaky_all(s, SHAKY_BROKEN);
	start(&writer, d, false);
	start(&mapper, d, true);
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) > 0, 60000));
	others_write_much(_metadata, d);
	EXPECT_TRUE(wait_for(writer.rounds >= 2 && mapper.rounds >= 2, 120000));
	EXPECT_EQ(0, finish(&writer));
	EXPECT_EQ(0, finish(&mapper));
	EXPECT_EQ(EIO, fsync_errno(d->fd));
}

TEST_F_TIMEOUT(doomed, others_go_on, 120)
{
	flusher_on();
	others_go_on(_metadata, &self->shaky, &self->dev);
}

/* The same where less may be dirty than a device may keep. */
TEST_F_TIMEOUT(doomed, others_go_on_within_a_small_limit, 120)
{
	flusher_on();
	vm_set("dirty_bytes", self->keep / 2 * self->dev.page);
	others_go_on(_metadata, &self->shaky, &self->dev);
}

/* Whoever is in the middle of it gets out of it. */
TEST_F(doomed, removed_by_force_in_full_use)
{
	struct scope_dev *d = &self->dev;
	struct user user[4];
	__u64 discarded = 0;
	unsigned int i;

	touch_pages(dev_map(d, 0, d->pages, PROT_READ), d->pages);
	shaky_all(&self->shaky, SHAKY_BROKEN);
	flusher_on();
	for (i = 0; i < 4; i++)
		start(&user[i], d, i & 1);
	EXPECT_TRUE(wait_for(moved(d, pages_write_failed) > 4 * self->keep, 120000));
	EXPECT_EQ(-EBUSY, dev_remove(d->ctl, d->id, 0, NULL));
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_LT(0, (long)discarded);
	EXPECT_GE(d->pages, (long)discarded);
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(wait_for(user[i].ended, 60000));
		EXPECT_EQ(i & 1 ? SIGBUS : ENODEV, finish(&user[i]));
	}
	EXPECT_EQ(ENODEV, fsync_errno(d->fd));
	dev_destroy(d, true);
	d->ctl = -1;
}

static void *sync_thread(void *arg)
{
	volatile bool *stop = arg;

	while (!*stop)
		sync();
	return NULL;
}

/* What is just being tried when the end comes is discarded, too, and counted. */
TEST_F(doomed, force_counts_what_it_discards)
{
	const long n = self->keep / 2;
	struct scope_dev *d = &self->dev;
	volatile bool stop = false;
	__u64 discarded = 0;
	pthread_t thread;
	int round;
	char *p;

	for (round = 0; round < 5; round++) {
		p = dev_map(d, 0, n, RW);
		touch_pages(p, n);
		shaky_all(&self->shaky, SHAKY_BROKEN);
		fill(d, p, n, 2);
		stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, sync_thread, (void *)&stop));
		EXPECT_TRUE(wait_for(moved(d, pages_write_failed) > n, 60000));
		EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
		stop = true;
		pthread_join(thread, NULL);
		EXPECT_EQ(n, (long)discarded);
		dev_destroy(d, true);
		shaky_all(&self->shaky, SHAKY_SOUND);
		dev_create_on(d, variant->store, self->shaky.fd, BYTES);
	}
}

SCOPE_MAIN
