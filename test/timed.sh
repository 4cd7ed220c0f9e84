#!/bin/sh
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Runs a test program as the runner of `cargo test`, and appends the duration of each test to $TEST_TIMES: seconds and name.
# It runs more tests at once than there are processors, because most tests mostly wait.
set -eu

program=$1
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-6}"

# Programs without the built-in harness write the times themselves.
if [ -z "${TEST_TIMES:-}" ] || ! "$program" --help 2>/dev/null | grep -q -e --report-time; then
    exec "$@"
fi

output=$(mktemp)
status=$(mktemp)
trap 'rm -f "$output" "$status"' EXIT
# The option is unstable. The variable enables it for this program; no compiler sees it.
{ RUSTC_BOOTSTRAP=1 "$@" -Z unstable-options --report-time || echo $? >"$status"; } | tee "$output"
name=$(basename "$program")
sed -n "s/^test \(.*\) \.\.\. ok <\([0-9.]*\)s>\$/\2 ${name%-*} \1/p" "$output" >>"$TEST_TIMES"
exit "$(grep . "$status" || echo 0)"
