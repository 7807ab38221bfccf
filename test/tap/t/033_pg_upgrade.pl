# pg_upgrade: the slot stays behind, or must be dropped before, from version 17 on, as the documentation
# says; views are repaired by a recompute and say so, an outbox over a table records the gap, one
# over a view loses nothing, consumers and processors go on.
#
# The old server is of the same version, or that of DERIVE_OLD_PG_CONFIG (see test/run.sh).  For us this
# makes no difference: the new one has another system identifier, other numbers of functions
# and roles.

use strict;
use warnings FATAL => 'all';

use Derive::Node;
use Derive::Oracle;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($drop_slot) = slurp_file("$FindBin::Bin/../../../docs/operations.md") =~
  /^(SELECT slot_name, pg_drop_replication_slot.*?;)$/ms;

# Version 18 has checksums by default, older ones have not, and pg_upgrade wants them to agree.
my $old = derive_init_of($ENV{DERIVE_OLD_INSTALL}, 'old', '--data-checksums');
$old->start;
note('from ' . $old->safe_psql('postgres', 'SELECT version()'));
$old->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
$old->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, grp int, n numeric);
	ALTER TABLE t REPLICA IDENTITY FULL;
	INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 1000) i;
	SELECT derive.create_view('rows', 'SELECT id, n FROM t WHERE n > 10');
	SELECT derive.create_view('bag', 'SELECT grp FROM t');
	SELECT derive.create_view('groups', 'SELECT grp, count(*) AS c, sum(n) AS n, max(n) AS hi FROM t GROUP BY grp');
	SELECT derive.create_view('staged', 'SELECT id, n, rank() OVER (PARTITION BY grp ORDER BY n, id) AS r,
		(SELECT count(*) FROM t u WHERE u.grp = t.grp) AS c FROM t');
	SELECT derive.create_outbox('t_events', 't');
	SELECT derive.create_outbox('group_events', 'groups');
	CREATE TABLE seen (op text, id int);
	CREATE FUNCTION see(op text, old t, new t, headers jsonb) RETURNS void LANGUAGE sql
		AS 'INSERT INTO seen VALUES (op, coalesce((new).id, (old).id))';
	SELECT derive.create_processor('sees', 't', 'see(text, t, t, jsonb)');
	SELECT derive.create_consumer('t_events', 'reader');
});
wait_live($old);
$old->safe_psql('postgres', 'UPDATE t SET n = n + 1 WHERE id <= 10');
check_all($old, 'before');
my $before = $old->safe_psql('postgres', 'SELECT count(*), max(position) FROM t_events');
like($before, qr/^10\|/, 'events of ten changes');

# What is written after the applier has stopped reading is only in the old server's log.
$old->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$old->restart;
$old->safe_psql('postgres', 'UPDATE t SET n = n + 1, grp = grp + 1 WHERE id BETWEEN 11 AND 20');
$old->stop;

my $new = derive_init('new', undef, '--data-checksums');
chdir $PostgreSQL::Test::Utils::tmp_check or die $!;
my @pg_upgrade = ('pg_upgrade', '--no-sync', '-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
	'-d', $old->data_dir, '-D', $new->data_dir, '-s', $new->host, '-p', $old->port, '-P', $new->port);
if ($old->pg_version >= 17)
{
	# Slots are taken along, if they have been read to their end: ours never is.
	command_checks_all([ @pg_upgrade, '--check' ], 1, [qr/logical replication slots that cannot be upgraded/], [qr/^/],
		'pg_upgrade refuses our slot');
	$old->start;
	is($old->safe_psql('postgres', $drop_slot), 'pg_derive_5|', 'the slot is dropped while the library is not loaded');
	$old->stop;
}
$old->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_derive'");
command_ok(\@pg_upgrade, 'pg_upgrade');

$new->start;
check_all($new, 'after');
like(slurp_file($new->logfile), qr/derived views are stale: the database comes from another server or was upgraded/,
	'the log says why');
is($new->safe_psql('postgres', q{SELECT DISTINCT state FROM derive.views}), 'live', 'all views are live again');
$new->safe_psql('postgres', 'UPDATE t SET n = n + 1 WHERE id <= 5; DELETE FROM t WHERE id = 7');
check_all($new, 'maintained');
is($new->safe_psql('postgres', q{SELECT type, count(*) FROM t_events GROUP BY 1 ORDER BY 1}), "delete|1\ngap|1\nupdate|15",
	'the outbox over a table has a gap event between what was before and what came after');
is($new->safe_psql('postgres', q{SELECT count(*) FROM
		(SELECT DISTINCT ON (aggregateid) aggregateid, payload FROM group_events ORDER BY aggregateid, position DESC) e
		JOIN groups g ON g.grp::text = e.aggregateid WHERE e.payload IS DISTINCT FROM to_jsonb(g)}), '0',
	'the last event of each group in the outbox over a view is the group as it is');
is($new->safe_psql('postgres', q{SELECT count(*) FROM group_events WHERE type = 'gap'}), '1', 'which says that some ticks were put together in one');
ok(poll_until(sub { $new->safe_psql('postgres', q{SELECT count(*) FROM seen}) >= 17 }), 'the processor goes on');
is($new->safe_psql('postgres', q{SELECT op, count(*) FROM seen GROUP BY 1 ORDER BY 1}), "delete|1\ngap|1\nupdate|15",
	'it was called for each change, and once for the gap');
is($new->safe_psql('postgres', q{SELECT count(*) FROM derive.fetch('t_events', 'reader')}), '17', 'the consumer goes on');
$new->stop;
done_testing();
