# Tables that become partitions, or cease to be, in transactions that are decoded in pieces while
# they are in progress.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $node = derive_node('large_ddl', "logical_decoding_work_mem = '64kB'\n");
my $noise = q{INSERT INTO noise SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i};

$node->safe_psql('postgres', q{
	CREATE TABLE noise (id int, payload text);
	CREATE TABLE p (id int NOT NULL, n int) PARTITION BY RANGE (id);
	CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (0) TO (100);
	CREATE TABLE late (LIKE p);
	CREATE TABLE saved (LIKE p);
	INSERT INTO p0 SELECT i, i FROM generate_series(0, 49) i;
	INSERT INTO late SELECT i, i FROM generate_series(100, 149) i;
	INSERT INTO saved SELECT i, i FROM generate_series(200, 249) i;
	ALTER TABLE p0 REPLICA IDENTITY FULL;
	SELECT derive.create_view('noises', 'SELECT count(*) AS c FROM noise');
	SELECT derive.create_view('rows', 'SELECT id, n FROM p WHERE n % 2 = 0');
	SELECT derive.create_view('sums', 'SELECT count(*) AS c, sum(n) AS n FROM p');
});
wait_live($node);
wait_fresh($node);

# Runs statements of a transaction, has the decoder read them while it is in progress, and ends it.
# With kill: before it can be applied the applier is killed, so that the server starts again.
sub in_pieces
{
	my ($begin, $end, %args) = @_;
	my $session = $args{session} // $node->background_psql('postgres', on_error_stop => 0);
	my $applier = worker_pid($node, 'applier');
	my $log = -s $node->logfile;
	my $lsn;

	$session->query_safe("BEGIN; $begin; $noise");
	$lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn(); CREATE TABLE flushed (); DROP TABLE flushed');
	ok(poll_until(sub {
			$node->safe_psql('postgres', "SELECT received_lsn >= '$lsn' FROM derive.pipelines") eq 't';
		}), 'the decoder has read it');
	$session->query_safe($end) if $end ne '';
	$args{between}->() if $args{between};
	kill 'STOP', $applier if $args{kill};
	$session->query_safe($args{commit} // 'COMMIT');
	if ($args{kill})
	{
		kill_process('KILL', $applier);
		poll_until(sub { slurp_file($node->logfile, $log) =~ /is ready to accept connections/ });
		wait_connectable($node);
		eval { $session->quit };
		return;
	}
	$session->quit unless $args{session};
	return;
}

# What is filled in one piece and attached in another one brings its rows, also if the views were
# planned anew in between, so that they know of the partition.
sub attached
{
	my ($name, $from, $to, %args) = @_;

	in_pieces("CREATE TABLE $name (LIKE p); INSERT INTO $name SELECT i, i FROM generate_series($from, $from + 49) i",
		"ALTER TABLE p ATTACH PARTITION $name FOR VALUES FROM ($from) TO ($to)", %args);
	check_all($node, "$name is attached");
}
attached('attached_1', 300, 400);
attached('attached_2', 400, 500, kill => 1);

# So does one that is created as a partition and filled in several pieces.
in_pieces(q{CREATE TABLE created PARTITION OF p FOR VALUES FROM (500) TO (600); INSERT INTO p VALUES (500, 2)},
	'INSERT INTO p VALUES (501, 4)', kill => 1);
my $lost = -s $node->logfile;
check_all($node, 'created as a partition');
unlike(slurp_file($node->logfile, $lost), qr/recomputing/, 'the changes could be followed');

# What was rolled back is seen when it happens at last.
my $attach_late = 'ALTER TABLE p ATTACH PARTITION late FOR VALUES FROM (100) TO (200)';
in_pieces($attach_late, '', commit => 'ROLLBACK');
$node->safe_psql('postgres', $attach_late);
check_all($node, 'attached after that was rolled back');

in_pieces('ALTER TABLE p DETACH PARTITION late', '', commit => 'ROLLBACK');
$node->safe_psql('postgres', 'ALTER TABLE p DETACH PARTITION late');
check_all($node, 'detached after that was rolled back');

my $attach_saved = 'ALTER TABLE p ATTACH PARTITION saved FOR VALUES FROM (200) TO (300)';
in_pieces("SAVEPOINT s; $attach_saved", 'ROLLBACK TO s');
$node->safe_psql('postgres', $attach_saved);
check_all($node, 'attached after a rollback to a savepoint');

# An outbox over the table is told of each time that the set of its rows changes: what was rolled back does
# not hide what happens at last, and what one transaction has seen is not what the next one compares with.
# One that only rolls a savepoint back, of which the decoder learns late, is told of nothing.
$node->safe_psql('postgres', q{
	SELECT derive.create_outbox('p_events', 'p');
	CREATE TABLE plain (id int);
	SELECT derive.create_outbox('plain_events', 'plain');
	CREATE TABLE saved_2 (LIKE p);
	INSERT INTO saved_2 SELECT i, i FROM generate_series(600, 649) i});
wait_fresh($node);

# How often an outbox has been told since the last question.
my %told;
sub gaps
{
	my ($outbox) = @_;

	wait_fresh($node);
	my $gaps = $node->safe_psql('postgres', "SELECT count(*) FROM $outbox WHERE type = 'gap'");
	my $new = $gaps - ($told{$outbox} // 0);
	$told{$outbox} = $gaps;
	return $new;
}

my $attach_2 = 'ALTER TABLE p ATTACH PARTITION saved_2 FOR VALUES FROM (600) TO (700)';
my $detach_2 = 'ALTER TABLE p DETACH PARTITION saved_2';
gaps('p_events');
in_pieces($attach_2, '', commit => 'ROLLBACK');
is(gaps('p_events'), 0, 'attached in vain');
$node->safe_psql('postgres', $attach_2);
is(gaps('p_events'), 1, 'and at last: a gap');
in_pieces($detach_2, '', commit => 'ROLLBACK');
$node->safe_psql('postgres', $detach_2);
is(gaps('p_events'), 1, 'detached in vain, and at last');
in_pieces($attach_2, '');
is(gaps('p_events'), 1, 'attached in a piece');
$node->safe_psql('postgres', $detach_2);
is(gaps('p_events'), 1, 'and detached by the next transaction');
$node->safe_psql('postgres', 'CREATE TABLE p8 PARTITION OF p FOR VALUES FROM (800) TO (900)');
is(gaps('p_events'), 0, 'a new partition is none');
check_all($node, 'with an outbox');

my $decoder = worker_pid($node, 'decoder');
kill 'STOP', $decoder;
$node->safe_psql('postgres', qq{
	BEGIN;
	$noise;
	INSERT INTO plain VALUES (1);
	SAVEPOINT s;
	CREATE TABLE gone (id int, t text);
	INSERT INTO gone SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i;
	ROLLBACK TO s;
	$noise;
	INSERT INTO plain VALUES (2);
	COMMIT});
kill 'CONT', $decoder;
is(gaps('p_events') + gaps('plain_events'), 0, 'a savepoint that was rolled back before it was decoded');
is($node->safe_psql('postgres', q{SELECT string_agg(payload->>'id', ' ' ORDER BY position) FROM plain_events}), '1 2',
	'the rest of its transaction is there');
check_all($node, 'a savepoint that was rolled back before it was decoded');

# One that is detached by another session while the transaction goes on: what an earlier piece has
# put into it is no row of the table any more.  The session has computed the partition's constraint
# before, so that it does not lock the partitioned table; nor is anybody waited for but the detaching.
my $writer = $node->background_psql('postgres');
$writer->query_safe('INSERT INTO p0 VALUES (98, 1)');
in_pieces('INSERT INTO p0 VALUES (99, 7)', '', session => $writer, between => sub {
		like(sql_error($node, "SET lock_timeout = '5s'; ALTER TABLE p DETACH PARTITION p0 CONCURRENTLY"),
			qr/lock timeout/, 'detaching waits for the transaction, but has begun');
		wait_fresh($node);
	});
$writer->quit;
check_all($node, 'detached concurrently');

done_testing();
