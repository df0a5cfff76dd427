// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios that somebody holds, stores to or has locked into memory while a punch, another size
 * or another policy wants to take them apart.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "largefolio.h"

/* A reference to a page of the cache, such as drivers have that read or write it. */
struct hold {
	int pipe[2];
};

static void hold_page(struct hold *h, char *at)
{
	struct iovec iov = { .iov_base = at, .iov_len = 1 };

	if (pipe(h->pipe) || vmsplice(h->pipe[1], &iov, 1, 0) != 1)
		fatal("vmsplice: %m");
}

static void let_go(struct hold *h)
{
	close(h->pipe[0]);
	close(h->pipe[1]);
}

/* It cannot be split, so it stays dirty as a whole, and will write zeros. */
TEST_F(large, punch_inside_a_held_dirty_folio)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;
	struct hold h;
	int i;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&h, self->p + (self->n + 1) * page);
	EXPECT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(3 * self->n, &self->dev);
	/* Once in the cache, and once from the store. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(5, self->p[(first - 1) * page]);
		EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
		EXPECT_EQ(5, self->p[(first + n) * page]);
		let_go(&h);
		ASSERT_EQ(0, fsync(self->dev.fd));
		/* The one was written before as well, in the hope that it could go. */
		EXPECT_EQ(4 * self->n, moved(&self->dev, pages_cleaned));
		dev_evict(&self->dev);
		hold_page(&h, self->p);
	}
	let_go(&h);
}

/* So does a clean one: what somebody has pinned in order to write to it must not be lost. */
TEST_F(large, punch_inside_a_held_clean_folio)
{
	long first = self->n + 3, n = self->n / 2;
	struct hold h;

	hold_page(&h, self->p + (self->n + 1) * self->dev.page);
	EXPECT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_cached));
	EXPECT_EQ(self->n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(3 * self->n, &self->dev);
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, first, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, first + n, 3 * self->n - first - n, 1));
	let_go(&h);
}

/* Both ends stay, and between them goes what the range has all of. */
TEST_F(large, punch_across_held_dirty_folios)
{
	long half = self->n / 2, n = 2 * self->n, page = self->dev.page;
	struct hold first, last;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&first, self->p);
	hold_page(&last, self->p + (3 * self->n - 1) * page);
	EXPECT_EQ(0, dev_punch(&self->dev, half, n));
	EXPECT_EQ(self->n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(n, &self->dev);
	EXPECT_EQ(-1, dev_differs(&self->dev, half, n, 0));
	let_go(&first);
	let_go(&last);
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(5, self->p[(half - 1) * page]);
	EXPECT_EQ(-1, dev_differs(&self->dev, half, n, 0));
	EXPECT_EQ(5, self->p[(half + n) * page]);
}

/* Nor does it take away pages beside the hole that somebody has locked into memory. */
TEST_F(large, punch_beside_locked_pages)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page;

	ASSERT_EQ(0, mlock(self->p + self->folio, self->folio));
	ASSERT_EQ(0, dev_punch(&self->dev, first, n));
	EXPECT_EQ(3 * self->n, now(&self->dev, pages_cached));
	EXPECT_EQ(-1, dev_differs(&self->dev, 0, first, 1));
	EXPECT_EQ(-1, dev_differs(&self->dev, first, n, 0));
	EXPECT_EQ(-1, dev_differs(&self->dev, first + n, 3 * self->n - first - n, 1));
	EXPECT_EQ(0, munlock(self->p + self->folio, self->folio));
	EXPECT_EQ(0, self->p[first * page]);
}

struct neighbour {
	volatile char *at;
	volatile bool began, stop;
	char last;
};

static void *store_on(void *arg)
{
	struct neighbour *n = arg;

	while (!n->stop) {
		*n->at = ++n->last;
		n->began = true;
	}
	return NULL;
}

/* Who stores beside the hole all the time comes between whatever is done to the folio. */
TEST_F_TIMEOUT(large, punch_beside_stores, 180)
{
	long first = self->n + 3, n = self->n / 2, page = self->dev.page, end = first + n;
	struct neighbour beside = { .at = self->p + end * page };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, store_on, &beside));
	ASSERT_TRUE(wait_for(beside.began, 10000));
	for (i = 1; i <= 30; i++) {
		store_pages(self->p, first, i);
		store_pages(self->p + (end + 1) * page, self->dev.pages - end - 1, i);
		ASSERT_EQ(0, dev_punch(&self->dev, first, n));
		EXPECT_EQ(i, self->p[(first - 1) * page]);
		EXPECT_EQ(0, self->p[first * page]);
		EXPECT_EQ(0, self->p[(end - 1) * page]);
		EXPECT_EQ(i, self->p[(end + 1) * page]);
		EXPECT_EQ(i, self->p[(2 * self->n - 1) * page]);
	}
	beside.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(beside.last, *beside.at);
}

/* What arrives in a page of it could get lost otherwise. */
TEST_F(large, resize_does_not_cut_a_held_folio)
{
	long n = self->n, page = self->dev.page;
	struct hold h;

	store_pages(self->p, 3 * n, 5);
	hold_page(&h, self->p + (n + 1) * page);
	EXPECT_EQ(-EBUSY, resize(&self->dev, n + 2));
	EXPECT_EQ(3 * n * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, moved(&self->dev, pages_discarded));
	EXPECT_EQ(5, self->p[(n + 2) * page]);
	EXPECT_EQ(5, self->p[(3 * n - 1) * page]);
	let_go(&h);
	EXPECT_EQ(0, resize(&self->dev, n + 2));
	EXPECT_EQ((n + 2) * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, resize(&self->dev, 3 * n));
	EXPECT_EQ(5, self->p[(n + 1) * page]);
	EXPECT_EQ(0, self->p[(n + 2) * page]);
}

/* One that the new end leaves whole, on either side of it, is in nobody's way. */
TEST_F(large, resize_beside_held_folios)
{
	long n = self->n, page = self->dev.page;
	struct hold below, beyond;

	store_pages(self->p, 3 * n, 5);
	hold_page(&below, self->p + (2 * n - 1) * page);
	hold_page(&beyond, self->p + 2 * n * page);
	EXPECT_EQ(0, resize(&self->dev, 2 * n));
	EXPECT_EQ(n, moved(&self->dev, pages_discarded));
	EXPECT_EQ(2 * n, now(&self->dev, pages_cached));
	EXPECT_EQ(2 * n, now(&self->dev, pages_dirty));
	EXPECT_HOLDS(2 * n, &self->dev);
	EXPECT_EQ(SIGBUS, try_load(self->p + 2 * n * page));
	EXPECT_EQ(0, resize(&self->dev, 3 * n));
	EXPECT_EQ(0, self->p[2 * n * page]);
	let_go(&below);
	let_go(&beyond);
	EXPECT_EQ(5, self->p[(2 * n - 1) * page]);
	EXPECT_EQ(-1, dev_differs(&self->dev, 2 * n, n, 0));
}

static void no_op(int sig)
{
	(void)sig;
}

/* It waits for whoever holds the folio, but a signal is more important. */
TEST_F(large, resize_is_ended_by_a_signal)
{
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { 0 };
	struct sigaction sa = { .sa_handler = no_op };
	struct hold h;
	int err;

	store_pages(self->p, 3 * self->n, 5);
	hold_page(&h, self->p + (self->n + 1) * self->dev.page);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	err = resize(&self->dev, self->n + 2);
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(-EINTR, err);
	EXPECT_EQ(3 * self->folio, lseek(self->dev.fd, 0, SEEK_END));
	let_go(&h);
	EXPECT_EQ(5, self->p[self->folio]);
}

TEST_F(large, policy_stays_while_a_folio_is_held)
{
	long n = self->n, page = self->dev.page;
	__u64 kb = 0, was;
	struct hold h;

	store_pages(self->p, 3 * n, 5);
	ASSERT_EQ(0, policy(&self->dev, 0, &kb));
	was = kb;
	hold_page(&h, self->p + (2 * n + 1) * page);
	EXPECT_EQ(-EBUSY, set_policy(&self->dev, 0));
	EXPECT_EQ(-EBUSY, set_policy(&self->dev, was));
	EXPECT_EQ(0, policy(&self->dev, 0, &kb));
	EXPECT_EQ(was, kb);
	EXPECT_EQ(5, self->p[0]);
	EXPECT_EQ(5, self->p[(2 * n + 1) * page]);
	let_go(&h);
	EXPECT_EQ(0, set_policy(&self->dev, 0));
	EXPECT_EQ(5, self->p[(2 * n + 1) * page]);
}

SCOPE_MAIN
