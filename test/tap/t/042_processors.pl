# Processors over time: one that rests says so and goes on by itself, handled events go and what is parked
# stays, a dump carries a processor with what it has not handled.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;

# These settings change how values are read.
my $node = derive_node('processors', "array_nulls = off\nxmloption = document\n");

# A column of a processor's row of derive.processors.
sub processor
{
	my ($column, $name, $db) = @_;

	return $node->safe_psql($db // 'postgres', "SELECT $column FROM derive.processors WHERE processor = '$name'");
}

# Waits until a processor has handled what has been committed.
sub handled
{
	my ($name, $db) = @_;

	wait_fresh($node, $db);
	return poll_until(sub { processor(q{state = 'running' AND lag = 0 AND retried = 0}, $name, $db) eq 't' })
	  // diag(processor('p', $name, $db));
}

# What the handlers below have done, in order.
sub done
{
	my ($what, $db) = @_;

	return $node->safe_psql($db // 'postgres',
		qq{SELECT string_agg(CASE op WHEN 'insert' THEN id::text ELSE op END, ' ' ORDER BY number) FROM done WHERE what = '$what'});
}

$node->safe_psql('postgres', q{
	CREATE TABLE jobs (id int PRIMARY KEY, v int);
	CREATE TABLE done (number bigserial, what text, op text, id int);
	CREATE FUNCTION work(op text, old jobs, new jobs, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF (new).v < 0 THEN
			RAISE EXCEPTION 'negative';
		END IF;
		IF (new).v = 7 THEN -- waits while a session of this database holds it
			PERFORM pg_advisory_xact_lock(7);
		END IF;
		INSERT INTO public.done (what, op, id) VALUES ('jobs', op, (new).id);
	END $$;
	SELECT derive.create_processor('jobs', 'jobs', 'work(text, jobs, jobs, jsonb)', max_attempts => 1)});

# What a handler gets is what was written, however the server reads texts.
$node->safe_psql('postgres', q{
	CREATE TABLE rows (id int PRIMARY KEY, a text[], x xml);
	CREATE TABLE copies (LIKE rows);
	CREATE FUNCTION copy_row(op text, old rows, new rows, headers jsonb) RETURNS void LANGUAGE sql AS
		'INSERT INTO public.copies SELECT (new).*';
	SELECT derive.create_processor('copies', 'rows', 'copy_row(text, rows, rows, jsonb)', max_attempts => 1);
	SET array_nulls = on;
	SET xmloption = content;
	INSERT INTO rows VALUES (1, '{a, NULL, "NULL"}', 'no <b>root</b>')});
handled('copies');
is($node->safe_psql('postgres', q{SELECT count(*) FROM rows r JOIN copies c USING (id) WHERE r.a = c.a AND r.x::text = c.x::text}), '1',
	'arrays and XML arrive as they were written');
$node->safe_psql('postgres', q{DROP TABLE rows, copies CASCADE});

# What waits behind an event that is tried again in an hour gives the worker nothing to do.
$node->safe_psql('postgres', q{
	CREATE TABLE late (id int PRIMARY KEY);
	CREATE FUNCTION tarry(op text, old late, new late, headers jsonb) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN IF (new).id = 1 THEN RAISE EXCEPTION 'later'; END IF; END $$;
	SELECT derive.create_processor('late', 'late', 'tarry(text, late, late, jsonb)', key => '1', backoff => '1 h');
	INSERT INTO late VALUES (1), (2)});
wait_fresh($node);
ok(poll_until(sub { processor('retried', 'late') eq '2' }), 'one event failed and one waits behind it');
ok(poll_until(sub {
	$node->safe_psql('postgres', q{
		CREATE TEMP TABLE seen AS SELECT pid, state_change FROM pg_stat_activity WHERE backend_type = 'pg_derive processor';
		SELECT pg_sleep(1);
		SELECT count(*) FROM seen JOIN pg_stat_activity a USING (pid, state_change) WHERE a.state = 'idle'}) =~ /1$/ }),
	'the worker sleeps');
$node->safe_psql('postgres', 'DROP TABLE late CASCADE');

# An error that is no handler's: the processor's owner may not use the schema any more.
$node->safe_psql('postgres', q{
	CREATE ROLE clerk;
	GRANT CREATE ON SCHEMA public TO clerk;
	SET ROLE clerk;
	CREATE TABLE forms (id int PRIMARY KEY);
	CREATE TABLE filed (number bigserial, id int);
	CREATE FUNCTION file(op text, old forms, new forms, headers jsonb) RETURNS void LANGUAGE sql
		BEGIN ATOMIC INSERT INTO public.filed (id) VALUES ((new).id); END;
	SELECT derive.create_processor('forms', 'forms', 'file(text, forms, forms, jsonb)');
	INSERT INTO forms VALUES (1)});
handled('forms');
is($node->safe_psql('postgres', q{SELECT ok, detail FROM derive.health() WHERE "check" = 'processors'}), 't|2 running, 0 paused', 'both run');
$node->safe_psql('postgres', q{REVOKE USAGE ON SCHEMA derive FROM PUBLIC; INSERT INTO forms VALUES (2), (3); INSERT INTO jobs VALUES (1, 1)});
wait_fresh($node);
ok(poll_until(sub { processor('state', 'forms') eq 'failed' }), 'the state says that it does not run');
is(processor('reason', 'forms'), 'permission denied for schema derive', 'and why');
is($node->safe_psql('postgres', q{SELECT ok, detail FROM derive.health() WHERE "check" = 'processors'}),
	'f|not running: forms: permission denied for schema derive', 'health says so, too');
handled('jobs');
is(done('jobs'), '1', 'another one goes on');
is($node->safe_psql('postgres', 'SELECT count(*) FROM filed'), '1', 'this one does not');
$node->safe_psql('postgres', q{SELECT derive.pause_processor('forms')});
is(processor('state', 'forms'), 'paused', 'paused is paused');
$node->safe_psql('postgres', q{SELECT derive.resume_processor('forms')});
kill_process('TERM', worker_pid($node, 'processor'));
worker_pid($node, 'processor');
ok(poll_until(sub { processor('state', 'forms') eq 'failed' }), 'a new worker knows it');
$node->safe_psql('postgres', q{GRANT USAGE ON SCHEMA derive TO PUBLIC});
handled('forms');
is($node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY number) FROM filed}), '1 2 3', 'it goes on by itself, once for each');
is(processor('reason', 'forms'), '', 'and has no reason any more');
is($node->safe_psql('postgres', 'SELECT count(*) FROM derive_state.processor_failure'), '0', 'nothing of it is left');
$node->safe_psql('postgres', q{SELECT derive.drop_processor('forms'); DROP OWNED BY clerk; DROP ROLE clerk});

# Events that were handled go; what is parked stays, with what came after it.  Another processor, of which nothing is
# parked, shows when the time has come.
$node->safe_psql('postgres', q{
	CREATE FUNCTION ignore(op text, old jobs, new jobs, headers jsonb) RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT; END;
	SELECT derive.create_processor('witness', 'jobs', 'ignore(text, jobs, jobs, jsonb)');
	UPDATE derive_state.outbox SET retain = '1 s';
	SELECT derive.pause_processor('jobs'), derive.resume_processor('jobs')});

# The position of the oldest event that a processor's outbox says that it has.
sub oldest
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{SELECT p.first FROM derive_state.outbox_position p JOIN derive_state.processor r ON r.outbox = p.id
		WHERE r.processor = '$name'});
}

# Writes jobs until what a processor has handled by now is gone.
sub has_gone
{
	my ($name) = @_;
	my $position = processor('position', $name);

	return poll_until(
		sub {
			$node->safe_psql('postgres', 'INSERT INTO jobs SELECT max(id) + 1, 1 FROM jobs');
			handled('jobs');
			return oldest($name) > $position;
		});
}

ok(has_gone('jobs'), 'events that were handled go');
$node->safe_psql('postgres', 'INSERT INTO jobs SELECT max(id) + 1, -1 FROM jobs');
handled('jobs');
my $parked = $node->safe_psql('postgres', 'SELECT position FROM derive.parked');
like($parked, qr/^\d+$/, 'one is parked');
handled('witness');
ok(has_gone('witness'), 'of another processor they go');
cmp_ok(oldest('jobs'), '<=', $parked, 'what is parked stays');
is($node->safe_psql('postgres', 'SELECT min(position) FROM ' . processor('outbox', 'jobs')), oldest('jobs'), 'and the outbox begins where it says');
is($node->safe_psql('postgres', sprintf 'SELECT count(*) = max(position) - %d FROM %s WHERE position > %d', $parked, processor('outbox', 'jobs'), $parked),
	't', 'with all that came after it');
is(processor('parked', 'jobs'), '1', 'it is still parked');
$node->safe_psql('postgres', q{
	CREATE OR REPLACE FUNCTION work(op text, old jobs, new jobs, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.done (what, op, id) VALUES ('jobs', op, (new).id);
	END $$;
	SELECT derive.replay(outbox, consumer, position) FROM derive.parked});
handled('jobs');
ok(has_gone('jobs'), 'when it is handled it goes, too');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM jobs) = count(*) AND count(*) = count(DISTINCT id) FROM done}), 't', 'each was handled once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM derive_state.deferred'), '0', 'no record of what was handled is left');
$node->safe_psql('postgres', q{SELECT derive.drop_processor('jobs'), derive.drop_processor('witness')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^(processor|outbox)_\d'}),
	'0', 'a processor that is dropped leaves no table');

# A dump carries what was not handled, a failed one and a parked one; each copy handles it once.
$node->safe_psql('postgres', q{
	TRUNCATE jobs, done;
	CREATE OR REPLACE FUNCTION work(op text, old jobs, new jobs, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF (new).v < 0 THEN
			RAISE EXCEPTION 'negative';
		END IF;
		IF (new).v = 7 THEN -- waits while a session of this database holds it
			PERFORM pg_advisory_xact_lock(7);
		END IF;
		INSERT INTO public.done (what, op, id) VALUES ('jobs', op, (new).id);
	END $$;
	SELECT derive.create_processor('jobs', 'jobs', 'work(text, jobs, jobs, jsonb)', max_attempts => 1);
	CREATE FUNCTION rest(op text, old jobs, new jobs, headers jsonb) RETURNS void LANGUAGE sql
		BEGIN ATOMIC INSERT INTO public.done (what, op, id) VALUES ('rests', op, (new).id); END;
	SELECT derive.create_processor('rests', 'jobs', 'rest(text, jobs, jobs, jsonb)');
	SELECT derive.pause_processor('rests');
	INSERT INTO jobs VALUES (1, 1), (2, -2)});
handled('jobs');
is(done('jobs') . ', parked ' . processor('parked', 'jobs'), '1, parked 1', 'some have been handled');
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(7)');
$node->safe_psql('postgres', 'INSERT INTO jobs VALUES (3, 7), (4, 4)');
wait_fresh($node);
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) eq '1' }),
	'others are being handled');
my $dump = $node->basedir . '/processors.dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '--section=pre-data', '--section=data', '-d', $node->connstr('restored'), $dump ], 'restored, but for the last parts');
wait_fresh($node, 'restored');
is($node->safe_psql('restored', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_derive processor' AND datname = 'restored'}),
	'0', 'handlers are not called until all is there');
command_ok([ 'pg_restore', '--section=post-data', '-d', $node->connstr('restored'), $dump ], 'and those');
handled('jobs', 'restored');
is(done('jobs', 'restored'), '1 3 4 gap', 'the copy handles what was not handled, and is told of the gap');
ok(poll_until(sub { processor('lag', 'rests', 'restored') eq '5' }), 'the other one gets a gap, too');
is($node->safe_psql('restored', 'SELECT processor, state, lag, parked FROM derive.processors ORDER BY processor'), "jobs|running|0|1\nrests|paused|5|0",
	'what was parked is parked, and who was paused is paused');
$node->safe_psql('restored', q{
	INSERT INTO jobs VALUES (5, 5);
	UPDATE jobs SET v = -2 WHERE id = 1;
	SELECT derive.resume_processor('rests')});
handled('jobs', 'restored');
handled('rests', 'restored');
is(done('jobs', 'restored'), '1 3 4 gap 5', 'the copy goes on');
is(done('rests', 'restored'), '1 2 3 4 gap 5 update', 'and so does the other one');
is(processor('parked', 'jobs', 'restored'), '2', 'and parks');
like(sql_error($node, 'DROP TABLE jobs', 'restored'), qr/ERROR:  2BP01/, 'the source is not dropped without the processor');
like(sql_error($node, 'DROP FUNCTION rest', 'restored'), qr/ERROR:  2BP01/, 'nor is the handler');
$node->safe_psql('restored', 'DROP FUNCTION rest CASCADE');
is($node->safe_psql('restored', 'SELECT string_agg(processor, $$ $$) FROM derive.processors'), 'jobs', 'but with it');
$holder->query_safe('SELECT pg_advisory_unlock(7)');
$holder->quit;
handled('jobs');
is(done('jobs'), '1 3 4', 'the original has handled the same, and knows of no gap');
$node->safe_psql('restored', 'DROP EXTENSION pg_derive CASCADE');
ok(poll_until(sub { leftovers($node, 'restored') eq '' }), 'DROP EXTENSION leaves nothing');

done_testing();
