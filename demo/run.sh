#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Usage: run.sh [FILE]
#
# The demonstration, as root on a machine that may be thrown away: makes a
# device, lets the kernel write dirty pages back sooner than usual, and runs the
# program on FILE, or on input or text beside this script. Afterwards, everything
# is as before.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
vm=/proc/sys/vm
node='' loaded='' expire='' interval=''

say()
{
	echo "run.sh: $*" >&2
}

# What others call an error is shown by the command itself.
show()
{
	echo "# $*"
	"$@"
}

leave()
{
	status=$?
	trap - EXIT
	[ -z "$expire" ] || echo "$expire" >$vm/dirty_expire_centisecs
	[ -z "$interval" ] || echo "$interval" >$vm/dirty_writeback_centisecs
	[ -z "$node" ] || show mmapscope remove "$node" || status=1
	[ -z "$loaded" ] || show mmapscope unload || status=1
	exit $status
}

find_file()
{
	for file in "$@" "$here/input" "$here/text" /usr/share/dict/words; do
		if [ -e "$file" ]; then
			echo "$file"
			return
		fi
	done
	say "name a text file of some megabytes"
	return 1
}

prepare()
{
	# Beside the sources, or where the guest has them.
	PATH=$here/../tools:$PATH
	[ ! -e /mmapscope.ko ] || export MMAPSCOPE_MODULE=/mmapscope.ko
	trap leave EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ ! -e /sys/module/mmapscope ]; then
		show mmapscope load devices=0
		loaded=1
	fi
	echo "# mmapscope create --size 64M"
	node=$(mmapscope create --size 64M)
	echo "$node"
	show mmapscope policy set "$node" large_folio_kb=0
	echo "Single pages only: of a large folio, one changed byte would make every page dirty."
}

# Half a minute is the usual delay, which nobody wants to watch.
hurry()
{
	expire=$(cat $vm/dirty_expire_centisecs)
	interval=$(cat $vm/dirty_writeback_centisecs)
	echo 200 >$vm/dirty_expire_centisecs
	echo 50 >$vm/dirty_writeback_centisecs
	echo "The kernel writes dirty pages back when they are ${expire%??} s old and looks every"
	echo "${interval%??} s. For this demonstration: 2 s and 0.5 s."
	echo
}

main()
{
	file=$(find_file "$@")
	prepare
	hurry
	# What is at the other end of a serial line is not known from here.
	exec 3>&1
	case "$(tty <&3)" in
	/dev/ttyS*) export NO_COLOR=1 ;;
	esac
	"$here/demo" "$node" "$file"
	echo
	show mmapscope list
}

main "$@"
