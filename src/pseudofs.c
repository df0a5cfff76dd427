// SPDX-License-Identifier: GPL-2.0
/*
 * A pseudo filesystem: a superblock with one inode for each device.
 *
 * Block devices share one such superblock; here each device has its own, because a superblock is
 * what has a backing_dev_info: dirty throttling, flusher and read-ahead settings of one device are
 * not those of another, and sync(2), which walks superblocks, finds each.
 */

#include <linux/backing-dev.h>
#include <linux/errseq.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>

#include "mmapscope.h"

#define SCOPE_FS_MAGIC	0x6d6d6170	/* "mmap" */

/*
 * sync(2): after the dirty pages, the store's own volatile cache.  It may come as soon as the
 * superblock is mounted, when there is no device or no inode yet, and nothing to flush; and until
 * it is gone, when there is no inode any more.  The caller holds s_umount.
 */
static int pseudofs_sync_fs(struct super_block *sb, int wait)
{
	struct scope_device *dev = sb->s_fs_info;

	return wait && dev && dev->inode ? scope_store_sync(dev) : 0;
}

static const struct super_operations scope_super_ops = {
	.statfs = simple_statfs,
	.sync_fs = pseudofs_sync_fs,
};

static int pseudofs_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, SCOPE_FS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &scope_super_ops;
	return 0;
}

/*
 * The last that the module hears of the superblock, in the context of whoever held it last.  The
 * core is not done with it: it gives back its reference to the filesystem type, and so to the
 * module, when it is.  Until then the module stays; see mount_unpinned().  That of a device which
 * was made a regular file has pinned it all the time: see scope_device_export().
 */
static void pseudofs_kill_sb(struct super_block *sb)
{
	struct scope_device *dev = sb->s_fs_info;

	if (dev && !dev->exported)
		__module_get(THIS_MODULE);
	kill_anon_super(sb);
	if (dev)
		scope_device_put(dev);
}

/* Not registered, so that nobody else can mount it. */
static struct file_system_type scope_fs_type = {
	.owner = THIS_MODULE,
	.name = SCOPE_NAME,
	.init_fs_context = pseudofs_init_fs_context,
	.kill_sb = pseudofs_kill_sb,
};

/*
 * Each superblock has a reference to its type, and the module's own would keep it loaded for ever:
 * it is given back as long as the superblock lives, and taken again for its end.
 */
static struct vfsmount *mount_unpinned(struct scope_device *dev)
{
	struct vfsmount *mnt = kern_mount(&scope_fs_type);

	if (!IS_ERR(mnt)) {
		mnt->mnt_sb->s_fs_info = dev;
		module_put(THIS_MODULE);
	}
	return mnt;
}

/*
 * The inode is S_ISREG and hashed: memory-failure handling wants the first, and the flusher skips
 * dirty inodes without the second.  inode_fake_hash() would not do: it leaves a mark in memory that
 * the kernel gives to its next inode without initialising it, which is then never freed.
 * AS_RELEASE_ALWAYS makes truncation call ->invalidate_folio, which is the one place where a dirty
 * page that is thrown away can be counted.
 */
static struct inode *pseudofs_new_inode(struct super_block *sb, struct scope_device *dev)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG | 0600;
	simple_inode_init_ts(inode);
	inode->i_private = dev;
	inode->i_mapping->a_ops = &scope_aops;
	mapping_set_release_always(inode->i_mapping);
	mapping_set_stable_writes(inode->i_mapping);
	scope_regular_init_inode(inode);
	i_size_write(inode, dev->size);
	insert_inode_hash(inode);
	return inode;
}

/**
 * scope_pseudofs_mount() - give a device its superblock, bdi and inode
 * @dev: @dev->name, which must be unique among mounted devices, and @dev->size are set
 *
 * Return: 0 or an errno, with nothing left behind.
 */
int scope_pseudofs_mount(struct scope_device *dev)
{
	struct vfsmount *mnt = mount_unpinned(dev);
	struct super_block *sb;
	int err;

	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	sb = mnt->mnt_sb;
	err = super_setup_bdi_name(sb, "%s", dev->name);
	if (err)
		goto out_mount;
	err = -ENOMEM;
	dev->inode = pseudofs_new_inode(sb, dev);
	if (!dev->inode)
		goto out_mount;
	dev->mnt = mnt;
	return 0;

out_mount:
	kern_unmount(mnt);
	return err;
}

/**
 * scope_pseudofs_sync() - write back and flush a device, as sync(2) would
 * @dev: the device
 *
 * Return: 0, or an error that a page or the flush met meanwhile, or that neither this nor syncfs(2)
 * has told anybody yet.  fsync(2) will still report it to every file: that is another errseq_t.
 */
int scope_pseudofs_sync(struct scope_device *dev)
{
	struct super_block *sb = dev->mnt->mnt_sb;
	errseq_t since = errseq_sample(&sb->s_wb_err);
	int err, write_err;

	down_read(&sb->s_umount);
	err = sync_filesystem(sb);
	up_read(&sb->s_umount);
	write_err = errseq_check_and_advance(&sb->s_wb_err, &since);
	return write_err ?: err;
}

/**
 * scope_pseudofs_unmount() - undo scope_pseudofs_mount()
 * @dev: has no open file, and no dirty page that anybody wants
 *
 * If the device was never a regular file this is the end of the superblock: no flusher can be in
 * the device's methods any more, and its bdi name can be used again.  Else it ends when nobody
 * refers to it any more.
 */
void scope_pseudofs_unmount(struct scope_device *dev)
{
	struct super_block *sb = dev->mnt->mnt_sb;
	struct inode *inode = dev->inode;

	/* ->sync_fs, which may be waiting for the store, looks at the inode under this lock. */
	down_write(&sb->s_umount);
	dev->inode = NULL;
	up_write(&sb->s_umount);
	iput(inode);
	kern_unmount(dev->mnt);
}
