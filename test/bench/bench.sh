#!/usr/bin/env bash
# bench.sh: all items of the benchmark on one private server, and their table.  `make bench`
# calls it; README.md beside it says what is measured and which parameters there are.
set -euo pipefail
cd "$(dirname "$0")/../.."

source test/bench/common.sh

items=${BENCH_ITEMS:-writers audits freshness bulk outbox sizes decoding plugin restart constructs tpch}
failed=()

clean_up()
{
    trap '' INT TERM HUP
    server_remove
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Prints the results as a table; the last column says whether the bound is kept.
print_table()
{
    printf '\n%-62s %10s  %-21s %-9s %s\n' "" "median" "range" "reach" ""
    awk -F '\t' '
        {
            split($4, v, " ")
            split($3, bound, " ")
            verdict = ""
            if (bound[1] == ">=")
                verdict = v[1] >= bound[2] ? "reached" : "missed"
            if (bound[1] == "<=")
                verdict = v[1] <= bound[2] ? "reached" : "missed"
            label = $1 ($2 == "" ? "" : ", " $2)
            printf "%-62s %10.4g  %-21s %-9s %s\n", label, v[1], sprintf("%.4g .. %.4g", v[2], v[3]), $3, verdict
        }' "$BENCH_RESULTS"
    printf '\n%s, %s cores, scale %s, %s clients, %s rounds of %s s\n' \
        "$("$PG_CONFIG" --version)" "$(nproc)" "$BENCH_SCALE" "$BENCH_CLIENTS" \
        "$BENCH_ROUNDS" "$BENCH_SECONDS"
}

scripts/install-needs.sh build server bench
make -s -j2 PG_CONFIG="$PG_CONFIG" >/dev/null
server_create pg_derive_bench
cc -O2 -Wall -Wextra -I"$("$PG_CONFIG" --includedir)" test/bench/freshness.c \
    -L"$("$PG_CONFIG" --libdir)" -lpq -lpthread -o "$SERVER_DIR/freshness"
server_start <<'CONF'
shared_buffers = 1GB
max_wal_size = 16GB
checkpoint_timeout = 1h
log_min_messages = warning
CONF
createdb bench
export PGDATABASE=bench PG_CONFIG BENCH_DIR=$SERVER_DIR BENCH_RESULTS=$SERVER_DIR/results
: >"$BENCH_RESULTS"
sql -c 'CREATE EXTENSION pg_derive'

for item in $items; do
    echo "== $item"
    if ! test/bench/"$item".sh; then
        failed+=("$item")
        # What it left behind must not weigh on the next one.
        sql -c 'DROP EXTENSION pg_derive CASCADE' >/dev/null 2>&1 || :
        createdb "after_$item"
        export PGDATABASE=after_$item
        sql -c 'CREATE EXTENSION pg_derive'
    fi
done

print_table
server_stop
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
