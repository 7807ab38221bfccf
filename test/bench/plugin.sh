#!/usr/bin/env bash
# plugin.sh: the output plugin for consumers outside, relative to wal2json and pgoutput on the
# same WAL.
#
# What is compared is the CPU time that a backend needs to turn one stretch of WAL into messages,
# through pg_logical_slot_peek_[binary_]changes, with work_mem large enough to keep their results
# off the disk: reading, decoding, writing text.  User time only: the kernel's is for the memory of
# those results, which no walsender keeps.  The formats are
#   - wal2json of both, with the options that make wal2json's records as full as ours (equal
#     content);
#   - json, cloudevents, debezium of ours against pgoutput, which sends less: values without names.
# All slots start at one point.  One stretch of many small transactions, one of a single large one.
#
# The server's own part, reading the log and putting transactions together, is the same for
# all plugins, and of small transactions the larger one.  It is measured beside them: pgoutput with
# a publication of nothing, which looks at each change and sends none.  The rows "own part" are
# ratios of what is left without it.
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
CREATE PUBLICATION bench_nothing;
SQL

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
    sql -c "INSERT INTO sent SELECT last + i, i % 100, 'new', i, now(), repeat('y', 40)
              FROM generate_series(1, $BENCH_DECODE_ROWS) i, (SELECT max(id) AS last FROM sent) l"
}

# Prints the milliseconds of user time that reading a slot takes, the mean of several readings.
cpu_of()            # slot function options
{
    local statement="SELECT count(*) FROM $2('$1', NULL, NULL, $3) \\g /dev/null" statements= i
    for ((i = 0; i < readings; i++)); do
        statements+=$statement$'\n'
    done
    sql <<SQL | awk -v hz="$(getconf CLK_TCK)" -v n="$readings" 'NR == 1 { before = $12 }
            END { printf "%.1f\n", ($12 - before) * 1000 / hz / n }'
SET work_mem = '2GB';
SET logical_decoding_work_mem = '1GB';
SELECT pg_backend_pid() AS pid \gset
\setenv BENCH_BACKEND :pid
\! sed 's/.*) //' /proc/\$BENCH_BACKEND/stat
$statements
\! sed 's/.*) //' /proc/\$BENCH_BACKEND/stat
SQL
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

# Prints the ratio of two plugins' own parts.
own_ratio()         # theirs ours base
{
    awk -v a="$1" -v b="$2" -v base="$3" 'BEGIN { printf "%.4f\n", (a - base) / (b - base) }'
}

# Prints the CPU milliseconds of pgoutput.
cpu_of_pgoutput()   # publication
{
    cpu_of bench_pgoutput pg_logical_slot_peek_binary_changes \
        "'proto_version', '1', 'publication_names', '$1'"
}

measure()           # item writer readings bound-for-wal2json bound-for-pgoutput bound-for-own-part
{
    local readings=$3 round base theirs pgoutput ours format bases=
    local all="'include-xids', '1', 'include-lsn', '1', 'include-timestamp', '1'"
    local -A ratios=() own=()
    for ((round = 0; round < (BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3); round++)); do
        create_slots
        "$2"
        base=$(cpu_of_pgoutput bench_nothing)
        bases+=" $base"
        theirs=$(cpu_of bench_wal2json pg_logical_slot_peek_changes "'format-version', '2', $all")
        ours=$(cpu_of bench_ours pg_logical_slot_peek_changes "'format', 'wal2json', $all")
        ratios[wal2json]+=" $(ratio "$theirs" "$ours")"
        own[wal2json]+=" $(own_ratio "$theirs" "$ours" "$base")"
        note "$1: CPU of wal2json $theirs ms, ours $ours ms, without sending anything $base ms"
        pgoutput=$(cpu_of_pgoutput bench_sent)
        for format in json cloudevents debezium; do
            ours=$(cpu_of bench_ours pg_logical_slot_peek_changes "'format', '$format'")
            ratios[$format]+=" $(ratio "$pgoutput" "$ours")"
            own[$format]+=" $(own_ratio "$pgoutput" "$ours" "$base")"
            note "$1: CPU of pgoutput $pgoutput ms, $format $ours ms"
        done
        drop_slots
    done
    # shellcheck disable=SC2086 -- lists of numbers
    {
        result "plugin $1: the server's part" "ms" "" $bases
        result "plugin $1: speed of wal2json format / wal2json" "" "$4" ${ratios[wal2json]}
        result "plugin $1: own part, wal2json format / wal2json" "" "$6" ${own[wal2json]}
        for format in json cloudevents debezium; do
            result "plugin $1: speed of $format / pgoutput" "" "$5" ${ratios[$format]}
            result "plugin $1: own part, $format / pgoutput" "" "" ${own[$format]}
        done
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

measure "$BENCH_DECODE_TRANSACTIONS small transactions" write_small 5 ">= 2" "" ">= 2"
measure "$BENCH_DECODE_ROWS rows in one transaction" write_large 1 ">= 2" ">= 1" ">= 2"

small=$((BENCH_PLUGIN_ROWS / 1000))
for streaming in off on; do
    few=$(walsender_memory "$small" "$streaming")
    many=$(walsender_memory "$BENCH_PLUGIN_ROWS" "$streaming")
    note "streaming $streaming: $few MB for $small rows, $many MB for $BENCH_PLUGIN_ROWS rows"
    # the reorder buffer may take logical_decoding_work_mem (64 MB), and does for the large one
    result "plugin memory beyond 64 MB, $BENCH_PLUGIN_ROWS rows, streaming $streaming" "MB" "<= 32" \
        $((many - few - 64 > 0 ? many - few - 64 : 0))
done

sql -c 'DROP PUBLICATION bench_sent, bench_nothing' -c 'DROP TABLE sent'
