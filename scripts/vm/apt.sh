# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages of any Debian release, fetched and never installed. Sourced.
#
# apt gets a state of its own in the cache, so neither the host's package lists
# nor its release matter. The mirrors are those that the host already uses:
# they are reachable from here, and nobody has to configure them twice.

# shellcheck disable=SC2154 # top and cache come from lib.sh
table=$top/scripts/vm/kernels

# One row of the table of kernels, as: release suites version flavour how old-qemu
kernel_row()
{
	awk -v name="$1" '!/^#/ && $1 == name { $1 = ""; print; found = 1 }
			  END { exit !found }' "$table" && return
	die "unknown kernel '$1'; known: $(kernel_names | paste -sd ' ')"
}

kernel_names()
{
	awk '!/^#/ && NF { print $1 }' "$table"
}

# The newest of Debian's own kernels for x86 in the table.
newest_kernel()
{
	awk '!/^#/ && $5 ~ /amd64$/ && $6 == "package" { print $1 }' "$table" | sort -V | tail -n 1
}

# The suffixes of the suites that any row of release $1 uses.
release_suites()
{
	awk -v r="$1" '!/^#/ && $2 == r { print $3 }' "$table" | tr ',' '\n' | sort -u
}

# "URI" of the host's archive for its suite $1. `update --print-uris` answers
# from the configuration alone: lists need not have been fetched.
host_mirror()
{
	apt-get update --print-uris 2>/dev/null |
		sed -n "s|^'\(.*\)/dists/$1/\(In\)\{0,1\}Release'.*|\1|p" | first_line
}

archive_keyring()
{
	local file

	for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
		[ -r "$file" ] && echo "$file" && return
	done
	die "no key ring to check packages with; install debian-archive-keyring"
}

# The lines for apt to take release $1 from, for the architectures $2 (a,b).
apt_sources()
{
	local release=$1 arches=$2 main security uri suite keyring

	keyring=$(archive_keyring)
	main=$(host_mirror "$(host_release)")
	[ -n "$main" ] ||
		die "apt on this machine has no Debian archive to take $release from; add one to /etc/apt/sources.list.d"
	security=$(host_mirror "$(host_release)-security")
	for suite in $(release_suites "$release"); do
		uri=$main
		if [ "$suite" = -security ]; then
			uri=$security
			[ -n "$uri" ] || continue
		fi
		[ "$suite" = - ] && suite=
		echo "deb [arch=$arches lang=none target=Packages signed-by=$keyring] $uri $release$suite main"
	done
}

# Fresh package lists of release $1, for architecture $2 as well as for this
# machine's own; sets apt_opts for the functions below. A name that both have is
# this machine's: that is what the programs of linux-kbuild-* have to be.
# apt fails at once when another apt uses the same folder, hence the lock.
apt_open()
{
	local name=$1 own arches dir
	own=$(host_arch)

	arches=$own
	if [ "$2" != "$own" ]; then
		arches+=,$2
		name+=-$2
	fi
	dir=$cache/apt/$name
	hold_lock "apt-$name"
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	apt_sources "$1" "$arches" >"$dir/sources.list"
	apt_opts=(
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o "Dir::State=$dir" -o "Dir::State::lists=$dir/lists"
		-o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache"
		-o "APT::Architecture=$own" -o "APT::Architectures=$arches"
		# The cache is often below root's home, where apt's own user cannot write.
		-o APT::Sandbox::User=root
		-o Acquire::Retries=3 -o APT::Update::Error-Mode=any
	)
	# A mirror may be halfway through being brought up to date.
	apt-get -q "${apt_opts[@]}" update >&2 ||
		{ say "the package lists of $1: again in 30 seconds" && sleep 30 &&
		  apt-get -q "${apt_opts[@]}" update; } >&2 ||
		die "the package lists of $1 could not be fetched (see above); check the network and try again"
}

# True if package $1 can be downloaded (and is not just a name that another
# package mentions).
apt_has()
{
	apt-cache "${apt_opts[@]}" show --no-all-versions "$1" 2>/dev/null | grep '^Filename:' >/dev/null
}

apt_version()
{
	apt-cache "${apt_opts[@]}" show --no-all-versions "$1" | sed -n 's/^Version: //p' | first_line
}

# Downloads the packages into folder $1 and unpacks them to $1/root.
apt_unpack()
{
	local dir=$1
	shift

	mkdir -p "$dir/debs"
	(cd "$dir/debs" && apt-get -q "${apt_opts[@]}" download "$@" >&2) ||
		die "downloading $* failed (see above); check the network and the free space in $cache"
	unpack_debs "$dir"
}

unpack_debs()
{
	local dir=$1 deb

	mkdir -p "$dir/root"
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb -x "$deb" "$dir/root"
	done
	rm -rf "$dir/debs"
}

# The files of version $1 that have left the index: "sha256 path" for each.
pool_files()
{
	awk -v version="$1" '!/^#/ && $1 == version { print $2, $3; found = 1 }
			     END { exit !found }' "$top/scripts/vm/pool" ||
		die "scripts/vm/pool lists no files of version $1"
}

# Fetches one of them into folder $1 and checks it. apt's own downloader has
# apt's proxies and access rights.
pool_fetch()
{
	local dir=$1 sum=$2 path=$3 file mirror
	file=$(basename "$path")

	if [ -e "$cache/pool/$file" ]; then
		cp "$cache/pool/$file" "$dir/"
	else
		mirror=$(host_mirror "$(host_release)")
		[ -n "$mirror" ] ||
			die "apt on this machine has no Debian archive to take $file from; add one to /etc/apt/sources.list.d"
		/usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root -o Acquire::Retries=3 \
			download-file "$mirror/$path" "$dir/$file" "SHA256:$sum" >&2 ||
			die "$file could not be fetched from the archive's pool (see above). If it is gone there, take it from snapshot.debian.org and put it into $cache/pool"
	fi
	echo "$sum  $dir/$file" | sha256sum --check --status ||
		die "$file is not the file that scripts/vm/pool means: its SHA256 is not $sum"
}

# Unpacks the files of version $2 to $1/root.
pool_unpack()
{
	local dir=$1 files sum path

	files=$(pool_files "$2") || exit 1
	mkdir -p "$dir/debs"
	while read -r sum path; do
		pool_fetch "$dir/debs" "$sum" "$path"
	done <<<"$files"
	unpack_debs "$dir"
}
