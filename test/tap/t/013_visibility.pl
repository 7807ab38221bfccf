# A commit record that is decoded before its transaction is visible: for as long as a backend waits for a
# synchronous standby, its commit is in the log and in no snapshot.  Ticks go on meanwhile; so such a
# transaction must be left out, kept, decoded again after a restart, and taken exactly once, while what came
# after it and is in the frontier must not be taken again.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $node = derive_node('visibility', <<'CONF');
synchronous_standby_names = 'nobody'
synchronous_commit = local
CONF

# No key, so that a row that comes twice is two rows; sums, so that it counts twice.
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, grp int, n int);
	CREATE TABLE u (grp int, label text);
	INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 50) i;
	INSERT INTO u SELECT i, 'label ' || i FROM generate_series(0, 4) i;
	SELECT derive.create_view('sums', 'SELECT grp, count(*) AS c, sum(n) AS n FROM t GROUP BY grp');
	SELECT derive.create_view('joined', 'SELECT t.id, u.label FROM t JOIN u USING (grp)');
	SELECT derive.create_view('above', 'SELECT sum(c) AS c, sum(n) AS n FROM sums');
});
wait_live($node);

my $marker = 1000;

# Commits a row at once and waits until it is in the views.
sub others_go_on
{
	my ($name) = @_;

	$marker++;
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($marker, 1, 1)");
	ok(poll_until(sub {
			$node->safe_psql('postgres', "SELECT count(*) FROM joined WHERE id = $marker") eq '1';
		}), "$name: a later transaction arrives");
	is(difference($node, $_), '', "$name: $_ equals its query") foreach view_names($node);
	return;
}

# Changes of every kind, in a session that then waits for a standby which does not exist.
my $changes = q{UPDATE t SET n = n + 100 WHERE id % 3 = 0; DELETE FROM t WHERE id = 7;
	INSERT INTO t VALUES (500, 2, 5), (500, 2, 5), (501, NULL, 1); UPDATE u SET label = 'new' WHERE grp = 3};

# Starts such a session and waits until it waits.
sub start_invisible
{
	my $session = $node->background_psql('postgres', timeout => 180, on_error_stop => 0);

	$session->query_until(qr/started/,
		"\\echo started\nSET synchronous_commit = on;\nBEGIN; $changes; COMMIT;\n\\echo finished\n");
	ok(poll_until(sub {
			$node->safe_psql('postgres',
				q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) eq '1';
		}), 'a transaction waits for a standby');
	return $session;
}

# Ends the session's waiting, with a warning: it is committed here and nowhere else.
sub make_visible
{
	my ($session) = @_;

	$node->safe_psql('postgres',
		q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
	$session->query_until(qr/finished/, '');
	$session->quit;
	return;
}

my $session = start_invisible();
others_go_on('while it is invisible');
others_go_on('still');
make_visible($session);
check_all($node, 'once it is visible');

foreach my $role (qw(applier decoder))
{
	$session = start_invisible();
	others_go_on("before the $role ends");
	kill_process('TERM', worker_pid($node, $role));
	others_go_on("after the $role has ended");
	make_visible($session);
	check_all($node, "once it is visible, after the $role has ended");
}

is($node->safe_psql('postgres', 'SELECT stage FROM derive.stages WHERE repairs > 0 OR recomputes > 1'),
	'', 'all of it by deltas');

# The server ends: what was invisible is visible from then on.
$session = start_invisible();
others_go_on('before a crash');
$node->stop('immediate');
eval { $session->quit };
$node->start;
wait_live($node);
check_all($node, 'after a crash');
is($node->safe_psql('postgres', 'SELECT stage FROM derive.stages WHERE repairs > 0 OR recomputes > 0'),
	'', 'by deltas, too');

done_testing();
