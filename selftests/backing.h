/* SPDX-License-Identifier: GPL-2.0 */
/* What stands behind scratch devices: a fixture has a variant for each kind. */
#ifndef SELFTESTS_BACKING_H
#define SELFTESTS_BACKING_H

#include <stdbool.h>

#include <linux/types.h>

/* Why there is no store of this kind here, or NULL. */
const char *backing_unavailable(const char *store);
/*
 * A descriptor of @bytes of zeros for a store of this kind: a file that has no name any more, or a
 * block device.  @nth counts from 0: where there are only so many (block devices), which of them;
 * -1 if there are not that many.
 */
int backing_open(const char *store, __u64 bytes, int nth);
/* The folder for files of this kind; for "block", the names of the block devices.  NULL if none. */
const char *backing_folder(const char *store);
/*
 * Shall the variant @name run, which begins with the kind of a store, or is one?  SCOPE_STORES
 * names those that shall; without it, all.
 */
bool backing_wanted(const char *name);

static inline bool backing_is_ram(const char *store)
{
	return store[0] == 'r';
}

static inline bool backing_is_block(const char *store)
{
	return store[0] == 'b' && store[1] == 'l';
}

/* A file on vfat has all of its blocks, and links of other names it has not. */
static inline bool backing_is_vfat(const char *store)
{
	return store[0] == 'v';
}

/* What was never written, or punched, takes no room. */
static inline bool backing_has_holes(const char *store)
{
	return !backing_is_block(store) && !backing_is_vfat(store);
}

/* Files on tmpfs are in its cache, and nowhere else. */
static inline bool backing_is_tmpfs(const char *store)
{
	return store[0] == 't';
}

#endif /* SELFTESTS_BACKING_H */
