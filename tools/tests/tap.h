/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test results as TAP.  A test is a function that returns whether it holds.
 */
#ifndef MMAPSCOPE_TAP_H
#define MMAPSCOPE_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned int tap_run, tap_failed;

static inline void tap_result(bool good, const char *name)
{
	tap_run++;
	tap_failed += !good;
	printf("%sok %u - %s\n", good ? "" : "not ", tap_run, name);
}

static inline void tap_string(const char *got, const char *expected, const char *name)
{
	bool good = got && expected ? !strcmp(got, expected) : got == expected;

	tap_result(good, name);
	if (!good)
		printf("# expected: %s\n#      got: %s\n", expected ? expected : "(null)",
		       got ? got : "(null)");
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_run);
	return tap_failed ? 1 : 0;
}

#endif /* MMAPSCOPE_TAP_H */
