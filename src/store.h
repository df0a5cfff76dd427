/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Backing stores: where the bytes are when they are not in the page cache.
 *
 * A store knows bytes by their offset and nothing of caches, devices or their files.  There are two
 * kinds.  One that is memory itself answers at once: it has ->read and ->write.  One that has to
 * wait for somebody has ->submit, and a struct store_queue for what is under way: see io.c.
 *
 * The page cache serialises a store: a folio is read or written under its lock or its writeback
 * bit, and a range is punched only while the cache holds none of it and can be given none
 * (mapping->invalidate_lock).  Looking for data and holes is not serialised with anything, so each
 * store must bear that.
 */
#ifndef MMAPSCOPE_STORE_H
#define MMAPSCOPE_STORE_H

#include <linux/bio.h>
#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/mempool.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct folio;
struct scope_device;
struct store;
struct store_io;

/* What a request to a store is; indexes the test hooks, too. */
enum store_op {
	STORE_READ,
	STORE_WRITE,
	STORE_SYNC,
	STORE_NR_OPS,
};

/**
 * struct store_ops - a kind of store
 * @kind: enum mmapscope_store
 * @read: fill a locked folio from folio->index on; a hole reads as zeros.  Sets mappedtodisk if the
 *	store holds all of the folio's pages.  Returns 0 or an errno, with the folio's contents then
 *	undefined.
 * @write: write a folio whose space was reserved.  Allocates nothing that needs reclaim.  Returns 0
 *	or an errno.
 * @submit: begin to transfer the window of @io, and call store_io_end() once, from whatever
 *	context, when it is over.  May sleep.
 * @in_worker: @submit must not run in the context of whoever wants something read or written
 * @reserve: make sure that pages @first to @first + @nr - 1 can be written later.  May sleep.
 *	Returns 0, -ENOSPC (the limit) or -ENOMEM.  NULL: the store finds out when it writes
 * @allocate: take room for the range, as fallocate(2).  Returns 0 or an errno
 * @punch: forget the range: it reads as zeros.  Returns 0 or an errno
 * @grow: make room for offsets below @size.  NULL: there is no end.  Returns 0 or an errno
 * @sync: return when all that was written is durable: 0 or an errno
 * @next_data: lowest index from @index on, and below @end, that the store holds; @end if there is
 *	none
 * @next_hole: likewise, that it does not hold
 * @nr_pages: how many pages it holds now
 * @size: bytes that it has room for now; NULL: there is no end
 * @path: fill a buffer with the path of what it is in, shortened if need be; NULL: nothing to tell
 * @io_mode: enum mmapscope_io_mode
 * @destroy: free it; nothing is under way
 */
struct store_ops {
	u32 kind;
	int (*read)(struct store *store, struct folio *folio);
	int (*write)(struct store *store, struct folio *folio);
	void (*submit)(struct store *store, struct store_io *io);
	bool in_worker;
	int (*reserve)(struct store *store, pgoff_t first, unsigned long nr);
	int (*allocate)(struct store *store, pgoff_t first, unsigned long nr);
	int (*punch)(struct store *store, pgoff_t first, unsigned long nr);
	int (*grow)(struct store *store, u64 size);
	int (*sync)(struct store *store);
	pgoff_t (*next_data)(struct store *store, pgoff_t index, pgoff_t end);
	pgoff_t (*next_hole)(struct store *store, pgoff_t index, pgoff_t end);
	u64 (*nr_pages)(struct store *store);
	u64 (*size)(struct store *store);
	void (*path)(struct store *store, char *buf, size_t size);
	u32 (*io_mode)(struct store *store);
	void (*destroy)(struct store *store);
};

/**
 * struct store - embedded in each store's own struct
 * @ops: what kind it is
 * @queue: of a store that has @ops->submit; else NULL
 * @backing: the inode that holds the bytes, to tell whether two stores share one; or NULL
 * @read_only: it cannot be written
 */
struct store {
	const struct store_ops *ops;
	struct store_queue *queue;
	struct inode *backing;
	bool read_only;
};

/**
 * struct store_queue - what is under way to a store that answers later
 * @ios: where requests come from; never empty for ever, as each ends by itself
 * @work: where reads, and where writes, run when they must not run in the caller's context: for
 *	each store, so that a slow one does not stall another, and apart, so that reads do not wait
 *	for writes that wait for a file system
 * @lock: protects @in_flight and @writes; a leaf, taken with interrupts off
 * @in_flight: requests under way
 * @writes: of these, writes
 * @wait: for those to become fewer
 */
struct store_queue {
	mempool_t ios;
	struct workqueue_struct *work[2];
	spinlock_t lock;	/* a leaf; protects @in_flight and @writes */
	unsigned int in_flight;
	unsigned int writes;
	wait_queue_head_t wait;
};

/* The most folios and bytes (but for a single folio) of one request. */
#define STORE_IO_VECS	64
#define STORE_IO_BYTES	SZ_1M
/* How much is punched or allocated at once, before anybody looks for a fatal signal. */
#define STORE_PIECE	SZ_1G

/**
 * struct store_io - contiguous folios on their way
 *
 * The window is what is transferred now: at first everything, after a failed write one folio after
 * another.  What a store may use:
 *
 * @store: to or from where
 * @op: STORE_READ or STORE_WRITE
 * @opf: REQ_* flags for a block device
 * @pos: first byte of the window
 * @bytes: in the window
 * @done: of these, transferred already
 * @vec: the window's memory
 * @nr_vecs: entries of @vec
 * @kiocb: for a store that is a file
 * @bio: for a store that is a block device
 * @refs: for a store that has to know who is last
 *
 * What is io.c's own:
 *
 * @dev: whose pages they are
 * @end: what to do with a folio when it is there, or written, or neither
 * @work: to go on where one may sleep
 * @result: of the last transfer: bytes, or an errno
 * @over: the transfer is over, and @result stands
 * @last: after the last entry of @vecs
 * @vecs: a folio each
 */
struct store_io {
	struct store *store;
	enum store_op op;
	blk_opf_t opf;
	loff_t pos;
	size_t bytes;
	size_t done;
	struct bio_vec *vec;
	unsigned int nr_vecs;
	union {
		struct kiocb kiocb;
		struct bio bio;
	};
	refcount_t refs;

	struct scope_device *dev;
	void (*end)(struct scope_device *dev, struct folio *folio, int err);
	struct work_struct work;
	ssize_t result;
	bool over;
	struct bio_vec *last;
	struct bio_vec vecs[STORE_IO_VECS];
};

/* io.c */
struct store_queue *store_queue_create(unsigned int flags);
void store_queue_destroy(struct store_queue *queue);
struct store_io *store_io_alloc(struct scope_device *dev, enum store_op op, blk_opf_t opf,
				void (*end)(struct scope_device *, struct folio *, int));
bool store_io_add(struct store_io *io, struct folio *folio);
void store_io_submit(struct store_io *io);
void store_io_end(struct store_io *io, ssize_t result);
void store_io_again(struct store_io *io);

/* store_ram.c */
int store_ram_init(void);
struct store *store_ram_create(void);

/* store_file.c */
struct store *store_file_create(struct file *file);

/* store_block.c */
struct store *store_block_create(struct file *file);

/* backing.c */
struct store *store_backing_open(int fd);
void store_backing_path(struct file *file, char *buf, size_t size);

#endif /* MMAPSCOPE_STORE_H */
