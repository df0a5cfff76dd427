// SPDX-License-Identifier: GPL-2.0
/* /dev/mmapscope-control: create, remove and list devices. */

#include <linux/compat.h>
#include <linux/err.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

/* An entry of a list is not longer than this, whatever user space was compiled with. */
#define MAX_ENTRY_SIZE	4096

/* A file knows its size, memory does not; and only files have descriptors and odd sizes. */
static bool size_valid(const struct mmapscope_create *create)
{
	if (create->store == MMAPSCOPE_STORE_FILE)
		return !create->dev_size || scope_size_valid(create->dev_size);
	return scope_size_valid(create->dev_size) && !create->store_fd &&
	       !(create->flags & MMAPSCOPE_CREATE_ROUND_DOWN);
}

static int run_create(struct file *file, void *arg)
{
	struct mmapscope_create *create = arg;
	struct scope_device_config config = {
		.size = create->dev_size,
		.store = create->store,
		.store_fd = create->store_fd,
		.id = create->id,
		.read_only = create->flags & MMAPSCOPE_CREATE_READ_ONLY,
		.round_down = create->flags & MMAPSCOPE_CREATE_ROUND_DOWN,
	};
	int err;

	if (create->__reserved || !size_valid(create))
		return -EINVAL;
	if (config.id >= MMAPSCOPE_MAX_DEVICES && config.id != MMAPSCOPE_ID_ANY)
		return -EINVAL;
	err = scope_device_create(&config);
	create->id = config.id;
	create->dev_size = config.size;
	return err;
}

static int run_remove(struct file *file, void *arg)
{
	struct mmapscope_remove *remove = arg;
	u64 discarded = 0;
	int err;

	if (remove->__reserved)
		return -EINVAL;
	err = scope_device_remove(remove->id, remove->flags & MMAPSCOPE_REMOVE_FORCE, &discarded);
	remove->discarded = discarded;
	return err;
}

/* One entry, as long as the caller's struct is. */
static int copy_entry(void __user *to, const struct mmapscope_info *info, size_t entry_size)
{
	size_t known = min(entry_size, sizeof(*info));

	if (copy_to_user(to, info, known) || clear_user(to + known, entry_size - known))
		return -EFAULT;
	return 0;
}

/* The list is a copy: nothing is locked while user memory is touched. */
static int run_list(struct file *file, void *arg)
{
	struct mmapscope_list *list = arg;
	void __user *entries = u64_to_user_ptr(list->entries);
	struct mmapscope_info *infos;
	unsigned int i, nr, room = list->count;
	int err = 0;

	if (list->entry_size < sizeof(*infos) || list->entry_size > MAX_ENTRY_SIZE)
		return -EINVAL;
	infos = scope_devices_list(&nr);
	if (IS_ERR(infos))
		return PTR_ERR(infos);
	for (i = 0; i < min(nr, room) && !err; i++)
		err = copy_entry(entries + (size_t)i * list->entry_size, &infos[i],
				 list->entry_size);
	kvfree(infos);
	list->count = nr;
	return err;
}

static const struct scope_ioctl control_commands[] = {
	{
		SCOPE_IOCTL(CREATE, create),
		.needs = SCOPE_NEEDS_ADMIN,
		.flags = MMAPSCOPE_CREATE_READ_ONLY | MMAPSCOPE_CREATE_ROUND_DOWN,
		.returns = true,
	}, {
		SCOPE_IOCTL(REMOVE, remove),
		.needs = SCOPE_NEEDS_ADMIN,
		.flags = MMAPSCOPE_REMOVE_FORCE,
		.returns = true,
	}, {
		SCOPE_IOCTL(LIST, list),
		.returns = true,
	},
};

static long control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return scope_ioctl_dispatch(control_commands, ARRAY_SIZE(control_commands), file, cmd, arg);
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = SCOPE_NAME "-control",
	.fops = &control_fops,
	.mode = 0600,
};

int scope_control_init(void)
{
	return misc_register(&control_device);
}

void scope_control_exit(void)
{
	misc_deregister(&control_device);
}
