#!/usr/bin/env bash
# constructs.sh: does the cost follow the change or the table, whatever the query is made of?
#
# For each construct of docs/reference/queries.md, or one that stands for its kind: a view over small tables and
# the same one over tables that are a hundred times larger, both with the indexes that derive.advise names.
# Then the same change to both, in turns: 900 orders and 100 customers that lie together, in one
# transaction, such that conditions on them come true or cease to be, most groups change and existence flips.
# A customer has ten orders at either size, so that what a key stands for is as large.  Measured is the
# time that the applier was on a processor (/proc/PID/schedstat) from the change to fresh: not what
# others take from it, nor the decoder's part, which knows nothing of sizes.
# No checkpoint comes in between: the first change of a page after one is logged with all of the page, and the
# pages that an index leads to at random are first ones far more often in a large table.
# The bound is for the median of the ratios of the rounds.  Constructs whose definition makes a
# change reach the whole table, and those for which only a recompute is known, are shown without a bound.
# BENCH_CONSTRUCTS is a pattern for the names of those to be measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/bench/common.sh

read -r -a sizes <<<"$BENCH_CONSTRUCT_SIZES"
smallest=${sizes[0]}
largest=${sizes[-1]}
table=$BENCH_DIR/constructs.table
ratios=()
over=0

# name | rule that the bound is for: "-" none | query
constructs=$(cat <<'LIST'
filter and projection|+|SELECT id, customer, total * 2 AS twice FROM orders WHERE total > 50
expressions, arrays, jsonb|+|SELECT id, ARRAY[id, total] AS a, jsonb_build_object('t', total) AS j FROM orders
set-returning function|+|SELECT id, generate_series(1, id % 3) AS g FROM orders WHERE total > 50
inner join|+|SELECT o.id, o.total, c.region FROM orders o JOIN customers c ON c.id = o.customer
self-join|+|SELECT o.id, p.id AS pid FROM orders o JOIN orders p ON p.customer = o.customer AND p.total > o.total
three tables|+|SELECT o.id, r.label FROM orders o JOIN customers c ON c.id = o.customer JOIN regions r ON r.region = c.region
cross join of a few rows|+|SELECT o.id, r.region FROM orders o CROSS JOIN regions r WHERE o.total > 90
left join|+|SELECT c.id, c.region, o.total FROM customers c LEFT JOIN orders o ON o.customer = c.id AND o.total > 90
full join|+|SELECT c.id, o.id AS oid FROM (SELECT id FROM customers WHERE region < 5) c FULL JOIN (SELECT id, customer FROM orders WHERE total > 50) o ON o.customer = c.id
outer join under GROUP BY|+|SELECT c.id, count(o.id) AS n, sum(o.total) AS total FROM customers c LEFT JOIN orders o ON o.customer = c.id GROUP BY c.id
LATERAL, plain|+|SELECT c.id, x.total FROM customers c, LATERAL (SELECT o.total FROM orders o WHERE o.customer = c.id AND o.total > 50) x
LATERAL with LIMIT|+|SELECT c.id, x.total FROM customers c, LATERAL (SELECT o.total FROM orders o WHERE o.customer = c.id ORDER BY o.total DESC, o.id LIMIT 2) x
EXISTS|+|SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND o.total > 90)
NOT EXISTS|+|SELECT id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND o.total > 90)
IN|+|SELECT id FROM orders WHERE customer IN (SELECT id FROM customers WHERE region = 1)
NOT IN|+|SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM orders WHERE total > 90)
scalar subquery, correlated|+|SELECT c.id, (SELECT sum(total) FROM orders o WHERE o.customer = c.id) AS total FROM customers c
scalar subquery, by key|+|SELECT o.id, (SELECT region FROM customers c WHERE c.id = o.customer) AS region FROM orders o
scalar subquery, LIMIT 1|+|SELECT c.id, (SELECT o.id FROM orders o WHERE o.customer = c.id ORDER BY o.total DESC, o.id LIMIT 1) AS best FROM customers c
ARRAY subquery|+|SELECT c.id, ARRAY(SELECT o.total FROM orders o WHERE o.customer = c.id ORDER BY o.total) AS totals FROM customers c
EXISTS as a value|+|SELECT c.id, EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND o.total > 90) AS has FROM customers c
subquery in FROM|+|SELECT q.big, count(*) AS n FROM (SELECT customer, sum(total) > 500 AS big FROM orders GROUP BY customer) q GROUP BY q.big
WITH, used twice|+|WITH t AS (SELECT customer, sum(total) AS total FROM orders GROUP BY customer) SELECT c.id, a.total, b.total AS other FROM customers c JOIN t a ON a.customer = c.id JOIN t b ON b.customer = c.referrer
count, sum, avg, HAVING|+|SELECT customer, count(*) AS n, sum(total) AS s, avg(total) AS a FROM orders GROUP BY customer HAVING sum(total) > 400
few large groups|+|SELECT c.region, count(*) AS n, sum(o.total) AS s FROM orders o JOIN customers c ON c.id = o.customer GROUP BY c.region
min, max|+|SELECT customer, min(total) AS lo, max(total) AS hi FROM orders GROUP BY customer
without GROUP BY|+|SELECT count(*) AS n, sum(total) AS s FROM orders
floats, variance|+|SELECT customer, stddev(total) AS d, sum(total::float8) AS f FROM orders GROUP BY customer
DISTINCT in aggregates|+|SELECT customer, count(DISTINCT total) AS n FROM orders GROUP BY customer
ORDER BY in aggregates|+|SELECT customer, array_agg(total ORDER BY id) AS totals FROM orders GROUP BY customer
ordered-set aggregates|+|SELECT customer, percentile_disc(0.5) WITHIN GROUP (ORDER BY total) AS p FROM orders GROUP BY customer
ROLLUP|+|SELECT customer, total > 50 AS large, count(*) AS n FROM orders GROUP BY ROLLUP (customer, total > 50)
DISTINCT|+|SELECT DISTINCT customer, total > 50 AS large FROM orders
UNION ALL|+|SELECT customer FROM orders WHERE total > 50 UNION ALL SELECT id FROM customers WHERE region = 1
UNION|+|SELECT customer FROM orders WHERE total > 90 UNION SELECT id FROM customers WHERE region = 1
INTERSECT|+|SELECT customer FROM orders WHERE total > 90 INTERSECT SELECT id FROM customers WHERE region = 1
EXCEPT|+|SELECT id FROM customers WHERE region < 5 EXCEPT SELECT customer FROM orders WHERE total > 90
EXCEPT ALL|+|SELECT customer FROM orders WHERE total > 50 EXCEPT ALL SELECT id FROM customers WHERE region < 5
window, PARTITION BY|+|SELECT id, customer, rank() OVER (PARTITION BY customer ORDER BY total, id) AS r FROM orders
two windows|+|SELECT id, customer, sum(total) OVER (PARTITION BY customer) AS a, count(*) OVER (PARTITION BY customer, total > 50) AS b FROM orders
window over groups|+|SELECT customer, total > 50 AS large, count(*) AS n, rank() OVER (PARTITION BY customer ORDER BY count(*)) AS r FROM orders GROUP BY customer, total > 50
DISTINCT ON|+|SELECT DISTINCT ON (customer) customer, id, total FROM orders ORDER BY customer, total DESC, id
ORDER BY, LIMIT|+|SELECT id, total FROM orders ORDER BY total DESC, id LIMIT 10
LIMIT over groups|+|SELECT customer, sum(total) AS s FROM orders GROUP BY customer ORDER BY s DESC, customer LIMIT 3
LIMIT over a join|+|SELECT o.id, c.region FROM orders o JOIN customers c ON c.id = o.customer WHERE c.region < 5 ORDER BY o.total DESC, o.id LIMIT 10
partitioned table|+|SELECT order_id, sum(qty) AS q FROM items GROUP BY order_id
scalar subquery, uncorrelated|-|SELECT id FROM orders WHERE total > (SELECT avg(total) FROM orders)
> ALL|-|SELECT id FROM orders WHERE total >= ALL (SELECT total FROM orders WHERE customer = 3)
window without PARTITION BY|-|SELECT id, row_number() OVER (ORDER BY total, id) AS nr FROM orders
WITH RECURSIVE|-|WITH RECURSIVE r(id, root) AS (SELECT id, id FROM customers WHERE referrer IS NULL UNION SELECT c.id, r.root FROM customers c JOIN r ON c.referrer = r.id) SELECT id, root FROM r
LIST
)

make_tables()       # size
{
    note "making tables of $1 rows"
    sql -v size="$1" -v schema="s$1" <<'SQL'
CREATE SCHEMA :schema;
SET search_path = :schema;
CREATE TABLE regions (region integer PRIMARY KEY, label text NOT NULL);
INSERT INTO regions SELECT i, 'region ' || i FROM generate_series(0, 9) i;
CREATE TABLE customers (id integer PRIMARY KEY, region integer NOT NULL, referrer integer);
INSERT INTO customers SELECT i, i % 10, nullif(i / 2, 0) FROM generate_series(1, :size / 10) i;
CREATE TABLE orders (id integer PRIMARY KEY, customer integer NOT NULL, total integer NOT NULL);
INSERT INTO orders SELECT i, 1 + (i - 1) / 10, i % 97 FROM generate_series(1, :size) i;
CREATE TABLE items (order_id integer NOT NULL, qty integer NOT NULL) PARTITION BY HASH (order_id);
CREATE TABLE items_0 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE items_1 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO items SELECT i, i % 7 FROM generate_series(1, :size) i;
CREATE INDEX ON items (order_id);
ANALYZE;
SQL
    # What the changes will do to a page the first time, all pages have behind them.
    sql -c "SET search_path = s$1" -c "UPDATE orders SET total = total" -c "UPDATE customers SET region = region" \
        -c "UPDATE items SET qty = qty" -c "VACUUM ANALYZE"
}

# Creates a view, with the indexes that it is advised to have.
make_view()         # size query
{
    sql -v query="$2" >/dev/null <<<"SET client_min_messages = warning; SET search_path = s$1;
        SELECT derive.create_view('s$1.measured', :'query');"
    wait_for_state "s$1.measured" live
    sql -c "SELECT derive.advise('s$1.measured'::regclass)" >"$BENCH_DIR/advice"
    sql -f "$BENCH_DIR/advice"
    sql -c "SELECT format('ANALYZE %s;', stage) FROM derive.stages WHERE view = 's$1.measured'::regclass" |
        sql -f -
}

# Nanoseconds that the applier was on a processor.
applier_ns() { cut -d ' ' -f 1 "/proc/$1/schedstat"; }

# Changes the tables of a size; prints the applier's milliseconds.
change_once()       # size first-customer pid
{
    local before after first=$((($2 - 1) * 10 + 1))
    before=$(applier_ns "$3")
    sql >/dev/null <<SQL
SET search_path = s$1;
BEGIN;
UPDATE orders SET total = 97 - total WHERE id BETWEEN $first AND $((first + 899));
UPDATE customers SET region = (region + 5) % 10, referrer = CASE WHEN referrer = id / 2 THEN id / 3 ELSE id / 2 END
 WHERE id BETWEEN $2 AND $(($2 + 99));
UPDATE items SET qty = 7 - qty WHERE order_id BETWEEN $first AND $((first + 899));
COMMIT;
SELECT derive.wait();
SQL
    after=$(applier_ns "$3")
    awk -v a="$before" -v b="$after" 'BEGIN { printf "%.3f\n", (b - a) / 1e6 }'
}

# Measures a construct and adds its line to the table.
measure()           # name bound query
{
    local size round first pid rule base quotient ms=() medians=() round_ratios=() rounds=$BENCH_CONSTRUCT_ROUNDS
    declare -A times=()
    for size in "${sizes[@]}"; do
        make_view "$size" "$3"
        times[$size]=
    done
    pid=$(worker_pid applier)
    [[ $2 == + ]] || rounds=2
    for ((round = -2; round < rounds; round++)); do
        first=$((1 + (RANDOM * 32768 + RANDOM) % (smallest / 10 - 110)))
        ms=()
        for size in "${sizes[@]}"; do
            # as far from the beginning of the table at every size as the smallest one allows
            base=$(change_once "$size" $(((size - smallest) / 20 + first)) "$pid")
            ms+=("$base")
            ((round < 0)) || times[$size]+=" $base"
        done
        ((round < 0)) || round_ratios+=("$(ratio "${ms[-1]}" "${ms[0]}")")
    done
    for size in "${sizes[@]}"; do
        # shellcheck disable=SC2086 -- a list of numbers
        medians+=("$(spread ${times[$size]} | cut -d ' ' -f 1)")
        verify_views "s$size.measured"
    done
    rule=$(sql -c "SELECT rule || CASE WHEN (SELECT sum(chosen) FROM derive.stages s WHERE s.view = v.view) > 0 THEN ', recomputed by choice' ELSE '' END
                     FROM derive.views v WHERE view = 's$largest.measured'::regclass")
    quotient=$(spread "${round_ratios[@]}" | cut -d ' ' -f 1)
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$rule" "${medians[0]}" "${medians[-1]}" "$quotient" "$2" >>"$table"
    note "$1: ${medians[0]} ms, ${medians[-1]} ms, ratio $quotient"
    if [[ $2 == + ]]; then
        ratios+=("$quotient")
        over=$((over + $(awk -v q="$quotient" 'BEGIN { print (q > 1.3) }')))
    fi
    for size in "${sizes[@]}"; do
        drop_views "s$size.measured"
    done
}

print_constructs()
{
    awk -F '\t' -v small="$smallest" -v large="$largest" '
        BEGIN { printf "\n   %-30s %-36s %10s %10s %7s\n", "construct", "rule", small " ms", large " ms", "ratio" }
        { printf "   %-30s %-36s %10.1f %10.1f %7.2f%s\n", $1, $2, $3, $4, $5,
            ($6 == "-" ? "  no bound" : ($5 > 1.3 ? "  missed" : "")) }
        END { print "" }' "$table"
}

: >"$table"
for size in "${sizes[@]}"; do
    make_tables "$size"
done
while IFS='|' read -r name bound query; do
    [[ $name =~ $BENCH_CONSTRUCTS ]] || continue
    measure "$name" "$bound" "$query"
done <<<"$constructs"
print_constructs

((${#ratios[@]} == 0)) || result "${#ratios[@]} constructs: $largest rows / $smallest" "" "<= 1.3" "${ratios[@]}"
result "constructs beyond 1.3" "" "<= 0" "$over"
for size in "${sizes[@]}"; do
    sql -c "SET client_min_messages = warning" -c "DROP SCHEMA s$size CASCADE"
done
