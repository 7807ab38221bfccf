# The support matrix: a view for each construct, maintained through changes, compared with its query,
# and the table of docs/reference/queries.md written from what happened.
#
# The test fails if a view differs, if a delta did not fit, if a stage was recomputed although its rule
# says otherwise, if a stage never ran by its rule, or if the document is not what the run says; what it
# should be is then in the test's folder (KEEP=1), to be copied.

use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $document = "$FindBin::Bin/../../../docs/reference/queries.md";

# Title => [ construct => query, ... ]
my @chapters = (
	'Joins' => [
		'inner join, any number, self-joins' => 'SELECT o.id, c.name, p.id AS pid FROM orders o JOIN customers c ON c.id = o.customer JOIN orders p ON p.customer = c.id AND p.total > o.total',
		'CROSS JOIN, USING, NATURAL' => 'SELECT o.id, r.region FROM orders o CROSS JOIN regions r',
		'columns of a named join, in subqueries, too' => 'SELECT j.customer, x.name FROM (orders JOIN (SELECT id AS customer, region FROM customers) r USING (customer)) AS j, LATERAL (SELECT c.name FROM customers c WHERE c.region = j.region AND c.id < j.customer) x WHERE j.total > 5',
		'LEFT JOIN' => 'SELECT c.id, o.total FROM customers c LEFT JOIN orders o ON o.customer = c.id AND o.total > 10',
		'RIGHT JOIN' => 'SELECT c.id, o.total FROM orders o RIGHT JOIN customers c ON o.customer = c.id',
		'FULL JOIN' => 'SELECT c.id, o.id AS oid FROM customers c FULL JOIN orders o ON o.customer = c.id',
		'outer joins with any ON condition' => 'SELECT c.id, o.total FROM customers c LEFT JOIN orders o ON o.total > c.id * 10',
		'outer join under GROUP BY' => 'SELECT c.id, count(o.id) AS n, sum(o.total) AS total FROM customers c LEFT JOIN orders o ON o.customer = c.id GROUP BY c.id',
		'nested outer joins' => 'SELECT r.region, c.id, o.total FROM regions r LEFT JOIN (customers c JOIN orders o ON o.customer = c.id) ON c.region = r.region',
		'function in FROM, LATERAL' => 'SELECT c.id, g FROM customers c, generate_series(1, c.id % 4) g',
		'VALUES in FROM' => "SELECT o.id, v.label FROM orders o JOIN (VALUES (1, 'one'), (2, 'two')) v(id, label) ON v.id = o.customer",
		'LATERAL subquery, plain' => 'SELECT c.id, x.total FROM customers c, LATERAL (SELECT o.total FROM orders o WHERE o.customer = c.id AND o.total > c.id) x',
		'LATERAL subquery with LIMIT' => 'SELECT c.id, x.total FROM customers c, LATERAL (SELECT o.total FROM orders o WHERE o.customer = c.id ORDER BY o.total DESC, o.id LIMIT 2) x',
	],
	'Subqueries' => [
		'EXISTS' => 'SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND o.total > 30)',
		'NOT EXISTS, nested' => 'SELECT id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND NOT EXISTS (SELECT FROM items i WHERE i.order_id = o.id))',
		'IN, = ANY' => 'SELECT id FROM orders WHERE customer IN (SELECT id FROM customers WHERE region = 1)',
		'NOT IN, with its NULL rule' => 'SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM orders WHERE total > 30)',
		'> ALL' => 'SELECT id FROM orders WHERE total >= ALL (SELECT total FROM orders WHERE customer = 3)',
		'scalar subquery, correlated aggregate' => 'SELECT c.id, (SELECT sum(total) FROM orders o WHERE o.customer = c.id) AS total FROM customers c',
		'scalar subquery, lookup by key' => 'SELECT o.id, (SELECT name FROM customers c WHERE c.id = o.customer) AS name FROM orders o',
		'scalar subquery, uncorrelated' => 'SELECT id FROM orders WHERE total > (SELECT avg(total) FROM orders)',
		'scalar subquery, ORDER BY LIMIT 1' => 'SELECT c.id, (SELECT o.id FROM orders o WHERE o.customer = c.id ORDER BY o.total DESC, o.id LIMIT 1) AS best FROM customers c',
		'the same, uncorrelated' => 'SELECT c.id FROM customers c WHERE c.id = (SELECT o.customer FROM orders o ORDER BY o.total DESC, o.id LIMIT 1)',
		'ARRAY subquery' => 'SELECT c.id, ARRAY(SELECT o.id FROM orders o WHERE o.customer = c.id ORDER BY o.id) AS ids FROM customers c',
		'EXISTS and IN as values' => 'SELECT c.id, EXISTS (SELECT FROM orders o WHERE o.customer = c.id) AS has, c.region IN (SELECT region FROM regions) AS known FROM customers c',
		'connected by more than equalities' => 'SELECT c.id, (SELECT count(*) FROM orders o WHERE o.total > c.id) AS n FROM customers c',
		'subquery in FROM' => 'SELECT q.big, count(*) AS n FROM (SELECT customer, sum(total) > 60 AS big FROM orders GROUP BY customer) q GROUP BY q.big',
		'WITH, used several times' => 'WITH t AS (SELECT customer, sum(total) AS total FROM orders GROUP BY customer) SELECT a.customer, b.customer AS less FROM t a JOIN t b ON b.total < a.total',
		'WITH RECURSIVE ... UNION' => 'WITH RECURSIVE r(id, root) AS (SELECT id, id FROM customers UNION SELECT c.id, r.root FROM customers c JOIN r ON c.referrer = r.id) SELECT id, root FROM r',
		'WITH RECURSIVE ... UNION ALL' => 'WITH RECURSIVE r(id, depth, path) AS (SELECT id, 1, name FROM customers WHERE referrer IS NULL UNION ALL SELECT c.id, r.depth + 1, r.path || c.name FROM r JOIN customers c ON c.referrer = r.id WHERE EXISTS (SELECT FROM regions g WHERE g.region = c.region)) SELECT id, depth, path FROM r',
		'WITH RECURSIVE over other queries' => 'WITH RECURSIVE big AS (SELECT customer FROM orders GROUP BY customer HAVING count(*) > 3), r(id) AS (SELECT customer FROM big UNION SELECT c.id FROM r JOIN customers c ON c.referrer = r.id) SELECT id FROM r',
		'WITH RECURSIVE ... CYCLE, SEARCH' => 'WITH RECURSIVE r(id, root) AS (SELECT id, id FROM customers UNION ALL SELECT c.id, r.root FROM customers c JOIN r ON c.referrer = r.id) CYCLE id SET again USING seen SELECT id, root, again FROM r',
	],
	'Groups' => [
		'count, sum, avg, bool_and, bool_or; FILTER; HAVING' => 'SELECT customer, count(*) AS n, sum(total) AS s, avg(total) AS a, bool_or(total > 30) AS some, count(*) FILTER (WHERE total > 20) AS large FROM orders GROUP BY customer HAVING count(*) > 1',
		'min, max' => 'SELECT customer, min(total) AS lo, max(total) AS hi FROM orders GROUP BY customer',
		'without GROUP BY' => 'SELECT count(*) AS n, max(total) AS hi FROM orders',
		'sum of floats, variance, other aggregates' => 'SELECT customer, stddev(total) AS d, sum(total::float8) AS f FROM orders GROUP BY customer',
		'DISTINCT in aggregates' => 'SELECT customer, count(DISTINCT total) AS n FROM orders GROUP BY customer',
		'ORDER BY in aggregates' => 'SELECT customer, array_agg(id ORDER BY id) AS ids FROM orders GROUP BY customer',
		'ordered-set, hypothetical-set' => 'SELECT customer, percentile_disc(0.5) WITHIN GROUP (ORDER BY total) AS p, rank(20) WITHIN GROUP (ORDER BY total) AS r FROM orders GROUP BY customer',
		'GROUPING SETS, ROLLUP, CUBE, GROUPING()' => 'SELECT customer, total > 20 AS large, count(*) AS n, GROUPING(customer) AS g FROM orders GROUP BY CUBE (customer, total > 20)',
		'DISTINCT' => 'SELECT DISTINCT customer, total > 20 AS large FROM orders',
		'HAVING with a subquery' => 'SELECT customer FROM orders GROUP BY customer HAVING sum(total) > (SELECT avg(total) FROM orders)',
	],
	'Sets' => [
		'UNION ALL' => 'SELECT customer FROM orders UNION ALL SELECT id FROM customers',
		'UNION' => 'SELECT customer FROM orders UNION SELECT referrer FROM customers',
		'INTERSECT' => 'SELECT customer FROM orders INTERSECT SELECT id FROM customers WHERE region = 1',
		'INTERSECT ALL' => 'SELECT customer FROM orders INTERSECT ALL SELECT referrer FROM customers',
		'EXCEPT' => 'SELECT id FROM customers EXCEPT SELECT customer FROM orders',
		'EXCEPT ALL' => 'SELECT customer FROM orders EXCEPT ALL SELECT id FROM customers',
	],
	'Order' => [
		'window functions, PARTITION BY' => 'SELECT id, customer, rank() OVER (PARTITION BY customer ORDER BY total, id) AS r, sum(total) OVER (PARTITION BY customer) AS s FROM orders',
		'several windows with something in common' => 'SELECT id, count(*) OVER (PARTITION BY customer) AS a, count(*) OVER (PARTITION BY customer, total > 20) AS b FROM orders',
		'windows over groups' => 'SELECT customer, total > 20 AS large, count(*) AS n, rank() OVER (PARTITION BY customer ORDER BY count(*), total > 20) AS r FROM orders GROUP BY customer, total > 20',
		'windows without PARTITION BY' => 'SELECT id, row_number() OVER (ORDER BY total, id) AS nr FROM orders',
		'DISTINCT ON' => 'SELECT DISTINCT ON (customer) customer, id, total FROM orders ORDER BY customer, total DESC, id',
		'ORDER BY ... LIMIT, OFFSET, WITH TIES' => 'SELECT id, total FROM orders ORDER BY total DESC, id FETCH FIRST 5 ROWS WITH TIES',
		'LIMIT over groups' => 'SELECT customer, sum(total) AS s FROM orders GROUP BY customer ORDER BY s DESC, customer LIMIT 3',
		'LIMIT over joins, conditions, expressions' => 'SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer WHERE o.total > 5 ORDER BY o.total + c.id DESC, o.id LIMIT 4 OFFSET 1',
		'LIMIT in a subquery' => 'SELECT q.customer, count(*) AS n FROM (SELECT id, customer FROM orders ORDER BY total DESC, id LIMIT 20) q GROUP BY q.customer',
		'OFFSET without LIMIT' => 'SELECT id, total FROM orders ORDER BY total DESC, id OFFSET 50',
	],
	'Rows, types and sources' => [
		'any immutable expression' => "SELECT id, CASE WHEN total > 20 THEN 'large' ELSE 'small' END AS size, array_length(tags, 1) AS tags FROM orders",
		'set-returning functions in the output' => 'SELECT id, unnest(tags) AS tag FROM orders',
		'ROW, composite types, arrays, jsonb, ranges' => "SELECT id, ROW(id, customer)::pair AS p, tags[1] AS tag, jsonb_build_object('id', id) AS j, int4range(0, id) AS r FROM orders",
		'whole rows' => 'SELECT c.id, c AS row FROM customers c',
		'partitioned tables' => 'SELECT order_id, count(*) AS n FROM items GROUP BY order_id',
		'tables with inheritance children' => 'SELECT kind, count(*) AS n FROM visits GROUP BY kind',
		'ONLY' => 'SELECT id, kind FROM ONLY visits WHERE id > 2',
		'ordinary views' => 'SELECT id, name FROM northern WHERE id > 2',
		'derived views' => 'SELECT n, count(*) AS customers FROM per_customer GROUP BY n',
		'TABLESAMPLE REPEATABLE' => 'SELECT id FROM orders TABLESAMPLE BERNOULLI (60) REPEATABLE (7)',
		'materialized views, foreign tables' => 'SELECT o.id, m.n FROM orders o JOIN counted m ON m.customer = o.customer',
	],
);

my @refused = (
	'volatile functions' => 'SELECT id, random() AS r FROM orders',
	'now() and its relatives' => 'SELECT id FROM orders WHERE now() > timestamptz \'2020-01-01\'',
	'stable functions' => "SELECT id, to_char(total, '999') AS t FROM orders",
	'order-sensitive aggregates without ORDER BY' => 'SELECT customer, array_agg(id) AS ids FROM orders GROUP BY customer',
	'LIMIT without ORDER BY' => 'SELECT id FROM orders LIMIT 3',
	'FOR UPDATE' => 'SELECT id FROM orders FOR UPDATE',
	'TABLESAMPLE without REPEATABLE' => 'SELECT id FROM orders TABLESAMPLE BERNOULLI (10)',
	'system columns' => 'SELECT id FROM orders WHERE ctid IS NOT NULL',
	'system catalogs' => 'SELECT oid, relname FROM pg_class',
	'unlogged and temporary tables' => 'SELECT id FROM scratch',
	'data-modifying WITH' => 'WITH d AS (DELETE FROM orders RETURNING id) SELECT id FROM d',
);

my $node = derive_node('matrix');
$node->safe_psql('postgres', <<'SQL');
CREATE TYPE pair AS (a int, b int);
CREATE TABLE regions (region int PRIMARY KEY, label text);
CREATE TABLE customers (id int PRIMARY KEY, name text, region int, referrer int);
CREATE TABLE orders (id int PRIMARY KEY, customer int, total numeric(8,2), tags text[]);
CREATE TABLE items (order_id int, part int, qty int) PARTITION BY HASH (order_id);
CREATE TABLE items_0 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE items_1 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNLOGGED TABLE scratch (id int);
CREATE TABLE visits (id int PRIMARY KEY, kind int);
CREATE TABLE late_visits (by text) INHERITS (visits);
INSERT INTO visits SELECT i, i % 3 FROM generate_series(1, 20) i;
INSERT INTO late_visits SELECT i, i % 3 FROM generate_series(10, 30) i;
CREATE VIEW northern AS SELECT id, name FROM customers WHERE region = 1;
INSERT INTO regions SELECT i, 'region ' || i FROM generate_series(1, 4) i;
INSERT INTO customers SELECT i, 'customer ' || i, nullif(i % 5, 4), nullif(i / 2, 0) FROM generate_series(1, 12) i;
INSERT INTO orders SELECT i, nullif(i % 11, 10), i % 17 * 3.25, ARRAY['t' || i % 3, 'u'] FROM generate_series(1, 60) i;
INSERT INTO items SELECT i % 40, i, i % 7 FROM generate_series(1, 90) i;
CREATE MATERIALIZED VIEW counted AS SELECT customer, count(*) AS n FROM orders GROUP BY customer;
SELECT derive.create_view('per_customer', 'SELECT customer, count(*) AS n FROM orders GROUP BY customer');
SQL

# One view per construct.
my (@views, $number);
while (my ($chapter, $list) = splice @chapters, 0, 2)
{
	push @views, { chapter => $chapter };
	for (my $i = 0; $i < @$list; $i += 2)
	{
		my $view = sprintf 'm%02d', ++$number;
		push @views, { view => $view, construct => $list->[$i], query => $list->[ $i + 1 ] };
		$node->safe_psql('postgres', "SET client_min_messages = error;
			SELECT derive.create_view('$view', \$q\$$list->[$i + 1]\$q\$)");
	}
}
wait_live($node);

my @changes = (
	'UPDATE orders SET total = total + 1 WHERE id % 7 = 0',
	'INSERT INTO orders VALUES (100, 3, 99, NULL), (101, NULL, 1, ARRAY[\'z\']), (102, 77, 5, NULL)',
	'INSERT INTO customers VALUES (50, \'new\', 1, 3), (51, \'new\', 2, 50); INSERT INTO orders SELECT i, 51, i, NULL FROM generate_series(110, 115) i',
	'DELETE FROM orders WHERE customer = 5',
	'BEGIN; UPDATE customers SET region = coalesce(region, 0) + 1, referrer = 1 WHERE id % 3 = 0; UPDATE orders SET customer = customer + 1 WHERE id % 4 = 0; DELETE FROM items WHERE part % 5 = 0; COMMIT',
	'DELETE FROM customers WHERE id IN (2, 7); INSERT INTO customers VALUES (2, \'again\', 1, NULL)',
	'UPDATE visits SET kind = kind + 1 WHERE id % 4 = 0; DELETE FROM ONLY visits WHERE id < 6; INSERT INTO late_visits VALUES (1, 1)',
	'INSERT INTO regions VALUES (9, NULL); DELETE FROM regions WHERE region = 2',
);
check_all($node, 'first build');
for my $i (0 .. $#changes)
{
	$node->safe_psql('postgres', $changes[$i]);
	wait_fresh($node);
	check_all($node, "after change $i") if $i % 3 == 2 || $i == $#changes;
}

is($node->safe_psql('postgres', 'SELECT view, stage FROM derive.stages WHERE repairs > 0'),
	'', 'every delta fitted');
is($node->safe_psql('postgres', q{SELECT view, stage, recomputes FROM derive.stages
		WHERE rule NOT IN ('recompute', 'recursion') AND recomputes > chosen + 1}),
	'', 'only stages whose rule is recompute, or recursion when rows left, were computed anew');
# A comparison with ALL rows of another query is estimated to cost more by delta, at this size.
my ($compared) = grep { ($_->{construct} // '') eq '> ALL' } @views;
is($node->safe_psql('postgres', qq{SELECT view, stage, ticks, recomputes FROM derive.stages
		WHERE rule <> 'recompute' AND ticks <= recomputes AND view <> '$compared->{view}'::regclass}),
	'', 'and every other stage ran by its rule');

# The document.
my $text = <<'TEXT';
# Queries

Each line is a view that the tests create, change the sources of, and compare with its query; the rules are
those that ran. Written by `test/tap/t/011_matrix.pl`. The rule of a view is the worst among its stages; constructs
nest and combine as in any query, and each stage has its own rule. What the rules cost is in the
[reference](../reference.md#queries-that-are-accepted).
TEXT
for my $v (@views)
{
	if ($v->{chapter})
	{
		$text .= "\n## $v->{chapter}\n\n| construct | rule | stages | example |\n| --- | --- | --- | --- |\n";
		next;
	}
	my ($rule, $stages) = split /\|/, $node->safe_psql('postgres',
		"SELECT v.rule, count(*) FROM derive.views v JOIN derive.stages s USING (view)
		 WHERE v.view = '$v->{view}'::regclass GROUP BY 1");
	my $example = $v->{query} =~ s/\|/\\|/gr;
	$text .= "| $v->{construct} | $rule | $stages | `$example` |\n";
}
$text .= "\n## Refused\n\n| construct | message |\n| --- | --- |\n";
for (my $i = 0; $i < @refused; $i += 2)
{
	my ($ret, $out, $err) = $node->psql('postgres', "SELECT derive.create_view('refused', \$q\$$refused[$i + 1]\$q\$)");
	isnt($ret, 0, "refused: $refused[$i]");
	my ($message) = $err =~ /ERROR:\s+(.*)/;
	$text .= "| $refused[$i] | $message |\n";
}
my $written = -e $document ? slurp_file($document) : '';
my $made = "$ENV{TESTDIR}/queries.md";
append_to_file($made, $text);
ok($written eq $text, "docs/reference/queries.md is what the run says, which is in $made");

done_testing();
