// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the list of counters in the header as the manual page needs it.
 */
#include <stdio.h>

#include <linux/mmapscope.h>

#define KIND_C ""
#define KIND_G " (gauge)"
#define TEXT(name, kind, text) ".TP\n.B " #name "\n" text KIND_##kind "\n"

int main(void)
{
	return fputs(MMAPSCOPE_STATS(TEXT), stdout) == EOF;
}
