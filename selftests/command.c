// SPDX-License-Identifier: GPL-2.0
/*
 * The mmapscope command on a device: that it does what the ioctls say, and says so.  What needs no
 * device is tested in tools/tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256
#define N	16
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(command) {
	struct scope_dev dev;
	char folder[32];	/* what the command printed, and other files */
	char out[8192];
	char err[1024];
};

FIXTURE_SETUP(command)
{
	NEED_DEVICES();
	if (system("mmapscope --version >/dev/null 2>&1"))
		SKIP_SETUP("there is no command mmapscope in PATH");
	vm_quiet();
	strcpy(self->folder, "/tmp/command.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	dev_create(&self->dev, "ram", PAGES * sysconf(_SC_PAGESIZE), 0);
	setenv("DEV", self->dev.name, true);
	setenv("NODE", self->dev.node, true);
	setenv("FOLDER", self->folder, true);
}

FIXTURE_TEARDOWN(command)
{
	if (system("rm -rf \"$FOLDER\""))
		TH_LOG("%s stays", self->folder);
	if (dev_has_hook(&self->dev))
		dev_hook(&self->dev, "off");
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

static void read_output(FIXTURE_DATA(command) *self, const char *name, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", self->folder, name);
	if (file_read(path, text, size) < 0)
		fatal("%s: %m", path);
}

/* Runs a line of shell, which finds the device as $DEV and $NODE; its exit code. */
static int __attribute__((format(printf, 2, 3)))
run(FIXTURE_DATA(command) *self, const char *format, ...)
{
	char line[512], whole[640];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "{ %s ; } >\"$FOLDER/out\" 2>\"$FOLDER/err\"", line);
	status = system(whole);
	if (!WIFEXITED(status))
		fatal("%s: wait status %d", line, status);
	read_output(self, "out", self->out, sizeof(self->out));
	read_output(self, "err", self->err, sizeof(self->err));
	return WEXITSTATUS(status);
}

/* Done, and nothing more to say. */
#define EXPECT_SILENT(...) do {							\
	EXPECT_EQ(0, run(self, __VA_ARGS__));					\
	EXPECT_STREQ("", self->out);						\
	EXPECT_STREQ("", self->err);						\
} while (0)

#define EXPECT_PRINTS(text, ...) do {						\
	EXPECT_EQ(0, run(self, __VA_ARGS__));					\
	EXPECT_STREQ(text, self->out);						\
	EXPECT_STREQ("", self->err);						\
} while (0)

/* The exit code 1, and one line that has both words. */
#define EXPECT_FAILS(what, why, ...) do {					\
	EXPECT_EQ(1, run(self, __VA_ARGS__));					\
	EXPECT_STREQ("", self->out);						\
	EXPECT_NE(NULL, strstr(self->err, what)) {				\
		TH_LOG("%s", self->err);					\
	}									\
	EXPECT_NE(NULL, strstr(self->err, why)) {				\
		TH_LOG("%s", self->err);					\
	}									\
} while (0)

/* The number after "key" in JSON on one line, or -1. */
static long long json_field(const char *text, const char *key)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(text, quoted);
	return at ? strtoll(at + strlen(quoted), NULL, 10) : -1;
}

/* The number after the word, at the beginning of a line, or -1. */
static long long text_field(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; text; text = strchr(text, '\n'), text = text ? text + 1 : NULL) {
		if (!strncmp(text, key, len) && text[len] == ' ')
			return strtoll(text + len, NULL, 10);
	}
	return -1;
}

TEST_F(command, stat_is_what_the_ioctl_says)
{
	__u64 values[MMAPSCOPE_NR_STATS];
	unsigned int i;

	store_pages(dev_map(&self->dev, 0, PAGES, RW), N, 1);
	stats_read(&self->dev, values);
	ASSERT_EQ(0, run(self, "mmapscope -J stat $DEV"));
	EXPECT_STREQ("", self->err);
	EXPECT_EQ('{', self->out[0]);
	EXPECT_NE(NULL, strstr(self->out, self->dev.name));
	EXPECT_EQ('\n', *(strrchr(self->out, '}') + 1));
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		EXPECT_EQ((long long)values[i], json_field(self->out, stats_name(i))) {
			TH_LOG("%s", stats_name(i));
		}
	}
	ASSERT_EQ(0, run(self, "mmapscope stat $NODE"));
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++) {
		EXPECT_EQ((long long)values[i], text_field(self->out, stats_name(i))) {
			TH_LOG("%s", stats_name(i));
		}
	}
}

TEST_F(command, reset)
{
	store_pages(dev_map(&self->dev, 0, PAGES, RW), N, 1);
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_SILENT("mmapscope reset $DEV");
	self->dev.was_reset = true;
	EXPECT_EQ(0, now(&self->dev, pages_cleaned));
}

TEST_F(command, sync_writes)
{
	store_pages(dev_map(&self->dev, 0, PAGES, RW), N, 1);
	EXPECT_LE(N, now(&self->dev, pages_dirty));
	EXPECT_SILENT("mmapscope sync $DEV");
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_LE(1, moved(&self->dev, store_sync_ops));
}

TEST_F(command, sync_says_what_failed)
{
	if (!dev_has_hook(&self->dev))
		SKIP(return, "needs the module loaded with test_hooks=1");
	store_pages(dev_map(&self->dev, 0, PAGES, RW), N, 1);
	dev_hook(&self->dev, "write 5 0 0 0");
	EXPECT_FAILS(self->dev.node, "nothing was dropped", "mmapscope evict $DEV");
	EXPECT_FAILS(self->dev.node, "could not be written to the store", "mmapscope sync $DEV");
	dev_hook(&self->dev, "off");
	EXPECT_SILENT("mmapscope sync $DEV");
	EXPECT_EQ(-1, fsync(self->dev.fd));
}

TEST_F(command, evict_says_what_went)
{
	char *p = dev_map(&self->dev, 0, PAGES, RW);

	touch_pages(p, PAGES);
	ASSERT_EQ(0, run(self, "mmapscope -J evict $DEV"));
	EXPECT_EQ(PAGES, json_field(self->out, "evicted"));
	EXPECT_EQ(0, json_field(self->out, "remaining"));
	EXPECT_EQ(0, now(&self->dev, pages_cached));
	store_pages(p, PAGES, 3);
	ASSERT_EQ(0, run(self, "mmapscope evict --no-write $DEV"));
	EXPECT_EQ(PAGES, text_field(self->out, "remaining"));
	EXPECT_EQ(PAGES, now(&self->dev, pages_dirty));
	ASSERT_EQ(0, run(self, "mmapscope evict --range 0:%ld $DEV", PAGES / 2 * self->dev.page));
	if (dev_single_pages(&self->dev))
		EXPECT_EQ(PAGES / 2, text_field(self->out, "evicted"));
	EXPECT_EQ(3, p[0]);
}

TEST_F(command, punch)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, PAGES, RW);

	store_pages(p, PAGES, 3);
	EXPECT_SILENT("mmapscope punch $DEV --range %ld:%ld", N * page, 2 * N * page);
	EXPECT_EQ(3, p[(N - 1) * page]);
	EXPECT_EQ(0, p[N * page]);
	EXPECT_EQ(0, p[(3 * N - 1) * page]);
	EXPECT_EQ(3, p[3 * N * page]);
	EXPECT_EQ(PAGES - 2 * N, now(&self->dev, store_pages));
	EXPECT_FAILS(self->dev.node, "not inside of the device",
		     "mmapscope punch $DEV --range %ld:%ld", (PAGES - 1) * page, 2 * page);
}

TEST_F(command, resize)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, PAGES, RW);

	store_pages(p, PAGES, 3);
	EXPECT_SILENT("mmapscope resize $DEV %ld", N * page);
	EXPECT_EQ(N * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(SIGBUS, try_load(p + N * page));
	EXPECT_SILENT("mmapscope resize $NODE %ldK", PAGES * page >> 10);
	EXPECT_EQ(PAGES * page, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(3, p[(N - 1) * page]);
	EXPECT_EQ(0, p[N * page]);
	ASSERT_EQ(0, run(self, "mmapscope -J list | tr '{' '\\n' | grep '\"%s\"'", self->dev.name));
	EXPECT_EQ(PAGES * page, json_field(self->out, "size"));
}

TEST_F(command, policy)
{
	struct mmapscope_policy policy = {
		.size = sizeof(policy),
		.id = MMAPSCOPE_POLICY_large_folio_kb,
	};
	long page_kb = self->dev.page >> 10;
	char expected[64];

	EXPECT_SILENT("mmapscope policy set $DEV large_folio_kb=0");
	EXPECT_TRUE(dev_single_pages(&self->dev));
	EXPECT_PRINTS("large_folio_kb 0\n", "mmapscope policy get $DEV large_folio_kb");
	EXPECT_FAILS(self->dev.node, "large_folio_kb must be",
		     "mmapscope policy set $DEV large_folio_kb=3");
	/* What is in force is told where it is not what was asked for. */
	snprintf(expected, sizeof(expected), "large_folio_kb 0 (%ld was asked for)\n", page_kb);
	EXPECT_PRINTS(expected, "mmapscope policy set $DEV large_folio_kb=%ld", page_kb);
	/* That may be more, or nothing at all. */
	ASSERT_EQ(0, run(self, "mmapscope policy set $DEV large_folio_kb=%ld", 4 * page_kb));
	ASSERT_EQ(0, ioctl(self->dev.fd, MMAPSCOPE_IOC_POLICY, &policy));
	ASSERT_EQ(0, run(self, "mmapscope -J policy get $DEV large_folio_kb"));
	EXPECT_EQ((long long)policy.value, json_field(self->out, "large_folio_kb"));
}

/* fallocate(1) is refused by the kernel for a node. */
TEST_F(command, file_is_a_file_for_programs)
{
	long page = self->dev.page;
	char expected[64];

	EXPECT_NE(0, run(self, "fallocate -l %ld $NODE", N * page));
	EXPECT_SILENT("mmapscope file $DEV -- fallocate -l %ld {}", N * page);
	EXPECT_EQ(N, now(&self->dev, store_pages));
	snprintf(expected, sizeof(expected), "regular file %ld\n", PAGES * page);
	EXPECT_PRINTS(expected, "mmapscope file $DEV -- stat -L -c '%%F %%s' {}");
	/* Its size is not theirs to change. */
	EXPECT_EQ(1, run(self, "mmapscope file $DEV -- truncate -s 0 {}"));
	EXPECT_NE(NULL, strstr(self->err, "Operation not permitted"));
	EXPECT_EQ(PAGES * page, lseek(self->dev.fd, 0, SEEK_END));
}

TEST_F(command, file_is_coherent_with_the_device)
{
	char *p = dev_map(&self->dev, 0, PAGES, RW);

	p[5] = 'a';
	p[(PAGES - 1) * self->dev.page] = 'z';
	EXPECT_SILENT("mmapscope file $DEV -- cp {} \"$FOLDER/copy\"");
	EXPECT_SILENT("cmp $NODE \"$FOLDER/copy\"");
	EXPECT_EQ(0, run(self, "printf hello | mmapscope file $DEV -- dd of={} seek=5 %s",
			 "bs=1 conv=notrunc"));
	EXPECT_EQ(0, memcmp(p + 5, "hello", 5));
	/* cp(1) would make a file empty first. */
	EXPECT_SILENT("mmapscope file $DEV -- cp \"$FOLDER/copy\" {}");
	EXPECT_EQ('a', p[5]);
	EXPECT_EQ(0, p[6]);
	EXPECT_EQ('z', p[(PAGES - 1) * self->dev.page]);
	/* syncfs(2) of it is of the device. */
	EXPECT_LT(0, now(&self->dev, pages_dirty));
	EXPECT_SILENT("mmapscope file $DEV -- sync -f {}");
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

TEST_F(command, file_is_found_and_tells_the_exit_code)
{
	char *found;

	EXPECT_PRINTS("/proc/self/fd/3\n", "mmapscope file $DEV -- sh -c 'echo $MMAPSCOPE_FILE'");
	EXPECT_PRINTS("a/proc/self/fd/3b\n", "mmapscope file $DEV -- echo a{}b");
	EXPECT_EQ(7, run(self, "mmapscope file $DEV -- sh -c 'exit 7'"));
	EXPECT_FAILS("no-such-program", "No such file", "mmapscope file $DEV -- no-such-program");
	/* The descriptor is there as well, and nothing else of the device. */
	EXPECT_SILENT("mmapscope file $DEV -- sh -c 'printf x >&3'");
	EXPECT_EQ('x', *dev_map(&self->dev, 0, 1, PROT_READ));
	ASSERT_EQ(0, run(self, "mmapscope file $DEV -- ls -l /proc/self/fd"));
	found = strstr(self->out, self->dev.name);
	ASSERT_NE(NULL, found);
	EXPECT_EQ(NULL, strstr(found + 1, self->dev.name));
}

/* Who has only that, and no node, keeps the device as well. */
TEST_F(command, remove_says_who_has_it_as_a_file)
{
	struct mmapscope_file file = { .size = sizeof(file) };
	char holder[32];
	int ready[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		if (ioctl(self->dev.fd, MMAPSCOPE_IOC_FILE, &file) < 0)
			_exit(1);
		close(self->dev.fd);
		close(ready[0]);
		close(ready[1]);
		pause();
		_exit(0);
	}
	close(ready[1]);
	EXPECT_EQ(0, read(ready[0], holder, 1));
	close(ready[0]);
	EXPECT_FAILS("in use", "--force", "mmapscope remove $DEV");
	snprintf(holder, sizeof(holder), "process %d (command): open\n", pid);
	EXPECT_NE(NULL, strstr(self->err, holder)) {
		TH_LOG("%s", self->err);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(command, file_can_be_read_only)
{
	EXPECT_SILENT("mmapscope file --read-only $DEV -- cmp -n 100 {} $NODE");
	EXPECT_NE(0, run(self, "mmapscope file --read-only $DEV -- sh -c 'printf x >&3'"));
	EXPECT_EQ(0, *dev_map(&self->dev, 0, 1, PROT_READ));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

SCOPE_MAIN
