#!/usr/bin/env bash
# writers.sh: what a view costs the writers.
#
# pgbench with 8 clients, TPC-B-like and simple-update, on the same server in these variants:
#   paused        the extension is there, its views are paused: the base of the ratios
#   view          one view: rows and balance per branch, live
#   trigger       a hand-written statement trigger with transition tables keeps the same table
#   refresh       REFRESH MATERIALIZED VIEW CONCURRENTLY of the same query, in a loop
# and, for simple-update, a query with a single group, which every writer changes:
#   hot view, hot trigger
# The accounts have REPLICA IDENTITY FULL and are decoded in all variants, so the ratios are about
# the view alone.  A round runs every variant once, each round beginning with another one.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

by_branch='SELECT bid, count(*) AS accounts, sum(abalance) AS balance
             FROM pgbench_accounts GROUP BY bid'
overall='SELECT count(*) AS accounts, sum(abalance) AS balance FROM pgbench_accounts'

declare -A tps      # "workload variant round" -> transactions per second

prepare()
{
    pgbench -i -q -s "$BENCH_SCALE" >/dev/null 2>&1
    sql -f test/bench/writers.sql >/dev/null
    create_view branch_view "$by_branch"
    create_view overall_view "$overall"
    pause_view branch_view
    pause_view overall_view
    sql -c CHECKPOINT
}

refresh_forever()
{
    while sql -c 'REFRESH MATERIALIZED VIEW CONCURRENTLY branch_refreshed' 2>/dev/null; do :; done
}

begin_variant()
{
    case $1 in
        view) resume_view branch_view ;;
        "hot view") resume_view overall_view ;;
        trigger) sql -c "CALL enable_triggers('branch')" ;;
        "hot trigger") sql -c "CALL enable_triggers('overall')" ;;
        refresh)
            refresh_forever &
            refresher=$!
            ;;
    esac
}

end_variant()
{
    case $1 in
        view) pause_view branch_view ;;
        "hot view") pause_view overall_view ;;
        trigger) sql -c "CALL disable_triggers('branch')" ;;
        "hot trigger") sql -c "CALL disable_triggers('overall')" ;;
        refresh)
            kill "$refresher"
            wait "$refresher" 2>/dev/null || :
            ;;
    esac
}

run_pgbench()       # workload
{
    pgbench -b "$1" -c "$BENCH_CLIENTS" -j 2 -T "$BENCH_SECONDS" 2>/dev/null |
        sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

# Runs each variant of a workload once, beginning with the round's own.
run_round()         # workload round variant...
{
    local workload=$1 round=$2 i variant
    shift 2
    for ((i = 0; i < $#; i++)); do
        variant=${@:$(((round + i) % $# + 1)):1}
        begin_variant "$variant"
        tps[$workload $variant $round]=$(run_pgbench "$workload")
        end_variant "$variant"
        note "$workload, $variant: ${tps[$workload $variant $round]} tps"
    done
}

# Writes the ratio of two variants of one workload to the table.
compare()           # item bound workload variant base
{
    local round values=()
    for ((round = 0; round < BENCH_ROUNDS; round++)); do
        values+=("$(ratio "${tps[$3 $4 $round]}" "${tps[$3 $5 $round]}")")
    done
    result "$1" "" "$2" "${values[@]}"
}

prepare
run_pgbench tpcb-like >/dev/null        # warms the caches, and has each page written once to the WAL
run_pgbench simple-update >/dev/null
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    run_round tpcb-like "$round" paused view trigger refresh
    run_round simple-update "$round" paused view trigger refresh "hot view" "hot trigger"
done

for workload in tpcb-like simple-update; do
    compare "$workload: view / paused" ">= 0.9" $workload view paused
    compare "$workload: trigger / paused" "" $workload trigger paused
    compare "$workload: refresh loop / paused" "" $workload refresh paused
done
compare "simple-update, one hot group: view / paused" "" simple-update "hot view" paused
compare "simple-update, one hot group: view / trigger" ">= 3" simple-update "hot view" "hot trigger"

resume_view branch_view
resume_view overall_view
verify_views branch_view overall_view
drop_views branch_view overall_view
sql -c 'DROP MATERIALIZED VIEW branch_refreshed' \
    -c 'DROP TABLE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history CASCADE' \
    -c 'DROP TABLE branch_kept, overall_kept' \
    -c 'DROP ROUTINE enable_triggers, disable_triggers, keep_branch, keep_overall' 2>/dev/null
