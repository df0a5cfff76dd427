// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to a store that answers later.
 *
 * A request carries contiguous folios, each locked (a read) or under writeback (a write), which is
 * what keeps them, their mapping and the device in place.  Nobody waits for it: when it is over,
 * the folios are unlocked or their writeback ends, wherever that is noticed, which may be in an
 * interrupt.  A folio must not be touched after that, nor the device after the last request: see
 * store_queue_destroy().
 *
 *	store_io_alloc -> store_io_add ... -> store_io_submit
 *	                                         |
 *	     .-----------------------------> start_window ---> ops->submit
 *	     |                                                     |
 *	next window <--(worker)-- failed, short, or more <-- store_io_end --> all there: folios end
 *
 * A failed read is one for all of its folios; whoever needs one of them reads it alone, and only
 * what is really bad stays bad.  A write that fails is repeated folio by folio, so that one bad
 * place does not keep its neighbours from being written.  Those are requests, too, and counted.
 *
 * In flight are at most MAX_WRITES writes of a store: who has one more waits.  Reads do not: who
 * needs a page must not wait for those who clean others.  Requests come from a mempool, so that
 * writing goes on when memory is short.
 */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "mmapscope.h"

/* Of 4 KiB pages, so many requests are 16 MiB. */
#define MAX_WRITES	64
/* How many of them may be in a worker at once, each for as long as a file takes. */
#define MAX_WORKERS	16
#define MIN_POOL	4

static struct store_queue *io_queue(const struct store_io *io)
{
	return io->store->queue;
}

static void queue_io(struct store_io *io)
{
	queue_work(io_queue(io)->work[io->op], &io->work);
}

/* The pool must not be touched once the queue may go, which is when in_flight is 0. */
static void finish(struct store_io *io)
{
	struct store_queue *queue = io_queue(io);
	bool write = io->op == STORE_WRITE;
	unsigned long flags;

	mempool_free(io, &queue->ios);
	spin_lock_irqsave(&queue->lock, flags);
	queue->in_flight--;
	queue->writes -= write;
	wake_up(&queue->wait);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Everything is counted before the folio is let go, so that who waited for it finds it counted. */
static void end_window(struct store_io *io, int err)
{
	unsigned int i;

	scope_count_request(io->dev, io->op, io->bytes >> PAGE_SHIFT, err);
	for (i = 0; i < io->nr_vecs; i++)
		io->end(io->dev, page_folio(io->vec[i].bv_page), err);
}

/* The next folio alone.  False if there is none. */
static bool next_folio(struct store_io *io, struct bio_vec *vec, loff_t pos)
{
	io->vec = vec;
	io->pos = pos;
	io->done = 0;
	if (vec == io->last)
		return false;
	io->nr_vecs = 1;
	io->bytes = vec->bv_len;
	return true;
}

/*
 * A transfer ended otherwise than completely, or there is more.  What is left of a short one is
 * asked for again: the answer to that is 0 at the end of a file, or says what went wrong.
 *
 * Return: true if there is something to transfer.
 */
static bool next_window(struct store_io *io)
{
	ssize_t result = io->result;

	if (result > 0) {
		io->done += result;
		if (io->done < io->bytes)
			return true;
		end_window(io, 0);
		return next_folio(io, io->vec + io->nr_vecs, io->pos + io->bytes);
	}
	/* Nothing, of something that was there when the device was made. */
	if (!result)
		result = -EIO;
	if (io->op == STORE_WRITE && io->nr_vecs > 1) {
		scope_count_request(io->dev, io->op, io->bytes >> PAGE_SHIFT, result);
		return next_folio(io, io->vec, io->pos);
	}
	end_window(io, result);
	return next_folio(io, io->vec + io->nr_vecs, io->pos + io->bytes);
}

/* @io may be gone when this returns. */
static void start_window(struct store_io *io)
{
	int err = scope_store_hooks(io->dev, io->op, io->pos >> PAGE_SHIFT,
				    io->bytes >> PAGE_SHIFT);

	if (err)
		store_io_end(io, err);
	else
		io->store->ops->submit(io->store, io);
}

static void io_work(struct work_struct *work)
{
	struct store_io *io = container_of(work, struct store_io, work);

	if (io->over && !next_window(io)) {
		finish(io);
		return;
	}
	io->over = false;
	start_window(io);
}

/**
 * store_io_end() - a store has done with a window
 * @io: may be gone when this returns
 * @result: how many bytes it has transferred, or a negative errno
 *
 * In any context.  What cannot be done in an interrupt, as making a folio dirty again, goes to a
 * worker.
 */
void store_io_end(struct store_io *io, ssize_t result)
{
	io->result = result;
	io->over = true;
	if (likely(result == (ssize_t)(io->bytes - io->done) &&
		   io->vec + io->nr_vecs == io->last)) {
		end_window(io, 0);
		finish(io);
		return;
	}
	queue_io(io);
}

/**
 * store_io_again() - submit the same window once more, from a worker
 * @io: not under way
 */
void store_io_again(struct store_io *io)
{
	io->over = false;
	queue_io(io);
}

/**
 * store_io_alloc() - begin a request
 * @dev: its store has a queue
 * @op: STORE_READ or STORE_WRITE
 * @opf: REQ_* flags
 * @end: gets each folio when it is over, in any context after success, else in one that may sleep
 *
 * May sleep until another request is over, if there is no memory.
 *
 * Return: an empty request.
 */
struct store_io *store_io_alloc(struct scope_device *dev, enum store_op op, blk_opf_t opf,
				void (*end)(struct scope_device *, struct folio *, int))
{
	struct store_io *io = mempool_alloc(&dev->store->queue->ios, GFP_NOIO);

	io->store = dev->store;
	io->op = op;
	io->opf = opf;
	io->dev = dev;
	io->end = end;
	io->over = false;
	io->bytes = 0;
	io->done = 0;
	io->vec = io->vecs;
	io->last = io->vecs;
	io->nr_vecs = 0;
	INIT_WORK(&io->work, io_work);
	return io;
}

/**
 * store_io_add() - give a request one more folio
 * @io: not submitted
 * @folio: locked, or under writeback; follows the one before
 *
 * Return: false if the request is full; the folio is not in it then.
 */
bool store_io_add(struct store_io *io, struct folio *folio)
{
	size_t bytes = folio_size(folio);

	if (io->nr_vecs == STORE_IO_VECS || (io->nr_vecs && io->bytes + bytes > STORE_IO_BYTES))
		return false;
	if (!io->nr_vecs)
		io->pos = folio_pos(folio);
	*io->last++ = (struct bio_vec) {
		.bv_page = folio_page(folio, 0),
		.bv_len = bytes,
	};
	io->nr_vecs++;
	io->bytes += bytes;
	return true;
}

/**
 * store_io_submit() - send a request on its way
 * @io: has a folio at least; may be gone when this returns
 *
 * A write may sleep, as long as too many are under way.
 */
void store_io_submit(struct store_io *io)
{
	struct store_queue *queue = io_queue(io);
	bool write = io->op == STORE_WRITE;

	spin_lock_irq(&queue->lock);
	if (write)
		wait_event_lock_irq(queue->wait, queue->writes < MAX_WRITES, queue->lock);
	queue->in_flight++;
	queue->writes += write;
	spin_unlock_irq(&queue->lock);

	if (io->store->ops->in_worker)
		queue_io(io);
	else
		start_window(io);
}

/**
 * store_queue_create() - get ready for requests to a store
 * @flags: WQ_*, for its workers
 *
 * Return: the queue, or ERR_PTR(-ENOMEM).
 */
struct store_queue *store_queue_create(unsigned int flags)
{
	struct store_queue *queue = kzalloc(sizeof(*queue), GFP_KERNEL);

	if (!queue)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->wait);
	if (mempool_init_kmalloc_pool(&queue->ios, MIN_POOL, sizeof(struct store_io)))
		goto out_queue;
	queue->work[STORE_READ] = alloc_workqueue(SCOPE_NAME "-read", WQ_UNBOUND | flags,
						  MAX_WORKERS);
	if (!queue->work[STORE_READ])
		goto out_pool;
	queue->work[STORE_WRITE] = alloc_workqueue(SCOPE_NAME "-write", WQ_UNBOUND | flags,
						   MAX_WORKERS);
	if (!queue->work[STORE_WRITE])
		goto out_read;
	return queue;

out_read:
	destroy_workqueue(queue->work[STORE_READ]);
out_pool:
	mempool_exit(&queue->ios);
out_queue:
	kfree(queue);
	return ERR_PTR(-ENOMEM);
}

/**
 * store_queue_destroy() - undo store_queue_create()
 * @queue: gets no more requests
 *
 * The folios of the last request may have been let go already, so that whoever emptied the cache
 * has not waited for its end: wait for it here.  finish() holds the lock until it is done with the
 * queue.
 */
void store_queue_destroy(struct store_queue *queue)
{
	spin_lock_irq(&queue->lock);
	wait_event_lock_irq(queue->wait, !queue->in_flight, queue->lock);
	spin_unlock_irq(&queue->lock);
	destroy_workqueue(queue->work[STORE_WRITE]);
	destroy_workqueue(queue->work[STORE_READ]);
	mempool_exit(&queue->ios);
	kfree(queue);
}
