# What is missing is named: a setting, a slot, a worker, the transaction that is waited for.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

# Polls the pipeline's reason until it matches.
sub reason_like
{
	my ($node, $pattern, $name, $db) = @_;
	my $reason = '';
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	poll_until(sub { $reason = pipeline($node, 'reason', $db); $reason =~ $pattern });
	return like($reason, $pattern, $name);
}

# A table, a view over it, and the proof that it is maintained.
sub pipeline_works
{
	my ($node, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$db //= 'postgres';
	$node->safe_psql($db, q{CREATE TABLE t (a int);
		SELECT derive.create_view('v', 'SELECT a FROM t');
		INSERT INTO t VALUES (1);});
	wait_live($node, $db);
	wait_fresh($node, $db);
	return is($node->safe_psql($db, 'TABLE v'), '1', $name);
}

my $node = derive_init('setup');

# Not preloaded.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
my $error = sql_error($node, 'CREATE EXTENSION pg_derive');
like($error, qr/ERROR/, 'CREATE EXTENSION is refused without the library being preloaded');
like($error, qr/HINT:.*shared_preload_libraries = 'pg_derive'/, 'and names the line to add');

# The level of the WAL.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'\nwal_level = replica");
$node->restart;
$error = sql_error($node, 'CREATE EXTENSION pg_derive');
like($error, qr/ERROR/, 'CREATE EXTENSION is refused at wal_level = replica');
like($error, qr/HINT:.*wal_level = logical/, 'and names the line to add');
$node->append_conf('postgresql.conf', 'wal_level = logical');

# No slots at all, then none free.
$node->append_conf('postgresql.conf', 'max_replication_slots = 0');
$node->restart;
like(sql_error($node, 'CREATE EXTENSION pg_derive'), qr/max_replication_slots/,
	'max_replication_slots = 0 is named');
$node->append_conf('postgresql.conf', 'max_replication_slots = 1');
$node->restart;
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('taken')");
$error = sql_error($node, 'CREATE EXTENSION pg_derive');
if ($error ne '')
{
	like($error, qr/max_replication_slots/, 'no free slot is named');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('taken')");
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
}
else
{
	reason_like($node, qr/max_replication_slots/, 'no free slot is named');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('taken')");
}
pipeline_works($node, 'a slot that became free is taken');
$node->safe_psql('postgres', 'DROP EXTENSION pg_derive CASCADE');
$node->append_conf('postgresql.conf', 'max_replication_slots = 10');

# No free background worker: the launcher has the only one.
$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 0");
$node->restart;
$error = sql_error($node, 'CREATE EXTENSION pg_derive');
if ($error ne '')
{
	like($error, qr/max_worker_processes/, 'no free worker is named');
}
else
{
	reason_like($node, qr/max_worker_processes/, 'no free worker is named');
	isnt(pipeline($node, 'state'), 'running', 'and the pipeline does not pretend to run');
}
$node->append_conf('postgresql.conf', "max_worker_processes = 24\nmax_logical_replication_workers = 4");
$node->restart;
$node->safe_psql('postgres', 'DROP TABLE t; CREATE EXTENSION IF NOT EXISTS pg_derive');
pipeline_works($node, 'workers are found after the setting was raised');

# More databases than pg_derive.database_workers.
$node->append_conf('postgresql.conf', 'pg_derive.database_workers = 1');
$node->restart;
ok(poll_until(sub { pipeline($node, 'state') eq 'running' }), 'the first database runs');
$node->safe_psql('postgres', 'CREATE DATABASE second');
$error = sql_error($node, 'CREATE EXTENSION pg_derive', 'second');
if ($error ne '')
{
	like($error, qr/pg_derive\.database_workers/, 'one database too many: the setting is named');
}
else
{
	reason_like($node, qr/pg_derive\.database_workers/,
		'one database too many: the setting is named', 'second');
}
$node->append_conf('postgresql.conf', 'pg_derive.database_workers = 2');
$node->restart;
$node->safe_psql('second', 'CREATE EXTENSION IF NOT EXISTS pg_derive');
pipeline_works($node, 'raised, it works', 'second');
$node->safe_psql('second', 'DROP EXTENSION pg_derive CASCADE; DROP TABLE t');
ok(poll_until(sub { leftovers($node, 'second') eq '' }), 'dropped without a trace');

# Creating a slot waits for every open transaction: say for which.
my $session = $node->background_psql('second');
my $xid = $session->query_safe('BEGIN; CREATE TABLE open_one (a int); SELECT pg_current_xact_id()');
$node->safe_psql('second', 'CREATE EXTENSION pg_derive');
reason_like($node, qr/transaction $xid\b/, 'the open transaction is named', 'second');
isnt(pipeline($node, 'state', 'second'), 'running', 'no false promise meanwhile');
$session->query_safe('COMMIT');
$session->quit;
pipeline_works($node, 'it goes on once that transaction has ended', 'second');
is(pipeline($node, 'reason', 'second'), '', 'and the reason is gone');
$node->safe_psql('second', 'DROP EXTENSION pg_derive CASCADE; DROP TABLE t');
ok(poll_until(sub { leftovers($node, 'second') eq '' }), 'dropped without a trace');

$xid = $node->safe_psql('second',
	q{BEGIN; INSERT INTO open_one VALUES (1); SELECT pg_current_xact_id(); PREPARE TRANSACTION 'forgotten'});
$node->safe_psql('second', 'CREATE EXTENSION pg_derive');
reason_like($node, qr/transaction $xid\b/, 'the forgotten prepared transaction is named', 'second');
$node->safe_psql('second', q{COMMIT PREPARED 'forgotten'});
pipeline_works($node, 'it goes on once that one has ended', 'second');

# An error in a view's query quarantines it and what stands on it, nothing else.
$node->safe_psql('second', q{
	CREATE TABLE d (id int PRIMARY KEY, x int);
	INSERT INTO d VALUES (1, 1), (2, 2);
	SELECT derive.create_view('fragile', 'SELECT id, 10 / x AS q FROM d');
	SELECT derive.create_view('above', 'SELECT count(*) AS n FROM fragile');
	SELECT derive.create_view('sturdy', 'SELECT id, x FROM d');});
wait_live($node, 'second');
$node->safe_psql('second', 'INSERT INTO d VALUES (3, 0)');
ok(poll_until(sub {
		$node->safe_psql('second',
			q{SELECT state || ': ' || reason FROM derive.views WHERE view = 'fragile'::regclass})
		  eq 'failed: division by zero';
	}), 'a division by zero fails the view, with the message');
ok(poll_until(sub {
		$node->safe_psql('second', q{SELECT state IN ('failed', 'stale') AND reason ~ 'fragile|division'
			FROM derive.views WHERE view = 'above'::regclass}) eq 't';
	}), 'the view above it is not live either and says why');
$node->safe_psql('second', q{SELECT derive.wait(timeout => '30 s', view => 'sturdy')});
is($node->safe_psql('second', 'SELECT count(*) FROM sturdy'), '3', 'the others go on');
is($node->safe_psql('second', q{SELECT state FROM derive.views WHERE view = 'sturdy'::regclass}),
	'live', 'and are live');
$node->safe_psql('second', q{UPDATE d SET x = 5 WHERE id = 3; SELECT derive.refresh('fragile')});
wait_live($node, 'second');
check_all($node, 'mended', 'second');

done_testing();
