// SPDX-License-Identifier: GPL-2.0
/*
 * The steps: each does something, says in one line what, and then checks that the counters moved as
 * they should have.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

#define CHUNK		(256 * 1024)
#define FLUSHER_TIMEOUT	30.0

#define NOW(demo, name) ((demo)->now.value[MMAPSCOPE_STAT_##name])
#define MOVED(demo, name) how_far(demo, MMAPSCOPE_STAT_##name)

static __u64 how_far(const struct demo *demo, unsigned int index)
{
	return demo->now.value[index] - demo->before.value[index];
}

__printf(2, 3) static void say(struct demo *demo, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(demo->line, sizeof(demo->line), format, arguments);
	va_end(arguments);
}

static double get_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/**
 * map_device() - map the part of the device that holds the file
 * @demo: the demonstration
 */
void map_device(struct demo *demo)
{
	demo->map = mmap(NULL, demo->size, PROT_READ | PROT_WRITE, MAP_SHARED, demo->fd, 0);
	if (demo->map == MAP_FAILED)
		die("mapping the device: %s", strerror(errno));
}

static void unmap_device(struct demo *demo)
{
	munmap(demo->map, demo->size);
}

/**
 * count_words() - count the words that are searched
 * @demo: the demonstration
 * @text: as long as the file
 *
 * Return: how many there are.
 */
size_t count_words(const struct demo *demo, const char *text)
{
	const char *at = text, *end = text + demo->size;
	size_t length = strlen(demo->word), count = 0;

	while ((at = memmem(at, end - at, demo->word, length))) {
		at += length;
		count++;
	}
	return count;
}

static void run_copy(struct demo *demo)
{
	for (size_t done = 0; done < demo->size; ) {
		size_t left = demo->size - done;
		ssize_t written = write(demo->fd, demo->original + done,
					left < CHUNK ? left : CHUNK);

		if (written <= 0)
			die("writing to the device: %s", strerror(errno));
		done += written;
	}
	say(demo, "write(2) copied %zu bytes of %s: %zu dirty pages", demo->size, demo->file,
	    demo->pages);
}

static void check_copy(const struct demo *demo)
{
	expect(MOVED(demo, write_bytes) == demo->size, "write_bytes counts the bytes of the file");
	expect(MOVED(demo, pages_dirtied) >= demo->pages, "each of %zu pages became dirty",
	       demo->pages);
	expect(MOVED(demo, pages_added) >= demo->pages, "each of them entered the cache");
	expect(MOVED(demo, store_read_pages) <= 1, "whole pages are written without reading first");
}

static void run_sync(struct demo *demo)
{
	if (fsync(demo->fd))
		die("fsync: %s", strerror(errno));
	say(demo, "fsync(2) wrote them to the store and flushed it");
}

static void check_sync(const struct demo *demo)
{
	expect(NOW(demo, pages_dirty) == 0, "no page is dirty");
	expect(NOW(demo, pages_cleaned) >= demo->pages, "every page was written");
	expect(NOW(demo, store_pages) >= demo->pages, "the store holds every page");
	expect(MOVED(demo, store_sync_ops) > 0, "the store was flushed");
}

static void run_evict(struct demo *demo)
{
	evict_all(demo->fd, &demo->evict);
	say(demo, "dropped the cache: %llu pages left it, %llu remain", demo->evict.evicted,
	    demo->evict.remaining);
}

static void check_evict(const struct demo *demo)
{
	expect(NOW(demo, pages_cached) == 0, "no page is cached");
	expect(demo->evict.remaining == 0, "the module says that none remains");
	expect(demo->evict.evicted >= demo->pages, "every page of the file left the cache");
	expect(MOVED(demo, pages_discarded) == 0, "nothing was thrown away unwritten");
}

static void run_search(struct demo *demo)
{
	size_t found = count_words(demo, demo->map);

	say(demo, "searched the mapping: '%s' is there %zu times; pages came from the store",
	    demo->word, found);
	expect(found == demo->found, "the mapping has '%s' as often as the file, %zu times",
	       demo->word, demo->found);
}

static void check_search(const struct demo *demo)
{
	expect(MOVED(demo, fault_major) > 0, "some faults had to wait for the store");
	expect(MOVED(demo, fault_minor) + MOVED(demo, fault_around) > MOVED(demo, fault_major),
	       "most faults found what had been read ahead");
	expect(MOVED(demo, fault_read) == MOVED(demo, fault_minor) + MOVED(demo, fault_major),
	       "every read fault is minor or major");
	expect(MOVED(demo, readahead_pages) >= demo->pages, "all pages were read ahead");
	expect(MOVED(demo, fault_write) + MOVED(demo, mkwrite) == 0, "nothing was written");
}

static void run_again(struct demo *demo)
{
	size_t found;

	unmap_device(demo);
	map_device(demo);
	found = count_words(demo, demo->map);
	say(demo, "mapped it anew and searched again: all pages were cached");
	expect(found == demo->found, "the second search finds as much as the first");
}

static void check_again(const struct demo *demo)
{
	expect(MOVED(demo, fault_major) == 0, "no fault had to wait for the store");
	expect(MOVED(demo, fault_minor) + MOVED(demo, fault_around) > 0, "but there were faults");
	expect(MOVED(demo, store_read_pages) == 0, "nothing was read from the store");
}

/* Changes the next @count words, and remembers what the device must hold from now on. */
static void change_words(struct demo *demo, size_t count)
{
	size_t length = strlen(demo->word), last = -1;
	char *at = demo->expected, *end = demo->expected + demo->size;

	demo->touched = 0;
	for (; count && (at = memmem(at, end - at, demo->word, length)); count--) {
		for (size_t i = 0; i < length; i++, at++) {
			size_t page = (at - demo->expected) / demo->page_size;

			*at = toupper((unsigned char)*at);
			demo->map[at - demo->expected] = *at;
			demo->touched += page != last;
			last = page;
		}
		demo->changed++;
	}
}

static void run_change(struct demo *demo)
{
	change_words(demo, demo->found / 2);
	say(demo, "changed %zu words in place through the mapping: %zu pages", demo->changed,
	    demo->touched);
}

/*
 * The kernel hears of the first store to each page only.  If the flusher has been at a page
 * meanwhile, it hears of it once more.
 */
static void check_change(const struct demo *demo)
{
	expect(MOVED(demo, mkwrite) >= demo->touched &&
	       MOVED(demo, mkwrite) <= demo->touched + MOVED(demo, pages_cleaned),
	       "one write notification for each of %zu changed pages", demo->touched);
	expect(MOVED(demo, pages_dirtied) == MOVED(demo, mkwrite), "each made a page dirty");
	expect(MOVED(demo, fault_major) == 0, "the pages were there already");
	expect(NOW(demo, pages_dirty) + NOW(demo, pages_writeback) + MOVED(demo, pages_cleaned) >=
	       demo->touched, "they are dirty, or written already");
	expect(MOVED(demo, wb_sync_pages) == 0, "nobody asked for writeback");
}

/* A dot every quarter of a second; the seconds in between. */
static void show_waiting(unsigned int quarters)
{
	char text[16] = ".";

	if (quarters % 4 == 0)
		snprintf(text, sizeof(text), ". %u s ", quarters / 4);
	show_progress(text);
}

static void run_wait(struct demo *demo)
{
	const struct timespec quarter = { .tv_nsec = 250000000 };
	double start = get_seconds(), seconds;
	unsigned int quarters = 0;

	/* On a slow machine the flusher was here already.  Give it something to write. */
	if (!NOW(demo, pages_dirty)) {
		demo->map[0] = demo->expected[0];
		read_quiet_counters(demo->fd, &demo->before);
	}
	show_progress("   waiting for the flusher ");
	do {
		nanosleep(&quarter, NULL);
		show_waiting(++quarters);
		read_counters(demo->fd, &demo->now);
		seconds = get_seconds() - start;
	} while ((!MOVED(demo, pages_cleaned) || NOW(demo, pages_writeback)) &&
		 seconds < FLUSHER_TIMEOUT);
	show_progress("\n");
	say(demo, "the flusher wrote %llu pages by itself after %.1f s; nobody had asked for it",
	    MOVED(demo, pages_cleaned), seconds);
}

static void check_wait(const struct demo *demo)
{
	__u64 by_flusher = MOVED(demo, wb_periodic_pages) + MOVED(demo, wb_background_pages) +
			   MOVED(demo, wb_other_pages);

	expect(MOVED(demo, pages_cleaned) > 0, "the flusher wrote pages within %.0f s",
	       FLUSHER_TIMEOUT);
	expect(MOVED(demo, wb_sync_pages) == 0, "nobody asked for it");
	expect(by_flusher >= MOVED(demo, pages_cleaned), "all of them are the flusher's");
	expect(MOVED(demo, pages_dirtied) == 0, "nothing became dirty meanwhile");
}

static void run_msync(struct demo *demo)
{
	change_words(demo, demo->found - demo->changed);
	if (msync(demo->map, demo->size, MS_SYNC))
		die("msync: %s", strerror(errno));
	say(demo, "changed the other words (%zu pages); msync(2) wrote them at once",
	    demo->touched);
}

static void check_msync(const struct demo *demo)
{
	expect(demo->changed == demo->found, "all words are changed");
	expect(MOVED(demo, mkwrite) >= demo->touched, "clean pages are noticed again");
	expect(MOVED(demo, wb_sync_pages) > 0, "pages were written because of msync");
	expect(MOVED(demo, store_sync_ops) > 0, "the store was flushed");
	expect(NOW(demo, pages_dirty) + NOW(demo, pages_writeback) == 0, "no page is dirty");
}

static void compare(struct demo *demo, const char *bytes, const char *how)
{
	__u64 expected = get_checksum(demo->expected, demo->size);
	__u64 got = get_checksum(bytes, demo->size);

	say(demo, "%s: checksum %016llx, expected %016llx", how, got, expected);
	expect(!memcmp(bytes, demo->expected, demo->size), "the bytes are those expected (%s)",
	       demo->line);
}

static void run_read(struct demo *demo)
{
	char *bytes = malloc(demo->size);
	size_t done = 0;

	evict_all(demo->fd, &demo->evict);
	read_quiet_counters(demo->fd, &demo->before);
	while (bytes && done < demo->size) {
		ssize_t got = pread(demo->fd, bytes + done, demo->size - done, done);

		if (got <= 0)
			die("reading the device: %s", got ? strerror(errno) : "it ends too early");
		done += got;
	}
	if (!bytes)
		die("not enough memory");
	compare(demo, bytes, "read(2) from the store");
	free(bytes);
}

static void check_read(const struct demo *demo)
{
	expect(MOVED(demo, read_bytes) == demo->size, "read_bytes counts the bytes of the file");
	expect(MOVED(demo, store_read_pages) >= demo->pages, "all pages came from the store");
	expect(MOVED(demo, fault_read) == 0, "read(2) does not fault on the device");
}

static void run_map(struct demo *demo)
{
	unmap_device(demo);
	evict_all(demo->fd, &demo->evict);
	read_quiet_counters(demo->fd, &demo->before);
	map_device(demo);
	compare(demo, demo->map, "a fresh mapping");
}

static void check_map(const struct demo *demo)
{
	expect(MOVED(demo, fault_major) > 0, "some faults had to wait for the store");
	expect(MOVED(demo, store_read_pages) >= demo->pages, "all pages came from the store");
	expect(MOVED(demo, read_bytes) == 0, "read(2) had no part in it");
	expect(NOW(demo, pages_write_failed) + NOW(demo, pages_discarded) +
	       NOW(demo, store_read_errors) + NOW(demo, store_write_errors) == 0,
	       "no error was counted in all of this");
}

const struct step steps[] = {
	{ "copy", run_copy, check_copy },
	{ "sync", run_sync, check_sync },
	{ "evict", run_evict, check_evict },
	{ "search", run_search, check_search },
	{ "again", run_again, check_again },
	{ "change", run_change, check_change },
	{ "wait", run_wait, check_wait },
	{ "msync", run_msync, check_msync },
	{ "evict", run_evict, check_evict },
	{ "read", run_read, check_read },
	{ "map", run_map, check_map },
	{ NULL }
};
