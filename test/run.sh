#!/usr/bin/env bash
# run.sh: all tests, or one part of them.  `make check` calls it.
#
#   test/run.sh                                 everything
#   PART=regress test/run.sh                    static, regress, isolation, pgtap or tap
#   PART=tap TEST=003_crash test/run.sh         one file of a part
#   DERIVE_SEED=7 DERIVE_SECONDS=60 PART=tap TEST=002_oracle test/run.sh
#   DERIVE_OLD_PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config PART=tap TEST=033_pg_upgrade test/run.sh
#
# Nothing of the machine's own PostgreSQL is touched: the server's programs are copied into a
# temporary folder (PostgreSQL finds its files relative to its programs), and this tree is built
# and installed there.  Servers refuse root, so root hands over to the user postgres.
# The last line is "N passed, N failed"; the folder with all logs is kept after a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

PART=${PART:-${1:-all}}
TEST=${TEST:-${2:-}}
export PG_CONFIG=${PG_CONFIG:-pg_config}
server_user=postgres

passed=0
failed=0

# Counts one result and prints it, in prove's manner.
report()        # status-of-the-test name [log]
{
    if [[ $1 == 0 ]]; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$2"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$2"
        [[ -z ${3:-} || ! -s $3 ]] || tail -n 80 "$3" | sed 's/^/    /'
    fi
}

# ------------------------------------------------------------------ before the hand-over

install_needs()
{
    if [[ $(id -u) == 0 && -x scripts/install-needs.sh ]]; then
        scripts/install-needs.sh build server test
    fi
}

# Builds a tree for a server, and makes a private copy of the server with the tree installed.
private_copy()      # pg_config tree copy
{
    local dir
    make -s -j"$(nproc)" -C "$2" PG_CONFIG="$1" all >"$work/build.log" 2>&1 || {
        cat "$work/build.log"
        echo "0 passed, 1 failed"
        exit 1
    }
    for dir in --bindir --pkglibdir --sharedir; do
        dir=$("$1" $dir)
        mkdir -p "$3$dir"
        cp -a "$dir/." "$3$dir/"
    done
    make -s -C "$2" PG_CONFIG="$1" install DESTDIR="$3" >>"$work/build.log" 2>&1
}

# Makes $work/inst, the server to be tested, and $work/old, the one to upgrade from, if it is named.
private_install()
{
    private_copy "$PG_CONFIG" . "$work/inst"
    if [[ -n ${DERIVE_OLD_PG_CONFIG:-} ]]; then
        mkdir "$work/old_tree"
        tar -c --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude=./pg_derive . |
            tar -x -C "$work/old_tree"
        private_copy "$DERIVE_OLD_PG_CONFIG" "$work/old_tree" "$work/old"
    fi
    cp -a test docs "$work/"
    regress_conf
}

# The settings of the regress tests' server: it lets consumers outside use the output plugin.
regress_conf()
{
    cp "$work/test/server.conf" "$work/test/regress.conf"
    # grep reads all of its input: a closed pipe would look like a failure.
    if "$work/inst$("$PG_CONFIG" --bindir)/postgres" --describe-config |
        grep '^output_plugin_libraries' >/dev/null; then
        echo "output_plugin_libraries = 'pgoutput, test_decoding, pg_derive'" >>"$work/test/regress.conf"
    fi
}

static_checks()
{
    local check log=$work/static.log
    for check in .ci/check-*; do
        [[ -z $TEST || $(basename "$check") == *"$TEST"* ]] || continue
        if "$check" >"$log" 2>&1; then
            report 0 "static/${check#.ci/}"
        else
            report 1 "static/${check#.ci/}" "$log"
        fi
    done
}

# ------------------------------------------------------------------ as a user the server accepts

# Runs pg_regress or pg_isolation_regress over a folder of tests on an instance of its own.
core_runner()   # part program extra-options...
{
    local part=$1 program=$2 line name status kind=sql subdir=sql out=$work/$1 conf=regress.conf
    shift 2
    [[ $part == isolation ]] && kind=spec subdir=specs conf=server.conf
    local tests=() file
    for file in "$work/test/$part/$subdir"/*."$kind"; do
        name=$(basename "$file" ".$kind")
        [[ -z $TEST || $name == *"$TEST"* ]] && tests+=("$name")
    done
    ((${#tests[@]} > 0)) || return 0
    mkdir -p "$out"
    # A new test has no expected output yet: it fails alone, and its output can be looked at.
    for name in "${tests[@]}"; do
        [[ -e $work/test/$part/expected/$name.out ]] || touch "$work/test/$part/expected/$name.out"
    done
    "$program" --bindir="$bindir" --inputdir="$work/test/$part" --outputdir="$out" \
        --temp-instance="$out/instance" --temp-config="$work/test/$conf" \
        --encoding=UTF8 --no-locale --dbname="derive_$part" "$@" "${tests[@]}" \
        >"$out/runner.log" 2>&1 || true
    for name in "${tests[@]}"; do
        status=1
        # PostgreSQL 15: "test name   ... ok", from 16: "ok 1   - name".
        line=$(grep -E "^(test $name |(not )?ok [0-9]+ +[-+] $name )" "$out/runner.log" || true)
        [[ $line == ok* || $line =~ \.\.\.\ ok ]] && status=0
        report $status "$part/$name"
    done
    if [[ -s $out/regression.diffs ]]; then
        head -n 400 "$out/regression.diffs"
    elif ! grep -qE '(tests passed|All [0-9]+ tests)' "$out/runner.log"; then
        tail -n 30 "$out/runner.log"
        tail -n 30 "$out/log/postmaster.log" 2>/dev/null || true
    fi
}

# Runs one file whose output is TAP and counts its assertions.
tap_file()      # name command...
{
    local name=$1 log=$work/log/$1.log status=0 good bad
    shift
    mkdir -p "$(dirname "$log")"
    printf '%s\n' "# $name"
    timeout "${DERIVE_TEST_TIMEOUT:-1800}" "$@" >"$log" 2>&1 || status=$?
    good=$(grep -cE '^ok [0-9]+' "$log" || true)
    bad=$(grep -cE '^not ok [0-9]+' "$log" || true)
    ((status == 0 || bad > 0)) || bad=1
    passed=$((passed + good))
    failed=$((failed + bad))
    if ((bad > 0)); then
        printf 'FAILED  %s: %d of %d, exit %d\n' "$name" "$bad" $((good + bad)) "$status"
        grep -vE '^ok ' "$log" | tail -n 80 | sed 's/^/    /'
    else
        printf 'ok      %s: %d\n' "$name" "$good"
    fi
}

pgtap_part()
{
    local dir=$work/pgtap file
    mkdir -p "$dir"
    "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync \
        >"$dir/initdb.log"
    cat "$work/test/server.conf" >>"$dir/data/postgresql.conf"
    "$bindir/pg_ctl" -w -s -D "$dir/data" -l "$dir/server.log" \
        -o "-k $dir -c listen_addresses='' -p 5432" start
    trap '"$bindir/pg_ctl" -s -D "$work/pgtap/data" -m immediate stop' EXIT
    "$bindir/psql" -Xq -h "$dir" -U postgres -d postgres -v ON_ERROR_STOP=1 \
        -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION pg_derive'
    for file in "$work"/test/pgtap/*.sql; do
        [[ -z $TEST || $(basename "$file") == *"$TEST"* ]] || continue
        tap_file "pgtap/$(basename "$file" .sql)" \
            pg_prove --psql-bin "$bindir/psql" -v -h "$dir" -U postgres -d postgres "$file"
    done
    "$bindir/pg_ctl" -s -D "$dir/data" -m immediate stop
    trap - EXIT
}

tap_part()
{
    local file name
    export PATH=$bindir:$PATH
    export PG_REGRESS=$pkglibdir/pgxs/src/test/regress/pg_regress
    export PG_TEST_PORT_DIR=$work/ports
    if [[ -n ${DERIVE_OLD_PG_CONFIG:-} ]]; then
        DERIVE_OLD_INSTALL=$(dirname "$work/old$("$DERIVE_OLD_PG_CONFIG" --bindir)")
        export DERIVE_OLD_INSTALL
    fi
    mkdir -p "$PG_TEST_PORT_DIR"
    for file in "$work"/test/tap/t/*.pl; do
        name=$(basename "$file" .pl)
        [[ -z $TEST || $name == *"$TEST"* ]] || continue
        export TESTDIR=$work/tap/$name TESTDATADIR=$work/tap/$name TESTLOGDIR=$work/tap/$name/log
        mkdir -p "$TESTLOGDIR"
        tap_file "tap/$name" prove -v -I "$pkglibdir/pgxs/src/test/perl" \
            -I "$work/test/tap/lib" "$file"
    done
}

run_parts()
{
    local regress_dir=$pkglibdir/pgxs/src/test
    wanted()
    {
        [[ $PART == all || $PART == "$1" ]]
    }
    if wanted regress; then
        core_runner regress "$regress_dir/regress/pg_regress" --load-extension=pg_derive
    fi
    if wanted isolation; then
        core_runner isolation "$regress_dir/isolation/pg_isolation_regress" \
            --load-extension=pg_derive
    fi
    if wanted pgtap; then
        pgtap_part
    fi
    if wanted tap; then
        tap_part
    fi
}

# ------------------------------------------------------------------ main

if [[ -n ${DERIVE_CHECK_WORK:-} ]]; then        # the second half, after the hand-over
    work=$DERIVE_CHECK_WORK
    export HOME=$work LC_ALL=C TZ=UTC
    bindir=$work/inst$("$PG_CONFIG" --bindir)
    pkglibdir=$work/inst$("$PG_CONFIG" --pkglibdir)
    run_parts
    echo "$passed $failed" >"$work/counts"
    exit 0
fi

install_needs
work=$(mktemp -d "${TMPDIR:-/tmp}/pg_derive-check.XXXXXX")
private_install
if [[ $PART == all || $PART == static ]]; then
    static_checks
fi

if [[ $PART != static ]]; then
    as_user=()
    if [[ $(id -u) == 0 ]]; then
        chown -R "$server_user": "$work"
        as_user=(runuser -u "$server_user" --)
    fi
    if ! (cd "$work" &&
        DERIVE_CHECK_WORK=$work PART=$PART TEST=$TEST "${as_user[@]}" bash "$work/test/run.sh"); then
        echo "the run broke off"
        failed=$((failed + 1))
    fi
    if [[ -f $work/counts ]]; then
        read -r more_passed more_failed <"$work/counts"
        passed=$((passed + more_passed))
        failed=$((failed + more_failed))
    fi
fi

if ((passed + failed == 0)); then
    echo "no test of that name"
    failed=1
fi
if ((failed == 0)) && [[ -z ${KEEP:-} ]]; then
    rm -rf "$work"
else
    echo "logs: $work"
fi
echo "$passed passed, $failed failed"
((failed == 0))
