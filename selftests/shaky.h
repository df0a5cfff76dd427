/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A store on a block device that can be made to fail, to lie and to hang: the block device itself,
 * or a file on an ext4 on it, of whose bytes only those of the file are concerned, so that the file
 * system stays sound.
 *
 * SCOPE_BLOCK	block devices that may be overwritten, with blanks between them
 */
#ifndef SELFTESTS_SHAKY_H
#define SELFTESTS_SHAKY_H

#include <stdbool.h>

#include <linux/types.h>

#include "dm.h"

enum shaky_way {
	SHAKY_SOUND,		/* nothing is wrong */
	SHAKY_BROKEN,		/* cannot be read or written; the cache is flushed all the same */
	SHAKY_READ_ONLY,	/* cannot be written, and the cache not be flushed, says EIO */
	SHAKY_LYING,		/* what is written is forgotten */
	SHAKY_SLOW,		/* everything takes SHAKY_DELAY ms */
};

#define SHAKY_DELAY	100

struct shaky {
	struct dm dm;
	int disk;		/* below, for direct I/O */
	__u64 sectors;		/* of the disk */
	__u64 first;		/* sector where the store begins */
	__u64 bytes;		/* in the store */
	int fd;			/* of the node or file, to make a device on */
	const char *folder;	/* where the file system is mounted, or NULL */
	char path[64];		/* of the node or file */
	bool slow;		/* a part of the disk is, at present */
};

/* Why there is none of this kind, "block" or "ext4", or NULL. */
const char *shaky_unavailable(const char *kind);
/* The node of the @nth disk; false if there are not that many. */
bool shaky_disk(int nth, char *name, size_t size);
/* On the @nth disk; all zeros. */
void shaky_make(struct shaky *s, const char *kind, int nth, __u64 bytes);
/* From now on this is wrong with @bytes from @from on, which may lie beyond the store's end. */
void shaky_set(struct shaky *s, enum shaky_way way, __u64 from, __u64 bytes);
/* All of the store. */
void shaky_all(struct shaky *s, enum shaky_way way);
/* All of the disk, with the file system if there is one. */
void shaky_gone(struct shaky *s);
/*
 * What is on the disk, below everything: the first of pages @first to @first + @n - 1 that is not
 * of generation @gen, or -1.
 */
long shaky_differs(const struct shaky *s, long first, long n, __u64 gen);
/* Nothing uses it any more: 0 or -errno. */
int shaky_end(struct shaky *s);

/* Makes a file system on a block device, with options for mke2fs, and mounts it. */
void ext4_make(const char *node, const char *options, const char *folder);
const char *ext4_unavailable(void);

#endif /* SELFTESTS_SHAKY_H */
