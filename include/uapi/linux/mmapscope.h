/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl interface of mmapscope: an oscilloscope for the Linux paging path.
 *
 * Every command takes one pointer to a struct that begins with @size and @flags.  The caller sets
 * @size to sizeof() of the struct as it was compiled with and @flags to 0 or to flags documented
 * here.  Structs only ever grow at the end:
 *
 *  - a @size larger than the kernel's struct is accepted as long as all bytes that the kernel does
 *    not know are zero;
 *  - a @size smaller than the kernel's struct is accepted down to the struct's first release; what
 *    the caller does not have reads as zero and is not written back.
 *
 * A 32-bit program on a 64-bit kernel uses the same structs: pointers travel as __aligned_u64.
 *
 * Errors.  These have one meaning in every command:
 *
 *  - ENOTTY: this node does not know the command.
 *  - EINVAL: @size is smaller than the first release of the struct, a flag is not known, a reserved
 *    field is not 0, or a value is outside the range that its field documents.
 *  - E2BIG:  @size is larger than the kernel's struct and the bytes beyond are not all zero.
 *  - EFAULT: the struct, or memory that it points to, cannot be read or written.  Nothing was done,
 *    unless another thread took the memory away during the call: then it is done, and could only
 *    not be told.
 *  - EPERM:  the command needs CAP_SYS_ADMIN in the initial user namespace.
 *  - EBADF:  the command changes the device and the descriptor is not open for writing.
 *  - ENODEV: the device was removed by force while this descriptor was open.
 *
 * What a command adds to these is listed with its struct.
 */
#ifndef _UAPI_LINUX_MMAPSCOPE_H
#define _UAPI_LINUX_MMAPSCOPE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MMAPSCOPE_IOC_TYPE	0xD6

/* On /dev/mmapscope-control, open for whatever: capabilities decide what a caller may do */
#define MMAPSCOPE_IOC_CREATE	_IO(MMAPSCOPE_IOC_TYPE, 0x00)
#define MMAPSCOPE_IOC_REMOVE	_IO(MMAPSCOPE_IOC_TYPE, 0x01)
#define MMAPSCOPE_IOC_LIST	_IO(MMAPSCOPE_IOC_TYPE, 0x02)

/* On a device's own node */
#define MMAPSCOPE_IOC_INFO	_IO(MMAPSCOPE_IOC_TYPE, 0x20)
#define MMAPSCOPE_IOC_STATS	_IO(MMAPSCOPE_IOC_TYPE, 0x21)
#define MMAPSCOPE_IOC_RESET	_IO(MMAPSCOPE_IOC_TYPE, 0x22)
#define MMAPSCOPE_IOC_EVICT	_IO(MMAPSCOPE_IOC_TYPE, 0x23)
#define MMAPSCOPE_IOC_PUNCH	_IO(MMAPSCOPE_IOC_TYPE, 0x24)
#define MMAPSCOPE_IOC_SYNC	_IO(MMAPSCOPE_IOC_TYPE, 0x25)
#define MMAPSCOPE_IOC_RESIZE	_IO(MMAPSCOPE_IOC_TYPE, 0x26)
#define MMAPSCOPE_IOC_FILE	_IO(MMAPSCOPE_IOC_TYPE, 0x27)
#define MMAPSCOPE_IOC_POLICY	_IO(MMAPSCOPE_IOC_TYPE, 0x28)
/* BLKGETSIZE64 of <linux/fs.h> works, too: the size in bytes, to a __u64. */

#define MMAPSCOPE_NAME_LEN	32
#define MMAPSCOPE_PATH_LEN	256
#define MMAPSCOPE_MAX_DEVICES	1024

/* In mmapscope_create.id: the lowest number that is free. */
#define MMAPSCOPE_ID_ANY	0xffffffffU

/**
 * enum mmapscope_store - what stands behind a device's page cache
 * @MMAPSCOPE_STORE_RAM: sparse memory of the module; the contents end with the device
 * @MMAPSCOPE_STORE_FILE: a regular file or a block device; what was synced is there to stay
 */
enum mmapscope_store {
	MMAPSCOPE_STORE_RAM = 0,
	MMAPSCOPE_STORE_FILE = 1,
};

/**
 * enum mmapscope_io_mode - how pages get to the store and back
 * @MMAPSCOPE_IO_MEMORY: they are copied (RAM)
 * @MMAPSCOPE_IO_DIRECT: past the cache of the file that they are in
 * @MMAPSCOPE_IO_BUFFERED: through that cache, because the file cannot do otherwise
 * @MMAPSCOPE_IO_BLOCK: by bios
 */
enum mmapscope_io_mode {
	MMAPSCOPE_IO_MEMORY = 0,
	MMAPSCOPE_IO_DIRECT = 1,
	MMAPSCOPE_IO_BUFFERED = 2,
	MMAPSCOPE_IO_BLOCK = 3,
};

/**
 * define MMAPSCOPE_CREATE_READ_ONLY - the device refuses opens for writing with EROFS
 * define MMAPSCOPE_CREATE_ROUND_DOWN - if the file is no multiple of the page size, leave out its
 *	end, instead of ERANGE
 */
#define MMAPSCOPE_CREATE_READ_ONLY	(1U << 0)
#define MMAPSCOPE_CREATE_ROUND_DOWN	(1U << 1)

/**
 * struct mmapscope_create - ioctl(MMAPSCOPE_IOC_CREATE), on the control node
 * @size: sizeof(struct mmapscope_create)
 * @flags: MMAPSCOPE_CREATE_*
 * @dev_size: size of the device in bytes: a multiple of the page size, at least one page, at most
 *	2^63 - 1 rounded down to a page.  With MMAPSCOPE_STORE_FILE not more than the file has;
 *	0 means what it has.  Out: the size of the new device
 * @store: enum mmapscope_store
 * @id: in: the number wanted, below MMAPSCOPE_MAX_DEVICES, or MMAPSCOPE_ID_ANY; out: the number
 *	of the new device, whose node is /dev/mmapscope@id
 * @store_fd: with MMAPSCOPE_STORE_FILE, a descriptor of the regular file or block device, open for
 *	reading; the device is read-only if it is not open for writing, too.  It may be closed
 *	afterwards.  Else 0
 * @__reserved: 0
 *
 * The file is used with the rights of who opened the descriptor.  A block device is claimed: file
 * systems, swap and other devices cannot use it meanwhile.  Needs CAP_SYS_ADMIN.
 *
 * EEXIST: @id is taken (also by a device removed by force that is still open somewhere).
 * ENOSPC: all MMAPSCOPE_MAX_DEVICES numbers are taken.
 * ENOMEM: not enough memory.
 * EBADF: @store_fd is no descriptor that is open for reading.
 * EISDIR: it is a directory.
 * ELOOP: it is a device of this module.
 * EOPNOTSUPP: it is something else, or cannot be read and written in place, or its blocks are
 *	larger than pages.
 * EBUSY: another device uses it, or it is swapped to, or somebody has claimed the block device.
 * EFBIG: @dev_size is more than it has.
 * ERANGE: its size is no multiple of the page size, or less than a page.
 * EACCES, EPERM, EROFS, EIO, ETXTBSY, ENXIO: opening it again says so.
 */
struct mmapscope_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 dev_size;
	__u32 store;
	__u32 id;
	__s32 store_fd;
	__u32 __reserved;
};

/**
 * define MMAPSCOPE_REMOVE_FORCE - remove although the device is open or mapped, or cannot be
 *	written back: accesses to mappings get SIGBUS from now on, calls on open descriptors ENODEV,
 *	and what could not be written is discarded and counted
 */
#define MMAPSCOPE_REMOVE_FORCE		(1U << 0)

/**
 * struct mmapscope_remove - ioctl(MMAPSCOPE_IOC_REMOVE), on the control node
 * @size: sizeof(struct mmapscope_remove)
 * @flags: MMAPSCOPE_REMOVE_*
 * @id: number of the device
 * @__reserved: 0
 * @discarded: out: dirty pages that were thrown away without being written (only ever non-zero
 *	with MMAPSCOPE_REMOVE_FORCE)
 *
 * Dirty pages are written to the store first; the device stays, unchanged, if that fails and force
 * was not asked for.  Needs CAP_SYS_ADMIN.
 *
 * ENOENT: there is no device @id.
 * EBUSY: the device is open or mapped, or is just being removed by somebody else.
 * EIO, ENOSPC: the store did not take the dirty pages.
 */
struct mmapscope_remove {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 __reserved;
	__aligned_u64 discarded;
};

/**
 * define MMAPSCOPE_INFO_READ_ONLY - opens for writing are refused
 * define MMAPSCOPE_INFO_REMOVED - removed by force, and still open somewhere
 */
#define MMAPSCOPE_INFO_READ_ONLY	(1U << 0)
#define MMAPSCOPE_INFO_REMOVED		(1U << 1)

/**
 * struct mmapscope_info - ioctl(MMAPSCOPE_IOC_INFO), on a device; also an entry of a list
 * @size: sizeof(struct mmapscope_info)
 * @flags: in: 0; out: MMAPSCOPE_INFO_*
 * @id: out: number of the device
 * @store: out: enum mmapscope_store
 * @dev_size: out: size of the device in bytes
 * @open_files: out: open file descriptions, those held by mappings included
 * @page_size: out: bytes in a base page, the unit of all page counters
 * @store_pages: out: pages that the store holds
 * @name: out: name of the node below /dev, NUL-terminated
 * @io_mode: out: enum mmapscope_io_mode
 * @__reserved: 0
 * @store_path: out: path of the file or block device, NUL-terminated; one that is too long begins
 *	with "..." instead of its beginning; empty with MMAPSCOPE_STORE_RAM
 */
struct mmapscope_info {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 store;
	__aligned_u64 dev_size;
	__u32 open_files;
	__u32 page_size;
	__aligned_u64 store_pages;
	char name[MMAPSCOPE_NAME_LEN];
	__u32 io_mode;
	__u32 __reserved;
	char store_path[MMAPSCOPE_PATH_LEN];
};

/**
 * struct mmapscope_list - ioctl(MMAPSCOPE_IOC_LIST), on the control node
 * @size: sizeof(struct mmapscope_list)
 * @flags: 0
 * @count: in: how many entries there is room for at @entries; out: how many devices there are,
 *	which may be more
 * @entry_size: sizeof(struct mmapscope_info) as the caller knows it: from the first release's size
 *	to 4096 bytes; what the kernel does not know is zeroed
 * @entries: pointer to an array of @count entries of @entry_size bytes, filled by ascending number;
 *	@size of each says how many of its bytes the kernel knows
 *
 * ENOMEM: not enough memory.
 */
struct mmapscope_list {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 entry_size;
	__aligned_u64 entries;
};

/**
 * struct mmapscope_stats - ioctl(MMAPSCOPE_IOC_STATS), on a device
 * @size: sizeof(struct mmapscope_stats)
 * @flags: 0
 * @count: in: how many counters there is room for at @values; out: how many the kernel has, which
 *	may be more
 * @__reserved: 0
 * @values: pointer to an array of @count __u64, in the order of enum mmapscope_stat
 *
 * Holders of the node may read its counters: no capability is needed.
 */
struct mmapscope_stats {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 __reserved;
	__aligned_u64 values;
};

/**
 * struct mmapscope_reset - ioctl(MMAPSCOPE_IOC_RESET), on a device open for writing
 * @size: sizeof(struct mmapscope_reset)
 * @flags: 0
 *
 * Event counters start again at 0; pages_added starts again at what is cached and pages_dirtied at
 * what is dirty or under writeback, so that the books still balance.
 */
struct mmapscope_reset {
	__u32 size;
	__u32 flags;
};

/**
 * define MMAPSCOPE_EVICT_NO_WRITE - leave dirty pages alone instead of writing them first
 */
#define MMAPSCOPE_EVICT_NO_WRITE	(1U << 0)

/**
 * struct mmapscope_evict - ioctl(MMAPSCOPE_IOC_EVICT), on a device
 * @size: sizeof(struct mmapscope_evict)
 * @flags: MMAPSCOPE_EVICT_*
 * @offset: first byte, a multiple of the page size
 * @length: bytes, a multiple of the page size; 0 means up to the end of the device; a range that
 *	reaches beyond the end is cut there
 * @evicted: out: pages that left the cache
 * @remaining: out: pages of the range that are still cached: mlocked, pinned, dirty, in use, or not
 *	in the store because it did not take them
 *
 * Dirty pages are written first, all page-table entries that map the range are removed, then clean
 * pages are dropped.  The contents do not change.
 *
 * EIO, ENOSPC: the store did not take a dirty page, now or before; nothing was dropped.
 * EINTR: a fatal signal came.
 */
struct mmapscope_evict {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 evicted;
	__aligned_u64 remaining;
};

/**
 * struct mmapscope_punch - ioctl(MMAPSCOPE_IOC_PUNCH), on a device open for writing
 * @size: sizeof(struct mmapscope_punch)
 * @flags: 0
 * @offset: first byte, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0; the range lies within the device
 *
 * Drops the range from the cache, dirty or not, and from the store: it reads as zeros, through
 * mappings too, and takes no room, where the store can do that.
 *
 * EIO, ENOSPC and whatever the file says: the store did not do it; what the range reads as is not
 * known then.
 */
struct mmapscope_punch {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
};

/**
 * struct mmapscope_sync - ioctl(MMAPSCOPE_IOC_SYNC), on a device
 * @size: sizeof(struct mmapscope_sync)
 * @flags: 0
 *
 * What syncfs(2) would do for the device's own superblock: write back and flush.  (syncfs(2) on a
 * node syncs the filesystem that the node is in.)
 *
 * EIO, ENOSPC: a page was not written, or the flush failed.  This takes no error away from
 * fsync(2).
 */
struct mmapscope_sync {
	__u32 size;
	__u32 flags;
};

/**
 * struct mmapscope_resize - ioctl(MMAPSCOPE_IOC_RESIZE), on a device open for writing
 * @size: sizeof(struct mmapscope_resize)
 * @flags: 0
 * @dev_size: new size in bytes, in the range that mmapscope_create has
 *
 * Live mappings see it: touching what is beyond a smaller size is SIGBUS, and what comes back with
 * a larger one reads as zeros.  A regular file is made longer if need be, and never shorter.  Needs
 * CAP_SYS_ADMIN.
 *
 * EFBIG: the block device is not that large, or the file cannot be.
 * EBUSY: a large folio that crosses the new end is in use, for instance pinned.
 * EIO, ENOSPC: that folio was dirty, and the store did not take it.
 * EINTR: a signal came before anything was changed.
 */
struct mmapscope_resize {
	__u32 size;
	__u32 flags;
	__aligned_u64 dev_size;
};

/**
 * struct mmapscope_file - ioctl(MMAPSCOPE_IOC_FILE), on a device
 * @size: sizeof(struct mmapscope_file)
 * @flags: 0
 *
 * Returns a new descriptor (close-on-exec) of a regular file that is the device: the same
 * contents, coherent with it at every moment, for programs that insist on regular files, and for
 * calls that the kernel refuses for character devices: fallocate(2), MADV_REMOVE, readahead(2),
 * sync_file_range(2), copy_file_range(2), syncfs(2).  It is open for what the device's descriptor
 * is open for, and can be opened again as /proc/self/fd/N, by root.  It cannot be truncated.
 *
 * A device that was handed out so keeps the module loaded until it has been removed.
 *
 * EMFILE, ENFILE, ENOMEM: as for open(2).
 */
struct mmapscope_file {
	__u32 size;
	__u32 flags;
};

/**
 * define MMAPSCOPE_POLICY_SET - change the policy; needs CAP_SYS_ADMIN
 */
#define MMAPSCOPE_POLICY_SET		(1U << 0)

/**
 * struct mmapscope_policy - ioctl(MMAPSCOPE_IOC_POLICY), on a device
 * @size: sizeof(struct mmapscope_policy)
 * @flags: MMAPSCOPE_POLICY_*
 * @id: enum mmapscope_policy_id
 * @__reserved: 0
 * @value: in, with MMAPSCOPE_POLICY_SET: the value wanted; out: the value in force, which the
 * kernel
 *	may have rounded up
 *
 * Changing large_folio_kb writes back and drops the large folios that are cached.
 *
 * EINVAL: no such policy, or @value is not in its range.
 * EBUSY: a large folio is in use, for instance pinned, and cannot be dropped.
 * EINTR: a signal came meanwhile.
 * EIO, ENOSPC: the store did not take a dirty page.
 */
struct mmapscope_policy {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 __reserved;
	__aligned_u64 value;
};

/*
 * The policies: X(name, text), declared here and nowhere else.  The order is ABI, additions go to
 * the end.
 */
#define MMAPSCOPE_POLICIES(X) \
	X(large_folio_kb, "largest folio of the cache in KiB, a power of two; 0: single pages only")

/* enum mmapscope_policy_id - index of a policy in mmapscope_policy.id */
enum mmapscope_policy_id {
#define MMAPSCOPE_POLICY_ID(name, text) MMAPSCOPE_POLICY_##name,
	MMAPSCOPE_POLICIES(MMAPSCOPE_POLICY_ID)
#undef MMAPSCOPE_POLICY_ID
	MMAPSCOPE_NR_POLICIES
};

/*
 * The counters: X(name, kind, text), declared here and nowhere else.  The order is ABI, additions
 * go to the end.  C is an event counter (since creation or reset), G a gauge (now).  Pages are base
 * pages, whatever the size of a folio.  docs/counters.md says where each event is counted, and why
 * once.
 */
#define MMAPSCOPE_STATS(X) \
	X(fault_read, C, "faults by a read that reached ->fault") \
	X(fault_write, C, "faults by a write to a shared mapping that reached ->fault") \
	X(fault_cow, C, "faults by a first-touch write to a private mapping that reached ->fault") \
	X(fault_minor, C, "of those, the page was cached") \
	X(fault_major, C, "of those, the page had to be read from the store") \
	X(fault_sigbus, C, "calls of ->fault or ->page_mkwrite that returned SIGBUS") \
	X(fault_retry, C, "calls of ->fault that returned RETRY") \
	X(fault_around, C, "faults that ->map_pages satisfied, without ->fault") \
	X(mkwrite, C, "times a page became writable in one mapping") \
	X(pages_cached, G, "pages in the cache now") \
	X(pages_dirty, G, "pages dirty now") \
	X(pages_writeback, G, "pages under writeback now") \
	X(pages_added, C, "pages that entered the cache") \
	X(pages_dirtied, C, "pages that became dirty") \
	X(pages_cleaned, C, "dirty pages that were written") \
	X(pages_write_failed, C, "dirty pages whose write failed") \
	X(pages_discarded, C, "dirty pages dropped without being written") \
	X(pages_evicted, C, "pages that left the cache clean") \
	X(store_read_ops, C, "read requests to the store") \
	X(store_read_pages, C, "pages in read requests, holes included") \
	X(store_read_errors, C, "read requests that failed") \
	X(store_write_ops, C, "write requests to the store") \
	X(store_write_pages, C, "pages in write requests") \
	X(store_write_errors, C, "write requests that failed") \
	X(store_sync_ops, C, "flushes of the store") \
	X(readahead_pages, C, "pages read through ->readahead") \
	X(wb_sync_pages, C, "pages put under writeback for a sync, or not by the flusher") \
	X(wb_periodic_pages, C, "pages put under writeback by the flusher because of their age") \
	X(wb_background_pages, C, "pages put under writeback by the flusher over the threshold") \
	X(wb_reclaim_pages, C, "pages put under writeback for memory or the cache limit") \
	X(wb_other_pages, C, "pages put under writeback by the flusher for other reasons") \
	X(read_bytes, C, "bytes read by read(2) and splice(2)") \
	X(write_bytes, C, "bytes written by write(2) and splice(2)") \
	X(store_pages, G, "pages that the store holds now")

/* enum mmapscope_stat - index of a counter in mmapscope_stats.values */
enum mmapscope_stat {
#define MMAPSCOPE_STAT_ID(name, kind, text) MMAPSCOPE_STAT_##name,
	MMAPSCOPE_STATS(MMAPSCOPE_STAT_ID)
#undef MMAPSCOPE_STAT_ID
	MMAPSCOPE_NR_STATS
};

#endif /* _UAPI_LINUX_MMAPSCOPE_H */
