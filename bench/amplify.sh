#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Usage: amplify.sh [LARGE_FOLIO_KB...]
#
# What large folios cost and what they save, as root on a machine that may be
# thrown away: one byte stored in every 2 MiB of a device of 64 MiB, and a
# sequential scan of it, for each value of the policy large_folio_kb (0 and 2048),
# with MADV_HUGEPAGE and without. Prints two tables. Each row has a fresh device
# whose pages are all in the store and none in the cache.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
size=64M
dirty_counters="fault_write mkwrite store_read_ops store_read_pages pages_dirtied store_write_ops store_write_pages"
scan_counters="fault_read fault_major fault_around store_read_ops store_read_pages readahead_pages"
export MMAPSCOPE_MODULE="${MMAPSCOPE_MODULE:-/mmapscope.ko}"

# Periodic writeback would be counted, too.
echo 0 >/proc/sys/vm/dirty_writeback_centisecs
[ -e /sys/module/mmapscope ] || mmapscope load devices=0 >&2

# Prints "NAME | VALUE | VALUE..." of the counters named.
counters()
{
	mmapscope stat "$node" | awk -v names="$1" '
		{ value[$1] = $2 }
		END { n = split(names, name); for (i = 1; i <= n; i++) printf " %s |", value[name[i]] }'
}

heading()
{
	echo "| large_folio_kb | advice | $(echo "$1" | sed 's/ / | /g') | mapped by PMDs, KiB |"
	echo "|---|---|$(echo "$1 pmd" | sed 's/[a-z_]*/---|/g; s/ //g')"
}

# row OPERATION KB ADVICE COUNTERS
row()
{
	node=$(mmapscope create --size $size)
	dd if=/dev/zero of="$node" bs=1M count=64 2>/dev/null
	mmapscope sync "$node"
	mmapscope policy set "$node" "large_folio_kb=$2" >&2
	mmapscope evict "$node" >&2
	mmapscope reset "$node"
	huge=$("$here/amplify" "$node" "$1" "$3")
	mmapscope sync "$node"
	echo "| $2 | $3 |$(counters "$4") $huge |"
	mmapscope remove "$node"
}

# table OPERATION COUNTERS KB...
table()
{
	operation=$1 names=$2
	shift 2
	heading "$names"
	for kb; do
		for advice in normal huge; do
			row "$operation" "$kb" "$advice" "$names"
		done
	done
}

[ $# -gt 0 ] || set -- 0 2048
echo "Linux $(uname -r), one byte stored in every 2 MiB of $size, then a sync:"
echo
table dirty "$dirty_counters" "$@"
echo
echo "A sequential scan of $size:"
echo
table scan "$scan_counters" "$@"
