// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: demo NODE FILE [WORD]
 *
 * Copies FILE into the device NODE, searches it for WORD through a mapping, changes words in place,
 * and follows them back to the store.  After every step it prints the counters that moved, and it
 * fails if they did not move as the step claims.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

/* Several windows of readahead. */
#define LEAST_PAGES 128

static void run_step(struct demo *demo, const struct step *step)
{
	demo->before = demo->now;
	step->run(demo);
	read_quiet_counters(demo->fd, &demo->now);
	show_step(step - steps + 1, step->name, demo->line);
	show_moved(&demo->before, &demo->now);
	show_cached(demo->map, demo->size);
	step->check(demo);
}

static void read_file(struct demo *demo)
{
	int fd = open(demo->file, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) || !status.st_size)
		die("%s: %s", demo->file, fd < 0 ? strerror(errno) : "nothing in it");
	demo->size = status.st_size;
	demo->pages = (demo->size + demo->page_size - 1) / demo->page_size;
	demo->original = malloc(demo->size);
	demo->expected = malloc(demo->size);
	if (!demo->original || !demo->expected ||
	    read(fd, demo->original, demo->size) != (ssize_t)demo->size)
		die("%s: cannot read %zu bytes", demo->file, demo->size);
	memcpy(demo->expected, demo->original, demo->size);
	close(fd);
	demo->found = count_words(demo, demo->original);
	if (demo->pages < LEAST_PAGES)
		die("%s: too small to show anything; %d pages are needed", demo->file, LEAST_PAGES);
	if (demo->found < 2)
		die("%s: '%s' is not in it at least twice", demo->file, demo->word);
}

int main(int argc, char **argv)
{
	struct demo demo = { .page_size = sysconf(_SC_PAGESIZE), .word = "page" };

	if (argc < 3 || argc > 4)
		die("usage: demo NODE FILE [WORD]");
	demo.file = argv[2];
	if (argc == 4)
		demo.word = argv[3];
	read_file(&demo);
	demo.fd = open_scope(argv[1], demo.size);
	map_device(&demo);
	read_quiet_counters(demo.fd, &demo.now);
	for (const struct step *step = steps; step->name; step++)
		run_step(&demo, step);
	printf("%u expectations held; the books balanced after every step\n", expectations_met());
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
