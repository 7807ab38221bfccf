# Gaps: whatever comes between the frontier that is stored and the log that can be read, views
# say that they are stale and why, and are repaired without anybody's help.
#
# The creation of a slot waits for all open transactions, so a prepared one in a database of its
# own holds every repair up for as long as the test looks at it.

use strict;
use warnings FATAL => 'all';

use Derive::Node;
use Derive::Oracle;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = derive_node('gaps', "max_wal_size = '1GB'\nwal_keep_size = '64MB'\n");
my $archive = $node->archive_dir;
my $round = 0;

mkdir $archive;
$node->append_conf('postgresql.conf', "archive_mode = on\narchive_command = 'cp \"%p\" \"$archive/%f\"'\n");
$node->restart;
$node->safe_psql('postgres', 'CREATE DATABASE holder');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, grp int, n numeric);
	ALTER TABLE t REPLICA IDENTITY FULL;
	INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 1000) i;
	SELECT derive.create_view('rows', 'SELECT id, n FROM t WHERE n > 10');
	SELECT derive.create_view('bag', 'SELECT grp FROM t');
	SELECT derive.create_view('groups', 'SELECT grp, count(*) AS c, sum(n) AS n, max(n) AS hi FROM t GROUP BY grp');
	SELECT derive.create_view('above', 'SELECT c, count(*) AS g FROM groups GROUP BY c');
	SELECT derive.create_view('staged', 'SELECT id, n, rank() OVER (PARTITION BY grp ORDER BY n, id) AS r,
		(SELECT count(*) FROM t u WHERE u.grp = t.grp) AS c FROM t');
	-- Groups that need a primary key: a dump has such views twice.
	CREATE VIEW ordinary AS SELECT t.id, t.n, t.n::numeric(12, 2) AS m, ARRAY[t.grp::varchar(9)] AS w, count(u.id) AS c FROM t LEFT JOIN t u ON u.grp = t.grp AND u.id < 20 GROUP BY t.id;
	SELECT derive.create_view('named', 'SELECT t.id, t.grp, count(u.id) AS c FROM t LEFT JOIN t u ON u.id = t.id + 1 GROUP BY t.id');
	SELECT derive.create_view('over', 'SELECT n, c FROM ordinary WHERE c <> (SELECT min(c) FROM ordinary)');
	-- What a role that is not trusted has evaluated.
	CREATE ROLE somebody;
	GRANT CREATE ON SCHEMA public TO somebody;
	SET ROLE somebody;
	CREATE FUNCTION told() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'told by %', current_user; RETURN 1; END $$;
	SELECT derive.create_view('told', 'SELECT public.told() AS a');
	RESET ROLE;
});
wait_live($node);
wait_fresh($node);

# Changes that a view which misses some of them cannot hide.
sub write_something
{
	my ($to, $db) = @_;

	$round++;
	$to->safe_psql($db // 'postgres', "
		DELETE FROM t WHERE id % 13 = $round % 13;
		UPDATE t SET n = n + 1, grp = (grp + 1) % 10 WHERE id % 7 = $round % 7;
		INSERT INTO t SELECT 10000 * $round + i, i % 10, i FROM generate_series(1, 50) i");
	return;
}

sub hold { my ($on) = @_; $on->safe_psql('holder', q{BEGIN; CREATE TABLE h (); PREPARE TRANSACTION 'holder'}); return }
sub release { my ($on) = @_; $on->safe_psql('holder', q{ROLLBACK PREPARED 'holder'}); return }

# All views are stale, with this reason.
sub all_stale
{
	my ($on, $pattern, $name, $db) = @_;
	my $states;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $ok = poll_until(
		sub {
			$states = $on->safe_psql($db // 'postgres',
				q{SELECT DISTINCT state || ': ' || reason FROM derive.views});
			return $states =~ /^stale: $pattern$/;
		});
	ok($ok, "$name: all views are stale and say why") or diag($states);
	return;
}

# They come back, are right, and are maintained from then on.
sub repaired
{
	my ($on, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	check_all($on, "$name, repaired", $db);
	write_something($on, $db);
	check_all($on, "$name, maintained", $db);
	return;
}

# Runs SQL that needs the slot to be free, which the decoder takes again and again.
sub with_slot
{
	my ($sql) = @_;

	return poll_until(
		sub {
			$node->psql('postgres', 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active');
			my ($ret) = $node->psql('postgres', $sql);
			return $ret == 0;
		});
}

my $slot = pipeline($node, 'slot_name');

# Dropped by hand, under the hands of the running workers.
hold($node);
ok(with_slot("SELECT pg_drop_replication_slot('$slot')"), 'the slot was dropped');
write_something($node);
# It may have been dropped between the applier's look and the decoder's: then the reason is what that waits for.
all_stale($node, qr/(the replication slot was missing|the pipeline is starting: .* to create the replication slot)/,
	'dropped slot');
release($node);
repaired($node, 'dropped slot');

# Invalidated, because it retained too much.
hold($node);
$node->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'});
$node->safe_psql('postgres', q{ALTER SYSTEM SET wal_keep_size = 0});
$node->reload;
write_something($node);
$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS noise (); SELECT pg_switch_wal(); CHECKPOINT')
  foreach 1 .. 4;
all_stale($node, qr/the replication slot was invalidated: it retained more than max_slot_wal_keep_size/,
	'invalidated slot');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET ALL});
$node->reload;
release($node);
repaired($node, 'invalidated slot');

# The log that it needs has been removed by somebody.
hold($node);
my $segment = $node->safe_psql('postgres',
	"SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots WHERE slot_name = '$slot'");
$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS noise (); SELECT pg_switch_wal(); CHECKPOINT')
  foreach 1 .. 2;
write_something($node);
$node->stop;
unlink $node->data_dir . "/pg_wal/$segment" or die "$segment: $!";
$node->start;
all_stale($node, qr/the replication slot was missing/, 'removed log');
release($node);
repaired($node, 'removed log');

# Moved ahead: what lies between is missing, though the slot looks well.  Without the library
# nobody reads it.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
write_something($node);
$node->safe_psql('postgres', "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())");
hold($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->restart;
all_stale($node, qr/the replication slot is ahead of what was applied/, 'advanced slot');
release($node);
repaired($node, 'advanced slot');

# A frontier that this server cannot have written.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', q{UPDATE derive_state.frontier SET applied_lsn = applied_lsn + 1000000000000});
write_something($node);
hold($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->restart;
all_stale($node, qr/the stored frontier is ahead of the server's log/, 'frontier from the future');
release($node);
repaired($node, 'frontier from the future');

# A copy of the database: its rows say "live", but its slot is another one.
hold($node);
$node->safe_psql('holder', 'CREATE DATABASE copy TEMPLATE postgres');
write_something($node, 'copy');
all_stale($node, qr/the database is a copy of another one/, 'template copy', 'copy');
wait_live($node);
release($node);
repaired($node, 'template copy', 'copy');
repaired($node, 'original');

# A dump, restored into another database: plain, and by several processes.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
command_ok([ 'pg_dump', '-Fd', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my $offset = -s $node->logfile;
command_ok([ 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
write_something($node, 'restored');
repaired($node, 'dump', 'restored');
like(slurp_file($node->logfile, $offset), qr/derived view "$_" is stale: it was restored from a dump/, "dump: $_ was stale")
  foreach qw(rows bag groups above staged named over);
my $log = slurp_file($node->logfile, $offset);
like($log, qr/applier[^\n]* told by somebody/, 'dump: a function was called as the view\'s owner');
unlike($log, qr/applier[^\n]* told by (?!somebody)/, 'dump: and as nobody else');
$node->safe_psql('restored', q{SELECT derive.drop_view('staged'); SELECT derive.drop_view('told'); DROP TABLE above; DROP TABLE t CASCADE});
is($node->safe_psql('restored', q{SELECT string_agg(oid::regclass::text, ' ') FROM pg_class c
		WHERE relnamespace = 'derive_state'::regnamespace AND relkind IN ('r', 'v')
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')}),
	'', 'what belongs to a restored view goes with it');

# Section by section: in the pauses the applier looks at views that are not all there, and lets them be.
$node->safe_psql('postgres', 'CREATE DATABASE pieces');
foreach my $section ([ 'pre-data', '' ], [ 'data', 'building' ])
{
	command_ok([ 'pg_restore', '--exit-on-error', "--section=$section->[0]", '-d', $node->connstr('pieces'), $dump ],
		"pg_restore of $section->[0]");
	wait_fresh($node, 'pieces');
	write_something($node, 'pieces') if $section->[1] ne '';
	wait_fresh($node, 'pieces');
	is($node->safe_psql('pieces', 'SELECT DISTINCT state FROM derive.views'), $section->[1],
		"what the views are after $section->[0]");
}
$offset = -s $node->logfile;
command_ok([ 'pg_restore', '--exit-on-error', '--section=post-data', '-d', $node->connstr('pieces'), $dump ],
	'pg_restore of post-data');
repaired($node, 'dump in pieces', 'pieces');
like(slurp_file($node->logfile, $offset), qr/derived view "$_" is stale: it was restored from a dump/, "dump in pieces: $_ was stale")
  foreach qw(rows bag groups above staged named over);
is($node->safe_psql('pieces', 'SELECT sum(repairs) FROM derive.stages'), '0', 'no delta met what did not fit');

# Standby, base backup, point in time.
$node->safe_psql('postgres', q{DROP DATABASE copy});
$node->safe_psql('postgres', q{DROP DATABASE pieces});
$node->safe_psql('postgres', q{DROP DATABASE restored});
$node->backup('base');
$node->safe_psql('postgres', q{SELECT pg_create_restore_point('here')});

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
write_something($node);
wait_fresh($node);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{SELECT DISTINCT state || ': ' || reason FROM derive.views}),
	'stale: the pipeline is not loaded', 'a standby does not claim that its views are live');
hold($node);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->promote;
write_something($standby);
all_stale($standby, qr/the server was promoted or restored from a backup \(timeline 1 became 2\)/, 'promoted standby');
release($standby);
repaired($standby, 'promoted standby');
release($node);
repaired($node, 'old primary');
$offset = -s $standby->logfile;
$standby->restart;
wait_live($standby);
unlike(slurp_file($standby->logfile, $offset), qr/derived views are stale/,
	'a restart of the promoted server is no gap');
repaired($standby, 'promoted standby restarted');
$standby->stop('immediate');

# The backup alone, which ends on the same timeline; pg_basebackup has left the slot out.
my $backup = PostgreSQL::Test::Cluster->new('backup');
$backup->init_from_backup($node, 'base');
$backup->start;
like(slurp_file($backup->logfile), qr/derived views are stale: the replication slot was missing/,
	'base backup: the log says why') if poll_until(sub { slurp_file($backup->logfile) =~ /derived views are stale/ });
repaired($backup, 'base backup');
$backup->stop('immediate');

# To a point in time, with the files of the slot that a copy by other means brings along.
my $pitr = PostgreSQL::Test::Cluster->new('pitr');
$pitr->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$pitr->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'");
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;
PostgreSQL::Test::RecursiveCopy::copypath($node->data_dir . '/pg_replslot', $pitr->data_dir . '/pg_replslot.copy');
rmdir $pitr->data_dir . '/pg_replslot';
rename $pitr->data_dir . '/pg_replslot.copy', $pitr->data_dir . '/pg_replslot' or die $!;
$pitr->start;
ok(poll_until(sub { slurp_file($pitr->logfile) =~ /derived views are stale: the server was promoted or restored/ }),
	'point in time: the log says why');
repaired($pitr, 'point in time');
$pitr->stop;

# Files put under another system identifier, as pg_upgrade does.
$node->start;
wait_live($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', q{UPDATE derive_state.frontier SET system_identifier = system_identifier + 1});
hold($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
$node->restart;
all_stale($node, qr/the database comes from another server or was upgraded/, 'other system');
release($node);
repaired($node, 'other system');
$node->stop;

done_testing();
