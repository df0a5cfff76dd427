// SPDX-License-Identifier: GPL-2.0
/*
 * From a load or a store to a page-table entry.
 *
 * A read fault asks ->map_pages first: it maps what is cached around the address, and only if the
 * page itself is not there does ->fault run.  A write fault goes to ->fault at once, and, in a
 * shared mapping, on to ->page_mkwrite.  A page that is mapped read-only because it was clean
 * comes straight to ->page_mkwrite at the first store.
 *
 * There is no ->open and no ->close: the file that a VMA holds pins everything, and a ->close would
 * keep neighbouring VMAs from being merged.
 */

#include <linux/mm.h>
#include <linux/pagemap.h>

#include "mmapscope.h"

static enum mmapscope_stat fault_kind(const struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		return MMAPSCOPE_STAT_fault_read;
	if (vmf->vma->vm_flags & VM_SHARED)
		return MMAPSCOPE_STAT_fault_write;
	return MMAPSCOPE_STAT_fault_cow;
}

/*
 * Will the same fault come back, looking like a new one?  A RETRY from under the VMA lock does:
 * the core starts again under mmap_lock, and tags only what it started under mmap_lock.  With
 * MAJOR it is counted all the same, because what comes back is then a minor fault, or satisfied by
 * ->map_pages.
 */
static bool comes_back_untagged(unsigned int flags, vm_fault_t ret)
{
	return (flags & FAULT_FLAG_VMA_LOCK) && (ret & VM_FAULT_RETRY) && !(ret & VM_FAULT_MAJOR);
}

static void count_fault(struct scope_device *dev, enum mmapscope_stat kind, unsigned int flags,
			vm_fault_t ret)
{
	if (unlikely(ret & (VM_FAULT_RETRY | VM_FAULT_SIGBUS))) {
		if (ret & VM_FAULT_RETRY)
			scope_stat_inc(dev, MMAPSCOPE_STAT_fault_retry);
		if (ret & VM_FAULT_SIGBUS)
			scope_stat_inc(dev, MMAPSCOPE_STAT_fault_sigbus);
	}
	if (unlikely((flags & FAULT_FLAG_TRIED) || comes_back_untagged(flags, ret)))
		return;
	scope_stat_inc(dev, kind);
	scope_stat_inc(dev, ret & VM_FAULT_MAJOR ? MMAPSCOPE_STAT_fault_major :
						   MMAPSCOPE_STAT_fault_minor);
}

/*
 * Everything that is needed of @vmf and its VMA is read before filemap_fault(): when it returns
 * RETRY, both locks are gone and the VMA, the file and the device's last user may be gone with
 * them.  The memory of the device is not: see "Lifetime" in mmapscope.h.
 */
static vm_fault_t scope_fault(struct vm_fault *vmf)
{
	struct scope_device *dev = vmf->vma->vm_file->private_data;
	enum mmapscope_stat kind = fault_kind(vmf);
	unsigned int flags = vmf->flags;
	vm_fault_t ret;

	ret = filemap_fault(vmf);
	count_fault(dev, kind, flags, ret);
	return ret;
}

/*
 * Who says MADV_RANDOM does not want the neighbours: looking for them costs half as much again as
 * a cold page does.  A fault that ->fault has counted already, and that comes back after its
 * RETRY, is not counted again.  The VMA stays throughout: nothing here sleeps or drops a lock of
 * the fault.
 */
static vm_fault_t scope_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct scope_device *dev = vmf->vma->vm_file->private_data;
	vm_fault_t ret;

	if (vmf->vma->vm_flags & VM_RAND_READ)
		return 0;
	ret = filemap_map_pages(vmf, start, end);
	if ((ret & VM_FAULT_NOPAGE) && !(vmf->flags & FAULT_FLAG_TRIED))
		scope_stat_inc(dev, MMAPSCOPE_STAT_fault_around);
	return ret;
}

/*
 * Who waits here for a store that hangs can be killed.  It is SIGBUS then and not NOPAGE: a copy to
 * user memory within the kernel would come back for ever.
 */
static vm_fault_t mkwrite_failed(struct scope_device *dev)
{
	scope_stat_inc(dev, MMAPSCOPE_STAT_fault_sigbus);
	return VM_FAULT_SIGBUS;
}

/*
 * The page is about to become writable in one shared mapping.  It is returned locked: writeback
 * takes the lock before it clears dirty and write-protects, so it cannot come between our dirtying
 * and the page-table entry becoming writable.  The folio lock also decides races with truncation,
 * punch and forced removal: they change folio->mapping, or the size, under it.
 */
static vm_fault_t scope_page_mkwrite(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct scope_device *dev = file->private_data;
	struct folio *folio = page_folio(vmf->page);

	if (unlikely(folio_lock_killable(folio)))
		return mkwrite_failed(dev);
	if (unlikely(folio->mapping != file->f_mapping ||
		     folio_pos(folio) >= i_size_read(dev->inode))) {
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	/* Stable pages, without asking whether this mapping wants them. */
	if (unlikely(folio_test_writeback(folio) && folio_wait_writeback_killable(folio)) ||
	    unlikely(scope_cache_make_dirty(dev, folio))) {
		folio_unlock(folio);
		return mkwrite_failed(dev);
	}
	scope_stat_inc(dev, MMAPSCOPE_STAT_mkwrite);
	return VM_FAULT_LOCKED;
}

const struct vm_operations_struct scope_vm_ops = {
	.fault = scope_fault,
	.map_pages = scope_map_pages,
	.page_mkwrite = scope_page_mkwrite,
};
