#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Usage: backing.sh (in a guest, as root)
#
# What pages cost over a file on ext4 and over a block device, beside that file
# itself, a loop device over it, and that block device. Two RAM disks of 64 MiB
# are needed (brd), and ext4 and loop. See bench/backing for how it is run.
set -eu

cd "$(dirname "$0")"
insmod /mmapscope.ko devices=0 large_folio_kb="${1:-0}"
mke2fs -F /dev/ram0 >/dev/null 2>&1
mkdir -p /mnt/ext4
mount -t ext4 /dev/ram0 /mnt/ext4
dd if=/dev/zero of=/mnt/ext4/file bs=1M count=32 conv=fsync 2>/dev/null
file=/mnt/ext4/file

over()
{
	mmapscope create --id 0 --store "file:$1" >/dev/null
	./backing "mmapscope over $2" /dev/mmapscope0
	mmapscope remove 0
}

printf '%-24s %8s %8s %8s\n' '' scan random msync
./backing 'ext4' $file
losetup /dev/loop0 $file
./backing 'loop over ext4' /dev/loop0 $file
losetup -d /dev/loop0
over $file ext4
./backing 'block device' /dev/ram1
over /dev/ram1 'block device'
