# What an administrator looks at: the alert queries of docs/operations.md, as they stand there, are silent
# while all is well and each speaks when it should; derive.health names what is wrong and what to do;
# derive.progress shows builds; the log says what happened.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;

# The statements of the first block below a heading of the documentation.
sub documented
{
	my ($heading) = @_;
	my ($block) = slurp_file(dirname(__FILE__) . '/../../../docs/operations.md') =~ /^#+ $heading\n.*?^```sql\n(.*?)^```/ms;

	return grep { /\S/ } split /;.*\n/, $block =~ s/^--.*\n//mgr;
}

my @alerts = documented('Alerts');
cmp_ok(scalar(@alerts), '>=', 8, 'alert queries are documented');

my $node = derive_node('health', "pg_derive.audit_rate = 1000\n");

# The numbers (from 0) of the alerts that speak.
sub alerting
{
	return join ' ', grep { $node->safe_psql('postgres', $alerts[$_]) ne '' } 0 .. $#alerts;
}

# The number of the alert whose text matches.
sub alert
{
	my ($pattern) = @_;
	my @found = grep { $alerts[$_] =~ $pattern } 0 .. $#alerts;

	die "no alert or several: $pattern" if @found != 1;
	return $found[0];
}

# Says that an alert speaks, perhaps among others.
sub speaks
{
	my ($pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $number = alert($pattern);

	return like(alerting(), qr/\b$number\b/, $name);
}

# Names of the checks that are not ok.
sub unwell
{
	return $node->safe_psql('postgres',
		q{SELECT string_agg("check", ',') FROM derive.health() WHERE ok IS NOT TRUE});
}

# Waits until a check is not ok, and looks at its row.
sub check_says
{
	my ($check, $detail, $hint, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $row = '';

	poll_until(
		sub {
			$row = $node->safe_psql('postgres',
				qq{SELECT ok, detail, hint FROM derive.health() WHERE "check" = '$check'});
			return $row =~ /^f\|/;
		});
	like($row, qr/^f\|/, "$name: is not ok");
	like($row, $detail, "$name: detail");
	like($row, $hint, "$name: hint");
	return;
}

$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, g int, n int);
	CREATE INDEX ON t (g);
	INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 1000) i;
	SELECT derive.create_view('rows', 'SELECT id, 100 / n AS q FROM t');
	SELECT derive.create_view('groups', 'SELECT g, sum(n) AS n FROM t GROUP BY g');});
wait_live($node);
wait_fresh($node);
is(unwell(), '', 'all is well');
is(alerting(), '', 'and no alert speaks');
foreach my $look (documented('Watching'))
{
	is(sql_error($node, $look), '', $look);
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM derive.health() WHERE ok AND hint IS NOT NULL'),
	'0', 'there is no hint where nothing is to be done');
is($node->safe_psql('postgres', 'SELECT * FROM derive.progress'), '', 'nothing is being built');
like($node->safe_psql('postgres', q{INSERT INTO t VALUES (2000, 1, 1); SELECT derive.wait();
		SELECT rows_in > 0 AND total_time > '0' FROM derive.stages WHERE stage = 'groups'::regclass}),
	qr/t$/, 'rows in and time are counted');

# A view that fails.
$node->safe_psql('postgres', 'INSERT INTO t VALUES (3000, 1, 0)');
check_says('views', qr/rows is failed: division by zero/, qr/derive\.refresh/, 'a failed view');
speaks(qr/state IN/, 'and an alert speaks');
is($node->safe_psql('postgres', q{SELECT phase FROM derive.progress WHERE view = 'rows'::regclass}),
	'waiting', 'it waits for its repair');
like(slurp_file($node->logfile), qr/derived view "rows" failed: division by zero/, 'the log says so');
$node->safe_psql('postgres', q{DELETE FROM t WHERE id = 3000; SELECT derive.refresh('rows')});
wait_live($node);
is(unwell(), '', 'mended');

# A table that does not log its old rows.
$node->safe_psql('postgres', 'ALTER TABLE t REPLICA IDENTITY DEFAULT');
check_says('replica identity', qr/\bt\b/, qr/REPLICA IDENTITY FULL/, 'replica identity');
$node->safe_psql('postgres', 'ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t SET (autovacuum_enabled = false)');
check_says('vacuum', qr/\bt\b/, qr/autovacuum_enabled = true/, 'a source without vacuum');
$node->safe_psql('postgres', 'ALTER TABLE t RESET (autovacuum_enabled)');

# A missing index.
$node->safe_psql('postgres', q{CREATE TABLE u (id int PRIMARY KEY, t int);
	SELECT derive.create_view('joined', 'SELECT u.id, t.n FROM u JOIN t ON t.id = u.t')});
wait_live($node);
check_says('missing indexes', qr/CREATE INDEX ON public\.u \(t\)/, qr/cost/, 'a missing index');
$node->safe_psql('postgres', q{SELECT derive.drop_view('joined'); DROP TABLE u});

# An event that is parked; an outbox that cannot be written.
$node->safe_psql('postgres', q{
	CREATE TABLE s (id int PRIMARY KEY);
	CREATE FUNCTION handle(op text, old s, new s, headers jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	SELECT derive.create_outbox('s_events', 's');
	SELECT derive.create_consumer('s_events', 'c', max_attempts => 1);
	SELECT derive.create_processor('p', 's', 'handle(text, s, s, jsonb)');
	INSERT INTO s VALUES (1);
	SELECT derive.wait();
	SELECT derive.fail('s_events', 'c', position, token, 'no') FROM derive.fetch('s_events', 'c')});
check_says('parked events', qr/^f\|1 events/, qr/derive\.parked/, 'a parked event');
$node->safe_psql('postgres', q{
	SELECT derive.drop_consumer('s_events', 'c');
	CREATE ROLE poor;
	GRANT SELECT ON s TO poor;
	ALTER TABLE s_events OWNER TO poor;
	REVOKE INSERT ON s_events FROM poor;
	INSERT INTO s VALUES (2)});
check_says('outboxes', qr/s_events is failed: permission denied/, qr/tried again/, 'an outbox that cannot be written');
speaks(qr/derive\.outboxes/, 'and an alert speaks');
$node->safe_psql('postgres', 'GRANT INSERT ON s_events TO poor');
ok(poll_until(sub { unwell() eq '' }), 'mended');

# A source that is locked keeps nobody from looking.
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE t');
like($node->safe_psql('postgres', q{SET statement_timeout = '30 s'; SELECT count(*) FROM derive.health()}), qr/^1\d$/,
	'a source is locked: health answers');
$locker->query_safe('COMMIT');
$locker->quit;

# A forgotten prepared transaction, seen as if an hour had passed.
$node->safe_psql('postgres', q{BEGIN; INSERT INTO t VALUES (4000, 1, 1); PREPARE TRANSACTION 'forgotten'});
is($node->safe_psql('postgres', $alerts[ alert(qr/pg_prepared_xacts/) ] =~ s/interval '1 hour'/interval '0'/r =~ s/, prepared FROM/ FROM/r),
	'forgotten', 'a prepared transaction');
$node->safe_psql('postgres', q{COMMIT PREPARED 'forgotten'});
wait_fresh($node);
is(unwell(), '', 'all is well again');

# One that keeps more than half of the log that may be kept.
$node->safe_psql('postgres', q{
	ALTER SYSTEM SET pg_derive.max_retained_wal = '96MB';
	BEGIN; INSERT INTO t VALUES (5000, 1, 1); PREPARE TRANSACTION 'forgotten'});
$node->reload;
$node->safe_psql('postgres', q{CREATE TABLE IF NOT EXISTS noise (n int); INSERT INTO noise VALUES (1); SELECT pg_switch_wal()})
  foreach 1 .. 4;
check_says('retained log', qr/MB of log are kept/, qr/pg_derive\.max_retained_wal/, 'much log');
$node->safe_psql('postgres', q{COMMIT PREPARED 'forgotten'});
$node->safe_psql('postgres', q{ALTER SYSTEM RESET pg_derive.max_retained_wal});
$node->reload;
wait_fresh($node);
ok(poll_until(sub { unwell() eq '' }), 'it is given back');

# A row that is wrong.
$node->safe_psql('postgres', q{
	SET allow_system_table_mods = on;
	BEGIN;
	UPDATE pg_class SET relhastriggers = false WHERE oid = 'groups'::regclass;
	UPDATE groups SET n = 0 WHERE g = 3;
	UPDATE pg_class SET relhastriggers = true WHERE oid = 'groups'::regclass;
	COMMIT;});
poll_until(sub { wait_fresh($node); $node->safe_psql('postgres', 'SELECT count(*) FROM derive.audits WHERE repaired') ne '0' });
check_says('audits', qr/1 differences/, qr/derive\.audits/, 'a difference');
is(alerting(), join(' ', alert(qr/derive\.audits/), alert(qr/derive\.health/)), 'and its alerts speak, no other');

# The pipeline stops: the slot, the workers.
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
check_says('pipeline', qr/has no pipeline/, qr/max_worker_processes/, 'no workers');
check_says('workers', qr/not running/, qr/max_worker_processes/, 'no workers');
check_says('slot', qr/is not active/, qr/decoder/, 'the slot is not served');
check_says('processors', qr/not running: p/, qr/max_worker_processes/, 'no worker for the processor');
speaks(qr/state = 'running'/, 'an alert speaks');
speaks(qr/wal_status IN/, 'and the one about the slot');
$node->append_conf('postgresql.conf', 'max_worker_processes = 24');
$node->restart;
wait_live($node);

# A build that takes long enough to be seen: it waits for an advisory lock in its query's function.
$node->safe_psql('postgres', q{
	CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		$$ BEGIN IF i = 900 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF; RETURN i; END $$;});
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');
$node->safe_psql('postgres', q{SELECT derive.create_view('slow_view', 'SELECT id, slow(id) AS s FROM t')});
ok(poll_until(
		sub {
			$node->safe_psql('postgres', q{SELECT phase, since > now() - interval '10 minutes' FROM derive.progress
				WHERE view = 'slow_view'::regclass}) =~ /^(building|comparing)\|t$/;
		}),
	'a build is shown');
$holder->query_safe('SELECT pg_advisory_unlock(42)');
$holder->quit;
wait_live($node);
is($node->safe_psql('postgres', 'SELECT * FROM derive.progress'), '', 'until it is done');

done_testing();
