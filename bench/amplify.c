// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: amplify NODE dirty|scan normal|huge
 *
 * Maps all of a device, with MADV_HUGEPAGE or without, and then stores one byte in every 2 MiB
 * (dirty), or loads one byte of every page from the first to the last (scan).  Prints how many KiB
 * are mapped by huge page-table entries at the end.  The counters are for amplify.sh to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STRIDE (2UL << 20)

static void die(const char *what)
{
	fprintf(stderr, "amplify: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static char *map_device(const char *node, size_t *size)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	char *map;

	if (end < 0)
		die(node);
	*size = end;
	map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("mmap");
	close(fd);
	return map;
}

static void dirty(char *map, size_t size)
{
	for (size_t at = 0; at < size; at += STRIDE)
		map[at] = 1;
}

static void scan(char *map, size_t size)
{
	const size_t page = sysconf(_SC_PAGESIZE);

	for (size_t at = 0; at < size; at += page)
		*(volatile char *)(map + at);
}

/* Of all mappings: nobody else in this program has any. */
static unsigned long huge_mapped_kb(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long kb, sum = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "FilePmdMapped: %lu", &kb) == 1)
			sum += kb;
	}
	if (file)
		fclose(file);
	return sum;
}

int main(int argc, char **argv)
{
	size_t size;
	char *map;

	if (argc != 4) {
		fputs("usage: amplify NODE dirty|scan normal|huge\n", stderr);
		return 2;
	}
	map = map_device(argv[1], &size);
	if (!strcmp(argv[3], "huge") && madvise(map, size, MADV_HUGEPAGE))
		die("madvise");
	if (!strcmp(argv[2], "dirty"))
		dirty(map, size);
	else
		scan(map, size);
	printf("%lu\n", huge_mapped_kb());
	return EXIT_SUCCESS;
}
