#!/usr/bin/env bash
# tpch.sh: the 22 queries of TPC-H as views, one at a time, under its refresh streams.
#
# For each query: the view is created and built, gets the indexes that it is advised to have, and
# follows batches of 0.1 % of the orders: RF1 inserts, RF2 deletes, a third one updates prices,
# quantities and customers (test/tpch/refresh.sql).  Shown are
#   RF1, RF2, updates   the tick's time for this view, all stages together, the median of the batches; "-": the stream does
#                       not touch it
#   fresh               from the commit of RF1 or RF2 to the end of derive.wait, decoding included
#   recompute           the query run once; ">" if it was given up after BENCH_TPCH_TIMEOUT seconds, which then count
#   ratio               recompute / tick, of RF1 and RF2 where they touch the view
# So that a slow query does not take all day, its batches end after BENCH_TPCH_SECONDS, and a view
# whose query was given up is compared with it only if derive.verify takes no longer than that.
# The foreign keys are indexed from the start (test/tpch/indexes.sql), so that the query itself has
# a fair chance.  The first batch of each view is not measured: it plans the view's statements.
# A query that create_view refuses gets a line that says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

export PGOPTIONS="-c search_path=tpch,public -c client_min_messages=warning"
table=$BENCH_DIR/tpch.table
ratios=()
refused=0 wrong=0
batch=0         # number of the last refresh; each may be used once

# Prints a query's text with the parameter that depends on the scale.
query_text()        # name
{
    local fraction
    fraction=$(awk -v scale="$BENCH_TPCH_SCALE" 'BEGIN { printf "%.10f", 0.0001 / scale }')
    sed "s/\<0\.0001\>/$fraction/" "test/tpch/queries/$1.sql"
}

# Creates the view and waits until it is live; else prints why not and returns 1.
try_view()          # name
{
    local error
    if ! error=$(sql -v name="$1" -v query="$(query_text "$1")" \
        <<<"SELECT derive.create_view(:'name', :'query');" 2>&1 >/dev/null); then
        sed -n 's/^.*ERROR: *//p' <<<"$error" | head -n 1
        return 1
    fi
    wait_for_state "$1" live 2>&1
}

# Prints the CREATE INDEX statements for a view's sources.
advised_indexes()   # view
{
    if [[ $(sql -c "SELECT to_regprocedure('derive.advise(regclass)') IS NOT NULL") == t ]]; then
        sql -c "SELECT derive.advise('$1'::regclass)"
    else
        sql -c "SELECT line FROM derive.explain('$1'::regclass) line WHERE line ~ '^ *CREATE INDEX'"
    fi
}

# Creates the indexes of advised_indexes() and prints their names.
create_indexes()    # view
{
    local before statements
    statements=$(advised_indexes "$1")
    [[ -n $statements ]] || return 0
    note "$1: ${statements//$'\n'/$'\n   '}" >&2
    before=$(sql -c "SELECT coalesce(max(oid), 0) FROM pg_class")
    sql <<<"$statements"
    sql -c "SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i
             WHERE i.indexrelid > $before AND i.indrelid <> '$1'::regclass
               AND i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'tpch'::regnamespace)"
}

# Prints the number of ticks of a view's stages, or the milliseconds of those since a time.
view_ticks() { sql -c "SELECT sum(ticks) FROM derive.stages WHERE view = '$1'::regclass"; }
tick_ms()           # view since
{
    sql -c "SELECT round(extract(epoch FROM sum(last_tick_time)) * 1000, 3)
              FROM derive.stages WHERE view = '$1'::regclass AND last_tick_at >= '$2'"
}

# Runs one stream of the current batch; prints the tick's ms, or "-", and those to fresh.
run_stream()        # view stream
{
    local before since fresh tick=-
    before=$(view_ticks "$1")
    since=$(sql -c 'SELECT clock_timestamp()')
    fresh=$(time_statements "SELECT $2($batch)" 'SELECT derive.wait()' | tail -n 1)
    [[ $(view_ticks "$1") == "$before" ]] || tick=$(tick_ms "$1" "$since")
    echo "$tick $fresh"
}

# Prints the median of the numbers among the arguments, or "-".
median()
{
    local numbers=() number
    for number in "$@"; do
        [[ $number == - ]] || numbers+=("$number")
    done
    if ((${#numbers[@]} == 0)); then
        echo -
    else
        spread "${numbers[@]}" | cut -d ' ' -f 1
    fi
}

# Runs a query once and prints its ms; nothing if it was given up.
run_query()         # query
{
    PGOPTIONS="$PGOPTIONS -c statement_timeout=${BENCH_TPCH_TIMEOUT}s" time_statements "$1" 2>/dev/null || :
}

# Sets recompute to the median time of running a query in ms, and given_up to ">" if that is a bound.
measure_recompute() # name
{
    local query first
    query=$(query_text "$1")
    given_up=
    first=$(run_query "$query")
    if [[ -z $first ]]; then
        given_up='>'
        recompute=$((BENCH_TPCH_TIMEOUT * 1000))
    elif awk -v ms="$first" 'BEGIN { exit !(ms > 20000) }'; then
        recompute=$first
    else
        # shellcheck disable=SC2046 -- a list of numbers
        recompute=$(median "$first" $(run_query "$query") $(run_query "$query"))
    fi
}

# Runs the batches; sets tick_of[stream] and fresh_of, both medians, and base: all ticks of RF1 and
# RF2, or of the updates if there are none.
run_batches()       # view
{
    local round stream tick fresh deadline=$((SECONDS + BENCH_TPCH_SECONDS))
    declare -A ticks=([rf1]="" [rf2]="" [rf3]="")
    local fresh_times=
    for ((round = 0; round <= BENCH_TPCH_BATCHES; round++)); do
        ((round < 2 || SECONDS < deadline)) || break
        batch=$((batch + 1))
        for stream in rf1 rf2 rf3; do
            read -r tick fresh <<<"$(run_stream "$1" $stream)"
            ((round > 0)) || continue
            ticks[$stream]+=" $tick"
            [[ $stream == rf3 ]] || fresh_times+=" $fresh"
        done
    done
    # shellcheck disable=SC2086 -- lists of numbers
    {
        for stream in rf1 rf2 rf3; do
            tick_of[$stream]=$(median ${ticks[$stream]})
        done
        fresh_of=$(median $fresh_times)
        base=$(median ${ticks[rf1]} ${ticks[rf2]})
        [[ $base != - ]] || base=${tick_of[rf3]}
    }
}

# Compares a view with its query, unless that takes too long.
check_view()        # view
{
    local wrong_rows
    if [[ -z $given_up ]]; then
        (verify_views "$1")
        return
    fi
    pg_derive wait --timeout=600 >/dev/null
    if ! wrong_rows=$(sql -c "SET statement_timeout = '${BENCH_TPCH_TIMEOUT}s'" \
        -c "SELECT count(*) FROM derive.verify('$1')" 2>/dev/null); then
        note "$1: not compared with its query, which takes too long"
        return 0
    fi
    ((wrong_rows == 0))
}

# Ends the measurement of a view: is it right, and away with it.
finish_view()       # view indexes
{
    if ! check_view "$1"; then
        wrong=$((wrong + 1))
        printf '%s\tdiffers from its query: %s\n' "$1" \
            "$(sql -c "SELECT concat_ws(', ', state, nullif(reason, '')) FROM derive.views
                        WHERE view = '$1'::regclass")" >>"$table"
    fi
    drop_views "$1"
    [[ -z $2 ]] || sql -c "DROP INDEX $2"
}

measure_query()     # name
{
    local reason indexes rule recompute given_up base fresh_of quotient=-
    declare -A tick_of
    if ! reason=$(try_view "$1"); then
        printf '%s\t%s\n' "$1" "$reason" >>"$table"
        note "$1: $reason"
        refused=$((refused + 1))
        sql -c "DROP TABLE IF EXISTS tpch.$1"
        return 0
    fi
    rule=$(sql -c "SELECT rule FROM derive.views WHERE view = '$1'::regclass")
    indexes=$(create_indexes "$1")
    sql -c "ANALYZE $1"
    run_batches "$1"
    measure_recompute "$1"
    if [[ $base != - ]]; then
        quotient=$(ratio "$recompute" "$base")
        ratios+=("$quotient")
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$rule" "${tick_of[rf1]}" "${tick_of[rf2]}" \
        "${tick_of[rf3]}" "$fresh_of" "$given_up$recompute" "$quotient" >>"$table"
    note "$1, $rule: tick $base ms, recompute $given_up$recompute ms, ratio $given_up$quotient"
    finish_view "$1" "$indexes"
}

# Prints the table, milliseconds rounded to what is known of them.
print_queries()
{
    awk -F '\t' '
        function number(v) { return v == "-" || v ~ /^>/ ? v : v >= 100 ? sprintf("%.0f", v) : sprintf("%.3g", v) }
        BEGIN {
            printf "\n   %-6s %-20s %9s %9s %9s %9s %11s %9s\n", "query", "rule",
                "RF1 ms", "RF2 ms", "upd. ms", "fresh ms", "recompute", "ratio"
        }
        NF == 2 { printf "   %-6s %s\n", $1, $2 }
        NF > 2 {
            printf "   %-6s %-20s %9s %9s %9s %9s %11s %9s\n", $1, $2,
                number($3), number($4), number($5), number($6), number($7), number($8)
        }
        END { print "" }' "$table"
}

note "making TPC-H tables of scale $BENCH_TPCH_SCALE"
sql -v scale="$BENCH_TPCH_SCALE" -f test/tpch/load.sql
sql -f test/tpch/indexes.sql
sql -c 'VACUUM ANALYZE' -c CHECKPOINT

: >"$table"
for query in ${BENCH_TPCH_QUERIES:-$(cd test/tpch/queries && printf '%s ' q*.sql | sed 's/\.sql//g')}; do
    measure_query "$query"
done
print_queries

((${#ratios[@]} == 0)) ||
    result "TPC-H scale $BENCH_TPCH_SCALE, ${#ratios[@]} queries: recompute / tick" "" "" "${ratios[@]}"
# The bounds are for all 22.
if ((${#ratios[@]} == 22)); then
    result "TPC-H queries at least 10 times cheaper" "" ">= 18" \
        "$(printf '%s\n' "${ratios[@]}" | awk '$1 >= 10 { n++ } END { print n + 0 }')"
    result "TPC-H queries slower than 1.2 recomputes" "" "<= 0" \
        "$(printf '%s\n' "${ratios[@]}" | awk '$1 < 1 / 1.2 { n++ } END { print n + 0 }')"
fi
result "TPC-H queries refused" "" "<= 0" "$refused"
sql -c 'DROP SCHEMA tpch CASCADE'
if ((wrong > 0)); then
    echo "$wrong views differ from their queries: the figures mean nothing" >&2
    exit 1
fi
