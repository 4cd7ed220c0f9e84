#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Signs the word "message" with OpenSSL, with every key and hash, and prints a line for each: key, algorithm, signature.

set -o errexit -o nounset -o pipefail
cd "$(dirname "$0")/keys"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf message >"$work/message"

# OpenSSL cannot read OpenSSH's format.
readable() { # KEY
    cp "$1" "$work/key"
    chmod 600 "$work/key"
    ssh-keygen -q -p -N '' -m PEM -f "$work/key" >&2
}

for key in rsa1024 rsa1536 rsa rsa-e3 rsa4104 rsa9000 ecdsa256 ecdsa384 ecdsa521; do
    readable "$key"
    for hash in sha1 sha256 sha384 sha512; do
        family=${key%%[0-9-]*}
        [[ $family$hash != ecdsasha1 ]] || continue
        openssl dgst "-$hash" -sign "$work/key" -out "$work/signature" "$work/message"
        printf '%s %s-%s %s\n' "$key" "$family" "$hash" "$(base64 -w 0 "$work/signature")"
    done
done
openssl pkeyutl -sign -rawin -inkey ed25519-pkcs8 -in "$work/message" -out "$work/signature"
printf 'ed25519 ed25519-sha512 %s\n' "$(base64 -w 0 "$work/signature")"
