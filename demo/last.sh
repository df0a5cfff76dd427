#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Usage: last.sh FILE FOLDER
#
# What lasts, as root on a machine that may be thrown away: copies FILE to a
# device over a new file in FOLDER, removes the device, unloads the module, loads
# it again, makes a device over the same file, and compares the bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
text=$1
store=$2/store
PATH=$here/../tools:$PATH
[ ! -e /mmapscope.ko ] || export MMAPSCOPE_MODULE=/mmapscope.ko

show()
{
	echo "# $*"
	"$@"
}

fail()
{
	echo "last.sh: $*" >&2
	exit 1
}

bytes=$(wc -c <"$text")
show mmapscope load devices=0
show mmapscope create --size 64M --store "file:$store" --id 0
show mmapscope list
show dd if="$text" of=/dev/mmapscope0 bs=256K conv=fsync
mmapscope stat 0 | grep -E '^(pages_cleaned|store_write_ops|store_write_pages|store_sync_ops) '
show mmapscope remove 0
show mmapscope unload
[ ! -e /sys/module/mmapscope ] || fail "the module is still there"
head -c "$bytes" "$store" | cmp - "$text" || fail "the file $store has other bytes than were synced"
echo "The module is gone; the file has the $bytes bytes."
show mmapscope load devices=0
show mmapscope create --store "file:$store" --id 0
head -c "$bytes" /dev/mmapscope0 | cmp - "$text" || fail "the device has other bytes than were synced"
mmapscope stat 0 | grep -E '^(store_read_ops|store_read_pages|read_bytes) '
echo "A device over the same file reads the same $bytes bytes."
show mmapscope remove 0
show mmapscope unload
rm -f "$store"
