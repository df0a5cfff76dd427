#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Print one -DHAVE_... for each kernel interface whose present form the headers of the kernel source
# (or headers package) in $1 have.  Headers are searched, versions are not compared, because
# distributions backport.  src/compat/compat.h bridges what is missing.
set -eu

include=$1/include/linux

# have NAME HEADER REGEX: the headers have NAME if REGEX matches in HEADER
have()
{
	if grep -Eqs "$3" "$include/$2"; then
		printf -- '-DHAVE_%s ' "$1"
	fi
}

# 6.12: write_begin and write_end deal in folios
have WRITE_BEGIN_FOLIO	fs.h		'^[[:space:]]*struct folio \*\*foliop, void \*\*fsdata'
# 6.17: ... and are given the kiocb instead of the file
have WRITE_BEGIN_KIOCB	fs.h		'\(\*write_begin\)\(const struct kiocb \*'
# 6.8: error_remove_page became error_remove_folio
have ERROR_REMOVE_FOLIO	fs.h		'\(\*error_remove_folio\)'
# 6.9: writeback_iter, in place of write_cache_pages and its callback
have WRITEBACK_ITER	writeback.h	'[[:space:]*]writeback_iter\('
# 6.3: filemap_splice_read, in place of generic_file_splice_read, which 6.5 no longer has
have FILEMAP_SPLICE_READ fs.h		'ssize_t filemap_splice_read\('
# 6.7: folio_end_read
have FOLIO_END_READ	pagemap.h	'void folio_end_read\('
# 6.7: simple_inode_init_ts
have INODE_INIT_TS	fs.h		' simple_inode_init_ts\('
# 6.4: class_create without an owner
have CLASS_CREATE_NAME	device/class.h	'class_create\(const char \*name\)'
# 6.4: faults under the VMA lock
have FAULT_FLAG_VMA_LOCK	mm_types.h	'FAULT_FLAG_VMA_LOCK[[:space:]]*='
# 6.12: the largest folio of a mapping can be chosen; before, large folios were on or off
have FOLIO_ORDER_RANGE	pagemap.h	'AS_FOLIO_ORDER_MAX_MASK'
# 6.6: ->write_begin may be asked for more than a page
have FGF_SET_ORDER	pagemap.h	'fgf_set_order\('
# 6.3: idmapped mounts by struct mnt_idmap
have MNT_IDMAP		fs.h		'\(\*setattr\) ?\(struct mnt_idmap \*'
# 6.6: generic_fillattr is told what is wanted
have FILLATTR_MASK	fs.h		'void generic_fillattr\(struct mnt_idmap \*, u32'
# 6.6, and stable kernels: ->invalidate_folio and ->release_folio without private data
have RELEASE_ALWAYS	pagemap.h	'mapping_set_release_always\('
# 6.9: a block device is opened as a file
have BDEV_FILE		blkdev.h	'bdev_file_open_by_dev\('
