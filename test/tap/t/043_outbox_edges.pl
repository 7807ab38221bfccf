# Outboxes: what happens at the edges of the transactions that create them, announce them, or bring
# them from elsewhere.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Fault;
use Derive::Node;

my $node = derive_init('edges', "logical_decoding_work_mem = '64kB'\n");
$node->append_conf('postgresql.conf', "output_plugin_libraries = 'pg_derive'")
  if `postgres --describe-config` =~ /^output_plugin_libraries/m;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');

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

# A table below the source is truncated: others keep their rows, so the source is not empty.
$node->safe_psql('postgres', q{
	CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (200) TO (300) PARTITION BY RANGE (id);
	CREATE TABLE p20 PARTITION OF p2 FOR VALUES FROM (200) TO (300);
	SELECT derive.create_outbox('truncated', 'p');
	INSERT INTO p VALUES (2), (200);
	TRUNCATE p0;
	TRUNCATE p2;
	BEGIN;
	TRUNCATE p0, p2;
	TRUNCATE p1;
	COMMIT;
	TRUNCATE p;
	SELECT derive.wait()});
is(events('truncated', q{coalesce(payload->>'id', type)}), '2 200 gap gap gap truncate', 'partitions are truncated, then all');
$node->safe_psql('postgres', q{
	INSERT INTO parent VALUES (3);
	TRUNCATE ONLY parent;
	TRUNCATE parent;
	SELECT derive.wait()});
is(events('family', q{coalesce(payload->>'id', type)}), '2 3 gap truncate', 'a parent without its child, then both');

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

# What is emitted in a savepoint or a prepared transaction belongs to the transaction that commits.
$node->safe_psql('postgres', q{
	BEGIN;
	SAVEPOINT s;
	SELECT derive.emit('t', NULL, '"in a savepoint"', 'emitted');
	RELEASE s;
	PREPARE TRANSACTION 'emitting';
	COMMIT PREPARED 'emitting'});
wait_fresh($node);
is(events('emitted', 'payload::text'), '1 2 "in a savepoint"', 'emitted in a savepoint of a prepared transaction');

# Messages in the log that somebody else made, also copies of our own ones in another transaction: they are
# no events, announce nothing, so that views are followed as before, and are not carried about.
$node->safe_psql('postgres', q{
	CREATE FUNCTION int_bytes(n bigint, len int) RETURNS bytea LANGUAGE sql AS
		$$ SELECT string_agg(set_byte('\x00', 0, ((n >> (8 * i)) & 255)::int), '' ORDER BY i) FROM generate_series(0, len - 1) i $$;
	CREATE TABLE t (id int PRIMARY KEY, w text);
	INSERT INTO t SELECT i, 'w' FROM generate_series(1, 30000) i;
	SELECT derive.create_view('t_counts', 'SELECT count(*) AS n FROM t');
	SELECT pg_create_logical_replication_slot('messages', 'pg_derive');
	CREATE ROLE stranger});
wait_live($node);
$node->safe_psql('postgres', q{
	SELECT derive.emit('t', NULL, '3', 'emitted');
	SELECT derive.create_outbox('others', 'other')});
wait_fresh($node);
my $log = -s $node->logfile;
$node->safe_psql('postgres', q{
	CREATE TABLE copies AS
		SELECT data::json ->> 'prefix' AS prefix, decode(data::json ->> 'content_base64', 'base64') AS content
		FROM pg_logical_slot_get_changes('messages', NULL, NULL, 'messages', 'pg_derive.*') WHERE data::json ->> 'op' = 'message';
	GRANT SELECT ON copies TO stranger;
	SET ROLE stranger;
	SELECT pg_logical_emit_message(true, prefix, content) FROM copies;
	SELECT pg_logical_emit_message(true, 'pg_derive.outbox', announcement),
		pg_logical_emit_message(false, 'pg_derive.outbox', announcement),
		pg_logical_emit_message(true, 'pg_derive.outbox', sha256('') || announcement)
	FROM (SELECT int_bytes(99, 8) || int_bytes('public.t'::regclass::oid::bigint, 8)) m (announcement);
	SELECT pg_logical_emit_message(true, prefix, repeat('x', 100000000))
	FROM unnest(ARRAY['pg_derive', 'pg_derive.emit', 'pg_derive.outbox']) prefix;
	RESET ROLE;
	SELECT pg_drop_replication_slot('messages');
	DELETE FROM t WHERE id = 1});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(prefix, ' ' ORDER BY prefix) FROM copies}), 'pg_derive.emit pg_derive.outbox',
	'our messages, copied');
is(events('emitted', 'payload::text'), '1 2 "in a savepoint" 3', 'a copy is no event');
is($node->safe_psql('postgres', 'SELECT n FROM t_counts'), '29999', 'a view of a table that was announced');
unlike(slurp_file($node->logfile, $log), qr/cannot be followed/, 'is followed as before');
cmp_ok(resident_mb(worker_pid($node, 'applier')), '<', 80, 'the applier has no part in what others write');
like(sql_error($node, q{SELECT derive.emit(repeat('x', 270000000), NULL, NULL, 'emitted')}), qr/an event is too large/,
	'nor can an event be so large that it would hold up all others');

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
my $restored = qr/^1 gap( 1)? 2/; # the restored row may be read from the log behind the gap
like(events('d_events', q{coalesce(payload->>'id', type)}, 'restored'), qr/$restored$/, 'restored');
$node->safe_psql('restored', qq{
	DO \$\$ BEGIN WHILE pg_current_xact_id()::text::bigint < $later - 1 LOOP COMMIT; END LOOP; END \$\$});
is($node->safe_psql('restored', 'INSERT INTO d VALUES (3) RETURNING pg_current_xact_id()'), $later, 'a transaction has the id');
wait_fresh($node, 'restored');
like(events('d_events', q{coalesce(payload->>'id', type)}, 'restored'), qr/$restored 3$/, 'and its change is an event');

# A log that cannot be decoded: the same error again and again, until the slot retains more than it may.  Then
# it is given up, views are repaired and outboxes have a gap.
set_debug_step($node, 'decoder-commit:error');
ok(poll_until(sub { # the decoder may not have heard of it at once
		$node->safe_psql('postgres', 'INSERT INTO p VALUES (3)');
		$node->safe_psql('postgres', q{SELECT reason FROM derive.pipelines}) =~ /stopped at step/;
	}), 'the pipeline stands, and says why');
$log = -s $node->logfile; # so much may be retained already
$node->safe_psql('postgres', q{
	DELETE FROM t WHERE id = 2;
	ALTER SYSTEM SET pg_derive.max_retained_wal = '64MB';
	SELECT pg_reload_conf()});
ok(poll_until(sub {
		$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(false, 'noise', repeat('x', 8000000))});
		return slurp_file($node->logfile, $log) =~ /retained more than pg_derive.max_retained_wal/;
	}), 'until too much log is retained');
set_debug_step($node, undef);
ok(poll_until(sub { pipeline($node, 'state') eq 'running' }), 'then it goes on');
wait_live($node);
$node->safe_psql('postgres', 'INSERT INTO p VALUES (4)');
wait_fresh($node);
is($node->safe_psql('postgres', 'SELECT n FROM t_counts'), '29998', 'the view is repaired');
like(events('p_events', q{coalesce(payload->>'id', type)}), qr/gap 4$/, 'an outbox has a gap');

done_testing();
