#!/usr/bin/env bash
# freshness.sh: how old a view is.
#
# freshness.c commits 100 times a second and measures each commit's way into the view; first on an
# otherwise idle server, then beside 8 pgbench clients that write flat out (simple-update) into a
# source of another view of the same pipeline.  The commits at 100/s are then a sample of the
# pipeline's ticks, which all views share.  On a small machine the probe, the clients and the
# workers compete for the same cores; that is part of the figure.  What the machine does to the
# figure by itself is shown, too: the probe with SELECT 1 in place of the view.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

pgbench -i -q -s "$BENCH_SCALE" >/dev/null 2>&1
sql -c 'CREATE TABLE pulses (n bigint)'
create_view branch_view 'SELECT bid, count(*) AS accounts, sum(abalance) AS balance
                           FROM pgbench_accounts GROUP BY bid'
create_view pulse_view 'SELECT count(*) AS n FROM pulses'

# Runs freshness once on an empty table; prints its line.
probe()             # view|wait|floor
{
    sql -c 'TRUNCATE pulses'
    pg_derive wait --timeout=60 >/dev/null
    wait_for_state pulse_view live
    "$BENCH_DIR/freshness" 100 "$BENCH_SECONDS" "$1"
}

# The same beside the flat-out writers.
probe_under_load()  # view|wait
{
    local clients line
    pgbench -n -b simple-update -c "$BENCH_CLIENTS" -j 2 -T $((BENCH_SECONDS + 3)) \
        >/dev/null 2>&1 &
    clients=$!
    sleep 1
    line=$(probe "$1")
    kill "$clients" 2>/dev/null || :
    wait "$clients" 2>/dev/null || :
    pg_derive wait --timeout=600 >/dev/null
    echo "$line"
}

floor_99=() idle_50=() idle_99=() load_50=() load_99=() wait_50=() wait_99=()
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    line=$(probe view)
    note "100 commits/s (p50 p99 max resolution n): $line"
    read -r p50 p99 _ <<<"$line"
    idle_50+=("$p50") idle_99+=("$p99")

    line=$(probe floor)
    note "100 commits/s, SELECT 1:                  $line"
    read -r _ p99 _ <<<"$line"
    floor_99+=("$p99")

    line=$(probe wait)
    note "100 commits/s, derive.wait:               $line"
    read -r p50 p99 _ <<<"$line"
    wait_50+=("$p50") wait_99+=("$p99")

    line=$(probe_under_load view)
    note "flat out:                                 $line"
    read -r p50 p99 _ <<<"$line"
    load_50+=("$p50") load_99+=("$p99")
done

result "freshness at 100 commits/s, p50" ms "<= 1" "${idle_50[@]}"
result "freshness at 100 commits/s, p99" ms "<= 10" "${idle_99[@]}"
result "the same with SELECT 1 instead of the view, p99" ms "" "${floor_99[@]}"
result "derive.wait() after a commit, p50" ms "" "${wait_50[@]}"
result "derive.wait() after a commit, p99" ms "" "${wait_99[@]}"
result "freshness flat out, p50" ms "" "${load_50[@]}"
result "freshness flat out, p99" ms "<= 25" "${load_99[@]}"

verify_views pulse_view branch_view
drop_views pulse_view branch_view
sql -c 'DROP TABLE pulses, pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history'
