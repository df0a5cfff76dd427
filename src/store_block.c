// SPDX-License-Identifier: GPL-2.0
/*
 * A store on a block device: bios, to it and from it, without anything in between.
 *
 * The block device is claimed, so that no file system, swap or other device of ours uses it at the
 * same time.  Its own page cache is written back before, and emptied after, so that who reads the
 * node later reads what is there.
 */

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat/bdev.h"
#include "mmapscope.h"

/**
 * struct store_block - a block device
 * @store: what the rest of the module knows
 * @claim: what keeps others from using it
 * @bdev: it
 * @file: the caller's descriptor, for its path
 */
struct store_block {
	struct store store;
	struct compat_claim claim;
	struct block_device *bdev;
	struct file *file;
};

static struct store_block *to_block(struct store *store)
{
	return container_of(store, struct store_block, store);
}

static void block_end(struct bio *bio)
{
	struct store_io *io = container_of(bio, struct store_io, bio);
	int err = blk_status_to_errno(bio->bi_status);

	bio_uninit(bio);
	store_io_end(io, err ?: (ssize_t)io->bytes);
}

/*
 * All or nothing, so io->done is 0.  The bio and its memory are the request's own: nothing is
 * allocated here.
 */
static void block_submit(struct store *store, struct store_io *io)
{
	struct bio *bio = &io->bio;

	bio_init(bio, to_block(store)->bdev, io->vec, io->nr_vecs,
		 (io->op == STORE_WRITE ? REQ_OP_WRITE : REQ_OP_READ) | io->opf);
	bio->bi_iter.bi_sector = io->pos >> SECTOR_SHIFT;
	bio->bi_iter.bi_size = io->bytes;
	bio->bi_vcnt = io->nr_vecs;
	bio->bi_end_io = block_end;
	submit_bio(bio);
}

static int block_sync(struct store *store)
{
	int err;

	if (store->read_only)
		return 0;
	err = blkdev_issue_flush(to_block(store)->bdev);
	/* It has no cache that could be flushed. */
	return err == -EOPNOTSUPP ? 0 : err;
}

/* Frees the blocks where the device can; writes zeros where it cannot, which takes its time. */
static int block_punch(struct store *store, pgoff_t first, unsigned long nr)
{
	sector_t sector = (sector_t)first << PAGE_SECTORS_SHIFT;
	sector_t left = (sector_t)nr << PAGE_SECTORS_SHIFT;
	int err = 0;

	while (left && !err) {
		sector_t len = min_t(sector_t, left, STORE_PIECE >> SECTOR_SHIFT);

		if (fatal_signal_pending(current))
			return -EINTR;
		err = blkdev_issue_zeroout(to_block(store)->bdev, sector, len, GFP_NOIO, 0);
		sector += len;
		left -= len;
	}
	return err;
}

/* All of it is there. */
static int block_allocate(struct store *store, pgoff_t first, unsigned long nr)
{
	return 0;
}

static u64 store_size(struct store *store)
{
	return bdev_nr_bytes(to_block(store)->bdev);
}

static int block_grow(struct store *store, u64 size)
{
	return size > store_size(store) ? -EFBIG : 0;
}

static pgoff_t block_next_data(struct store *store, pgoff_t index, pgoff_t end)
{
	return index;
}

static pgoff_t block_next_hole(struct store *store, pgoff_t index, pgoff_t end)
{
	return end;
}

static u64 block_nr_pages(struct store *store)
{
	return store_size(store) >> PAGE_SHIFT;
}

static void block_path(struct store *store, char *buf, size_t size)
{
	store_backing_path(to_block(store)->file, buf, size);
}

static u32 block_io_mode(struct store *store)
{
	return MMAPSCOPE_IO_BLOCK;
}

static void block_destroy(struct store *store)
{
	struct store_block *block = to_block(store);

	store_queue_destroy(store->queue);
	invalidate_bdev(block->bdev);
	compat_release_bdev(&block->claim, block);
	fput(block->file);
	kfree(block);
}

static const struct store_ops block_ops = {
	.kind = MMAPSCOPE_STORE_FILE,
	.submit = block_submit,
	.allocate = block_allocate,
	.punch = block_punch,
	.grow = block_grow,
	.sync = block_sync,
	.next_data = block_next_data,
	.next_hole = block_next_hole,
	.nr_pages = block_nr_pages,
	.size = store_size,
	.path = block_path,
	.io_mode = block_io_mode,
	.destroy = block_destroy,
};

/* A number may be given to another block device; zones are written in order only. */
static int check(const struct store_block *block, const struct block_device *wanted, bool write)
{
	if (block->bdev != wanted)
		return -ENXIO;
	if (bdev_logical_block_size(block->bdev) > PAGE_SIZE ||
	    (write && bdev_is_zoned(block->bdev)))
		return -EOPNOTSUPP;
	return 0;
}

/* Nobody else, and nothing in its cache that it does not hold itself. */
static int take(struct store_block *block, struct file *file)
{
	struct block_device *bdev = I_BDEV(file->f_mapping->host);
	bool write = file->f_mode & FMODE_WRITE;
	int err;

	err = compat_claim_bdev(&block->claim, bdev->bd_dev, write, block);
	if (err)
		return err;
	block->bdev = compat_claimed_bdev(&block->claim);
	err = check(block, bdev, write) ?: sync_blockdev(block->bdev);
	if (err)
		compat_release_bdev(&block->claim, block);
	else
		invalidate_bdev(block->bdev);
	return err;
}

/**
 * store_block_create() - make a store of a block device
 * @file: the caller's descriptor
 *
 * Return: the store, or an ERR_PTR(): -EBUSY if somebody has claimed the block device, -EOPNOTSUPP
 * if its blocks are larger than pages or must be written in order, -ENOMEM, or what opening it
 * says.
 */
struct store *store_block_create(struct file *file)
{
	struct store_block *block = kzalloc(sizeof(*block), GFP_KERNEL);
	int err;

	if (!block)
		return ERR_PTR(-ENOMEM);
	block->store.ops = &block_ops;
	block->store.queue = store_queue_create(WQ_MEM_RECLAIM);
	if (IS_ERR(block->store.queue)) {
		err = PTR_ERR(block->store.queue);
		goto out_memory;
	}
	err = take(block, file);
	if (err)
		goto out_queue;
	block->store.backing = file->f_mapping->host;
	block->store.read_only = !(file->f_mode & FMODE_WRITE) || bdev_read_only(block->bdev);
	block->file = get_file(file);
	return &block->store;

out_queue:
	store_queue_destroy(block->store.queue);
out_memory:
	kfree(block);
	return ERR_PTR(err);
}
