# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Builds the guest's initramfs in the folder $image, with programs from $sysroot
# if it is not empty, from this machine otherwise. Sourced by run.

# shellcheck disable=SC2154 # image and sysroot are run's, top is lib.sh's, arch_* arch.sh's
image_start()
{
	umask 022
	mkdir -p "$image"/{bin,sbin,dev,etc,lib,mnt,proc,root,run,sys,tmp,usr/bin,usr/sbin,usr/local/bin,var,vm}
	: >"$image/vm/modules"
	cp "$top/scripts/vm/init" "$image/init"
	cp "$top"/scripts/vm/{kmemleak-scan,leak-filter,leaks-allowed} "$image/vm/"
	if [ -n "$sysroot" ]; then
		image_add "$sysroot/bin/busybox" /bin/busybox
	else
		image_add "$(command -v busybox)" /bin/busybox
	fi
	echo "$arch_output" >"$image/vm/terminal"
	image_accounts
}

image_accounts()
{
	cat >"$image/etc/passwd" <<-END
	root:x:0:0:root:/root:/bin/sh
	user:x:1000:1000:an ordinary user:/tmp:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/false
	END
	cat >"$image/etc/group" <<-END
	root:x:0:
	user:x:1000:
	nogroup:x:65534:
	END
	echo '127.0.0.1 localhost vm' >"$image/etc/hosts"
}

# True for an ELF file that is run or linked at run time (not for a .o or .ko).
is_program()
{
	local head

	head=$(od -An -v -tx1 -N17 "$1" | tr -d ' \n')
	case "$head" in
	7f454c46*02|7f454c46*03) return 0 ;;
	esac
	return 1
}

# Copies the shared libraries of a program to the places where its loader looks.
image_libraries()
{
	local library

	if [ -n "$sysroot" ]; then
		image_foreign_libraries "$1"
		return
	fi
	{ ldd "$1" 2>/dev/null || true; } |
		sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p' |
		while read -r library; do
			[ -e "$image$library" ] && continue
			mkdir -p "$image$(dirname "$library")"
			cp -L "$library" "$image$library"
		done
}

# The same for a program that does not run here, from what it says about itself:
# the path of its loader and the names of its libraries, which have such names
# again.
image_foreign_libraries()
{
	local name file

	while read -r name; do
		for file in "$name" "/lib/$arch_triplet/$name" "/usr/lib/$arch_triplet/$name"; do
			[ -f "$sysroot$file" ] && break
		done
		[ -f "$sysroot$file" ] ||
			die "$1 wants $name, which is not in $sysroot: add its package to scripts/vm/sysroot"
		[ ! -e "$image$file" ] || continue
		mkdir -p "$image$(dirname "$file")"
		cp -L "$sysroot$file" "$image$file"
		image_foreign_libraries "$sysroot$file"
	done < <(readelf -ld "$1" 2>/dev/null |
		 sed -n 's/.*program interpreter: \([^]]*\).*/\1/p; s/.*(NEEDED).*\[\(.*\)\].*/\1/p')
}

# Copies the file or folder $1 to $2 in the guest.
image_add()
{
	local from=$1 to=$image$2 file

	if [ -d "$from" ]; then
		mkdir -p "$to"
		cp -RL "$from/." "$to/"
		while read -r file; do
			! is_program "$file" || image_libraries "$file"
		done < <(find -L "$from" -type f)
		return
	fi
	[ -e "$from" ] || die "cannot add $from to the guest: it does not exist; build it first"
	mkdir -p "$(dirname "$to")"
	cp -L "$from" "$to"
	! is_program "$from" || image_libraries "$from"
}

# The module under test. Debug information is of no use to the guest and would
# be most of what a small one keeps in memory.
image_module()
{
	[ -e "$1" ] || die "no module at $1; build it first, for instance with scripts/vm/build"
	"${sysroot:+$arch_triplet-}strip" --strip-debug -o "$image/mmapscope.ko" "$1"
}

# Lets init load module $2, with the parameters that follow its name in the same
# word, of the kernel in folder $1, and what it depends on, in order. One that is
# built in needs nothing.
image_modprobe()
{
	local kernel=$1 name=${2%% *} parameters='' action file target list last

	[ "$2" = "$name" ] || parameters=${2#* }

	list=$(modprobe -d "$kernel/modules" \
		-S "$(cat "$kernel/release")" --show-depends "$name" 2>/dev/null) ||
		die "kernel $(cat "$kernel/release") has no module '$name'"
	last=$(tail -n 1 <<<"$list")
	while read -r action file _; do
		[ "$action" = insmod ] || continue
		target=/lib/modules/$(basename "$file")
		target=${target%.xz}
		if [ ! -e "$image$target" ]; then
			mkdir -p "$image/lib/modules"
			case "$file" in
			*.xz) xz -dc "$file" >"$image$target" ;;
			*) cp "$file" "$image$target" ;;
			esac
			if [ "insmod $file" = "${last% }" ]; then
				target="$target $parameters"
			fi
			echo "$target" >>"$image/vm/modules"
		fi
	done <<<"$list"
}

# Not compressed: unpacking would take an emulated CPU longer than reading.
image_finish()
{
	chmod 755 "$image/init" "$image"/vm/{kmemleak-scan,leak-filter}
	(cd "$image" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$1"
}
