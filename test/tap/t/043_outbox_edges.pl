# Outboxes: what happens at the edges of the transactions that create them, announce them, or bring
# them from elsewhere.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;

my $node = derive_node('edges', "logical_decoding_work_mem = '64kB'\n");

# What an outbox holds, in order.
sub events
{
	my ($outbox, $what, $db) = @_;

	return $node->safe_psql($db // 'postgres', "SELECT string_agg($what, ' ' ORDER BY position) FROM $outbox");
}

# Who writes to an inheritance child waits for the creation of an outbox over its parent, as who writes
# to the parent does: each change is either before the outbox or an event.
$node->safe_psql('postgres', q{
	CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE child () INHERITS (parent);
	ALTER TABLE parent REPLICA IDENTITY FULL;
	ALTER TABLE child REPLICA IDENTITY FULL});
my $creator = $node->background_psql('postgres');
$creator->query_safe(q{BEGIN; SELECT derive.create_outbox('family', 'parent')});
like(sql_error($node, q{SET lock_timeout = '100 ms'; INSERT INTO child VALUES (1)}), qr/lock timeout/,
	'who writes to a child waits for the creation of the outbox');
$creator->query_safe('COMMIT');
$creator->quit;
$node->safe_psql('postgres', 'INSERT INTO child VALUES (2)');
wait_fresh($node);
is(events('family', "type || ':' || (payload->>'id')"), 'insert:2', 'and is an event then');

# An outbox that is announced within a transaction: what that has changed before is not forgotten.  A table
# that was filled in it and is attached brings rows of which no event tells.
$node->safe_psql('postgres', q{
	CREATE TABLE p (id int NOT NULL) PARTITION BY RANGE (id);
	CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (0) TO (100);
	ALTER TABLE p0 REPLICA IDENTITY FULL;
	CREATE TABLE other (id int);
	ALTER TABLE other REPLICA IDENTITY FULL;
	SELECT derive.create_outbox('p_events', 'p');
	INSERT INTO p VALUES (1);
	SELECT derive.wait();
	BEGIN;
	CREATE TABLE p1 (LIKE p);
	INSERT INTO p1 VALUES (100);
	SELECT derive.create_outbox('other_events', 'other');
	ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (100) TO (200);
	COMMIT;
	SELECT derive.wait()});
is(events('p_events', 'type'), 'insert gap', 'filled before an announcement, attached behind it');

# The number of an event in its transaction, of which its id is made, does not depend on which transactions
# a tick has: an id that comes again counts, also if the first one comes in the same tick.
my $twice = q{SELECT derive.emit('t', NULL, '1', 'emitted', 'b5a0ae1e-31a5-4f94-9b60-0c9d4eb9d4f4')};
$node->safe_psql('postgres', q{SELECT derive.create_outbox('emitted', NULL)});
wait_fresh($node);
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE emitted');
$node->safe_psql('postgres', $twice);
$node->safe_psql('postgres', "BEGIN; $twice; SELECT derive.emit('t', NULL, '2', 'emitted'); COMMIT");
$locker->query_safe('COMMIT');
$locker->quit;
wait_fresh($node);
is(events('emitted', q{payload::text || ':' || (headers->>'ordinal')}), '1:1 2:2', 'an event has the same number in whatever tick');

# A dump from a server that has seen more transactions: the id of the one that created the outbox there is
# that of any other one here, whose changes are events.
my $later = $node->safe_psql('postgres', q{SELECT (pg_current_xact_id()::text::bigint + 3000)});
$node->safe_psql('postgres', qq{
	CREATE TABLE d (id int PRIMARY KEY);
	SELECT derive.create_outbox('d_events', 'd');
	INSERT INTO d VALUES (1);
	SELECT derive.wait();
	UPDATE derive_state.outbox SET created_xid = $later WHERE outbox = 'd_events'::regclass;
	CREATE DATABASE restored});
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->psql('restored', "\\i $dump");
$node->safe_psql('restored', 'INSERT INTO d VALUES (2)');
wait_fresh($node, 'restored');
is(events('d_events', 'type', 'restored'), 'insert gap insert', 'restored');
$node->safe_psql('restored', qq{
	DO \$\$ BEGIN WHILE pg_current_xact_id()::text::bigint < $later - 1 LOOP COMMIT; END LOOP; END \$\$});
is($node->safe_psql('restored', 'INSERT INTO d VALUES (3) RETURNING pg_current_xact_id()'), $later, 'a transaction has the id');
wait_fresh($node, 'restored');
is(events('d_events', q{coalesce(payload->>'id', type)}, 'restored'), '1 gap 2 3', 'and its change is an event');

done_testing();
