// SPDX-License-Identifier: GPL-2.0
/*
 * The device as a regular file.
 *
 * The kernel refuses fallocate(2), MADV_REMOVE, readahead(2), sync_file_range(2) and some more for
 * character devices before it asks the driver, and some programs do so themselves.  Here is a
 * descriptor whose inode is the device's own, which is regular, so that all of that works; its
 * address_space is the cache that the node's descriptors use, too.
 *
 * Such a file, and whoever looks at it by way of /proc, holds the superblock, which then outlives
 * open files: see scope_device_put() and scope_device_export().
 */

#include <linux/compat.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/splice.h>

#include "ioctl.h"
#include "mmapscope.h"

#define REGULAR_MODE	(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE | FMODE_NOWAIT)

/* Opened by way of /proc/PID/fd: do_dentry_open() has set up all but the reference. */
static int regular_open(struct inode *inode, struct file *file)
{
	struct scope_device *dev = inode->i_private;
	int err = scope_device_get(dev, file->f_mode & FMODE_WRITE);

	if (err)
		return err;
	file->private_data = dev;
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

/*
 * i_rwsem keeps the size and the device in place, so that no room is taken which nobody could reach
 * or give back.
 */
static int allocate_piece(struct scope_device *dev, pgoff_t first, pgoff_t end, loff_t last_byte)
{
	int err = scope_inode_lock(dev->inode);

	if (err)
		return err;
	if (scope_device_dead(dev))
		err = -ENODEV;
	else if (last_byte >= dev->size)
		err = -ENOSPC;
	else
		err = dev->store->ops->allocate(dev->store, first, end - first);
	inode_unlock(dev->inode);
	return err;
}

/*
 * Preallocation: the store will have room for the range.  Piece by piece, so that nobody who writes
 * or removes the device by force waits for all of it.
 */
static int allocate(struct scope_device *dev, loff_t offset, loff_t length)
{
	const pgoff_t piece = STORE_PIECE >> PAGE_SHIFT;
	loff_t last_byte = offset + length - 1;
	pgoff_t end = (last_byte >> PAGE_SHIFT) + 1;
	pgoff_t first;
	int err = 0;

	for (first = offset >> PAGE_SHIFT; first < end && !err; first += piece)
		err = allocate_piece(dev, first, min(end, first + piece), last_byte);
	return err;
}

/* The core has checked the file's mode, and that offset and length are positive. */
static long regular_fallocate(struct file *file, int mode, loff_t offset, loff_t length)
{
	struct scope_device *dev = file->private_data;
	u64 size = scope_device_size(dev);

	if (scope_device_dead(dev))
		return -ENODEV;
	switch (mode) {
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		/* As for a file: there is nothing beyond the end. */
		if (offset >= size)
			return 0;
		return scope_punch(dev, offset, min_t(u64, length, size - offset));
	case 0:
	case FALLOC_FL_KEEP_SIZE:
		return allocate(dev, offset, length);
	default:
		return -EOPNOTSUPP;
	}
}

static const struct file_operations regular_fops = {
	.owner = THIS_MODULE,
	.open = regular_open,
	.release = scope_release,
	.llseek = scope_llseek,
	.read_iter = scope_read_iter,
	.write_iter = scope_write_iter,
	.splice_read = scope_splice_read,
	.splice_write = iter_file_splice_write,
	.fsync = scope_fsync,
	.mmap = scope_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.fallocate = regular_fallocate,
	.unlocked_ioctl = scope_device_ioctl,
	.compat_ioctl = scope_device_compat_ioctl,
};

/*
 * The default would let whoever holds the descriptor change the size.  O_TRUNC is ignored, as by a
 * block device.
 */
static int regular_setattr(COMPAT_IDMAP *idmap, struct dentry *dentry, struct iattr *attr)
{
	return attr->ia_valid & ATTR_OPEN ? 0 : -EPERM;
}

/* st_blocks is what the store holds, so that sparseness can be seen. */
static int regular_getattr(COMPAT_IDMAP *idmap, const struct path *path, struct kstat *stat,
			   u32 request_mask, unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	struct scope_device *dev = inode->i_private;

	compat_generic_fillattr(idmap, request_mask, inode, stat);
	stat->blocks = dev->store->ops->nr_pages(dev->store) << (PAGE_SHIFT - 9);
	return 0;
}

static const struct inode_operations regular_iops = {
	.setattr = regular_setattr,
	.getattr = regular_getattr,
};

/**
 * scope_regular_init_inode() - make a device's inode one that can be opened
 * @inode: new
 */
void scope_regular_init_inode(struct inode *inode)
{
	inode->i_fop = &regular_fops;
	inode->i_op = &regular_iops;
}

/* A file that is open for what @like is open for. */
static struct file *open_like(struct scope_device *dev, const struct file *like)
{
	int flags = (like->f_flags & O_ACCMODE) | O_LARGEFILE;
	struct file *file;

	/* alloc_file_pseudo() takes neither reference; __fput() gives back both. */
	__module_get(THIS_MODULE);
	ihold(dev->inode);
	file = alloc_file_pseudo(dev->inode, dev->mnt, dev->name, flags, &regular_fops);
	if (IS_ERR(file)) {
		iput(dev->inode);
		module_put(THIS_MODULE);
		return file;
	}
	file->private_data = dev;
	file->f_mode |= REGULAR_MODE;
	file_ra_state_init(&file->f_ra, file->f_mapping);
	return file;
}

/**
 * scope_regular_fd() - make a descriptor of a device as a regular file
 * @like: an open file of the device, whose mode it gets
 *
 * Return: the descriptor, or -ENODEV, -EMFILE, -ENFILE or -ENOMEM.
 */
int scope_regular_fd(const struct file *like)
{
	struct scope_device *dev = like->private_data;
	struct file *file;
	int fd, err;

	err = scope_device_get(dev, like->f_mode & FMODE_WRITE);
	if (err)
		return err;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto out_device;
	}
	scope_device_export(dev);
	file = open_like(dev, like);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto out_fd;
	}
	fd_install(fd, file);
	return fd;

out_fd:
	put_unused_fd(fd);
out_device:
	scope_device_release(dev);
	return err;
}
