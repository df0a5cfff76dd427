// SPDX-License-Identifier: GPL-2.0
/*
 * A device over a network block device: data and flushes reach the server, what it refuses is an
 * error, and so is everything if it goes away; nothing hangs for longer than it was told to.
 *
 * The server runs in the same machine (nbdserver.c), so little is dirty at any time.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/nbd.h>

#include "harness.h"
#include "nbdclient.h"
#include "nbdserver.h"
#include "task.h"

#define PAGES	64
#define N	16
#define BAD	5
#define RW	(PROT_READ | PROT_WRITE)
/* Longer than any test takes: whoever waits so long for a connection waits for ever. */
#define PATIENCE	600

static int fsync_errno(int fd)
{
	return fsync(fd) ? errno : 0;
}

static void flusher_on(void)
{
	vm_set("dirty_expire_centisecs", 10);
	vm_set("dirty_writeback_centisecs", 10);
}

/* A server that is started anew does not get hold of it. */
static char *map(struct scope_dev *d, long first, long n)
{
	char *p = dev_map_random(d, first, n, RW);

	if (madvise(p, n * d->page, MADV_DONTFORK))
		fatal("madvise: %m");
	return p;
}

/* Pages @first to @first + @n - 1 get their contents of a generation, through a mapping of all. */
static void fill(struct scope_dev *d, char *p, long first, long n, __u64 gen)
{
	long i;

	for (i = first; i < first + n; i++)
		page_fill(p + i * d->page, d->page, i, gen);
}

static long mapped_differs(struct scope_dev *d, const char *p, long first, long n, __u64 gen)
{
	long i;

	for (i = first; i < first + n; i++)
		if (page_differs(p + i * d->page, d->page, i, gen) >= 0)
			return i;
	return -1;
}

static void make(struct scope_dev *d, struct nbd_client *c, struct nbd_server *s)
{
	dev_create_on(d, "block", c->fd, s->bytes);
}

static int do_fsync(struct scope_dev *d)
{
	return fsync_errno(d->fd);
}

/* The errno, or that the bytes are not those of generation 1. */
static int do_read(struct scope_dev *d)
{
	char *buf = malloc(d->page);
	long index = PAGES - 1;
	int ret = 0;

	if (pread(d->fd, buf, d->page, index * d->page) != d->page)
		ret = errno;
	else if (page_differs(buf, d->page, index, 1) >= 0)
		ret = EBADMSG;
	free(buf);
	return ret;
}

/*
 * A page that is not cached, and far from what the others use, for requests to neighbours may be
 * made one: a signal number, or 0.
 */
static int do_load(struct scope_dev *d)
{
	char *p = mmap(NULL, d->page, PROT_READ, MAP_SHARED, d->fd, PAGES / 2 * d->page);
	int ret;

	if (p == MAP_FAILED)
		return -1;
	madvise(p, d->page, MADV_RANDOM);
	ret = try_load(p);
	munmap(p, d->page);
	return ret;
}

/* One connection, by ioctl, to a server with a cache that can be flushed. */
FIXTURE(nbd) {
	struct nbd_server server;
	struct nbd_client client;
	struct scope_dev dev;
};

FIXTURE_SETUP(nbd)
{
	const char *why = nbd_unavailable();

	NEED_DEVICES();
	if (why)
		SKIP_SETUP("%s", why);
	vm_quiet();
	nbd_server_init(&self->server, PAGES * sysconf(_SC_PAGESIZE));
	nbd_server_start(&self->server);
	nbd_connect(&self->client, &self->server, NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM);
	make(&self->dev, &self->client, &self->server);
}

/* The device is gone, or goes without force. */
FIXTURE_TEARDOWN(nbd)
{
	vm_quiet();
	if (self->dev.ctl >= 0) {
		EXPECT_STREQ("", dev_books(&self->dev));
		EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	}
	nbd_disconnect(&self->client);
	nbd_server_end(&self->server);
}

/* What nobody will ever write is only removed by force, which tells how much that is. */
static void remove_by_force(struct __test_metadata *_metadata, struct scope_dev *d, char *p,
			    long lost)
{
	__u64 discarded = 99;

	EXPECT_STREQ("", dev_books(d));
	dev_unmap(d, p);
	close(d->fd);
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, &discarded));
	EXPECT_EQ(lost, (long)discarded);
	close(d->ctl);
	d->ctl = -1;
}

TEST_F(nbd, is_a_block_device)
{
	struct mmapscope_info info;
	unsigned int id;
	char node[32];

	dev_info(&self->dev, &info);
	snprintf(node, sizeof(node), "/dev/nbd%d", self->client.nr);
	EXPECT_EQ(MMAPSCOPE_IO_BLOCK, info.io_mode);
	EXPECT_STREQ(node, info.store_path);
	EXPECT_EQ(-EBUSY,
		  dev_try_on(self->dev.ctl, self->client.fd, self->server.bytes, &id));
}

TEST_F(nbd, msync_reaches_the_disk_of_the_server)
{
	volatile struct nbd_state *state = self->server.state;
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, PAGES);
	long flushes = state->requests[NBD_OP_FLUSH];

	fill(d, p, 0, N, 1);
	EXPECT_EQ(0, (long)state->write_bytes);
	ASSERT_EQ(0, msync(p, PAGES * d->page, MS_SYNC));
	EXPECT_EQ(N * d->page, (long)state->write_bytes);
	EXPECT_EQ(flushes + 1, state->requests[NBD_OP_FLUSH]);
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 1));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, N, PAGES - N, 0));
	/* It is what is read again. */
	dev_evict(d);
	stats_mark(d);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 1));
	EXPECT_EQ(N, moved(d, store_read_pages));
}

TEST_F(nbd, so_do_fsync_and_sync)
{
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, N);

	fill(d, p, 0, N, 1);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 1));
	fill(d, p, 0, N, 2);
	EXPECT_EQ(0, fdatasync(d->fd));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 2));
	fill(d, p, 0, N, 3);
	sync();
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 3));
	fill(d, p, 0, N, 4);
	dev_unmap(d, p);
	EXPECT_EQ(0, dev_destroy(d, false));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 4));
	d->ctl = -1;
}

/* Written is not flushed: only what was synced is there when the server loses its power. */
TEST_F(nbd, what_was_synced_survives_the_server)
{
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, PAGES);

	fill(d, p, 0, PAGES, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	fill(d, p, 0, N, 2);
	flusher_on();
	EXPECT_TRUE(wait_for(!now(d, pages_dirty) && !now(d, pages_writeback), 60000));
	vm_quiet();
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 0, N, 2));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, PAGES, 1));
	nbd_server_kill(&self->server);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	dev_unmap(d, p);
	close(d->fd);
	/* All of it was written; what the server made of it, nobody knows. */
	EXPECT_EQ(-EIO, dev_remove(d->ctl, d->id, 0, NULL));
	EXPECT_EQ(0, dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, NULL));
	close(d->ctl);
	nbd_disconnect(&self->client);
	nbd_server_start(&self->server);
	nbd_connect(&self->client, &self->server, NBD_FLAG_SEND_FLUSH);
	make(d, &self->client, &self->server);
	EXPECT_EQ(-1, dev_differs(d, 0, PAGES, 1));
}

/* By a command of its own, or as writes. */
TEST_F(nbd, punch)
{
	struct scope_dev *d = &self->dev;

	dev_fill(d, 0, PAGES, 1);
	ASSERT_EQ(0, dev_punch(d, N, N));
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 0, N, 1));
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, N, N, 0));
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 2 * N, PAGES - 2 * N, 1));
	EXPECT_EQ(-1, dev_differs(d, N, N, 0));
	nbd_server_fail(&self->server, NBD_OP_WRITE, EIO);
	EXPECT_EQ(-EIO, dev_punch(d, 0, N));
	nbd_server_fail(&self->server, NBD_OP_WRITE, 0);
	EXPECT_EQ(0, dev_punch(d, 0, N));
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 0, 2 * N, 0));
}

TEST_F(nbd, read_error_is_sigbus_at_that_page)
{
	struct scope_dev *d = &self->dev;
	char *p, byte;

	dev_fill(d, 0, PAGES, 1);
	p = map(d, 0, PAGES);
	nbd_server_fail_at(&self->server, NBD_OP_READ, EIO, BAD * d->page, d->page);
	EXPECT_EQ(SIGBUS, try_load(p + BAD * d->page));
	EXPECT_EQ(-1, pread(d->fd, &byte, 1, BAD * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, mapped_differs(d, p, 0, BAD, 1));
	EXPECT_EQ(-1, mapped_differs(d, p, BAD + 1, PAGES - BAD - 1, 1));
	nbd_server_fail(&self->server, NBD_OP_READ, 0);
	EXPECT_EQ(-1, mapped_differs(d, p, BAD, 1, 1));
}

/* Whatever the server calls it, nbd knows no other error. */
TEST_F(nbd, write_error_is_eio_and_stays_dirty)
{
	const unsigned int errors[] = { EIO, ENOSPC, EPERM };
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, N);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		fill(d, p, 0, N, 2 * i + 1);
		ASSERT_EQ(0, fsync_errno(d->fd));
		fill(d, p, 0, N, 2 * i + 2);
		stats_mark(d);
		nbd_server_fail_at(&self->server, NBD_OP_WRITE, errors[i], BAD * d->page, d->page);
		EXPECT_EQ(EIO, fsync_errno(d->fd));
		EXPECT_EQ(1, now(d, pages_dirty));
		EXPECT_EQ(N - 1, moved(d, pages_cleaned));
		/* The others are there, and to stay. */
		EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, BAD, 2 * i + 2));
		EXPECT_EQ(-1, nbd_server_differs(&self->server, BAD, 1, 2 * i + 1));
		EXPECT_EQ(-1, nbd_server_differs(&self->server, BAD + 1, N - BAD - 1, 2 * i + 2));
		EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2 * i + 2));
		nbd_server_fail(&self->server, NBD_OP_WRITE, 0);
		EXPECT_EQ(0, fsync_errno(d->fd));
		EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 2 * i + 2));
	}
}

TEST_F(nbd, flush_error_is_eio)
{
	struct scope_dev *d = &self->dev;
	int other = dev_open(d, O_RDONLY);
	char *p = map(d, 0, N);

	fill(d, p, 0, N, 1);
	nbd_server_fail(&self->server, NBD_OP_FLUSH, EIO);
	EXPECT_EQ(-1, msync(p, N * d->page, MS_SYNC));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, now(d, pages_dirty));
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 0, N, 1));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 0));
	nbd_server_fail(&self->server, NBD_OP_FLUSH, 0);
	EXPECT_EQ(0, msync(p, N * d->page, MS_SYNC));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 1));
	EXPECT_EQ(EIO, fsync_errno(other));
	EXPECT_EQ(0, fsync_errno(other));
	close(other);
}

/* Nothing is under way when the server dies. */
TEST_F(nbd, server_goes_away)
{
	struct scope_dev *d = &self->dev;
	char *p, byte;
	long i;

	dev_fill(d, 0, PAGES, 1);
	p = map(d, 0, PAGES);
	fill(d, p, 0, N, 2);
	nbd_server_kill(&self->server);
	ASSERT_TRUE(wait_for(self->client.over, 60000));
	EXPECT_EQ(SIGBUS, try_load(p + N * d->page));
	EXPECT_EQ(-1, pread(d->fd, &byte, 1, (N + 1) * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(d->fd, "x", 1, (N + 2) * d->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-EIO, dev_punch(d, 2 * N, 1));
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(N, now(d, pages_dirty));
	/* What is cached can be read, and changed. */
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2));
	fill(d, p, 0, N, 3);
	EXPECT_EQ(-1, dev_differs(d, 0, N, 3));
	for (i = N; i < N + 3; i++)
		EXPECT_EQ(SIGBUS, try_load(p + i * d->page));
	remove_by_force(_metadata, d, p, N);
	/* What it had. */
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, PAGES, 1));
}

/* All of it is on the server, which has not said so, and never will. */
TEST_F(nbd, server_goes_away_with_requests_under_way)
{
	int (*const fns[])(struct scope_dev *) = { do_fsync, do_read, do_load };
	volatile struct nbd_state *state = self->server.state;
	struct task tasks[ARRAY_SIZE(fns)];
	struct scope_dev *d = &self->dev;
	unsigned int i;
	long reads, writes;
	char *p;

	dev_fill(d, 0, PAGES, 1);
	p = map(d, 0, N);
	fill(d, p, 0, N, 2);
	reads = state->requests[NBD_OP_READ];
	writes = state->requests[NBD_OP_WRITE];
	state->silent[NBD_OP_READ] = true;
	state->silent[NBD_OP_WRITE] = true;
	stats_mark(d);
	for (i = 0; i < ARRAY_SIZE(fns); i++)
		task_begin(&tasks[i], fns[i], d);
	EXPECT_TRUE(wait_for(now(d, pages_writeback) == N, 60000));
	EXPECT_TRUE(wait_for(state->requests[NBD_OP_READ] >= reads + 2, 60000));
	EXPECT_TRUE(wait_for(state->requests[NBD_OP_WRITE] > writes, 60000));
	for (i = 0; i < ARRAY_SIZE(fns); i++)
		EXPECT_FALSE(tasks[i].over);
	EXPECT_EQ(0, moved(d, pages_cleaned) + moved(d, pages_write_failed));
	nbd_server_kill(&self->server);
	EXPECT_EQ(EIO, task_end(&tasks[0]));
	EXPECT_EQ(EIO, task_end(&tasks[1]));
	EXPECT_EQ(SIGBUS, task_end(&tasks[2]));
	EXPECT_EQ(N, now(d, pages_dirty));
	EXPECT_EQ(0, moved(d, pages_cleaned));
	EXPECT_EQ(-1, mapped_differs(d, p, 0, N, 2));
	remove_by_force(_metadata, d, p, N);
}

/* The flush is what is under way: the pages are written, and nobody can say whether for long. */
TEST_F(nbd, server_goes_away_with_a_flush_under_way)
{
	volatile struct nbd_state *state = self->server.state;
	struct scope_dev *d = &self->dev;
	struct task task;
	char *p = map(d, 0, N);

	fill(d, p, 0, N, 1);
	state->silent[NBD_OP_FLUSH] = true;
	task_begin(&task, do_fsync, d);
	EXPECT_TRUE(wait_for(state->requests[NBD_OP_FLUSH] >= 1, 60000));
	EXPECT_FALSE(task.over);
	nbd_server_kill(&self->server);
	EXPECT_EQ(EIO, task_end(&task));
	EXPECT_EQ(0, now(d, pages_dirty));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 0));
	remove_by_force(_metadata, d, p, 0);
}

/* A server that is there and says nothing is given up when nbd was told to. */
TEST_F(nbd, silent_server_is_an_error_after_its_timeout)
{
	struct scope_dev *d = &self->dev;
	char *p;

	dev_fill(d, 0, PAGES, 1);
	p = map(d, 0, PAGES);
	fill(d, p, 0, N, 2);
	self->server.state->silent[NBD_OP_WRITE] = true;
	nbd_timeout(&self->client, 1);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(N, now(d, pages_dirty));
	EXPECT_EQ(SIGBUS, try_load(p + N * d->page));
	EXPECT_TRUE(wait_for(self->client.over, 60000));
	remove_by_force(_metadata, d, p, N);
}

/* It comes back, and a new device finds what it has. */
TEST_F(nbd, server_comes_back)
{
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, N);

	fill(d, p, 0, N, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	fill(d, p, 0, N, 2);
	nbd_server_kill(&self->server);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	remove_by_force(_metadata, d, p, N);
	nbd_disconnect(&self->client);
	nbd_server_start(&self->server);
	nbd_connect(&self->client, &self->server, NBD_FLAG_SEND_FLUSH);
	make(d, &self->client, &self->server);
	EXPECT_EQ(-1, dev_differs(d, 0, N, 1));
	dev_fill(d, 0, N, 3);
	EXPECT_EQ(0, fsync_errno(d->fd));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 3));
}

/* The block device is taken away under a device that is in use, as by nbd-client -d. */
TEST_F(nbd, disconnected_by_its_owner)
{
	struct scope_dev *d = &self->dev;
	char *p = map(d, 0, N);

	fill(d, p, 0, N, 1);
	ASSERT_EQ(0, ioctl(self->client.fd, NBD_DISCONNECT));
	EXPECT_TRUE(wait_for(self->client.over, 60000));
	EXPECT_TRUE(self->server.state->disconnected);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	remove_by_force(_metadata, d, p, N);
}

/* Servers of other kinds, and connections that can be replaced. */
FIXTURE(nbd_other) {
	struct nbd_server server;
	struct nbd_client client;
	struct scope_dev dev;
};

FIXTURE_SETUP(nbd_other)
{
	const char *why = nbd_unavailable();

	NEED_DEVICES();
	if (why)
		SKIP_SETUP("%s", why);
	vm_quiet();
	nbd_server_init(&self->server, PAGES * sysconf(_SC_PAGESIZE));
	nbd_server_start(&self->server);
}

FIXTURE_TEARDOWN(nbd_other)
{
	vm_quiet();
	if (self->dev.ctl >= 0) {
		EXPECT_STREQ("", dev_books(&self->dev));
		EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	}
	nbd_disconnect(&self->client);
	nbd_server_end(&self->server);
}

/* It has no cache, or says so: nobody asks it to flush, and fsync is content. */
TEST_F(nbd_other, server_that_knows_no_flush)
{
	struct scope_dev *d = &self->dev;
	char *p;

	nbd_connect(&self->client, &self->server, 0);
	make(d, &self->client, &self->server);
	p = map(d, 0, N);
	fill(d, p, 0, N, 1);
	EXPECT_EQ(0, msync(p, N * d->page, MS_SYNC));
	EXPECT_EQ(0, self->server.state->requests[NBD_OP_FLUSH]);
	EXPECT_EQ(-1, nbd_server_cache_differs(&self->server, 0, N, 1));
}

TEST_F(nbd_other, server_that_only_reads)
{
	struct scope_dev *d = &self->dev;
	struct mmapscope_create arg = {
		.size = sizeof(arg), .store = MMAPSCOPE_STORE_FILE, .id = MMAPSCOPE_ID_ANY,
	};
	struct mmapscope_info info;

	nbd_connect(&self->client, &self->server, NBD_FLAG_SEND_FLUSH | NBD_FLAG_READ_ONLY);
	*d = (struct scope_dev) { .ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC) };
	arg.store_fd = self->client.fd;
	ASSERT_EQ(0, ioctl(d->ctl, MMAPSCOPE_IOC_CREATE, &arg));
	snprintf(d->node, sizeof(d->node), "/dev/mmapscope%u", arg.id);
	d->fd = dev_open(d, O_RDONLY);
	dev_info(d, &info);
	EXPECT_EQ(MMAPSCOPE_INFO_READ_ONLY, info.flags);
	EXPECT_EQ(0, fsync_errno(d->fd));
	close(d->fd);
	EXPECT_EQ(-1, dev_open(d, O_RDWR));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(0, dev_remove(d->ctl, arg.id, 0, NULL));
	close(d->ctl);
	d->ctl = -1;
}

/* The connection breaks, and a new one comes in time: nobody but the clock has noticed. */
TEST_F(nbd_other, connection_that_is_replaced)
{
	struct scope_dev *d = &self->dev;
	struct task sync_task, read_task;
	char *p;

	nbd_connect_patiently(&self->client, &self->server, NBD_FLAG_SEND_FLUSH, PATIENCE);
	make(d, &self->client, &self->server);
	dev_fill(d, 0, PAGES, 1);
	ASSERT_EQ(0, fsync_errno(d->fd));
	p = map(d, 0, N);
	fill(d, p, 0, N, 2);
	stats_mark(d);
	nbd_server_kill(&self->server);
	task_begin(&sync_task, do_fsync, d);
	EXPECT_TRUE(wait_for(now(d, pages_writeback) >= 1, 60000));
	task_begin(&read_task, do_read, d);
	EXPECT_TRUE(wait_for(moved(d, pages_added) >= 1, 60000));
	EXPECT_FALSE(sync_task.over);
	EXPECT_FALSE(read_task.over);
	EXPECT_EQ(0, moved(d, pages_cleaned));
	nbd_server_start(&self->server);
	nbd_reconnect(&self->client, &self->server);
	EXPECT_EQ(0, task_end(&sync_task));
	EXPECT_EQ(0, task_end(&read_task));
	EXPECT_EQ(N, moved(d, pages_cleaned));
	EXPECT_EQ(0, moved(d, pages_write_failed));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, 0, N, 2));
	EXPECT_EQ(-1, nbd_server_differs(&self->server, N, PAGES - N, 1));
}

TEST_F(nbd_other, connection_that_is_not_replaced)
{
	struct scope_dev *d = &self->dev;
	char *p;

	nbd_connect_patiently(&self->client, &self->server, NBD_FLAG_SEND_FLUSH, 1);
	make(d, &self->client, &self->server);
	p = map(d, 0, PAGES);
	fill(d, p, 0, N, 2);
	nbd_server_kill(&self->server);
	EXPECT_EQ(EIO, fsync_errno(d->fd));
	EXPECT_EQ(SIGBUS, try_load(p + N * d->page));
	remove_by_force(_metadata, d, p, N);
}

SCOPE_MAIN
