# Restarts: a clean one continues where it stopped, a worker is back within two seconds, an idle
# slot moves on, a lost slot is declared and repaired.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Derive::Node;
use Derive::Oracle;

my $node = derive_node('restart');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, grp int, n numeric);
	INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 1000) i;
	SELECT derive.create_view('rows', 'SELECT id, n FROM t WHERE n > 10');
	SELECT derive.create_view('groups', 'SELECT grp, count(*) AS c, sum(n) AS n FROM t GROUP BY grp');
	CREATE TABLE elsewhere (a int);
});
wait_live($node);
wait_fresh($node);

# A clean restart continues: the slot is the same, and nothing is recomputed.
my $slot = $node->safe_psql('postgres',
	q{SELECT slot_name FROM pg_replication_slots WHERE plugin = 'pg_derive'});
my $frontier = $node->safe_psql('postgres', q{SELECT applied_lsn FROM derive.pipelines});
$node->safe_psql('postgres', 'UPDATE t SET n = n + 1');
$node->restart;
wait_live($node);
wait_fresh($node);
is($node->safe_psql('postgres',
		q{SELECT slot_name FROM pg_replication_slots WHERE plugin = 'pg_derive'}),
	$slot, 'the slot is still there');
is($node->safe_psql('postgres', "SELECT applied_lsn > '$frontier' FROM derive.pipelines"), 't',
	'the frontier went on from where it was');
is($node->safe_psql('postgres',
		q{SELECT coalesce(sum(recomputes), 0) FROM derive_state.view v,
			LATERAL derive_state.view_statistics(v.view)}),
	'0', 'no view was recomputed');
check_all($node, 'clean restart');

# Changes that are committed while no worker can run are in the view after the next start.
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('postgres', 'DELETE FROM t WHERE id <= 100; UPDATE t SET grp = 77 WHERE id = 500');
foreach my $sql ("SELECT derive.create_view('x', 'SELECT id FROM t')", 'SELECT derive.wait()',
	"SELECT derive.verify('rows')")
{
	like(sql_error($node, $sql), qr/shared_preload_libraries/, "not preloaded: $sql names the setting");
}
like(sql_error($node, 'DELETE FROM rows'), qr/cannot change derived view/,
	'a view is read-only even then');
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.views WHERE state = 'live'}), '0',
	'and no view claims to be live while nobody maintains it');
$node->stop('immediate');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->start;
wait_live($node);
check_all($node, 'changes made without the library');

# Any worker that dies is replaced, and the views are fresh, within two seconds.
foreach my $role ('applier', 'decoder')
{
	my @times;
	foreach my $i (1 .. 3)
	{
		my $pid = worker_pid($node, $role);
		kill_process('TERM', $pid);
		my $start = time;
		$node->safe_psql('postgres', "UPDATE t SET n = n + $i");
		wait_fresh($node);
		push @times, time - $start;
		isnt(worker_pid($node, $role), $pid, "another $role");
	}
	@times = sort { $a <=> $b } @times;
	note("$role: @times");
	cmp_ok($times[1], '<=', 2, "fresh within two seconds of the ${role}'s death");
}
check_all($node, 'workers replaced');

# An idle slot advances past WAL that holds nothing for us, here and in other databases.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql($_, 'CREATE TABLE noise AS SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 20000) i')
  foreach 'postgres', 'other';
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok(poll_until(sub {
		$node->safe_psql('postgres',
			"SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'") eq 't';
	}), 'the idle slot is confirmed past foreign WAL')
  or diag($node->safe_psql('postgres', 'SELECT * FROM pg_replication_slots'));
ok(poll_until(sub {
		$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal(); INSERT INTO elsewhere VALUES (1)');
		$node->safe_psql('postgres',
			"SELECT restart_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'") eq 't';
	}, 120), 'and lets go of it');
# Each switch has skipped the rest of 16 MB: that must be let go of, too.
ok(poll_until(sub {
		$node->safe_psql('postgres', 'CHECKPOINT; INSERT INTO elsewhere VALUES (1)');
		pipeline($node, 'retained_wal') < 64 * 1024 * 1024;
	}), 'retained_wal is bounded')
  or diag(pipeline($node, 'retained_wal'));

# A lost slot: changes are missed while it is away.  The views must not pretend to be live; a
# prepared transaction holds up the creation of the new slot, so that this can be seen.
$node->safe_psql('postgres', q{
	BEGIN; INSERT INTO elsewhere VALUES (2); PREPARE TRANSACTION 'holds_up_slot_creation';});
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 3 = 0; INSERT INTO t VALUES (5000, 5, 5)');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->restart;
ok(poll_until(sub {
		$node->safe_psql('postgres',
			q{SELECT count(*) FROM derive.views WHERE state = 'stale' AND reason <> ''}) eq '2';
	}), 'without the slot both views are stale and say why')
  or diag($node->safe_psql('postgres', 'SELECT view, state, reason FROM derive.views'));
note($node->safe_psql('postgres', 'SELECT view, state, reason FROM derive.views'));
like(sql_error($node, q{SELECT derive.wait(timeout => '1 s', view => 'rows')}), qr/ERROR/,
	'and cannot be waited for meanwhile');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'holds_up_slot_creation'});
wait_live($node);
check_all($node, 'repaired after the loss of the slot');
$node->safe_psql('postgres', 'UPDATE t SET n = n * 2');
check_all($node, 'and maintained again');

done_testing();
