# A crash anywhere repeats a tick from its start or skips it whole.
#
# First at random, under load: each worker by SIGTERM and SIGKILL, the postmaster by an immediate
# stop.  Then at every named step of a tick (derive_state.debug_steps()).

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Derive::Node;
use Derive::Oracle;

my $seed = oracle_seed();
my $node = derive_node('crash');
my @views = qw(fact_rows bag_rows bag_fact agg_int agg_numeric agg_float agg_bag agg_all wide_rows
  part_rows second third diamond copy_of_copy);

create_schema($node);
create_views($node, only => \@views);
check_all($node, 'first build');

# Part 1: at random.
my @victims = (
	[ 'applier', 'TERM' ], [ 'decoder', 'TERM' ], [ 'launcher', 'TERM' ],
	[ 'applier', 'KILL' ], [ 'decoder', 'KILL' ], [ 'launcher', 'KILL' ],
	[ 'postmaster', 'immediate' ], [ 'applier', 'TERM' ], [ 'decoder', 'TERM' ],
	[ 'postmaster', 'immediate' ],
);
srand($seed);
foreach my $victim (@victims)
{
	my ($who, $how) = @$victim;
	my $load = start_load($node, seed => $seed++, seconds => 3, clients => 3, bulk => 0);

	usleep(500_000 + int rand 1_500_000);
	if ($who eq 'postmaster')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		kill_process($how, $who eq 'launcher' ? launcher_pid($node) : worker_pid($node, $who));
	}
	wait_connectable($node) or die 'the server did not come back';
	my ($found) = verify_midflight($node);
	is($found, '', "verify under load after $who $how");
	wait_connectable($node);
	finish_load($node, $load);
	check_all($node, "after $who $how (seed $seed)");
}

# Part 2: at every step.  What makes a tick of every kind pass by: rows, a truncate, a refresh, a
# new view, a view over a view; and for the decoder's first steps, a pipeline that starts.
sub make_steps_happen
{
	my ($round) = @_;
	my @sql = (
		'INSERT INTO o.bag SELECT i % 10, i % 4, NULL, i, NULL FROM generate_series(1, 20) i',
		'UPDATE o.fact SET qty = qty + 1',
		'DELETE FROM o.fact WHERE id % 7 = ' . $round % 7,
		'TRUNCATE o.part',
		"INSERT INTO o.part SELECT i, date '2024-01-01' + i, 'r', i FROM generate_series(1, 80) i ON CONFLICT DO NOTHING",
		"SELECT derive.refresh('v.agg_int')",
		"SELECT derive.create_view('v.extra_$round', 'SELECT a, count(*) FROM o.bag GROUP BY a')",
		"SELECT pg_terminate_backend(decoder_pid) FROM derive.pipelines",
	);

	# The server may be down at any of them.
	$node->psql('postgres', $_) foreach @sql;
	return;
}

# The steps of processors are those of 041_transfers.pl.
my @steps = grep { !/^processor-/ }
  split /\n/, $node->safe_psql('postgres', 'SELECT * FROM derive_state.debug_steps()');
cmp_ok(scalar @steps, '>=', 10, 'there are steps to die at: ' . join ' ', @steps);

my $round = 0;
foreach my $step (@steps)
{
	my $offset = -s $node->logfile;
	my $db = 'postgres';

	$round++;
	if ($step =~ /slot-created/)
	{
		# Only a new pipeline creates a slot.
		$db = 'fresh_db';
		$node->safe_psql('postgres', "CREATE DATABASE $db");
	}
	set_debug_step($node, "$step:kill");
	my $died = poll_until(
		sub {
			if ($db eq 'postgres')
			{
				make_steps_happen($round);
			}
			else
			{
				$node->psql($db, 'CREATE EXTENSION IF NOT EXISTS pg_derive');
			}
			return slurp_file($node->logfile, $offset) =~ /was terminated by signal 9/;
		});
	set_debug_step($node, undef);
	ok($died, "$step: a worker died there");
	# A worker that has not read the new setting may die there once more, and take the server along
	# while it is asked: let only workers live that started without it.
	$node->stop('immediate');
	$node->start;
	wait_live($node);

	# Prove that the pipeline moves again, and see what the crash has left.
	$node->safe_psql('postgres', 'UPDATE o.fact SET qty = coalesce(qty, 0) + 1 WHERE id < 50');
	wait_fresh($node);
	my $wrong = join '', map { my $d = difference($node, $_); $d eq '' ? '' : "$_: $d\n" } view_names($node);
	is($wrong, '', "$step: every view equals its query");
	if ($db ne 'postgres')
	{
		$node->safe_psql($db, q{CREATE EXTENSION IF NOT EXISTS pg_derive;
			CREATE TABLE t (a int);
			SELECT derive.create_view('v', 'SELECT a FROM t');
			INSERT INTO t VALUES (1);});
		wait_live($node, $db);
		wait_fresh($node, $db);
		is($node->safe_psql($db, 'TABLE v'), '1', "$step: the new pipeline works");
	}
}

# An error at a step quarantines a view or restarts the tick, and mends itself.
foreach my $step (grep { /^tick-/ } @steps)
{
	set_debug_step($node, "$step:error");
	my $offset = -s $node->logfile;
	my $met = poll_until(
		sub {
			make_steps_happen(++$round);
			return slurp_file($node->logfile, $offset) =~ /stopped at step "$step"/;
		});
	set_debug_step($node, undef);
	ok($met, "$step: an error was thrown there");
	# They would come back by themselves, but after many errors only in a minute or more.
	$node->safe_psql('postgres',
		q{SELECT derive.refresh(view) FROM derive.views WHERE state = 'failed'});
	wait_live($node);
	wait_fresh($node);
	my $wrong = join '', map { my $d = difference($node, $_); $d eq '' ? '' : "$_: $d\n" } view_names($node);
	is($wrong, '', "$step: every view equals its query after the error");
}

check_all($node, 'at the end');
done_testing();
