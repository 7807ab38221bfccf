#!/usr/bin/env bash
# outbox.sh: what an outbox costs the writers, how much it takes, how late its events are.
#
# Writers: pgbench's simple-update with 8 clients, on the same server in these variants:
#   none          the accounts are decoded (REPLICA IDENTITY FULL), nothing is written: the base
#   outbox        an outbox over the accounts
#   trigger       a row trigger writes the same columns into a table of its own
# Throughput: one INSERT of a million rows; events per second from its commit to the last event.
# Lateness: 100 commits a second, and a consumer that waits in derive.fetch, see freshness.c.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

declare -A tps      # "variant round" -> transactions per second

prepare()
{
    pgbench -i -q -s "$BENCH_SCALE" >/dev/null 2>&1
    sql >/dev/null <<'SQL'
ALTER TABLE pgbench_accounts REPLICA IDENTITY FULL;
CREATE TABLE by_trigger (position bigserial PRIMARY KEY, id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    aggregatetype text NOT NULL, aggregateid text, type text NOT NULL, payload jsonb, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO by_trigger (aggregatetype, aggregateid, type, payload)
        VALUES ('pgbench_accounts', NEW.aid, lower(TG_OP), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER by_trigger AFTER UPDATE ON pgbench_accounts FOR EACH ROW EXECUTE FUNCTION by_trigger();
ALTER TABLE pgbench_accounts DISABLE TRIGGER by_trigger;
-- Keeps the table decoded in all variants.
SELECT derive.create_view('decoded', 'SELECT aid, abalance, bid, filler FROM pgbench_accounts WHERE aid = 0');
CHECKPOINT;
SQL
    wait_for_state decoded live
}

begin_variant()
{
    case $1 in
        outbox) sql -c "SELECT derive.create_outbox('account_events', 'pgbench_accounts')" >/dev/null ;;
        trigger) sql -c 'ALTER TABLE pgbench_accounts ENABLE TRIGGER by_trigger' ;;
    esac
}

# Ends a variant; an outbox must hold as many events as there were transactions.
end_variant()       # variant transactions
{
    case $1 in
        outbox)
            sql -c 'SELECT derive.wait()' >/dev/null
            [[ $(sql -c 'SELECT count(*) = max(position) FROM account_events') == t &&
                $(sql -c 'SELECT count(*) FROM account_events') == "$2" ]] || {
                echo "the outbox does not have $2 events" >&2
                exit 1
            }
            sql -c "SELECT derive.drop_outbox('account_events')" >/dev/null
            ;;
        trigger) sql -c 'ALTER TABLE pgbench_accounts DISABLE TRIGGER by_trigger' -c 'TRUNCATE by_trigger' ;;
    esac
}

run_round()         # round variant...
{
    local round=$1 i variant out
    shift
    for ((i = 0; i < $#; i++)); do
        variant=${@:$(((round + i) % $# + 1)):1}
        begin_variant "$variant"
        out=$(pgbench -n -b simple-update -c "$BENCH_CLIENTS" -j 2 -T "$BENCH_SECONDS" 2>/dev/null)
        tps[$variant $round]=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out")
        end_variant "$variant" "$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' <<<"$out")"
        note "simple-update, $variant: ${tps[$variant $round]} tps"
    done
}

compare()           # item bound variant
{
    local round values=()
    for ((round = 0; round < BENCH_ROUNDS; round++)); do
        values+=("$(ratio "${tps[$3 $round]}" "${tps[none $round]}")")
    done
    result "$1" "" "$2" "${values[@]}"
}

prepare
pgbench -n -b simple-update -c "$BENCH_CLIENTS" -j 2 -T "$BENCH_SECONDS" >/dev/null 2>&1
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    run_round "$round" none outbox trigger
done
compare "simple-update: outbox / none" ">= 0.9" outbox
compare "simple-update: trigger-written outbox / none" "" trigger
drop_views decoded
sql -c 'DROP TABLE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history, by_trigger CASCADE' \
    -c 'DROP FUNCTION by_trigger' 2>/dev/null

# ------------------------------------------------------------------ one large transaction

rates=()
rounds=$((BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3))
for ((round = 0; round < rounds; round++)); do
    sql -q -c 'CREATE TABLE bulk_rows (id integer PRIMARY KEY, amount integer NOT NULL, label text NOT NULL)' \
        -c "SELECT derive.create_outbox('bulk_events', 'bulk_rows')" >/dev/null 2>&1
    mapfile -t ms < <(time_statements \
        "INSERT INTO bulk_rows SELECT i, i % 97, 'row number ' || i FROM generate_series(1, $BENCH_BULK) i" \
        'SELECT derive.wait()')
    [[ $(sql -c 'SELECT count(*) FROM bulk_events') == "$BENCH_BULK" ]] || {
        echo "the outbox does not have $BENCH_BULK events" >&2
        exit 1
    }
    rates+=("$(awk -v n="$BENCH_BULK" -v ms="${ms[1]}" 'BEGIN { printf "%.0f", n / ms * 1000 }')")
    note "statement ${ms[0]} ms, all events after further ${ms[1]} ms"
    sql -c 'DROP TABLE bulk_rows CASCADE' -c CHECKPOINT 2>/dev/null
done
result "events of one transaction of $BENCH_BULK rows" "per s" ">= 50000" "${rates[@]}"

# ------------------------------------------------------------------ a consumer that waits

sql >/dev/null 2>&1 <<'SQL'
CREATE TABLE pulses (n bigint);
SELECT derive.create_outbox('pulse_events', 'pulses');
SELECT derive.create_consumer('pulse_events', 'probe');
SQL
fetch_50=() fetch_99=()
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    sql -c 'SELECT derive.wait()' -c "SELECT derive.seek('pulse_events', 'probe', 'latest')" >/dev/null
    line=$("$BENCH_DIR/freshness" 100 "$BENCH_SECONDS" fetch)
    note "100 commits/s, derive.fetch (p50 p99 max - n): $line"
    read -r p50 p99 _ <<<"$line"
    fetch_50+=("$p50") fetch_99+=("$p99")
done
result "100 commits/s: commit to fetched, p50" ms "<= 3" "${fetch_50[@]}"
result "100 commits/s: commit to fetched, p99" ms "<= 20" "${fetch_99[@]}"
sql -c 'DROP TABLE pulses CASCADE' 2>/dev/null
