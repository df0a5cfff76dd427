/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A system call repeated with its first allocation failing, then its second, and so on until it has
 * met no failure any more; and what must be true after each time.
 */
#ifndef SELFTESTS_SWEEP_H
#define SELFTESTS_SWEEP_H

#include <stdbool.h>

#include "device.h"

/* Among errnos: the call ended with this signal. */
#define BY_SIGNAL(sig)	(1000 + (sig))
/* Errnos that an operation may list. */
#define SWEEP_ERRORS	6

/*
 * A device whose lower half holds data and whose upper half is holes, and what is known of each
 * page.
 */
struct bench {
	struct scope_dev dev;
	long page;
	long half;			/* pages */
	unsigned char *gen;		/* generation of each page, see page_fill() */
	unsigned char last_gen;
	char *buf;			/* as large as the device */
	char *map;			/* set up by an operation for itself, as are the next */
	long map_pages;
	int fd;
	int file;			/* the device as a regular file */
	int pipe[2];
	unsigned int spare;		/* number of another device */
	int free_fd;			/* what the next open would return */
	/* What the operation is about to make of some pages, or n = 0. */
	struct {
		long first, n;
		unsigned char gen;
	} write;
};

/**
 * struct op - an operation, with everything that is not to be made to fail outside of @run
 * @name: for people
 * @cmd: the ioctl, if it is one
 * @before: brings the device into the state in which it is interesting
 * @run: the system call, or the access to a mapping: at least 0, or -errno
 * @after: undoes both; says what is wrong, or NULL
 * @errors: that @run may fail with, 0 at the end; ENOMEM and EFAULT if it is empty
 * @points: failures that must have been injected at least, when one after the other was
 * @failed: of those, how many must have made @run fail: what our own code asks for
 * @bytes: @run returns how many bytes it has written, and what is beyond them is as it was
 * @endless: the kernel tries again until there is memory, so not everything may fail at once
 */
struct op {
	const char *name;
	unsigned int cmd;
	void (*before)(struct bench *b);
	int (*run)(struct bench *b);
	const char *(*after)(struct bench *b, int ret);
	int errors[SWEEP_ERRORS];
	unsigned int points;
	unsigned int failed;
	bool bytes;
	bool endless;
};

/* How it went, and the first thing that was wrong, or "". */
struct sweep {
	unsigned int points;		/* failures */
	unsigned int failed;		/* runs that ended in an error */
	unsigned int by_error[SWEEP_ERRORS];
	char wrong[300];
};

/* A device of @pages, with large folios or without; nothing of this process is paged in later. */
void bench_start(struct bench *b, long pages, bool large);
/* The device can be removed: 0 or -errno. */
int bench_end(struct bench *b, bool force);

/* For @before. */
void bench_cold(struct bench *b);
void bench_warm(struct bench *b);
unsigned char bench_new_gen(struct bench *b);
/* New contents for @n pages in @buf, which the operation may put on the device. */
void bench_will_write(struct bench *b, long first, long n);
void bench_hole(struct bench *b, long first, long n);
void bench_fill(struct bench *b, long first, long n);

/* One failure at a time. */
void sweep(struct bench *b, const struct op *op, struct sweep *s);
/* @rounds times with @percent of all allocations failing. */
void storm(struct bench *b, const struct op *op, int percent, int rounds, struct sweep *s);
/* One line with the figures. */
void sweep_print(const struct op *op, const struct sweep *s);

#endif /* SELFTESTS_SWEEP_H */
