// SPDX-License-Identifier: GPL-2.0
/*
 * The table of devices, and the life of each: created, opened, closed, removed.
 *
 *	            create                    remove, nothing open
 *	(nothing) ---------> LIVE <--------> REMOVING --------> GONE --> (nothing)
 *	                       |   a write failed                 ^
 *	                       | remove by force                  | last file closed
 *	                       `---------------------> DEAD ------'
 *
 * scope_devices_lock serialises every change of state with every open and close, which is what
 * makes an open that races with a removal either fail or be seen by it.  It is not held while
 * dirty pages are written, because that can take as long as the store likes.  The number, and so
 * the names of node and bdi, stay taken until a device is gone altogether.
 */

#include <linux/backing-dev.h>
#include <linux/cdev.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

static DEFINE_MUTEX(scope_devices_lock);
static DEFINE_XARRAY_ALLOC(scope_devices);
static struct class *scope_class;
static struct cdev scope_cdev;
static dev_t scope_devt;
/* Whether devices can be opened; under scope_devices_lock. */
static bool scope_loaded;

static struct store *create_store(const struct scope_device_config *config)
{
	switch (config->store) {
	case MMAPSCOPE_STORE_RAM:
		return store_ram_create();
	case MMAPSCOPE_STORE_FILE:
		return store_backing_open(config->store_fd);
	default:
		return ERR_PTR(-EINVAL);
	}
}

/* A device is not larger than its store, and takes its size from it if it was not told another. */
static int choose_size(struct store *store, struct scope_device_config *config)
{
	u64 has = store->ops->size ? store->ops->size(store) : SCOPE_MAX_SIZE;

	if (config->size)
		return config->size > has ? -EFBIG : 0;
	if (config->round_down)
		has &= PAGE_MASK;
	config->size = has;
	return scope_size_valid(has) ? 0 : -ERANGE;
}

static void free_memory(struct rcu_head *rcu)
{
	struct scope_device *dev = container_of(rcu, struct scope_device, rcu);

	free_percpu(dev->counters);
	page_set_destroy(&dev->kept);
	page_set_destroy(&dev->lost);
	mutex_destroy(&dev->baseline_lock);
	mutex_destroy(&dev->sync_lock);
	kfree(dev);
}

static struct scope_device *alloc_memory(const struct scope_device_config *config,
					 struct store *store)
{
	struct scope_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return ERR_PTR(-ENOMEM);
	/* The kernel shows a stack where memory runs out there, and the caller is told anyhow. */
	dev->counters = alloc_percpu_gfp(struct scope_counters, GFP_KERNEL | __GFP_NOWARN);
	if (!dev->counters) {
		kfree(dev);
		return ERR_PTR(-ENOMEM);
	}
	mutex_init(&dev->baseline_lock);
	mutex_init(&dev->sync_lock);
	refcount_set(&dev->holds, 2);
	dev->size = config->size;
	dev->store = store;
	dev->read_only = config->read_only || store->read_only;
	dev->state = SCOPE_LIVE;
	page_set_init(&dev->kept);
	page_set_init(&dev->lost);
	scope_writeback_init_device(dev);
	return dev;
}

static int reserve_id(u32 wanted, u32 *id)
{
	int err;

	lockdep_assert_held(&scope_devices_lock);
	if (wanted == MMAPSCOPE_ID_ANY) {
		err = xa_alloc(&scope_devices, id, NULL,
			       XA_LIMIT(0, MMAPSCOPE_MAX_DEVICES - 1), GFP_KERNEL);
		return err == -EBUSY ? -ENOSPC : err;
	}
	*id = wanted;
	err = xa_insert(&scope_devices, wanted, NULL, GFP_KERNEL);
	return err == -EBUSY ? -EEXIST : err;
}

static ssize_t size_show(struct device *device, struct device_attribute *attr, char *buf)
{
	struct scope_device *dev = dev_get_drvdata(device);

	return sysfs_emit(buf, "%llu\n", scope_device_size(dev));
}
static DEVICE_ATTR_RO(size);

static struct attribute *scope_attrs[] = {
	&dev_attr_size.attr,
	NULL,
};
ATTRIBUTE_GROUPS(scope);

static int publish(struct scope_device *dev)
{
	dev->dev = device_create_with_groups(scope_class, NULL, scope_devt + dev->id, dev,
					     scope_groups, "%s", dev->name);
	if (IS_ERR(dev->dev))
		return PTR_ERR(dev->dev);
	scope_debugfs_add(dev);
	/* Replaces the reserved entry, so it allocates nothing and cannot fail. */
	xa_store(&scope_devices, dev->id, dev, GFP_KERNEL);
	return 0;
}

/* Nobody new finds the device by name; those that have it open keep it. */
static void unpublish(struct scope_device *dev)
{
	device_destroy(scope_class, scope_devt + dev->id);
	scope_debugfs_remove(dev);
}

/* Two caches of one file would not know of each other. */
static bool backing_in_use(const struct store *store)
{
	struct scope_device *dev;
	unsigned long id;

	lockdep_assert_held(&scope_devices_lock);
	if (!store->backing)
		return false;
	xa_for_each(&scope_devices, id, dev) {
		/* The store of a device that is gone may be freed already. */
		if (dev->state != SCOPE_GONE && dev->store->backing == store->backing)
			return true;
	}
	return false;
}

/* What lasts longer than the module must be put away by somebody, not be lost by an rmmod. */
static void pin_module(struct scope_device *dev)
{
	dev->pins_module = dev->store->queue;
	if (dev->pins_module)
		__module_get(THIS_MODULE);
}

static int create_locked(struct scope_device_config *config, struct store *store)
{
	struct scope_device *dev;
	int err;

	if (backing_in_use(store))
		return -EBUSY;
	dev = alloc_memory(config, store);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = reserve_id(config->id, &dev->id);
	if (err)
		goto out_memory;
	snprintf(dev->name, sizeof(dev->name), SCOPE_NAME "%u", dev->id);
	err = scope_testhook_add(dev);
	if (err)
		goto out_id;
	err = scope_pseudofs_mount(dev);
	if (err)
		goto out_hooks;
	scope_policy_init_device(dev);
	err = publish(dev);
	if (err)
		goto out_mount;
	pin_module(dev);
	config->id = dev->id;
	return 0;

out_mount:
	scope_pseudofs_unmount(dev);
out_hooks:
	scope_testhook_remove(dev);
out_id:
	xa_erase(&scope_devices, dev->id);
out_memory:
	free_memory(&dev->rcu);
	return err;
}

/**
 * scope_device_create() - make a device and its node
 * @config: in range; what it left open is filled in: number and size
 *
 * The store is made, and in case of an error ended, outside the lock: that may take as long as
 * somebody else's file system likes.  An open of the new node waits for scope_devices_lock, so
 * that the device is found however early udev or a program opens it, once the module has loaded.
 *
 * Return: 0 or an errno of MMAPSCOPE_IOC_CREATE.
 */
int scope_device_create(struct scope_device_config *config)
{
	struct store *store = create_store(config);
	int err;

	if (IS_ERR(store))
		return PTR_ERR(store);
	err = choose_size(store, config);
	if (!err) {
		mutex_lock(&scope_devices_lock);
		err = create_locked(config, store);
		mutex_unlock(&scope_devices_lock);
	}
	if (err)
		store->ops->destroy(store);
	return err;
}

/**
 * scope_device_put() - give back a hold on a device's memory and store
 * @dev: gone afterwards, if it was the last; its number is free then
 *
 * free_device() has one, a list that is being made another, and the superblock one: somebody who
 * has looked at the device as a regular file, with O_PATH for instance, keeps the superblock for
 * as long as he likes.
 */
void scope_device_put(struct scope_device *dev)
{
	bool pins_module = dev->pins_module;

	if (!refcount_dec_and_test(&dev->holds))
		return;
	dev->store->ops->destroy(dev->store);
	scope_testhook_remove(dev);

	mutex_lock(&scope_devices_lock);
	xa_erase(&scope_devices, dev->id);
	mutex_unlock(&scope_devices_lock);
	call_rcu_tasks(&dev->rcu, free_memory);
	/* Whoever is here has a reference to the module. */
	if (pins_module)
		module_put(THIS_MODULE);
}

/* The end of a device that has no open file and no node; waits for nobody. */
static void free_device(struct scope_device *dev)
{
	scope_pseudofs_unmount(dev);
	scope_device_put(dev);
}

/* May a file be opened now? */
static int check_open(const struct scope_device *dev, bool write)
{
	lockdep_assert_held(&scope_devices_lock);
	if (!scope_loaded || !dev || dev->state >= SCOPE_DEAD)
		return -ENODEV;
	if (dev->state == SCOPE_REMOVING)
		return -EBUSY;
	if (dev->read_only && write)
		return -EROFS;
	return 0;
}

/**
 * scope_device_open() - take a device for an open file
 * @id: its number
 * @write: whether the file is opened for writing
 *
 * Return: the device, which stays until scope_device_release(); or ERR_PTR(-ENODEV): there is none,
 * ERR_PTR(-EBUSY): it is just being removed, ERR_PTR(-EROFS): it is read-only.
 */
struct scope_device *scope_device_open(unsigned int id, bool write)
{
	struct scope_device *dev;
	int err;

	mutex_lock(&scope_devices_lock);
	dev = xa_load(&scope_devices, id);
	err = check_open(dev, write);
	if (err)
		dev = ERR_PTR(err);
	else
		dev->open_files++;
	mutex_unlock(&scope_devices_lock);
	return dev;
}

/**
 * scope_device_get() - take a device for one more open file
 * @dev: the caller keeps it from going away meanwhile: by an open file, or by its inode
 * @write: whether the file is opened for writing
 *
 * Return: 0, or an errno as scope_device_open().
 */
int scope_device_get(struct scope_device *dev, bool write)
{
	int err;

	mutex_lock(&scope_devices_lock);
	err = check_open(dev, write);
	if (!err)
		dev->open_files++;
	mutex_unlock(&scope_devices_lock);
	return err;
}

/* Was that the last one of a dead device, which the caller must now free? */
static bool put_open_file(struct scope_device *dev)
{
	bool last;

	mutex_lock(&scope_devices_lock);
	last = !--dev->open_files && dev->state == SCOPE_DEAD;
	if (last)
		dev->state = SCOPE_GONE;
	mutex_unlock(&scope_devices_lock);
	return last;
}

/**
 * scope_device_release() - give back what scope_device_open() took
 * @dev: may be gone afterwards
 */
void scope_device_release(struct scope_device *dev)
{
	if (put_open_file(dev))
		free_device(dev);
}

/**
 * scope_device_export() - somebody will be able to refer to the device's superblock
 * @dev: the caller has it open
 *
 * From now on the superblock can outlive every open file, and its methods are code of the module:
 * it keeps the module until it is gone.  The caller's file has a reference to the module, too.
 */
void scope_device_export(struct scope_device *dev)
{
	mutex_lock(&scope_devices_lock);
	if (!dev->exported)
		__module_get(THIS_MODULE);
	dev->exported = true;
	mutex_unlock(&scope_devices_lock);
}

/**
 * scope_device_announce() - tell udev that a device has changed
 * @dev: the caller has it open
 */
void scope_device_announce(struct scope_device *dev)
{
	mutex_lock(&scope_devices_lock);
	if (dev->state == SCOPE_LIVE)
		kobject_uevent(&dev->dev->kobj, KOBJ_CHANGE);
	mutex_unlock(&scope_devices_lock);
}

static void set_state(struct scope_device *dev, enum scope_state state)
{
	mutex_lock(&scope_devices_lock);
	WRITE_ONCE(dev->state, state);
	mutex_unlock(&scope_devices_lock);
}

/* A page that is still dirty stands against removal even if somebody else was told the error. */
static int write_back(struct scope_device *dev)
{
	struct address_space *mapping = scope_mapping(dev);
	int err = scope_write_and_wait(mapping, 0, LLONG_MAX), sync_err;

	if (!err && mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		err = -EIO;
	/* What could be written shall last, too. */
	sync_err = scope_store_sync(dev);
	return err ?: sync_err;
}

/*
 * Cut off the users of a device whose state is SCOPE_DEAD.  A size of 0 makes every fault end in
 * SIGBUS by filemap_fault()'s own check; emptying the cache under invalidate_lock unmaps what is
 * mapped and leaves no fault that could bring a page back.  i_rwsem waits for a write(2), or a
 * piece of a fallocate(2), that saw the device alive.  What is just being written is waited for,
 * and is clean, dirty or lost then.
 *
 * Return: of how many pages the last data are nowhere now.
 */
static u64 cut_off_users(struct scope_device *dev)
{
	struct inode *inode = dev->inode;
	u64 discarded = -scope_stats_sum(dev, MMAPSCOPE_STAT_pages_discarded);

	inode_lock(inode);
	filemap_invalidate_lock(inode->i_mapping);
	i_size_write(inode, 0);
	unmap_mapping_range(inode->i_mapping, 0, 0, 1);
	truncate_inode_pages(inode->i_mapping, 0);
	discarded += scope_stats_sum(dev, MMAPSCOPE_STAT_pages_discarded) +
		     page_set_count(&dev->lost);
	filemap_invalidate_unlock(inode->i_mapping);
	inode_unlock(inode);
	return discarded;
}

/* Take the device out of the hands of everybody but the caller, or say why not. */
static struct scope_device *begin_removal(unsigned int id, bool force)
{
	struct scope_device *dev;

	mutex_lock(&scope_devices_lock);
	dev = xa_load(&scope_devices, id);
	if (!dev || dev->state >= SCOPE_DEAD)
		dev = ERR_PTR(-ENOENT);
	else if (dev->state == SCOPE_REMOVING || (dev->open_files && !force))
		dev = ERR_PTR(-EBUSY);
	else
		WRITE_ONCE(dev->state, force ? SCOPE_DEAD : SCOPE_REMOVING);
	/* A forced removal keeps the device from being freed by a close in the meantime. */
	if (!IS_ERR(dev))
		dev->open_files++;
	mutex_unlock(&scope_devices_lock);
	return dev;
}

static void cancel_removal(struct scope_device *dev)
{
	set_state(dev, SCOPE_LIVE);
	scope_device_release(dev);
}

/* From here on the device is as good as removed; it is freed with its last file. */
static u64 finish_removal(struct scope_device *dev)
{
	u64 discarded;
	int err;

	set_state(dev, SCOPE_DEAD);
	unpublish(dev);
	discarded = cut_off_users(dev);
	if (discarded)
		pr_warn("%s: removed with %llu dirty pages that the store did not take: discarded\n",
			dev->name, discarded);
	/* The flusher may have written some since the users were asked to stop. */
	err = scope_store_sync(dev);
	if (err)
		pr_warn("%s: removed, but its store could not be flushed: error %d\n", dev->name,
			err);
	scope_device_release(dev);
	return discarded;
}

/**
 * scope_device_remove() - write back and remove a device
 * @id: its number
 * @force: although it is open or mapped, or cannot be written back
 * @discarded: how many dirty pages were thrown away; only with @force
 *
 * Return: 0; -ENOENT: there is no such device; -EBUSY: it is in use, or just being removed; or the
 * store's error, with the device as it was before.
 */
int scope_device_remove(unsigned int id, bool force, u64 *discarded)
{
	struct scope_device *dev = begin_removal(id, force);
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	err = write_back(dev);
	if (err && !force) {
		cancel_removal(dev);
		return err;
	}
	*discarded = finish_removal(dev);
	return 0;
}

/**
 * scope_device_info() - describe a device
 * @dev: a device that the caller keeps from going away
 * @info: filled in
 *
 * Takes no lock: the store may have to ask its file system, which may be a server that is gone.
 */
void scope_device_info(struct scope_device *dev, struct mmapscope_info *info)
{
	const struct store_ops *ops = dev->store->ops;

	*info = (struct mmapscope_info) {
		.size = sizeof(*info),
		.flags = (dev->read_only ? MMAPSCOPE_INFO_READ_ONLY : 0) |
			 (scope_device_dead(dev) ? MMAPSCOPE_INFO_REMOVED : 0),
		.id = dev->id,
		.store = ops->kind,
		.dev_size = scope_device_size(dev),
		.open_files = READ_ONCE(dev->open_files),
		.page_size = PAGE_SIZE,
		.store_pages = ops->nr_pages(dev->store),
		.io_mode = ops->io_mode(dev->store),
	};
	strscpy(info->name, dev->name, sizeof(info->name));
	if (ops->path)
		ops->path(dev->store, info->store_path, sizeof(info->store_path));
}

/* All devices, each with a hold, which keeps its store. */
static unsigned int hold_devices(struct scope_device **devices)
{
	struct scope_device *dev;
	unsigned int nr = 0;
	unsigned long id;

	mutex_lock(&scope_devices_lock);
	xa_for_each(&scope_devices, id, dev) {
		if (dev->state == SCOPE_GONE)
			continue;
		refcount_inc(&dev->holds);
		devices[nr++] = dev;
	}
	mutex_unlock(&scope_devices_lock);
	return nr;
}

/**
 * scope_devices_list() - describe all devices, by ascending number
 * @nr: set to how many there are
 *
 * A device that is removed meanwhile ends with the list.
 *
 * Return: an array of @nr entries, to be freed by kvfree(), or ERR_PTR(-ENOMEM).
 */
struct mmapscope_info *scope_devices_list(unsigned int *nr)
{
	struct scope_device **devices;
	struct mmapscope_info *list;
	unsigned int i;

	/* The caller is told, so the log need not be: vmalloc() would put a stack trace there. */
	list = kvcalloc(MMAPSCOPE_MAX_DEVICES, sizeof(*list), GFP_KERNEL | __GFP_NOWARN);
	devices = kvcalloc(MMAPSCOPE_MAX_DEVICES, sizeof(*devices), GFP_KERNEL | __GFP_NOWARN);
	if (!list || !devices) {
		kvfree(devices);
		kvfree(list);
		return ERR_PTR(-ENOMEM);
	}
	*nr = hold_devices(devices);
	for (i = 0; i < *nr; i++) {
		scope_device_info(devices[i], &list[i]);
		scope_device_put(devices[i]);
	}
	kvfree(devices);
	return list;
}

static int create_class(void)
{
	scope_class = class_create(SCOPE_NAME);
	return PTR_ERR_OR_ZERO(scope_class);
}

/**
 * scope_devices_init() - get ready for devices
 *
 * Return: 0 or an errno, with nothing left behind.
 */
int scope_devices_init(void)
{
	int err = create_class();

	if (err)
		return err;
	err = alloc_chrdev_region(&scope_devt, 0, MMAPSCOPE_MAX_DEVICES, SCOPE_NAME);
	if (err)
		goto out_class;
	cdev_init(&scope_cdev, &scope_fops);
	scope_cdev.owner = THIS_MODULE;
	err = cdev_add(&scope_cdev, scope_devt, MMAPSCOPE_MAX_DEVICES);
	if (err)
		goto out_region;
	return 0;

out_region:
	unregister_chrdev_region(scope_devt, MMAPSCOPE_MAX_DEVICES);
out_class:
	class_destroy(scope_class);
	return err;
}

/**
 * scope_devices_loaded() - nothing can go wrong any more with loading the module
 *
 * Before, devices cannot be opened: if loading fails, the module goes whoever uses it.
 */
void scope_devices_loaded(void)
{
	mutex_lock(&scope_devices_lock);
	scope_loaded = true;
	mutex_unlock(&scope_devices_lock);
}

/*
 * Others than we are in code of the module, or will read its file_system_type: somebody who failed
 * to open a device while the module was loading, and sync(2) and the like, which may keep what is
 * left of a superblock for as long as they work on another one.  All of them have a reference.
 */
static void wait_for_others(int idle)
{
	while (compat_module_refs() > idle)
		msleep(20);
	/* What a fault does after a RETRY is code of the module, and so is free_memory(). */
	synchronize_rcu_tasks();
	rcu_barrier_tasks();
}

/**
 * scope_devices_exit() - write back and remove all devices
 *
 * None is open.  Dirty pages that a store refuses are discarded, with a message: there is nowhere
 * else for them to be.
 */
void scope_devices_exit(void)
{
	int idle = compat_module_idle();
	struct scope_device *dev;
	unsigned long id;
	u64 discarded;

	xa_for_each(&scope_devices, id, dev)
		scope_device_remove(id, true, &discarded);
	cdev_del(&scope_cdev);
	unregister_chrdev_region(scope_devt, MMAPSCOPE_MAX_DEVICES);
	class_destroy(scope_class);
	xa_destroy(&scope_devices);
	wait_for_others(idle);
}
