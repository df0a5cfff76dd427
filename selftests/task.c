// SPDX-License-Identifier: GPL-2.0
/* Threads that wait: see task.h. */
#include "task.h"
#include "util.h"

static void *task_thread(void *arg)
{
	struct task *t = arg;

	t->ret = t->fn(t->dev);
	t->over = true;
	return NULL;
}

void task_begin(struct task *t, int (*fn)(struct scope_dev *d), struct scope_dev *d)
{
	*t = (struct task) { .fn = fn, .dev = d };
	if (pthread_create(&t->thread, NULL, task_thread, t))
		fatal("no thread");
}

int task_end(struct task *t)
{
	pthread_join(t->thread, NULL);
	return t->ret;
}
