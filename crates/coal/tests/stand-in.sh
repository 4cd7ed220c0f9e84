#!/bin/sh
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Runs in place of imgapi: checks its arguments, then becomes the test binary, which answers for imgapi.
[ "$1 $2" = "serve -f" ] && [ -d "$(sed -n 's/.*"localBaseDir": "\(.*\)".*/\1/p' "$3")" ] || exit 2
export STAND_IN_CONFIG="$3"
exec "$STAND_IN" --exact --ignored --nocapture serve_as_stand_in
