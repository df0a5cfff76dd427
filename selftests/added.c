// SPDX-License-Identifier: GPL-2.0
/*
 * pages_added and pages_evicted against the kernel's own tracepoints at the page cache.  Nothing
 * that a program can see names the device's inode, so the first event, for a page that only we
 * touch, tells its numbers; all further events are filtered by them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define TRACING		"/sys/kernel/tracing"
#define PAGES		2048
#define ODD_PAGE	1777

FIXTURE(added) {
	struct scope_dev dev;
	char dir[128];		/* our instance of tracefs */
	unsigned long ino;
	unsigned int major, minor;
};

static const char *const events[] = {
	"mm_filemap_add_to_page_cache",
	"mm_filemap_delete_from_page_cache",
};

static int trace_write(const char *dir, const char *file, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return file_write(path, text);
}

/* Opening for writing with O_TRUNC is what clears it. */
static int trace_clear(const char *dir)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/trace", dir);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	return fd < 0 ? -errno : close(fd);
}

static int set_events(const char *dir, const char *filter, const char *enable)
{
	char file[128];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(events) && !ret; i++) {
		snprintf(file, sizeof(file), "events/filemap/%s/filter", events[i]);
		ret = trace_write(dir, file, filter);
		snprintf(file, sizeof(file), "events/filemap/%s/enable", events[i]);
		if (!ret)
			ret = trace_write(dir, file, enable);
	}
	return ret;
}

struct line {
	unsigned long ino, ofs;
	unsigned int major, minor;
	long pages;
};

/* "...: mm_filemap_add_to_page_cache: dev 0:51 ino 200 pfn=0x1 ofs=4096 order=0" */
static bool parse(const char *text, const char *event, struct line *l)
{
	const char *at = strstr(text, event), *order;

	if (!at)
		return false;
	at = strstr(at, "dev ");
	if (!at || sscanf(at, "dev %u:%u ino %lx", &l->major, &l->minor, &l->ino) != 3)
		return false;
	order = strstr(at, "order=");
	l->pages = 1L << (order ? atoi(order + 6) : 0);
	at = strstr(at, "ofs=");
	l->ofs = at ? strtoul(at + 4, NULL, 10) : 0;
	return true;
}

/* Pages in the events of this kind since the trace was cleared; -1 if some were lost. */
static long traced(FIXTURE_DATA(added) *self, const char *event)
{
	char path[300], text[1024];
	unsigned long in_buffer = 0, written = 0;
	struct line l;
	long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/trace", self->dir);
	f = fopen(path, "re");
	if (!f)
		fatal("%s: %m", path);
	while (fgets(text, sizeof(text), f)) {
		if (!strncmp(text, "# entries-in-buffer", 19))
			sscanf(text, "# entries-in-buffer/entries-written: %lu/%lu", &in_buffer,
			       &written);
		if (parse(text, event, &l) && l.ino == self->ino && l.major == self->major &&
		    l.minor == self->minor)
			n += l.pages;
	}
	fclose(f);
	return in_buffer == written ? n : -1;
}

static bool find_inode(FIXTURE_DATA(added) *self)
{
	char path[300], text[1024];
	struct line l;
	bool found = false;
	FILE *f;

	touch_pages(dev_map_random(&self->dev, ODD_PAGE, 1, PROT_READ), 1);
	snprintf(path, sizeof(path), "%s/trace", self->dir);
	f = fopen(path, "re");
	while (f && fgets(text, sizeof(text), f)) {
		if (!parse(text, events[0], &l) ||
		    l.ofs != (unsigned long)ODD_PAGE * self->dev.page)
			continue;
		/* Twice would mean that somebody else reads at the same offset. */
		if (found && (l.ino != self->ino || l.minor != self->minor))
			fatal("two inodes with an event for page %d", ODD_PAGE);
		self->ino = l.ino;
		self->major = l.major;
		self->minor = l.minor;
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

FIXTURE_SETUP(added)
{
	char filter[128];

	NEED_DEVICES();
	vm_quiet();
	snprintf(self->dir, sizeof(self->dir), TRACING "/instances/scope%d", getpid());
	if (mkdir(self->dir, 0700) || set_events(self->dir, "0", "1")) {
		rmdir(self->dir);
		SKIP_SETUP("no tracepoints of the page cache in " TRACING);
	}
	trace_write(self->dir, "buffer_size_kb", "4096");
	dev_create(&self->dev, "ram", PAGES * sysconf(_SC_PAGESIZE), 0);
	ASSERT_TRUE(find_inode(self)) {
		TH_LOG("no event for a page that was just read");
	}
	snprintf(filter, sizeof(filter), "i_ino == %lu && s_dev == %u", self->ino,
		 self->major << 20 | self->minor);
	ASSERT_EQ(0, set_events(self->dir, filter, "1"));
	dev_evict(&self->dev);
	ASSERT_EQ(0, trace_clear(self->dir));
	stats_mark(&self->dev);
}

FIXTURE_TEARDOWN(added)
{
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
	set_events(self->dir, "0", "0");
	EXPECT_EQ(0, rmdir(self->dir));
}

#define EXPECT_AGREES() do {							\
	EXPECT_EQ(moved(&self->dev, pages_added), traced(self, events[0]));	\
	EXPECT_EQ(moved(&self->dev, pages_evicted) +				\
		  moved(&self->dev, pages_discarded), traced(self, events[1]));	\
} while (0)

TEST_F(added, random_faults)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ);
	long i;

	for (i = 0; i < PAGES; i += 5)
		touch_pages(p + i * self->dev.page, 1);
	EXPECT_EQ((PAGES + 4) / 5, moved(&self->dev, pages_added));
	EXPECT_AGREES();
}

TEST_F(added, sequential_scan_and_evict)
{
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);

	touch_pages(p, PAGES);
	EXPECT_AGREES();
	dev_evict(&self->dev);
	touch_pages(p, PAGES);
	EXPECT_EQ(2 * PAGES, moved(&self->dev, pages_added));
	EXPECT_AGREES();
}

TEST_F(added, read_and_write)
{
	char *buf = calloc(100, self->dev.page);

	ASSERT_LT(0, pread(self->dev.fd, buf, 10 * self->dev.page, 0));
	ASSERT_LT(0, pwrite(self->dev.fd, buf, 100 * self->dev.page, 50 * self->dev.page));
	ASSERT_EQ(3, pwrite(self->dev.fd, buf, 3, 500 * self->dev.page));
	EXPECT_AGREES();
	free(buf);
}

/* Newer kernels have added the page when they find that the memory is bad, but it holds nothing. */
TEST_F(added, writes_that_fail)
{
	char *gone = mmap(NULL, self->dev.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char byte = 1;
	int i;

	/* One page at a time, whether the write has added it or the read does. */
	dev_readahead(&self->dev, 0);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-1, pwrite(self->dev.fd, gone, self->dev.page, 0));
	EXPECT_AGREES();
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(1, pread(self->dev.fd, &byte, 1, 0));
	EXPECT_EQ(0, byte);
	EXPECT_EQ(1, moved(&self->dev, pages_added));
	EXPECT_AGREES();
	munmap(gone, self->dev.page);
}

TEST_F(added, reads_that_fail)
{
	char *p = dev_map_random(&self->dev, 0, 16, PROT_READ), byte;
	int i;

	NEED_HOOK(&self->dev);
	dev_hook(&self->dev, "read 5 3 6 0");
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(SIGBUS, try_load(p + 3 * self->dev.page));
		EXPECT_EQ(-1, pread(self->dev.fd, &byte, 1, 4 * self->dev.page));
		EXPECT_EQ(-1, pwrite(self->dev.fd, "x", 1, 5 * self->dev.page));
	}
	ASSERT_EQ(0, posix_fadvise(self->dev.fd, 0, 16 * self->dev.page, POSIX_FADV_WILLNEED));
	EXPECT_AGREES();
	dev_hook(&self->dev, "off");
	touch_pages(p, 16);
	EXPECT_AGREES();
	dev_evict(&self->dev);
	EXPECT_AGREES();
}

TEST_F(added, punch)
{
	char *p = dev_map_random(&self->dev, 0, PAGES, PROT_READ | PROT_WRITE);

	store_pages(p, 64, 1);
	touch_pages(p, 128);
	ASSERT_EQ(0, dev_punch(&self->dev, 32, 64));
	EXPECT_AGREES();
}

static void *scan(void *arg)
{
	struct scope_dev *d = arg;
	char *p = mmap(NULL, PAGES * d->page, PROT_READ, MAP_SHARED, d->fd, 0);
	int round;

	for (round = 0; round < 4; round++) {
		touch_pages(p, PAGES);
		dev_evict_ioctl(d->fd, 0, 0, 0, NULL);
	}
	munmap(p, PAGES * d->page);
	return NULL;
}

TEST_F(added, threads_that_race)
{
	pthread_t thread[3];
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, scan, &self->dev));
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	EXPECT_LE(PAGES, moved(&self->dev, pages_added));
	EXPECT_AGREES();
}

SCOPE_MAIN
