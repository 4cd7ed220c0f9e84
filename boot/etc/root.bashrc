# shellcheck shell=bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# The shell of root in a Triton zone. boot/setup.sh puts it to /root/.bashrc.

if [[ $- == *i* ]]; then
    shopt -s checkwinsize extglob histappend
    HISTCONTROL=ignoreboth
    alias ll='ls -lF'

    # The prompt says which zone of which datacenter it is.
    SDC_DATACENTER_NAME=
    # shellcheck source=/dev/null
    [[ -f /.dcinfo ]] && . /.dcinfo
    SDC_ALIAS=$(mdata-get sdc:alias 2>/dev/null)
    SDC_PLACE=$SDC_DATACENTER_NAME${SDC_DATACENTER_NAME:+${SDC_ALIAS:+:}}$SDC_ALIAS
    PS1="[\u@\h${SDC_PLACE:+ ($SDC_PLACE)} \w]\\$ "
fi

# What the log of the service has about a request.
req() { # ID
    grep -e "$1" "$(svcs -L imgapi)" | bunyan
}
