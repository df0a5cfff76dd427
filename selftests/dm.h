/* SPDX-License-Identifier: GPL-2.0 */
/* A device of the device mapper: a block device that does to another one what a table says. */
#ifndef SELFTESTS_DM_H
#define SELFTESTS_DM_H

#include <stdbool.h>

#include <linux/types.h>

#define SECTOR	512

struct dm {
	char name[32];
	char node[32];
	__u64 dev;		/* number of the block device, as the kernel writes it */
};

/* What becomes of the next @sectors: a target of the device mapper, and what it is told. */
struct dm_part {
	__u64 sectors;
	const char *type;
	char args[128];
};

/* Why there is no device mapper with these targets (names with blanks between them), or NULL. */
const char *dm_unavailable(const char *targets);
/* A new device without a table. */
void dm_create(struct dm *dm, const char *name);
/* Replaces the table, in use or not: 0 or -errno. */
int dm_table(const struct dm *dm, const struct dm_part *parts, unsigned int nr);
/* What is asked of it from now on waits, for as long as it takes, until dm_resume(). */
void dm_suspend(const struct dm *dm);
void dm_resume(const struct dm *dm);
/* 0 or -errno: -EBUSY if it is in use. */
int dm_remove(const struct dm *dm);
/* Lets go on what was suspended, if there is such a device at all. */
bool dm_revive(struct dm *dm, const char *name);

#endif /* SELFTESTS_DM_H */
