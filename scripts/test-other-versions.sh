#!/usr/bin/env bash
# test-other-versions.sh: runs the tests on the other versions of PostgreSQL that Debian has.
#
#   scripts/test-other-versions.sh                  15 (the oldest minor version), 17 and 18
#   scripts/test-other-versions.sh 17               one of them
#   PART=tap TEST=003_crash scripts/test-other-versions.sh 17 18      as in "make check"
#   CHROOTS=/var/tmp/roots scripts/test-other-versions.sh             keeps the systems for a next run
#
# For root on Debian.  Each version gets a small Debian system in a folder of its own: the suite
# that has this version, from the mirror that this machine uses.  It takes a minute or two and
# 600 MB.  Nothing is mounted and nothing of this machine is changed but that mmdebstrap is
# installed if it is missing.  The suite bookworm is taken without its security updates, so that
# its PostgreSQL 15 is a minor version that does not know output_plugin_libraries.
# The systems are removed at the end, unless CHROOTS names a folder for them.
# Exits with 1 if a test failed.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=${PART:-regress isolation pgtap tap}
versions=("$@")
[[ $# -gt 0 ]] || versions=(15 17 18)
chroots=${CHROOTS:-}
failed=()

# The Debian suite that has a major version.
suite_of()      # version
{
    case $1 in
        15) echo bookworm ;;
        17) echo trixie ;;
        18) echo forky ;;
        *)
            echo "no suite of Debian has PostgreSQL $1: give 15, 17 or 18" >&2
            return 1
            ;;
    esac
}

# The mirror from which this machine gets Debian itself.
mirror()
{
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1
}

# Makes the system of a version.  The development packages are unpacked only: installed, they
# would want a compiler for bitcode that is larger than everything else.
make_chroot()   # version
{
    local version=$1 suite
    suite=$(suite_of "$version")
    # The hooks know the system as $1, so these quotes are right.
    # shellcheck disable=SC2016
    mmdebstrap --quiet --mode=root --variant=apt --components=main \
        --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt=force-unsafe-io \
        --setup-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
        --setup-hook='echo "create_main_cluster = false" \
            >"$1/etc/postgresql-common/createcluster.d/no-main-cluster.conf"' \
        --include="postgresql-$version,postgresql-$version-pgtap,gcc,libc6-dev,make,perl" \
        --include=libtap-parser-sourcehandler-pgtap-perl,libipc-run-perl,libdbd-pg-perl \
        --customize-hook='chroot "$1" sh -ec "cd /tmp; apt-get -qq update
            apt-get -qq download postgresql-server-dev-'"$version"' libpq-dev
            for package in *.deb; do dpkg-deb -x \$package /; done; rm *.deb"' \
        "$suite" "$chroots/$version" "$(mirror)"
}

# Brings this tree into a version's system, without what was built here.
copy_tree()     # version
{
    rm -rf "$chroots/$1/src"
    mkdir "$chroots/$1/src"
    tar -c --exclude=.git --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude=./pg_derive \
        --exclude='pg_derive--*' . | tar -x -C "$chroots/$1/src"
}

# Builds and tests in a version's system.
test_version()  # version
{
    local version=$1 part
    echo "# $(chroot "$chroots/$version" "/usr/lib/postgresql/$version/bin/postgres" --version)"
    copy_tree "$version"
    chroot "$chroots/$version" make -s -C /src build WERROR=1 || return 1
    for part in $parts; do
        chroot "$chroots/$version" env PART="$part" TEST="${TEST:-}" /src/test/run.sh ||
            failed+=("$version/$part")
    done
}

if [[ $(id -u) != 0 ]]; then
    echo "test-other-versions.sh: only root can make a system of its own for each version" >&2
    exit 1
fi
scripts/install-needs.sh versions
if [[ -z $chroots ]]; then
    chroots=$(mktemp -d "${TMPDIR:-/tmp}/pg_derive-versions.XXXXXX")
    trap 'rm -rf --one-file-system "$chroots"' EXIT
fi
mkdir -p "$chroots"
for version in "${versions[@]}"; do
    suite_of "$version" >/dev/null
done
for version in "${versions[@]}"; do
    [[ -d $chroots/$version ]] || make_chroot "$version"
    test_version "$version" || failed+=("$version/build")
done
if ((${#failed[@]} > 0)); then
    echo "failed: ${failed[*]}"
    exit 1
fi
