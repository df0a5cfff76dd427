// SPDX-License-Identifier: GPL-2.0
/*
 * Stores that answer late, or not at all for as long as they like: what waits for such a store
 * waits, and nothing else does.  A disk is stopped by suspending it in the device mapper, so that
 * "still waiting" is not a matter of the clock: before it is resumed, nothing can be over.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

#include "harness.h"
#include "shaky.h"
#include "task.h"

#define PAGES	512
#define N	16
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(hung) {
	struct shaky shaky, sound;
	struct scope_dev dev;		/* the one that hangs */
	struct scope_dev ram, other;	/* those that must not */
};
FIXTURE_VARIANT(hung) {
	const char *store;
};
STORE_VARIANT(hung, block);
STORE_VARIANT(hung, ext4);

FIXTURE_SETUP(hung)
{
	__u64 bytes = PAGES * sysconf(_SC_PAGESIZE);

	NEED_DEVICES();
	NEED_SHAKY(variant->store);
	vm_quiet();
	shaky_make(&self->shaky, variant->store, 0, bytes);
	shaky_make(&self->sound, variant->store, 1, bytes);
	dev_create_on(&self->dev, variant->store, self->shaky.fd, bytes);
	dev_create(&self->ram, "ram", bytes, 0);
	dev_create_on(&self->other, variant->store, self->sound.fd, bytes);
	dev_fill(&self->dev, 0, PAGES, 1);
}

FIXTURE_TEARDOWN(hung)
{
	struct scope_dev *devs[] = { &self->dev, &self->ram, &self->other };
	unsigned int i;

	vm_quiet();
	dm_resume(&self->shaky.dm);
	for (i = 0; i < 3; i++) {
		/* A test that has removed it has put a -1 here. */
		if (devs[i]->ctl < 0)
			continue;
		EXPECT_STREQ("", dev_books(devs[i]));
		EXPECT_EQ(0, dev_destroy(devs[i], _metadata->aborted));
	}
	EXPECT_EQ(0, shaky_end(&self->shaky));
	EXPECT_EQ(0, shaky_end(&self->sound));
}

static int do_fsync(struct scope_dev *d)
{
	return fsync(d->fd) ? -errno : 0;
}

static int do_sync(struct scope_dev *d)
{
	(void)d;
	sync();
	return 0;
}

static int do_remove(struct scope_dev *d)
{
	return dev_remove(d->ctl, d->id, 0, NULL);
}

static int do_remove_by_force(struct scope_dev *d)
{
	__u64 discarded = 99;

	return dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded) ?: (int)discarded;
}

/*
 * The places that the following three want to read are far from each other, and from what is
 * dirty.
 */
static int do_load(struct scope_dev *d)
{
	char *page = mmap(NULL, d->page, PROT_READ, MAP_SHARED, d->fd, PAGES / 4 * d->page);
	int ret;

	if (page == MAP_FAILED)
		return -errno;
	madvise(page, d->page, MADV_RANDOM);
	ret = page_differs(page, d->page, PAGES / 4, 1) < 0 ? 0 : -EBADMSG;
	munmap(page, d->page);
	return ret;
}

static int do_read(struct scope_dev *d)
{
	return dev_differs(d, PAGES / 2, 1, 1) < 0 ? 0 : -EBADMSG;
}

static int do_write(struct scope_dev *d)
{
	return pwrite(d->fd, "x", 1, 3 * PAGES / 4 * d->page + 1) == 1 ? 0 : -errno;
}

/* What a device that does not hang can do at any time, and each time differently. */
static const char *use(struct scope_dev *d)
{
	static __u64 gen = 100;
	char *p = dev_map(d, 0, PAGES, RW);
	struct mmapscope_resize resize = {
		.size = sizeof(resize), .dev_size = (PAGES - 1) * d->page,
	};
	long i;

	gen++;
	for (i = 0; i < N; i++)
		page_fill(p + i * d->page, d->page, i, gen);
	if (msync(p, N * d->page, MS_SYNC) || fsync(d->fd))
		return "fsync";
	dev_evict(d);
	if (dev_differs(d, 0, N, gen) >= 0)
		return "read";
	if (ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &resize))
		return "resize";
	resize.dev_size = PAGES * d->page;
	if (ioctl(d->fd, MMAPSCOPE_IOC_RESIZE, &resize))
		return "resize back";
	if (dev_punch(d, 0, 1))
		return "punch";
	dev_unmap(d, p);
	return dev_books(d);
}

static unsigned int count_devices(int ctl)
{
	struct mmapscope_list list = {
		.size = sizeof(list), .entry_size = sizeof(struct mmapscope_info),
	};

	if (ioctl(ctl, MMAPSCOPE_IOC_LIST, &list))
		fatal("list: %m");
	return list.count;
}

/* Devices come and go, and are looked at, while one hangs. */
static const char *come_and_go(struct scope_dev *d, int fd)
{
	unsigned int before = count_devices(d->ctl), id;
	char path[128], text[4096];
	struct mmapscope_info info;
	struct scope_dev another;

	dev_info(d, &info);
	if (info.dev_size != (__u64)d->pages * d->page)
		return "info";
	snprintf(path, sizeof(path), "%s/%s/stats", DEBUGFS_DIR, d->name);
	if (file_read(path, text, sizeof(text)) <= 0)
		return "stats in debugfs";
	dev_create(&another, "ram", PAGES * d->page, 0);
	if (count_devices(d->ctl) != before + 1)
		return "list";
	if (*use(&another))
		return "use of a new device";
	if (dev_destroy(&another, false))
		return "remove";
	if (dev_try_on(d->ctl, fd, PAGES * d->page, &id) != -EBUSY)
		return "create on a file that is in use";
	return count_devices(d->ctl) == before ? "" : "list after removal";
}

TEST_F(hung, others_go_on)
{
	int (*const fns[])(struct scope_dev *) = { do_fsync, do_load, do_read, do_write, do_sync };
	const unsigned int nr = ARRAY_SIZE(fns);
	struct scope_dev *d = &self->dev;
	/* Without readahead, which might still be under way when it is suspended. */
	char *p = dev_map_random(d, 0, N, RW);
	struct task tasks[ARRAY_SIZE(fns)];
	unsigned int i;
	long n;

	for (n = 0; n < N; n++)
		page_fill(p + n * d->page, d->page, n, 2);
	stats_mark(d);
	dm_suspend(&self->shaky.dm);
	for (i = 0; i < nr; i++)
		task_begin(&tasks[i], fns[i], d);
	/* All of them are on their way: pages to be written, and three to be read. */
	EXPECT_TRUE(wait_for(now(d, pages_writeback) == N, 20000));
	EXPECT_TRUE(wait_for(moved(d, pages_added) >= 3, 20000));
	for (i = 0; i < 3; i++) {
		EXPECT_STREQ("", use(&self->ram));
		EXPECT_STREQ("", use(&self->other));
		EXPECT_STREQ("", come_and_go(d, self->sound.fd));
	}
	/* What is cached, the device itself still gives. */
	EXPECT_EQ(-1, page_differs(p, d->page, 0, 2));
	for (i = 0; i < nr; i++)
		EXPECT_FALSE(tasks[i].over);
	EXPECT_EQ(0, moved(d, pages_cleaned));
	EXPECT_EQ(0, moved(d, store_read_ops));
	dm_resume(&self->shaky.dm);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, task_end(&tasks[i]));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 2));
}

static void dirty(struct scope_dev *d, long n, __u64 gen)
{
	char *p = dev_map(d, 0, n, RW);
	long i;

	for (i = 0; i < n; i++)
		page_fill(p + i * d->page, d->page, i, gen);
	dev_unmap(d, p);
}

/* A counter of a device that one has not open. */
static long stat_from_outside(struct scope_dev *d, const char *name)
{
	char path[128], text[4096];
	const char *at;

	snprintf(path, sizeof(path), "%s/%s/stats", DEBUGFS_DIR, d->name);
	if (file_read(path, text, sizeof(text)) <= 0)
		return -1;
	at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

/* Either removal waits for what it has to write; nobody but its own device waits with it. */
TEST_F(hung, removal_waits_for_the_store)
{
	struct scope_dev *d = &self->dev;
	struct task task;
	unsigned int count = count_devices(d->ctl);

	dirty(d, N, 3);
	close(d->fd);
	dm_suspend(&self->shaky.dm);
	task_begin(&task, do_remove, d);
	/* To look whether it can be opened would keep it from being removed. */
	EXPECT_TRUE(wait_for(stat_from_outside(d, "pages_writeback") == N, 20000));
	EXPECT_EQ(-1, dev_open(d, O_RDWR));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-EBUSY, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, NULL));
	EXPECT_STREQ("", use(&self->ram));
	EXPECT_STREQ("", use(&self->other));
	EXPECT_STREQ("", come_and_go(&self->ram, self->shaky.fd));
	EXPECT_EQ(count, count_devices(d->ctl));
	EXPECT_FALSE(task.over);
	dm_resume(&self->shaky.dm);
	EXPECT_EQ(0, task_end(&task));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 3));
	close(d->ctl);
	d->ctl = -1;
}

TEST_F(hung, forced_removal_waits_for_the_store)
{
	struct scope_dev *d = &self->dev;
	struct task task, fault;
	char *p = dev_map(d, 0, N, RW);

	dirty(d, N, 3);
	touch_pages(p, N);
	dm_suspend(&self->shaky.dm);
	task_begin(&task, do_remove_by_force, d);
	EXPECT_TRUE(wait_for(stat_from_outside(d, "pages_writeback") == N, 20000));
	EXPECT_EQ(-1, dev_open(d, O_RDWR));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-ENOENT, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, NULL));
	EXPECT_STREQ("", use(&self->ram));
	EXPECT_STREQ("", use(&self->other));
	task_begin(&fault, do_fsync, d);
	EXPECT_EQ(-ENODEV, task_end(&fault));
	EXPECT_STREQ("", come_and_go(&self->ram, self->shaky.fd));
	EXPECT_FALSE(task.over);
	dm_resume(&self->shaky.dm);
	/* Nothing was discarded. */
	EXPECT_EQ(0, task_end(&task));
	EXPECT_EQ(-1, shaky_differs(&self->shaky, 0, N, 3));
	EXPECT_EQ(SIGBUS, try_load(p));
	dev_unmap(d, p);
	close(d->fd);
	close(d->ctl);
	d->ctl = -1;
}

/* Who waits for a page of a store that hangs can be killed. */
static void kill_one(struct __test_metadata *_metadata, struct scope_dev *d,
		     int (*fn)(struct scope_dev *))
{
	struct mmapscope_info info;
	int status = 0;
	pid_t pid;

	stats_mark(d);
	pid = fork();
	if (!pid)
		_exit(fn(d) ? 1 : 0);
	EXPECT_TRUE(wait_for(moved(d, pages_added) >= 1, 20000));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	dev_info(d, &info);
	EXPECT_EQ(1, info.open_files);
}

TEST_F(hung, who_reads_can_be_killed)
{
	dm_suspend(&self->shaky.dm);
	kill_one(_metadata, &self->dev, do_load);
	kill_one(_metadata, &self->dev, do_read);
	dm_resume(&self->shaky.dm);
	EXPECT_EQ(0, do_load(&self->dev));
	EXPECT_EQ(0, do_read(&self->dev));
}

/* Who is not gone when his time is over would not be before the disk is resumed. */
static int kill_waiting(pid_t pid)
{
	int status = 0;

	if (!wait_for(process_state(pid) == 'D', 20000) || kill(pid, SIGKILL) ||
	    !wait_for(waitpid(pid, &status, WNOHANG) == pid, 20000))
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int kill_a_writer(struct scope_dev *d, long page)
{
	pid_t pid = fork();

	if (!pid)
		_exit(pwrite(d->fd, "x", 1, page * d->page + 1) == 1 ? 0 : 1);
	return kill_waiting(pid);
}

/* Likewise for a page that is being written, has to be read first, or is being read. */
TEST_F(hung, who_writes_can_be_killed)
{
	struct scope_dev *d = &self->dev;
	char *buf = malloc(d->page);
	struct task task;

	dirty(d, 1, 2);
	dm_suspend(&self->shaky.dm);
	task_begin(&task, do_fsync, d);
	EXPECT_TRUE(wait_for(now(d, pages_writeback) == 1, 20000));
	EXPECT_EQ(SIGKILL, kill_a_writer(d, 0));
	EXPECT_EQ(SIGKILL, kill_a_writer(d, 3 * PAGES / 4));
	EXPECT_EQ(SIGKILL, kill_a_writer(d, 3 * PAGES / 4));
	/* i_rwsem is free, so a page that is neither can be written. */
	page_fill(buf, d->page, PAGES / 2, 5);
	EXPECT_EQ(d->page, pwrite(d->fd, buf, d->page, PAGES / 2 * d->page));
	dm_resume(&self->shaky.dm);
	EXPECT_EQ(0, task_end(&task));
	/* The killed have written nothing. */
	EXPECT_EQ(-1, dev_differs(d, 0, 1, 2));
	EXPECT_EQ(-1, dev_differs(d, 3 * PAGES / 4, 1, 1));
	EXPECT_EQ(-1, dev_differs(d, PAGES / 2, 1, 5));
	EXPECT_EQ(0, do_write(d));
	free(buf);
}

/* More than may be under way at once, each late: nothing is lost or mixed up. */
TEST_F(hung, slow_store)
{
	struct scope_dev *d = &self->dev;
	char *p = dev_map_random(d, 0, PAGES, RW);
	double begin_at, spent;
	long i;

	shaky_all(&self->shaky, SHAKY_SLOW);
	begin_at = seconds();
	for (i = 0; i < PAGES; i += 2)
		*(volatile char *)(p + i * d->page);
	EXPECT_LE(SHAKY_DELAY / 1000.0, seconds() - begin_at);
	for (i = 0; i < PAGES; i += 2)
		page_fill(p + i * d->page, d->page, i, 2);
	begin_at = seconds();
	EXPECT_EQ(0, msync(p, PAGES * d->page, MS_SYNC));
	spent = seconds() - begin_at;
	EXPECT_LE(SHAKY_DELAY / 1000.0, spent);
	/* Not one after the other: that would be so much on any machine. */
	if (scope_slow() <= 3)
		EXPECT_GT(PAGES / 2 * SHAKY_DELAY / 1000.0, spent);
	shaky_all(&self->shaky, SHAKY_SOUND);
	EXPECT_EQ(PAGES / 2, moved(d, pages_cleaned));
	for (i = 0; i < PAGES; i++)
		if (shaky_differs(&self->shaky, i, 1, i % 2 ? 1 : 2) >= 0)
			break;
	EXPECT_EQ(PAGES, i);
	dev_evict(d);
	for (i = 0; i < PAGES; i++)
		if (dev_differs(d, i, 1, i % 2 ? 1 : 2) >= 0)
			break;
	EXPECT_EQ(PAGES, i);
}

/* A file system that is frozen, as for a snapshot, does not let writes begin. */
TEST(frozen_file_system)
{
	const __u64 bytes = PAGES * sysconf(_SC_PAGESIZE);
	struct shaky shaky;
	struct scope_dev dev, ram;
	struct task task;

	NEED_DEVICES();
	NEED_SHAKY("ext4");
	vm_quiet();
	shaky_make(&shaky, "ext4", 0, bytes);
	dev_create_on(&dev, "ext4", shaky.fd, bytes);
	dev_create(&ram, "ram", bytes, 0);
	dev_fill(&dev, 0, N, 1);
	dirty(&dev, N, 2);
	stats_mark(&dev);
	ASSERT_EQ(0, ioctl(shaky.fd, FIFREEZE, 0));
	task_begin(&task, do_fsync, &dev);
	EXPECT_TRUE(wait_for(now(&dev, pages_writeback) == N, 20000));
	EXPECT_EQ(-1, dev_differs(&dev, 0, N, 2));
	EXPECT_STREQ("", use(&ram));
	EXPECT_STREQ("", come_and_go(&dev, shaky.fd));
	EXPECT_FALSE(task.over);
	EXPECT_EQ(0, moved(&dev, pages_cleaned));
	EXPECT_EQ(-1, shaky_differs(&shaky, 0, N, 1));
	ASSERT_EQ(0, ioctl(shaky.fd, FITHAW, 0));
	EXPECT_EQ(0, task_end(&task));
	EXPECT_EQ(-1, shaky_differs(&shaky, 0, N, 2));
	EXPECT_STREQ("", dev_books(&dev));
	EXPECT_EQ(0, dev_destroy(&dev, false));
	EXPECT_EQ(0, dev_destroy(&ram, false));
	EXPECT_EQ(0, shaky_end(&shaky));
}

SCOPE_MAIN
