#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Usage: run.sh [--suite NAME] [--list] [PROGRAM...]
#
# Loads the module, runs a suite of selftests (main), or single programs, in a
# throw-away machine as root, and unloads it. The programs' TAP comes out as it
# is; the last lines are the totals and the names of what failed.
#
# MODULE          the module (/mmapscope.ko)
# PROGRAMS        folder of the programs (beside this script, or its build/)
# RESULTS         gets one line "guest RELEASE MACHINE PAGE-SIZE", one "running
#                 PROGRAM" for each program, one "fail PROGRAM: TEST: WHY" for each
#                 failure as it happens, and in the end one line
#                 "passed N failed N skipped N", if it exists
#                 (/dev/virtio-ports/results)
# SCOPE_SLOW      stretches deadlines (8 on a kernel with KASAN, else 3)
# SCOPE_DIRECT    a file that can be opened with O_DIRECT (one in SCOPE_EXT4 or on /dev/ram0)
# SCOPE_STORES    kinds of stores to test (main: ram; stores: the others)
# SCOPE_EXT4      a folder on ext4 (/dev/vda is mounted, if there is one); likewise
#                 SCOPE_XFS (/dev/vdd), SCOPE_BTRFS (/dev/vde), SCOPE_VFAT (/dev/vdf)
# SCOPE_BLOCK     block devices to overwrite (/dev/vdb and /dev/vdc)
# STRESS_SECONDS  how long the stress takes for each kind of store (60 or 20)
# SCOPE_INJECT_VERBOSE  2: the kernel logs a stack for each failure that it is made
#                 to have, to see where that was (0)
set -u

# What is in a suite, and what the module is loaded with for it; "-" means that
# the programs load it themselves.
suite()
{
	case "$1" in
	main)
		# Single pages, so that counts are exact; large and held ask for large folios themselves.
		parameters='size_mb=64 store_limit_mb=128 test_hooks=1 large_folio_kb=0'
		kinds=ram
		programs='faults counters added dirty flusher cache madvise vma io uring direct errors store
			  show command abi compat control privilege large held regular' ;;
	folios)
		# The same with large folios, as far as no count rests on single pages.
		parameters='size_mb=64 store_limit_mb=128 test_hooks=1'
		kinds=ram
		programs='faults dirty flusher cache madvise vma io direct errors store show regular' ;;
	stores)
		parameters='size_mb=64 store_limit_mb=128 test_hooks=1 large_folio_kb=0'
		kinds='ext4 xfs btrfs tmpfs vfat block'
		programs='filestore faults counters dirty flusher cache madvise vma io uring direct errors
			  store large held regular' ;;
	smoke)
		# A minute that says whether it works at all.
		parameters='size_mb=64 store_limit_mb=128 test_hooks=1 large_folio_kb=0'
		kinds='ram ext4'
		programs='filestore faults dirty io vma large held' ;;
	pressure)
		parameters='size_mb=1024 test_hooks=1 large_folio_kb=0'
		kinds='ram ext4 block'
		programs='pressure' ;;
	stress)
		parameters='size_mb=64 store_limit_mb=256 test_hooks=1'
		kinds=ram
		programs='stress' ;;
	stress-stores)
		parameters='size_mb=64 store_limit_mb=256 test_hooks=1'
		kinds='ext4 tmpfs block'
		seconds=20
		programs='stress' ;;
	faulty)
		# Block devices and file systems that fail, hang, fill up and go away.
		parameters='size_mb=64 store_limit_mb=128 test_hooks=1 large_folio_kb=0'
		kinds='ram ext4 block tmpfs loop'
		programs='faulty spoiled claims gone hung doomed nbd' ;;
	failnth)
		# What the fault injection of a debug kernel can make fail.
		parameters='size_mb=64 test_hooks=1 large_folio_kb=0'
		programs='failnth failpath' ;;
	reload)
		parameters='-'
		programs='module' ;;
	*)
		return 1 ;;
	esac
}

suites='main folios stores pressure stress stress-stores faulty failnth reload smoke'

die()
{
	echo "run.sh: $*" >&2
	exit 2
}

loaded()
{
	[ -d /sys/module/mmapscope ]
}

fail()
{
	failed=$((failed + 1))
	failures="$failures
  $*"
	tell "fail $*"
}

# The failed tests in $tap, a line each: the test, and what the harness said of it.
failed_tests()
{
	awk '
		/^#  RUN / { why = "" }
		/^# [^ ]*:[0-9]+:/ { sub(/^# /, ""); why = why (why == "" ? "" : "; ") $0 }
		/^not ok / { sub(/^not ok [0-9]* /, ""); print $0 (why == "" ? "" : ": " why); why = "" }' "$tap"
}

# Adds up the TAP lines in $tap. What the plan promised and did not come failed.
count()
{
	counts=$(awk '
		/^1\.\.[0-9]+/ { split($1, a, "[.][.]"); plan = a[2] }
		/^ok .*# SKIP/ { s++; next }
		/^ok / { p++ }
		/^not ok / { f++ }
		/^# +SKIP / { next }
		END { print p + 0, f + 0, s + 0, plan == "" ? -1 : plan }' "$tap")
	# shellcheck disable=SC2086 # four words
	set -- $counts
	ok=$1 not_ok=$2 skips=$3 plan=$4
}

run_program()
{
	name=$1
	[ -x "$PROGRAMS/$name" ] || die "there is no program $PROGRAMS/$name; build it, or see --list"
	echo "# ==== $name"
	tell "running $name"
	start=$(date +%s)
	# The status of the program, not of tee.
	{ "$PROGRAMS/$name" 2>&1; echo $? >"$status_file"; } | tee "$tap"
	read -r status <"$status_file"
	count
	passed=$((passed + ok)) skipped=$((skipped + skips))
	if [ "$not_ok" -gt 0 ]; then
		failed_tests >"$work/failed"
		while read -r line; do
			fail "$name: $line"
		done <"$work/failed"
	elif [ "$status" != 0 ] && [ "$status" != 4 ]; then
		fail "$name: ended with status $status"
	fi
	missing=$((plan - ok - not_ok - skips))
	if [ "$plan" -lt 0 ]; then
		fail "$name: died before it told its plan"
	elif [ "$missing" != 0 ]; then
		fail "$name: $missing of $plan tests told no result"
	fi
	echo "# ==== $name: $ok passed, $not_ok failed, $skips skipped, $(($(date +%s) - start)) s"
}

# What this is: the release of its kernel, its architecture, bytes in a page.
guest()
{
	echo "guest $(uname -r) $(uname -m) $(($(sed -n '/^KernelPageSize: */{s///;s/ kB//p;q}' /proc/self/smaps) * 1024))"
}

tell()
{
	results=${RESULTS:-/dev/virtio-ports/results}
	[ ! -e "$results" ] || echo "$*" >>"$results"
}

# A file that can be opened with O_DIRECT, which the guest's own file systems
# cannot: beside those of the stores, else on an ext4 in memory where that can be made
# (busybox makes an ext2, which is the same driver), else a block device of memory as
# it is.
direct_file()
{
	[ -z "${SCOPE_DIRECT:-}" ] || return 0
	if [ -n "${SCOPE_EXT4:-}" ]; then
		export SCOPE_DIRECT="$SCOPE_EXT4/direct"
		: >"$SCOPE_DIRECT"
		return
	fi
	[ -b /dev/ram0 ] || return 0
	SCOPE_DIRECT=/dev/ram0
	if command -v mke2fs >/dev/null && mkdir -p "$work/ext4" &&
	   mke2fs -F /dev/ram0 >/dev/null && mount -t ext4 /dev/ram0 "$work/ext4"; then
		SCOPE_DIRECT=$work/ext4/file
		: >"$SCOPE_DIRECT"
	fi
	export SCOPE_DIRECT
}

# mount_disk TYPE DISK: a kernel need not have every file system.
mount_disk()
{
	[ -b "/dev/$2" ] && grep -q "\b$1\$" /proc/filesystems || return
	mkdir -p "$work/$2"
	mount -t "$1" "/dev/$2" "$work/$2" || die "/dev/$2 cannot be mounted as $1"
}

# What the suite of stores needs: disks that scripts/suites gives its guest.
backings()
{
	[ -n "${SCOPE_EXT4:-}" ] || ! mount_disk ext4 vda || export SCOPE_EXT4="$work/vda"
	[ -n "${SCOPE_XFS:-}" ] || ! mount_disk xfs vdd || export SCOPE_XFS="$work/vdd"
	[ -n "${SCOPE_BTRFS:-}" ] || ! mount_disk btrfs vde || export SCOPE_BTRFS="$work/vde"
	[ -n "${SCOPE_VFAT:-}" ] || ! mount_disk vfat vdf || export SCOPE_VFAT="$work/vdf"
	if [ -z "${SCOPE_BLOCK:-}" ] && [ -b /dev/vdc ]; then
		export SCOPE_BLOCK='/dev/vdb /dev/vdc' SCOPE_SWAP=/dev/vdc
	fi
}

# The kernel defragments memory by itself now and then, and splits large folios for
# that, while tests count on them.
steady_memory()
{
	proactive=/proc/sys/vm/compaction_proactiveness
	[ -e "$proactive" ] || return 0
	was_proactive=$(cat "$proactive")
	echo 0 >"$proactive"
}

clean_up()
{
	[ -z "${was_proactive:-}" ] || echo "$was_proactive" >"$proactive"
	umount "$work/ext4" "$work"/vd? 2>/dev/null
	if grep -q " $work/" /proc/mounts; then
		echo "run.sh: a file system below $work is in use and stays" >&2
	else
		rm -rf "$work"
	fi
}

load()
{
	loaded && die "mmapscope is already loaded; unload it first"
	# shellcheck disable=SC2086 # parameters are words
	insmod "$MODULE" $parameters || die "insmod $MODULE $parameters failed"
}

unload()
{
	loaded || return 0
	# Several looks: whoever scans /dev or /sys may hold it for a moment.
	for _ in 1 2 3 4 5; do
		rmmod mmapscope && passed=$((passed + 1)) && return 0
		sleep 1
	done
	fail "unloading the module at the end of the suite"
}

main()
{
	suite=main
	while [ $# -gt 0 ]; do
		case "$1" in
		-h|--help) sed -n '3,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
		--list)
			for name in $suites; do
				suite "$name"
				echo "$name: $programs"
			done
			exit 0 ;;
		--suite) suite=${2:?--suite needs a name}; shift 2; continue ;;
		-*) die "unknown option $1 (see --help)" ;;
		*) break ;;
		esac
	done
	suite "$suite" || die "unknown suite '$suite'; known: $suites"
	[ $# = 0 ] || programs=$*

	here=$(dirname "$0")
	if [ -z "${PROGRAMS:-}" ]; then
		PROGRAMS=$here
		[ ! -d "$here/build" ] || PROGRAMS=$here/build
	fi
	MODULE=${MODULE:-/mmapscope.ko}
	if [ -z "${SCOPE_SLOW:-}" ]; then
		SCOPE_SLOW=3
		! grep -q ' kasan_report$' /proc/kallsyms || SCOPE_SLOW=8
	fi
	STRESS_SECONDS=${STRESS_SECONDS:-${seconds:-60}}
	export MODULE SCOPE_SLOW STRESS_SECONDS PROGRAMS
	[ "$(id -u)" = 0 ] || die "must be root: it loads a module"

	work=$(mktemp -d) || exit 2
	trap clean_up EXIT
	tap=$work/tap status_file=$work/status
	passed=0 failed=0 skipped=0 failures=
	begin=$(date +%s)
	echo "# $(guest)"
	tell "$(guest)"
	steady_memory
	backings
	direct_file
	[ -z "${kinds:-}" ] || export SCOPE_STORES="${SCOPE_STORES:-$kinds}"
	[ "$parameters" = - ] || load
	for program in $programs; do
		run_program "$program"
	done
	unload

	echo "# suite $suite: $(($(date +%s) - begin)) s"
	[ -z "$failures" ] || echo "# failed:$failures"
	echo "passed $passed failed $failed skipped $skipped"
	tell "passed $passed failed $failed skipped $skipped"
	[ "$failed" = 0 ]
}

main "$@"
