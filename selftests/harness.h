/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's test harness with what every program of this directory adds to it. */
#ifndef SELFTESTS_HARNESS_H
#define SELFTESTS_HARNESS_H

#include <kselftest_harness.h>

#include "backing.h"
#include "device.h"
#include "util.h"

/* The harness of 6.1 runs the test although its set-up was skipped; leaving always works. */
#define SKIP_SETUP(fmt, ...)	SKIP(_exit(255), fmt, ##__VA_ARGS__)

#define NEED_DEVICES() do {							\
	const char *__why = dev_unavailable();					\
	if (__why)								\
		SKIP_SETUP("%s", __why);					\
} while (0)

#define NEED_HOOK(d) do {							\
	if (!dev_has_hook(d)) {							\
		dev_destroy(d, true);						\
		SKIP_SETUP("needs the module loaded with test_hooks=1");	\
	}									\
} while (0)

#define NEED_STORE(store) do {							\
	const char *__why = backing_unavailable(store);				\
	if (__why)								\
		SKIP_SETUP("%s", __why);					\
} while (0)

#define NEED_SHAKY(kind) do {							\
	const char *__why = shaky_unavailable(kind);				\
	if (__why)								\
		SKIP_SETUP("%s", __why);					\
} while (0)

/* A test of what only memory does. */
#define NEED_RAM(d) do {							\
	if (!backing_is_ram((d)->store)) {					\
		dev_destroy(d, true);						\
		SKIP_SETUP("about stores in memory");				\
	}									\
} while (0)

/* A file that is so large may have more extents than its inode, and a block for their tree. */
#define STORE_OVERHEAD(d)							\
	(!backing_is_ram((d)->store) && (d)->pages * (d)->page > 64 << 20)

/* What the store holds.  One without holes holds all of itself at all times. */
#define EXPECT_HOLDS(n, d) do {							\
	if (backing_has_holes((d)->store)) {					\
		long held = now(d, store_pages) - (n);				\
										\
		EXPECT_LE(0, held);						\
		EXPECT_GE(STORE_OVERHEAD(d), held);				\
	}									\
} while (0)

/* Before it is written: only memory has made room for what is dirty. */
#define EXPECT_RESERVED(n, d) do {						\
	if (backing_is_ram((d)->store))						\
		EXPECT_EQ(n, now(d, store_pages));				\
} while (0)

/* A test whose counts rest on single pages. */
#define NEED_SINGLE_PAGES(d) do {						\
	if (!dev_single_pages(d))						\
		SKIP(return, "needs single pages: large_folio_kb=0");		\
} while (0)

#define STORE_VARIANT(fixture, kind)						\
FIXTURE_VARIANT_ADD(fixture, kind) {						\
	.store = #kind,								\
}

/*
 * A fixture with one scratch device of @npages pages as self->dev, for every backing store.  Its
 * end is part of every test: the books balance, and the device can be removed.
 */
#define DEVICE_FIXTURE(fixture, npages)						\
FIXTURE(fixture) {								\
	struct scope_dev dev;							\
};										\
FIXTURE_VARIANT(fixture) {							\
	const char *store;							\
};										\
STORE_VARIANT(fixture, ram);							\
STORE_VARIANT(fixture, ext4);							\
STORE_VARIANT(fixture, tmpfs);							\
STORE_VARIANT(fixture, block);							\
FIXTURE_SETUP(fixture)								\
{										\
	NEED_DEVICES();								\
	NEED_STORE(variant->store);						\
	vm_quiet();								\
	dev_create(&self->dev, variant->store,					\
		   (npages) * sysconf(_SC_PAGESIZE), 0);			\
}										\
FIXTURE_TEARDOWN(fixture)							\
{										\
	vm_quiet();								\
	if (dev_has_hook(&self->dev))						\
		dev_hook(&self->dev, "off");					\
	EXPECT_STREQ("", dev_books(&self->dev));				\
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));		\
}

/*
 * Variants of stores that are not wanted do not run, and are not there to be counted.  What comes
 * after the kind in a variant's name tells what else it varies.
 */
static inline void drop_variants(struct __fixture_metadata *f)
{
	struct __fixture_variant_metadata *v, *next, *all = f->variant;
	bool any = false;

	for (v = all; v; v = v->next)
		any = any || backing_wanted(v->name);
	if (!any)
		return;
	f->variant = NULL;
	for (v = all; v; v = next) {
		next = v->next;
		if (backing_wanted(v->name))
			__register_fixture_variant(f, v);
	}
}

/*
 * At the end of every program: stretches the deadlines, chooses variants, keeps the settings, and
 * main().
 */
#define SCOPE_MAIN								\
static void __attribute__((constructor)) scope_main_init(void)			\
{										\
	struct __fixture_metadata *f;						\
	struct __test_metadata *t;						\
										\
	for (f = __fixture_list; f; f = f->next) {				\
		drop_variants(f);						\
		for (t = f->tests; t; t = t->next)				\
			t->timeout *= 4 * scope_slow();				\
	}									\
	scope_init();								\
}										\
TEST_HARNESS_MAIN

#endif /* SELFTESTS_HARNESS_H */
