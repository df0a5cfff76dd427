# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What all host scripts share: messages, the cache, locks. Sourced, never run.
#
# Standard output belongs to results (a path, a program's output); everything
# a person reads about progress goes to standard error.

# shellcheck disable=SC2034 # for the scripts that source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
me=$(basename "$0")
cache=${MMAPSCOPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmapscope}

# depmod and its like are not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

# A make that runs a script has no part in what the script makes: its jobs and
# its options would only confuse.
unset MAKEFLAGS MFLAGS MAKELEVEL

say()
{
	printf '%s: %s\n' "$me" "$*" >&2
}

# Every message says what failed, why, and what to do about it.
die()
{
	say "$*"
	exit 1
}

usage_error()
{
	say "$* (see $me --help)"
	exit 2
}

# The comment block at the top of a script is its help text.
print_help()
{
	sed -n '3,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"
}

# `head -n 1` would close the pipe early, which pipefail takes for a failure
# whenever the writer is not done yet; so would grep -q.
first_line()
{
	awk 'NR == 1'
}

# What a run of tests came to, as "passed failed skipped": the last line
# "N passed, N failed, N skipped" of its output in file $1. A run that failed
# (exit status $2) without saying so, or told no sums, is one failure.
sums_of()
{
	local file=$1 status=$2

	awk -v status="$status" '
		/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p = $1; f = $3; s = $5; told = 1 }
		END { if (!told || (status != 0 && !f)) f++
		      print p + 0, f + 0, s + 0 }' "$file"
}

# One word for a POSIX shell, whatever characters it holds.
quote()
{
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

# Holds lock NAME until this shell exits. Two runs at once are ordinary (a
# developer's and a CI's), and both may want to fill the same part of the cache.
hold_lock()
{
	local name=$1 fd

	mkdir -p "$cache/locks"
	exec {fd}>"$cache/locks/$name"
	flock -n "$fd" && return
	say "waiting for another run that works on $name"
	flock "$fd"
}

# Makes $stage, a new folder below $1 and so on the same file system as what it
# will be renamed to. It is removed when the script fails or is interrupted;
# after a kill -9 or a power cut somebody else's next run does it a day later.
stage_dir()
{
	mkdir -p "$1"
	find "$1" -maxdepth 1 -name '.new.*' -mmin +1440 -exec rm -rf {} +
	stage=$(mktemp -d "$1/.new.XXXXXX")
	trap 'rm -rf "$stage"' EXIT
}

# Puts folder $1 in the place of $2. A reader sees the old one, or the new one.
publish()
{
	local old

	chmod 755 "$1"
	if [ -e "$2" ]; then
		old=$(mktemp -d "$(dirname "$2")/.new.XXXXXX")
		mv "$2" "$old/"
		mv "$1" "$2"
		rm -rf "$old"
	else
		mv "$1" "$2"
	fi
}

# The release of Debian that this machine runs, as its codename.
host_release()
{
	# shellcheck disable=SC1091 # a file of the system, not of the tree
	(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
}

# The architecture of its programs, in Debian's word.
host_arch()
{
	dpkg --print-architecture
}
