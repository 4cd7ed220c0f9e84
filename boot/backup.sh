#!/usr/bin/bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# backup.sh ZONE DIRECTORY, in the global zone: writes the dataset with the zone's files and configuration to
# DIRECTORY/imgapi/imgapi-data.zfs, with its properties. The records are in Moray, which has its own backup.
#
# Exit status: 0 done, 1 usage, 103 no such dataset, 106 no snapshot, 108 not sent.

set -o errexit -o nounset -o pipefail
PATH=/usr/bin:/usr/sbin:/sbin:/opt/local/bin
export PATH

fail() { # STATUS MESSAGE
    printf '%s: error: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

if [[ $# != 2 || -z $1 || -z $2 ]]; then
    printf 'usage: %s ZONE DIRECTORY\n' "${0##*/}" >&2
    exit 1
fi
dataset=zones/$1/data
target=$2/imgapi
snapshot=$dataset@imgapi-$(date -u +%Y%m%dT%H%M%SZ)

zfs list -H -o name "$dataset" >/dev/null || fail 103 "there is no dataset $dataset"
zfs snapshot "$snapshot" || fail 106 "cannot make the snapshot $snapshot"
trap 'zfs destroy "$snapshot"' EXIT
mkdir -p "$target" || fail 108 "cannot make the directory $target"
# A backup that breaks off must not replace the earlier one.
if ! zfs send -p "$snapshot" >"$target/imgapi-data.zfs.part"; then
    rm -f "$target/imgapi-data.zfs.part"
    fail 108 "cannot send $snapshot"
fi
mv "$target/imgapi-data.zfs.part" "$target/imgapi-data.zfs" || fail 108 "cannot rename the backup in $target"
