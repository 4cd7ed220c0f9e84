#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Prints the source files that do not name their license, and fails if there are any.

set -o errexit -o nounset -o pipefail
cd "$(dirname "$0")/.."

status=0
while IFS= read -r file; do
    case $file in
        *.js | *.mk | *.rs | *.sh | *.xml | Makefile) ;;
        # A script whose name has no extension.
        *) [[ $(head -c 3 "$file" | tr -d '\0') == '#!/' ]] || continue ;;
    esac
    if ! head -n 12 "$file" | grep -q 'terms of the Mozilla Public$'; then
        printf '%s: the header of the license is missing\n' "$file" >&2
        status=1
    fi
done < <(git ls-files)
exit "$status"
