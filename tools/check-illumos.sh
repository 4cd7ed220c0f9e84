#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Checks the types of the workspace against the real standard library of illumos, without a machine that runs illumos. Debian has the
# source of that library together with its compiler. Nothing is installed or linked. coal is left out, because it is for Linux only.
#
#   check-illumos.sh DIRECTORY      keeps the compiler and all build results in DIRECTORY, 2 GB

set -o errexit -o nounset -o pipefail

readonly TARGET=x86_64-unknown-illumos
# The compiler, the source of its library, and the libraries below whose names have numbers.
readonly PACKAGES='rustc-web rust-web-src'
readonly NEEDED='^(libstd-rust-web-|lib(llvm|z3-|edit|bsd|md|ffi|xml|icu|zstd)[0-9])'

fatal() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

[[ $# == 1 ]] || fatal 'usage: check-illumos.sh DIRECTORY'
cd "$(dirname "$0")/.."
mkdir -p "$1"
directory=$(cd "$1" && pwd)
root=$directory/root
command -v apt-get >/dev/null || fatal 'the compiler is one of the packages of Debian'

# The packages and their dependencies, of which only the compiler's own libraries matter.
closure() {
    local package more=$PACKAGES all=
    while [[ -n $more ]]; do
        all="$all $more"
        # shellcheck disable=SC2086 # a list of words
        more=$(apt-cache depends $more | sed -n 's/^[ |]*Depends: //p' | grep -E "$NEEDED" | sort -u)
        for package in $all; do
            more=$(grep -v -x -F "$package" <<<"$more" || true)
        done
        more=$(tr '\n' ' ' <<<"$more")
        more=${more% }
    done
    printf '%s\n' "$all"
}

if [[ ! -e $root/complete ]]; then
    rm -rf "$root" "$directory/packages"
    mkdir -p "$root" "$directory/packages"
    sudo=
    [[ $(id -u) == 0 ]] || sudo=sudo
    $sudo apt-get update -qq
    packages=$(closure)
    # shellcheck disable=SC2086 # a list of words
    (cd "$directory/packages" && apt-get download -qq -o APT::Sandbox::User=root $packages)
    for package in "$directory"/packages/*.deb; do
        dpkg -x "$package" "$root"
    done
    rm -rf "$directory/packages"
    : >"$root/complete"
fi

# This compiler finds its libraries only in this way.
cat >"$directory/rustc" <<END
#!/bin/sh
LD_LIBRARY_PATH=$root/usr/lib/$(uname -m)-linux-gnu exec $root/usr/bin/rustc "\$@"
END
chmod 755 "$directory/rustc"
"$directory/rustc" --version

# C is compiled for this machine, because no object file is linked or read.
RUSTC=$directory/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='-D warnings' CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$directory/target \
    CC_x86_64_unknown_illumos=gcc AR_x86_64_unknown_illumos=ar \
    "${CARGO:-cargo}" check --locked -Z build-std=std,panic_abort --target "$TARGET" \
    -p imgapi -p moray -p manta -p http-signature -p trust -p zfs-stream
