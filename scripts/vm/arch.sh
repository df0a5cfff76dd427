# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What differs between architectures: the table scripts/vm/arches, and who is
# foreign here. Sourced, after lib.sh and apt.sh.

# shellcheck disable=SC2034 # the scripts that source this use what it sets
# shellcheck disable=SC2154 # top comes from lib.sh

# The architecture of kernel $1. A kernel that is built here from source has no
# flavour, and is for x86.
kernel_arch()
{
	local row debian suites version flavour rest

	row=$(kernel_row "$1") || exit 1
	read -r debian suites version flavour rest <<<"$row"
	: "$debian" "$suites" "$version" "$rest"
	flavour_arch "$flavour"
}

flavour_arch()
{
	case "$1" in
	*arm64*) echo arm64 ;;
	*) echo amd64 ;;
	esac
}

# Sets arch and the variables arch_* from the row of $1.
arch_open()
{
	local row

	row=$(awk -v name="$1" '!/^#/ && $1 == name { print; found = 1 } END { exit !found }' \
		"$top/scripts/vm/arches") || die "scripts/vm/arches has no row for $1"
	read -r arch arch_triplet arch_qemu arch_machine arch_cpu arch_console arch_output arch_port arch_options arch_clock <<<"$row"
	[ "$arch_options" != - ] || arch_options=
	[ "$arch_clock" != - ] || arch_clock=
	arch_foreign=
	[ "$arch" = "$(host_arch)" ] || arch_foreign=1
}
