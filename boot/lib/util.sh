# shellcheck shell=bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# What every core zone of Triton does when it is set up, for boot/setup.sh: the same files, markers and order as with the
# scripts that other zones share. Every step may be done again.

readonly BOOT_DIR=/opt/smartdc/boot
readonly AGENT_DIR=/opt/smartdc/config-agent
readonly AGENT_CONFIG=$AGENT_DIR/etc/config.json
readonly REGISTRAR_DIR=/opt/smartdc/registrar
readonly AMON_DIR=/opt/amon-agent
readonly UPLOAD_DIR=/var/log/sdc/upload
readonly METADATA=/var/tmp/metadata.json
readonly SETUP_COMPLETE=/var/svc/setup_complete
# SAPI may start later than this zone.
readonly SAPI_TRIES=30
readonly SAPI_PAUSE_SECONDS=2
readonly SAPI_TIMEOUT_SECONDS=30
readonly AGENT_TIMEOUT_SECONDS=120
readonly AGENT_POLL_MS=120000

say() {
    printf '%s\n' "$*" >&2
}

fatal() {
    say "${0##*/}: error: $*"
    exit 1
}

# The value of a metadata key, which must be there.
metadata() { # KEY
    local value
    value=$(mdata-get "$1") || fatal "metadata \"$1\": mdata-get failed"
    [[ -n $value ]] || fatal "metadata \"$1\" is empty"
    printf '%s' "$value"
}

import_service() { # MANIFEST
    svccfg import "$1" || fatal "cannot import $1"
}

# Waits for the service with -s. Not to be used with what depends on svc:/smartdc/mdata:execute, which waits for this script.
enable_service() { # [-s] FMRI
    svcadm enable "$@" || fatal "cannot enable ${!#}"
}

write_dcinfo() {
    local name
    name=$(metadata sdc:datacenter_name)
    printf 'SDC_DATACENTER_NAME="%s"\n' "$name" >/.dcinfo
}

install_bashrc() {
    mkdir -p /root
    cp "$BOOT_DIR/etc/root.bashrc" /root/.bashrc
}

install_amon_agent() {
    if [[ ! -d $AMON_DIR ]]; then
        say 'This image has no amon-agent.'
        return
    fi
    (cd "$AMON_DIR" && ./pkg/postinstall.sh) || fatal 'cannot install amon-agent'
    rm -f /var/svc/amon-agent.tgz
}

# Where rotated logs wait for hermes, which uploads them from the global zone.
make_upload_directories() {
    local directory
    for directory in "${UPLOAD_DIR%/*}" "$UPLOAD_DIR"; do
        mkdir -p "$directory"
        chown root:sys "$directory"
    done
    logadm -r /var/adm/messages
    # shellcheck disable=SC2016 # for the shell that logadm starts
    logadm -w /var/adm/messages -C 4 -a 'kill -HUP `cat /var/run/rsyslogd.pid`'
}

# Lets users with the profiles "Metadata Reader" and "Metadata Writer" reach the metadata.
allow_metadata() {
    local database
    import_service /lib/svc/manifest/system/pfexecd.xml
    import_service /lib/svc/manifest/system/rbac.xml
    enable_service -s svc:/system/pfexec:default
    enable_service -s svc:/system/rbac:default
    for database in prof_attr exec_attr; do
        mkdir -p "/etc/security/$database.d"
        cp "$BOOT_DIR/etc/security/$database.d/mdata" "/etc/security/$database.d/mdata"
    done
    # It merges what lies in these directories when it starts.
    svcadm disable -s svc:/system/rbac:default || fatal 'cannot restart rbac'
    enable_service -s svc:/system/rbac:default
}

configure_agent() { # MANIFEST-DIRECTORY
    local url
    url=$(metadata sapi-url)
    # It goes into JSON, and to curl.
    [[ $url =~ ^https?://[][A-Za-z0-9._:/-]+$ ]] || fatal "metadata \"sapi-url\" is no URL: $url"
    mkdir -p "${AGENT_CONFIG%/*}"
    cat >"$AGENT_CONFIG.new" <<END
{
    "logLevel": "info",
    "pollInterval": $AGENT_POLL_MS,
    "sapi": { "url": "$url" },
    "localManifestDirs": [ "$1" ]
}
END
    mv "$AGENT_CONFIG.new" "$AGENT_CONFIG"
}

# What SAPI knows of this zone, for scripts; and the proof that SAPI answers.
download_metadata() {
    local nics macs url zone try
    nics=$(metadata sdc:nics)
    macs=$(json -c 'this.nic_tag === "admin"' -a mac <<<"$nics") || fatal 'metadata "sdc:nics" is no JSON'
    if [[ -z $macs ]]; then
        say 'No admin NIC: the metadata in SAPI are not downloaded.'
        return
    fi
    url=$(metadata sapi-url)
    zone=$(zonename)
    url=$url/configs/$zone
    for ((try = 1; ; try++)); do
        if curl -sSf --max-time "$SAPI_TIMEOUT_SECONDS" -o "$METADATA.raw" "$url" &&
            json -f "$METADATA.raw" metadata >"$METADATA.new" && [[ -s $METADATA.new ]]; then
            break
        fi
        if ((try == SAPI_TRIES)); then
            rm -f "$METADATA.raw" "$METADATA.new"
            fatal "SAPI does not answer: $url ($SAPI_TRIES tries)"
        fi
        say "SAPI does not answer: $url (try $try of $SAPI_TRIES)"
        sleep "$SAPI_PAUSE_SECONDS"
    done
    mv "$METADATA.new" "$METADATA"
    rm -f "$METADATA.raw"
}

# Every file is there before a service needs it.
write_configuration() { # IMGAPI
    "$1" config-agent -f "$AGENT_CONFIG" --synchronous -t "$AGENT_TIMEOUT_SECONDS" ||
        fatal 'config-agent could not write the configuration'
}

# Not with -s: registrar depends on svc:/smartdc/mdata:execute.
start_registrar() {
    local manifest=$REGISTRAR_DIR/smf/manifests/registrar.xml
    if [[ ! -f $manifest ]]; then
        say 'This image has no registrar: the zone will not be in DNS.'
        return
    fi
    [[ -f $REGISTRAR_DIR/etc/config.json ]] || fatal 'config-agent has written no configuration for registrar'
    import_service "$manifest"
    enable_service svc:/manta/application/registrar:default
}

# The minimal brand starts without it.
start_cron() {
    import_service /lib/svc/manifest/system/cron.xml
    enable_service -s svc:/system/cron:default
}

# Rotates a log every hour, keeps 168 of them and at most 1 GiB, and hands them to hermes. The process keeps its file, which is
# copied and truncated.
rotate_log() { # NAME
    # shellcheck disable=SC2016 # $nodename is logadm's
    logadm -w "$1" -S 1g -C 168 -c -p 1h -t "$UPLOAD_DIR/$1"'_$nodename_%FT%H:%M:%S.log' \
        -a "$BOOT_DIR/sbin/postlogrotate.sh $1" "/var/svc/log/*$1*.log" || fatal "cannot rotate the log of $1"
}

# The general rule for logs of services comes last, so that it finds those of rotate_log done. logadm itself runs every hour.
finish_log_rotation() {
    local table
    logadm -r smf_logs
    logadm -w smf_logs -C 3 -c -s 1m '/var/svc/log/*.log'
    # There may be no table yet.
    table=$(crontab -l 2>/dev/null | sed -e '/# Rotate system logs/d' -e '/\/usr\/sbin\/logadm/d' || true)
    printf '%s\n' "${table:+$table
}0 * * * * /usr/sbin/logadm -v >> /var/log/logadm.log 2>&1" | crontab || fatal 'cannot write the crontab of root'
}

# The log of the first setup is kept, with its end.
complete_setup() {
    touch "$SETUP_COMPLETE"
    say 'setup done'
    (
        sleep 5
        cp /var/svc/setup.log /var/svc/setup_init.log
    ) >/dev/null 2>&1 &
}
