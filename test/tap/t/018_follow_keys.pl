# Tables that do not log old rows in full, and views that follow the keys of their changes, under
# the random load: nothing but the keys is needed, whatever happens to the identity meanwhile is
# noticed, and a crash repeats a tick or skips it.
#
# DERIVE_SEED repeats a run's statements, DERIVE_SECONDS (8) makes each of its loads longer.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $seconds = $ENV{DERIVE_SECONDS} // 8;
my $node = derive_node('follow_keys', "pg_derive.audit_rate = 1000\n");
my @tables = qw(o.fact o.comp o.wide o.part_1 o.part_2 o.part_3);

# Views that follow keys; a stage that does; views above.
create_schema($node);
create_views($node, only => [qw(fact_rows comp_rows wide_rows part_rows)]);
$node->safe_psql('postgres', q{
	SELECT derive.create_view('v.fact_some', 'SELECT grp, qty, id, amount FROM o.fact WHERE qty > 3 OR qty IS NULL');
	SELECT derive.create_view('v.wide_hash', 'SELECT id, tag, md5(payload) AS hash FROM o.wide WHERE n > 1 OR grp IS NULL');
	SELECT derive.create_view('v.ranked', 'SELECT id, grp, qty, row_number() OVER w AS nr, sum(qty) OVER w AS q FROM o.fact
		WHERE sub IS NOT NULL WINDOW w AS (PARTITION BY grp ORDER BY qty, id)');
	SELECT derive.create_view('v.latest', 'SELECT DISTINCT ON (grp) grp, id, qty FROM o.fact ORDER BY grp, qty DESC, id');
	SELECT derive.create_view('v.lines', 'SELECT k1, k2, v, max(v) OVER (PARTITION BY ref) AS hi, ref FROM o.comp');
	SELECT derive.create_view('v.tags', 'SELECT id, tag, count(*) OVER (PARTITION BY tag) AS n FROM o.wide');
	SELECT derive.create_view('v.regions', 'SELECT id, day, region, rank() OVER (PARTITION BY region ORDER BY day, id) AS r FROM o.part');
	SELECT derive.create_view('v.groups', 'SELECT grp, count(*) AS n, sum(qty) AS q, sum(amount)::text AS s, max(qty) AS hi
		FROM v.fact_some GROUP BY grp');
	SELECT derive.create_view('v.joined', 'SELECT f.id, c.k1, c.k2, c.v FROM v.fact_some f JOIN v.comp_rows c ON c.k1 = f.grp');
	SELECT derive.create_view('v.days', 'SELECT day, region, count(*) AS n, min(amt) IS NULL AS nothing FROM v.part_rows GROUP BY day, region');
	SELECT derive.create_view('v.stage', 'SELECT f.id, w.tag, w.n FROM v.fact_some f
		LEFT JOIN (SELECT id, tag, n FROM o.wide WHERE n < 4) w ON w.id = f.id');
});
check_all($node, 'first build');

# Which stages were recomputed, other than by choice, or repaired since their build.
sub counted
{
	return $node->safe_psql('postgres',
		'SELECT stage, recomputes - chosen, repairs FROM derive.stages ORDER BY stage');
}

sub identities
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'o'::regnamespace
		AND relkind = 'r' AND relname <> 'bag' AND relname <> 'dim' AND relreplident <> 'd'});
}

# Runs the load, verifies views meanwhile, and does something again and again.
sub load
{
	my ($name, $what, %args) = @_;
	my $load = start_load($node, seed => $seed++, seconds => $seconds, clients => 3, %args);
	my ($found, $verified) = ('', 0);

	while (load_is_running($load))
	{
		$what->() if $what;
		my ($differences, $n) = verify_midflight($node, max => 2);
		$found .= $differences;
		$verified += $n;
	}
	finish_load($node, $load);
	is($found, '', "$name: no difference in flight (seed $seed)");
	cmp_ok($verified, '>', 0, "$name: $verified views were verified in flight");
	check_all($node, $name);
	return;
}

# Part 1: the keys are all that is needed.
is(identities(), '0', 'no identity was changed');
my $before = counted();
load('keys only', undef, truncate => 0);
is(counted(), $before, 'nothing was recomputed or repaired');
is($node->safe_psql('postgres', q{SELECT stage FROM derive.stages WHERE rows_changed = 0 OR ticks = 0}),
	'', 'every stage was maintained');
is($node->safe_psql('postgres', 'SELECT view, kind, expected, actual FROM derive.audits'),
	'', 'audits found nothing');

# Part 2: identities change all the time, tables are truncated, and transactions are taken in
# pieces.  (If a subtransaction aborts meanwhile, all sources count as lost, so not before.)
$node->safe_psql('postgres', q{ALTER SYSTEM SET logical_decoding_work_mem = '64kB'});
$node->reload;
srand($seed);
load('other identities', sub {
	my $table = $tables[ rand @tables ];
	my $identity = (qw(FULL NOTHING DEFAULT))[ rand 3 ];

	$node->psql('postgres', "SET lock_timeout = '1s'; ALTER TABLE $table REPLICA IDENTITY $identity");
});
$node->safe_psql('postgres', "ALTER TABLE $_ REPLICA IDENTITY DEFAULT") foreach @tables;

# A key that is not logged is told.
sub says { return $node->safe_psql('postgres', q{SELECT ok, detail FROM derive.health() WHERE "check" = 'replica identity'}) }

$node->safe_psql('postgres', 'ALTER TABLE o.comp REPLICA IDENTITY NOTHING');
like(says(), qr/^f\|.*o\.comp/, 'health tells of a table that does not log the key');
$node->safe_psql('postgres', 'ALTER TABLE o.comp REPLICA IDENTITY DEFAULT');
like(says(), qr/^t\|/, 'and of no other');

# A large transaction, in pieces.
my $pieces = counted();
$node->safe_psql('postgres', q{
	INSERT INTO o.fact (id, grp, qty) SELECT i, i % 10, i % 17 FROM generate_series(1000, 6000) i;
	BEGIN;
	UPDATE o.fact SET qty = qty + 1 WHERE id >= 1000;
	UPDATE o.fact SET id = id + 10000 WHERE id BETWEEN 3000 AND 4000;
	DELETE FROM o.fact WHERE id BETWEEN 4001 AND 5000;
	COMMIT;});
check_all($node, 'a large transaction');
is(counted(), $pieces, 'which was followed');

# Part 3: crashes.
foreach my $victim ([ 'applier', 'KILL' ], [ 'decoder', 'KILL' ], [ 'postmaster', 'immediate' ], [ 'applier', 'TERM' ])
{
	my ($who, $how) = @$victim;
	my $load = start_load($node, seed => $seed++, seconds => 3, clients => 3, bulk => 0);

	usleep(1_000_000);
	if ($who eq 'postmaster')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		kill_process($how, worker_pid($node, $who));
	}
	wait_connectable($node) or die 'the server did not come back';
	finish_load($node, $load);
	check_all($node, "after $who $how (seed $seed)");
}

done_testing();
