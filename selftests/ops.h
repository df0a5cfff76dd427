/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the programs that sweep failures over operations: each operation is declared once, by one of
 * the macros below, and is a test of its own then.  All of them together are run with many failures
 * at once.
 */
#ifndef SELFTESTS_OPS_H
#define SELFTESTS_OPS_H

#include "harness.h"
#include "inject.h"
#include "sweep.h"

#define SMALL_PAGES	32
#define LARGE_PAGES	64
#define MAX_OPS		80
#define RW		(PROT_READ | PROT_WRITE)

FIXTURE(failing) {
	struct bench b;
};

FIXTURE_SETUP(failing)
{
	const char *why = inject_unavailable();

	if (why)
		SKIP_SETUP("%s", why);
	NEED_DEVICES();
	vm_quiet();
	bench_start(&self->b, SMALL_PAGES, false);
}

FIXTURE_TEARDOWN(failing)
{
	EXPECT_EQ(0, bench_end(&self->b, _metadata->aborted));
}

/* The same with large folios, of which one is as large as the device. */
FIXTURE(failing_large) {
	struct bench b;
};

FIXTURE_SETUP(failing_large)
{
	const char *why = inject_unavailable();

	if (why)
		SKIP_SETUP("%s", why);
	NEED_DEVICES();
	vm_quiet();
	bench_start(&self->b, LARGE_PAGES, true);
}

FIXTURE_TEARDOWN(failing_large)
{
	EXPECT_EQ(0, bench_end(&self->b, _metadata->aborted));
}

/* The same with folios that a PMD maps. */
FIXTURE(failing_huge) {
	struct bench b;
};

FIXTURE_SETUP(failing_huge)
{
	const char *why = inject_unavailable();
	long pmd = file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");

	if (why)
		SKIP_SETUP("%s", why);
	NEED_DEVICES();
	if (pmd <= 0 || pmd > 2 << 20)
		SKIP_SETUP("needs huge pages of at most 2 MiB");
	vm_quiet();
	bench_start(&self->b, 2 * pmd / sysconf(_SC_PAGESIZE), true);
}

FIXTURE_TEARDOWN(failing_huge)
{
	EXPECT_EQ(0, bench_end(&self->b, _metadata->aborted));
}

static const struct op *all_ops[MAX_OPS];
static unsigned int nr_ops;

static void sweep_test(struct __test_metadata *_metadata, struct bench *b, const struct op *op)
{
	struct sweep s;

	sweep(b, op, &s);
	sweep_print(op, &s);
	EXPECT_STREQ("", s.wrong);
}

static void storm_test(struct __test_metadata *_metadata, struct bench *b, int percent, int rounds)
{
	unsigned int i;
	struct sweep s;

	for (i = 0; i < nr_ops; i++) {
		if (percent == 100 && all_ops[i]->endless)
			continue;
		storm(b, all_ops[i], percent, rounds, &s);
		sweep_print(all_ops[i], &s);
		ASSERT_STREQ("", s.wrong);
	}
}

#define OP_SMALL(id, ...)								\
static const struct op op_##id = { .name = #id, __VA_ARGS__ };			\
static void __attribute__((constructor)) add_##id(void)				\
{										\
	if (nr_ops == MAX_OPS)							\
		abort();							\
	all_ops[nr_ops++] = &op_##id;						\
}										\
TEST_F(failing, id)								\
{										\
	sweep_test(_metadata, &self->b, &op_##id);				\
}

/*
 * Where there is no memory for a large folio, newer kernels take smaller ones, so that one failure
 * less is seen.
 */
static inline void large_sweep_test(struct __test_metadata *_metadata, struct bench *b,
				    const struct op *op)
{
	struct op large = *op;

	large.failed -= !!op->failed;
	sweep_test(_metadata, b, &large);
}

/* An operation for which the size of folios matters. */
#define OP_LARGE(id, ...)							\
OP_SMALL(id, __VA_ARGS__)								\
TEST_F(failing_large, id)							\
{										\
	large_sweep_test(_metadata, &self->b, &op_##id);				\
}

/* And one for which it matters whether a PMD maps it. */
#define OP_HUGE(id, ...)							\
OP_LARGE(id, __VA_ARGS__)							\
TEST_F(failing_huge, id)							\
{										\
	sweep_test(_metadata, &self->b, &op_##id);				\
}

/* The result of a system call in the form that op->run returns. */
static inline int result(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

#endif /* SELFTESTS_OPS_H */
