# common.sh: parameters and helpers of the benchmark's items.
#
# Every item is a script of its own that sources this file and runs against the server that
# bench.sh has started (libpq's environment points to it).  It appends lines to $BENCH_RESULTS
# with result(), keeps files in $BENCH_DIR, and leaves no table or view behind.

if [[ -n ${BENCH_QUICK:-} ]]; then
    : "${BENCH_SCALE:=1}" "${BENCH_SECONDS:=2}" "${BENCH_ROUNDS:=1}" "${BENCH_BULK:=50000}"
    : "${BENCH_SIZES:=2000 20000 200000}" "${BENCH_REPEATS:=5}"
    : "${BENCH_DECODE_TRANSACTIONS:=4000}" "${BENCH_DECODE_ROWS:=50000}"
    : "${BENCH_PLUGIN_ROWS:=200000}"
    : "${BENCH_TPCH_SCALE:=0.01}" "${BENCH_TPCH_BATCHES:=2}"
    : "${BENCH_CONSTRUCT_SIZES:=2000 20000}" "${BENCH_CONSTRUCT_ROUNDS:=2}"
fi
: "${BENCH_SCALE:=20}"                  # pgbench scale
: "${BENCH_CLIENTS:=8}"
: "${BENCH_SECONDS:=15}"                # per variant and round
: "${BENCH_ROUNDS:=5}"
: "${BENCH_BULK:=1000000}"              # rows of the one large update
: "${BENCH_SIZES:=10000 100000 1000000 10000000}"
: "${BENCH_REPEATS:=21}"                # changes per size
: "${BENCH_DECODE_TRANSACTIONS:=32000}" # small transactions to decode
: "${BENCH_DECODE_ROWS:=500000}"        # rows of the large one
: "${BENCH_PLUGIN_ROWS:=10000000}"      # rows of the transaction whose reader's memory is watched
: "${BENCH_TPCH_SCALE:=1}"              # TPC-H's scale factor
: "${BENCH_TPCH_BATCHES:=5}"            # refreshes per query, of 0.1 % of the orders
: "${BENCH_TPCH_SECONDS:=240}"          # a query's refreshes end after so many seconds
: "${BENCH_TPCH_TIMEOUT:=120}"          # seconds after which running a query once is given up
: "${BENCH_CONSTRUCTS:=}"               # pattern of constructs' names; empty: all
: "${BENCH_CONSTRUCT_SIZES:=10000 1000000}"
: "${BENCH_CONSTRUCT_ROUNDS:=9}"        # changes per construct and size

# shellcheck source=scripts/private-server.sh
source scripts/private-server.sh

note() { printf '   %s\n' "$*"; }

# Prints "median min max" of the numbers that are the arguments.
spread()
{
    printf '%s\n' "$@" | sort -g | awk '
        { v[NR] = $1 }
        END {
            median = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
            print median, v[1], v[NR]
        }'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f\n", (b == 0) ? 0 : a / b }'; }

# Appends a line to the table: what, unit, bound (">= 0.90", "<= 2", or "" for none), values.
result()            # item unit bound value...
{
    local item=$1 unit=$2 bound=$3
    shift 3
    printf '%s\t%s\t%s\t%s\n' "$item" "$unit" "$bound" "$(spread "$@")" >>"$BENCH_RESULTS"
    note "$item: $(spread "$@" | awk '{ printf "%.4g [%.4g .. %.4g]", $1, $2, $3 }') $unit"
}

# Creates a view and waits until it is live.
create_view()       # name query
{
    sql -v name="$1" -v query="$2" >/dev/null <<<"SET client_min_messages = warning;
        SELECT derive.create_view(:'name', :'query');"
    wait_for_state "$1" live
}

drop_views()        # name...
{
    local view
    for view in "$@"; do
        sql -v view="$view" >/dev/null <<<"SELECT derive.drop_view(:'view'::regclass);"
    done
}

wait_for_state()    # view state
{
    local deadline=$((SECONDS + 900)) state
    while state=$(sql -v view="$1" <<<"SELECT state || coalesce(': ' || reason, '')
                                         FROM derive.views WHERE view = :'view'::regclass;"); do
        [[ ${state%%:*} != "$2" ]] || return 0
        if ((SECONDS >= deadline)); then
            echo "view $1 is $state instead of $2" >&2
            return 1
        fi
        sleep 0.1
    done
}

pause_view()
{
    sql -v view="$1" >/dev/null <<<"SELECT derive.pause(:'view'::regclass);"
    wait_for_state "$1" paused
}

resume_view()
{
    sql -v view="$1" >/dev/null <<<"SELECT derive.resume(:'view'::regclass);"
    wait_for_state "$1" live
}

# Ends the item if a view differs from its query.
verify_views()
{
    pg_derive wait --timeout=600 >/dev/null
    pg_derive verify "$@" >/dev/null || {
        echo "a view differs from its query: the figures mean nothing" >&2
        exit 1
    }
}

worker_pid()        # decoder or applier
{
    sql -c "SELECT ${1}_pid FROM derive.pipelines WHERE pipeline = current_database()"
}

# Prints the CPU time that a process has used, in seconds.
cpu_seconds()       # pid
{
    sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f\n", ($12 + $13) / hz }'
}

# Runs statements in one session and prints the milliseconds that each took, a line each.
time_statements()   # statement...
{
    local args=(-c '\timing on') statement
    for statement in "$@"; do
        args+=(-c "$statement")
    done
    sql "${args[@]}" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}
