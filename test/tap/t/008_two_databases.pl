# Two databases of one server: a pipeline each, with slots, workers and views of their own.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $node = derive_node('two');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pg_derive');

my @some = qw(fact_rows bag_rows agg_int agg_numeric agg_all agg_bag second third diamond diamond_sum
  copy_of_copy part_rows wide_rows);
foreach my $db ('postgres', 'other')
{
	create_schema($node, $db);
	create_views($node, db => $db, only => \@some);
}
is($node->safe_psql('postgres',
		q{SELECT count(DISTINCT slot_name) FROM pg_replication_slots WHERE plugin = 'pg_derive' AND active}),
	'2', 'two active slots');
isnt(pipeline($node, 'applier_pid', 'postgres'), pipeline($node, 'applier_pid', 'other'),
	'two appliers');

my %load = map {
	$_ => start_load($node, db => $_, seed => $seed + length, seconds => 8, clients => 2)
} 'postgres', 'other';
my $found = '';
my $verified = 0;
while (load_is_running($load{other}))
{
	foreach my $db ('postgres', 'other')
	{
		my ($differences, $n) = verify_midflight($node, db => $db);
		$found .= $differences;
		$verified += $n;
	}
}
finish_load($node, $load{$_}, $_) foreach keys %load;
is($found, '', "no difference in flight in either database (seed $seed)");
cmp_ok($verified, '>', 5, 'views were verified');
check_all($node, "database $_", $_) foreach 'postgres', 'other';

# The end of one pipeline is not felt by the other.
$node->safe_psql('other', 'DROP EXTENSION pg_derive CASCADE');
ok(poll_until(sub { leftovers($node, 'other') eq '' }), 'one pipeline is gone');
$node->safe_psql('postgres', 'UPDATE o.fact SET qty = 1 WHERE id < 100');
check_all($node, 'the other one goes on');

# It survives a restart that the other database's absence does not delay.
$node->restart;
$node->safe_psql('postgres', 'UPDATE o.fact SET qty = 2 WHERE id < 100');
check_all($node, 'after a restart');

done_testing();
