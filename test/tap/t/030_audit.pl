# Audits: while clients write at random no audit cries for nothing; a row that is changed, removed
# or added behind a view's back is found, shown with what is right, and mended, in views of every
# rule, in hidden stages and in an aggregate's state.
#
# DERIVE_SEED, DERIVE_SECONDS (15) and DERIVE_CLIENTS (4) as in 002_oracle.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $node = derive_node("audit", "pg_derive.audit_rate = 100000\nlog_min_messages = debug1\n");

create_schema($node);
create_views($node);
check_all($node, 'first build');

# ---------------------------------------------------------------- no false alarms

my $load = start_load($node, seed => $seed, seconds => $ENV{DERIVE_SECONDS} // 15,
	clients => $ENV{DERIVE_CLIENTS} // 4);
while (load_is_running($load))
{
	verify_midflight($node, max => 1);
}
finish_load($node, $load);
wait_live($node);
wait_fresh($node);

sub audits
{
	return $node->safe_psql('postgres',
		'SELECT view, stage, kind, expected, actual, repaired FROM derive.audits');
}

is(audits(), '', "no audit finds a difference under load (seed $seed)");

check_all($node, 'after the load');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM derive.stages WHERE audits > 0'), '>', 20,
	'of many views');

# ---------------------------------------------------------------- what is wrong is found

$node->safe_psql('postgres', q{DROP SCHEMA v, o CASCADE;
	CREATE SCHEMA v; SET search_path = v;
	CREATE TABLE fact (id int PRIMARY KEY, g int, h int, n numeric, t text);
	CREATE INDEX ON fact (g);
	CREATE INDEX ON fact (t);
	CREATE TABLE bag (a int, c text);
	CREATE INDEX ON bag (a);
	CREATE INDEX ON bag (c);
	INSERT INTO fact SELECT i, i % 20, i % 3, i, 't' || i FROM generate_series(1, 200) i;
	INSERT INTO bag SELECT i % 50, 'c' || i FROM generate_series(1, 200) i;
	SELECT derive.create_view('fact_rows', 'SELECT id, upper(t) AS t, n FROM fact');
	SELECT derive.create_view('bag_rows', 'SELECT a, c FROM bag');
	SELECT derive.create_view('groups', 'SELECT g, count(*) AS c, sum(n) AS n, max(t) AS hi, avg(n)::float8 AS f FROM fact GROUP BY g');
	SELECT derive.create_view('ranked', 'SELECT id, t, row_number() OVER (PARTITION BY g ORDER BY id) AS r, g FROM fact');});
wait_live($node);

# Runs statements on a view's relation past its guard.
sub tamper
{
	my ($relation, $sql) = @_;

	$node->safe_psql('postgres', qq{
		SET allow_system_table_mods = on;
		BEGIN;
		UPDATE pg_class SET relhastriggers = false WHERE oid = '$relation'::regclass;
		$sql;
		UPDATE pg_class SET relhastriggers = true WHERE oid = '$relation'::regclass;
		COMMIT;});
	return;
}

# Tampers, and waits until an audit of the view has found and mended it.
sub is_mended
{
	my ($view, $relation, $sql, $kind, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $found;
	my $before = $node->safe_psql('postgres',
		"SELECT count(*) FROM derive.audits WHERE view = '$view'::regclass");

	tamper($relation, $sql);
	poll_until(
		sub {
			$node->safe_psql('postgres', "SELECT derive.wait(timeout => '60 s')");
			$found = $node->safe_psql('postgres', qq{
				SELECT string_agg(DISTINCT kind, ',' ORDER BY kind) FROM (
					SELECT kind, repaired FROM derive.audits
					WHERE view = '$view'::regclass ORDER BY at OFFSET $before) a
				HAVING bool_and(repaired)});
			return $found ne '';
		});
	like($found, $kind, "$name: found");
	wait_live($node);
	is($node->safe_psql('postgres', "SELECT count(*) FROM derive.verify('$view')"),
		'0', 'and mended');
	return;
}

# The hidden relation of a view, by the end of its name.
sub hidden
{
	my ($view, $column) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT $column FROM derive_state.view WHERE view = '$view'::regclass
			OR part_of = '$view'::regclass ORDER BY id LIMIT 1});
}

foreach my $size ('small', 'large')
{
	if ($size eq 'large')
	{
		# Too large to be compared as a whole.
		$node->safe_psql('postgres', q{
			INSERT INTO v.fact SELECT i, i / 4, i % 3, i, 't' || i FROM generate_series(1000, 60000) i;
			INSERT INTO v.bag SELECT i / 2, 'c' || i FROM generate_series(1000, 60000) i;
			ANALYZE v.fact; ANALYZE v.bag;});
		wait_fresh($node);
		$node->safe_psql('postgres', 'VACUUM ANALYZE');
	}
	is_mended('v.fact_rows', 'v.fact_rows', "UPDATE v.fact_rows SET t = 'flipped'",
		qr/different/, "$size: rows with a key, changed");
	is_mended('v.fact_rows', 'v.fact_rows', 'DELETE FROM v.fact_rows', qr/missing/,
		"$size: rows with a key, removed");
	is_mended('v.bag_rows', 'v.bag_rows', "UPDATE v.bag_rows SET c = 'flipped'",
		qr/missing|unexpected/, "$size: rows without a key, changed");
	is_mended('v.groups', 'v.groups', 'UPDATE v.groups SET c = c + 1', qr/different/,
		"$size: groups, changed");
	is_mended('v.groups', hidden('v.groups', 'state_table'),
		'UPDATE ' . hidden('v.groups', 'state_table') . ' SET n = n + 1',
		qr/state different/, "$size: the state of groups, changed");
	is_mended('v.groups', hidden('v.groups', 'state_table'),
		'DELETE FROM ' . hidden('v.groups', 'state_table'),
		qr/state missing/, "$size: the state of groups, removed");
	is_mended('v.ranked', 'v.ranked', 'UPDATE v.ranked SET r = r + 1', qr/different/, "$size: windows");
}

# What a wrong view reads is compared as a whole, so that the cause is noted, too: one row of many that
# an audit by key would hardly meet.
$node->safe_psql('postgres', q{SET search_path = v;
	SELECT derive.create_view('thirds', 'SELECT id % 3 AS third, sum(n) AS n FROM fact_rows GROUP BY 1')});
wait_live($node);
is_mended('v.thirds', 'v.fact_rows', 'UPDATE v.fact_rows SET n = n + 1 WHERE id = 30000',
	qr/state different/, 'one wrong row below a view');
is($node->safe_psql('postgres', q{SELECT kind, expected, actual, repaired FROM derive.audits
		WHERE view = 'v.fact_rows'::regclass ORDER BY at DESC LIMIT 1}),
	'different|{"n": 30000, "t": "T30000", "id": 30000}|{"n": 30001, "t": "T30000", "id": 30000}|t',
	'is noted with the view that it is in');

# While clients write, to other rows of the view above, what is right is not noted.
my $noted = q{SELECT count(*) FROM derive.audits WHERE view = 'v.fact_rows'::regclass};
my $notes = $node->safe_psql('postgres', $noted);
my $recomputed = q{SELECT recomputes FROM derive.stages WHERE view = 'v.fact_rows'::regclass};
my $recomputes = $node->safe_psql('postgres', $recomputed);
$node->safe_psql('postgres', 'CREATE TABLE v.enough (now bool)');
my $writer = $node->background_psql('postgres', timeout => 300);
$writer->query_until(qr/started/, q{\echo started
	DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM v.enough) LOOP
		UPDATE v.fact SET n = n + 1 WHERE id = (SELECT 1000 + 3 * (random() * 15000)::int);
		COMMIT;
	END LOOP; END $$;
});
is_mended('v.thirds', 'v.thirds', 'UPDATE v.thirds SET n = n + 1 WHERE third = 2', qr/different/,
	'a view above');
$node->safe_psql('postgres', 'INSERT INTO v.enough VALUES (true)');
$writer->quit;
cmp_ok($node->safe_psql('postgres', $recomputed), '>', $recomputes, 'what it reads was recomputed, too');
is($node->safe_psql('postgres', $noted), $notes, 'but was not different');

# What cannot be compared to the last digit is left alone.
$node->safe_psql('postgres', q{SET search_path = v; SELECT derive.create_view('sums', 'SELECT g, sum(n::float8) AS f FROM fact GROUP BY g')});
wait_live($node);
my $known = audits();
tamper('v.sums', 'UPDATE v.sums SET f = f * (1 + 1e-15)');
poll_until(
	sub {
		wait_fresh($node);
		return $node->safe_psql('postgres',
			q{SELECT audits > 100 FROM derive.stages WHERE view = 'v.sums'::regclass}) eq 't';
	});
is(audits(), $known, 'last digits of floats are left alone');
$node->safe_psql('postgres', q{SELECT derive.refresh('v.sums')});

# One flipped row among the rest: what was right is shown beside what was stored.
$node->safe_psql('postgres', q{
	CREATE TABLE one (id int PRIMARY KEY, v text);
	INSERT INTO one SELECT i, 'v' || i FROM generate_series(1, 100) i;
	SELECT derive.create_view('one_view', 'SELECT id, v FROM one');
	SELECT derive.create_view('ranked',
		'SELECT id, v, row_number() OVER (PARTITION BY v ORDER BY id) AS r FROM one');
	SELECT derive.create_view('total', 'SELECT count(*) AS n, max(v) AS hi FROM one');
	SELECT derive.create_view('twice', 'SELECT n, count(*) AS m FROM (SELECT v, count(*) AS n FROM one GROUP BY v) x GROUP BY n');
	SELECT derive.create_view('top', 'SELECT id, v FROM one ORDER BY id LIMIT 5');});
wait_live($node);
is_mended('one_view', 'one_view', q{UPDATE one_view SET v = 'x' WHERE id = 7}, qr/^different$/,
	'one row of a hundred');
is($node->safe_psql('postgres', q{SELECT expected, actual FROM derive.audits WHERE view = 'one_view'::regclass}),
	'{"v": "v7", "id": 7}|{"v": "x", "id": 7}', 'with what is right and what was stored');
is_mended('ranked', 'ranked', q{UPDATE ranked SET r = 9 WHERE id = 7}, qr/^different$/, 'a window');
is_mended('total', 'total', 'UPDATE total SET n = n + 1', qr/different|missing|unexpected/,
	'the only row of an aggregate');
# Not before: a view that reads another one may be found first, and then both are mended.
$node->safe_psql('postgres', q{
	SELECT derive.create_view('above', 'SELECT v, count(*) AS n FROM one_view GROUP BY v')});
wait_live($node);
is_mended('above', 'above', 'UPDATE above SET n = n + 1', qr/different/, 'a view over a view');
my $stage = $node->safe_psql('postgres', q{SELECT stage FROM derive.stages WHERE view = 'twice'::regclass AND stage <> view LIMIT 1});
# Whether it is the stage that is found or the view that reads it: both are computed anew, and both noted.
is_mended('twice', $stage, "DELETE FROM $stage", qr/missing|unexpected/, 'a hidden stage');
is($node->safe_psql('postgres', qq{SELECT DISTINCT view, kind, expected ->> 'c2', actual, repaired FROM derive.audits
		WHERE stage = '$stage'::regclass}),
	'twice|missing|1||t', 'which is noted by its name');
is_mended('top', 'top', q{UPDATE top SET id = 9 WHERE id = 3}, qr/missing|unexpected/,
	'the first rows by an order');
like(slurp_file($node->logfile), qr/WARNING: .*derived view "one_view" differs from its query/,
	'and the log says so');
unlike(slurp_file($node->logfile), qr/audit of .* failed/, 'no audit met an error');
check_all($node, 'in the end');

# The rows are shown to the owner alone.
$node->safe_psql('postgres', 'CREATE ROLE reader; GRANT SELECT ON one_view TO reader');
is($node->safe_psql('postgres', q{SET ROLE reader;
		SELECT count(expected) + count(actual), count(*) > 0 FROM derive.audits}),
	'0|t', 'another role sees that there were differences, but no row');

# Nothing is audited when the rate is 0.
$node->append_conf('postgresql.conf', 'pg_derive.audit_rate = 0');
$node->reload;
ok(poll_until(
		sub {
			$node->safe_psql('postgres', "SELECT derive.wait(timeout => '60 s')");
			my $now = $node->safe_psql('postgres', 'SELECT sum(audits) FROM derive.stages');
			$node->safe_psql('postgres', "SELECT derive.wait(timeout => '60 s')");
			return $now eq $node->safe_psql('postgres', 'SELECT sum(audits) FROM derive.stages');
		}),
	'audit_rate = 0 turns audits off');

done_testing();
