// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading. */

#include <linux/init.h>
#include <linux/module.h>

#include "mmapscope.h"

#undef pr_fmt
#define pr_fmt(fmt) SCOPE_NAME ": " fmt

static unsigned int devices = 1;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "RAM-backed devices to create at load, 0 to 256 (default 1)");

static unsigned long size_mb = 1024;
module_param(size_mb, ulong, 0444);
MODULE_PARM_DESC(size_mb, "size of each of them in MiB, at least 1 (default 1024)");

static int __init check_parameters(void)
{
	if (devices > SCOPE_MAX_AT_LOAD) {
		pr_err("devices=%u: must be 0 to %d; more can be created later\n", devices,
		       SCOPE_MAX_AT_LOAD);
		return -EINVAL;
	}
	if (!size_mb || size_mb > SCOPE_MAX_SIZE >> 20) {
		pr_err("size_mb=%lu: must be 1 to %llu\n", size_mb, SCOPE_MAX_SIZE >> 20);
		return -EINVAL;
	}
	return 0;
}

static int __init create_devices(void)
{
	unsigned int i;

	for (i = 0; i < devices; i++) {
		struct scope_device_config config = {
			.size = (u64)size_mb << 20,
			.store = MMAPSCOPE_STORE_RAM,
			.id = MMAPSCOPE_ID_ANY,
		};
		int err = scope_device_create(&config);

		if (err) {
			pr_err("device %u of %u could not be created: error %d\n", i + 1, devices,
			       err);
			return err;
		}
	}
	return 0;
}

static int __init scope_init(void)
{
	int err;

	err = check_parameters();
	if (err)
		return err;
	err = scope_policy_init();
	if (err)
		return err;
	err = store_ram_init();
	if (err)
		return err;
	scope_writeback_init();
	scope_debugfs_init();
	err = scope_devices_init();
	if (err)
		goto out_debugfs;
	err = create_devices();
	if (err)
		goto out_devices;
	err = scope_control_init();
	if (err)
		goto out_devices;
	scope_devices_loaded();
	return 0;

out_devices:
	scope_devices_exit();
out_debugfs:
	scope_debugfs_exit();
	return err;
}

/* No file is open and nothing is mapped: each file holds a reference to the module. */
static void __exit scope_exit(void)
{
	scope_control_exit();
	scope_devices_exit();
	scope_debugfs_exit();
}

module_init(scope_init);
module_exit(scope_exit);

MODULE_DESCRIPTION("An oscilloscope for the Linux paging path");
MODULE_AUTHOR("The mmapscope developers");
MODULE_LICENSE("GPL");
