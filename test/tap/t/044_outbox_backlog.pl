# Outboxes that stay behind for long: what has to be kept for them does not take more memory than it may.
# The log has it, and is read once more when they can be written again.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Fault;
use Derive::Node;
use Derive::Outbox;

my $node = derive_node('backlog', "pg_derive.batch_memory = '64kB'\n");
my $again = qr/the log is read once more for an outbox/;
my $number = 0;

audited_table($node, 'a');
audited_table($node, 'b');
create_audited_outbox($node, 'a_events', 'a');
create_audited_outbox($node, 'b_events', 'b');
$node->safe_psql('postgres', q{
	SELECT derive.create_view('sums', 'SELECT count(*) AS n, sum(a.v) AS v FROM a');
	CREATE PROCEDURE many(first int, n int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN first .. first + n - 1 LOOP
			INSERT INTO a VALUES (i, i);
			INSERT INTO b VALUES (i, i);
			UPDATE a SET v = v + 1 WHERE id = i - 1;
			COMMIT;
		END LOOP;
	END $$});
wait_live($node);

# So many transactions, in all views and in the outbox that can be written.
sub many
{
	my ($n) = @_;

	$node->safe_psql('postgres', "CALL many($number, $n)");
	$number += $n;
	wait_fresh($node);
	check_outbox($node, 'b_events', 'b', 'the other one');
	return;
}

# The outbox has all that it has not got when it is free.
sub freed
{
	my ($locker, $what) = @_;

	$locker->query_safe('COMMIT');
	$locker->quit;
	ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM derive.outboxes WHERE state <> 'live'}) eq '0' }),
		"$what: it goes on");
	wait_fresh($node);
	check_outbox($node, 'a_events', 'a', $what);
	check_outbox($node, 'b_events', 'b', "$what: the other one");
	is($node->safe_psql('postgres', 'SELECT s.n = x.n AND s.v = x.v FROM sums s, (SELECT count(*) AS n, sum(v) AS v FROM a) x'), 't',
		"$what: the view");
	return;
}

# Locks the outbox.
sub locked
{
	my $locker = $node->background_psql('postgres');

	wait_fresh($node);
	$locker->query_safe('BEGIN; LOCK TABLE a_events');
	return $locker;
}

# A few are kept.
my $log = -s $node->logfile;
my $locker = locked();
many(50);
freed($locker, 'a few');
unlike(slurp_file($node->logfile, $log), $again, 'for which the log need not be read again');

# So many that they are forgotten, several times.
$locker = locked();
many(100);
my $before = resident_mb(worker_pid($node, 'applier'));
many(8000);
my $after = resident_mb(worker_pid($node, 'applier'));
cmp_ok($after, '<', $before + 8, 'what many transactions would take is not kept');
$log = -s $node->logfile;
freed($locker, 'many');
like(slurp_file($node->logfile, $log), $again, 'the log is read again');

# The same with a crash in between, after which they are read, and forgotten, anew.
$locker = locked();
many(2000);
kill_process('TERM', worker_pid($node, 'applier'));
many(2000);
freed($locker, 'many, and a restart');

# One that is dropped is not waited for, and lets go of the log.
$locker = locked();
many(3000);
$locker->query_safe('DROP TABLE a_events');
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$locker->query_safe('COMMIT');
$locker->quit;
ok(poll_until(sub {
		many(1);
		$node->safe_psql('postgres', "SELECT confirmed_lsn >= '$lsn' FROM derive.pipelines") eq 't';
	}), 'dropped: the log is let go');

done_testing();
