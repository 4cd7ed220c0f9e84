#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Builds the packages of this commit in two clones, at paths of different lengths, and compares them. This takes as long as two builds.

set -o errexit -o nounset -o pipefail

cd "$(dirname "$0")/.."
stamp=$(tools/release.sh --stamp)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for place in a another/place; do
    git clone --quiet . "$work/$place"
    (cd "$work/$place" && tools/release.sh -s "$stamp" -o "$work/packages/$place")
    # So the disk needs space for one build only.
    rm -rf "${work:?}/$place"
done
diff -r "$work/packages/a" "$work/packages/another/place"
cat "$work/packages/a/imgapi-$stamp.sha256"
printf 'The same bytes.\n'
