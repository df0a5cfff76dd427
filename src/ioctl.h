/* SPDX-License-Identifier: GPL-2.0 */
/* One dispatcher for both nodes: a table says what a command takes, the dispatcher checks it. */
#ifndef MMAPSCOPE_IOCTL_H
#define MMAPSCOPE_IOCTL_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/mmapscope.h>
#include <linux/types.h>

/* What a caller needs. */
#define SCOPE_NEEDS_ADMIN	BIT(0)	/* CAP_SYS_ADMIN in the initial namespace, else EPERM */
#define SCOPE_NEEDS_WRITE	BIT(1)	/* a descriptor open for writing, else EBADF */

/**
 * struct scope_ioctl - one command
 * @cmd: its number
 * @needs: SCOPE_NEEDS_*
 * @min_size: size of the struct in its first release
 * @size: size of the struct now; at most SCOPE_IOCTL_MAX_SIZE
 * @flags: flags that the caller may set
 * @returns: whether the struct is copied back
 * @run: does it; @arg is the struct, with zeros where the caller's was shorter.  Returns 0, an
 *	errno, or what else the ioctl shall return.
 */
struct scope_ioctl {
	unsigned int cmd;
	unsigned int needs;
	size_t min_size;
	size_t size;
	u32 flags;
	bool returns;
	int (*run)(struct file *file, void *arg);
};

/* Enough for every struct: the one of the kernel's side lives on the stack. */
#define SCOPE_IOCTL_MAX_SIZE	344

/* A command whose struct has not grown yet; when it has, @min_size stays what it was. */
#define SCOPE_IOCTL(NAME, name)								\
	.cmd = MMAPSCOPE_IOC_##NAME,							\
	.min_size = sizeof(struct mmapscope_##name),					\
	.size = sizeof(struct mmapscope_##name) +					\
		BUILD_BUG_ON_ZERO(sizeof(struct mmapscope_##name) > SCOPE_IOCTL_MAX_SIZE), \
	.run = run_##name

long scope_ioctl_dispatch(const struct scope_ioctl *table, size_t nr, struct file *file,
			  unsigned int cmd, unsigned long arg);
long scope_device_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
#ifdef CONFIG_COMPAT
long scope_device_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
#else
#define scope_device_compat_ioctl	NULL
#endif

#endif /* MMAPSCOPE_IOCTL_H */
