/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Claiming a block device: as a file, or as it was before Linux 6.5.  The forms in between were
 * short-lived: 6.5 and 6.6 have one, 6.7 and 6.8 another.
 */
#ifndef MMAPSCOPE_COMPAT_BDEV_H
#define MMAPSCOPE_COMPAT_BDEV_H

#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>

/*
 * compat_claim_bdev() - open a block device, and keep others from claiming it
 * @claim: filled in
 * @dev: its number
 * @write: whether it will be written
 * @holder: who claims it
 *
 * Return: 0, -EBUSY, or another errno.
 */
#ifdef HAVE_BDEV_FILE
struct compat_claim {
	struct file *file;
};

static inline int compat_claim_bdev(struct compat_claim *claim, dev_t dev, bool write, void *holder)
{
	claim->file = bdev_file_open_by_dev(dev, BLK_OPEN_READ | (write ? BLK_OPEN_WRITE : 0),
					    holder, NULL);
	return PTR_ERR_OR_ZERO(claim->file);
}

static inline struct block_device *compat_claimed_bdev(const struct compat_claim *claim)
{
	return file_bdev(claim->file);
}

static inline void compat_release_bdev(struct compat_claim *claim, void *holder)
{
	bdev_fput(claim->file);
}
#else
#ifndef FMODE_EXCL
#error "mmapscope cannot claim disks of 6.5 to 6.8: use Linux 6.9 or newer, or an up-to-date 6.1"
#endif

struct compat_claim {
	struct block_device *bdev;
	fmode_t mode;
};

static inline int compat_claim_bdev(struct compat_claim *claim, dev_t dev, bool write, void *holder)
{
	claim->mode = FMODE_READ | FMODE_EXCL | (write ? FMODE_WRITE : 0);
	claim->bdev = blkdev_get_by_dev(dev, claim->mode, holder);
	return PTR_ERR_OR_ZERO(claim->bdev);
}

static inline struct block_device *compat_claimed_bdev(const struct compat_claim *claim)
{
	return claim->bdev;
}

static inline void compat_release_bdev(struct compat_claim *claim, void *holder)
{
	blkdev_put(claim->bdev, claim->mode);
}
#endif

#endif /* MMAPSCOPE_COMPAT_BDEV_H */
