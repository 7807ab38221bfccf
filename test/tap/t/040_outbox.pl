# Outboxes: what locks them, fails or is lost keeps only itself back; retention; who owns and
# drops; all compared with what a trigger has written down.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Outbox;

my $node = derive_init('outbox', "logical_decoding_work_mem = 64kB\n");
$node->start;

# Created while the slot is not there yet, which waits for an open transaction: nobody reads the log,
# so it begins with a gap.
my $open = $node->background_psql('postgres');
$open->query_safe('BEGIN; SELECT pg_current_xact_id()');
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_derive;
	BEGIN;
	CREATE TABLE early (id int PRIMARY KEY);
	SELECT derive.create_outbox('early_events', 'early');
	COMMIT;
	INSERT INTO early VALUES (1)});
$open->query_safe('COMMIT');
$open->quit;
poll_until(sub { pipeline($node, 'state') eq 'running' });
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT type FROM early_events WHERE position = 1}), 'gap',
	'an outbox from before the pipeline begins with a gap');

# What is emitted by the transaction that creates the outbox is there; its changes are not.
$node->safe_psql('postgres', q{
	CREATE TABLE made (id int PRIMARY KEY);
	BEGIN;
	INSERT INTO made VALUES (1);
	SELECT derive.create_outbox('made_events', 'made');
	INSERT INTO made VALUES (2);
	SELECT derive.emit('hello', NULL, '1', 'made_events');
	COMMIT;
	INSERT INTO made VALUES (3)});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(type || ':' || payload, ' ' ORDER BY position) FROM made_events}),
	'message:1 insert:{"id": 3}', 'creating transaction: what it emits, not what it changes');

audited_table($node, 'a');
audited_table($node, 'b');
create_audited_outbox($node, 'a_events', 'a');
create_audited_outbox($node, 'b_events', 'b');
my $count = 0;

# Changes both tables and waits.
sub change
{
	$count++;
	$node->safe_psql('postgres', qq{
		BEGIN;
		INSERT INTO a SELECT $count * 100 + i, i, 'n' FROM generate_series(1, 20) i;
		UPDATE a SET v = v + 1 WHERE id % 7 = $count % 7;
		INSERT INTO b SELECT id, v, note FROM a WHERE id / 100 = $count;
		COMMIT;
		DELETE FROM a WHERE id % 11 = $count % 11;
		UPDATE b SET note = note || $count WHERE id % 5 = $count % 5});
	wait_fresh($node);
	return;
}

sub position
{
	my ($outbox) = @_;
	return $node->safe_psql('postgres', "SELECT position FROM derive.outboxes WHERE outbox = '$outbox'::regclass");
}

sub await_live
{
	ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM derive.outboxes WHERE state <> 'live'}) eq '0' }),
		"$_[0]: all outboxes are live");
	wait_fresh($node);
	check_outbox($node, 'a_events', 'a', "$_[0], a");
	check_outbox($node, 'b_events', 'b', "$_[0], b");
	return;
}

change();
await_live('to begin with');

# An outbox or a source that is locked keeps its own outbox back and no other, through restarts.
foreach my $lock ('a_events', 'a')
{
	my $locker = $node->background_psql('postgres');
	my $before = position('a_events');
	$locker->query_safe("BEGIN; LOCK TABLE $lock");
	if ($lock eq 'a_events')
	{
		change();
	}
	else
	{
		$node->safe_psql('postgres', "UPDATE b SET v = v + 1");
		wait_fresh($node);
	}
	is(position('a_events'), $before, "$lock is locked: its outbox waits");
	is($node->safe_psql('postgres', q{SELECT state FROM derive.outboxes WHERE outbox = 'a_events'::regclass}), 'behind', 'and says so');
	check_outbox($node, 'b_events', 'b', 'the other one goes on');
	kill_process('TERM', worker_pid($node, 'applier'));
	wait_fresh($node);
	is(position('a_events'), $before, 'also after a restart');
	$locker->query_safe('COMMIT');
	$locker->quit;
	await_live("$lock is free again");
}

# An outbox that cannot be written fails alone, and gets all when it can again.
$node->safe_psql('postgres', q{
	CREATE ROLE poor;
	GRANT SELECT ON a, a_audit TO poor;
	ALTER TABLE a_events OWNER TO poor;
	REVOKE INSERT ON a_events FROM poor});
change();
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT state || ': ' || reason FROM derive.outboxes WHERE outbox = 'a_events'::regclass})
		eq 'failed: permission denied for table a_events' }), 'an outbox that its owner may not write fails, with the reason');
change();
check_outbox($node, 'b_events', 'b', 'the other one goes on');
$node->safe_psql('postgres', 'GRANT INSERT ON a_events TO poor');
await_live('mended');
is($node->safe_psql('postgres', q{SELECT DISTINCT relowner::regrole FROM pg_class JOIN pg_inherits ON inhrelid = oid
		WHERE inhparent = 'a_events'::regclass}), 'poor', 'partitions follow their outbox to a new owner');

# What happens to the source is not told to an owner who may not read it any more, until that is undone.
foreach my $case ([ 'REVOKE SELECT ON a FROM poor', 'permission denied for table a', 'GRANT SELECT ON a TO poor' ],
	[ 'ALTER TABLE a ENABLE ROW LEVEL SECURITY', 'row-level security of table a applies to the owner', 'ALTER TABLE a DISABLE ROW LEVEL SECURITY' ])
{
	my ($lose, $reason, $mend) = @$case;
	$node->safe_psql('postgres', $lose);
	my $before = position('a_events');
	change();
	ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT state || ': ' || reason FROM derive.outboxes WHERE outbox = 'a_events'::regclass})
			eq "failed: $reason" }), "$lose: its outbox fails");
	is(position('a_events'), $before, 'and gets nothing');
	check_outbox($node, 'b_events', 'b', 'the other one goes on');
	$node->safe_psql('postgres', $mend);
	await_live($mend);
}

# An expression that throws what looks like a passing matter: it is tried again, but not for ever.
$node->safe_psql('postgres', q{
	CREATE TABLE moody (id int PRIMARY KEY);
	CREATE FUNCTION mood(id int) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN IF id = 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '55000'; END IF; RETURN to_jsonb(id); END $$;
	SELECT derive.create_outbox('moods', 'moody', payload => 'public.mood((new).id)');
	INSERT INTO moody VALUES (1), (2), (3)});
ok(poll_until(sub { position('moods') eq '3' }), 'a row whose expression always throws holds no other one up for long');
is($node->safe_psql('postgres', q{SELECT string_agg(payload || coalesce(' ' || (headers->>'error'), ''), ', ' ORDER BY position) FROM moods}),
	'1, {"id": 2} not now, 3', 'and is there without it');
await_live('a moody expression');
$node->safe_psql('postgres', 'DROP TABLE moody CASCADE');

# A fetch that waits wakes up for new events, and survives the death of those who bring them.
$node->safe_psql('postgres', q{SELECT derive.create_consumer('b_events', 'waiting', 'latest')});
my $waiting = $node->background_psql('postgres');
$waiting->query_until(qr/begun/, "\\echo begun\nSELECT 'woke up for ' || count(*) FROM derive.fetch('b_events', 'waiting', wait => '170 s');\n\\echo done\n");
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'woke up' AND wait_event_type = 'Extension'}) eq '1' }),
	'a fetch waits');
kill_process('TERM', worker_pid($node, 'applier'));
$node->safe_psql('postgres', q{INSERT INTO a VALUES (-5, 0)});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'woke up' AND wait_event_type = 'Extension'}), '1', 'goes on waiting while there is nothing for it');
$node->safe_psql('postgres', q{INSERT INTO b VALUES (-5, 0)});
like($waiting->query_until(qr/done/, ''), qr/woke up for 1/, 'and gets the event');
$waiting->quit;

# A commit that is in the log but not visible yet, because a standby has not confirmed it: a later one
# is in the views before it, but in no outbox.
$node->safe_psql('postgres', q{
	CREATE TABLE s (id int PRIMARY KEY);
	SELECT derive.create_outbox('s_events', 's');
	SELECT derive.create_view('seen', 'SELECT id FROM s')});
wait_live($node);
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$node->reload;
my $held = $node->background_psql('postgres');
$held->query_until(qr/begun/, "\\echo begun\nINSERT INTO s VALUES (1);\n");
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) eq '1' }),
	'a commit waits for a standby');
$node->safe_psql('postgres', q{SET synchronous_commit = local; INSERT INTO s VALUES (2)});
ok(poll_until(sub { $node->safe_psql('postgres', 'SELECT string_agg(id::text, $$ $$) FROM seen') eq '2' }), 'a later one is in a view');
is($node->safe_psql('postgres', 'SELECT count(*) FROM s_events'), '0', 'but waits for the earlier one in the outbox');
kill_process('TERM', worker_pid($node, 'applier'));
ok(poll_until(sub { pipeline($node, 'state') eq 'running' }), 'the pipeline starts again');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
$held->quit;
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(payload->>'id', ' ' ORDER BY position) FROM s_events}), '1 2', 'both are there in the order of their commits');
$node->safe_psql('postgres', 'DROP TABLE s CASCADE');

# A large transaction, decoded in pieces, loses nothing when views and outboxes come in between.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO a SELECT 100000 + i, i, repeat('x', 50) FROM generate_series(1, 3000) i});
$node->safe_psql('postgres', q{SELECT derive.create_view('counted', 'SELECT count(*) AS n FROM b')});
wait_live($node);
$writer->query_safe(q{SAVEPOINT s; DELETE FROM a WHERE id > 101000; ROLLBACK TO s; UPDATE a SET v = 0 WHERE id > 102000});
$node->safe_psql('postgres', q{SELECT derive.create_outbox('counts', 'counted')});
$writer->query_safe(q{DELETE FROM a WHERE id > 102500; COMMIT});
$writer->quit;
await_live('a large transaction');

# In one that is decoded in pieces, what a savepoint emits before it changes anything goes with it.
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT derive.emit('kept', NULL, '2', 'made_events');
	INSERT INTO b SELECT 200000 + i, i FROM generate_series(1, 3000) i;
	SAVEPOINT s;
	SELECT derive.emit('gone', NULL, '3', 'made_events');
	INSERT INTO b SELECT 300000 + i, i FROM generate_series(1, 3000) i;
	ROLLBACK TO s;
	SELECT derive.emit('kept', NULL, '4', 'made_events');
	COMMIT});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(aggregatetype || ':' || payload, ' ' ORDER BY position) FROM made_events
	WHERE aggregatetype IN ('kept', 'gone')}), 'kept:2 kept:4', 'what is emitted in a savepoint that is rolled back is not there');
await_live('a large transaction with a savepoint');

# Over a view: each tick's net change, in an outbox that was locked meanwhile, too.
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE counts');
$node->safe_psql('postgres', 'INSERT INTO b VALUES (-1, 1)');
$node->safe_psql('postgres', 'INSERT INTO b VALUES (-2, 1)');
kill_process('TERM', worker_pid($node, 'applier'));
$locker->query_safe('COMMIT');
$locker->quit;
await_live('a view with a locked outbox');
wait_live($node);

# The view itself is locked while the applier starts, which has not seen its columns then.
$locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE counted');
my $killed = worker_pid($node, 'applier');
kill_process('TERM', $killed);
$node->safe_psql('postgres', 'INSERT INTO b VALUES (-3, 1)');
ok(poll_until(sub { $node->safe_psql('postgres', qq{SELECT applier_pid <> $killed FROM derive.pipelines WHERE state = 'running'}) eq 't' }),
	'the applier starts while a view with an outbox is locked');
$locker->query_safe('COMMIT');
$locker->quit;
await_live('a view that was locked');
wait_live($node);
wait_fresh($node);
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT payload->'n' AS n, row_number() OVER (ORDER BY position DESC) AS k FROM counts) x, counted c
	WHERE x.k = 1 AND x.n::text = c.n::text}), '1', "the view's last event is its row");

# A lost slot: every outbox says so before anything else, and then goes on.
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots});
$node->safe_psql('postgres', 'UPDATE b SET v = 1000 WHERE id = -1');
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->start;
poll_until(sub { pipeline($node, 'state') eq 'running' });
my $last = position('b_events');
wait_fresh($node);
$node->safe_psql('postgres', 'UPDATE b SET v = 1001 WHERE id = -1');
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(type || coalesce(' ' || (payload->'new'->>'v'), ''), ', ' ORDER BY position) FROM
	(SELECT * FROM b_events ORDER BY position DESC LIMIT 2) x}), 'gap, update 1001', 'a lost slot is a gap');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT outbox FROM derive.outboxes WHERE source IS NOT NULL) o
	WHERE NOT EXISTS (SELECT FROM derive.outboxes p WHERE p.outbox = o.outbox AND p.state = 'live')}), '0', 'and all are live');

# Retention: old partitions go, readers or not, and who has not read them is told.
$node->safe_psql('postgres', q{
	CREATE TABLE r (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp());
	SELECT derive.create_outbox('r_events', 'r', retain => '4 s');
	SELECT derive.create_consumer('r_events', 'slow');
	INSERT INTO r SELECT generate_series(1, 10)});
wait_fresh($node);
$node->safe_psql('postgres', q{SELECT count(*) FROM derive.fetch('r_events', 'slow', 4, '1 ms')});
ok(poll_until(sub {
	$node->safe_psql('postgres', 'INSERT INTO r SELECT coalesce(max(id), 0) + 1 FROM r');
	return $node->safe_psql('postgres', q{SELECT first > 11 FROM derive.outboxes WHERE outbox = 'r_events'::regclass}) eq 't' }),
	'old events go');
is($node->safe_psql('postgres', q{
	SELECT o.first = min(e.position) AND o.position = max(e.position) AND count(*) = o.position - o.first + 1
	FROM derive.outboxes o, r_events e WHERE o.outbox = 'r_events'::regclass GROUP BY o.first, o.position}), 't', 'whole partitions of them, from the oldest on');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'r_events'::regclass}), '>', 1, 'there are several');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'outbox\_%' AND relkind = 'r' AND relispartition
	AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisunique AND NOT indisprimary)}), '0', 'each has its ids unique');
is($node->safe_psql('postgres', q{SELECT c.missed = o.first - 1 FROM derive.consumers c JOIN derive.outboxes o USING (outbox)
	WHERE outbox = 'r_events'::regclass}), 't', 'derive.consumers shows what a consumer misses');
my ($ret, $stdout, $stderr) = $node->psql('postgres', q{SELECT min(position) = (SELECT first FROM derive.outboxes WHERE outbox = 'r_events'::regclass)
	FROM derive.fetch('r_events', 'slow')});
like($stderr, qr/consumer "slow" misses \d+ events before position/, 'fetch says so');
($ret, $stdout, $stderr) = $node->psql('postgres', q{SELECT count(*) > 0 FROM derive.fetch('r_events', 'slow', 1)});
is($stderr, '', 'once');
foreach my $partition ('r_events', $node->safe_psql('postgres', q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'r_events'::regclass LIMIT 1}))
{
	foreach my $sql ("UPDATE $partition SET type = 'x'", "DELETE FROM $partition", "TRUNCATE $partition",
		"ALTER TABLE $partition DISABLE TRIGGER ALL", "CREATE RULE r AS ON INSERT TO $partition DO INSTEAD NOTHING")
	{
		like(sql_error($node, $sql), qr/cannot (change|do this to) outbox/, "append-only: $sql");
	}
}

# A reader holds no partition for ever, and none waits for it.
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN; SELECT count(*) FROM r_events});
my $first = $node->safe_psql('postgres', q{SELECT first FROM derive.outboxes WHERE outbox = 'r_events'::regclass});
foreach my $i (1 .. 20)
{
	$node->safe_psql('postgres', 'INSERT INTO r SELECT coalesce(max(id), 0) + 1 FROM r; SELECT pg_sleep(0.25)');
}
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT first FROM derive.outboxes WHERE outbox = 'r_events'::regclass}), $first, 'what is read is not dropped');
is($node->safe_psql('postgres', q{SELECT position = (SELECT count(*) FROM r) FROM derive.outboxes WHERE outbox = 'r_events'::regclass}), 't', 'and nothing waits');
my $newest = $node->safe_psql('postgres', q{SELECT position FROM derive.outboxes WHERE outbox = 'r_events'::regclass});
$reader->query_safe('COMMIT');
$reader->quit;
ok(poll_until(sub {
	$node->safe_psql('postgres', 'INSERT INTO r SELECT coalesce(max(id), 0) + 1 FROM r');
	return $node->safe_psql('postgres', qq{SELECT first > $first FROM derive.outboxes WHERE outbox = 'r_events'::regclass}) eq 't' }),
	'when the reader has gone, it is');
ok(poll_until(sub {
	$node->safe_psql('postgres', 'INSERT INTO r SELECT coalesce(max(id), 0) + 1 FROM r');
	return $node->safe_psql('postgres', qq{SELECT first > $newest FROM derive.outboxes WHERE outbox = 'r_events'::regclass}) eq 't' }),
	'so is the partition that it kept open');
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.outboxes o JOIN r ON r.id < o.first
	WHERE o.outbox = 'r_events'::regclass AND r.at > now() - interval '4 s'}), '0', 'by its last event');

# A publication of the root, as Debezium's router and others use it, sees the rows under one name.
$node->safe_psql('postgres', q{
	CREATE PUBLICATION p FOR TABLE b_events WITH (publish_via_partition_root);
	SELECT pg_create_logical_replication_slot('router', 'pgoutput');
	UPDATE b SET v = v WHERE id = -1});
wait_fresh($node);
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_logical_slot_get_binary_changes('router', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')
	WHERE get_byte(data, 0) = ascii('I')}), '1', 'a publication of the root has the event');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('router'); DROP PUBLICATION p});

# A dump carries events, partitions and consumers; the first event after a restore is a gap.
$node->safe_psql('postgres', q{
	CREATE TABLE d (id int PRIMARY KEY);
	SELECT derive.create_outbox('d_events', 'd');
	SELECT derive.create_consumer('d_events', 'app');
	INSERT INTO d VALUES (1), (2);
	SELECT derive.wait();
	SELECT derive.ack('d_events', 'app', position, token) FROM derive.fetch('d_events', 'app', 1, '1 ms');
	CREATE DATABASE restored});
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
($ret, $stdout, $stderr) = $node->psql('restored', "\\i $dump");
unlike($stderr, qr/ERROR:.* outbox/, 'restored without a complaint about outboxes');
$node->safe_psql('restored', 'INSERT INTO d VALUES (3)');
wait_fresh($node, 'restored');
is($node->safe_psql('restored', q{SELECT string_agg(position || ' ' || type, ', ' ORDER BY position) FROM d_events}),
	'1 insert, 2 insert, 3 gap, 4 insert', 'a restored outbox goes on behind a gap');
is($node->safe_psql('restored', q{SELECT min(position) FROM derive.fetch('d_events', 'app')}), '2', 'and its consumer, too');
like(sql_error($node, q{DELETE FROM d_events}, 'restored'), qr/cannot change outbox/, 'append-only as before');
$node->safe_psql('restored', 'DROP EXTENSION pg_derive CASCADE');
poll_until(sub { leftovers($node, 'restored') eq '' });
$node->safe_psql('postgres', 'DROP DATABASE restored; DROP TABLE d CASCADE');

# Renaming and moving change nothing; dropping leaves nothing.
$node->safe_psql('postgres', q{
	CREATE SCHEMA elsewhere;
	ALTER TABLE b_events RENAME TO renamed;
	ALTER TABLE renamed SET SCHEMA elsewhere;
	ALTER TABLE b RENAME COLUMN note TO remark;
	UPDATE b SET v = 77 WHERE id = -2});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT payload->'new'->>'v' FROM elsewhere.renamed ORDER BY position DESC LIMIT 1}), '77', 'renamed and moved');
$node->safe_psql('postgres', q{DROP SCHEMA elsewhere CASCADE; DROP TABLE r CASCADE; DROP TABLE a CASCADE});
wait_fresh($node);
is($node->safe_psql('postgres', q{SELECT string_agg(outbox::text, ' ' ORDER BY id) FROM derive_state.outbox}), 'early_events made_events counts', 'dropped with schema and source');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'outbox\_%' AND relispartition AND relkind = 'r'}), '3', 'with their partitions');
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive_state.consumer}), '0', 'and consumers');
$node->safe_psql('postgres', 'DROP EXTENSION pg_derive CASCADE');
is(poll_until(sub { leftovers($node) eq '' }), 1, 'DROP EXTENSION leaves nothing');

done_testing();
