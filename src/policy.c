// SPDX-License-Identifier: GPL-2.0
/* What can be chosen for a device in use: a table of names, each with a getter and a setter. */

#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/string.h>

#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

/* A folio that a PMD maps. */
#define MAX_FOLIO_SIZE	PMD_SIZE
/*
 * Where pages are larger, so is what a PMD maps: 32 MiB with pages of 16 KiB, 512 MiB with 64 KiB.
 * That is much for a byte to make dirty: who wants it has to ask for it.
 */
#define DEFAULT_FOLIO_KB	2048

static unsigned int large_folio_kb = DEFAULT_FOLIO_KB;
module_param(large_folio_kb, uint, 0444);
MODULE_PARM_DESC(large_folio_kb,
		 "largest folio of a new device's cache in KiB, a power of two; 0: single pages (default 2048)");

/**
 * struct scope_policy - something that can be chosen
 * @name: for people
 * @get: the value in force
 * @set: 0, or -EINVAL if the value is not in range
 */
struct scope_policy {
	const char *name;
	u64 (*get)(struct scope_device *dev);
	int (*set)(struct scope_device *dev, u64 value);
};

static u64 get_large_folio_kb(struct scope_device *dev)
{
	unsigned int order = READ_ONCE(dev->folio_order);

	return order ? PAGE_SIZE << order >> 10 : 0;
}

static int folio_order_of_kb(u64 kb)
{
	if (!kb)
		return 0;
	if (!is_power_of_2(kb) || kb < PAGE_SIZE >> 10 || kb > MAX_FOLIO_SIZE >> 10)
		return -EINVAL;
	return ilog2(kb << 10 >> PAGE_SHIFT);
}

/* Large folios go first: the kernel does not expect one that its mapping does not allow. */
static int choose_folio_order(struct scope_device *dev, unsigned int order)
{
	struct address_space *mapping = scope_mapping(dev);
	int err;

	filemap_invalidate_lock(mapping);
	err = scope_drop_large(mapping, 0, ULONG_MAX);
	if (!err)
		WRITE_ONCE(dev->folio_order, compat_set_folio_order(mapping, order));
	filemap_invalidate_unlock(mapping);
	return err;
}

/*
 * i_rwsem and invalidate_lock keep out all who add folios.  But readahead has asked how large they
 * may be before it waits for invalidate_lock, and goes on as it was told: hence twice.  The policy
 * is set by then, so if such a folio is in use, it stays until it is evicted.
 */
static int set_large_folio_kb(struct scope_device *dev, u64 value)
{
	int order = folio_order_of_kb(value);
	int err;

	if (order < 0)
		return order;
	err = scope_inode_lock(dev->inode);
	if (err)
		return err;
	err = choose_folio_order(dev, order);
	if (!err)
		choose_folio_order(dev, order);
	inode_unlock(dev->inode);
	return err;
}

#define POLICY(_name, text) { .name = #_name, .get = get_##_name, .set = set_##_name },
static const struct scope_policy policies[MMAPSCOPE_NR_POLICIES] = {
	MMAPSCOPE_POLICIES(POLICY)
};

/**
 * scope_policy_name() - name of a policy
 * @id: below MMAPSCOPE_NR_POLICIES
 */
const char *scope_policy_name(unsigned int id)
{
	return policies[id].name;
}

/**
 * scope_policy_find() - a policy by its name
 * @name: from a person
 *
 * Return: its number, or -EINVAL.
 */
int scope_policy_find(const char *name)
{
	unsigned int id;

	for (id = 0; id < MMAPSCOPE_NR_POLICIES; id++) {
		if (!strcmp(policies[id].name, name))
			return id;
	}
	return -EINVAL;
}

/**
 * scope_policy_get() - the value in force
 * @dev: the device
 * @id: below MMAPSCOPE_NR_POLICIES
 */
u64 scope_policy_get(struct scope_device *dev, unsigned int id)
{
	return policies[id].get(dev);
}

/**
 * scope_policy_set() - change a policy
 * @dev: the device
 * @id: below MMAPSCOPE_NR_POLICIES
 * @value: wanted
 *
 * Return: 0; -EINVAL if @value is not in range; or -EBUSY, -EINTR or an error of the store, if
 * what was to be dropped from the cache could not be.
 */
int scope_policy_set(struct scope_device *dev, unsigned int id, u64 value)
{
	return policies[id].set(dev, value);
}

/**
 * scope_policy_init_device() - give a new device the policies that were asked for at load
 * @dev: has a cache, and is not published yet
 */
void scope_policy_init_device(struct scope_device *dev)
{
	dev->folio_order = compat_set_folio_order(scope_mapping(dev),
						  folio_order_of_kb(large_folio_kb));
}

/**
 * scope_policy_init() - check the policies that were asked for at load
 *
 * Return: 0 or -EINVAL.
 */
int __init scope_policy_init(void)
{
	/* The default is for all processors. */
	if (large_folio_kb == DEFAULT_FOLIO_KB)
		large_folio_kb = min_t(unsigned int, large_folio_kb, MAX_FOLIO_SIZE >> 10);
	if (folio_order_of_kb(large_folio_kb) < 0) {
		pr_err("large_folio_kb=%u: must be 0 or a power of two from %lu to %lu\n",
		       large_folio_kb, PAGE_SIZE >> 10, MAX_FOLIO_SIZE >> 10);
		return -EINVAL;
	}
	return 0;
}
