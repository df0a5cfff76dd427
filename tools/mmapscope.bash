# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2207 # words without blanks
#
# Completion of mmapscope's command line in bash.

_mmapscope_devices()
{
	local node

	for node in /dev/mmapscope[0-9]*; do
		[ -e "$node" ] && echo "${node#/dev/}"
	done
}

# The words that a command takes, from its own help.
_mmapscope_options()
{
	"${1:-mmapscope}" help "$2" 2>/dev/null | grep -o -e ' --[a-z-]*'
}

_mmapscope()
{
	local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]}
	local commands='load unload create remove resize list stat reset sync evict punch policy file help'
	local command='' i

	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ " $commands " != *" ${COMP_WORDS[i]} "* ]] || { command=${COMP_WORDS[i]}; break; }
	done
	if [ -z "$command" ]; then
		COMPREPLY=($(compgen -W "$commands --json --help --version" -- "$word"))
	elif [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$(_mmapscope_options "${COMP_WORDS[0]}" "$command")" -- "$word"))
	elif [[ $last == --store || $last == -S ]]; then
		COMPREPLY=($(compgen -W 'ram file:' -- "$word"))
		[[ ${COMPREPLY[0]} != file: ]] || compopt -o nospace
	elif [[ $command == create && $last == : ]]; then
		COMPREPLY=($(compgen -A file -- "$word"))
	elif [[ $command == create && $word == : ]]; then
		COMPREPLY=($(compgen -A file --))
	elif [[ $command == load ]]; then
		COMPREPLY=($(compgen -W 'devices= size_mb= store_limit_mb= large_folio_kb=' -- "$word"))
		compopt -o nospace
	elif [[ $command == help ]]; then
		COMPREPLY=($(compgen -W "$commands" -- "$word"))
	elif [[ $last == policy ]]; then
		COMPREPLY=($(compgen -W 'get set' -- "$word"))
	elif [[ $command == policy && $last != [gs]et ]]; then
		COMPREPLY=($(compgen -W 'large_folio_kb' -- "$word"))
	elif [[ $command == file && " ${COMP_WORDS[*]:0:COMP_CWORD} " == *' -- '* ]]; then
		COMPREPLY=($(compgen -A file -- "$word"))
	elif [[ " remove resize stat reset sync evict punch policy file " == *" $command "* ]]; then
		COMPREPLY=($(compgen -W "$(_mmapscope_devices)" -- "$word"))
	fi
}

complete -F _mmapscope mmapscope
