#!/usr/bin/bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Tunes TCP for large files, at every boot of the zone. A failure is ignored, because the zone must start in any case.

set -o nounset
PATH=/usr/bin:/usr/sbin:/sbin${PATH:+:$PATH}
export PATH

readonly BUFFER=2097152

tcp() { # PARAMETER VALUE
    ndd -set /dev/tcp "$1" "$2" || printf '%s: cannot set %s\n' "${0##*/}" "$1" >&2
}

# The upper limit of the two buffers below.
ipadm set-prop -t -p max_buf=$BUFFER tcp || printf '%s: cannot set max_buf\n' "${0##*/}" >&2
tcp tcp_recv_hiwat $BUFFER
tcp tcp_xmit_hiwat $BUFFER
tcp tcp_conn_req_max_q 2048
tcp tcp_conn_req_max_q0 8192

exit 0
