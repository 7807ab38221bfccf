#!/usr/bin/env bash
# plugin.sh: the output plugin for consumers outside, relative to wal2json and pgoutput on the
# same WAL.
#
# What is compared is the CPU time, the kernel's included, that a walsender needs to send one stretch
# of WAL to pg_recvlogical, which throws it away: reading, decoding, writing text, handing it to
# the socket, with logical_decoding_work_mem large enough to keep transactions off the disk.  The
# client's CPU time is not in it; the rows per second, by the clock, show how fast both are together.
# The formats are
#   - wal2json of both, with the options that make wal2json's records as full as ours (equal
#     content);
#   - json, cloudevents, debezium of ours against pgoutput, which sends less: values without names.
# One stretch of many small transactions, one of a single large one.  The slots are copies of one that
# was made before the stretch was written, so all walsenders do the same; they do it in turn.
#
# A part is the same for all plugins, and of small transactions the larger one: reading the log and
# putting transactions together.  It is shown as pgoutput with a publication of nothing, which looks
# at each change and sends none.  The rows "user" are ratios of the user time alone, which the
# kernel samples, so they are less exact.
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

# What is compared: a name, the plugin, its options.
full="include-xids=1 include-lsn=1 include-timestamp=1"
variants=(
    "nothing pgoutput proto_version=1 publication_names=bench_nothing"
    "pgoutput pgoutput proto_version=1 publication_names=bench_sent"
    "theirs wal2json format-version=2 $full"
    "ours pg_derive format=wal2json $full"
    "json pg_derive format=json"
    "cloudevents pg_derive format=cloudevents"
    "debezium pg_derive format=debezium"
)

# Waits until a walsender has sent all up to a position; prints its pid and its age in ms.
wait_until_sent()   # position
{
    sql -v target="$1" <<'SQL'
SET statement_timeout = '10min';
SELECT set_config('bench.target', :'target', false) \g /dev/null
DO $$
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN EXISTS (SELECT FROM pg_stat_replication
                           WHERE application_name = 'bench_reader'
                             AND sent_lsn >= current_setting('bench.target')::pg_lsn);
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$;
SELECT pid, extract(epoch FROM clock_timestamp() - backend_start) * 1000
  FROM pg_stat_replication WHERE application_name = 'bench_reader';
SQL
}

# Sends the stretch up to a position; prints ms of CPU time, of them the user's, and by the clock.
send()              # position plugin option...
{
    local target=$1 plugin=$2 option reader answer
    local options=()
    shift 2
    for option in "$@"; do
        options+=(-o "$option")
    done
    sql -c "SELECT pg_copy_logical_replication_slot('bench_start', 'bench_sent', false, '$plugin')" >/dev/null
    PGAPPNAME=bench_reader PGOPTIONS='-c logical_decoding_work_mem=1GB' \
        pg_recvlogical -d "$PGDATABASE" --slot bench_sent --start --no-loop "${options[@]}" \
        -f /dev/null 2>"$BENCH_DIR/reader.log" &
    reader=$!
    answer=$(wait_until_sent "$target") || {
        cat "$BENCH_DIR/reader.log" >&2
        return 1
    }
    # its age, its CPU time in ns, and the ticks of user and kernel by which that is to be split
    awk -v ms="${answer#*|}" 'FILENAME ~ /schedstat/ { cpu = $1 / 1e6 }
        FILENAME ~ /stat$/ && sub(/.*\) /, "") { share = ($12 + $13 == 0) ? 0 : $12 / ($12 + $13) }
        END { printf "%.1f %.1f %.1f\n", cpu, cpu * share, ms }' \
        "/proc/${answer%|*}/schedstat" "/proc/${answer%|*}/stat"
    kill -INT "$reader"
    wait "$reader" || : # that it was stopped is no error
    psql -X -q -d "dbname=$PGDATABASE replication=database" -c 'DROP_REPLICATION_SLOT bench_sent WAIT'
}

# Adds up three numbers.
add()               # "a b c" "d e f"
{
    awk '{ for (i = 1; i <= 3; i++) sum[i] += $i } END { print sum[1], sum[2], sum[3] }' <<<"$1"$'\n'"$2"
}

field() { cut -d' ' -f"$2" <<<"$1"; }

measure()           # item writer rows readings
{
    local round reading variant target name plugin options theirs
    local bases=
    local -A sums=() cpu=() user=() speed=()
    for ((round = 0; round < (BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3); round++)); do
        sql -c "SELECT pg_create_logical_replication_slot('bench_start', 'pg_derive')" >/dev/null
        "$2"
        target=$(sql -c 'SELECT pg_current_wal_insert_lsn()' -c CHECKPOINT)
        sums=()
        for ((reading = 0; reading < $4; reading++)); do
            for variant in "${variants[@]}"; do
                read -r name plugin options <<<"$variant"
                # shellcheck disable=SC2086
                sums[$name]=$(add "${sums[$name]:-}" "$(send "$target" "$plugin" $options)")
            done
        done
        sql -c "SELECT pg_drop_replication_slot('bench_start')" >/dev/null
        bases+=" $(field "${sums[nothing]}" 1 | awk -v n="$4" '{ print $1 / n }')"
        for name in pgoutput theirs ours json cloudevents debezium; do
            note "$1: $name, CPU, user, clock in ms: ${sums[$name]}"
            speed[$name]+=" $(field "${sums[$name]}" 3 | awk -v rows="$3" -v n="$4" '{ print rows * n * 1000 / $1 }')"
        done
        for name in ours json cloudevents debezium; do
            theirs=${sums[pgoutput]}
            [[ $name != ours ]] || theirs=${sums[theirs]}
            cpu[$name]+=" $(ratio "$(field "$theirs" 1)" "$(field "${sums[$name]}" 1)")"
            user[$name]+=" $(ratio "$(field "$theirs" 2)" "$(field "${sums[$name]}" 2)")"
        done
    done
    # shellcheck disable=SC2086
    {
        result "plugin $1: reading, nothing sent" "ms" "" $bases
        result "plugin $1: wal2json format / wal2json" "" ">= 2" ${cpu[ours]}
        result "plugin $1: user, wal2json format / wal2json" "" "" ${user[ours]}
        for name in json cloudevents debezium; do
            result "plugin $1: $name / pgoutput" "" ">= 1" ${cpu[$name]}
            result "plugin $1: user, $name / pgoutput" "" "" ${user[$name]}
        done
        result "plugin $1: wal2json" "rows/s" "" ${speed[theirs]}
        result "plugin $1: wal2json format" "rows/s" "" ${speed[ours]}
        result "plugin $1: pgoutput" "rows/s" "" ${speed[pgoutput]}
        result "plugin $1: json" "rows/s" "" ${speed[json]}
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

measure "$BENCH_DECODE_TRANSACTIONS small transactions" write_small "$BENCH_DECODE_TRANSACTIONS" 5
measure "$BENCH_DECODE_ROWS rows in one transaction" write_large "$BENCH_DECODE_ROWS" 1

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
