#!/usr/bin/bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# restore.sh ZONE DIRECTORY, in the global zone: replaces the zone's dataset by the one that backup.sh wrote to DIRECTORY. The backup is
# received completely before the old dataset is destroyed. Afterwards the zone is halted.
#
# Exit status: 0 done, 1 usage, 105 no such dataset, 106 the old one cannot be destroyed, 108 the backup cannot be received.

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
zone=$1
backup=$2/imgapi/imgapi-data.zfs
dataset=zones/$zone/data
received=zones/$zone/data-restored

zfs list -H -o name "$dataset" >/dev/null || fail 105 "there is no dataset $dataset"
[[ -r $backup ]] || fail 108 "cannot read $backup"
# Remove the rest of an earlier attempt.
if zfs list -H -o name "$received" >/dev/null 2>&1; then
    zfs destroy -r "$received" || fail 106 "cannot destroy $received"
fi
if ! zfs receive -u "$received" <"$backup"; then
    zfs destroy -r "$received" 2>/dev/null || true
    fail 108 "cannot receive $backup"
fi
# The stream has the properties of the zone's dataset. One of them is zoned=on, and the global zone must not set the mount point of such
# a dataset.
for property in zoned=off mountpoint=/data; do
    zfs set $property "$received" || fail 108 "cannot set $property for $received"
done

# The dataset is in use while the zone runs. The service is not disabled, so that it starts when the zone boots.
if [[ $(zoneadm -z "$zone" list -p | cut -d: -f3) == running ]]; then
    svcadm -z "$zone" disable -st imgapi || printf '%s: imgapi did not stop\n' "${0##*/}" >&2
    zoneadm -z "$zone" halt || fail 106 "cannot halt the zone $zone"
fi
zfs destroy -r "$dataset" || fail 106 "cannot destroy $dataset"
zfs rename "$received" "$dataset" || fail 108 "cannot rename $received to $dataset"
# From now on only the zone mounts the dataset.
zfs set zoned=on "$dataset" || fail 108 "cannot set zoned=on for $dataset"
printf 'Restored. Boot the zone: vmadm boot %s\n' "$zone"
