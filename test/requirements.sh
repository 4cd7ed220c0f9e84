#!/bin/sh
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Installs the programs that a target of the Makefile needs and that are missing. Arguments: build, check, interop, bench.
set -eu

packages=
need() { # COMMAND-OR-FILE PACKAGE
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac || packages="$packages $2"
}

for what in "$@"; do
    case $what in
        build)
            need cc build-essential
            ;;
        check)
            need pip3 python3-pip
            ;;
        interop)
            need node nodejs
            need npm npm
            need curl curl
            need openssl openssl
            need ssh-keygen openssh-client
            need ldapsearch ldap-utils
            need /usr/sbin/slapd slapd
            need shellcheck shellcheck
            need xmllint libxml2-utils
            need bzip2 bzip2
            need ip iproute2
            need docker-registry docker-registry
            need skopeo skopeo
            need umoci umoci
            need mksquashfs squashfs-tools
            need python3 python3
            ;;
        bench)
            need curl curl
            need wrk wrk
            need /usr/sbin/nginx nginx-light
            ;;
        *)
            echo "unknown requirement: $what" >&2
            exit 2
            ;;
    esac
done

[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install:$packages" >&2
    exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
# The tests start the installed servers themselves, so the system must not.
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $packages
