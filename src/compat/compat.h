/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that knows a kernel version.
 *
 * The rest of the module is written as if only the newest kernel existed; what older ones have in
 * another form is bridged here.  src/compat/probe.sh finds out which form the headers have.
 */
#ifndef MMAPSCOPE_COMPAT_H
#define MMAPSCOPE_COMPAT_H

#include <linux/device/class.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/writeback.h>

#ifndef CONFIG_64BIT
#error "mmapscope needs a 64-bit kernel: sizes, page offsets and per-CPU counters are 64 bits wide"
#endif

#ifndef HAVE_RELEASE_ALWAYS
#error "mmapscope needs mapping_set_release_always(): use Linux 6.9 or newer, or an up-to-date 6.1"
#endif

/*
 * Every fault runs under mmap_lock.  Not a macro, as below: if the kernel has the name after all,
 * the compiler shall say so.
 */
#ifndef HAVE_FAULT_FLAG_VMA_LOCK
enum { FAULT_FLAG_VMA_LOCK = 0 };
#endif

/* A write(2) comes to ->write_begin page by page. */
#ifndef HAVE_FGF_SET_ORDER
#define fgf_t	int
static inline fgf_t fgf_set_order(size_t size)
{
	return 0;
}
#endif

/*
 * compat_set_folio_order() - choose the largest folio that a mapping in use may be given
 * @mapping: nobody adds folios to it meanwhile
 * @order: wanted; 0 for single pages
 *
 * mapping_set_folio_order_range() is for new mappings: it would lose a flag, such as AS_EIO, that
 * is set atomically at the same moment.
 *
 * Return: the order that is in force, which is larger if the kernel cannot choose.
 */
#ifdef HAVE_FOLIO_ORDER_RANGE
static inline unsigned int compat_set_folio_order(struct address_space *mapping,
						  unsigned int order)
{
	unsigned long new, old = READ_ONCE(mapping->flags);

	order = min_t(unsigned int, order, MAX_PAGECACHE_ORDER);
	/* As on PREEMPT_RT: the kernel keeps the order, and gives single pages. */
	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		order = 0;
	do {
		new = (old & ~(unsigned long)AS_FOLIO_ORDER_MASK) |
		      ((unsigned long)order << AS_FOLIO_ORDER_MAX);
	} while (!try_cmpxchg(&mapping->flags, &old, new));
	return order;
}
#else
static inline unsigned int compat_set_folio_order(struct address_space *mapping,
						  unsigned int order)
{
	const unsigned int pmd_order = PMD_SHIFT - PAGE_SHIFT;

	/*
	 * With pages of 64 KiB a folio that a PMD maps has more pages than an xarray can split;
	 * these kernels do not know about that.
	 */
	if (!order || !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ||
	    pmd_order >= 2 * XA_CHUNK_SHIFT) {
		clear_bit(AS_LARGE_FOLIO_SUPPORT, &mapping->flags);
		return 0;
	}
	set_bit(AS_LARGE_FOLIO_SUPPORT, &mapping->flags);
	return pmd_order;
}
#endif

/* Inode operations are given the mount's mapping of user ids. */
#ifdef HAVE_MNT_IDMAP
#define COMPAT_IDMAP	struct mnt_idmap
#else
#define COMPAT_IDMAP	struct user_namespace
#endif

#ifdef HAVE_FILLATTR_MASK
#define compat_generic_fillattr	generic_fillattr
#else
#define compat_generic_fillattr(idmap, mask, inode, stat)	generic_fillattr(idmap, inode, stat)
#endif

#ifndef HAVE_INODE_INIT_TS
static inline void simple_inode_init_ts(struct inode *inode)
{
	inode->i_atime = current_time(inode);
	inode->i_mtime = inode->i_atime;
	inode->i_ctime = inode->i_atime;
}
#endif

#ifndef HAVE_CLASS_CREATE_NAME
#undef class_create
#define class_create(name)						\
({									\
	static struct lock_class_key __key;				\
	__class_create(THIS_MODULE, name, &__key);			\
})
#endif

#ifndef HAVE_FOLIO_END_READ
static inline void folio_end_read(struct folio *folio, bool success)
{
	if (success)
		folio_mark_uptodate(folio);
	folio_unlock(folio);
}
#endif

/*
 * Without preemption the kernel need not have RCU-tasks, and a context switch ends an RCU grace
 * period; the kernel maps the other two functions itself.
 */
#ifndef CONFIG_TASKS_RCU
#define rcu_barrier_tasks	rcu_barrier
#endif

/*
 * compat_module_refs() - how many references there are to this module
 * compat_module_idle() - how many when nobody uses it, asked at the begin of its end
 *
 * While it is loading load_module() has one.  rmmod takes away one that says that it is not being
 * unloaded; by force it does not, and there may be references of somebody else.  Without
 * CONFIG_MODULE_UNLOAD nobody counts, and only a module that failed to load goes.
 */
#ifdef CONFIG_MODULE_UNLOAD
static inline int compat_module_refs(void)
{
	return module_refcount(THIS_MODULE);
}
#else
static inline int compat_module_refs(void)
{
	return 0;
}
#endif

static inline int compat_module_idle(void)
{
	if (THIS_MODULE->state == MODULE_STATE_COMING)
		return 1;
	return min(compat_module_refs(), 0);
}

/*
 * Before 6.5 splice(2) reads went through ->read_iter, which counts bytes itself;
 * filemap_splice_read does not.
 */
#ifdef HAVE_FILEMAP_SPLICE_READ
#define COMPAT_SPLICE_CALLS_READ_ITER	false
#else
#define COMPAT_SPLICE_CALLS_READ_ITER	true
#define filemap_splice_read		generic_file_splice_read
#endif

/**
 * compat_write_dirty_folios() - give each folio that writeback selects to a function
 * @mapping: the page cache
 * @wbc: what to write
 * @write: gets the folio locked, with dirty cleared; unlocks it
 * @data: passed through
 *
 * The loop of writeback_iter(): an error ends a WB_SYNC_NONE pass, and is remembered by a
 * WB_SYNC_ALL one.
 *
 * Return: 0, or the first error of @write.
 */
#ifdef HAVE_WRITEBACK_ITER
static inline int
compat_write_dirty_folios(struct address_space *mapping, struct writeback_control *wbc,
			  int (*write)(struct folio *, struct writeback_control *, void *),
			  void *data)
{
	struct folio *folio = NULL;
	int error = 0;

	while ((folio = writeback_iter(mapping, wbc, folio, &error)))
		error = write(folio, wbc, data);
	return error;
}
#else
struct compat_write {
	int (*write)(struct folio *folio, struct writeback_control *wbc, void *data);
	void *data;
};

static inline int compat_write_page(struct page *page, struct writeback_control *wbc, void *data)
{
	struct compat_write *w = data;

	return w->write(page_folio(page), wbc, w->data);
}

static inline int
compat_write_dirty_folios(struct address_space *mapping, struct writeback_control *wbc,
			  int (*write)(struct folio *, struct writeback_control *, void *),
			  void *data)
{
	struct compat_write w = { .write = write, .data = data };

	return write_cache_pages(mapping, wbc, compat_write_page, &w);
}
#endif

/*
 * COMPAT_WRITE_AOPS(begin, end) defines compat_write_begin and compat_write_end, in the form that
 * this kernel's address_space_operations want, around
 *
 *	int begin(struct address_space *mapping, loff_t pos, unsigned int len,
 *		  struct folio **foliop);
 *	int end(struct address_space *mapping, loff_t pos, unsigned int len, unsigned int copied,
 *		struct folio *folio);
 */
#if defined(HAVE_WRITE_BEGIN_KIOCB)
#define COMPAT_WRITE_FIRST	const struct kiocb *iocb
#else
#define COMPAT_WRITE_FIRST	struct file *file
#endif

#if defined(HAVE_WRITE_BEGIN_FOLIO) || defined(HAVE_WRITE_BEGIN_KIOCB)
#define COMPAT_WRITE_AOPS(begin, end)							\
static int compat_write_begin(COMPAT_WRITE_FIRST, struct address_space *mapping,	\
			      loff_t pos, unsigned int len, struct folio **foliop,	\
			      void **fsdata)						\
{											\
	return begin(mapping, pos, len, foliop);					\
}											\
											\
static int compat_write_end(COMPAT_WRITE_FIRST, struct address_space *mapping,		\
			    loff_t pos, unsigned int len, unsigned int copied,		\
			    struct folio *folio, void *fsdata)				\
{											\
	return end(mapping, pos, len, copied, folio);					\
}
#else
#define COMPAT_WRITE_AOPS(begin, end)							\
static int compat_write_begin(COMPAT_WRITE_FIRST, struct address_space *mapping,	\
			      loff_t pos, unsigned int len, struct page **pagep,	\
			      void **fsdata)						\
{											\
	struct folio *folio;								\
	int err = begin(mapping, pos, len, &folio);					\
											\
	if (!err)									\
		*pagep = folio_file_page(folio, pos >> PAGE_SHIFT);			\
	return err;									\
}											\
											\
static int compat_write_end(COMPAT_WRITE_FIRST, struct address_space *mapping,		\
			    loff_t pos, unsigned int len, unsigned int copied,		\
			    struct page *page, void *fsdata)				\
{											\
	return end(mapping, pos, len, copied, page_folio(page));			\
}
#endif

/* For the initialiser of address_space_operations. */
#ifdef HAVE_ERROR_REMOVE_FOLIO
#define COMPAT_ERROR_REMOVE	.error_remove_folio = generic_error_remove_folio
#else
#define COMPAT_ERROR_REMOVE	.error_remove_page = generic_error_remove_page
#endif

#endif /* MMAPSCOPE_COMPAT_H */
