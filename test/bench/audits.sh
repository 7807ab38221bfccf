#!/usr/bin/env bash
# audits.sh: what audits cost.
#
# pgbench with 8 clients (simple-update) beside two live views: one of rows, whose keys are cheap to
# compare, and one of groups of 100,000 rows, which are dear, so that audits take all the time
# that they may.  Without audits (pg_derive.audit_rate = 0) and with as many as there are by default; both
# run in each round, in turn first.  Of each the writers' transactions per second are taken,
# and the applier's CPU time as a share of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

declare -A tps share        # "variant round" -> transactions per second, cores

# Sets the rate; a new session sees it when the postmaster has told the applier.
set_audits()        # with|without
{
    local change='RESET pg_derive.audit_rate' expected=f
    if [[ $1 == without ]]; then
        change='SET pg_derive.audit_rate = 0' expected=t
    fi
    sql -c "ALTER SYSTEM $change" -c 'SELECT pg_reload_conf()' >/dev/null
    until [[ $(sql -c "SELECT current_setting('pg_derive.audit_rate')::int = 0") == "$expected" ]]; do
        sleep 0.1
    done
}

audited()
{
    sql -c 'SELECT sum(audits) FROM derive.stages'
}

# Measures one variant.
run_variant()       # with|without round
{
    local keys before after line
    set_audits "$1"
    keys=$(audited)
    before=$(cpu_seconds "$applier")
    line=$(pgbench -n -b simple-update -c "$BENCH_CLIENTS" -j 2 -T "$BENCH_SECONDS" 2>/dev/null)
    after=$(cpu_seconds "$applier")
    tps[$1 $2]=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$line")
    share[$1 $2]=$(awk -v a="$after" -v b="$before" -v s="$BENCH_SECONDS" 'BEGIN { print (a - b) / s }')
    keys=$(($(audited) - keys))
    note "$1 audits: ${tps[$1 $2]} tps, applier ${share[$1 $2]} cores, $keys keys compared"
    [[ $1 == with ]] && ((keys == 0)) && { echo "nothing was audited" >&2; exit 1; }
    [[ $1 == without ]] && ((keys > 0)) && { echo "something was audited" >&2; exit 1; }
    pg_derive wait --timeout=600 >/dev/null
}

pgbench -i -q -s "$BENCH_SCALE" >/dev/null 2>&1
sql -c 'CREATE INDEX ON pgbench_accounts (bid)'
create_view branch_view 'SELECT bid, count(*) AS accounts, sum(abalance) AS balance
                           FROM pgbench_accounts GROUP BY bid'
create_view account_view 'SELECT aid, bid, abalance FROM pgbench_accounts WHERE abalance <> 0'
applier=$(worker_pid applier)
pgbench -n -b simple-update -c "$BENCH_CLIENTS" -j 2 -T "$BENCH_SECONDS" >/dev/null 2>&1

ratios=() with=() without=()
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    order=(with without)
    ((round % 2 == 0)) || order=(without with)
    for variant in "${order[@]}"; do
        run_variant "$variant" "$round"
    done
    ratios+=("$(ratio "${tps[with $round]}" "${tps[without $round]}")")
    with+=("${share[with $round]}") without+=("${share[without $round]}")
done

result "writers: with audits / without" "" "" "${ratios[@]}"
result "the applier with audits" cores "" "${with[@]}"
result "the applier without audits" cores "" "${without[@]}"

set_audits with
verify_views branch_view account_view
drop_views branch_view account_view
sql -c 'DROP TABLE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history'
