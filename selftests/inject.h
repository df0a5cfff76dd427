/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making the kernel's allocations and copies from and to user memory fail: in this thread only, the
 * nth of them or a percentage.  What other tasks do for this one, the flusher above all, is not
 * touched by the first; inject_task() reaches them.
 */
#ifndef SELFTESTS_INJECT_H
#define SELFTESTS_INJECT_H

#include <stdbool.h>
#include <sys/types.h>

/* Why this kernel cannot do that, or NULL; then the settings are as is needed. */
const char *inject_unavailable(void);

/* From now on the nth (1, 2...) chance to fail in this thread is taken, and no other. */
void inject_arm(unsigned int nth);
/* Ends that.  True if something was made to fail: there were at least that many chances. */
bool inject_disarm(void);
/* Likewise, of a number that was too large for anything to fail: what is left of it. */
unsigned int inject_left(void);

/* How many of 100 allocations fail in the tasks that are marked; copies succeed. */
void inject_percent(int percent);
/* How many allocations were made to fail since inject_percent() set a percentage. */
unsigned int inject_count(void);
/* Marks or unmarks this thread, or another task. */
void inject_me(bool fail);
int inject_task(pid_t tid, bool fail);

#endif /* SELFTESTS_INJECT_H */
