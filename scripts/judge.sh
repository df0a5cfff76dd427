# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # lib.sh sets top
#
# What a guest that ran a suite came to. Sourced, after lib.sh.

# One line for each failure so far
reasons=()

# Adds up the lines "passed N failed N skipped N" that the guest wrote. One that could
# not be started has not even a file for them.
count_results()
{
	{ cat "$1" 2>/dev/null || true; } | awk '$1 == "passed" && $3 == "failed" && $5 == "skipped" {
		p += $2; f += $4; s += $6; lines++ }
	     END { print p + 0, f + 0, s + 0, lines + 0 }'
}

# Where the guest was whose logs are in folder $1: its program, the test, and the last
# words of its kernel.
whereabouts()
{
	printf 'in %s, at "%s"; its kernel last said: %s' \
		"$(sed -n 's/^running //p' "$1/results" 2>/dev/null | tail -n 1)" \
		"$(tail -n 1 "$1/output.log" 2>/dev/null | cut -c 1-120)" \
		"$(tail -n 2 "$1/kernel.log" 2>/dev/null | cut -c 1-160 | paste -sd '|')"
}

# Sets counts (passed, failed, skipped, lines of sums) of the guest that $1 is about,
# which ended with status $2 and left its logs in folder $3, and adds what failed to
# reasons.
judge()
{
	local label=$1 status=$2 log=$3 why='' line

	read -ra counts < <(count_results "$log/results")
	while read -r line; do
		reasons+=("$label: $line")
	done < <(sed -n 's/^fail //p' "$log/results" 2>/dev/null)
	# What the guest could not count itself: its own death, a bad log.
	if [ "${counts[3]}" = 0 ]; then
		why="told no results; it was $(whereabouts "$log")"
	elif [ "$status" -ge 120 ] || { [ "$status" != 0 ] && [ "${counts[1]}" = 0 ]; }; then
		why="ended badly"
	fi
	[ -n "$why" ] || return 0
	counts[1]=$((counts[1] + 1))
	if [ "$status" = 120 ]; then
		why+=", kernel log: $({ "$top/scripts/vm/log-scan" "$log/kernel.log" || true; } | first_line)"
	fi
	reasons+=("$label: the guest $why (status $status)")
}
