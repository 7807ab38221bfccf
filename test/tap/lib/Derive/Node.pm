# Derive::Node: a test server with pg_derive, and what tests ask of it again and again.
#
#   my $node = derive_node('main');            # started, extension created in "postgres"
#   wait_fresh($node);                         # everything committed so far is in all live views
#   is(pipeline($node, 'state'), 'running', ...);
#   like(sql_error($node, 'SELECT 1/0'), qr/division/, ...);
#
# Nothing in here sleeps for a fixed time in the hope that something has happened by then:
# poll_until() asks again until the answer is right or the timeout has passed.

package Derive::Node;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  derive_node derive_init derive_init_of sql_error wait_fresh wait_live wait_connectable poll_until
  pipeline worker_pid launcher_pid postmaster_pid kill_process set_debug_step leftovers
);

# Settings that every node has; a test appends its own.
my $server_conf = dirname(__FILE__) . '/../../../server.conf';

# Returns an initialized node that is not started; with more options of initdb.
sub derive_init
{
	my ($name, $conf, @options) = @_;

	return initialize(PostgreSQL::Test::Cluster->new($name), $conf, @options);
}

# The same for a node of another installation.
sub derive_init_of
{
	my ($install, $name, @options) = @_;
	my @of = defined $install ? (install_path => $install) : ();

	return initialize(PostgreSQL::Test::Cluster->new($name, @of), undef, @options);
}

sub initialize
{
	my ($node, $conf, @options) = @_;

	$node->init(extra => [ '--encoding=UTF8', '--no-locale', @options ]);
	$node->append_conf('postgresql.conf', slurp_file($server_conf));
	$node->append_conf('postgresql.conf', <<"CONF");
log_statement = none
include_if_exists 'debug_step.conf'
CONF
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	return $node;
}

# Returns a started node with the extension in database "postgres".
sub derive_node
{
	my $node = derive_init(@_);

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
	return $node;
}

# The error text of SQL that must fail; '' when it succeeds.
sub sql_error
{
	my ($node, $sql, $db) = @_;
	my ($ret, $stdout, $stderr) =
	  $node->psql($db // 'postgres', $sql, on_error_stop => 1,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return $ret == 0 ? '' : $stderr;
}

# Calls $probe every 50 ms until it returns something true, which is returned; else undef.
sub poll_until
{
	my ($probe, $timeout) = @_;
	my $end = time + ($timeout // $PostgreSQL::Test::Utils::timeout_default);

	while (1)
	{
		my $answer = eval { $probe->() };
		return $answer if $answer;
		return undef if time > $end;
		usleep(50_000);
	}
}

# Waits until the server accepts connections (again, after a crash).
sub wait_connectable
{
	my ($node, $db) = @_;

	return poll_until(
		sub {
			my ($ret) = $node->psql($db // 'postgres', 'SELECT 1');
			return $ret == 0;
		});
}

# Waits until all views of the database are live; dies with their states if not.
sub wait_live
{
	my ($node, $db, $timeout) = @_;
	my $states;

	poll_until(
		sub {
			$states = $node->safe_psql($db // 'postgres',
				q{SELECT view, state, reason FROM derive.views WHERE state <> 'live'});
			return $states eq '';
		}, $timeout)
	  or die "views that do not become live:\n$states";
	return;
}

# Everything committed before the call is in all live views when it returns.
sub wait_fresh
{
	my ($node, $db, $timeout) = @_;

	$timeout //= $PostgreSQL::Test::Utils::timeout_default;
	return $node->safe_psql($db // 'postgres', "SELECT derive.wait(timeout => '$timeout s')");
}

# One column of the database's row of derive.pipelines.
sub pipeline
{
	my ($node, $column, $db) = @_;

	return $node->safe_psql($db // 'postgres', "SELECT $column FROM derive.pipelines");
}

# Process id of the "applier", the "decoder" or the "processor", waiting until there is one.
sub worker_pid
{
	my ($node, $role, $db) = @_;

	return poll_until(
		sub {
			my $pid = pipeline($node, "${role}_pid", $db);
			return $pid =~ /^[1-9]/ ? $pid : undef;
		}) // die "no $role";
}

# Process id of the launcher, waiting until there is one.
sub launcher_pid
{
	my ($node) = @_;

	return poll_until(
		sub {
			return $node->safe_psql('postgres',
				q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_derive launcher'});
		}) // die "no launcher";
}

sub postmaster_pid
{
	my ($node) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	return $pid;
}

# Sends a signal to a process of the server and waits until it is gone.
sub kill_process
{
	my ($signal, $pid) = @_;

	kill $signal, $pid;
	poll_until(sub { !kill 0, $pid }, 30) or die "process $pid survived SIG$signal";
	return;
}

# Sets pg_derive.debug_step, or resets it (undef), without a connection: the server may be
# in the middle of a crash restart.
sub set_debug_step
{
	my ($node, $value) = @_;
	my $file = $node->data_dir . '/debug_step.conf';

	unlink $file;
	append_to_file($file, "pg_derive.debug_step = '$value'\n") if defined $value;
	kill 'HUP', postmaster_pid($node);
	return;
}

# What pg_derive has left behind in a database that should know nothing of it any more: one
# line each for slots, workers, relations, functions and schemas.
sub leftovers
{
	my ($node, $db) = @_;

	return $node->safe_psql($db // 'postgres', q{
		SELECT 'slot ' || slot_name FROM pg_replication_slots
			WHERE slot_name = 'pg_derive_' ||
				(SELECT oid FROM pg_database WHERE datname = current_database())
		UNION ALL
		SELECT 'worker ' || backend_type FROM pg_stat_activity
			WHERE backend_type ~ 'pg_derive (applier|decoder|processor)' AND datname = current_database()
		UNION ALL
		SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname IN ('derive', 'derive_state')
		UNION ALL
		SELECT 'relation ' || oid::regclass FROM pg_class
			WHERE relnamespace IN (SELECT oid FROM pg_namespace
				WHERE nspname IN ('derive', 'derive_state'))
		ORDER BY 1});
}

1;
