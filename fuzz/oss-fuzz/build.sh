#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fuzz/oss-fuzz/build.sh: builds the fuzz targets as OSS-Fuzz and ClusterFuzzLite ask a project to.
#
#   CC, CXX, CFLAGS, CXXFLAGS  compilers and what instruments (default: clang for libFuzzer, with
#                              AddressSanitizer and UBSan)
#   LIB_FUZZING_ENGINE         what targets are linked with (default: -fsanitize=fuzzer)
#   OUT                        folder for what is built (default: build/oss-fuzz/out)
#   WORK                       folder for objects (default: build/oss-fuzz/work)
#   SRC                        folder that has the tree as hvstack (default: the tree of this file)
#
# Into OUT: each program TARGET, TARGET_seed_corpus.zip, TARGET.options, TARGET.dict if there is
# one, and the libraries that a runner without our packages lacks.
set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -n ${SRC-} && -d $SRC/hvstack ]]; then
	tree=$SRC/hvstack
fi
work=${WORK:-$tree/build/oss-fuzz/work}/hvstack
out=${OUT:-$tree/build/oss-fuzz/out}
engine=${LIB_FUZZING_ENGINE:--fsanitize=fuzzer}
cflags=${CFLAGS--O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all}
cxxflags=${CXXFLAGS-$cflags}

mkdir -p "$work" "$out/lib"
CC=${CC:-clang} CXX=${CXX:-clang++} CFLAGS=$cflags CXXFLAGS=$cxxflags \
	cmake --fresh -S "$tree" -B "$work" -G Ninja -DCMAKE_BUILD_TYPE=None \
	-DHVS_FUZZ=ON "-DHVS_FUZZ_ENGINE=$engine" -DBUILD_TESTING=OFF \
	-DHVS_WITH_LIBURING=OFF -DHVS_WITH_LIBNBD=OFF -DHVS_WITH_LIBSLIRP=OFF \
	-DHVS_WITH_LIBCRYPTO=OFF "-DCMAKE_BUILD_RPATH=\$ORIGIN/lib"
cmake --build "$work" --target fuzz-targets

for program in "$work"/fuzz/fuzz-*; do
	[[ -f $program && -x $program ]] || continue
	name=$(basename "$program")
	target=${name#fuzz-}
	cp "$program" "$out/$name"
	(
		cd "$tree/fuzz/corpus/$target"
		rm -f "$out/${name}_seed_corpus.zip"
		python3 -m zipfile -c "$out/${name}_seed_corpus.zip" ./*
	)
	cp "$tree/fuzz/oss-fuzz/options" "$out/$name.options"
	if [[ -e $tree/fuzz/dict/$target.dict ]]; then
		cp -L "$tree/fuzz/dict/$target.dict" "$out/$name.dict"
	fi
	# What is none of the C library's.
	ldd "$program" | awk '$3 ~ /lib(event_core|json-c|uuid)/ { print $3 }' |
		xargs -r cp -L -t "$out/lib"
done
