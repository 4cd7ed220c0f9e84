#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Makes DIRECTORY/zstream, the program of OpenZFS that prints streams, for comparison with ours. It is in Debian's section "contrib", which
# apt need not know: nothing is installed, and apt's own lists stay as they are.
#
#   zstream.sh DIRECTORY

set -o errexit -o nounset -o pipefail

readonly PACKAGES='zfsutils-linux libzfs4linux libzpool5linux libnvpair3linux libuutil3linux'
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

fatal() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

[[ $# == 1 ]] || fatal 'usage: zstream.sh DIRECTORY'
command -v apt-get >/dev/null || fatal 'zstream is one of the packages of Debian'
mkdir -p "$1"
directory=$(cd "$1" && pwd)
root=$directory/root
rm -rf "$root" "$directory/apt" "$directory/packages" "$directory/zstream"
mkdir -p "$root" "$directory/apt/lists/partial" "$directory/apt/cache/archives/partial" "$directory/packages"

# The mirror and the release are those of this machine.
# shellcheck disable=SC2016 # apt expands these
apt-get indextargets --format '$(LABEL) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Component: main' |
    while read -r label uri release; do
        [[ $label == Debian ]] || continue
        printf 'deb [signed-by=%s] %s %s main contrib\n' "$KEYRING" "$uri" "$release"
    done | sort -u >"$directory/apt/sources.list"
[[ -s $directory/apt/sources.list ]] || fatal 'apt knows no mirror of Debian'

options=(-qq -o "Dir::Etc::sourcelist=$directory/apt/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root
    -o "Dir::State::lists=$directory/apt/lists" -o "Dir::Cache=$directory/apt/cache")
apt-get "${options[@]}" update
# shellcheck disable=SC2086 # a list of words
(cd "$directory/packages" && apt-get "${options[@]}" download $PACKAGES)
for package in "$directory"/packages/*.deb; do
    dpkg -x "$package" "$root"
done
rm -rf "$directory/packages" "$directory/apt"

cat >"$directory/zstream" <<END
#!/bin/sh
LD_LIBRARY_PATH=$root/lib/$(uname -m)-linux-gnu exec $root/sbin/zstream "\$@"
END
chmod 755 "$directory/zstream"
