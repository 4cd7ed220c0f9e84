#!/usr/bin/env bash
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Builds the program, unless one is given, and packs it with files of this repository. The same commit, compilers and libraries make
# the same bytes, on every machine and at any time.
#
#   imgapi-pkg-STAMP.tar.gz           for the image build of Triton: root/ and site/
#   imgapi-zfs-STAMP.imgmanifest      the image's manifest, without uuid, published_at and files, which only the image build knows
#   imgapi-linux-ARCH-STAMP.tar.gz    for Linux without a datacenter; only if the program is for Linux
#   imgapi-STAMP.sha256               the SHA-256 of these files

set -o errexit -o nounset -o pipefail
export LC_ALL=C TZ=UTC
umask 022

readonly NAME=imgapi
readonly DESCRIPTION='SDC IMGAPI'
readonly OWNER=00000000-0000-0000-0000-000000000000
# triton-origin-x86_64-21.4.0, and the platform that Triton builds on.
readonly ORIGIN=${ORIGIN:-502eeef2-8267-489f-b19c-a206906f57ef}
readonly MIN_PLATFORM=${MIN_PLATFORM:-20210826T002459Z}
# GNU tar has another name on SmartOS.
TAR=$(command -v gtar || command -v tar)
readonly TAR
# The libraries that every platform of SmartOS and every Linux has. A library of pkgsrc could change with an upgrade of packages.
readonly LIBRARIES='linux-vdso|ld-linux.*|libc|libdl|libgcc_s|libm|libmd|libmp|libnsl|libpthread|libresolv|librt|libsendfile|libsocket'
readonly BUILD_DIR=target/packages-build
readonly STAMP_FORM='^[A-Za-z0-9._-]+-[0-9]{8}T[0-9]{6}Z-g[0-9a-f]+$'

fatal() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

usage() {
    cat >&2 <<END
usage: ${0##*/} --stamp                        print the stamp of this commit
       ${0##*/} [-s STAMP] -o DIRECTORY [PROGRAM]

Environment: BRANCH, SOURCE_DATE_EPOCH, ORIGIN, MIN_PLATFORM in the place of what the commit and the defaults say.
END
    exit 2
}

cd "$(dirname "$0")/.."

# The time of the commit, which every file of a package gets.
epoch() {
    printf '%s' "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
}

# The program contains its stamp, and no directory of this machine. The compiler gets these options without cargo, which would
# otherwise use them in the names of its own directories.
build() {
    local version cargo_home sysroot
    version=$(sed -n '/^name = "imgapi"$/,/^version/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    sysroot=$(rustc --print sysroot)
    mkdir -p "$BUILD_DIR"
    cat >"$BUILD_DIR/rustc" <<'END'
#!/bin/sh
exec "$@" --remap-path-prefix="$HERE=/imgapi" --remap-path-prefix="$CARGO_HOME=/cargo" --remap-path-prefix="$SYSROOT=/rust"
END
    chmod 755 "$BUILD_DIR/rustc"
    HERE=$PWD CARGO_HOME=$cargo_home SYSROOT=$sysroot RUSTC_WRAPPER=$PWD/$BUILD_DIR/rustc RUSTFLAGS='' \
        IMGAPI_VERSION="$version ($stamp)" SOURCE_DATE_EPOCH=$epoch CARGO_INCREMENTAL=0 \
        CFLAGS="-ffile-prefix-map=$PWD=/imgapi -ffile-prefix-map=$cargo_home=/cargo" \
        "${CARGO:-cargo}" build --release --locked -p imgapi --target-dir "$BUILD_DIR" >&2
    program=$BUILD_DIR/release/imgapi
    forget_run_path "$program"
}

# A program of a compiler older than in Cargo.toml does not lock files on illumos. Compilers write their version into programs.
check_compiler() { # PROGRAM
    local oldest made_by
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    made_by=$(strings -a "$1" | sed -n 's/.*rustc version \([0-9][0-9.]*\).*/\1/p' | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)
    [[ -n $made_by ]] || fatal "which compiler made $1?"
    [[ $(printf '%s\n' "$oldest" "$made_by" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1) == "$oldest" ]] ||
        fatal "$1 was made by Rust $made_by, and has to be by $oldest or later"
}

# The compiler of pkgsrc makes programs search pkgsrc's directory for libraries. The platform has the same libraries.
forget_run_path() { # PROGRAM
    local tag
    command -v elfedit >/dev/null || return 0
    for tag in RUNPATH RPATH; do
        if elfdump -d "$1" | grep -q -w "$tag"; then
            elfedit -e "dyn:delete $tag" "$1"
        fi
    done
}

check_libraries() { # PROGRAM
    local name rest
    while read -r name rest; do
        name=${name##*/}
        [[ ${name%%.so*} =~ ^($LIBRARIES)$ && $rest != *'not found'* && $rest != */opt/* ]] || fatal "$1 needs $name $rest"
    done < <(ldd "$1")
}

# BRANCH-YYYYMMDDTHHMMSSZ-gSHA, the version of an image. Triton's tools know the main branch as "master" only.
stamp() {
    local branch time sha dirty
    dirty=$(git status --porcelain) || fatal 'this is no git repository: name the stamp with -s'
    [[ -z $dirty ]] || fatal 'there are changes that are not committed'
    branch=${BRANCH:-$(git rev-parse --abbrev-ref HEAD)}
    [[ $branch != main ]] || branch=master
    time=$(TZ=UTC0 git log -1 --date=format-local:%Y%m%dT%H%M%SZ --format=%cd)
    sha=$(git rev-parse HEAD)
    printf '%s-%s-g%s\n' "${branch//\//_}" "$time" "${sha:0:7}"
}

# Copies FILE to TARGET. It keeps the permission to execute it, and no other permission.
copy() { # FILE TARGET
    mkdir -p "${2%/*}"
    cp "$1" "$2"
    if [[ -x $1 ]]; then
        chmod 755 "$2"
    else
        chmod 644 "$2"
    fi
}

# Copies files of the repository into DIRECTORY, with their paths below BASE. Directories are copied with all their files.
put() { # DIRECTORY BASE PATH...
    local directory=$1 base=$2 tree file
    shift 2
    for tree in "$@"; do
        [[ -e $base/$tree ]] || fatal "there is no $base/$tree"
        while IFS= read -r file; do
            copy "$file" "$directory/${file#"$base/"}"
        done < <(find "$base/$tree" -type f)
    done
}

pack() { # ARCHIVE ROOT ENTRY...
    local archive=$1 root=$2
    shift 2
    "$TAR" --create --directory "$root" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" "$@" |
        gzip -9 -n >"$archive"
}

# The zone's files, as 4.13.1 and the tools of Triton expect them.
lay_out_zone() { # ROOT PROGRAM
    local opt=$1/root/opt/smartdc
    mkdir -p "$opt/imgapi" "$1/site"
    put "$opt/imgapi" . LICENSE bin docs etc/dashboard.json etc/defaults.json etc/favicon.ico sapi_manifests smf tools/prepare-image
    # The stand-ins for programs that sdcadm runs in the zone.
    put "$opt/imgapi" tools/sdcadm build lib
    copy "$2" "$opt/imgapi/bin/imgapi"
    put "$opt" . boot
    : >"$1/site/.do-not-delete-me"
    printf '%s\n' "$stamp" >"$opt/imgapi/etc/buildstamp"
}

lay_out_linux() { # ROOT PROGRAM
    local top=$1/imgapi-$stamp
    mkdir -p "$top"
    put "$top" . CHANGES.md LICENSE README.md bin/imgapiadm docs etc/dashboard.json etc/linux
    copy "$2" "$top/bin/imgapi"
}

print_manifest() {
    cat <<END
{
  "v": 2,
  "owner": "$OWNER",
  "name": "$NAME",
  "version": "$stamp",
  "description": "$DESCRIPTION",
  "type": "zone-dataset",
  "os": "smartos",
  "origin": "$ORIGIN",
  "requirements": {
    "min_platform": {
      "7.0": "$MIN_PLATFORM"
    }
  },
  "tags": {
    "smartdc_service": true
  }
}
END
}

stamp=
output=
while (($# > 0)); do
    case $1 in
        --stamp) stamp && exit ;;
        -s) stamp=${2:-} && shift ;;
        -o) output=${2:-} && shift ;;
        -*) usage ;;
        *) break ;;
    esac
    shift
done
[[ $# -le 1 && -n $output ]] || usage
program=${1:-}
[[ -n $stamp ]] || stamp=$(stamp)
[[ $stamp =~ $STAMP_FORM ]] || fatal "no stamp: $stamp"
epoch=$(epoch)
[[ -n $program ]] || build
[[ -x $program ]] || fatal "there is no program $program"
check_compiler "$program"
check_libraries "$program"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"
output=$(cd "$output" && pwd)

packages=("imgapi-pkg-$stamp.tar.gz" "imgapi-zfs-$stamp.imgmanifest")
lay_out_zone "$work/zone" "$program"
pack "$output/${packages[0]}" "$work/zone" root site
print_manifest >"$output/${packages[1]}"
# An ELF file names its machine, and on Linux also the loader.
if grep -q -F /ld-linux "$program"; then
    printf 'This program is one for Linux: it cannot run in a zone of Triton.\n' >&2
    case $(od -An -t u1 -j 18 -N 1 "$program" | tr -d ' ') in
        62) arch=x86_64 ;;
        183) arch=aarch64 ;;
        *) fatal "for which machine is $program?" ;;
    esac
    packages+=("imgapi-linux-$arch-$stamp.tar.gz")
    lay_out_linux "$work/linux" "$program"
    pack "$output/${packages[2]}" "$work/linux" "imgapi-$stamp"
fi
(cd "$output" && sha256sum "${packages[@]}") >"$output/imgapi-$stamp.sha256"
printf '%s\n' "${packages[@]/#/$output/}" "$output/imgapi-$stamp.sha256"
