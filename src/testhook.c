// SPDX-License-Identifier: GPL-2.0
/*
 * Make a store slow, or make it fail, for the selftests: a file "test_fail" in the device's debugfs
 * directory, only if the module was loaded with test_hooks=1.
 *
 *	OP ERRNO FIRST LAST DELAY_MS
 *
 * OP is read, write or sync.  Each folio of such a request that touches pages FIRST to LAST sleeps
 * for DELAY_MS and then fails with ERRNO, unless that is 0.  There is one rule for each OP; "off"
 * clears all.
 */

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "mmapscope.h"

#define MAX_LINE	128
#define MAX_DELAY_MS	(10 * MSEC_PER_SEC)

static bool scope_test_hooks;
module_param_named(test_hooks, scope_test_hooks, bool, 0444);
MODULE_PARM_DESC(test_hooks, "let debugfs make the store fail, for the selftests (default 0)");

/**
 * struct hook_rule - what happens to a kind of request
 * @active: whether there is a rule
 * @err: errno, positive; 0 to succeed
 * @first: first page that it concerns
 * @last: last one
 * @delay_ms: how long it sleeps first
 */
struct hook_rule {
	bool active;
	unsigned int err;
	unsigned long first;
	unsigned long last;
	unsigned int delay_ms;
};

/**
 * struct scope_testhook - the rules of a device
 * @lock: protects @rules, against half a rule being read
 * @rules: indexed by enum store_op
 */
struct scope_testhook {
	spinlock_t lock;	/* a leaf; protects @rules */
	struct hook_rule rules[STORE_NR_OPS];
};

static const char * const op_names[STORE_NR_OPS] = {
	[STORE_READ] = "read",
	[STORE_WRITE] = "write",
	[STORE_SYNC] = "sync",
};

/* A worker may be woken for somebody else's sake. */
static void sleep_killable(long left)
{
	while (left && !fatal_signal_pending(current))
		left = schedule_timeout_killable(left);
}

/**
 * scope_testhook_run() - do to a request what its rule says
 * @hooks: the device's
 * @op: kind of request
 * @index: first page
 * @nr: how many
 *
 * May sleep; a fatal signal ends the sleep.
 *
 * Return: 0, or a negative errno that the request shall fail with.
 */
int scope_testhook_run(struct scope_testhook *hooks, enum store_op op, pgoff_t index,
		       unsigned long nr)
{
	struct hook_rule rule;

	spin_lock(&hooks->lock);
	rule = hooks->rules[op];
	spin_unlock(&hooks->lock);

	if (!rule.active || index > rule.last || index + nr - 1 < rule.first)
		return 0;
	if (rule.delay_ms)
		sleep_killable(msecs_to_jiffies(rule.delay_ms));
	return -(int)rule.err;
}

static int parse_rule(char *line, struct hook_rule *rule, int *op)
{
	char name[8];
	int end = 0;

	if (sscanf(line, "%7s %u %lu %lu %u%n", name, &rule->err, &rule->first, &rule->last,
		   &rule->delay_ms, &end) != 5 || line[end])
		return -EINVAL;
	*op = match_string(op_names, STORE_NR_OPS, name);
	if (*op < 0 || rule->err > MAX_ERRNO || rule->first > rule->last ||
	    rule->delay_ms > MAX_DELAY_MS)
		return -EINVAL;
	rule->active = true;
	return 0;
}

static ssize_t test_fail_write(struct file *file, const char __user *user, size_t len, loff_t *ppos)
{
	struct scope_device *dev = file_inode(file)->i_private;
	struct scope_testhook *hooks = dev->hooks;
	struct hook_rule rule = {};
	char line[MAX_LINE];
	int op, err;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, user, len))
		return -EFAULT;
	line[len] = '\0';
	strim(line);

	if (!strcmp(line, "off")) {
		spin_lock(&hooks->lock);
		memset(hooks->rules, 0, sizeof(hooks->rules));
		spin_unlock(&hooks->lock);
		return len;
	}
	err = parse_rule(line, &rule, &op);
	if (err)
		return err;
	spin_lock(&hooks->lock);
	hooks->rules[op] = rule;
	spin_unlock(&hooks->lock);
	return len;
}

static int test_fail_show(struct seq_file *m, void *unused)
{
	struct scope_device *dev = m->private;
	struct hook_rule rules[STORE_NR_OPS];
	int op;

	spin_lock(&dev->hooks->lock);
	memcpy(rules, dev->hooks->rules, sizeof(rules));
	spin_unlock(&dev->hooks->lock);
	for (op = 0; op < STORE_NR_OPS; op++) {
		if (rules[op].active)
			seq_printf(m, "%s %u %lu %lu %u\n", op_names[op], rules[op].err,
				   rules[op].first, rules[op].last, rules[op].delay_ms);
	}
	return 0;
}

static int test_fail_open(struct inode *inode, struct file *file)
{
	return single_open(file, test_fail_show, inode->i_private);
}

const struct file_operations scope_testhook_fops = {
	.owner = THIS_MODULE,
	.open = test_fail_open,
	.read = seq_read,
	.write = test_fail_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/**
 * scope_testhook_add() - give a new device rules, if the module was loaded for that
 * @dev: not published yet
 *
 * Return: 0 or -ENOMEM.
 */
int scope_testhook_add(struct scope_device *dev)
{
	if (!scope_test_hooks)
		return 0;
	dev->hooks = kzalloc(sizeof(*dev->hooks), GFP_KERNEL);
	if (!dev->hooks)
		return -ENOMEM;
	spin_lock_init(&dev->hooks->lock);
	return 0;
}

/**
 * scope_testhook_remove() - undo scope_testhook_add()
 * @dev: makes no more requests
 */
void scope_testhook_remove(struct scope_device *dev)
{
	kfree(dev->hooks);
	dev->hooks = NULL;
}
