# The oracle: random transactions of several clients over an adversarial schema; while they run,
# derive.verify finds nothing and joined views agree; afterwards every view equals its query.
#
# DERIVE_SEED repeats a run's statements, DERIVE_SECONDS (30) makes it longer, DERIVE_CLIENTS (4)
# wider.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $seconds = $ENV{DERIVE_SECONDS} // 30;
my $node = derive_node('oracle', "logical_decoding_work_mem = '64kB'\npg_derive.audit_rate = 1000\n");

create_schema($node);
create_views($node);
check_all($node, 'first build');

my $load = start_load($node, seed => $seed, seconds => $seconds,
	clients => $ENV{DERIVE_CLIENTS} // 4);
my ($verified, $compared, $found, $torn) = (0, 0, '', '');
while (load_is_running($load))
{
	my ($differences, $n) = verify_midflight($node, max => 1);
	$found .= $differences;
	$verified += $n;
	$torn .= consistent_midflight($node);
	$compared++;
}
finish_load($node, $load);

is($found, '', "no difference in flight (seed $seed)");
is($torn, '', "views agree with each other in flight (seed $seed)");
cmp_ok($verified, '>', 1, "views were verified in flight: $verified");
cmp_ok($compared, '>', 1, "and compared with each other: $compared times");

is($node->safe_psql('postgres', 'SELECT view, kind, expected, actual FROM derive.audits'),
	'', "and audits found none (seed $seed)");

wait_live($node);
wait_fresh($node);
is($node->safe_psql('postgres',
		q{SELECT view FROM derive.views WHERE rows_changed = 0 OR ticks = 0}),
	'', 'every view was maintained at all');
check_all($node, "after the load (seed $seed)");

my ($differences, $n) = verify_midflight($node);
is($differences, '', 'verify agrees at the end');
is($n, scalar(view_names($node)), 'for every view');

# And once more with everything gone, then with something back.
$node->safe_psql('postgres',
	'DELETE FROM o.fact; DELETE FROM o.bag; DELETE FROM o.part; DELETE FROM o.wide');
check_all($node, 'emptied');
$node->safe_psql('postgres',
	'INSERT INTO o.bag SELECT i % 10, i % 4, NULL, i, NULL FROM generate_series(1, 20) i;
	 INSERT INTO o.fact (id, grp) VALUES (1, 1), (2, NULL)');
check_all($node, 'and born again');

# Rows that only arrive, which under the load is seldom: what recurs follows them.
my $recomputes = q{SELECT sum(recomputes) FROM derive.stages WHERE rule = 'recursion'};
my $before = $node->safe_psql('postgres', $recomputes);
for my $i (1 .. 4)
{
	$node->safe_psql('postgres',
		"INSERT INTO o.bag SELECT j % 10, j % 7, 'c' || j % 3, j, NULL FROM generate_series($i, $i * 3) j;
		 INSERT INTO o.dim VALUES (100 + $i, NULL, 99 + $i, 1), (200 + $i, NULL, 3 + $i, NULL)");
	wait_fresh($node);
}
is($node->safe_psql('postgres', $recomputes), $before, 'what recurs was not recomputed');
check_all($node, 'what arrived');

done_testing();
