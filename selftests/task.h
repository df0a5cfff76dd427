/* SPDX-License-Identifier: GPL-2.0 */
/* Something that a test has a thread of its own do, because it will wait. */
#ifndef SELFTESTS_TASK_H
#define SELFTESTS_TASK_H

#include <pthread.h>
#include <stdbool.h>

struct scope_dev;

struct task {
	int (*fn)(struct scope_dev *d);
	struct scope_dev *dev;
	pthread_t thread;
	volatile bool over;
	int ret;
};

void task_begin(struct task *t, int (*fn)(struct scope_dev *d), struct scope_dev *d);
/* Waits for it, and returns what it returned. */
int task_end(struct task *t);

#endif /* SELFTESTS_TASK_H */
