#!/usr/bin/bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# postlogrotate.sh NAME: logadm calls it when it has rotated a log to NAME_ZONE_YYYY-MM-DDTHH:MM:SS.log. Renames that
# file to ...THH:00:00.log, the only name that hermes uploads, or appends it to that file. With SDC_LOG_ROLL_FORWARD=1 it uses the next
# hour, for logs that are rotated early.

set -o errexit -o nounset -o pipefail
PATH=/opt/local/bin:/usr/bin:/usr/sbin
export PATH

readonly UPLOAD_DIR=/var/log/sdc/upload
readonly STAMP='^(.*_[^_]+_)([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.log$'

name=${1:-}
if [[ ! $name =~ ^[A-Za-z0-9-]+$ ]]; then
    printf 'usage: %s NAME\n' "${0##*/}" >&2
    exit 1
fi

# Uses GNU date, because the next hour may belong to the next day.
next_hour() { # DATE HOUR
    TZ=UTC date -d "$1 $2:00:00 UTC + 1 hour" +%Y-%m-%dT%H
}

# Also files that an earlier run left behind, the oldest first.
shopt -s nullglob
for rotated in "$UPLOAD_DIR/${name}"_*.log; do
    [[ $rotated =~ $STAMP ]] || continue
    head=${BASH_REMATCH[1]} date=${BASH_REMATCH[2]} hour=${BASH_REMATCH[3]}
    [[ ${BASH_REMATCH[4]}:${BASH_REMATCH[5]} != 00:00 ]] || continue
    if [[ ${SDC_LOG_ROLL_FORWARD:-} == 1 ]]; then
        whole=$head$(next_hour "$date" "$hour"):00:00.log
    else
        whole=$head${date}T$hour:00:00.log
    fi
    if [[ -e $whole ]]; then
        cat "$rotated" >>"$whole"
        rm "$rotated"
    else
        mv "$rotated" "$whole"
    fi
done
