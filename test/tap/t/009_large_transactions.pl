# Transactions far beyond every memory limit: decoded ones spill, deferred ones spill, and the
# workers stay small.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $rows = 200_000;
my $node = derive_node('large', <<'CONF');
logical_decoding_work_mem = '64kB'
pg_derive.batch_memory = '256kB'
max_wal_size = '2GB'
CONF

$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, grp int, n numeric(12,2), payload text);
	CREATE TABLE small (id int PRIMARY KEY, label text);
	INSERT INTO small SELECT i, 'label ' || i FROM generate_series(0, 99) i;
	SELECT derive.create_view('groups',
		'SELECT grp, count(*) AS c, sum(n) AS n, max(n) AS hi FROM t GROUP BY grp');
	SELECT derive.create_view('joined',
		'SELECT t.id, s.label, t.n FROM t JOIN small s ON s.id = t.grp WHERE t.id % 10 = 0');
	SELECT derive.create_view('total', 'SELECT sum(c) AS c FROM groups');
});
wait_live($node);

# Private memory of a process in MB.
sub private_memory
{
	my ($pid) = @_;
	my $smaps = slurp_file("/proc/$pid/smaps_rollup");
	my $kb = 0;

	$kb += $1 while $smaps =~ /^Private_(?:Clean|Dirty):\s+(\d+)/mg;
	return $kb / 1024;
}

my @transactions = (
	[ 'insert', "INSERT INTO t SELECT i, i % 100, i / 100.0, repeat('x', 50) FROM generate_series(1, $rows) i" ],
	[ 'update', 'UPDATE t SET n = n + 1, grp = (grp + 1) % 100' ],
	[ 'twice in one transaction', 'BEGIN; UPDATE t SET n = n + 1; SAVEPOINT s; UPDATE t SET n = n * 2; ROLLBACK TO s; UPDATE t SET grp = 5 WHERE id % 2 = 0; COMMIT' ],
	[ 'two-phase', q{BEGIN; UPDATE t SET n = n - 1; PREPARE TRANSACTION 'big'; COMMIT PREPARED 'big'} ],
	[ 'delete half', 'DELETE FROM t WHERE id % 2 = 1' ],
);
foreach my $transaction (@transactions)
{
	my ($name, $sql) = @$transaction;
	$node->safe_psql('postgres', $sql);
	$node->safe_psql('postgres', q{SELECT derive.wait(timeout => '300 s')});
	check_all($node, $name);
}
SKIP:
{
	skip 'no /proc of this kind', 1 unless -r "/proc/$$/smaps_rollup";
	my $mb = private_memory(worker_pid($node, 'applier')) + private_memory(worker_pid($node, 'decoder'));
	cmp_ok($mb, '<', 150, sprintf 'private memory of both workers together: %.0f MB', $mb);
}

# A crash in the tick of one, which is decoded, spilled and applied again; its events come once.
$node->safe_psql('postgres', q{SELECT derive.create_outbox('small_events', 'small')});
wait_fresh($node);
my $log_before = -s $node->logfile;
set_debug_step($node, 'tick-published:kill');
$node->safe_psql('postgres', q{BEGIN; UPDATE t SET n = n + 7; UPDATE small SET label = label || '!'; COMMIT});
ok(poll_until(sub { slurp_file($node->logfile, $log_before) =~ /applier.* was terminated by signal 9/ }),
	'the applier is killed in a tick');
set_debug_step($node, undef);
$node->stop('immediate'); # workers that have not read the setting yet would die again
$node->start;
wait_live($node);
wait_fresh($node);
check_all($node, 'after that');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id) FROM small_events}), '100|100', 'each event is there once');

# A deferred transaction: its commit record is decoded, but the backend stays in the proc array
# because it waits for a synchronous standby that does not exist.  Ticks go on meanwhile.
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
my $session = $node->background_psql('postgres', timeout => 300);
$session->query_until(qr/started/,
	qq{\\echo started\nSET synchronous_commit = on;\nUPDATE t SET n = n + 3;\n\\echo finished\n});
ok(poll_until(sub {
		$node->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) eq '1';
	}, 120), 'a large transaction waits for a standby');
$node->safe_psql('postgres', q{SET synchronous_commit = local; INSERT INTO t VALUES (-10, 5, 1)});
ok(poll_until(sub {
		$node->safe_psql('postgres', 'SELECT count(*) FROM joined WHERE id = -10') eq '1';
	}), 'a later transaction is not held up by it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.verify('groups')}), '0',
	'the view equals its query while the large one is invisible');
is(difference($node, 'groups'), '', 'exactly');
is($node->safe_psql('postgres', q{SELECT confirmed_flush_lsn <= pg_current_wal_lsn()
		FROM pg_replication_slots WHERE plugin = 'pg_derive'}), 't', 'the slot is there');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
$session->query_until(qr/finished/, '');
$session->quit;
check_all($node, 'once it became visible');

# The same with a crash in between: the deferred transaction must be decoded again.
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$session = $node->background_psql('postgres', timeout => 300, on_error_stop => 0);
$session->query_until(qr/started/,
	qq{\\echo started\nUPDATE t SET n = n + 5 WHERE id % 4 = 0;\n\\echo finished\n});
ok(poll_until(sub {
		$node->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) eq '1';
	}, 120), 'another one waits');
$node->safe_psql('postgres', q{SET synchronous_commit = local; INSERT INTO t VALUES (-20, 5, 1)});
ok(poll_until(sub {
		$node->safe_psql('postgres', 'SELECT count(*) FROM joined WHERE id = -20') eq '1';
	}), 'ticks go on');
kill_process('TERM', worker_pid($node, 'applier'));
$node->safe_psql('postgres', q{SET synchronous_commit = local; INSERT INTO t VALUES (-30, 5, 1)});
ok(poll_until(sub {
		$node->safe_psql('postgres', 'SELECT count(*) FROM joined WHERE id = -30') eq '1';
	}), 'and after the restart of the applier');
is(difference($node, 'groups'), '', 'exact while it is still invisible');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
$node->stop('immediate');
eval { $session->quit };
$node->start;
wait_live($node);
check_all($node, 'after a crash of the server');

done_testing();
