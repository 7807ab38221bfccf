# The command line program: help, version, exit codes and what each command prints.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Derive::Node;

program_help_ok('pg_derive');
program_version_ok('pg_derive');
program_options_handling_ok('pg_derive');
command_like([ 'pg_derive', $_, '--help' ], qr/Usage:\s+pg_derive $_/, "pg_derive $_ --help")
  foreach qw(watch explain verify wait);

my $node = derive_node('client');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, grp int);
	INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 30) i;
	SELECT derive.create_view('groups', 'SELECT grp, count(*) AS n FROM t GROUP BY grp');
	SELECT derive.create_view('"odd "" name"', 'SELECT id FROM t');
});
wait_live($node);

# Runs the program; returns exit code, output, error output.
sub client
{
	my (@args) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';

	IPC::Run::run([ 'pg_derive', @args ], '<', \'', '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# Usage errors are 2, and so is a server that is not there.
foreach my $args ([], ['dance'], [ 'wait', 'superfluous' ], ['explain'], [ 'watch', '--count', 'x' ])
{
	my ($code, $out, $err) = client(@$args);
	is($code, 2, "usage error: @$args");
	is($out, '', "nothing on standard output: @$args");
	isnt($err, '', "a message: @$args");
}
my ($code, $out, $err) = client('wait', '-p', 1);
is($code, 2, 'no server: exit code 2');
like($err, qr/connection/, 'no server: said so');

# wait
$node->safe_psql('postgres', 'INSERT INTO t VALUES (31, 0)');
($code, $out, $err) = client('wait', '--timeout', '60');
is("$code|$err", '0|', 'wait succeeds');
like($out, qr{^[0-9A-F]+/[0-9A-F]+\n$}, 'and prints the position');
is($node->safe_psql('postgres', 'SELECT n FROM groups WHERE grp = 0'), '11', 'the view is fresh');
($code, $out, $err) = client('wait', '--lsn', 'FFFF/0', '--timeout', '0.2');
is($code, 1, 'a wait that times out: exit code 1');
like($err, qr/timed? ?out|timeout/i, 'and says so');
($code) = client('wait', '--view', 'groups', '--timeout', '60');
is($code, 0, 'wait for one view');
($code, $out, $err) = client('wait', '--view', 'no_such_view');
is($code, 1, 'wait for a view that is none: exit code 1');

# explain
($code, $out, $err) = client('explain', 'groups');
is("$code|$err", '0|', 'explain a view');
like($out, qr/algebra/, 'and names the rule');
($code, $out) = client('explain', '--query', 'SELECT grp, max(id) FROM t GROUP BY grp');
is($code, 0, 'explain a query');
isnt($out, '', 'prints something');
($code, $out, $err) = client('explain', '--query', 'SELECT id, now() FROM t');
is($code, 1, 'a query that cannot be maintained: exit code 1');
like($err, qr/now/, 'and why');

# verify
($code, $out, $err) = client('verify');
is("$code|$err", '0|', 'verify all views');
like($out, qr/^groups: equal$/m, 'lists them');
like($out, qr/odd/, 'whatever their names are');
($code, $out) = client('verify', '--quiet', 'groups');
is("$code|$out", '0|', 'verify quietly');
($code) = client('verify', 'no_such_view');
is($code, 1, 'verify of a view that is none: exit code 1');

# A row that is wrong is found: the superuser breaks the view past every guard.
$node->safe_psql('postgres', q{
	SET allow_system_table_mods = on;
	UPDATE pg_class SET relhastriggers = false WHERE oid = 'groups'::regclass;
	UPDATE groups SET n = n + 1 WHERE grp = 1;
	DELETE FROM groups WHERE grp = 2;
	UPDATE pg_class SET relhastriggers = true WHERE oid = 'groups'::regclass;});
($code, $out) = client('verify', 'groups');
is($code, 1, 'verify finds the wrong rows: exit code 1');
like($out, qr/^groups: unexpected 1 .*"n": 11/m, 'the row that is wrong');
like($out, qr/^groups: missing 1 .*"n": 10/m, 'the rows that are missing');
like($out, qr/^groups: different$/m, 'and the verdict');
$node->safe_psql('postgres', q{SELECT derive.refresh('groups')});
client('wait', '--timeout', '60');
($code) = client('verify', 'groups');
is($code, 0, 'refresh repairs it');

# watch, not on a terminal: lines of key=value, a given number of times.
($code, $out, $err) = client('watch', '--count', 2, '--interval', '0.1');
is("$code|$err", '0|', 'watch ends after --count readings');
my $lines = () = $out =~ /view=groups /g;
is($lines, 2, 'one line per view and reading');
like($out, qr/pipeline=postgres .*state=running/, 'the pipeline is shown');
like($out, qr/view=groups .*state=live .*lag_ms=/, 'state and lag of a view are shown');

# Ctrl-C is the ordinary end.
{
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	my ($text, $errors) = ('', '');
	my $watch = IPC::Run::start([ 'pg_derive', 'watch', '-d', 'postgres', '-i', '0.1' ],
		'<', \'', '>', \$text, '2>', \$errors);
	ok(poll_until(sub { $watch->pump_nb; $text =~ /view=groups/ }), 'watch runs');
	$watch->signal('INT');
	$watch->finish;
	is($watch->full_result(0), 0, 'SIGINT: exit code 0');
}

done_testing();
