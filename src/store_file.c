// SPDX-License-Identifier: GPL-2.0
/*
 * A store in a regular file of whatever file system.
 *
 * The file is read, written and punched in a worker: with the credentials of the descriptor that
 * was handed over, without the caller's RLIMIT_FSIZE, and outside the locks that a fault holds.  A
 * write to a file may take a page fault under the file's lock, so taking that lock in a page fault
 * would be the wrong way round.
 *
 * Where the file can, the pages go past its cache (IOCB_DIRECT), so that nothing is cached twice,
 * and the worker does not wait for them.  Where it cannot, the file's cache is in between, and it
 * does.
 *
 * The file is opened anew: the position, O_APPEND and other flags of the caller's descriptor are
 * none of ours, and ours none of his.
 *
 * The file of somebody who shrinks it is never made longer again by a write.  What is beyond its
 * end fails with EIO; when it is there again, the next attempt succeeds.  (No interface says
 * "write, but do not extend".  A truncation waits for direct writes that are under way; one that
 * has looked at the size meanwhile, and waits for the file's lock behind it, extends the file.)
 */

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/uio.h>

#include "mmapscope.h"

/**
 * struct store_file - a regular file
 * @store: what the rest of the module knows
 * @file: opened by us
 * @direct: the file's cache is passed by; goes to false if the file turns out to refuse
 */
struct store_file {
	struct store store;
	struct file *file;
	bool direct;
};

static struct store_file *to_file(struct store *store)
{
	return container_of(store, struct store_file, store);
}

static loff_t file_size(const struct store_file *sf)
{
	return i_size_read(sf->file->f_mapping->host);
}

/**
 * struct file_context - what the worker was before it worked for a file
 * @cred: its credentials
 * @noio: whether it was allowed to write in order to get memory
 * @flags: PF_LOCAL_THROTTLE, or not
 */
struct file_context {
	const struct cred *cred;
	unsigned int noio;
	unsigned int flags;
};

/*
 * The worker acts for whoever opened the file.  It writes what others wait to have written, so it
 * must not wait for memory that only writing could free, and is throttled by what the file's own
 * device has to write, not by all that is dirty, which is partly what it is writing.
 */
static void enter_context(const struct store_file *sf, struct file_context *was)
{
	was->cred = override_creds(sf->file->f_cred);
	was->noio = memalloc_noio_save();
	was->flags = current->flags & PF_LOCAL_THROTTLE;
	current->flags |= PF_LOCAL_THROTTLE;
}

static void leave_context(const struct file_context *was)
{
	current_restore_flags(was->flags, PF_LOCAL_THROTTLE);
	memalloc_noio_restore(was->noio);
	revert_creds(was->cred);
}

/* Refused by a file that had said that it can: its cache can, from now on. */
static bool refused(struct store_file *sf, const struct store_io *io, long ret)
{
	if (!(io->kiocb.ki_flags & IOCB_DIRECT) || io->done ||
	    (ret != -EINVAL && ret != -EOPNOTSUPP))
		return false;
	WRITE_ONCE(sf->direct, false);
	return true;
}

/*
 * Both the worker, which may still look at the kiocb when the transfer is over, and the transfer
 * have a reference.  Whoever is last goes on.
 */
static void put_io(struct store_io *io)
{
	long ret;

	if (!refcount_dec_and_test(&io->refs))
		return;
	ret = io->result;
	if (unlikely(refused(to_file(io->store), io, ret)))
		store_io_again(io);
	else
		store_io_end(io, ret);
}

static void file_complete(struct kiocb *iocb, long ret)
{
	struct store_io *io = container_of(iocb, struct store_io, kiocb);

	if (iocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(iocb);
	io->result = ret;
	put_io(io);
}

static void prepare(struct store_file *sf, struct store_io *io, struct iov_iter *iter)
{
	struct kiocb *iocb = &io->kiocb;

	init_sync_kiocb(iocb, sf->file);
	iocb->ki_pos = io->pos + io->done;
	if (READ_ONCE(sf->direct)) {
		iocb->ki_flags |= IOCB_DIRECT;
		iocb->ki_complete = file_complete;
	}
	iov_iter_bvec(iter, io->op == STORE_WRITE ? ITER_SOURCE : ITER_DEST, io->vec, io->nr_vecs,
		      io->bytes);
	iov_iter_advance(iter, io->done);
}

/*
 * The file system has been made read-only since the file was opened, as after an error.  ext4 would
 * still take what needs no new blocks, and then say that all is well without a flush.
 */
static bool made_read_only(const struct store_file *sf)
{
	return !sf->store.read_only && sb_rdonly(file_inode(sf->file)->i_sb);
}

/* IOCB_WRITE says that kiocb_end_write() has to follow. */
static ssize_t transfer(struct store_file *sf, struct store_io *io)
{
	const struct file_operations *ops = sf->file->f_op;
	struct kiocb *iocb = &io->kiocb;
	struct iov_iter iter;

	prepare(sf, io, &iter);
	if (io->op == STORE_READ)
		return ops->read_iter(iocb, &iter);
	if (made_read_only(sf))
		return -EROFS;
	if (io->pos + io->bytes > file_size(sf))
		return -EIO;
	iocb->ki_flags |= IOCB_WRITE;
	kiocb_start_write(iocb);
	return ops->write_iter(iocb, &iter);
}

/* In a worker. */
static void file_submit(struct store *store, struct store_io *io)
{
	struct store_file *sf = to_file(store);
	struct file_context was;
	ssize_t ret;

	refcount_set(&io->refs, 2);
	enter_context(sf, &was);
	ret = transfer(sf, io);
	leave_context(&was);
	if (ret != -EIOCBQUEUED)
		file_complete(&io->kiocb, ret);
	put_io(io);
}

/**
 * struct file_call - something else to be done in a worker
 * @work: for the worker
 * @over: it is done
 * @sf: the file
 * @fn: does it; returns 0 or an errno
 * @pos: for @fn
 * @len: for @fn
 * @ret: what @fn returned
 */
struct file_call {
	struct work_struct work;
	struct completion over;
	struct store_file *sf;
	int (*fn)(struct store_file *sf, loff_t pos, loff_t len);
	loff_t pos;
	loff_t len;
	int ret;
};

static void call_work(struct work_struct *work)
{
	struct file_call *call = container_of(work, struct file_call, work);
	struct file_context was;

	enter_context(call->sf, &was);
	call->ret = call->fn(call->sf, call->pos, call->len);
	leave_context(&was);
	complete(&call->over);
}

static int call_worker(struct store_file *sf,
		       int (*fn)(struct store_file *sf, loff_t pos, loff_t len), loff_t pos,
		       loff_t len)
{
	struct file_call call = {
		.over = COMPLETION_INITIALIZER_ONSTACK(call.over),
		.sf = sf,
		.fn = fn,
		.pos = pos,
		.len = len,
	};

	INIT_WORK_ONSTACK(&call.work, call_work);
	queue_work(sf->store.queue->work[STORE_WRITE], &call.work);
	wait_for_completion_io(&call.over);
	destroy_work_on_stack(&call.work);
	return call.ret;
}

static ssize_t write_zero_page(struct store_file *sf, loff_t pos, size_t len)
{
	struct bio_vec zero = { .bv_page = ZERO_PAGE(0), .bv_len = len };
	struct iov_iter iter;
	struct kiocb iocb;
	ssize_t ret;

	init_sync_kiocb(&iocb, sf->file);
	iocb.ki_pos = pos;
	iocb.ki_flags |= IOCB_WRITE;
	iov_iter_bvec(&iter, ITER_SOURCE, &zero, 1, len);
	kiocb_start_write(&iocb);
	ret = sf->file->f_op->write_iter(&iocb, &iter);
	kiocb_end_write(&iocb);
	return ret;
}

/* For a file system that knows no holes. */
static int write_zeros(struct store_file *sf, loff_t pos, loff_t len)
{
	loff_t end = min(pos + len, file_size(sf));

	while (pos < end) {
		ssize_t ret = write_zero_page(sf, pos, min_t(loff_t, PAGE_SIZE, end - pos));

		if (ret <= 0)
			return ret ?: -EIO;
		pos += ret;
		cond_resched();
	}
	return 0;
}

static int punch(struct store_file *sf, loff_t pos, loff_t len)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		int err = vfs_fallocate(sf->file, modes[i], pos, len);

		if (err != -EOPNOTSUPP)
			return err;
	}
	return write_zeros(sf, pos, len);
}

static int allocate(struct store_file *sf, loff_t pos, loff_t len)
{
	return vfs_fallocate(sf->file, FALLOC_FL_KEEP_SIZE, pos, len);
}

/*
 * A file system that knows no holes writes zeros as far as it has room, and may leave the file at
 * that: all of the room taken, for nothing.  A file that is longer than it was to become was made
 * so by its owner, and stays.
 */
static int grow(struct store_file *sf, loff_t size, loff_t unused)
{
	loff_t was = file_size(sf);
	int err;

	if (size <= was)
		return 0;
	err = vfs_truncate(&sf->file->f_path, size);
	if (err == -ENOSPC && file_size(sf) > was && file_size(sf) <= size)
		vfs_truncate(&sf->file->f_path, was);
	return err;
}

/* Piece by piece, because a worker does not hear of the caller's fatal signal. */
static int call_in_pieces(struct store_file *sf,
			  int (*fn)(struct store_file *sf, loff_t pos, loff_t len), pgoff_t first,
			  unsigned long nr)
{
	loff_t pos = (loff_t)first << PAGE_SHIFT, left = (loff_t)nr << PAGE_SHIFT;
	int err = 0;

	while (left && !err) {
		loff_t len = min_t(loff_t, left, STORE_PIECE);

		if (fatal_signal_pending(current))
			return -EINTR;
		err = call_worker(sf, fn, pos, len);
		pos += len;
		left -= len;
	}
	return err;
}

static int file_punch(struct store *store, pgoff_t first, unsigned long nr)
{
	return call_in_pieces(to_file(store), punch, first, nr);
}

static int file_allocate(struct store *store, pgoff_t first, unsigned long nr)
{
	return call_in_pieces(to_file(store), allocate, first, nr);
}

static int file_grow(struct store *store, u64 size)
{
	return call_worker(to_file(store), grow, size, 0);
}

/* Only data and what is needed to find them: nothing else of the file is a promise of ours. */
static int file_sync(struct store *store)
{
	struct store_file *sf = to_file(store);
	int err = vfs_fsync(sf->file, 1);

	return !err && made_read_only(sf) ? -EROFS : err;
}

/* Bytes from @pos on; @end if there are none, or if the file has been shrunk. */
static loff_t seek(struct store_file *sf, loff_t pos, int whence, loff_t end)
{
	loff_t found = vfs_llseek(sf->file, pos, whence);

	if (found == -ENXIO)
		return end;
	/* It cannot tell: all of it is data. */
	if (found < 0)
		return whence == SEEK_DATA ? pos : end;
	return min(found, end);
}

static pgoff_t file_next_data(struct store *store, pgoff_t index, pgoff_t end)
{
	loff_t found = seek(to_file(store), (loff_t)index << PAGE_SHIFT, SEEK_DATA,
			    (loff_t)end << PAGE_SHIFT);

	return found >> PAGE_SHIFT;
}

/* The blocks of the file system may be smaller than a page: a page is a hole if all of it is. */
static pgoff_t file_next_hole(struct store *store, pgoff_t index, pgoff_t end)
{
	struct store_file *sf = to_file(store);
	loff_t stop = (loff_t)end << PAGE_SHIFT;
	loff_t pos = (loff_t)index << PAGE_SHIFT;

	while (pos < stop && !fatal_signal_pending(current)) {
		loff_t hole = round_up(seek(sf, pos, SEEK_HOLE, stop), PAGE_SIZE);

		pos = hole < stop ? seek(sf, hole, SEEK_DATA, stop) : stop;
		if (pos >= min(hole + (loff_t)PAGE_SIZE, stop))
			return hole >> PAGE_SHIFT;
		cond_resched();
	}
	return end;
}

/* What the file system knows without asking anybody: this is called for a list of devices. */
static u64 file_nr_pages(struct store *store)
{
	struct kstat stat;

	if (vfs_getattr(&to_file(store)->file->f_path, &stat, STATX_BLOCKS, AT_STATX_DONT_SYNC))
		return 0;
	return DIV_ROUND_UP_ULL(stat.blocks, PAGE_SIZE >> SECTOR_SHIFT);
}

static u64 file_store_size(struct store *store)
{
	return file_size(to_file(store));
}

static u32 file_io_mode(struct store *store)
{
	return READ_ONCE(to_file(store)->direct) ? MMAPSCOPE_IO_DIRECT : MMAPSCOPE_IO_BUFFERED;
}

static void file_store_path(struct store *store, char *buf, size_t size)
{
	store_backing_path(to_file(store)->file, buf, size);
}

static void file_destroy(struct store *store)
{
	struct store_file *sf = to_file(store);

	store_queue_destroy(store->queue);
	fput(sf->file);
	kfree(sf);
}

static const struct store_ops file_ops = {
	.kind = MMAPSCOPE_STORE_FILE,
	.submit = file_submit,
	.in_worker = true,
	.allocate = file_allocate,
	.punch = file_punch,
	.grow = file_grow,
	.sync = file_sync,
	.next_data = file_next_data,
	.next_hole = file_next_hole,
	.nr_pages = file_nr_pages,
	.size = file_store_size,
	.path = file_store_path,
	.io_mode = file_io_mode,
	.destroy = file_destroy,
};

/*
 * Can pages go past the file's cache?  The file says what alignment it wants; one that does not say
 * wants that of the block device below, as loop devices assume.  tmpfs accepts the flag, but has
 * nothing but its cache.
 */
static bool can_direct(struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	struct kstat stat;

	if (!(file->f_mode & FMODE_CAN_ODIRECT) || sb->s_magic == TMPFS_MAGIC)
		return false;
	if (!vfs_getattr(&file->f_path, &stat, STATX_DIOALIGN, AT_STATX_SYNC_AS_STAT) &&
	    (stat.result_mask & STATX_DIOALIGN))
		return stat.dio_offset_align && stat.dio_offset_align <= PAGE_SIZE &&
		       stat.dio_mem_align <= PAGE_SIZE;
	return !sb->s_bdev || bdev_logical_block_size(sb->s_bdev) <= PAGE_SIZE;
}

/* What may only be appended to cannot be written in place, whatever the descriptor says. */
static struct file *reopen(struct file *file)
{
	int flags = file->f_mode & FMODE_WRITE ? O_RDWR : O_RDONLY;

	if ((file->f_mode & FMODE_WRITE) && IS_APPEND(file_inode(file)))
		return ERR_PTR(-EPERM);
	return dentry_open(&file->f_path, flags | O_LARGEFILE, file->f_cred);
}

static bool has_methods(const struct file *file)
{
	return file->f_op->read_iter && (file->f_op->write_iter || !(file->f_mode & FMODE_WRITE)) &&
	       file->f_mode & FMODE_LSEEK;
}

/**
 * store_file_create() - make a store of a regular file
 * @file: the caller's descriptor; not kept
 *
 * Return: the store, or an ERR_PTR(): -EOPNOTSUPP if the file cannot be read and written in place,
 * -ENOMEM, or what opening it again says.
 */
struct store *store_file_create(struct file *file)
{
	struct store_file *sf = kzalloc(sizeof(*sf), GFP_KERNEL);
	int err = -ENOMEM;

	if (!sf)
		return ERR_PTR(err);
	sf->store.ops = &file_ops;
	/* Not for memory reclaim: file systems wait for work that is not. */
	sf->store.queue = store_queue_create(WQ_FREEZABLE);
	if (IS_ERR(sf->store.queue)) {
		err = PTR_ERR(sf->store.queue);
		goto out_memory;
	}
	sf->file = reopen(file);
	if (IS_ERR(sf->file)) {
		err = PTR_ERR(sf->file);
		goto out_queue;
	}
	err = -EOPNOTSUPP;
	if (!has_methods(sf->file))
		goto out_file;
	sf->store.backing = sf->file->f_mapping->host;
	sf->store.read_only = !(sf->file->f_mode & FMODE_WRITE);
	sf->direct = can_direct(sf->file);
	return &sf->store;

out_file:
	fput(sf->file);
out_queue:
	store_queue_destroy(sf->store.queue);
out_memory:
	kfree(sf);
	return ERR_PTR(err);
}
