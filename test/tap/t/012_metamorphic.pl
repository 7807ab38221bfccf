# Metamorphic checks: changes that must come to the same, whatever that is.
#
#  1. One batch or a hundred: the same statements, each in a tick of its own, as one transaction, and as many
#     transactions that one tick takes together (so that they are netted).
#  2. An UPDATE, and a DELETE with an INSERT of the changed rows.
#  3. A change of columns that no view reads changes nothing and costs nothing downstream; a change that ends
#     at the first stage costs the stages above it nothing.
#
# The tables and views are there several times, in schemas of their own; every view must also equal its query,
# and all of it must be done by deltas.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $node = derive_node('metamorphic');

my %views = (
	rows => 'SELECT id, grp, n * 2 AS twice FROM t WHERE n > 3 OR n IS NULL',
	bag => 'SELECT a, b FROM b',
	joined => 'SELECT t.id, b.b, u.label FROM t JOIN b ON b.a = t.grp JOIN u ON u.id = t.n',
	kept => 'SELECT u.id, u.label, t.n FROM u LEFT JOIN t ON t.grp = u.id AND t.n > 5',
	full_join => 'SELECT u.label, b.b FROM u FULL JOIN b ON b.a = u.id',
	present => 'SELECT id FROM u WHERE EXISTS (SELECT FROM b WHERE b.a = u.id)',
	absent => 'SELECT id FROM u WHERE id NOT IN (SELECT a FROM b WHERE b > 2)',
	sums => 'SELECT grp, count(*) AS c, sum(n) AS s, min(n) AS lo, max(n) AS hi, avg(n) AS a FROM t GROUP BY grp',
	total => 'SELECT count(*) AS c, sum(n) AS s FROM t',
	listed => 'SELECT a, array_agg(b ORDER BY b) AS bs, count(DISTINCT b) AS d FROM b GROUP BY a',
	different => 'SELECT DISTINCT a, b IS NULL AS empty FROM b',
	first => 'SELECT DISTINCT ON (grp) grp, id, n FROM t ORDER BY grp, n DESC, id',
	ranked => 'SELECT id, grp, rank() OVER (PARTITION BY grp ORDER BY n, id) AS r FROM t',
	either => 'SELECT grp AS x FROM t UNION SELECT a FROM b',
	less => 'SELECT grp AS x FROM t EXCEPT ALL SELECT a FROM b',
	cubed => 'SELECT grp, n > 5 AS large, count(*) AS c FROM t GROUP BY ROLLUP (grp, n > 5)',
	scalar => 'SELECT u.id, (SELECT sum(n) FROM t WHERE t.grp = u.id) AS s FROM u',
	sizes => 'SELECT c, count(*) AS groups FROM sums GROUP BY c',
);
my @names = sort grep { $_ ne 'sizes' } keys %views;
push @names, 'sizes';

# Makes tables and views in a schema; every run of this makes the same rows.
sub make_schema
{
	my ($schema) = @_;
	my $sql = qq{
		CREATE SCHEMA $schema;
		SET search_path = $schema;
		CREATE TABLE t (id int PRIMARY KEY, grp int, n int, note text);
		CREATE TABLE b (a int, b int, note text);
		CREATE TABLE u (id int PRIMARY KEY, label text, note text);
		CREATE TABLE gate (id int);
		CREATE INDEX ON t (grp);
		CREATE INDEX ON t (n);
		CREATE INDEX ON b (a);
		INSERT INTO t SELECT i, nullif(i % 8, 7), nullif(i % 13, 12) FROM generate_series(1, 200) i;
		INSERT INTO b SELECT nullif(i % 10, 9), nullif(i % 4, 3) FROM generate_series(1, 120) i;
		INSERT INTO u SELECT i, 'label ' || i % 4 FROM generate_series(0, 12) i;
		SET client_min_messages = error;
	};
	$sql .= "SELECT derive.create_view('$_', \$q\$$views{$_}\$q\$);\n" foreach @names;
	# Ties all views together and to a table that can be locked without stopping a writer.
	$sql .= "SELECT derive.create_view('tie', 'SELECT g.id FROM gate g JOIN sums s ON s.c = g.id JOIN total x ON x.c = g.id');\n";
	$node->safe_psql('postgres', $sql);
	return;
}

# Runs statements in a schema, one transaction each.
sub run_in
{
	my ($schema, @statements) = @_;

	$node->safe_psql('postgres', join "\n", "SET search_path = $schema;", map { "$_;" } @statements);
	return;
}

# The rows of a view as text, in order.
sub content
{
	my ($schema, $view) = @_;

	return $node->safe_psql('postgres', "SELECT x::text FROM $schema.$view x ORDER BY 1");
}

# Tests that the views of some schemas have the same rows as those of the first one.
sub same_content
{
	my ($name, $first, @others) = @_;

	wait_fresh($node);
	foreach my $view (@names)
	{
		my $expected = content($first, $view);
		is(content($_, $view), $expected, "$name: $view in $_") foreach @others;
	}
	return;
}

sub null_or { my ($value) = @_; return rand() < 0.15 ? 'NULL' : $value }

# A random statement; what it does depends on the rows alone.
sub statement
{
	my $id = 1 + int rand 240;
	my $grp = null_or(int rand 9);
	my $n = null_or(int rand 13);
	my @kinds = (
		"INSERT INTO t VALUES ($id, $grp, $n) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
		"UPDATE t SET grp = $grp WHERE id = $id",
		"UPDATE t SET n = n + 1 WHERE grp IS NOT DISTINCT FROM $grp",
		"UPDATE t SET n = $n, note = 'x' WHERE id % 9 = " . int(rand 9),
		"DELETE FROM t WHERE id = $id",
		"DELETE FROM t WHERE grp = " . int(rand 9) . " AND n IS NOT DISTINCT FROM $n",
		"INSERT INTO b SELECT $grp, $n FROM generate_series(1, " . (1 + int rand 3) . ')',
		"UPDATE b SET b = $n WHERE a IS NOT DISTINCT FROM $grp",
		"DELETE FROM b WHERE a IS NOT DISTINCT FROM $grp AND b IS NOT DISTINCT FROM $n",
		"INSERT INTO u VALUES (" . int(rand 14) . ", 'label') ON CONFLICT (id) DO UPDATE SET label = u.label || '.'",
		"DELETE FROM u WHERE id = " . int(rand 14));

	return $kinds[ rand @kinds ];
}

make_schema($_) foreach qw(each one many);
wait_live($node);
check_all($node, 'first build');

# 1. One batch or a hundred.
srand($seed);
my @statements = map { statement() } 1 .. 100;

run_in('each', map { ($_, 'SELECT derive.wait()') } @statements);
run_in('one', 'BEGIN', @statements, 'COMMIT');
same_content("one transaction or a hundred ticks (seed $seed)", 'each', 'one');

# With the tied views' locks taken, all transactions wait for the one tick that follows.
sub in_one_tick
{
	my ($schema, @transactions) = @_;
	my $ticks = "SELECT ticks FROM derive.stages WHERE stage = '$schema.total'::regclass";
	my $session = $node->background_psql('postgres');
	my $before;

	$session->query_safe("BEGIN; LOCK TABLE $schema.gate IN ACCESS EXCLUSIVE MODE");
	$before = $node->safe_psql('postgres', $ticks);
	run_in($schema, @transactions);
	$session->query_safe('COMMIT');
	$session->quit;
	wait_fresh($node);
	is($node->safe_psql('postgres', $ticks), $before + 1, 'many transactions were taken in one tick');
	return;
}

in_one_tick('many', @statements);
same_content("a hundred transactions in one tick (seed $seed)", 'each', 'many');

# What comes and goes, comes twice and goes once, in one tick that is large enough to be netted.
my @back_and_forth = (
	"INSERT INTO t SELECT i, i % 8, i % 13 FROM generate_series(1000, 1399) i",
	"INSERT INTO b SELECT i % 10, i % 3 FROM generate_series(1, 400) i",
	"INSERT INTO b SELECT i % 10, i % 3 FROM generate_series(1, 400) i",
	"DELETE FROM t WHERE id BETWEEN 1100 AND 1299",
	"DELETE FROM b WHERE ctid IN (SELECT min(ctid) FROM b GROUP BY a, b)",
	"UPDATE t SET n = n + 1 WHERE id > 1300",
	"UPDATE t SET n = n - 1 WHERE id > 1350");
run_in('each', map { ($_, 'SELECT derive.wait()') } @back_and_forth);
in_one_tick('many', @back_and_forth);
run_in('one', 'BEGIN', @back_and_forth, 'COMMIT');
same_content('what comes and goes', 'each', 'one', 'many');
check_all($node, 'batches');

# 2. An UPDATE equals DELETE and INSERT.
my @updates = (
	[ 't', 'n = n + 1', 'id % 5 = 1', 'id, grp, n + 1, note' ],
	[ 't', 'grp = n, n = grp', 'id < 60', 'id, n, grp, note' ],
	[ 't', 'id = id + 5000', 'id % 11 = 0', 'id + 5000, grp, n, note' ],
	[ 't', 'n = n', 'grp = 3', 'id, grp, n, note' ],
	[ 't', 'grp = NULL', 'n = 4', 'id, NULL, n, note' ],
	[ 'b', 'a = b, b = a', 'a > 4', 'b, a, note' ],
	[ 'b', 'b = 1', 'a IS NULL OR b IS NULL', 'a, 1, note' ],
	[ 'u', "label = label || '!'", 'id % 2 = 0', "id, label || '!', note" ],
);
foreach my $update (@updates)
{
	my ($table, $set, $where, $values) = @$update;

	run_in('each', "UPDATE $table SET $set WHERE $where");
	run_in('one', "WITH gone AS (DELETE FROM $table WHERE $where RETURNING *) INSERT INTO $table SELECT $values FROM gone");
	run_in('many', 'BEGIN', "CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT * FROM $table WHERE $where",
		"DELETE FROM $table WHERE $where", "INSERT INTO $table SELECT $values FROM gone", 'COMMIT');
	same_content("UPDATE $table SET $set", 'each', 'one', 'many');
}
check_all($node, 'updates');

# 3. What nobody reads.

# Counters of all stages; what they count must be in the views.
sub counters
{
	my ($where) = @_;

	wait_fresh($node);
	return $node->safe_psql('postgres',
		"SELECT stage, ticks, rows_changed, recomputes FROM derive.stages WHERE $where ORDER BY 1");
}

my $before = counters('true');
my $changes = pipeline($node, 'changes');
run_in($_, "UPDATE t SET note = note || 'y'", "UPDATE t SET note = 'z'", "UPDATE b SET note = 'z'",
	"UPDATE u SET note = 'z', label = label", 'UPDATE t SET n = n, grp = grp, id = id') foreach qw(each one many);
is(counters('true'), $before, 'columns that no view reads: no stage ran');
is(pipeline($node, 'changes'), $changes, 'and no change was sent to the applier');

# The first stage takes it and gives nothing on.
run_in('each', 'CREATE TABLE w (k int PRIMARY KEY, v int)', 'INSERT INTO w SELECT i, i FROM generate_series(1, 20) i',
	"SELECT derive.create_view('parity', 'SELECT k % 4 AS g, max(v) > 0 AS any FROM w GROUP BY k % 4')",
	"SELECT derive.create_view('parities', 'SELECT \"any\", count(*) AS c FROM parity GROUP BY \"any\"')");
wait_live($node);
$before = counters(q{stage = 'each.parities'::regclass});
my $parity = counters(q{stage = 'each.parity'::regclass});
run_in('each', 'UPDATE w SET v = v + 1', 'DELETE FROM w WHERE k = 1', 'INSERT INTO w VALUES (21, 5)');
isnt(counters(q{stage = 'each.parity'::regclass}), $parity, 'a stage ran');
is(counters(q{stage = 'each.parities'::regclass}), $before, 'its result did not change: nothing above it ran');
run_in('each', 'UPDATE w SET v = -1 WHERE k % 4 = 2');
isnt(counters(q{stage = 'each.parities'::regclass}), $before, 'it changed: what is above ran');

# All of it by the rules that derive.views names.
is($node->safe_psql('postgres', q{SELECT stage, repairs, recomputes, chosen FROM derive.stages
		WHERE repairs > 0 OR recomputes > chosen + 1 OR ticks < 2 * chosen + 2}), '', 'by deltas, unless a recompute was cheaper');
is($node->safe_psql('postgres', q{SELECT DISTINCT rule FROM derive.stages WHERE rule = 'recompute'}), '',
	'no stage of these views is recomputed');
check_all($node, 'at the end');

done_testing();
