// SPDX-License-Identifier: GPL-2.0
/*
 * What is printed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "demo.h"

#define CELLS_PER_LINE	3
#define CELL_WIDTH	12
#define MAP_COLUMNS	64

static const char bold[] = "\033[1m", green[] = "\033[32m", dim[] = "\033[2m", plain[] = "\033[0m";
static unsigned int met;

static bool wants_colour(void)
{
	const char *force = getenv("CLICOLOR_FORCE"), *refuse = getenv("NO_COLOR");

	if (force && *force && strcmp(force, "0"))
		return true;
	return !(refuse && *refuse) && isatty(STDOUT_FILENO);
}

static const char *colour(const char *code)
{
	return wants_colour() ? code : "";
}

/**
 * die() - print why the demonstration cannot go on, and end it
 * @format: as for printf()
 */
void die(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("demo: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

/**
 * expect() - end the demonstration if what it claims is not so
 * @holds: whether it is so
 * @format: what was expected, as for printf()
 */
void expect(bool holds, const char *format, ...)
{
	char text[256];
	va_list arguments;

	met++;
	if (holds)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	die("FAILED, expected: %s", text);
}

/**
 * expectations_met() - how many times expect() was satisfied
 *
 * Return: the number.
 */
unsigned int expectations_met(void)
{
	return met;
}

/**
 * show_step() - print what a step did
 * @number: of the step
 * @name: of the step
 * @line: what it did
 */
void show_step(unsigned int number, const char *name, const char *line)
{
	printf("%s%2u %-9s%s %s\n", colour(bold), number, name, colour(plain), line);
}

/**
 * show_progress() - print something at once, without ending the line
 * @text: what
 */
void show_progress(const char *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

/* How a counter moved; an empty string if it did not. */
static void format_move(unsigned int index, __u64 before, __u64 now, char *text, size_t room)
{
	*text = 0;
	if (now == before)
		return;
	if (counter_table[index].is_gauge)
		snprintf(text, room, "%llu -> %llu", before, now);
	else
		snprintf(text, room, "+%llu", now - before);
}

/**
 * show_moved() - print the counters that moved
 * @before: the counters before the step
 * @now: the counters after it
 */
void show_moved(const struct counters *before, const struct counters *now)
{
	unsigned int cells = 0;
	int padding = 0;
	char text[48];

	for (unsigned int i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		format_move(i, before->value[i], now->value[i], text, sizeof(text));
		if (!*text)
			continue;
		if (cells && cells % CELLS_PER_LINE == 0)
			putchar('\n');
		printf("%*s%-19s %s%s%s", 3 + padding, "", counter_table[i].name, colour(green),
		       text, colour(plain));
		cells++;
		padding = cells % CELLS_PER_LINE ? CELL_WIDTH - (int)strlen(text) : 0;
	}
	if (cells)
		putchar('\n');
}

/* All, some or none of the pages that one column of the drawing stands for. */
static char get_mark(const unsigned char *cached, size_t first, size_t end)
{
	size_t found = 0;

	for (size_t i = first; i < end; i++)
		found += cached[i] & 1;
	if (!found)
		return '.';
	return found == end - first ? '#' : '+';
}

/**
 * show_cached() - draw which pages of a mapping are in the cache
 * @map: the mapping
 * @size: of it, in bytes
 */
void show_cached(const void *map, size_t size)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	size_t pages = (size + page_size - 1) / page_size;
	unsigned char *cached = malloc(pages);
	char drawing[MAP_COLUMNS + 1] = "";

	if (!cached || mincore((void *)map, size, cached))
		die("asking which pages are cached failed");
	for (size_t i = 0; i < MAP_COLUMNS; i++) {
		size_t first = i * pages / MAP_COLUMNS, end = (i + 1) * pages / MAP_COLUMNS;

		/* A small file: several columns for each page. */
		drawing[i] = get_mark(cached, first, end > first ? end : first + 1);
	}
	printf("   %scached [%s]%s\n\n", colour(dim), drawing, colour(plain));
	fflush(stdout);
	free(cached);
}
