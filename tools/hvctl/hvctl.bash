# bash completion for hvctl                                -*- shell-script -*-
# SPDX-License-Identifier: MIT

_hvctl_options() {
	case $1 in
	"time-sync" | "ip get") echo --timeout ;;
	shutdown* | restart* | hibernate*) echo --force --reason --grace --timeout --wait ;;
	"kvp list" | "kvp get") echo --pool --refresh ;;
	"kvp set" | "kvp delete") echo --pool ;;
	"ip set") echo --dhcp --address --gateway --dns --timeout ;;
	copy-file*) echo --overwrite --create-path --timeout ;;
	freeze*) echo --hold --timeout ;;
	"backup create") echo --parent --consistency --disk --rate ;;
	"backup restore") echo --output ;;
	"disk read-only") echo --off ;;
	"disk limit") echo --iops --bps ;;
	"disk eject") echo --force ;;
	"net capture") echo --max-bytes ;;
	"channel capture") echo --max-bytes --max-packet --device ;;
	events*) echo --follow ;;
	esac
}

_hvctl_second() {
	case $1 in
	service) echo enable disable ;;
	kvp) echo list get set delete ;;
	ip) echo get set ;;
	backup) echo create verify restore list status cancel check ;;
	channel) echo list capture capture-status ;;
	disk) echo list stats latency add remove resize read-only limit fault insert eject ;;
	net) echo list add remove link policy capture mirror forward unforward ;;
	esac
}

# Names of the sockets of running machines.
_hvctl_machines() {
	local socket

	for socket in "${XDG_RUNTIME_DIR:-/nonexistent}"/hvstack/* /run/hvstack/*; do
		if [[ -S $socket ]]; then
			socket=${socket##*/}
			echo "${socket%.sock}"
		fi
	done
}

_hvctl_complete() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_hvctl() {
	local current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]}
	local first="" second="" word i
	local common="--json --machine --socket --help"

	COMPREPLY=()
	case $previous in
	-m | --machine) _hvctl_complete "$(_hvctl_machines)" "$current"; return ;;
	-s | --socket | --parent | --output)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	--pool) _hvctl_complete "auto guest external auto-external" "$current"; return ;;
	--consistency) _hvctl_complete "auto application crash" "$current"; return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-m | --machine | -s | --socket) ((i++)) ;;
		-*) ;;
		*)
			if [[ -z $first ]]; then
				first=$word
			elif [[ -z $second ]]; then
				second=$word
			fi
			;;
		esac
	done
	if [[ -z $first ]]; then
		if [[ $current == -* ]]; then
			_hvctl_complete "$common --version" "$current"
		else
			_hvctl_complete "list info version methods metrics call services service
				heartbeat time-sync shutdown restart hibernate kvp ip copy-file freeze
				thaw backup channel disk net events" "$current"
		fi
	elif [[ -z $second && -n $(_hvctl_second "$first") ]]; then
		_hvctl_complete "$(_hvctl_second "$first")" "$current"
	elif [[ $current == -* ]]; then
		_hvctl_complete "$common $(_hvctl_options "$first${second:+ $second}")" "$current"
	elif [[ $first == service ]]; then
		_hvctl_complete "heartbeat kvp shutdown time-sync vss file-copy" "$current"
	elif [[ "$first $second" == "net link" ]]; then
		_hvctl_complete "up down" "$current"
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}

complete -o filenames -F _hvctl hvctl
