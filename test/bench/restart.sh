#!/usr/bin/env bash
# restart.sh: from a worker's death to fresh.
#
# A worker is terminated, a row is committed at once, and derive.wait says when the view has it.
# Measured from before the termination; this includes the pause that the postmaster makes before
# it starts a background worker again.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

sql -c 'CREATE TABLE pulses (n bigint)'
create_view pulse_view 'SELECT count(*) AS n FROM pulses'

for worker in decoder applier; do
    seconds=()
    for ((round = 0; round < BENCH_ROUNDS; round++)); do
        sql -c 'INSERT INTO pulses VALUES (1)'
        pg_derive wait --timeout=60 >/dev/null
        seconds+=("$(time_statements "SELECT pg_terminate_backend($(worker_pid $worker), 10000)" \
            'INSERT INTO pulses VALUES (1)' "SELECT derive.wait(timeout => '60 s')" |
            awk '{ ms += $1 } END { print ms / 1000 }')")
        sleep 1
    done
    result "restart of the $worker to fresh" s "<= 2" "${seconds[@]}"
done

verify_views pulse_view
drop_views pulse_view
sql -c 'DROP TABLE pulses'
