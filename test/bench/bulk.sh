#!/usr/bin/env bash
# bulk.sh: one update of a million rows.
#
# Measured: the statement's own time (with its commit), then how long after it the view has it;
# the ratio is the second over the first.  Meanwhile the private memory of both workers is sampled
# twenty times a second and its highest sum kept.  Private memory is RssAnon: pages of the process's
# own.  Shared buffers and the queue between the workers are shared memory and not in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

sql -v rows="$BENCH_BULK" <<'SQL'
CREATE TABLE bulk_rows (id integer PRIMARY KEY, grp integer NOT NULL, amount integer NOT NULL,
                        label text NOT NULL);
INSERT INTO bulk_rows SELECT i, i % 1000, i % 97, 'row number ' || i FROM generate_series(1, :rows) i;
VACUUM ANALYZE bulk_rows;
SQL
create_view bulk_view 'SELECT grp, count(*) AS n, sum(amount) AS amount FROM bulk_rows GROUP BY grp'

# Writes the highest sum of the workers' private memory in MB to a file, until killed.
sample_memory()     # file pid...
{
    local file=$1 highest=0 total
    shift
    while total=$(cat "${@/#//proc/}" 2>/dev/null |
        awk '/^RssAnon:/ { kb += $2 } END { printf "%d", kb / 1024 }'); do
        if ((total > highest)); then
            highest=$total
            echo "$highest" >"$file"
        fi
        sleep 0.05
    done
}

ratios=() memory=()
rounds=$((BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3))
for ((round = 0; round < rounds; round++)); do
    pg_derive wait --timeout=600 >/dev/null
    peak=$BENCH_DIR/peak
    echo 0 >"$peak"
    sample_memory "$peak" "$(worker_pid decoder)/status" "$(worker_pid applier)/status" &
    sampler=$!
    mapfile -t ms < <(time_statements 'UPDATE bulk_rows SET amount = amount + 1' 'SELECT derive.wait()')
    kill "$sampler"
    wait "$sampler" 2>/dev/null || :
    note "statement ${ms[0]} ms, fresh after further ${ms[1]} ms, private memory $(<"$peak") MB"
    ratios+=("$(ratio "${ms[1]}" "${ms[0]}")")
    memory+=("$(<"$peak")")
    sql -c 'VACUUM bulk_rows' -c CHECKPOINT
done
result "$BENCH_BULK rows updated: time to fresh / statement" "" "<= 0.5" "${ratios[@]}"
result "$BENCH_BULK rows updated: private memory of both workers" MB "<= 150" "${memory[@]}"

verify_views bulk_view
drop_views bulk_view
sql -c 'DROP TABLE bulk_rows'
