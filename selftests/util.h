/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the selftests share besides devices: touching memory that may not be there, time, files,
 * settings.  A helper whose work cannot fail in a healthy system says what went wrong and aborts
 * the test; one whose failure is a result returns -errno.
 */
#ifndef SELFTESTS_UTIL_H
#define SELFTESTS_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Runs @fn; the SIGBUS or SIGSEGV that ended it, or 0. */
int try_run(void (*fn)(void *arg), void *arg);
/* The signal that the access got, or 0. */
int try_load(const volatile void *at);
int try_store(volatile void *at, char value);
/* Loads a byte of each page; the sum keeps the compiler from dropping it. */
unsigned int touch_pages(const void *at, long n);
/* Stores the low byte of @value to each page. */
void store_pages(void *at, long n, int value);

/* Time: deadlines are stretched by SCOPE_SLOW, the factor by which the machine is slow. */
int scope_slow(void);
/* A delay for the store's hook in which this machine surely gets to look: at most 10 s. */
int hook_delay(void);
double seconds(void);
void sleep_ms(long ms);

struct wait_state {
	double end;
	bool last;
};

bool wait_more(struct wait_state *w, long ms);
/* Polls until @cond holds: true; false if it does not within @ms (of a fast machine). */
#define wait_for(cond, ms) ({							\
	struct wait_state __w = { 0 };						\
	bool __ok;								\
	while (!(__ok = !!(cond)) && wait_more(&__w, ms))			\
		;								\
	__ok;									\
})

/* The letter after the name in /proc/PID/stat; 0 if there is none. */
char process_state(pid_t pid);

/* Files. */
int file_read(const char *path, char *buf, size_t size);
int file_write(const char *path, const char *text);
long file_number(const char *path);
/* The number after "@key" in a file such as /proc/meminfo, or -1. */
long file_field(const char *path, const char *key);
/* The VMAs of /proc/self/maps that overlap [at, at + len). */
int count_areas(const void *at, size_t len);
/* The kB of @key in the smaps entry of @at, or -1. */
long smaps_kb(const void *at, const char *key);
/* True if the smaps entry of @at has the two-letter VM flag. */
bool smaps_flag(const void *at, const char *flag);

/*
 * Settings under /proc/sys/vm.  All programs run with a flusher that does not wake up by itself, so
 * that what is dirty stays dirty until the test says otherwise; what was there is put back at exit.
 */
void vm_quiet(void);
void vm_set(const char *name, long value);
long vm_get(const char *name);
void scope_init(void);

/* Runs @fn in a child; its exit status, or 128 + the signal that ended it. */
int in_child(int (*fn)(void *), void *arg);

void __attribute__((noreturn, format(printf, 3, 4)))
fatal_at(const char *file, int line, const char *fmt, ...);
#define fatal(...)	fatal_at(__FILE__, __LINE__, __VA_ARGS__)

#endif /* SELFTESTS_UTIL_H */
