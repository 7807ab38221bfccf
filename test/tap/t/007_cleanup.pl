# Nothing is left: no slot, worker, state table, definition or catalog row, whichever way a view,
# a source, the extension or the database goes.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $node = derive_node('cleanup');

# What belongs to views, one line each; the extension's own relations are not counted.
sub traces
{
	return $node->safe_psql('postgres', q{
		SELECT 'relation ' || c.relname FROM pg_class c
			WHERE relnamespace = 'derive_state'::regnamespace AND relkind IN ('r', 'v', 'm')
				AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
		UNION ALL SELECT 'view row ' || id FROM derive_state.view
		UNION ALL SELECT 'progress row ' || id FROM derive_state.progress
		UNION ALL SELECT 'status ' || view FROM derive.views
		UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger
			WHERE tgfoid = 'derive_state.reject_write()'::regprocedure
		UNION ALL SELECT 'target ' || relname FROM pg_class
			WHERE relname IN ('rows', 'groups', 'above') AND relkind = 'r'
		ORDER BY 1});
}

# The applier removes its own rows when it learns of the end of a view.
sub no_traces
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	poll_until(sub { traces() eq '' });
	return is(traces(), '', $name);
}

# Source table, and views of both kinds, one above another.
sub set_up
{
	my ($schema) = @_;

	$node->safe_psql('postgres', qq{
		CREATE SCHEMA IF NOT EXISTS $schema;
		SET search_path = $schema;
		CREATE TABLE IF NOT EXISTS public.src (id int PRIMARY KEY, grp int, n numeric);
		INSERT INTO public.src SELECT i, i % 3, i FROM generate_series(1, 30) i ON CONFLICT DO NOTHING;
		SELECT derive.create_view('rows', 'SELECT grp, n FROM public.src');
		SELECT derive.create_view('groups', 'SELECT grp, sum(n) AS n, min(id) AS lo FROM public.src GROUP BY grp');
		SELECT derive.create_view('above', 'SELECT count(*) AS c FROM groups');});
	wait_live($node);
	wait_fresh($node);
	is($node->safe_psql('postgres',
			"SELECT c = (SELECT count(DISTINCT grp) FROM public.src) FROM $schema.above"),
		't', "set up in $schema");
	return;
}

set_up('a');
like(traces(), qr/relation .*_state/, 'there is something to clean up');
like(sql_error($node, q{SELECT derive.drop_view('a.groups')}), qr/depend/,
	'drop_view refuses while another view stands on it');
like(sql_error($node, q{SELECT derive.drop_view('public.src')}), qr/ERROR/,
	'drop_view refuses what is no view');
$node->safe_psql('postgres', q{SELECT derive.drop_view('a.above'); SELECT derive.drop_view('a.groups');
	SELECT derive.drop_view('a.rows')});
no_traces('derive.drop_view');

set_up('b');
$node->safe_psql('postgres', q{SELECT derive.drop_view('b.groups', cascade => true)});
is($node->safe_psql('postgres', 'SELECT view FROM derive.views'), 'b.rows',
	'drop_view with cascade takes the view above');
$node->safe_psql('postgres', 'DROP TABLE b.rows');
no_traces('DROP TABLE of a view');

set_up('c');
like(sql_error($node, 'DROP TABLE c.groups'), qr/depend/, 'DROP TABLE refuses as well');
$node->safe_psql('postgres', 'DROP TABLE c.groups, c.rows CASCADE');
no_traces('DROP TABLE ... CASCADE');

set_up('d');
$node->safe_psql('postgres', 'DROP SCHEMA d CASCADE');
no_traces('DROP SCHEMA ... CASCADE');

set_up('e');
like(sql_error($node, 'DROP TABLE public.src'), qr/depend/, 'a source cannot simply be dropped');
is($node->safe_psql('postgres', 'SELECT count(*) FROM derive.views'), '3', 'all are still there');
$node->safe_psql('postgres', 'DROP TABLE public.src CASCADE');
no_traces('DROP TABLE source CASCADE');

# Rolled back, nothing has happened.
set_up('f');
$node->safe_psql('postgres', q{BEGIN; SELECT derive.drop_view('f.groups', true); ROLLBACK});
$node->safe_psql('postgres', 'INSERT INTO public.src VALUES (100, 9, 9)');
wait_fresh($node);
is($node->safe_psql('postgres', 'SELECT c FROM f.above'), '4', 'a rolled back drop changes nothing');
check_all($node, 'after the rollback');
$node->safe_psql('postgres', q{BEGIN; SELECT derive.create_view('f.never', 'SELECT id FROM public.src'); ROLLBACK});
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.views WHERE view::text ~ 'never'}), '0',
	'nor does a rolled back creation');

# A role that owns views: DROP OWNED.
$node->safe_psql('postgres', q{
	CREATE ROLE owner_of_views; CREATE SCHEMA owned AUTHORIZATION owner_of_views;
	SET ROLE owner_of_views;
	CREATE TABLE owned.t (a int);
	SELECT derive.create_view('owned.v', 'SELECT a, count(*) AS n FROM owned.t GROUP BY a');});
wait_live($node);
$node->safe_psql('postgres', 'DROP OWNED BY owner_of_views; DROP ROLE owner_of_views');
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.views WHERE view::text ~ 'owned'}), '0',
	'DROP OWNED');

# The extension.
my $slot = pipeline($node, 'slot_name');
my @pids = (worker_pid($node, 'applier'), worker_pid($node, 'decoder'));
like(sql_error($node, 'DROP EXTENSION pg_derive'), qr/depend/,
	'DROP EXTENSION refuses while there are views');
$node->safe_psql('postgres', 'DROP EXTENSION pg_derive CASCADE');
ok(poll_until(sub { leftovers($node) eq '' }), 'DROP EXTENSION CASCADE leaves nothing')
  or diag(leftovers($node));
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$slot'"),
	'0', 'no slot');
ok(poll_until(sub { !grep { kill 0, $_ } @pids }), 'no worker');
$node->safe_psql('postgres', 'INSERT INTO public.src VALUES (200, 9, 9)');

# And again, in the same database.
$node->safe_psql('postgres', 'DROP SCHEMA f CASCADE; CREATE EXTENSION pg_derive');
set_up('g');
check_all($node, 'the extension was created again');
is($node->safe_psql('postgres', q{BEGIN; DROP EXTENSION pg_derive CASCADE; ROLLBACK;
		SELECT count(*) FROM derive.views}), '3', 'a rolled back DROP EXTENSION');
$node->safe_psql('postgres', 'UPDATE public.src SET n = n + 1');
check_all($node, 'the pipeline goes on after it');

# Dropped and created again in one transaction, it is another one: it knows nothing of the first, and its
# messages in the log are its own.
$node->safe_psql('postgres', q{BEGIN; DROP EXTENSION pg_derive CASCADE; CREATE EXTENSION pg_derive; COMMIT;
	DROP SCHEMA g CASCADE});
set_up('h');
$node->safe_psql('postgres', q{SELECT derive.create_outbox('h.events', NULL);
	SELECT derive.emit('topic', 'key', '1', 'h.events')});
check_all($node, 'created again in the transaction that dropped it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM h.events'), '1', 'it knows its messages');

# The database.
$node->safe_psql('postgres', 'CREATE DATABASE doomed');
$node->safe_psql('doomed', q{CREATE EXTENSION pg_derive; CREATE TABLE t (a int);
	SELECT derive.create_view('v', 'SELECT a FROM t')});
wait_live($node, 'doomed');
my $doomed_slot = pipeline($node, 'slot_name', 'doomed');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
ok(poll_until(sub {
		$node->safe_psql('postgres', qq{
			SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$doomed_slot')
				+ (SELECT count(*) FROM pg_stat_activity
					WHERE backend_type ~ 'pg_derive (applier|decoder)'
						AND datname IS DISTINCT FROM 'postgres')}) eq '0';
	}), 'DROP DATABASE works under the pipeline and leaves no slot and no worker')
  or diag($node->safe_psql('postgres', 'SELECT * FROM pg_replication_slots'));
$node->safe_psql('postgres', 'UPDATE public.src SET n = n + 1');
check_all($node, 'the other database does not notice');

# A database with a pipeline can be a template, be renamed, and get a copy of its own.
$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', q{CREATE EXTENSION pg_derive; CREATE TABLE t (a int);
	SELECT derive.create_view('v', 'SELECT a, count(*) AS n FROM t GROUP BY a')});
wait_live($node, 'original');
$node->safe_psql('postgres', 'ALTER DATABASE original RENAME TO renamed');
$node->safe_psql('renamed', 'INSERT INTO t VALUES (1), (1)');
wait_live($node, 'renamed');
check_all($node, 'renamed', 'renamed');

done_testing();
