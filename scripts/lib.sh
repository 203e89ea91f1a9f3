# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Helpers of the scripts in this folder; source it.
# shellcheck disable=SC2034 # the lists are for those who source this

# Debian packages by what they are for. (libslirp's pkg-config file wants GLib's.)
HVS_PACKAGES_BUILD=(gcc g++ libc6-dev make cmake ninja-build pkg-config python3
	libevent-dev libjson-c-dev liburing-dev libnbd-dev libslirp-dev
	libglib2.0-dev libssl-dev uuid-dev acpica-tools)
HVS_PACKAGES_TEST=(libcriterion-dev libbenchmark-dev binutils fio qemu-utils nbdkit
	iproute2 tcpdump)
HVS_PACKAGES_CLANG=(clang libclang-rt-14-dev llvm)
HVS_PACKAGES_FUZZ=(afl++)
HVS_PACKAGES_BARE_METAL=(clang lld llvm cmake ninja-build qemu-system-x86 qemu-system-arm)
HVS_PACKAGES_LINT=(clang clang-tidy clang-format shellcheck)
HVS_PACKAGES_ABI=(abigail-tools)
HVS_PACKAGES_OBSERVE=(tshark systemtap-sdt-dev)
HVS_PACKAGES_DEBIAN=(lintian mmdebstrap debhelper dpkg-dev dh-python pybuild-plugin-pyproject python3-cffi
	python3-dev python3-setuptools python3-wheel systemtap-sdt-dev)
HVS_PACKAGES_PYTHON=(python3-cffi python3-dev python3-pip python3-pytest python3-setuptools python3-venv
	python3-wheel mypy flake8 clang-format)
# Where no other cargo is in PATH.
HVS_PACKAGES_RUST=(cargo rustc rustfmt rust-clippy)
HVS_PACKAGES_E2E=(qemu-system-x86 qemu-utils busybox-static mmdebstrap e2fsprogs genisoimage kmod zstd
	util-linux ca-certificates tshark)
HVS_PACKAGES_DOCS=(doxygen graphviz mandoc python3 python3-jsonschema)

say() {
	printf '[%4ds] %s\n' "$SECONDS" "$*"
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

as_root() {
	if ((EUID == 0)); then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root: $*"
	fi
}

# Names of the fuzz targets, one a line. In the tree's top folder.
fuzz_targets() {
	sed -n 's/^[[:space:]]*hvs_fuzz(\([a-z0-9_-]*\) .*/\1/p' fuzz/CMakeLists.txt
}

# need PACKAGE...: installs the Debian packages that are missing.
need() {
	local -a missing=()
	local package status

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "no apt here: taking for granted what Debian packages as: $*"
		return 0
	fi
	for package in "$@"; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
		if [[ $status != installed ]]; then
			missing+=("$package")
		fi
	done
	((${#missing[@]})) || return 0

	say "installing ${missing[*]}"
	local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y
		-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
	local log
	log=$(mktemp)
	if ! { as_root "${apt[@]}" update &&
		as_root "${apt[@]}" install --no-install-recommends "${missing[@]}"; } \
		>"$log" 2>&1 </dev/null; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "could not install ${missing[*]}"
	fi
	rm -f "$log"
}
