// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/mmapscope: what a shell can read.  Everything here has an ioctl twin.
 *
 * debugfs keeps a directory that is removed until calls into its files are over, so that a file
 * needs no reference to its device.  Failing to create something here fails nothing else: debugfs
 * may be off or locked down.
 */

#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "mmapscope.h"

static struct dentry *debugfs_root;

static int stats_show(struct seq_file *m, void *unused)
{
	u64 values[MMAPSCOPE_NR_STATS];
	unsigned int i;

	scope_stats_read(m->private, values);
	for (i = 0; i < MMAPSCOPE_NR_STATS; i++)
		seq_printf(m, "%s %llu\n", scope_stat_names[i], values[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int policy_show(struct seq_file *m, void *unused)
{
	unsigned int id;

	for (id = 0; id < MMAPSCOPE_NR_POLICIES; id++)
		seq_printf(m, "%s %llu\n", scope_policy_name(id), scope_policy_get(m->private, id));
	return 0;
}

static int policy_open(struct inode *inode, struct file *file)
{
	return single_open(file, policy_show, inode->i_private);
}

/* One line "name value". */
static ssize_t policy_write(struct file *file, const char __user *user, size_t len, loff_t *ppos)
{
	char line[64], *name, *value = line;
	u64 number;
	int id, err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, user, len))
		return -EFAULT;
	line[len] = '\0';
	name = strsep(&value, " ");
	if (!value || kstrtou64(strim(value), 0, &number))
		return -EINVAL;
	id = scope_policy_find(name);
	if (id < 0)
		return id;
	err = scope_policy_set(file_inode(file)->i_private, id, number);
	return err ?: len;
}

static const struct file_operations policy_fops = {
	.owner = THIS_MODULE,
	.open = policy_open,
	.read = seq_read,
	.write = policy_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t reset_write(struct file *file, const char __user *user, size_t len, loff_t *ppos)
{
	unsigned int value;
	int err = kstrtouint_from_user(user, len, 0, &value);

	if (err)
		return err;
	if (value != 1)
		return -EINVAL;
	scope_stats_reset(file->private_data);
	return len;
}

static const struct file_operations reset_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = reset_write,
	.llseek = noop_llseek,
};

/**
 * scope_debugfs_add() - make a device's directory
 * @dev: has its name and everything that can be read
 */
void scope_debugfs_add(struct scope_device *dev)
{
	dev->debugfs = debugfs_create_dir(dev->name, debugfs_root);
	debugfs_create_file("stats", 0400, dev->debugfs, dev, &stats_fops);
	debugfs_create_file("reset", 0200, dev->debugfs, dev, &reset_fops);
	debugfs_create_file("policy", 0600, dev->debugfs, dev, &policy_fops);
	if (dev->hooks)
		debugfs_create_file("test_fail", 0600, dev->debugfs, dev, &scope_testhook_fops);
}

/**
 * scope_debugfs_remove() - remove a device's directory, and wait for its readers
 * @dev: the device
 */
void scope_debugfs_remove(struct scope_device *dev)
{
	debugfs_remove(dev->debugfs);
}

void scope_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir(SCOPE_NAME, NULL);
}

void scope_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}
