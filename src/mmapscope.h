/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmapscope: an oscilloscope for the Linux paging path.
 *
 *  load/store --> fault.c -----> cache.c -> (miss) readahead, read_folio --> store.h
 *                   |  ^            | dirty_folio                              ^
 *  first store ---->|  page_mkwrite v                                          |
 *  read/write/splice (file.c) -> cache.c -> writeback.c (flusher, fsync, msync, ioctl)
 *                                   `-----> evict.c (ioctl; reclaim is the kernel's own)
 *
 * Each device owns a superblock (pseudofs.c), hence a backing_dev_info with flusher threads of its
 * own, with a single regular inode in it.  The address_space of that inode is the device's page
 * cache; open() points file->f_mapping to it.  Behind it stands a store.  Along the way stats.c
 * counts.  control.c, ioctl.c and debugfs.c are how people reach in.
 *
 * Lock order, outermost first.  Nothing is taken out of this order:
 *
 *	scope_devices_lock	(device.c: the table of devices; state and open_files of each)
 *	sb->s_umount		(of the device's superblock: sync, the end of the device)
 *	dev->sync_lock		(flushing the store)
 *	inode->i_rwsem		(of the device's inode: write(2), fallocate(2), punch, resize, folio
 *				size, forced removal)
 *	mm->mmap_lock, VMA lock	(faults; under i_rwsem when write(2) touches the user's buffer)
 *	mapping->invalidate_lock  (shared: filling the cache; exclusive: punch, resize, folio size,
 *				forced removal)
 *	folio lock
 *	xa_lock of a RAM store; lock of a store's queue and xa_lock of a set of pages, with
 *	interrupts off
 *
 * dev->baseline_lock and the lock of the test hooks are leaves.  scope_devices_lock is never wanted
 * below mmap_lock: a fault needs no device table, and ->release runs from task work.
 *
 * A store that is a file has locks of its own below these, and may take mmap_lock under them.  So
 * they are taken in a worker, for which those who hold mmap_lock or invalidate_lock only wait: see
 * store_file.c.  Who writes to that very file out of a mapping of its device, which nobody has a
 * reason to do, waits for himself until he is killed; and if somebody holds invalidate_lock just
 * then and waits for the file, for ever, because faults wait for that lock without looking at
 * signals.
 *
 * Lifetime.  A struct scope_device lives from scope_device_create() to scope_device_free().  An
 * open file, and so a mapping, keeps it: both removal paths wait for open_files to be 0.  One user
 * has neither: ->fault, after filemap_fault() returned RETRY, has lost its reference to the file
 * and still counts.  It does not sleep between the two, so freeing by call_rcu_tasks(), and
 * waiting for rcu_barrier_tasks() at unload, is enough for it, and costs the fault path nothing.
 */
#ifndef MMAPSCOPE_H
#define MMAPSCOPE_H

#include <linux/fs.h>
#include <linux/mmapscope.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "compat/compat.h"
#include "pageset.h"
#include "stats.h"
#include "store.h"

#define SCOPE_NAME		"mmapscope"
/* Highest size: page offsets and byte offsets both fit their types. */
#define SCOPE_MAX_SIZE		((u64)MAX_LFS_FILESIZE & PAGE_MASK)
/* How many devices the parameter "devices" may ask for; more can be created later. */
#define SCOPE_MAX_AT_LOAD	256

struct dentry;
struct device;
struct pipe_inode_info;
struct scope_testhook;
struct vfsmount;

/**
 * enum scope_state - life of a device
 * @SCOPE_LIVE: can be opened
 * @SCOPE_REMOVING: dirty pages are being written before removal; goes back to @SCOPE_LIVE if that
 * fails
 * @SCOPE_DEAD: removed by force while open; waits for the last file to be closed
 * @SCOPE_GONE: being freed; only its number is still taken
 */
enum scope_state {
	SCOPE_LIVE,
	SCOPE_REMOVING,
	SCOPE_DEAD,
	SCOPE_GONE,
};

/**
 * struct scope_device - one /dev/mmapscopeN
 * @counters: per-CPU event counters; touched by every hot path, so first
 * @store: the backing store
 * @inode: its address_space is the page cache; i_size is the size now, 0 once dead
 * @hooks: what the selftests made the store do, or NULL (always, unless loaded with test_hooks=1)
 * @id: number of the device
 * @size: bytes; written under i_rwsem, read by scope_device_size()
 * @read_only: opens for writing are refused
 * @name: of the node, the bdi and the debugfs directory
 * @mnt: the mount that pins the superblock
 * @dev: the node and its sysfs directory
 * @debugfs: directory
 * @state: enum scope_state; written under scope_devices_lock, read without it by
 * scope_device_dead()
 * @open_files: open file descriptions; under scope_devices_lock
 * @write_retry_at: jiffies before which a failing store is left alone by the flusher
 * @write_backoff: jiffies that the next failed flush pass waits; 0 when the last write succeeded
 * @keep: so many pages that the store does not take may stay dirty
 * @kept: pages whose write failed and that are dirty since: see writeback.c
 * @lost: those that were given up instead
 * @told_lost: the log tells of them, since the store last took a page
 * @sync_lock: held while the store is flushed and the error is noted: see scope_store_sync()
 * @baseline_lock: serialises resets against readers of @baseline
 * @baseline: what to subtract from the counters: their values at the last reset
 * @stale_end: the store still has old bytes from @size up to here; under i_rwsem
 * @folio_order: of the largest folios in the cache; written under i_rwsem and invalidate_lock
 * @holds: on this memory: see scope_device_put()
 * @exported: it was made a regular file; under scope_devices_lock, and final
 * @pins_module: its contents last, so that the module must not be unloaded by an oversight
 * @rcu: see "Lifetime" above
 */
struct scope_device {
	struct scope_counters __percpu *counters;
	struct store *store;
	struct inode *inode;
	struct scope_testhook *hooks;

	unsigned int id;
	bool read_only;
	u64 size;
	char name[MMAPSCOPE_NAME_LEN];
	struct vfsmount *mnt;
	struct device *dev;
	struct dentry *debugfs;

	enum scope_state state;
	unsigned int open_files;

	unsigned long write_retry_at;
	unsigned long write_backoff;
	unsigned long keep;
	struct page_set kept;
	struct page_set lost;
	bool told_lost;

	struct mutex sync_lock;		/* one flush of the store at a time */
	struct mutex baseline_lock;	/* a leaf; protects @baseline */
	u64 baseline[MMAPSCOPE_NR_STATS];
	u64 stale_end;
	unsigned int folio_order;

	refcount_t holds;
	bool exported;
	bool pins_module;
	struct rcu_head rcu;
};

/**
 * struct scope_device_config - what a new device shall be
 * @size: bytes, whole pages, from one page to SCOPE_MAX_SIZE; or 0: what the file has
 * @store: enum mmapscope_store
 * @store_fd: descriptor of the file
 * @id: number wanted, or MMAPSCOPE_ID_ANY
 * @read_only: refuse opens for writing
 * @round_down: leave out what of the file is no whole page
 */
struct scope_device_config {
	u64 size;
	u32 store;
	int store_fd;
	u32 id;
	bool read_only;
	bool round_down;
};

/**
 * struct scope_run - folios on their way to or from the store, one after the other
 * @dev: whose
 * @op: STORE_READ or STORE_WRITE
 * @opf: REQ_* flags, for a block device
 * @end: gets each folio when the store has done with it, and the error; of a store that answers
 *	later, in any context after success, and in one that may sleep otherwise
 * @next: page that would continue what is in @nr or @io
 * @nr: pages that a store has answered already, contiguous and not counted yet
 * @err: first error of those
 * @io: contiguous folios, not submitted yet, for a store that answers later
 *
 * @dev, @op, @opf and @end are set by who uses it.
 */
struct scope_run {
	struct scope_device *dev;
	enum store_op op;
	blk_opf_t opf;
	void (*end)(struct scope_device *dev, struct folio *folio, int err);
	pgoff_t next;
	unsigned long nr;
	int err;
	struct store_io *io;
};

static inline struct address_space *scope_mapping(const struct scope_device *dev)
{
	return dev->inode->i_mapping;
}

/* The device that owns a page cache. */
static inline struct scope_device *scope_mapping_device(const struct address_space *mapping)
{
	return mapping->host->i_private;
}

/*
 * Has the device been removed by force?  A caller that must not go on afterwards asks under
 * inode->i_rwsem, which scope_device_kill() takes after it set the state; for the others a call
 * that began just before the removal is as good as one that ended just before it.
 */
static inline bool scope_device_dead(const struct scope_device *dev)
{
	return unlikely(READ_ONCE(dev->state) >= SCOPE_DEAD);
}

/* May a device be that large?  @size is from user space. */
static inline bool scope_size_valid(u64 size)
{
	return size && size <= SCOPE_MAX_SIZE && !(size & ~PAGE_MASK);
}

/*
 * i_rwsem of a device, for system calls: whoever waits behind a call that waits for a store that
 * hangs can be killed.
 */
static inline int scope_inode_lock(struct inode *inode)
{
	return down_write_killable(&inode->i_rwsem);
}

/* The size now, or a moment ago unless i_rwsem is held. */
static inline u64 scope_device_size(const struct scope_device *dev)
{
	return READ_ONCE(dev->size);
}

static inline void scope_stat_add(struct scope_device *dev, enum mmapscope_stat stat, u64 n)
{
	this_cpu_add(dev->counters->value[stat], n);
}

static inline void scope_stat_inc(struct scope_device *dev, enum mmapscope_stat stat)
{
	this_cpu_inc(dev->counters->value[stat]);
}

/* cache.c */
extern const struct address_space_operations scope_aops;
int scope_cache_make_dirty(struct scope_device *dev, struct folio *folio);
int scope_cache_zero(struct scope_device *dev, loff_t pos, unsigned int len, bool may_ask);
struct folio *scope_cache_next(struct address_space *mapping, pgoff_t *index, pgoff_t last);
unsigned long scope_cache_count(struct address_space *mapping, pgoff_t first, pgoff_t last);

/* control.c */
int scope_control_init(void);
void scope_control_exit(void);

/* debugfs.c */
void scope_debugfs_init(void);
void scope_debugfs_exit(void);
void scope_debugfs_add(struct scope_device *dev);
void scope_debugfs_remove(struct scope_device *dev);

/* device.c */
int scope_devices_init(void);
void scope_devices_loaded(void);
void scope_devices_exit(void);
int scope_device_create(struct scope_device_config *config);
int scope_device_remove(unsigned int id, bool force, u64 *discarded);
struct scope_device *scope_device_open(unsigned int id, bool write);
int scope_device_get(struct scope_device *dev, bool write);
void scope_device_announce(struct scope_device *dev);
void scope_device_release(struct scope_device *dev);
void scope_device_put(struct scope_device *dev);
void scope_device_export(struct scope_device *dev);
void scope_device_info(struct scope_device *dev, struct mmapscope_info *info);
struct mmapscope_info *scope_devices_list(unsigned int *nr);

/* evict.c */
int scope_evict(struct file *file, struct mmapscope_evict *evict);
int scope_punch(struct scope_device *dev, loff_t offset, loff_t length);
int scope_drop_large(struct address_space *mapping, pgoff_t first, pgoff_t last);

/* fault.c */
extern const struct vm_operations_struct scope_vm_ops;

/* file.c */
extern const struct file_operations scope_fops;
loff_t scope_llseek(struct file *file, loff_t offset, int whence);
ssize_t scope_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t scope_write_iter(struct kiocb *iocb, struct iov_iter *from);
ssize_t scope_splice_read(struct file *in, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
			  unsigned int flags);
int scope_fsync(struct file *file, loff_t start, loff_t end, int datasync);
int scope_release(struct inode *inode, struct file *file);
int scope_mmap(struct file *file, struct vm_area_struct *vma);

/* ioctl.c: see ioctl.h */

/* policy.c */
int scope_policy_init(void);
void scope_policy_init_device(struct scope_device *dev);
const char *scope_policy_name(unsigned int id);
int scope_policy_find(const char *name);
u64 scope_policy_get(struct scope_device *dev, unsigned int id);
int scope_policy_set(struct scope_device *dev, unsigned int id, u64 value);

/* pseudofs.c */
int scope_pseudofs_mount(struct scope_device *dev);
int scope_pseudofs_sync(struct scope_device *dev);
void scope_pseudofs_unmount(struct scope_device *dev);

/* regular.c */
void scope_regular_init_inode(struct inode *inode);
int scope_regular_fd(const struct file *like);

/* resize.c */
int scope_resize(struct scope_device *dev, u64 size);

/* stats.c */
void scope_stats_read(struct scope_device *dev, u64 *values);
u64 scope_stats_sum(struct scope_device *dev, enum mmapscope_stat stat);
void scope_stats_reset(struct scope_device *dev);
extern const char * const scope_stat_names[MMAPSCOPE_NR_STATS];

/* seek.c */
pgoff_t scope_next_dirty(struct address_space *mapping, pgoff_t index, pgoff_t end);
pgoff_t scope_next_data(struct scope_device *dev, pgoff_t index, pgoff_t end);
pgoff_t scope_next_hole(struct scope_device *dev, pgoff_t index, pgoff_t end);

/* store.c */
int scope_run_add(struct scope_run *run, struct folio *folio);
void scope_run_end(struct scope_run *run);
int scope_store_sync(struct scope_device *dev);
int scope_store_hooks(struct scope_device *dev, enum store_op op, pgoff_t index, unsigned long nr);
void scope_count_request(struct scope_device *dev, enum store_op op, unsigned long nr, int err);

/* testhook.c */
extern const struct file_operations scope_testhook_fops;
int scope_testhook_add(struct scope_device *dev);
void scope_testhook_remove(struct scope_device *dev);
int scope_testhook_run(struct scope_testhook *hooks, enum store_op op, pgoff_t index,
		       unsigned long nr);

/* writeback.c */
void scope_forget_failed(struct scope_device *dev, pgoff_t first, pgoff_t last);
void scope_writeback_init(void);
void scope_writeback_init_device(struct scope_device *dev);
int scope_writepages(struct address_space *mapping, struct writeback_control *wbc);
int scope_write_and_wait(struct address_space *mapping, loff_t start, loff_t end);

#endif /* MMAPSCOPE_H */
