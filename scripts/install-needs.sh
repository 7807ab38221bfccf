#!/usr/bin/env bash
# install-needs.sh: makes sure that what a task needs is on the machine.
#
#   scripts/install-needs.sh build server      sets: build, server, test, bench, fuzz, versions
#
# Whatever is there already counts, from packages or not: the script looks for programs and
# files, and is quick when nothing is missing.  On Debian as root it installs the rest; elsewhere
# it says what is missing and exits with 1.  A server that it installs gets no cluster: nothing
# listens and nothing starts at boot because of it.
#
# PG_CONFIG chooses the PostgreSQL whose files are looked for.
set -euo pipefail

PG_CONFIG=${PG_CONFIG:-pg_config}
missing=()          # packages
missing_what=()     # what they are for, in words

# The PostgreSQL major version of pg_config, or else the one that Debian's default package has.
major_version()
{
    local major
    major=$("$PG_CONFIG" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
    if [[ -z $major ]] && command -v apt-cache >/dev/null; then
        major=$(apt-cache depends postgresql 2>/dev/null |
            sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
    fi
    echo "${major:-15}"
}

# Notes a package as missing unless the test (the other arguments) succeeds.
need()          # package what test...
{
    local package=$1 what=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing+=("$package")
        missing_what+=("$what")
    fi
}

# Tests whether a file is there below a directory that pg_config tells.
pg_file()       # pg_config-option file
{
    local dir
    dir=$("$PG_CONFIG" "$1") && [[ -e $dir/$2 ]]
}

pgxs_file()     # file, relative to pgxs' own folder
{
    local pgxs
    pgxs=$("$PG_CONFIG" --pgxs) && [[ -e ${pgxs%/src/makefiles/pgxs.mk}/$1 ]]
}

look_for()      # set
{
    case $1 in
        build)
            need gcc "a C compiler" command -v gcc
            need libc6-dev "the C library's headers" test -e /usr/include/stdlib.h
            need make "make" command -v make
            need libpq-dev "libpq's headers" pg_file --includedir libpq-fe.h
            need "postgresql-server-dev-$major" "the server's headers" \
                pg_file --includedir-server postgres.h
            ;;
        server)
            need "postgresql-$major" "the server" pg_file --bindir postgres
            need "postgresql-client-$major" "psql" pg_file --bindir psql
            ;;
        fuzz)
            look_for server
            need perl "Perl" command -v perl
            need libdbd-pg-perl "Perl's DBD::Pg" perl -MDBD::Pg -e1
            ;;
        test)
            look_for fuzz
            need perl "Perl" command -v prove
            need libipc-run-perl "Perl's IPC::Run" perl -MIPC::Run -e1
            need "postgresql-$major-pgtap" "pgTAP" pg_file --sharedir extension/pgtap.control
            need libtap-parser-sourcehandler-pgtap-perl "pg_prove" \
                perl -MTAP::Parser::SourceHandler::pgTAP -e1
            need "postgresql-client-$major" "isolationtester" \
                pgxs_file src/test/isolation/isolationtester
            ;;
        bench)
            look_for server
            need "postgresql-$major" "pgbench" pg_file --bindir pgbench
            need "postgresql-$major" "test_decoding" pg_file --pkglibdir test_decoding.so
            need "postgresql-$major-wal2json" "wal2json" pg_file --pkglibdir wal2json.so
            ;;
        versions)
            need mmdebstrap "mmdebstrap" command -v mmdebstrap
            ;;
        *)
            echo "install-needs.sh: unknown set \"$1\" (build, server, test, bench, fuzz," \
                "versions)" >&2
            exit 2
            ;;
    esac
}

# Looks for everything in the sets that were asked for.
look_for_all()
{
    local set
    major=$(major_version)
    missing=()
    missing_what=()
    for set in "$@"; do
        look_for "$set"
    done
}

# Installs packages, without a cluster for a server among them.
install_packages()
{
    local no_cluster=/etc/postgresql-common/createcluster.d/zz-no-main-cluster.conf
    local log status=0
    log=$(mktemp)

    # shellcheck disable=SC2064 -- the names as they are now
    trap "rm -f '$no_cluster' '$log'; rmdir --ignore-fail-on-non-empty '${no_cluster%/*}' || :" EXIT
    mkdir -p "${no_cluster%/*}"
    echo "create_main_cluster = false" >"$no_cluster"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
        >"$log" 2>&1 </dev/null || status=$?
    if [[ $status != 0 ]]; then
        tail -n 20 "$log" >&2
        exit 1
    fi
}

look_for_all "$@"
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    printf 'missing: %s\n' "${missing_what[@]}" | sort -u >&2
    echo "install it; on Debian, as root: apt-get install --no-install-recommends" \
        "$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')" >&2
    exit 1
fi

echo "installing what is missing: $(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')"
apt-get update -qq
look_for_all "$@"       # the default version is known only now on a machine without lists
mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
install_packages "${packages[@]}"
look_for_all "$@"
if [[ ${#missing[@]} -gt 0 ]]; then
    printf 'still missing after the installation: %s\n' "${missing_what[@]}" >&2
    exit 1
fi
