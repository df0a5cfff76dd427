// SPDX-License-Identifier: GPL-2.0
/* The dispatcher, and the commands of a device's own node; control.c has the control node's. */

#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "mmapscope.h"

/* How every struct begins. */
struct ioctl_header {
	u32 size;
	u32 flags;
};

static const struct scope_ioctl *find_command(const struct scope_ioctl *table, size_t nr,
					      unsigned int cmd)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (table[i].cmd == cmd)
			return &table[i];
	}
	return NULL;
}

static int check_rights(const struct scope_ioctl *command, const struct file *file)
{
	if ((command->needs & SCOPE_NEEDS_ADMIN) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if ((command->needs & SCOPE_NEEDS_WRITE) && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	return 0;
}

/**
 * scope_ioctl_dispatch() - find a command, check what it is given, run it
 * @table: the node's commands
 * @nr: how many
 * @file: the node
 * @cmd: from user space
 * @arg: from user space: pointer to the struct
 *
 * Return: what the command returned, or an errno with the meaning that the UAPI header gives it.
 */
long scope_ioctl_dispatch(const struct scope_ioctl *table, size_t nr, struct file *file,
			  unsigned int cmd, unsigned long arg)
{
	const struct scope_ioctl *command = find_command(table, nr, cmd);
	void __user *user = (void __user *)arg;
	u64 buffer[SCOPE_IOCTL_MAX_SIZE / sizeof(u64)];
	struct ioctl_header *header = (void *)buffer;
	size_t copied_back;
	u32 size;
	int err;

	if (!command)
		return -ENOTTY;
	err = check_rights(command, file);
	if (err)
		return err;
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < command->min_size)
		return -EINVAL;
	/* Nobody needs to be able to make the kernel look for zeros in gigabytes. */
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(buffer, command->size, user, size);
	if (err)
		return err;
	if (header->flags & ~command->flags)
		return -EINVAL;
	/* A command that will not be able to say what it did must not do it. */
	copied_back = command->returns ? min_t(size_t, size, command->size) : 0;
	if (copy_to_user(user, buffer, copied_back))
		return -EFAULT;
	err = command->run(file, buffer);
	if (err < 0)
		return err;
	/* The size stays the caller's own. */
	header->size = size;
	return copy_to_user(user, buffer, copied_back) ? -EFAULT : err;
}

static int run_info(struct file *file, void *arg)
{
	struct mmapscope_info *info = arg;

	scope_device_info(file->private_data, info);
	return 0;
}

static int run_stats(struct file *file, void *arg)
{
	struct mmapscope_stats *stats = arg;
	u64 values[MMAPSCOPE_NR_STATS];
	u32 room = stats->count;

	if (stats->__reserved)
		return -EINVAL;
	scope_stats_read(file->private_data, values);
	stats->count = MMAPSCOPE_NR_STATS;
	return copy_to_user(u64_to_user_ptr(stats->values), values,
			    min_t(size_t, room, MMAPSCOPE_NR_STATS) * sizeof(u64)) ? -EFAULT : 0;
}

static int run_reset(struct file *file, void *arg)
{
	scope_stats_reset(file->private_data);
	return 0;
}

static int run_evict(struct file *file, void *arg)
{
	return scope_evict(file, arg);
}

static int run_punch(struct file *file, void *arg)
{
	struct mmapscope_punch *punch = arg;

	if (!IS_ALIGNED(punch->offset | punch->length, PAGE_SIZE))
		return -EINVAL;
	return scope_punch(file->private_data, punch->offset, punch->length);
}

static int run_sync(struct file *file, void *arg)
{
	return scope_pseudofs_sync(file->private_data);
}

static int run_resize(struct file *file, void *arg)
{
	struct mmapscope_resize *resize = arg;

	if (!scope_size_valid(resize->dev_size))
		return -EINVAL;
	return scope_resize(file->private_data, resize->dev_size);
}

static int run_file(struct file *file, void *arg)
{
	return scope_regular_fd(file);
}

static int run_policy(struct file *file, void *arg)
{
	struct mmapscope_policy *policy = arg;
	struct scope_device *dev = file->private_data;
	int err = 0;

	if (policy->__reserved || policy->id >= MMAPSCOPE_NR_POLICIES)
		return -EINVAL;
	if (policy->flags & MMAPSCOPE_POLICY_SET) {
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		err = scope_policy_set(dev, policy->id, policy->value);
	}
	policy->value = scope_policy_get(dev, policy->id);
	return err;
}

static const struct scope_ioctl device_commands[] = {
	{
		SCOPE_IOCTL(INFO, info),
		.returns = true,
	}, {
		SCOPE_IOCTL(STATS, stats),
		.returns = true,
	}, {
		SCOPE_IOCTL(RESET, reset),
		.needs = SCOPE_NEEDS_WRITE,
	}, {
		SCOPE_IOCTL(EVICT, evict),
		.flags = MMAPSCOPE_EVICT_NO_WRITE,
		.returns = true,
	}, {
		SCOPE_IOCTL(PUNCH, punch),
		.needs = SCOPE_NEEDS_WRITE,
	}, {
		SCOPE_IOCTL(SYNC, sync),
	}, {
		SCOPE_IOCTL(RESIZE, resize),
		.needs = SCOPE_NEEDS_ADMIN | SCOPE_NEEDS_WRITE,
	}, {
		SCOPE_IOCTL(FILE, file),
	}, {
		SCOPE_IOCTL(POLICY, policy),
		.flags = MMAPSCOPE_POLICY_SET,
		.returns = true,
	},
};

/**
 * scope_device_ioctl() - ->unlocked_ioctl of a device
 * @file: keeps the device; see scope_device_dead() for the race with a forced removal
 * @cmd: from user space
 * @arg: from user space
 *
 * Return: -ENODEV once the device is dead, else as scope_ioctl_dispatch().
 */
long scope_device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct scope_device *dev = file->private_data;

	if (scope_device_dead(dev))
		return -ENODEV;
	/* The one command that is not ours, but that everybody knows. */
	if (cmd == BLKGETSIZE64)
		return put_user(scope_device_size(dev), (u64 __user *)arg);
	return scope_ioctl_dispatch(device_commands, ARRAY_SIZE(device_commands), file, cmd, arg);
}

#ifdef CONFIG_COMPAT
/**
 * scope_device_compat_ioctl() - ->compat_ioctl of a device
 * @file: as for scope_device_ioctl()
 * @cmd: from a 32-bit program, for which BLKGETSIZE64 is another number
 * @arg: a pointer of 32 bits
 *
 * Return: as scope_device_ioctl().
 */
long scope_device_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd == _IOR(0x12, 114, compat_size_t))
		cmd = BLKGETSIZE64;
	return scope_device_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}
#endif
