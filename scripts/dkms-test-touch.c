// SPDX-License-Identifier: GPL-2.0
/*
 * dkms-test-touch NODE PAGES: store a word into each page through a shared mapping, msync, and read
 * all of it back with read(2).
 */
#include <err.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(int fd, long page, __u64 wanted)
{
	__u64 found;

	if (pread(fd, &found, sizeof(found), page * getpagesize()) != sizeof(found))
		err(1, "read of page %ld", page);
	if (found != wanted)
		errx(1, "page %ld holds %#lx instead of %#lx", page, (long)found, (long)wanted);
}

int main(int argc, char **argv)
{
	long pages = argc == 3 ? atol(argv[2]) : 0;
	size_t size = pages * getpagesize();
	char *map;
	int fd;

	if (pages < 1)
		errx(2, "usage: dkms-test-touch NODE PAGES");
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		err(1, "%s", argv[1]);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		err(1, "mmap of %zu bytes", size);
	for (long page = 0; page < pages; page++)
		*(__u64 *)(map + page * getpagesize()) = page + 1;
	if (msync(map, size, MS_SYNC))
		err(1, "msync");
	for (long page = 0; page < pages; page++)
		check(fd, page, page + 1);
	printf("%ld pages stored, synced and read back\n", pages);
	return 0;
}
