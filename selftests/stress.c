// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, for STRESS_SECONDS: processes with several threads that store, load, read,
 * write, splice, sync, advise, evict, punch and remap, while others empty the caches, compact
 * memory, make and remove devices, and read and reset the counters.
 *
 * Each block of pages belongs to one worker, who alone changes it and knows the generation of each
 * page.  Everybody reads everything: a sequence number tells whether the owner was at it meanwhile.
 * In the end every page must be what its owner made it, in memory and in the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define RW		(PROT_READ | PROT_WRITE)
#define DEVICE_BYTES	(32L << 20)
#define BLOCK		8
#define PROCESSES	3
#define THREADS		3
#define WORKERS		(PROCESSES * THREADS)

struct page_state {
	unsigned int seq;	/* odd while the owner changes the page */
	unsigned int gen;
};

/* In memory that all processes share. */
struct board {
	volatile bool stop;
	bool failing;		/* writes to the store fail now and then */
	bool failed;		/* and some did */
	long operations;
	long failures;
	char first_failure[200];
	struct page_state page[];
};

struct worker {
	struct scope_dev *dev;
	struct board *board;
	int nr;
	unsigned int seed;
	unsigned int gen;
	long page, pages;
	char *map;
	char *buf;
	int pipe[2];
	int fd;
};

static void __attribute__((format(printf, 2, 3))) complain(struct board *b, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (!__atomic_fetch_add(&b->failures, 1, __ATOMIC_RELAXED))
		vsnprintf(b->first_failure, sizeof(b->first_failure), fmt, args);
	va_end(args);
}

static unsigned int pick(struct worker *w, unsigned int n)
{
	return rand_r(&w->seed) / 7 % n;
}

/* First page of a block of the worker's own. */
static long own_block(struct worker *w)
{
	long blocks = w->pages / BLOCK / WORKERS;

	return (pick(w, blocks) * WORKERS + w->nr) * BLOCK;
}

static void begin_change(struct worker *w, long index)
{
	__atomic_add_fetch(&w->board->page[index].seq, 1, __ATOMIC_SEQ_CST);
}

static void end_change(struct worker *w, long index, unsigned int gen)
{
	w->board->page[index].gen = gen;
	__atomic_add_fetch(&w->board->page[index].seq, 1, __ATOMIC_SEQ_CST);
}

static void check(struct worker *w, const void *data, long index, const char *how)
{
	unsigned int gen = w->board->page[index].gen;
	long word = page_differs(data, w->page, index, gen);

	if (word >= 0)
		complain(w->board, "%s of page %ld: word %ld is %#llx, not of generation %u", how,
			 index, word, ((const __u64 *)data)[word], gen);
}

static void do_store(struct worker *w)
{
	long index = own_block(w) + pick(w, BLOCK);

	begin_change(w, index);
	page_fill(w->map + index * w->page, w->page, index, ++w->gen);
	end_change(w, index, w->gen);
}

static void do_write(struct worker *w)
{
	long index = own_block(w) + pick(w, BLOCK), cut = pick(w, w->page);

	begin_change(w, index);
	page_fill(w->buf, w->page, index, ++w->gen);
	if (pwrite(w->fd, w->buf, cut, index * w->page) != cut ||
	    pwrite(w->fd, w->buf + cut, w->page - cut, index * w->page + cut) != w->page - cut)
		complain(w->board, "write to page %ld: %m", index);
	end_change(w, index, w->gen);
}

static void do_write_block(struct worker *w)
{
	long index = own_block(w), i;

	for (i = 0; i < BLOCK; i++) {
		begin_change(w, index + i);
		page_fill(w->buf + i * w->page, w->page, index + i, w->gen + 1 + i);
	}
	if (pwrite(w->fd, w->buf, BLOCK * w->page, index * w->page) != BLOCK * w->page)
		complain(w->board, "write to block %ld: %m", index);
	for (i = 0; i < BLOCK; i++)
		end_change(w, index + i, ++w->gen);
}

static void do_load(struct worker *w)
{
	long index = own_block(w) + pick(w, BLOCK);

	check(w, w->map + index * w->page, index, "load");
}

static void do_read(struct worker *w)
{
	long index = own_block(w) + pick(w, BLOCK);

	if (pread(w->fd, w->buf, w->page, index * w->page) != w->page)
		complain(w->board, "read of page %ld: %m", index);
	else
		check(w, w->buf, index, "read");
}

static void do_splice(struct worker *w)
{
	long index = own_block(w) + pick(w, BLOCK), done = 0, n;
	loff_t at = index * w->page;

	if (splice(w->fd, &at, w->pipe[1], NULL, w->page, 0) != w->page) {
		complain(w->board, "splice of page %ld: %m", index);
		return;
	}
	while (done < w->page && (n = read(w->pipe[0], w->buf + done, w->page - done)) > 0)
		done += n;
	check(w, w->buf, index, "splice");
}

/* Somebody else's page, one word. */
static void do_look(struct worker *w)
{
	long index = pick(w, w->pages), word = pick(w, w->page / 8);
	struct page_state *state = &w->board->page[index];
	unsigned int seq = __atomic_load_n(&state->seq, __ATOMIC_SEQ_CST);
	unsigned int gen = __atomic_load_n(&state->gen, __ATOMIC_SEQ_CST);
	__u64 seen = ((volatile __u64 *)(w->map + index * w->page))[word];

	if (seq & 1 || __atomic_load_n(&state->seq, __ATOMIC_SEQ_CST) != seq)
		return;
	page_fill(w->buf, w->page, index, gen);
	if (seen != ((__u64 *)w->buf)[word])
		complain(w->board, "foreign page %ld word %ld: %#llx, not of generation %u", index,
			 word, seen, gen);
}

static void do_punch(struct worker *w)
{
	long index = own_block(w), first = pick(w, BLOCK), n = 1 + pick(w, BLOCK - first), i;
	struct mmapscope_punch punch = {
		.size = sizeof(punch), .offset = (index + first) * w->page, .length = n * w->page,
	};

	for (i = 0; i < n; i++)
		begin_change(w, index + first + i);
	if (ioctl(w->fd, MMAPSCOPE_IOC_PUNCH, &punch))
		complain(w->board, "punch: %m");
	for (i = 0; i < n; i++)
		end_change(w, index + first + i, 0);
}

/* Any range: none of this changes contents. */
static void do_sync(struct worker *w)
{
	long first = pick(w, w->pages), n = 1 + pick(w, w->pages - first);
	int ret;

	switch (pick(w, 4)) {
	case 0:
		ret = fsync(w->fd);
		break;
	case 1:
		ret = fdatasync(w->fd);
		break;
	case 2:
		ret = msync(w->map + first * w->page, n * w->page, MS_ASYNC);
		break;
	default:
		ret = msync(w->map + first * w->page, n * w->page, MS_SYNC);
	}
	if (ret && !(w->board->failing && errno == EIO))
		complain(w->board, "sync: %m");
}

static void do_advise(struct worker *w)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, 20 /* COLD */, 21 /* PAGEOUT */,
		22 /* POPULATE_READ */,
	};
	long first = pick(w, w->pages), n = 1 + pick(w, 64);

	if (n > w->pages - first)
		n = w->pages - first;
	if (pick(w, 3))
		madvise(w->map + first * w->page, n * w->page, advice[pick(w, ARRAY_SIZE(advice))]);
	else
		posix_fadvise(w->fd, first * w->page, n * w->page,
			      pick(w, 2) ? POSIX_FADV_DONTNEED : POSIX_FADV_WILLNEED);
}

static void do_evict(struct worker *w)
{
	long first = pick(w, w->pages), n = 1 + pick(w, 512);
	int ret = dev_evict_ioctl(w->fd, first * w->page, n * w->page,
				  pick(w, 2) ? MMAPSCOPE_EVICT_NO_WRITE : 0, NULL);

	if (ret && !(w->board->failing && ret == -EIO))
		complain(w->board, "evict: %s", strerror(-ret));
}

static void do_remap(struct worker *w)
{
	void *p;

	switch (pick(w, 3)) {
	case 0:
		munmap(w->map, w->pages * w->page);
		p = mmap(NULL, w->pages * w->page, RW, MAP_SHARED, w->fd, 0);
		break;
	case 1:
		/* Only one area can be moved: undo what advice has split. */
		madvise(w->map, w->pages * w->page, MADV_NORMAL);
		madvise(w->map, w->pages * w->page, MADV_NOHUGEPAGE);
		p = mmap(NULL, w->pages * w->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE, -1, 0);
		p = mremap(w->map, w->pages * w->page, w->pages * w->page,
			   MREMAP_MAYMOVE | MREMAP_FIXED, p);
		break;
	default:
		p = w->map;
		if (mprotect(p, w->pages * w->page, PROT_READ) ||
		    mprotect(p, w->pages * w->page, RW))
			complain(w->board, "mprotect: %m");
	}
	if (p == MAP_FAILED)
		fatal("remap: %m");
	w->map = p;
}

static void do_lock(struct worker *w)
{
	long first = pick(w, w->pages - 16);

	if (mlock(w->map + first * w->page, 16 * w->page))
		complain(w->board, "mlock: %m");
	munlock(w->map + first * w->page, 16 * w->page);
}

static void do_private(struct worker *w)
{
	long index = own_block(w);
	char *p = mmap(NULL, w->page, RW, MAP_PRIVATE, w->fd, index * w->page);

	if (p == MAP_FAILED) {
		complain(w->board, "private mmap: %m");
		return;
	}
	if (pick(w, 2))
		check(w, p, index, "private load");
	memset(p, 0x55, w->page);
	check(w, w->map + index * w->page, index, "load beside a private copy");
	munmap(p, w->page);
}

static const struct {
	void (*fn)(struct worker *w);
	int weight;
} operation[] = {
	{ do_store, 20 }, { do_write, 10 }, { do_write_block, 4 }, { do_load, 15 },
	{ do_read, 10 }, { do_splice, 5 }, { do_look, 20 }, { do_punch, 5 }, { do_sync, 1 },
	{ do_advise, 8 }, { do_evict, 3 }, { do_remap, 1 }, { do_lock, 1 }, { do_private, 3 },
};

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i, total = 0, at;

	for (i = 0; i < ARRAY_SIZE(operation); i++)
		total += operation[i].weight;
	while (!w->board->stop) {
		at = pick(w, total);
		for (i = 0; at >= (unsigned int)operation[i].weight; i++)
			at -= operation[i].weight;
		operation[i].fn(w);
		__atomic_add_fetch(&w->board->operations, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int run_process(struct scope_dev *d, struct board *b, int nr)
{
	struct worker w[THREADS] = { 0 };
	pthread_t thread[THREADS];
	int i;

	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker) {
			.dev = d, .board = b, .nr = nr * THREADS + i, .page = d->page,
			.pages = d->pages, .buf = malloc(BLOCK * d->page),
			.seed = 1 + nr * THREADS + i, .fd = dev_open(d, O_RDWR),
		};
		w[i].map = mmap(NULL, d->pages * d->page, RW, MAP_SHARED, w[i].fd, 0);
		if (w[i].map == MAP_FAILED || pipe(w[i].pipe) ||
		    fcntl(w[i].pipe[1], F_SETPIPE_SZ, 16 * d->page) < 0 ||
		    pthread_create(&thread[i], NULL, work, &w[i]))
			fatal("start of worker %d: %m", w[i].nr);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* Before a reset forgets them. */
static void note_failures(struct scope_dev *d, struct board *b)
{
	b->failed |= stats_now(d, MMAPSCOPE_STAT_pages_write_failed) > 0;
}

/* Writes to a quarter of the device fail from now on; what is dirty there is tried at once. */
static void break_store(struct scope_dev *d, struct board *b, long at)
{
	dev_hook(d, "write 5 %ld %ld 0", at, at + d->pages / 4);
	if (fsync(d->fd) && errno != EIO)
		complain(b, "fsync of a failing store: %s", strerror(errno));
	note_failures(d, b);
}

/* What happens to the machine meanwhile. */
static int disturb(struct scope_dev *d, struct board *b)
{
	struct scope_dev other;
	__u64 v[MMAPSCOPE_NR_STATS];
	unsigned int round;
	long at;
	char *p;

	for (round = 0; !b->stop; round++) {
		switch (round % 8) {
		case 0:
			file_write("/proc/sys/vm/drop_caches", round % 16 ? "1" : "3");
			break;
		case 1:
			file_write("/proc/sys/vm/compact_memory", "1");
			break;
		case 2:
			sync();
			break;
		case 3:
			dev_create(&other, "ram", 64 * d->page, 0);
			p = dev_map(&other, 0, 64, RW);
			store_pages(p, 64, 1);
			if (dev_destroy(&other, round & 8))
				complain(b, "removal of another device");
			break;
		case 4:
			at = round * 64 % d->pages;
			if (b->failing)
				break_store(d, b, at);
			break;
		case 5:
			note_failures(d, b);
			if (dev_reset(d))
				complain(b, "reset");
			break;
		default:
			stats_read(d, v);
			if (v[MMAPSCOPE_STAT_pages_cached] > (__u64)d->pages)
				complain(b, "%llu pages cached of %ld",
					 v[MMAPSCOPE_STAT_pages_cached], d->pages);
			note_failures(d, b);
			if (b->failing)
				dev_hook(d, "off");
		}
		sleep_ms(20);
	}
	if (b->failing)
		dev_hook(d, "off");
	return 0;
}

DEVICE_FIXTURE(stress, DEVICE_BYTES / sysconf(_SC_PAGESIZE));

/* So much must have been done for the run to say anything. */
#define OPERATIONS	(1000 / scope_slow())

static bool enough(const struct board *b)
{
	return b->operations > OPERATIONS && (b->failed || !b->failing);
}

static void stress(struct __test_metadata *_metadata, struct scope_dev *d, long duration,
		   bool failing)
{
	size_t size = sizeof(struct board) + d->pages * sizeof(struct page_state);
	struct board *b = mmap(NULL, size, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[PROCESSES + 1];
	int i, status;
	double begin;
	long shown = 0, at;
	char *p;

	b->failing = failing;
	vm_set("dirty_expire_centisecs", 100);
	vm_set("dirty_writeback_centisecs", 30);
	for (i = 0; i <= PROCESSES; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(i < PROCESSES ? run_process(d, b, i) : disturb(d, b));
	}
	begin = seconds();
	/* On a slow machine it takes longer until much has been done, and a write has failed. */
	while (((at = seconds() - begin) < duration ||
		(!enough(b) && at < duration + 60 * scope_slow())) && !b->failures) {
		sleep_ms(200);
		if (at >= shown + 10) {
			shown = at;
			fprintf(stderr, "# %ld of %ld seconds: %ld operations\n", at, duration,
				b->operations);
		}
		/* A worker that died has a reason to be looked at. */
		for (i = 0; i <= PROCESSES; i++)
			if (waitpid(pid[i], &status, WNOHANG) == pid[i]) {
				complain(b, "process %d ended with status %#x", i, status);
				pid[i] = 0;
			}
	}
	b->stop = true;
	for (i = 0; i <= PROCESSES; i++)
		if (pid[i]) {
			waitpid(pid[i], &status, 0);
			EXPECT_EQ(0, status);
		}
	EXPECT_EQ(0, b->failures) {
		TH_LOG("%s", b->first_failure);
	}
	EXPECT_LT(OPERATIONS, b->operations);
	EXPECT_EQ(failing, b->failed);

	/* As it is, then from the store. */
	vm_quiet();
	d->was_reset = true;
	p = dev_map(d, 0, d->pages, PROT_READ);
	for (i = 0; i < d->pages; i++)
		EXPECT_EQ(-1, page_differs(p + i * d->page, d->page, i, b->page[i].gen));
	EXPECT_STREQ("", dev_books(d));
	/* Failures that nobody asked about yet. */
	if (fsync(d->fd))
		EXPECT_TRUE(failing && errno == EIO);
	EXPECT_EQ(0, fsync(d->fd));
	EXPECT_EQ(0, now(d, pages_dirty));
	EXPECT_EQ(0, now(d, pages_writeback));
	dev_evict(d);
	for (i = 0; i < d->pages; i++)
		EXPECT_EQ(-1, page_differs(p + i * d->page, d->page, i, b->page[i].gen));
	EXPECT_STREQ("", dev_books(d));
	EXPECT_EQ(0, dev_punch(d, 0, d->pages));
	EXPECT_HOLDS(0, d);
	munmap(b, size);
}

static long duration(void)
{
	const char *text = getenv("STRESS_SECONDS");
	long n = text ? atol(text) : 60;

	return n > 0 ? n : 60;
}

TEST_F_TIMEOUT(stress, everything_at_once, 3600)
{
	stress(_metadata, &self->dev, duration() * 2 / 3, false);
}

TEST_F_TIMEOUT(stress, everything_while_writes_fail, 3600)
{
	NEED_HOOK(&self->dev);
	stress(_metadata, &self->dev, duration() / 3, true);
}

SCOPE_MAIN
