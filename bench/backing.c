// SPDX-License-Identifier: GPL-2.0
/*
 * What a page costs that has to come from, or go to, a file or a block device: backing NAME PATH
 * [ALSO-EVICT...]
 *
 * Maps PATH and measures, per page, a cold scan, cold random loads with MADV_RANDOM, and an msync
 * of pages that are all dirty.  Prints one line NAME SCAN RANDOM MSYNC, in nanoseconds per page:
 * under the instruction clock these are instructions.  Each is the median of RUNS; before each,
 * PATH and the files of ALSO-EVICT are dropped from the page cache.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUNS	3
#define BYTES	(32L << 20)

static long page, pages;
static int fd;
static char *map;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void evict(const char *path)
{
	int other = open(path, O_RDONLY);

	if (other < 0 || fsync(other) || posix_fadvise(other, 0, 0, POSIX_FADV_DONTNEED))
		err(1, "%s", path);
	close(other);
}

static void map_it(int advice)
{
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || madvise(map, BYTES, advice))
		err(1, "mmap");
}

static double scan(void)
{
	double begin = seconds();
	long i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(map + i * page);
	return seconds() - begin;
}

/* Each page once: an odd step modulo a power of two. */
static double load_randomly(void)
{
	double begin = seconds();
	long i, at = 0;

	for (i = 0; i < pages; i++) {
		*(volatile char *)(map + at * page);
		at = (at + 0x9e3779b1L) & (pages - 1);
	}
	return seconds() - begin;
}

static double sync_dirty(void)
{
	double begin;
	long i;

	for (i = 0; i < pages; i++)
		map[i * page]++;
	begin = seconds();
	if (msync(map, BYTES, MS_SYNC))
		err(1, "msync");
	return seconds() - begin;
}

static const struct {
	double (*run)(void);
	int advice;
} cases[] = {
	{ scan, MADV_NORMAL },
	{ load_randomly, MADV_RANDOM },
	{ sync_dirty, MADV_NORMAL },
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	unsigned int c, run;
	double t[RUNS];
	int i;

	if (argc < 3)
		errx(2, "usage: backing NAME PATH [ALSO-EVICT...]");
	page = sysconf(_SC_PAGESIZE);
	pages = BYTES / page;
	fd = open(argv[2], O_RDWR);
	if (fd < 0)
		err(1, "%s", argv[2]);
	printf("%-24s", argv[1]);
	for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (run = 0; run < RUNS; run++) {
			for (i = 2; i < argc; i++)
				evict(argv[i]);
			map_it(cases[c].advice);
			t[run] = cases[c].run();
			munmap(map, BYTES);
		}
		qsort(t, RUNS, sizeof(*t), compare);
		printf(" %8.0f", t[RUNS / 2] / pages * 1e9);
		fflush(stdout);
	}
	puts("");
	return 0;
}
