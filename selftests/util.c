// SPDX-License-Identifier: GPL-2.0
/* Helpers of the selftests: see util.h. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "util.h"

#define QUIET_CENTISECS	1000000

void fatal_at(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "# %s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

/* --- time --- */

int scope_slow(void)
{
	const char *text = getenv("SCOPE_SLOW");
	int slow = text ? atoi(text) : 1;

	return slow > 0 ? slow : 1;
}

int hook_delay(void)
{
	int ms = 600 * scope_slow();

	return ms < 10000 ? ms : 10000;
}

double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

bool wait_more(struct wait_state *w, long ms)
{
	/* One more look after the deadline: this process may have been what was late. */
	if (w->last)
		return false;
	if (!w->end)
		w->end = seconds() + ms / 1000.0 * scope_slow();
	else if (seconds() > w->end)
		w->last = true;
	sleep_ms(5);
	return true;
}

/* --- files --- */

int file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;
	int ret;

	if (fd < 0)
		return -errno;
	while (used < size - 1) {
		n = read(fd, buf + used, size - 1 - used);
		if (n <= 0)
			break;
		used += n;
	}
	ret = n < 0 ? -errno : (int)used;
	buf[used] = 0;
	close(fd);
	return ret;
}

char process_state(pid_t pid)
{
	char path[64], text[512];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(path, text, sizeof(text)) < 0)
		return 0;
	at = strrchr(text, ')');
	return at ? at[2] : 0;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

long file_number(const char *path)
{
	char text[64];

	return file_read(path, text, sizeof(text)) > 0 ? strtol(text, NULL, 0) : -1;
}

long file_field(const char *path, const char *key)
{
	char line[256];
	long value = -1;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)) && strchr(": \t", line[strlen(key)])) {
			value = strtol(line + strlen(key) + 1, NULL, 10);
			break;
		}
	}
	if (f)
		fclose(f);
	return value;
}

int count_areas(const void *at, size_t len)
{
	unsigned long first = (unsigned long)at, last = first + len, from, to;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	if (!f)
		fatal("/proc/self/maps: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from < last && to > first)
			n++;
	fclose(f);
	return n;
}

static bool smaps_line(const void *at, const char *key, char *line, size_t size)
{
	unsigned long want = (unsigned long)at, from, to;
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false, found = false;

	while (f && !found && fgets(line, size, f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= want && want < to;
		else
			found = inside && !strncmp(line, key, strlen(key)) &&
				line[strlen(key)] == ':';
	}
	if (f)
		fclose(f);
	return found;
}

long smaps_kb(const void *at, const char *key)
{
	char line[512];

	return smaps_line(at, key, line, sizeof(line)) ? atol(line + strlen(key) + 1) : -1;
}

bool smaps_flag(const void *at, const char *flag)
{
	char line[512], word[8];

	snprintf(word, sizeof(word), " %s", flag);
	return smaps_line(at, "VmFlags", line, sizeof(line)) && strstr(line, word);
}

/* --- settings --- */

static const struct {
	const char *name;
	long quiet;		/* or -1 */
} vm_setting[] = {
	/* The interval first: changing it wakes the flusher up. */
	{ "dirty_writeback_centisecs", QUIET_CENTISECS },
	{ "dirty_expire_centisecs", QUIET_CENTISECS },
	{ "dirty_background_ratio", -1 },
	{ "dirty_background_bytes", -1 },
	{ "dirty_ratio", -1 },
	{ "dirty_bytes", -1 },
};

#define VM_SETTINGS	(sizeof(vm_setting) / sizeof(vm_setting[0]))

static long vm_saved[VM_SETTINGS];
static pid_t vm_owner;

long vm_get(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	return file_number(path);
}

void vm_set(const char *name, long value)
{
	char path[128], text[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	snprintf(text, sizeof(text), "%ld\n", value);
	ret = file_write(path, text);
	if (ret)
		fatal("%s: %s", path, strerror(-ret));
}

static void vm_restore(void)
{
	unsigned int i;

	/* A limit in bytes and one in percent exclude each other: 0 means the other one counts. */
	for (i = 0; i < VM_SETTINGS; i++)
		if (vm_saved[i] > 0 && vm_get(vm_setting[i].name) != vm_saved[i])
			vm_set(vm_setting[i].name, vm_saved[i]);
}

void vm_quiet(void)
{
	unsigned int i;

	vm_restore();
	for (i = 0; i < VM_SETTINGS; i++)
		if (vm_setting[i].quiet >= 0)
			vm_set(vm_setting[i].name, vm_setting[i].quiet);
}

static void vm_at_exit(void)
{
	if (getpid() == vm_owner)
		vm_restore();
}

void scope_init(void)
{
	unsigned int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid() || access(CONTROL_NODE, W_OK))
		return;
	for (i = 0; i < VM_SETTINGS; i++)
		vm_saved[i] = vm_get(vm_setting[i].name);
	vm_owner = getpid();
	atexit(vm_at_exit);
}

/* --- memory --- */

static __thread sigjmp_buf trap_env;
static __thread volatile sig_atomic_t trap_armed;

static void trap_handler(int sig)
{
	if (!trap_armed) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	siglongjmp(trap_env, sig);
}

static void trap_install(void)
{
	struct sigaction sa = { .sa_handler = trap_handler, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

int try_run(void (*fn)(void *arg), void *arg)
{
	int sig;

	trap_install();
	sig = sigsetjmp(trap_env, 1);
	if (!sig) {
		trap_armed = 1;
		fn(arg);
	}
	trap_armed = 0;
	return sig;
}

struct access {
	volatile char *at;
	char value;
};

static void load_byte(void *arg)
{
	(void)*((struct access *)arg)->at;
}

static void store_byte(void *arg)
{
	struct access *a = arg;

	*a->at = a->value;
}

int try_load(const volatile void *at)
{
	struct access a = { .at = (volatile char *)at };

	return try_run(load_byte, &a);
}

int try_store(volatile void *at, char value)
{
	struct access a = { .at = at, .value = value };

	return try_run(store_byte, &a);
}

unsigned int touch_pages(const void *at, long n)
{
	long i, page = sysconf(_SC_PAGESIZE);
	unsigned int sum = 0;

	for (i = 0; i < n; i++)
		sum += ((const volatile unsigned char *)at)[i * page];
	return sum;
}

void store_pages(void *at, long n, int value)
{
	long i, page = sysconf(_SC_PAGESIZE);

	for (i = 0; i < n; i++)
		((volatile char *)at)[i * page] = value;
}

int in_child(int (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		fatal("fork: %s", strerror(errno));
	if (!pid)
		_exit(fn(arg));
	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
