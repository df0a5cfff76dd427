// SPDX-License-Identifier: GPL-2.0
/* The kernel's fault injection for the selftests: see inject.h. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "util.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define MAKE_IT_FAIL	"/proc/thread-self/make-it-fail"

/*
 * By default only what cannot wait for memory fails, and no page of the page cache.  No task is
 * made to fail by these: the percentage is 0, and only marked tasks would be concerned.
 */
static const struct {
	const char *file;
	const char *value;
} settings[] = {
	{ "failslab/ignore-gfp-wait", "N" },
	{ "failslab/task-filter", "Y" },
	{ "fail_page_alloc/ignore-gfp-wait", "N" },
	{ "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "fail_page_alloc/min-order", "0" },
	{ "fail_page_alloc/task-filter", "Y" },
};

/* A stack trace for each failure would look like a bug in the log. */
static void be_quiet(void)
{
	glob_t found;
	size_t i;

	if (glob(DEBUGFS "fail*/verbose", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		file_write(found.gl_pathv[i], getenv("SCOPE_INJECT_VERBOSE") ?: "0");
	globfree(&found);
}

const char *inject_unavailable(void)
{
	static char why[256];
	char path[128];
	unsigned int i;
	int err;

	if (access(FAIL_NTH, W_OK)) {
		snprintf(why, sizeof(why), "needs a kernel with CONFIG_FAULT_INJECTION (%s: %s)",
			 FAIL_NTH, strerror(errno));
		return why;
	}
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s", settings[i].file);
		err = file_write(path, settings[i].value);
		if (!err)
			continue;
		snprintf(why, sizeof(why),
			 "needs debugfs, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAULT_INJECTION_DEBUG_FS (%s: %s)",
			 path, strerror(-err));
		return why;
	}
	be_quiet();
	return NULL;
}

/* A file of this thread, opened once in each process. */
static int own_file(const char *path, int *fd, pid_t *owner)
{
	if (*owner != gettid()) {
		*fd = open(path, O_RDWR | O_CLOEXEC);
		*owner = gettid();
	}
	if (*fd < 0)
		fatal("%s: %m", path);
	return *fd;
}

static int nth_file(void)
{
	static pid_t owner;
	static int fd;

	return own_file(FAIL_NTH, &fd, &owner);
}

void inject_arm(unsigned int nth)
{
	int fd = nth_file();
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, len, 0) != len)
		fatal(FAIL_NTH ": %m");
}

/* Reading and writing the number copies, too: if that is what failed, nothing else was. */
bool inject_disarm(void)
{
	char text[16] = "";
	int fd = nth_file();
	bool taken;

	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		taken = !atoi(text);
	else if (errno == EFAULT)
		taken = false;
	else
		fatal(FAIL_NTH ": %m");
	while (pwrite(fd, "0", 1, 0) != 1) {
		if (errno != EFAULT)
			fatal(FAIL_NTH ": %m");
	}
	return taken;
}

unsigned int inject_left(void)
{
	char text[16] = "";
	int fd = nth_file();

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || pwrite(fd, "0", 1, 0) != 1)
		fatal(FAIL_NTH ": %m");
	return atoi(text);
}

/* The kernel counts down how often it may still make something fail; this is never reached. */
#define TIMES	1000000000

static const char *const kinds[] = { "failslab", "fail_page_alloc" };
#define NR_KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static void set_number(const char *kind, const char *file, int value)
{
	char path[128], text[16];
	int err;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, file);
	snprintf(text, sizeof(text), "%d", value);
	err = file_write(path, text);
	if (err)
		fatal("%s: %s", path, strerror(-err));
}

void inject_percent(int percent)
{
	unsigned int i;

	for (i = 0; i < NR_KINDS; i++) {
		if (percent)
			set_number(kinds[i], "times", TIMES);
		set_number(kinds[i], "probability", percent);
	}
}

unsigned int inject_count(void)
{
	unsigned int i, count = 0;
	char path[128];
	long left;

	for (i = 0; i < NR_KINDS; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/times", kinds[i]);
		left = file_number(path);
		if (left < 0)
			fatal("%s: %ld", path, left);
		count += TIMES - left;
	}
	return count;
}

void inject_me(bool fail)
{
	static pid_t owner;
	static int file;
	int fd = own_file(MAKE_IT_FAIL, &file, &owner);

	if (pwrite(fd, fail ? "1" : "0", 1, 0) != 1)
		fatal(MAKE_IT_FAIL ": %m");
}

int inject_task(pid_t tid, bool fail)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/make-it-fail", tid);
	return file_write(path, fail ? "1" : "0");
}
