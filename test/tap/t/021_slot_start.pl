# A slot that is made while transactions run starts with the right catalogs.
#
# Core finds its start in steps, each of which ends with the transactions that ran at its beginning
# (src/capture/decode_record.c).  Here tables change in the second step, in transactions that
# begin and end in it, while an older one runs on; then rows come that can only be
# decoded by who knows of these changes.

use strict;
use warnings FATAL => 'all';

use Derive::Node;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = derive_node('start', "autovacuum = off");

# Whether the pipeline waits for a transaction before it makes its slot.
sub waits_for
{
	my ($xid) = @_;

	return poll_until(sub { pipeline($node, 'reason') =~ /transaction $xid\b/ });
}

$node->safe_psql('postgres', q{
	CREATE TABLE holder (a int);
	CREATE TABLE emptied (id int PRIMARY KEY, n int);
	CREATE TABLE retyped (id int PRIMARY KEY, n int);
	CREATE TABLE narrowed (id int, extra text, n int);
	INSERT INTO emptied VALUES (1, 1);
	INSERT INTO retyped VALUES (1, 1);
	INSERT INTO narrowed VALUES (1, 'x', 1);
	SELECT derive.create_view('of_emptied', 'SELECT id, n FROM emptied');
	SELECT derive.create_view('of_retyped', 'SELECT id FROM retyped');
	SELECT derive.create_view('of_narrowed', 'SELECT id, n FROM narrowed');
	SELECT derive.create_view('sums', 'SELECT count(*) AS c, sum(n) AS s FROM emptied');});
wait_live($node);
wait_fresh($node);

my $first = $node->background_psql('postgres');
my $first_xid = $first->query_safe('BEGIN; INSERT INTO holder VALUES (1); SELECT pg_current_xact_id()');
ok(poll_until(sub {
		my ($ret) = $node->psql('postgres', q{SELECT pg_terminate_backend(decoder_pid, 1000) FROM derive.pipelines;
			SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active});
		return waits_for($first_xid);
	}), 'the slot is gone, a new one waits for an open transaction');

# The second step: what begins now, and ends before the next look.
my $second = $node->background_psql('postgres');
my $second_xid = $second->query_safe('BEGIN; INSERT INTO holder VALUES (2); SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'TRUNCATE emptied');
$node->safe_psql('postgres', 'BEGIN; SAVEPOINT s; ALTER TABLE retyped ALTER n TYPE bigint; RELEASE s; COMMIT');
$node->safe_psql('postgres', q{BEGIN; ALTER TABLE narrowed DROP extra; PREPARE TRANSACTION 'p'});
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
$first->query_safe('COMMIT');
ok(waits_for($second_xid), 'then it waits for the next one');

# The third step: a row by which a snapshot of the catalogs is made, and kept.
$node->safe_psql('postgres', 'INSERT INTO holder VALUES (3)');
$second->query_safe('COMMIT');
$_->quit for $first, $second;
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL}) eq '1' }),
	'the slot is there');

sub rows_are_right
{
	my ($when) = @_;

	wait_live($node);
	wait_fresh($node);
	for my $view ([ of_emptied => 'SELECT id, n FROM emptied' ], [ of_retyped => 'SELECT id FROM retyped' ],
		[ of_narrowed => 'SELECT id, n FROM narrowed' ], [ sums => 'SELECT count(*) AS c, sum(n) AS s FROM emptied' ])
	{
		is($node->safe_psql('postgres', "(TABLE $view->[0] EXCEPT ALL $view->[1]) UNION ALL ($view->[1] EXCEPT ALL TABLE $view->[0])"),
			'', "$when: $view->[0]");
	}
	return;
}

$node->safe_psql('postgres', q{
	INSERT INTO emptied VALUES (2, 2), (3, 3);
	INSERT INTO retyped VALUES (2, 5000000000);
	INSERT INTO narrowed VALUES (2, 2)});
rows_are_right('rows behind the start');
unlike(slurp_file($node->logfile), qr/ERROR: .*filenode/, 'all of them could be decoded');
kill_process('TERM', worker_pid($node, 'decoder'));
$node->safe_psql('postgres', 'UPDATE emptied SET n = n + 1; UPDATE narrowed SET n = n + 1; DELETE FROM retyped WHERE id = 1');
rows_are_right('started again from there');

done_testing();
