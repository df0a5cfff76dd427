// SPDX-License-Identifier: GPL-2.0
/*
 * A store that fails, and what the program hears of it: a failed read is a signal or EIO at that
 * page only; a failed write comes out at fsync, once for each open file, and the page stays dirty
 * until it could be written.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256
#define N	16
#define RW	(PROT_READ | PROT_WRITE)

DEVICE_FIXTURE(errors, PAGES);
STORE_VARIANT(errors, vfat);

static void flusher_on(void)
{
	vm_set("dirty_expire_centisecs", 10);
	vm_set("dirty_writeback_centisecs", 10);
}

static int fsync_errno(int fd)
{
	return fsync(fd) ? errno : 0;
}

/*
 * A readahead of a file or block device fails as a whole: the neighbours of a bad page are cached
 * without having been read, which mincore does not count, until somebody needs them.
 */
static void read_left_overs(struct scope_dev *d)
{
	touch_pages(dev_map(d, 0, PAGES, PROT_READ), PAGES);
}

TEST_F(errors, failed_read_is_sigbus_at_that_page)
{
	char *p;

	NEED_HOOK(&self->dev);
	dev_fill(&self->dev, 0, N, 1);
	p = dev_map_random(&self->dev, 0, N, PROT_READ);
	dev_hook(&self->dev, "read 5 3 3 0");
	EXPECT_EQ(SIGBUS, try_load(p + 3 * self->dev.page));
	EXPECT_EQ(0, try_load(p + 2 * self->dev.page));
	EXPECT_EQ(0, try_load(p + 4 * self->dev.page));
	EXPECT_EQ(SIGBUS, try_load(p + 3 * self->dev.page));
	EXPECT_EQ(2, moved(&self->dev, fault_sigbus));
	EXPECT_LE(2, moved(&self->dev, store_read_errors));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, try_load(p + 3 * self->dev.page));
	EXPECT_EQ(-1, page_differs(p + 3 * self->dev.page, self->dev.page, 3, 1));
	EXPECT_EQ(3, moved(&self->dev, pages_added));
}

TEST_F(errors, failed_store_fault_dirties_nothing)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, N, RW);
	dev_hook(&self->dev, "read 5 3 3 0");
	EXPECT_EQ(SIGBUS, try_store(p + 3 * self->dev.page, 1));
	EXPECT_EQ(0, try_store(p + 2 * self->dev.page, 1));
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
	dev_hook(&self->dev, "off");
	dev_evict(&self->dev);
}

TEST_F(errors, failed_read_in_private_mapping)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_flags(&self->dev, 0, N, RW, MAP_PRIVATE);
	dev_hook(&self->dev, "read 5 3 3 0");
	EXPECT_EQ(SIGBUS, try_store(p + 3 * self->dev.page, 1));
	EXPECT_EQ(0, try_store(p + 5 * self->dev.page, 1));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, try_store(p + 3 * self->dev.page, 1));
	read_left_overs(&self->dev);
}

TEST_F(errors, failed_readahead_spares_the_neighbours)
{
	char *p;
	long i;

	NEED_SINGLE_PAGES(&self->dev);
	NEED_HOOK(&self->dev);
	dev_fill(&self->dev, 0, N, 2);
	p = dev_map(&self->dev, 0, N, PROT_READ);
	dev_hook(&self->dev, "read 5 7 7 0");
	for (i = 0; i < N; i++) {
		if (i == 7)
			continue;
		EXPECT_EQ(0, try_load(p + i * self->dev.page));
		EXPECT_EQ(-1, page_differs(p + i * self->dev.page, self->dev.page, i, 2));
	}
	EXPECT_EQ(SIGBUS, try_load(p + 7 * self->dev.page));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(-1, page_differs(p + 7 * self->dev.page, self->dev.page, 7, 2));
	read_left_overs(&self->dev);
}

TEST_F(errors, read_is_short_then_eio)
{
	long page = self->dev.page;
	char *buf = malloc(N * page);

	NEED_SINGLE_PAGES(&self->dev);
	NEED_HOOK(&self->dev);
	dev_fill(&self->dev, 0, N, 3);
	dev_hook(&self->dev, "read 5 3 3 0");
	EXPECT_EQ(3 * page, pread(self->dev.fd, buf, N * page, 0));
	EXPECT_EQ(-1, pread(self->dev.fd, buf, N * page, 3 * page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(page, pread(self->dev.fd, buf, page, 4 * page));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 3));
	read_left_overs(&self->dev);
	free(buf);
}

/* Part of a page is written: the rest must be read first. */
TEST_F(errors, partial_write_needs_the_rest)
{
	NEED_HOOK(&self->dev);
	dev_fill(&self->dev, 0, N, 3);
	dev_hook(&self->dev, "read 5 3 3 0");
	EXPECT_EQ(-1, pwrite(self->dev.fd, "x", 1, 3 * self->dev.page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, N, 3));
}

/*
 * The kernel's mlock and MAP_POPULATE start a fault that came back with RETRY from the beginning,
 * and so may try for as long as the store fails; a signal or the end of the failure must end it.
 */
static pid_t start_mlock(struct scope_dev *d, char *p)
{
	pid_t pid;

	dev_hook(d, "read 5 3 3 0");
	pid = fork();
	if (!pid)
		_exit(mlock(p, N * d->page) ? 1 : 0);
	if (!wait_for(moved(d, store_read_errors) >= 1, 20000))
		fatal("nothing is read");
	return pid;
}

TEST_F(errors, populate_ends_with_the_failure)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ);
	int status = -1;
	pid_t pid;

	NEED_HOOK(&self->dev);
	pid = start_mlock(&self->dev, p);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, try_load(p + 3 * self->dev.page));
}

TEST_F(errors, populate_can_be_killed)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ);
	int status = -1;
	pid_t pid;

	NEED_HOOK(&self->dev);
	pid = start_mlock(&self->dev, p);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 1);
	dev_hook(&self->dev, "off");
	dev_evict(&self->dev);
}

TEST_F(errors, failed_write_stays_dirty_and_is_retried)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, N, RW);
	store_pages(p, N, 4);
	dev_hook(&self->dev, "write 5 5 5 0");
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
	EXPECT_EQ(N - 1, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(1, moved(&self->dev, pages_write_failed));
	EXPECT_EQ(4, p[5 * self->dev.page]);
	/* Every attempt that fails is an error of its own. */
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	EXPECT_EQ(2, moved(&self->dev, pages_write_failed));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, fsync_errno(self->dev.fd));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	dev_evict(&self->dev);
	EXPECT_EQ(4, p[5 * self->dev.page]);
}

TEST_F(errors, msync_says_so_too)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, N, RW);
	store_pages(p, N, 4);
	dev_hook(&self->dev, "write 28 0 %d 0", N);
	EXPECT_EQ(-1, msync(p, N * self->dev.page, MS_SYNC));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, msync(p, N * self->dev.page, MS_SYNC));
}

TEST_F(errors, synchronous_write_says_so_too)
{
	struct iovec iov = { "x", 1 };

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "write 5 0 0 0");
	EXPECT_EQ(-1, pwritev2(self->dev.fd, &iov, 1, 0, RWF_DSYNC));
	EXPECT_EQ(EIO, errno);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(1, pwritev2(self->dev.fd, &iov, 1, 0, RWF_DSYNC));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

/* Each description hears it once, also the one that did not write; a duplicate is the same one. */
TEST_F(errors, once_for_each_open_file)
{
	int other = dev_open(&self->dev, O_RDONLY), same = dup(self->dev.fd);

	NEED_HOOK(&self->dev);
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	dev_hook(&self->dev, "write 5 0 0 0");
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, fsync_errno(same));
	EXPECT_EQ(0, fsync_errno(self->dev.fd));
	EXPECT_EQ(EIO, fsync_errno(other));
	EXPECT_EQ(0, fsync_errno(other));
	close(other);
	close(same);
}

TEST_F(errors, later_opener_after_somebody_heard)
{
	int later;

	NEED_HOOK(&self->dev);
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	dev_hook(&self->dev, "write 5 0 0 0");
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	dev_hook(&self->dev, "off");
	later = dev_open(&self->dev, O_RDWR);
	EXPECT_EQ(0, fsync_errno(later));
	close(later);
}

TEST_F(errors, later_opener_when_nobody_heard)
{
	int later;

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "write 5 0 0 0");
	flusher_on();
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_write_failed) > 0, 60000));
	vm_quiet();
	dev_hook(&self->dev, "off");
	later = dev_open(&self->dev, O_RDWR);
	EXPECT_EQ(EIO, fsync_errno(later));
	EXPECT_EQ(0, fsync_errno(later));
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	close(later);
}

TEST_F(errors, failed_flush_of_the_store)
{
	NEED_HOOK(&self->dev);
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	dev_hook(&self->dev, "sync 5 0 0 0");
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	EXPECT_EQ(1, moved(&self->dev, pages_cleaned));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
	dev_hook(&self->dev, "off");
	EXPECT_EQ(0, fsync_errno(self->dev.fd));
}

/*
 * The flusher tries again after 1, 2, 4... seconds.  However slow this machine is: there cannot be
 * more attempts than seconds have passed, and a spinning flusher makes thousands.
 */
TEST_F(errors, flusher_backs_off)
{
	double begin, passed;
	long tries;

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "write 5 0 0 0");
	flusher_on();
	begin = seconds();
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	EXPECT_TRUE(wait_for(moved(&self->dev, store_write_ops) >= 3, 60000));
	sleep_ms(2000);
	/* The next attempt may come between two looks. */
	EXPECT_TRUE(wait_for((tries = moved(&self->dev, store_write_ops)) ==
			     moved(&self->dev, pages_write_failed), 60000));
	passed = seconds() - begin;
	EXPECT_GE(passed + 2, tries);
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
	/* fsync does not wait for that. */
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	EXPECT_LT(0, moved(&self->dev, wb_sync_pages));
	dev_hook(&self->dev, "off");
}

TEST_F(errors, flusher_writes_once_it_can)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, N, RW);
	dev_hook(&self->dev, "write 5 0 %d 0", N);
	flusher_on();
	store_pages(p, N, 7);
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_write_failed) >= 1, 60000));
	dev_hook(&self->dev, "off");
	EXPECT_TRUE(wait_for(!now(&self->dev, pages_dirty) && !now(&self->dev, pages_writeback),
			     90000));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(7, p[(N - 1) * self->dev.page]);
}

static void *read_middle(void *arg)
{
	struct scope_dev *d = arg;
	char byte;

	return (void *)pread(d->fd, &byte, 1, PAGES / 2 * d->page);
}

/* What was written again, with success, is on the store; a page that somebody just reads, too. */
TEST_F(errors, repeated_write_is_no_error_beside_a_reader)
{
	pthread_t thread;
	void *ret;

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "write 5 0 0 0");
	flusher_on();
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_write_failed) >= 1, 60000));
	dev_hook(&self->dev, "off");
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) == 1, 90000));
	stats_mark(&self->dev);
	dev_hook(&self->dev, "read 0 %d %d %d", PAGES / 2, PAGES / 2, hook_delay());
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_middle, &self->dev));
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_added) > 0, 10000));
	EXPECT_EQ(0, dev_evict_ioctl(self->dev.fd, 0, 0, 0, NULL));
	pthread_join(thread, &ret);
	EXPECT_EQ((void *)1, ret);
	dev_hook(&self->dev, "off");
	EXPECT_EQ(EIO, fsync_errno(self->dev.fd));
}

/* A store that takes nothing any more must not hold up the rest of the machine. */
TEST_F(errors, other_devices_go_on)
{
	struct scope_dev other;
	char *p, *q;

	NEED_HOOK(&self->dev);
	dev_create(&other, variant->store, 4 * PAGES * self->dev.page, 0);
	vm_set("dirty_bytes", 2 * PAGES * self->dev.page);
	dev_hook(&self->dev, "write 5 0 %d 0", PAGES);
	flusher_on();
	p = dev_map_random(&self->dev, 0, PAGES, RW);
	store_pages(p, PAGES, 1);
	q = dev_map_random(&other, 0, 4 * PAGES, RW);
	store_pages(q, 4 * PAGES, 1);
	EXPECT_EQ(0, fsync_errno(other.fd));
	EXPECT_EQ(0, now(&other, pages_dirty));
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_write_failed) > 0, 10000));
	dev_hook(&self->dev, "off");
	EXPECT_STREQ("", dev_books(&other));
	EXPECT_EQ(0, dev_destroy(&other, false));
	/* If the others had to wait, pages were given up for them: another store helps. */
	store_pages(p, PAGES, 2);
	fsync(self->dev.fd);
	EXPECT_EQ(0, fsync_errno(self->dev.fd));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(errors, evict_says_so_and_drops_nothing)
{
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, N, RW);
	store_pages(p, N, 5);
	dev_hook(&self->dev, "write 5 3 3 0");
	EXPECT_EQ(-EIO, dev_evict_ioctl(self->dev.fd, 0, 0, 0, NULL));
	EXPECT_EQ(N, now(&self->dev, pages_cached));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	dev_hook(&self->dev, "off");
	dev_evict(&self->dev);
	EXPECT_EQ(5, p[3 * self->dev.page]);
}

static int remove_of(struct scope_dev *d, unsigned int flags, __u64 *discarded)
{
	close(d->fd);
	d->fd = -1;
	return dev_remove(d->ctl, d->id, flags, discarded);
}

TEST_F(errors, removal_refuses_and_force_discards)
{
	struct scope_dev other;
	__u64 discarded = 99;
	char byte = 0;

	NEED_HOOK(&self->dev);
	dev_create(&other, variant->store, N * self->dev.page, 0);
	ASSERT_EQ(1, pwrite(other.fd, "k", 1, 3 * other.page));
	ASSERT_EQ(1, pwrite(other.fd, "k", 1, 5 * other.page));
	dev_hook(&other, "write 5 3 3 0");
	EXPECT_EQ(-EIO, remove_of(&other, 0, NULL));
	other.fd = dev_open(&other, O_RDWR);
	ASSERT_LE(0, other.fd);
	EXPECT_EQ(1, pread(other.fd, &byte, 1, 3 * other.page));
	EXPECT_EQ('k', byte);
	EXPECT_EQ(1, now(&other, pages_dirty));
	EXPECT_EQ(0, remove_of(&other, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_EQ(1, discarded);
	EXPECT_NE(0, access(other.node, F_OK));
	close(other.ctl);
}

/*
 * What a device may keep dirty is what its store did not take.  What it was not asked to take yet
 * does not count, however much that is.
 */
TEST_F(errors, one_failed_page_of_very_many_stays_dirty)
{
	long many = file_field("/proc/meminfo", "MemTotal") * 1024 / self->dev.page / 64 * 3 / 2;
	struct scope_dev d;
	char *p;

	NEED_HOOK(&self->dev);
	NEED_RAM(&self->dev);
	vm_set("dirty_ratio", 80);
	vm_set("dirty_background_ratio", 60);
	dev_create(&d, variant->store, many * self->dev.page, 0);
	p = dev_map(&d, 0, many, RW);
	store_pages(p, many, 1);
	dev_hook(&d, "write 5 0 0 0");
	EXPECT_EQ(EIO, fsync_errno(d.fd));
	EXPECT_LE(1, now(&d, pages_dirty));
	dev_hook(&d, "off");
	EXPECT_EQ(0, fsync_errno(d.fd));
	EXPECT_EQ(0, now(&d, pages_dirty));
	dev_evict(&d);
	EXPECT_EQ(1, p[0]);
	vm_quiet();
	EXPECT_STREQ("", dev_books(&d));
	EXPECT_EQ(0, dev_destroy(&d, false));
}

static int store_one(void *arg)
{
	*(volatile char *)arg = 2;
	return 0;
}

static void *fsync_thread(void *arg)
{
	fsync(*(int *)arg);
	return NULL;
}

/* A store to a page that is being written waits for the store, but not if it is killed. */
TEST_F(errors, who_waits_for_writeback_can_be_killed)
{
	pthread_t thread;
	int status;
	pid_t pid;
	char *p;

	NEED_HOOK(&self->dev);
	p = dev_map_random(&self->dev, 0, 1, RW);
	p[0] = 1;
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&thread, NULL, fsync_thread, &self->dev.fd));
	ASSERT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 5000));
	pid = fork();
	if (!pid)
		_exit(store_one(p));
	EXPECT_TRUE(wait_for(process_state(pid) == 'D', 5000));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* Or it has only waited until the end. */
	EXPECT_EQ(1, now(&self->dev, pages_writeback));
	dev_hook(&self->dev, "off");
	pthread_join(thread, NULL);
	EXPECT_EQ(1, p[0]);
}

/*
 * A lower bound only, and not a sharp one: the kernel counts in ticks, and where those of the last
 * moments have come late, the time that it waits is shorter by as much.
 */
TEST_F(errors, slow_store)
{
	double begin;

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "read 0 0 0 300");
	begin = seconds();
	touch_pages(dev_map_random(&self->dev, 0, 1, PROT_READ), 1);
	EXPECT_LE(0.1, seconds() - begin);
	EXPECT_EQ(0, moved(&self->dev, store_read_errors));
}

TEST_F(errors, hook_refuses_nonsense)
{
	char path[128];

	NEED_HOOK(&self->dev);
	snprintf(path, sizeof(path), DEBUGFS_DIR "/%s/test_fail", self->dev.name);
	EXPECT_EQ(-EINVAL, file_write(path, "read\n"));
	EXPECT_EQ(-EINVAL, file_write(path, "read 5 9 3 0\n"));
	EXPECT_EQ(-EINVAL, file_write(path, "chew 5 0 3 0\n"));
	EXPECT_EQ(-EINVAL, file_write(path, "read 5 0 3 0 extra\n"));
	EXPECT_EQ(0, try_load(dev_map(&self->dev, 0, 1, PROT_READ)));
}

SCOPE_MAIN
