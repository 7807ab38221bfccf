# Extension life: ALTER EXTENSION UPDATE from every version that was released gives what a fresh
# installation has, keeps views and what users have built on the status views, and views are
# live afterwards; before it the pipeline says what it waits for.  Many databases; a server that is
# started without the library and then with it again.
#
# A new version: its predecessor's install script goes to test/upgrade/, see sql/README.md.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my @scripts = sort glob(dirname(__FILE__) . '/../../upgrade/pg_derive--*.sql');
my @versions;
foreach my $script (@scripts)
{
	copy($script, "$sharedir/extension/" . basename($script)) or die "copy $script: $!";
	push @versions, basename($script) =~ /pg_derive--(.*)\.sql/;
}
cmp_ok(scalar(@versions), '>=', 1, "versions to update from: @versions");

# Everything that belongs to the extension, with definition, owner, privileges and comment.
sub inventory
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		WITH member AS (
			SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name FROM pg_depend
			WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
				AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_derive'))
		SELECT name, coalesce(obj_description(objid, classid::regclass::name), '') || '|' || coalesce(
			(SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc WHERE classid = 'pg_proc'::regclass AND oid = objid),
			(SELECT coalesce(nspacl::text, '') FROM pg_namespace WHERE classid = 'pg_namespace'::regclass AND oid = objid),
			(SELECT concat_ws('|', relkind, relacl, reloptions, CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END,
				(SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attacl,
						pg_get_expr(adbin, adrelid), col_description(c.oid, attnum)), ','
						ORDER BY CASE relkind WHEN 'v' THEN attnum END, attname)
					FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
					WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
				(SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid),
				(SELECT string_agg(pg_get_indexdef(indexrelid), ',' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid))
				FROM pg_class c WHERE classid = 'pg_class'::regclass AND oid = objid), '')
		FROM member
		UNION ALL SELECT 'extension', concat_ws('|', extversion, extrelocatable, extconfig::regclass[], extcondition)
			FROM pg_extension WHERE extname = 'pg_derive'
		ORDER BY 1, 2});
}

my $node = derive_node('upgrade');
my $fresh = inventory($node, 'postgres');
my ($current) = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_derive'});
like($fresh, qr/derive\.create_view/, 'there is something to compare with');

# What lets the present library make views in a database of an old version, as that version would have
# made them: the columns and the function that it needs, for the time of a transaction.
my $columns = $node->safe_psql('postgres', q{SELECT string_agg(format('%I %s %s %s', attname, format_type(atttypid, atttypmod),
		'DEFAULT ' || pg_get_expr(adbin, adrelid), CASE WHEN attnotnull THEN 'NOT NULL' END), E'\n' ORDER BY attnum)
	FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
	WHERE attrelid = 'derive_state.view'::regclass AND attnum > 0 AND NOT attisdropped});
my $function = $node->safe_psql('postgres', q{SELECT replace(pg_get_functiondef(oid), 'derive.create_view', 'public.make_view')
	FROM pg_proc WHERE oid::regproc = 'derive.create_view'::regproc});

sub make_views
{
	my ($db, $version, @calls) = @_;
	my @missing = grep {
		my ($name) = split ' ';
		$node->safe_psql($db, qq{SELECT count(*) FROM pg_attribute WHERE attrelid = 'derive_state.view'::regclass AND attname = '$name'}) eq '0';
	} split /\n/, $columns;

	$node->safe_psql($db, join ";\n", 'BEGIN', "UPDATE pg_extension SET extversion = '$current' WHERE extname = 'pg_derive'",
		(map { "ALTER TABLE derive_state.view ADD COLUMN $_" } @missing), $function,
		(map { "SELECT public.make_view($_)" } @calls), 'DROP FUNCTION public.make_view',
		(map { 'ALTER TABLE derive_state.view DROP COLUMN ' . (split ' ', $_)[0] } @missing),
		"UPDATE pg_extension SET extversion = '$version' WHERE extname = 'pg_derive'", 'COMMIT');
	return;
}

foreach my $version (@versions)
{
	my $db = 'from_' . $version =~ s/\W/_/gr;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, qq{
		CREATE EXTENSION pg_derive VERSION '$version';
		CREATE TABLE t (id int PRIMARY KEY, g int, n numeric);
		INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 100) i;});
	make_views($db, $version, q{'rows', 'SELECT id, n FROM t WHERE g > 0'},
		q{'groups', 'SELECT g, count(*) AS c, sum(n) AS n FROM t GROUP BY g'},
		q{'above', 'SELECT count(*) AS c FROM groups WHERE c > 3'},
		q{'top', 'SELECT g, sum(n) AS n FROM t GROUP BY g ORDER BY 2 DESC, 1 LIMIT 2'});
	$node->safe_psql($db, q{
		CREATE VIEW dashboard AS SELECT v.view, v.state, s.stage FROM derive.views v JOIN derive.stages s USING (view);
		GRANT SELECT ON rows TO PUBLIC;});
	ok(poll_until(sub { pipeline($node, 'reason', $db) =~ /ALTER EXTENSION pg_derive UPDATE/ }),
		"$version: the pipeline of the old version says what it waits for");
	isnt(pipeline($node, 'state', $db), 'running', 'and does not run');
	like(sql_error($node, q{SELECT derive.create_view('more', 'SELECT id FROM t')}, $db), qr/ALTER EXTENSION pg_derive UPDATE/,
		'new views have to wait');
	$node->safe_psql($db, 'INSERT INTO t VALUES (1000, 1, 1)');
	$node->safe_psql($db, 'ALTER EXTENSION pg_derive UPDATE');
	is($node->safe_psql($db, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_derive'}),
		$current, 'updated to the current version');
	is(inventory($node, $db), $fresh, 'the same objects as of a fresh installation');
	wait_live($node, $db);
	$node->safe_psql($db, 'UPDATE t SET n = n + 1; DELETE FROM t WHERE id < 20');
	check_all($node, 'after the update', $db);
	is($node->safe_psql($db, 'SELECT count(*) > 0 FROM dashboard'), 't', 'a view over the status views is still there');
	is($node->safe_psql($db, 'SELECT count(*) FROM derive.health() WHERE ok IS NULL'), '0', 'health answers');
	like(sql_error($node, 'ALTER EXTENSION pg_derive UPDATE TO \'0.0\'', $db), qr/no update path/, 'there is no way back');
	$node->safe_psql($db, 'DROP EXTENSION pg_derive CASCADE');
	ok(poll_until(sub { leftovers($node, $db) eq '' }), 'and it can be dropped without a trace')
	  or diag(leftovers($node, $db));
	$node->safe_psql('postgres', "DROP DATABASE $db");
}

# As many databases as there may be, and one more; then room again.
my $max = $node->safe_psql('postgres', 'SHOW pg_derive.database_workers');
foreach my $i (2 .. $max)
{
	$node->safe_psql('postgres', "CREATE DATABASE d$i");
	$node->safe_psql("d$i", q{CREATE EXTENSION pg_derive; CREATE TABLE t (a int);
		SELECT derive.create_view('v', 'SELECT a, count(*) AS n FROM t GROUP BY a'); INSERT INTO t VALUES (1)});
}
foreach my $i (2 .. $max)
{
	wait_live($node, "d$i");
	wait_fresh($node, "d$i");
	is($node->safe_psql("d$i", 'TABLE v'), '1|1', "database $i of $max");
}
$node->safe_psql('postgres', 'CREATE DATABASE one_more');
like(sql_error($node, 'CREATE EXTENSION pg_derive', 'one_more'), qr/pg_derive\.database_workers/,
	'one too many is refused');
$node->safe_psql('postgres', 'DROP DATABASE d2');
ok(poll_until(sub { sql_error($node, 'CREATE EXTENSION IF NOT EXISTS pg_derive', 'one_more') eq '' }),
	'until another one is dropped, with its workers running');

# A server that is started without the library: what there is can be read, what would change a view is
# refused, and nothing pretends to be fresh.
$node->safe_psql('d3', 'INSERT INTO t VALUES (2)');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('d3', 'SELECT count(*) > 0 FROM v'), 't', 'without the library views can be read');
is($node->safe_psql('d3', 'SELECT state, reason FROM derive.views'), 'stale|the pipeline is not loaded',
	'but are not live');
is($node->safe_psql('d3', q{SELECT ok FROM derive.health() WHERE "check" = 'pipeline'}), 'f', 'health says so');
like(sql_error($node, 'INSERT INTO v VALUES (9, 9)', 'd3'), qr/cannot change derived view/, 'and not written');
like(sql_error($node, 'SELECT derive.wait()', 'd3'), qr/shared_preload_libraries/, 'waiting for them is refused');
$node->safe_psql('d3', 'INSERT INTO t VALUES (2)');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->restart;
wait_live($node, 'd3');
wait_fresh($node, 'd3');
is($node->safe_psql('d3', 'SELECT a, n FROM v ORDER BY 1'), "1|1\n2|2", 'with it again they follow what was written meanwhile');

done_testing();
