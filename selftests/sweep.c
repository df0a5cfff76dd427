// SPDX-License-Identifier: GPL-2.0
/* Sweeping failures over an operation: see sweep.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"
#include "sweep.h"
#include "util.h"

/* More than any call needs: a sweep that has not ended by then goes round in circles. */
#define MAX_POINTS	4000
/*
 * How many allocations a call makes depends on what the allocators have at hand: it is over only
 * when several runs in a row met no failure.
 */
#define MISSES		3

/* --- the device --- */

static void set_large(struct bench *b, bool large)
{
	struct mmapscope_policy arg = {
		.size = sizeof(arg),
		.flags = MMAPSCOPE_POLICY_SET,
		.id = MMAPSCOPE_POLICY_large_folio_kb,
		.value = large ? 2048 : 0,
	};

	if (ioctl(b->dev.fd, MMAPSCOPE_IOC_POLICY, &arg))
		fatal("large_folio_kb: %s", strerror(errno));
}

unsigned char bench_new_gen(struct bench *b)
{
	b->last_gen = b->last_gen % 250 + 1;
	return b->last_gen;
}

static void fill_buf(struct bench *b, long first, long n, unsigned char gen)
{
	long i;

	for (i = 0; i < n; i++)
		page_fill(b->buf + i * b->page, b->page, first + i, gen);
}

void bench_fill(struct bench *b, long first, long n)
{
	unsigned char gen = bench_new_gen(b);

	fill_buf(b, first, n, gen);
	if (pwrite(b->dev.fd, b->buf, n * b->page, first * b->page) != n * b->page)
		fatal("pwrite: %s", strerror(errno));
	memset(b->gen + first, gen, n);
}

void bench_hole(struct bench *b, long first, long n)
{
	int ret = dev_punch(&b->dev, first, n);

	if (ret)
		fatal("punch: %s", strerror(-ret));
	memset(b->gen + first, 0, n);
}

void bench_will_write(struct bench *b, long first, long n)
{
	b->write.first = first;
	b->write.n = n;
	b->write.gen = bench_new_gen(b);
	fill_buf(b, first, n, b->write.gen);
}

static void read_all(struct bench *b)
{
	size_t size = b->dev.pages * b->page;

	if (pread(b->dev.fd, b->buf, size, 0) != (ssize_t)size)
		fatal("pread: %s", strerror(errno));
}

void bench_cold(struct bench *b)
{
	dev_evict(&b->dev);
}

void bench_warm(struct bench *b)
{
	read_all(b);
}

/*
 * Everything that is not to fail is paged in: a fault of this process on its own memory would
 * otherwise be among the failures.  Later mappings are not locked.
 */
static void page_in(void)
{
	char stack[64 << 10];

	memset(stack, 1, sizeof(stack));
	__asm__ volatile("" : : "r"(stack) : "memory");
	if (mlockall(MCL_CURRENT))
		fatal("mlockall: %s", strerror(errno));
}

void bench_start(struct bench *b, long pages, bool large)
{
	memset(b, 0, sizeof(*b));
	dev_create(&b->dev, "ram", pages * sysconf(_SC_PAGESIZE), 0);
	b->page = b->dev.page;
	b->half = pages / 2;
	b->gen = calloc(pages, 1);
	b->buf = malloc(pages * b->page);
	if (!b->gen || !b->buf)
		fatal("no memory");
	b->fd = -1;
	b->file = -1;
	b->pipe[0] = -1;
	b->pipe[1] = -1;
	set_large(b, large);
	bench_fill(b, 0, b->half);
	read_all(b);
	page_in();
}

int bench_end(struct bench *b, bool force)
{
	free(b->gen);
	free(b->buf);
	return dev_destroy(&b->dev, force);
}

/* --- what must be true after each run --- */

static bool page_is(const struct bench *b, long index, unsigned char gen)
{
	return page_differs(b->buf + index * b->page, b->page, index, gen) < 0;
}

/* @done pages of what was to be written must be new; are the others old, or may they be either? */
static bool page_is_right(struct bench *b, long index, long done, bool either)
{
	long nth = index - b->write.first;

	if (nth >= 0 && nth < done)
		b->gen[index] = b->write.gen;
	else if (nth >= 0 && nth < b->write.n && either && page_is(b, index, b->write.gen))
		b->gen[index] = b->write.gen;
	return page_is(b, index, b->gen[index]);
}

static bool contents_wrong(struct bench *b, const char *where, long done, bool either, char *wrong,
			   size_t size)
{
	long i;

	read_all(b);
	for (i = 0; i < b->dev.pages; i++) {
		if (page_is_right(b, i, done, either))
			continue;
		snprintf(wrong, size, "page %ld is not what it should be %s", i, where);
		return true;
	}
	return false;
}

static long pages_done(const struct bench *b, const struct op *op, int ret)
{
	if (ret < 0)
		return 0;
	return op->bytes ? ret / b->page : b->write.n;
}

/* The index of the error that @ret is, or -1: it is none that the operation may have. */
static int which_error(const struct op *op, int ret)
{
	static const int usual[SWEEP_ERRORS] = { ENOMEM, EFAULT };
	const int *errors = op->errors[0] ? op->errors : usual;
	int i;

	for (i = 0; i < SWEEP_ERRORS && errors[i]; i++) {
		if (errors[i] == -ret)
			return i;
	}
	return -1;
}

static const char *error_name(int err)
{
	static char text[32];

	if (err >= BY_SIGNAL(0)) {
		snprintf(text, sizeof(text), "SIG%s", sigabbrev_np(err - BY_SIGNAL(0)));
		return text;
	}
	return strerrorname_np(err) ?: "?";
}

/* What the device holds is on the store when nothing is cached any more. */
static void check_store(struct bench *b, char *wrong, size_t size)
{
	int err = fsync(b->dev.fd) ? errno : 0;

	if (err) {
		snprintf(wrong, size, "fsync: %s", error_name(err));
		return;
	}
	dev_evict(&b->dev);
	contents_wrong(b, "on the store", 0, false, wrong, size);
}

/* What the store says it holds, and what is data when one looks. */
static bool holdings_wrong(struct bench *b, char *wrong, size_t size)
{
	long data, hole = 0, held = 0;

	while ((data = lseek(b->dev.fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(b->dev.fd, data, SEEK_HOLE);
		held += (hole - data) / b->page;
	}
	if (held == now(&b->dev, store_pages))
		return false;
	snprintf(wrong, size, "store_pages is %ld, and %ld pages are data",
		 now(&b->dev, store_pages), held);
	return true;
}

/* A descriptor that was reserved and not given back is nowhere to be seen but here. */
static bool descriptor_lost(struct bench *b, char *wrong, size_t size)
{
	int fd = dup(b->dev.fd);

	close(fd);
	if (!b->free_fd)
		b->free_fd = fd;
	if (fd == b->free_fd)
		return false;
	snprintf(wrong, size, "the next descriptor is %d, not %d", fd, b->free_fd);
	return true;
}

static void check(struct bench *b, const struct op *op, int ret, char *wrong, size_t size)
{
	bool wrote = b->write.n;
	const char *books;

	if (ret < 0 && which_error(op, ret) < 0) {
		snprintf(wrong, size, "failed with %s", error_name(-ret));
		return;
	}
	/* This makes what a failed read left behind up to date, which mincore wants to see. */
	if (contents_wrong(b, "in the cache", pages_done(b, op, ret), !op->bytes, wrong, size))
		return;
	b->write.n = 0;
	if (holdings_wrong(b, wrong, size) || descriptor_lost(b, wrong, size))
		return;
	books = dev_books(&b->dev);
	if (*books)
		snprintf(wrong, size, "%s", books);
	else if (wrote)
		check_store(b, wrong, size);
}

/* --- running --- */

struct attempt {
	struct bench *b;
	const struct op *op;
	unsigned int nth;		/* 0: as many as inject_percent() says */
	int ret;
	bool taken;
};

static void start(void *arg)
{
	struct attempt *a = arg;

	if (a->nth)
		inject_arm(a->nth);
	else
		inject_me(true);
	a->ret = a->op->run(a->b);
}

static void run(struct attempt *a, char *wrong, size_t size)
{
	const char *what = NULL;
	int sig;

	wrong[0] = '\0';
	a->b->write.n = 0;
	if (a->op->before)
		a->op->before(a->b);
	sig = try_run(start, a);
	if (a->nth)
		a->taken = inject_disarm();
	else
		inject_me(false);
	if (sig)
		a->ret = -BY_SIGNAL(sig);
	if (a->op->after)
		what = a->op->after(a->b, a->ret);
	if (what)
		snprintf(wrong, size, "%s", what);
	else
		check(a->b, a->op, a->ret, wrong, size);
}

static void complain(struct sweep *s, const struct attempt *a, const char *wrong)
{
	char how[32] = "some";

	if (a->nth)
		snprintf(how, sizeof(how), "number %u", a->nth);
	snprintf(s->wrong, sizeof(s->wrong), "%s, %s failing, returned %d: %s", a->op->name, how,
		 a->ret, wrong);
}

static void count_error(struct sweep *s, const struct attempt *a)
{
	if (a->ret >= 0)
		return;
	s->failed++;
	s->by_error[which_error(a->op, a->ret)]++;
}

void sweep(struct bench *b, const struct op *op, struct sweep *s)
{
	struct attempt a = { .b = b, .op = op, .nth = 1 };
	unsigned int misses = 0;
	char wrong[200];

	memset(s, 0, sizeof(*s));
	while (misses < MISSES) {
		run(&a, wrong, sizeof(wrong));
		if (!wrong[0] && !a.taken && a.ret < 0)
			snprintf(wrong, sizeof(wrong), "failed although nothing was made to");
		if (wrong[0]) {
			complain(s, &a, wrong);
			return;
		}
		if (!a.taken) {
			misses++;
			continue;
		}
		misses = 0;
		s->points++;
		count_error(s, &a);
		if (a.nth++ == MAX_POINTS) {
			complain(s, &a, "no end");
			return;
		}
	}
	check_store(b, s->wrong, sizeof(s->wrong));
	if (s->points < op->points || s->failed < op->failed)
		snprintf(s->wrong, sizeof(s->wrong),
			 "%s: %u failures injected, %u of them seen; at least %u and %u are expected",
			 op->name, s->points, s->failed, op->points, op->failed);
}

void storm(struct bench *b, const struct op *op, int percent, int rounds, struct sweep *s)
{
	struct attempt a = { .b = b, .op = op };
	char wrong[200];

	memset(s, 0, sizeof(*s));
	inject_percent(percent);
	while (rounds-- && !s->wrong[0]) {
		run(&a, wrong, sizeof(wrong));
		if (wrong[0])
			complain(s, &a, wrong);
		else
			count_error(s, &a);
	}
	inject_percent(0);
	s->points = inject_count();
	if (!s->wrong[0])
		check_store(b, s->wrong, sizeof(s->wrong));
	if (percent == 100 && op->points && !s->points && !s->wrong[0])
		complain(s, &a, "nothing was made to fail");
}

void sweep_print(const struct op *op, const struct sweep *s)
{
	static const int usual[SWEEP_ERRORS] = { ENOMEM, EFAULT };
	const int *errors = op->errors[0] ? op->errors : usual;
	int i;

	printf("# %-24s %5u failures, %4u seen", op->name, s->points, s->failed);
	for (i = 0; i < SWEEP_ERRORS && errors[i]; i++)
		if (s->by_error[i])
			printf(", %s %u", error_name(errors[i]), s->by_error[i]);
	printf("\n");
}
