#!/usr/bin/bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Sets the zone up: once for each root, so after every upgrade. The user-script runs it, and boot/configure.sh afterwards.
# A failure ends it with a message, without /var/svc/setup_complete. It may be run again at any time.

set -o errexit -o errtrace -o nounset -o pipefail
PATH=/opt/local/bin:/opt/local/sbin:/usr/bin:/usr/sbin:/sbin${PATH:+:$PATH}
export PATH

readonly ROLE=imgapi
readonly PREFIX=/opt/smartdc/$ROLE
readonly DATA=/data/$ROLE
readonly METRICS_PORT=8881

# shellcheck source=lib/util.sh
source /opt/smartdc/boot/lib/util.sh
trap 'say "${0##*/}: error: line $LINENO: $BASH_COMMAND"' ERR

# The programs for operators.
extend_profile() {
    local line
    touch /root/.profile
    # shellcheck disable=SC2016 # for the shell that reads the profile
    for line in "export PATH=$PREFIX/bin:\$PATH" '[ -f "$HOME/.mantaprofile" ] && . "$HOME/.mantaprofile"'; do
        grep -qxF -e "$line" /root/.profile || printf '%s\n' "$line" >>/root/.profile
    done
}

# The service does not run as root, and reads its key for Manta there.
open_key_directory() {
    mkdir -p /root/.ssh
    chmod go+x /root /root/.ssh
}

make_data_directory() {
    mkdir -p "$DATA"
    chown nobody:nobody "$DATA"
}

zone=$(zonename)
role=$(metadata sdc:tags.smartdc_role)
say "Setting up zone $zone, role $role."
zfs set mountpoint=/data "zones/$zone/data" || fatal "cannot mount the delegated dataset zones/$zone/data"

write_dcinfo
install_bashrc
if [[ ! -e $SETUP_COMPLETE ]]; then
    install_amon_agent
fi
make_upload_directories
allow_metadata
if [[ ! -e $SETUP_COMPLETE ]]; then
    configure_agent "$PREFIX"
    download_metadata
    write_configuration "$PREFIX/bin/imgapi"
    import_service "$PREFIX/smf/manifests/config-agent.xml"
    enable_service svc:/smartdc/application/config-agent:default
    start_registrar
else
    say 'Set up before: configuration, config-agent and registrar stay as they are.'
fi
start_cron

mkdir -p /var/smartdc/$ROLE
extend_profile
open_key_directory
make_data_directory
import_service "$PREFIX/smf/manifests/imgapi.xml"

for log in amon-agent config-agent registrar $ROLE; do
    rotate_log "$log"
done
finish_log_rotation

# cmon reads the metrics at this port.
mdata-put metricPorts "$METRICS_PORT" || fatal 'cannot write metadata'
complete_setup
