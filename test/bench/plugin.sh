#!/usr/bin/env bash
# plugin.sh: the output plugin for consumers outside, relative to wal2json and pgoutput on the
# same WAL.
#
# What is compared is the CPU time that a backend needs to turn one stretch of WAL into messages,
# through pg_logical_slot_peek_[binary_]changes, with work_mem large enough to keep their results
# off the disk: reading, decoding, writing text.  The formats are
#   - wal2json of both, with the options that make wal2json's records as full as ours (equal
#     content);
#   - json and cloudevents of ours against pgoutput, which sends less: values without names.
# All slots start at one point.  One stretch of many small transactions, one of a single large one.
# The bounds are for the latter: of a transaction with one row, most of the time is the server's
# own, whatever the plugin does.
#
# Memory: the most that a walsender of its own has resident while pg_recvlogical reads a
# transaction, for two sizes, in the private part.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

sql <<'SQL'
CREATE TABLE sent (id integer PRIMARY KEY, customer integer NOT NULL, state text NOT NULL,
                   amount numeric(10,2) NOT NULL, at timestamptz NOT NULL, note text);
INSERT INTO sent SELECT i, i % 100, 'open', i, now(), repeat('x', 40) FROM generate_series(1, 100000) i;
VACUUM ANALYZE sent;
CREATE PUBLICATION bench_sent FOR TABLE sent;
SQL
export BENCH_HZ
BENCH_HZ=$(getconf CLK_TCK)

write_small()
{
    local script=$BENCH_DIR/plugin.sql
    printf '%s\n' '\set id random(1, 100000)' \
        "UPDATE sent SET amount = amount + 1, at = now() WHERE id = :id;" >"$script"
    PGOPTIONS='-c synchronous_commit=off' pgbench -n -M prepared -f "$script" -c "$BENCH_CLIENTS" \
        -j 2 -t $((BENCH_DECODE_TRANSACTIONS / BENCH_CLIENTS)) >/dev/null 2>&1
}

write_large()
{
    sql -c "INSERT INTO sent SELECT i, i % 100, 'new', i, now(), repeat('y', 40)
              FROM generate_series(1000001, 1000000 + $BENCH_DECODE_ROWS) i"
}

# Prints the CPU seconds that reading a slot takes.
cpu_of()            # slot function options
{
    local lines
    mapfile -t lines < <(sql <<SQL
SET work_mem = '2GB';
SET logical_decoding_work_mem = '1GB';
SELECT pg_backend_pid() AS pid \gset
\setenv BENCH_BACKEND :pid
\! sed 's/.*) //' /proc/\$BENCH_BACKEND/stat | awk -v hz=\$BENCH_HZ '{ print (\$12 + \$13) / hz }'
SELECT count(*) FROM $2('$1', NULL, NULL, $3);
\! sed 's/.*) //' /proc/\$BENCH_BACKEND/stat | awk -v hz=\$BENCH_HZ '{ print (\$12 + \$13) / hz }'
SQL
    )
    awk -v a="${lines[-1]}" -v b="${lines[0]}" 'BEGIN { print a - b }'
}

slots="bench_wal2json:wal2json bench_pgoutput:pgoutput bench_ours:pg_derive"
create_slots()
{
    local slot
    for slot in $slots; do
        sql -c "SELECT pg_create_logical_replication_slot('${slot%%:*}', '${slot#*:}')" >/dev/null
    done
}

drop_slots()
{
    local slot
    for slot in $slots; do
        sql -c "SELECT pg_drop_replication_slot('${slot%%:*}')" >/dev/null
    done
}

measure()           # item writer bound-for-wal2json bound-for-pgoutput
{
    local round theirs pgoutput ours format
    local -A ratios=()
    for ((round = 0; round < (BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3); round++)); do
        create_slots
        "$2"
        local all="'include-xids', '1', 'include-lsn', '1', 'include-timestamp', '1'"
        theirs=$(cpu_of bench_wal2json pg_logical_slot_peek_changes "'format-version', '2', $all")
        ours=$(cpu_of bench_ours pg_logical_slot_peek_changes "'format', 'wal2json', $all")
        ratios[wal2json]+=" $(ratio "$theirs" "$ours")"
        note "$1: CPU of wal2json $theirs s, ours $ours s"
        pgoutput=$(cpu_of bench_pgoutput pg_logical_slot_peek_binary_changes \
            "'proto_version', '1', 'publication_names', 'bench_sent'")
        for format in json cloudevents debezium; do
            ours=$(cpu_of bench_ours pg_logical_slot_peek_changes "'format', '$format'")
            ratios[$format]+=" $(ratio "$pgoutput" "$ours")"
            note "$1: CPU of pgoutput $pgoutput s, $format $ours s"
        done
        drop_slots
    done
    # shellcheck disable=SC2086 -- lists of numbers
    {
        result "plugin $1: speed of wal2json format / wal2json" "" "$3" ${ratios[wal2json]}
        result "plugin $1: speed of json / pgoutput" "" "$4" ${ratios[json]}
        result "plugin $1: speed of cloudevents / pgoutput" "" "" ${ratios[cloudevents]}
        result "plugin $1: speed of debezium / pgoutput" "" "" ${ratios[debezium]}
    }
}

# Prints the most private memory of a walsender, in MB, while a transaction of so many rows is read.
walsender_memory()  # rows streaming
{
    local end pid peak=0 now reader
    sql -c "SELECT pg_create_logical_replication_slot('bench_memory', 'pg_derive')" >/dev/null
    sql -c 'TRUNCATE sent' -c "INSERT INTO sent SELECT i, i % 100, 'new', i, now(), repeat('y', 40)
              FROM generate_series(1, $1) i"
    end=$(sql -c 'SELECT pg_current_wal_insert_lsn()')
    pg_recvlogical -d "$PGDATABASE" --slot bench_memory --start --endpos "$end" --no-loop \
        -o "streaming=$2" -f /dev/null &
    reader=$!
    while kill -0 "$reader" 2>/dev/null; do
        pid=$(sql -c "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'bench_memory'")
        if [[ -n $pid ]]; then
            now=$(awk '/^Private/ { kb += $2 } END { print int(kb / 1024) }' "/proc/$pid/smaps_rollup" \
                2>/dev/null || echo 0)
            peak=$((now > peak ? now : peak))
        fi
        sleep 0.05
    done
    wait "$reader"
    sql -c "SELECT pg_drop_replication_slot('bench_memory')" >/dev/null
    echo "$peak"
}

measure "$BENCH_DECODE_TRANSACTIONS small transactions" write_small "" ""
measure "$BENCH_DECODE_ROWS rows in one transaction" write_large ">= 2" ">= 1"

small=$((BENCH_PLUGIN_ROWS / 1000))
for streaming in off on; do
    few=$(walsender_memory "$small" "$streaming")
    many=$(walsender_memory "$BENCH_PLUGIN_ROWS" "$streaming")
    note "streaming $streaming: $few MB for $small rows, $many MB for $BENCH_PLUGIN_ROWS rows"
    # the reorder buffer may take logical_decoding_work_mem (64 MB), and does for the large one
    result "plugin memory beyond 64 MB, $BENCH_PLUGIN_ROWS rows, streaming $streaming" "MB" "<= 32" \
        $((many - few - 64 > 0 ? many - few - 64 : 0))
done

sql -c 'DROP PUBLICATION bench_sent' -c 'DROP TABLE sent'
