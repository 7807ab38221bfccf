#!/usr/bin/env bash
# decoding.sh: the decoder relative to test_decoding on the same WAL.
#
# What can be compared fairly: the CPU time that a process needs to turn one stretch of WAL into
# row changes.  The stretch is written while the decoder is stopped (SIGSTOP, so that it can not
# work along), then
#   - the decoder continues, and its CPU time from there to fresh is taken: reading, decoding,
#     forming rows and handing them to the applier, which folds them in a process of its own;
#   - test_decoding decodes the same stretch through pg_logical_slot_peek_changes, and the CPU time
#     of that backend is taken: reading, decoding and printing rows as text into a tuplestore, with
#     work_mem large enough to keep that off the disk.
# All changes are to one table that a view reads, so that the decoder has nothing to leave out but
# columns.  The elapsed times are shown, too: ours contains the applier's part and ends when the
# view is fresh.
# One stretch of many small transactions, one of a single large one.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

rows=$((BENCH_DECODE_ROWS > 100000 ? BENCH_DECODE_ROWS : 100000))
sql -v rows="$rows" <<'SQL'
CREATE TABLE decoded (id integer PRIMARY KEY, grp integer NOT NULL, amount integer NOT NULL,
                      filler text NOT NULL);
INSERT INTO decoded SELECT i, i % 100, 0, repeat('x', 80) FROM generate_series(1, :rows) i;
VACUUM ANALYZE decoded;
SQL
create_view decoded_view 'SELECT grp, count(*) AS n, sum(amount) AS amount FROM decoded GROUP BY grp'
export BENCH_HZ
BENCH_HZ=$(getconf CLK_TCK)

write_small()
{
    local script=$BENCH_DIR/small.sql
    printf '%s\n' "\\set id random(1, $rows)" \
        'UPDATE decoded SET amount = amount + 1 WHERE id = :id;' >"$script"
    PGOPTIONS='-c synchronous_commit=off' pgbench -n -M prepared -f "$script" -c "$BENCH_CLIENTS" \
        -j 2 -t $((BENCH_DECODE_TRANSACTIONS / BENCH_CLIENTS)) >/dev/null 2>&1
}

write_large()
{
    sql -c "UPDATE decoded SET amount = amount + 1 WHERE id <= $BENCH_DECODE_ROWS"
}

# Sets ours_cpu and ours_ms.
measure_ours()      # pid of the decoder
{
    local before
    before=$(cpu_seconds "$1")
    kill -CONT "$1"
    ours_ms=$(time_statements 'SELECT derive.wait()')
    ours_cpu=$(awk -v a="$(cpu_seconds "$1")" -v b="$before" 'BEGIN { print a - b }')
}

# Sets theirs_cpu and theirs_ms.
measure_theirs()
{
    local lines
    mapfile -t lines < <(sql <<'SQL'
SET work_mem = '1GB';
SELECT pg_backend_pid() AS pid \gset
\setenv BENCH_BACKEND :pid
\timing on
\! sed 's/.*) //' /proc/$BENCH_BACKEND/stat | awk -v hz=$BENCH_HZ '{ print ($12 + $13) / hz }'
SELECT 'n', count(*) FROM pg_logical_slot_peek_changes('bench_test_decoding', NULL, NULL);
\! sed 's/.*) //' /proc/$BENCH_BACKEND/stat | awk -v hz=$BENCH_HZ '{ print ($12 + $13) / hz }'
SQL
    )
    theirs_cpu=$(awk -v a="${lines[-1]}" -v b="${lines[0]}" 'BEGIN { print a - b }')
    theirs_ms=$(printf '%s\n' "${lines[@]}" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
}

stopped=
trap '[[ -z $stopped ]] || kill -CONT "$stopped"' EXIT

measure()           # item writer
{
    local round cpu=() elapsed=()
    for ((round = 0; round < (BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3); round++)); do
        sql -c 'VACUUM decoded' -c CHECKPOINT
        sql -c "SELECT pg_create_logical_replication_slot('bench_test_decoding', 'test_decoding')" >/dev/null
        pg_derive wait --timeout=600 >/dev/null
        stopped=$(worker_pid decoder)
        kill -STOP "$stopped"
        "$2"
        measure_ours "$stopped"
        stopped=
        measure_theirs
        sql -c "SELECT pg_drop_replication_slot('bench_test_decoding')" >/dev/null
        note "$1: CPU $ours_cpu s and $theirs_cpu s, elapsed $ours_ms ms to fresh and $theirs_ms ms"
        cpu+=("$(ratio "$ours_cpu" "$theirs_cpu")")
        elapsed+=("$(ratio "$ours_ms" "$theirs_ms")")
    done
    result "decoding $1: CPU / test_decoding" "" "<= 0.5" "${cpu[@]}"
    result "decoding $1: WAL to fresh / test_decoding" "" "" "${elapsed[@]}"
}

measure "$BENCH_DECODE_TRANSACTIONS small transactions" write_small
measure "$BENCH_DECODE_ROWS rows in one transaction" write_large

verify_views decoded_view
drop_views decoded_view
sql -c 'DROP TABLE decoded'
