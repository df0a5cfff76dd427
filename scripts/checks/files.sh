# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The files that belong to the tree. Sourced.

# Committed or not, but not what git ignores; a tarball has no git, and there
# everything that is not built belongs.
tree_files()
{
	git ls-files -co --exclude-standard 2>/dev/null ||
		find . -name build -prune -o -type f -printf '%P\n'
}

# Shell scripts have no common name: the first line tells, or the line in which
# a sourced file names its shell.
shell_files()
{
	local file first

	tree_files | sort -u | while read -r file; do
		[ -f "$file" ] || continue
		IFS= read -r -n 80 first <"$file" 2>/dev/null || true
		case "$first" in
		'#!'*bash|'#!'*bash' '*|'#!'*/sh|'#!'*/sh' '*|'#!'*busybox' sh') echo "$file" ;;
		*)
			case "$file" in
			*.[ch]) ;;
			*) ! sed -n 1,5p "$file" | grep '^# shellcheck shell=' >/dev/null || echo "$file" ;;
			esac ;;
		esac
	done
}
