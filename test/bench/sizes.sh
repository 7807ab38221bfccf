#!/usr/bin/env bash
# sizes.sh: does the cost follow the change or the table?
#
# The same change, 1,000 neighbouring rows updated by one statement, on tables from small to
# large; measured is the time from the statement's end to fresh (derive.wait), so decoding,
# delta query and writing the view.  Neighbouring rows lie on as many pages in a large table as in
# a small one: rows spread out would measure the page cache.  The aggregate has 100 groups at every
# size.  The join has the right indexes, and is measured from both sides: 1,000 rows of the large
# table, and 100 of the other whose partners make 1,000.
# A pause before each change lets every one find the pipeline idle, so that pacing plays no part.
# The rows are drawn from as many in the middle of each table as the smallest one has: a page's first
# update since the table was built finds it full, and that should not happen to large tables only.
# The sizes take turns; the ratio is each turn's largest table over its smallest.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

read -r -a sizes <<<"$BENCH_SIZES"
smallest=${sizes[0]}
largest=${sizes[-1]}

for size in "${sizes[@]}"; do
    note "making tables of $size rows"
    sql -v size="$size" -v items="items_$size" -v kinds="kinds_$size" <<'SQL'
CREATE TABLE :kinds (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO :kinds SELECT i, 'kind ' || i FROM generate_series(0, :size / 10) i;
CREATE TABLE :items (id integer PRIMARY KEY, kind integer NOT NULL, grp integer NOT NULL,
                     amount integer NOT NULL);
INSERT INTO :items SELECT i, i / 10, i % 100, i % 97 FROM generate_series(1, :size) i;
CREATE INDEX ON :items (kind);
VACUUM ANALYZE :items;
VACUUM ANALYZE :kinds;
SQL
done

# Prints how many ms after one change the views are fresh.
measure_once()      # size items|kinds
{
    local first statement
    first=$((($1 - smallest) / 2 + 1 + (RANDOM * 32768 + RANDOM) % (smallest - 1000)))
    if [[ $2 == items ]]; then
        statement="UPDATE items_$1 SET amount = amount + 1 WHERE id BETWEEN $first AND $((first + 999))"
    else
        first=$((first / 10))
        statement="UPDATE kinds_$1 SET name = name || '.' WHERE id BETWEEN $first AND $((first + 99))"
    fi
    sleep 0.1
    time_statements "$statement" 'SELECT derive.wait()' | tail -n 1
}

# Measures all sizes in turns and adds the table's line.
measure()           # item items|kinds
{
    local repeat size round_ms ratios=()
    declare -A ms
    for size in "${sizes[@]}"; do       # the first tick of a kind plans its statements
        measure_once "$size" "$2" >/dev/null
        measure_once "$size" "$2" >/dev/null
        ms[$size]=
    done
    sql -c CHECKPOINT           # so that none runs by itself while the building is still being written
    for ((repeat = 0; repeat < BENCH_REPEATS; repeat++)); do
        declare -A round_ms
        for size in "${sizes[@]}"; do
            round_ms[$size]=$(measure_once "$size" "$2")
            ms[$size]+=" ${round_ms[$size]}"
        done
        ratios+=("$(ratio "${round_ms[$largest]}" "${round_ms[$smallest]}")")
    done
    for size in "${sizes[@]}"; do
        # shellcheck disable=SC2086 -- a list of numbers
        note "$1, $size rows: $(spread ${ms[$size]} | awk '{ printf "%.1f [%.1f .. %.1f] ms", $1, $2, $3 }')"
    done
    result "$1: $largest rows / $smallest" "" "<= 1.2" "${ratios[@]}"
}

for size in "${sizes[@]}"; do
    create_view "groups_$size" "SELECT grp, count(*) AS n, sum(amount) AS amount
                                  FROM items_$size GROUP BY grp"
done
measure "1,000 rows changed under an aggregate" items
for size in "${sizes[@]}"; do
    verify_views "groups_$size"
    drop_views "groups_$size"
done

for size in "${sizes[@]}"; do
    note "joining $size rows"
    create_view "joined_$size" "SELECT i.id, i.amount, k.name
                                  FROM items_$size i JOIN kinds_$size k ON k.id = i.kind"
    sql -c "ANALYZE joined_$size"
done
measure "1,000 rows changed under a join" items
measure "100 rows changed on the join's other side" kinds
for size in "${sizes[@]}"; do
    verify_views "joined_$size"
    drop_views "joined_$size"
    sql -c "DROP TABLE items_$size, kinds_$size"
done
