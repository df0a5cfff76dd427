// SPDX-License-Identifier: GPL-2.0
/* Devices come and go: numbers, busy, force, and everybody who is still there when one goes. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64
#define RW	(PROT_READ | PROT_WRITE)

DEVICE_FIXTURE(control, PAGES);

/* A device made by hand; its number, or -errno. */
static int create(int ctl, __u64 bytes, unsigned int id, unsigned int flags)
{
	struct mmapscope_create arg = {
		.size = sizeof(arg), .flags = flags, .dev_size = bytes, .id = id,
	};

	return ioctl(ctl, MMAPSCOPE_IOC_CREATE, &arg) ? -errno : (int)arg.id;
}

static bool listed(int ctl, unsigned int id, __u32 *flags)
{
	static struct mmapscope_info info[MMAPSCOPE_MAX_DEVICES];
	struct mmapscope_list list = {
		.size = sizeof(list),
		.count = MMAPSCOPE_MAX_DEVICES,
		.entry_size = sizeof(info[0]),
		.entries = (uintptr_t)info,
	};
	unsigned int i;

	if (ioctl(ctl, MMAPSCOPE_IOC_LIST, &list))
		fatal("list: %m");
	for (i = 0; i < list.count; i++) {
		if (info[i].id == id) {
			if (flags)
				*flags = info[i].flags;
			return true;
		}
	}
	return false;
}

TEST_F(control, create_and_remove)
{
	int ctl = self->dev.ctl, id = create(ctl, self->dev.page, SCRATCH_ID + 7, 0);
	char node[64];

	ASSERT_EQ(SCRATCH_ID + 7, id);
	snprintf(node, sizeof(node), "/dev/mmapscope%d", id);
	EXPECT_EQ(0, access(node, R_OK | W_OK));
	EXPECT_TRUE(listed(ctl, id, NULL));
	EXPECT_EQ(-EEXIST, create(ctl, self->dev.page, id, 0));
	EXPECT_EQ(0, dev_remove(ctl, id, 0, NULL));
	EXPECT_NE(0, access(node, F_OK));
	EXPECT_FALSE(listed(ctl, id, NULL));
	EXPECT_EQ(-ENOENT, dev_remove(ctl, id, 0, NULL));
	/* The number, and everything that is named after it, is free again. */
	EXPECT_EQ(id, create(ctl, self->dev.page, id, 0));
	EXPECT_EQ(0, dev_remove(ctl, id, 0, NULL));
}

TEST_F(control, any_is_the_lowest_free_number)
{
	int ctl = self->dev.ctl, a, b, c;

	a = create(ctl, self->dev.page, MMAPSCOPE_ID_ANY, 0);
	b = create(ctl, self->dev.page, MMAPSCOPE_ID_ANY, 0);
	ASSERT_LE(0, a);
	EXPECT_EQ(a + 1, b);
	EXPECT_EQ(0, dev_remove(ctl, a, 0, NULL));
	c = create(ctl, self->dev.page, MMAPSCOPE_ID_ANY, 0);
	EXPECT_EQ(a, c);
	EXPECT_EQ(0, dev_remove(ctl, b, 0, NULL));
	EXPECT_EQ(0, dev_remove(ctl, c, 0, NULL));
}

TEST_F(control, new_device_is_empty)
{
	int ctl = self->dev.ctl, id = SCRATCH_ID + 7, round, fd;
	char buf[16], node[64];

	snprintf(node, sizeof(node), "/dev/mmapscope%d", id);
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(id, create(ctl, self->dev.page, id, 0));
		fd = open(node, O_RDWR);
		ASSERT_LE(0, fd);
		memset(buf, 1, sizeof(buf));
		ASSERT_EQ(16, pread(fd, buf, 16, 0));
		EXPECT_EQ(0, memcmp(buf, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16));
		ASSERT_EQ(6, pwrite(fd, "secret", 6, 0));
		close(fd);
		EXPECT_EQ(0, dev_remove(ctl, id, 0, NULL));
	}
}

TEST_F(control, busy_while_open_or_mapped)
{
	struct scope_dev *d = &self->dev;
	int again = dup(d->fd);
	char *p = dev_map(d, 0, 1, RW);

	EXPECT_EQ(-EBUSY, dev_remove(d->ctl, d->id, 0, NULL));
	close(d->fd);
	EXPECT_EQ(-EBUSY, dev_remove(d->ctl, d->id, 0, NULL));
	close(again);
	/* Only the mapping is left. */
	EXPECT_EQ(-EBUSY, dev_remove(d->ctl, d->id, 0, NULL));
	*p = 3;
	EXPECT_EQ(3, *p);
	dev_unmap(d, p);
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, 0, NULL));
	ASSERT_EQ((int)d->id, create(d->ctl, PAGES * d->page, d->id, 0));
	d->fd = dev_open(d, O_RDWR);
}

TEST_F(control, open_files_are_counted)
{
	struct mmapscope_info info;
	int other = dev_open(&self->dev, O_RDONLY);
	char *p = mmap(NULL, self->dev.page, PROT_READ, MAP_SHARED, other, 0);

	dev_info(&self->dev, &info);
	EXPECT_EQ(2, info.open_files);
	close(other);
	dev_info(&self->dev, &info);
	EXPECT_EQ(2, info.open_files);
	munmap(p, self->dev.page);
	dev_info(&self->dev, &info);
	EXPECT_EQ(1, info.open_files);
}

TEST_F(control, refused_opens_leak_nothing)
{
	struct mmapscope_info info;
	int i;

	for (i = 0; i < 10; i++)
		EXPECT_EQ(-1, dev_open(&self->dev, O_RDWR | O_DIRECT));
	dev_info(&self->dev, &info);
	EXPECT_EQ(1, info.open_files);
}

TEST_F(control, read_only_device)
{
	struct scope_dev ro;
	struct mmapscope_info info;
	char byte = 1, *p;

	dev_create(&ro, variant->store, PAGES * self->dev.page, MMAPSCOPE_CREATE_READ_ONLY);
	EXPECT_EQ(-1, dev_open(&ro, O_RDWR));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, dev_open(&ro, O_WRONLY));
	EXPECT_EQ(EROFS, errno);
	dev_info(&ro, &info);
	EXPECT_EQ(MMAPSCOPE_INFO_READ_ONLY, info.flags);
	EXPECT_EQ(1, info.open_files);
	EXPECT_EQ(1, pread(ro.fd, &byte, 1, 0));
	EXPECT_EQ(0, byte);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, ro.page, RW, MAP_SHARED, ro.fd, 0));
	EXPECT_EQ(EACCES, errno);
	p = dev_map_flags(&ro, 0, 1, RW, MAP_PRIVATE);
	*p = 1;
	EXPECT_EQ(0, moved(&ro, pages_dirtied));
	EXPECT_EQ(-EBADF, dev_punch(&ro, 0, 1));
	EXPECT_EQ(-EBADF, dev_reset(&ro));
	EXPECT_STREQ("", dev_books(&ro));
	EXPECT_EQ(0, dev_destroy(&ro, false));
}

/* After a forced removal everything ends in ENODEV or SIGBUS, and nothing hangs or lies. */
TEST_F(control, force)
{
	struct scope_dev d;
	__u64 discarded = 99;
	char buf[8], *shared, *copy, *untouched;
	struct iovec iov = { buf, 1 };
	__u32 flags = 0;
	union {
		struct mmapscope_info info;
		struct mmapscope_stats stats;
	} arg = { .info.size = sizeof(arg.info) };

	dev_create(&d, variant->store, PAGES * self->dev.page, 0);
	shared = dev_map(&d, 0, PAGES, RW);
	copy = dev_map_flags(&d, 0, PAGES, RW, MAP_PRIVATE);
	untouched = dev_map(&d, 0, PAGES, RW);
	store_pages(shared, 8, 1);
	copy[0] = 2;
	touch_pages(copy + d.page, 1);
	EXPECT_EQ(-EBUSY, dev_remove(d.ctl, d.id, 0, NULL));
	EXPECT_EQ(0, dev_remove(d.ctl, d.id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	/* The store took them all. */
	EXPECT_EQ(0, discarded);

	EXPECT_EQ(SIGBUS, try_load(shared));
	EXPECT_EQ(SIGBUS, try_store(shared + d.page, 1));
	EXPECT_EQ(SIGBUS, try_load(copy));
	EXPECT_EQ(SIGBUS, try_load(copy + d.page));
	EXPECT_EQ(SIGBUS, try_store(untouched, 1));

#define EXPECT_ENODEV(call) do {						\
	EXPECT_EQ(-1, call);							\
	EXPECT_EQ(ENODEV, errno);						\
} while (0)
	EXPECT_ENODEV(read(d.fd, buf, 1));
	EXPECT_ENODEV(write(d.fd, buf, 1));
	EXPECT_ENODEV(pread(d.fd, buf, 1, 0));
	EXPECT_ENODEV(pwrite(d.fd, buf, 1, 0));
	EXPECT_ENODEV(preadv2(d.fd, &iov, 1, 0, RWF_NOWAIT));
	EXPECT_ENODEV(lseek(d.fd, 0, SEEK_END));
	EXPECT_ENODEV(lseek(d.fd, 0, SEEK_DATA));
	EXPECT_ENODEV(fsync(d.fd));
	EXPECT_ENODEV(fdatasync(d.fd));
	EXPECT_ENODEV(ioctl(d.fd, MMAPSCOPE_IOC_INFO, &arg));
	EXPECT_ENODEV(ioctl(d.fd, MMAPSCOPE_IOC_STATS, &arg));
	EXPECT_ENODEV(ioctl(d.fd, MMAPSCOPE_IOC_EVICT, &arg));
	EXPECT_ENODEV(ioctl(d.fd, MMAPSCOPE_IOC_PUNCH, &arg));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, d.page, PROT_READ, MAP_SHARED, d.fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_ENODEV(msync(shared, d.page, MS_SYNC));
#undef EXPECT_ENODEV
	EXPECT_NE(0, access(d.node, F_OK));

	/* The number stays taken while somebody holds on. */
	EXPECT_TRUE(listed(d.ctl, d.id, &flags));
	EXPECT_TRUE(flags & MMAPSCOPE_INFO_REMOVED);
	EXPECT_EQ(-EEXIST, create(d.ctl, d.page, d.id, 0));
	EXPECT_EQ(-ENOENT, dev_remove(d.ctl, d.id, MMAPSCOPE_REMOVE_FORCE, NULL));
	close(d.fd);
	dev_unmap(&d, shared);
	dev_unmap(&d, copy);
	EXPECT_TRUE(listed(d.ctl, d.id, NULL));
	dev_unmap(&d, untouched);
	EXPECT_FALSE(listed(d.ctl, d.id, NULL));
	EXPECT_EQ((int)d.id, create(d.ctl, d.page, d.id, 0));
	EXPECT_EQ(0, dev_remove(d.ctl, d.id, 0, NULL));
	close(d.ctl);
}

TEST_F(control, force_leaves_the_others_alone)
{
	struct scope_dev d;
	char *p = dev_map(&self->dev, 0, 1, RW);

	*p = 5;
	dev_create(&d, variant->store, PAGES * self->dev.page, 0);
	dev_map(&d, 0, 1, RW)[0] = 6;
	EXPECT_EQ(0, dev_remove(d.ctl, d.id, MMAPSCOPE_REMOVE_FORCE, NULL));
	EXPECT_EQ(5, *p);
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(-ENOENT, dev_destroy(&d, true));
}

static void *slow_reader(void *arg)
{
	struct scope_dev *d = arg;
	char byte;

	return (void *)(long)(pread(d->fd, &byte, 1, 0) < 0 ? -errno : 0);
}

/* A request on its way to the store is waited for, or fails; nobody frees the store under it. */
TEST_F(control, force_during_a_slow_read)
{
	struct scope_dev d;
	pthread_t thread;
	void *ret;

	NEED_HOOK(&self->dev);
	dev_create(&d, variant->store, PAGES * self->dev.page, 0);
	dev_hook(&d, "read 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&thread, NULL, slow_reader, &d));
	EXPECT_TRUE(wait_for(now(&d, pages_added) > 0, 10000));
	EXPECT_EQ(0, dev_remove(d.ctl, d.id, MMAPSCOPE_REMOVE_FORCE, NULL));
	pthread_join(thread, &ret);
	EXPECT_TRUE(!ret || ret == (void *)-ENODEV || ret == (void *)-EIO);
	EXPECT_EQ(-ENOENT, dev_destroy(&d, true));
}

/* Threads that open, map and use a device which comes and goes. */
struct race {
	struct scope_dev *dev;
	char node[64];
	unsigned int id;
	volatile bool stop;
	long opened, strange, removed, unexpected;
};

static void *race_user(void *arg)
{
	struct race *r = arg;
	char byte;
	void *p;
	int fd;

	while (!r->stop) {
		fd = open(r->node, O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENXIO && errno != EBUSY && errno != ENODEV)
				__atomic_add_fetch(&r->strange, 1, __ATOMIC_RELAXED);
			continue;
		}
		__atomic_add_fetch(&r->opened, 1, __ATOMIC_RELAXED);
		p = mmap(NULL, r->dev->page, RW, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			try_store(p, 1);
			try_load(p);
			munmap(p, r->dev->page);
		} else if (errno != ENODEV) {
			__atomic_add_fetch(&r->strange, 1, __ATOMIC_RELAXED);
		}
		if (pread(fd, &byte, 1, 0) < 0 && errno != ENODEV && errno != EIO)
			__atomic_add_fetch(&r->strange, 1, __ATOMIC_RELAXED);
		if (pwrite(fd, &byte, 1, 0) < 0 && errno != ENODEV && errno != ENOSPC)
			__atomic_add_fetch(&r->strange, 1, __ATOMIC_RELAXED);
		if (fsync(fd) && errno != ENODEV)
			__atomic_add_fetch(&r->strange, 1, __ATOMIC_RELAXED);
		close(fd);
	}
	return NULL;
}

static void run_race(struct __test_metadata *_metadata, struct scope_dev *d, unsigned int flags)
{
	struct race r = { .dev = d, .id = SCRATCH_ID + 9 };
	pthread_t thread[3];
	int i, ret;

	snprintf(r.node, sizeof(r.node), "/dev/mmapscope%u", r.id);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, race_user, &r));
	for (i = 0; i < 200 || r.opened < 50; i++) {
		ret = create(d->ctl, PAGES * d->page, r.id, 0);
		if (ret < 0 && ret != -EEXIST)
			r.unexpected++;
		if (i % 3 == 0)
			sched_yield();
		ret = dev_remove(d->ctl, r.id, flags, NULL);
		if (!ret)
			r.removed++;
		else if (ret != -EBUSY && ret != -ENOENT)
			r.unexpected++;
		if (i > 100000)
			break;
	}
	r.stop = true;
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	dev_remove(d->ctl, r.id, 0, NULL);
	EXPECT_EQ(0, r.strange);
	EXPECT_EQ(0, r.unexpected);
	EXPECT_LT(0, r.opened);
	EXPECT_FALSE(listed(d->ctl, r.id, NULL));
}

TEST_F_TIMEOUT(control, open_races_with_removal, 120)
{
	run_race(_metadata, &self->dev, 0);
}

TEST_F_TIMEOUT(control, open_races_with_forced_removal, 120)
{
	run_race(_metadata, &self->dev, MMAPSCOPE_REMOVE_FORCE);
}

#define MAKERS	4
#define EACH	25

struct maker {
	int ctl;
	int id[EACH];
};

static void *make_many(void *arg)
{
	struct maker *m = arg;
	int i;

	for (i = 0; i < EACH; i++)
		m->id[i] = create(m->ctl, 1UL << 20, MMAPSCOPE_ID_ANY, 0);
	return NULL;
}

TEST_F(control, creators_get_numbers_of_their_own)
{
	bool seen[MMAPSCOPE_MAX_DEVICES] = { 0 };
	struct maker m[MAKERS];
	pthread_t thread[MAKERS];
	int i, j, twice = 0, failed = 0;

	for (i = 0; i < MAKERS; i++) {
		m[i].ctl = self->dev.ctl;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, make_many, &m[i]));
	}
	for (i = 0; i < MAKERS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < MAKERS; i++) {
		for (j = 0; j < EACH; j++) {
			if (m[i].id[j] < 0) {
				failed++;
				continue;
			}
			twice += seen[m[i].id[j]];
			seen[m[i].id[j]] = true;
			EXPECT_EQ(0, dev_remove(self->dev.ctl, m[i].id[j], 0, NULL));
		}
	}
	EXPECT_EQ(0, twice);
	EXPECT_EQ(0, failed);
}

struct remover {
	int ctl;
	unsigned int id;
	int ret;
};

static void *remove_one(void *arg)
{
	struct remover *r = arg;

	r->ret = dev_remove(r->ctl, r->id, 0, NULL);
	return NULL;
}

TEST_F(control, removed_by_one_of_many)
{
	struct remover r[MAKERS];
	pthread_t thread[MAKERS];
	int i, round, done;

	for (round = 0; round < 20; round++) {
		ASSERT_EQ(SCRATCH_ID + 9, create(self->dev.ctl, self->dev.page, SCRATCH_ID + 9, 0));
		for (i = 0; i < MAKERS; i++) {
			r[i] = (struct remover) { self->dev.ctl, SCRATCH_ID + 9, 1 };
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, remove_one, &r[i]));
		}
		for (i = 0, done = 0; i < MAKERS; i++) {
			pthread_join(thread[i], NULL);
			done += !r[i].ret;
			EXPECT_TRUE(!r[i].ret || r[i].ret == -ENOENT || r[i].ret == -EBUSY);
		}
		EXPECT_EQ(1, done);
	}
}

/* Numbers run out with an errno of their own, and all come back. */
TEST_F_TIMEOUT(control, all_numbers_taken, 120)
{
	int ctl = self->dev.ctl, id, n = 0, made[MMAPSCOPE_MAX_DEVICES];

	while ((id = create(ctl, self->dev.page, MMAPSCOPE_ID_ANY, 0)) >= 0 &&
	       n < MMAPSCOPE_MAX_DEVICES)
		made[n++] = id;
	EXPECT_EQ(-ENOSPC, id);
	EXPECT_LT(MMAPSCOPE_MAX_DEVICES / 2, n);
	while (n)
		EXPECT_EQ(0, dev_remove(ctl, made[--n], 0, NULL));
	id = create(ctl, self->dev.page, MMAPSCOPE_MAX_DEVICES - 1, 0);
	EXPECT_EQ(MMAPSCOPE_MAX_DEVICES - 1, id);
	EXPECT_EQ(0, dev_remove(ctl, id, 0, NULL));
}

SCOPE_MAIN
