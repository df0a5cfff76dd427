// SPDX-License-Identifier: GPL-2.0
/*
 * The system calls on a device's node.
 *
 * open() points f_mapping to the device's page cache.  file_inode() stays the node in /dev:
 * whatever must see the device's size, or lock out other writers, uses the device's own inode, and
 * generic helpers that would look at the node's are not used.
 *
 * A forced removal makes every call that begins after it fail with ENODEV.  write(2) asks again
 * under i_rwsem; a read or a mapping that gets past the question finds a device of size 0.
 */

#include <linux/compat.h>
#include <linux/errseq.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/splice.h>
#include <linux/uio.h>
#include <linux/writeback.h>

#include "ioctl.h"
#include "mmapscope.h"

/*
 * do_dentry_open() sampled the errors of the node's mapping before it called us; without sampling
 * again a new file would report an error that is older than itself.
 */
static int scope_open(struct inode *node, struct file *file)
{
	struct scope_device *dev = scope_device_open(iminor(node), file->f_mode & FMODE_WRITE);

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	file->private_data = dev;
	file->f_mapping = scope_mapping(dev);
	file->f_wb_err = filemap_sample_wb_err(file->f_mapping);
	file->f_sb_err = file_sample_sb_err(file);
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

int scope_release(struct inode *inode, struct file *file)
{
	scope_device_release(file->private_data);
	return 0;
}

/*
 * A read that must not wait gets what is cached and starts no readahead: ->readahead may wait for
 * the store.  For preadv2() older kernels set IOCB_NOIO themselves, newer ones leave it to the
 * file.  The kiocb is the caller's, who may go on with it where waiting is allowed, so the flag is
 * taken back.
 */
static ssize_t read_cached(struct kiocb *iocb, struct iov_iter *to)
{
	int noio = iocb->ki_flags & IOCB_NOIO;
	ssize_t ret;

	iocb->ki_flags |= IOCB_NOIO;
	ret = generic_file_read_iter(iocb, to);
	iocb->ki_flags = (iocb->ki_flags & ~IOCB_NOIO) | noio;
	return ret;
}

ssize_t scope_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct scope_device *dev = iocb->ki_filp->private_data;
	ssize_t ret;

	if (scope_device_dead(dev))
		return -ENODEV;
	if (iocb->ki_flags & IOCB_NOWAIT)
		ret = read_cached(iocb, to);
	else
		ret = generic_file_read_iter(iocb, to);
	if (ret > 0)
		scope_stat_add(dev, MMAPSCOPE_STAT_read_bytes, ret);
	return ret;
}

ssize_t scope_splice_read(struct file *in, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
			  unsigned int flags)
{
	struct scope_device *dev = in->private_data;
	ssize_t ret;

	if (scope_device_dead(dev))
		return -ENODEV;
	ret = filemap_splice_read(in, ppos, pipe, len, flags);
	if (ret > 0 && !COMPAT_SPLICE_CALLS_READ_ITER)
		scope_stat_add(dev, MMAPSCOPE_STAT_read_bytes, ret);
	return ret;
}

/* Like a block device: nothing grows, so O_APPEND and RLIMIT_FSIZE mean nothing. */
static ssize_t write_locked(struct scope_device *dev, struct kiocb *iocb, struct iov_iter *from)
{
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (scope_device_dead(dev))
		return -ENODEV;
	if (pos >= dev->size)
		return -ENOSPC;
	iov_iter_truncate(from, dev->size - pos);
	ret = generic_perform_write(iocb, from);
	/* Newer kernels have moved it already, to the same place. */
	if (ret > 0)
		iocb->ki_pos = pos + ret;
	return ret;
}

ssize_t scope_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct scope_device *dev = iocb->ki_filp->private_data;
	ssize_t ret;

	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EOPNOTSUPP;
	if (!iov_iter_count(from))
		return scope_device_dead(dev) ? -ENODEV : 0;
	ret = scope_inode_lock(dev->inode);
	if (ret)
		return ret;
	ret = write_locked(dev, iocb, from);
	inode_unlock(dev->inode);
	if (ret <= 0)
		return ret;
	scope_stat_add(dev, MMAPSCOPE_STAT_write_bytes, ret);
	return generic_write_sync(iocb, ret);
}

static loff_t seek_data_or_hole(struct scope_device *dev, loff_t offset, int whence)
{
	loff_t size = scope_device_size(dev);
	pgoff_t end = size >> PAGE_SHIFT;
	pgoff_t index = offset >> PAGE_SHIFT;
	pgoff_t found;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	if (whence == SEEK_DATA)
		found = scope_next_data(dev, index, end);
	else
		found = scope_next_hole(dev, index, end);
	if (whence == SEEK_DATA && found == end)
		return -ENXIO;
	return max_t(loff_t, offset, (loff_t)found << PAGE_SHIFT);
}

loff_t scope_llseek(struct file *file, loff_t offset, int whence)
{
	struct scope_device *dev = file->private_data;
	loff_t size = scope_device_size(dev);

	if (scope_device_dead(dev))
		return -ENODEV;
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		offset = seek_data_or_hole(dev, offset, whence);
		return offset < 0 ? offset : vfs_setpos(file, offset, size);
	}
	return fixed_size_llseek(file, offset, whence, size);
}

/*
 * Both parts are done, and their errors taken note of, whatever the other says.  The error of a
 * flush, also of one that somebody else asked for meanwhile, is noted for everybody; it is looked
 * for afterwards, and this file has been told.
 */
int scope_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct scope_device *dev = file->private_data;
	int err, sync_err, noted;

	if (scope_device_dead(dev))
		return -ENODEV;
	err = file_write_and_wait_range(file, start, end);
	sync_err = scope_store_sync(dev);
	noted = file_check_and_advance_wb_err(file);
	return err ?: noted ?: sync_err;
}

int scope_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct scope_device *dev = file->private_data;

	if (scope_device_dead(dev))
		return -ENODEV;
	if (vma->vm_pgoff >= scope_device_size(dev) >> PAGE_SHIFT)
		return -EINVAL;
	file_accessed(file);
	vma->vm_ops = &scope_vm_ops;
	return 0;
}

const struct file_operations scope_fops = {
	.owner = THIS_MODULE,
	.open = scope_open,
	.release = scope_release,
	.llseek = scope_llseek,
	.read_iter = scope_read_iter,
	.write_iter = scope_write_iter,
	.splice_read = scope_splice_read,
	.splice_write = iter_file_splice_write,
	.fsync = scope_fsync,
	.mmap = scope_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.unlocked_ioctl = scope_device_ioctl,
	.compat_ioctl = scope_device_compat_ioctl,
};
