# Minor versions that know output_plugin_libraries let only those libraries be output plugins
# that are listed there; older ones do not have the setting.  pg_derive's own decoder works
# either way and without being listed, which stays its own affair: what others may do with the
# library is left to the list.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $refusal = qr/library "pg_derive" may not be used as an output plugin/;
my $node = derive_node('list');
my $list = $node->safe_psql('postgres', q{SELECT current_setting('output_plugin_libraries', true)});
my $known = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'});

# What the server says to somebody who wants a slot with the library as its plugin.
sub outside_slot_error
{
	my $error = sql_error($node,
		q{SELECT pg_create_logical_replication_slot('outside', 'pg_derive', true)});

	return $error;
}

# Writes a row and asks whether the view has it.
sub pipeline_follows
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$node->safe_psql('postgres', 'INSERT INTO t SELECT count(*) FROM t');
	wait_fresh($node);
	return is($node->safe_psql('postgres', 'SELECT n FROM v'),
		$node->safe_psql('postgres', 'SELECT count(*) FROM t'), $name);
}

note "PostgreSQL " . $node->safe_psql('postgres', 'SHOW server_version')
	. ($known ? " knows" : " does not know") . " output_plugin_libraries";
$node->safe_psql('postgres', q{CREATE TABLE t (a int);
	SELECT derive.create_view('v', 'SELECT count(*) AS n FROM t');});
wait_live($node);
pipeline_follows('the pipeline works with the server\'s own list');

if ($known)
{
	unlike($list, qr/pg_derive/, 'which does not have the library');
	like(outside_slot_error(), $refusal, 'a slot from outside is refused');

	# The setting changes under the workers' feet.
	foreach my $value (q{''}, q{'test_decoding'})
	{
		$node->safe_psql('postgres', "ALTER SYSTEM SET output_plugin_libraries = $value");
		$node->reload;
		kill_process('TERM', worker_pid($node, 'decoder'));
		pipeline_follows("a new decoder works with the list $value");
	}
	like(outside_slot_error(), $refusal, 'a slot from outside is refused by a list without the library');

	$node->safe_psql('postgres', q{ALTER SYSTEM SET output_plugin_libraries = 'pg_derive'});
	$node->reload;
	ok(poll_until(sub { outside_slot_error() !~ $refusal }), 'and not refused by a list with it');
	is(outside_slot_error(), '', 'it is made');
}
else
{
	is($list, '', 'the setting does not exist');
	is(outside_slot_error(), '', 'nothing refuses a slot from outside');
}
check_all($node, 'at the end');

done_testing();
