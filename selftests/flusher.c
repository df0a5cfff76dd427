// SPDX-License-Identifier: GPL-2.0
/*
 * What writes by itself: the kernel's flusher and sync(2).  They find a device only if its inode is
 * hashed and its bdi is registered, which fsync would not notice.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "inject.h"

#define PAGES	4096
#define N	16
#define TRACING	"/sys/kernel/tracing/instances/mmapscope-flusher"

DEVICE_FIXTURE(flusher, PAGES);

static char *dirty_some(struct scope_dev *d, long n, int value)
{
	char *p = dev_map_random(d, 0, PAGES, PROT_READ | PROT_WRITE);

	store_pages(p, n, value);
	return p;
}

/* Nobody waits: what has been put under writeback has also come out of it. */
static bool all_clean(struct scope_dev *d)
{
	return !now(d, pages_dirty) && !now(d, pages_writeback);
}

static void set_share(struct scope_dev *d, const char *percent)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/min_ratio", d->name);
	ret = file_write(path, percent);
	if (ret)
		fatal("%s: %s", path, strerror(-ret));
}

TEST_F(flusher, dirty_pages_are_written_by_themselves)
{
	char *p;

	vm_set("dirty_expire_centisecs", 50);
	vm_set("dirty_writeback_centisecs", 20);
	p = dirty_some(&self->dev, N, 5);
	/* A page that is written between the fault and its store is written again. */
	EXPECT_TRUE(wait_for(all_clean(&self->dev) &&
			     moved(&self->dev, pages_cleaned) >= N, 60000));
	EXPECT_EQ(moved(&self->dev, pages_cleaned), moved(&self->dev, store_write_pages));
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
	dev_evict(&self->dev);
	EXPECT_EQ(5, p[(N - 1) * self->dev.page]);
}

TEST_F(flusher, written_bytes_by_write_too)
{
	vm_set("dirty_expire_centisecs", 50);
	vm_set("dirty_writeback_centisecs", 20);
	ASSERT_EQ(4, pwrite(self->dev.fd, "late", 4, 0));
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) == 1, 60000));
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
}

/* The clock can only make it later than it was: "not before" is safe to judge. */
TEST_F(flusher, not_before_they_are_old)
{
	double begin;

	set_share(&self->dev, "20");
	vm_set("dirty_expire_centisecs", 300);
	vm_set("dirty_writeback_centisecs", 20);
	begin = seconds();
	dirty_some(&self->dev, N, 1);
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) > 0, 60000));
	/* The kernel's clock has ticks, and may lag behind when the page becomes dirty. */
	EXPECT_LE(2, seconds() - begin);
	EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) == N, 60000));
	EXPECT_EQ(N, moved(&self->dev, wb_periodic_pages));
	set_share(&self->dev, "0");
}

TEST_F(flusher, not_at_all_if_told_so)
{
	dirty_some(&self->dev, N, 1);
	sleep_ms(1500);
	EXPECT_EQ(N, now(&self->dev, pages_dirty));
	EXPECT_EQ(0, stats_moved_wb(&self->dev));
}

TEST_F(flusher, sync_writes_and_flushes)
{
	char *p = dirty_some(&self->dev, N, 4);

	sync();
	EXPECT_TRUE(all_clean(&self->dev));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
	EXPECT_EQ(N, moved(&self->dev, wb_sync_pages) + moved(&self->dev, wb_other_pages));
	dev_evict(&self->dev);
	EXPECT_EQ(4, *p);
}

TEST_F(flusher, sync_waits_for_a_slow_store)
{
	NEED_HOOK(&self->dev);
	dirty_some(&self->dev, 4, 4);
	dev_hook(&self->dev, "write 0 0 3 200");
	sync();
	EXPECT_TRUE(all_clean(&self->dev));
	EXPECT_EQ(4, moved(&self->dev, pages_cleaned));
	dev_hook(&self->dev, "off");
}

TEST_F(flusher, starts_when_there_is_much)
{
	vm_set("dirty_background_bytes", 16 * self->dev.page);
	dirty_some(&self->dev, PAGES, 1);
	EXPECT_TRUE(wait_for(moved(&self->dev, wb_background_pages) > 0, 60000));
	EXPECT_TRUE(wait_for(!now(&self->dev, pages_writeback), 60000));
	EXPECT_EQ(0, moved(&self->dev, wb_sync_pages));
	EXPECT_EQ(0, moved(&self->dev, wb_periodic_pages));
}

/* The store is slow; whoever dirties more than the limit is made to wait for it. */
TEST_F(flusher, writers_are_throttled)
{
	long limit = 128, n = 1280, most = 0, i;
	char *p;

	NEED_HOOK(&self->dev);
	vm_set("dirty_bytes", limit * self->dev.page);
	vm_set("dirty_background_bytes", limit / 2 * self->dev.page);
	vm_set("dirty_writeback_centisecs", 20);
	dev_hook(&self->dev, "write 0 0 %d 1", PAGES);
	p = dev_map_random(&self->dev, 0, n, PROT_READ | PROT_WRITE);
	for (i = 0; i < n; i += 16) {
		store_pages(p + i * self->dev.page, 16, 1);
		if (most < now(&self->dev, pages_dirty) + now(&self->dev, pages_writeback))
			most = now(&self->dev, pages_dirty) + now(&self->dev, pages_writeback);
	}
	dev_hook(&self->dev, "off");
	/* A CPU may run ahead by its batch before it looks. */
	EXPECT_GE(n / 2, most);
	EXPECT_LT(0, moved(&self->dev, wb_background_pages));
}

static void *sync_thread(void *arg)
{
	struct scope_dev *d = arg;

	sync();
	return (void *)now(d, pages_dirty);
}

/* fsync while the flusher has the page under way: it must wait for that, not just find it clean. */
TEST_F(flusher, fsync_waits_for_the_flusher)
{
	pthread_t thread;

	NEED_HOOK(&self->dev);
	dirty_some(&self->dev, 1, 1);
	dev_hook(&self->dev, "write 0 0 0 %d", hook_delay());
	ASSERT_EQ(0, pthread_create(&thread, NULL, sync_thread, &self->dev));
	EXPECT_TRUE(wait_for(now(&self->dev, pages_writeback) == 1, 600));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(0, now(&self->dev, pages_writeback));
	EXPECT_EQ(1, moved(&self->dev, pages_cleaned));
	pthread_join(thread, NULL);
}

/* A page that is stored to for ever is written for ever, and never lost. */
TEST_F(flusher, rewritten_page_is_written_again)
{
	char *p;
	int i;

	vm_set("dirty_expire_centisecs", 10);
	vm_set("dirty_writeback_centisecs", 10);
	p = dirty_some(&self->dev, 1, 0);
	for (i = 1; i <= 3; i++) {
		EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) >= i, 60000));
		EXPECT_LE(i, moved(&self->dev, pages_dirtied));
		*p = i;
	}
	EXPECT_TRUE(wait_for(all_clean(&self->dev) &&
			     moved(&self->dev, pages_cleaned) ==
			     moved(&self->dev, pages_dirtied), 60000));
	dev_evict(&self->dev);
	EXPECT_EQ(3, *p);
}

/* The workers that the flusher may be, as far as they have been started. */
struct workers {
	pid_t pid[64];
	unsigned int nr;
};

static void find_workers(struct workers *w)
{
	char path[300], name[32];
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	w->nr = 0;
	while (proc && (entry = readdir(proc)) && w->nr < ARRAY_SIZE(w->pid)) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (file_read(path, name, sizeof(name)) > 0 && !strncmp(name, "kworker/u", 9))
			w->pid[w->nr++] = atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
}

static bool is_worker(const struct workers *w, pid_t pid)
{
	unsigned int i;

	for (i = 0; i < w->nr; i++) {
		if (w->pid[i] == pid)
			return true;
	}
	return false;
}

static void make_workers_fail(const struct workers *w, bool fail)
{
	unsigned int i;

	/* One that is gone has no file any more. */
	for (i = 0; i < w->nr; i++)
		inject_task(w->pid[i], fail);
}

static void trace_flusher(void)
{
	if ((mkdir(TRACING, 0700) && errno != EEXIST) ||
	    file_write(TRACING "/events/writeback/writeback_single_inode/enable", "1"))
		fatal(TRACING ": %m");
}

/* The task that wrote the device, "kworker/u4:1-42  [000] ..." in the trace; 0: it was not seen. */
static pid_t writer_of(const struct scope_dev *d)
{
	FILE *f = fopen(TRACING "/trace", "re");
	char line[512], bdi[64], *cpu;
	pid_t pid = 0;

	snprintf(bdi, sizeof(bdi), " bdi %s: ", d->name);
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, bdi))
			continue;
		cpu = strstr(line, " [");
		while (cpu && cpu > line && cpu[-1] != '-')
			cpu--;
		pid = cpu ? atoi(cpu) : 0;
	}
	if (f)
		fclose(f);
	return pid;
}

/* When it is memory that is wanted, writing must not need any, as far as it is ours. */
TEST_F_TIMEOUT(flusher, writes_while_every_allocation_fails, 300)
{
	const char *why = inject_unavailable();
	struct workers w;
	int i;

	if (why)
		SKIP(return, "%s", why);
	if (!backing_is_ram(self->dev.store) && !backing_is_block(self->dev.store))
		SKIP(return, "a file system needs memory in order to write");
	trace_flusher();
	/* A worker that was started in between can still allocate, and proves nothing. */
	for (i = 1; i <= 10; i++) {
		dirty_some(&self->dev, N, i);
		find_workers(&w);
		make_workers_fail(&w, true);
		inject_percent(100);
		vm_set("dirty_expire_centisecs", 10);
		vm_set("dirty_writeback_centisecs", 10);
		EXPECT_TRUE(wait_for(moved(&self->dev, pages_cleaned) == i * N, 60000));
		vm_quiet();
		inject_percent(0);
		make_workers_fail(&w, false);
		EXPECT_EQ(0, moved(&self->dev, pages_write_failed));
		if (is_worker(&w, writer_of(&self->dev)))
			break;
	}
	rmdir(TRACING);
	EXPECT_GE(10, i);
	dev_evict(&self->dev);
	EXPECT_NE(0, dev_map(&self->dev, 0, 1, PROT_READ)[0]);
}

SCOPE_MAIN
