# The queries of TPC-H and Nexmark as derived views, under the benchmarks' own refresh streams:
# after each transaction every view equals its query, row by row as text.
#
# A query that is refused is no failure unless the suite's file "expected" names it; the refusals
# and the rules are in the log.  DERIVE_SEED makes other data.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;

my $tests = dirname(__FILE__) . '/../..';
my $seed = $ENV{DERIVE_SEED} // 8;        # with which all queries have rows
my $scale = 0.0025;
my $size = 40;        # orders of a refresh, about 1 %

# What differs between the suites: psql variables and files, the literals that depend on the scale,
# and the steps: [ name, statements ].
my %suites = (
	tpch => {
		variables => [ "scale=$scale", "seed=$seed" ],
		files => [ 'load.sql', 'indexes.sql' ],
		literals => { '0.0001' => sprintf('%.4f', 0.0001 / $scale) },
		steps => [
			(map {
				[ "RF1 $_", "SELECT rf1($_, $size)" ], [ "RF2 $_", "SELECT rf2($_, $size)" ],
				  [ "updates $_", "SELECT rf3($_, $size)" ]
			} 1 .. 3),
			[ 'all in one transaction', "BEGIN; SELECT rf1(4, $size), rf2(4, $size), rf3(4, $size); COMMIT" ],
			[ 'three transactions', "SELECT rf1(5, $size); SELECT rf2(5, $size); SELECT rf3(5, $size)" ],
			[ 'no orders of 1994', q{DELETE FROM lineitem USING orders WHERE l_orderkey = o_orderkey
				AND extract(year FROM o_orderdate) = 1994} ],
			[ 'no line items', 'DELETE FROM lineitem' ],
			[ 'line items again', 'INSERT INTO lineitem SELECT * FROM make_lineitem(300, 2000, 0)' ],
		],
	},
	nexmark => {
		variables => [ 'events=5000', "seed=$seed" ],
		files => ['load.sql'],
		literals => {},
		steps => [
			(map {
				my ($first, $last) = (5000 + 400 * ($_ - 1), 4999 + 400 * $_);
				[ "events $first to $last", "SELECT add_events($first, $last)" ],
				  [ "corrections $_", "SELECT correct_events($_, $first - 300, $last)" ]
			} 1 .. 4),
			[ 'late events', 'SELECT add_events(7000, 7199); SELECT add_events(6600, 6999)' ],
			[ 'no bids', 'DELETE FROM bid' ],
			[ 'bids again', 'INSERT INTO bid SELECT * FROM make_bid(1000, 6000)' ],
		],
	});

# The queries of a suite: name => text, with the literals of this scale.
sub read_queries
{
	my ($suite) = @_;
	my $literals = $suites{$suite}{literals};
	my %queries;

	foreach my $file (glob "$tests/$suite/queries/q*.sql")
	{
		my $query = slurp_file($file);
		$query =~ s/\b\Q$_\E\b/$literals->{$_}/g foreach keys %$literals;
		$queries{ basename($file, '.sql') } = $query;
	}
	return %queries;
}

# The names in a suite's file "expected".
sub read_expected
{
	my ($suite) = @_;

	return grep { !/^#/ } split /\n/, slurp_file("$tests/$suite/expected");
}

# Creates a suite's views.  Returns the names of those that were accepted.
sub create_suite
{
	my ($node, $suite, %queries) = @_;
	my %expected = map { $_ => 1 } read_expected($suite);
	my @accepted;

	foreach my $name (sort keys %queries)
	{
		my $error = sql_error($node, <<"SQL");
SET search_path = $suite;
SET client_min_messages = warning;
SELECT derive.create_view('$name', \$query\$$queries{$name}\$query\$);
SQL
		$error =~ s/\A.*?ERROR:\s*//s;
		$error =~ s/\n.*//s;
		is($error, '', "$suite: $name is accepted") if $expected{$name};
		note("$suite $name is accepted: it belongs into test/$suite/expected")
		  if $error eq '' && !$expected{$name};
		note("$suite $name is refused: $error") if $error ne '';
		push @accepted, $name if $error eq '';
	}
	return @accepted;
}

# Waits until all views are live or one has failed.  Returns those that are not, with the reasons.
sub not_live
{
	my ($node) = @_;
	my $states;

	poll_until(
		sub {
			$states = $node->safe_psql('postgres',
				q{SELECT view, state, reason FROM derive.views WHERE state <> 'live' ORDER BY view::text});
			return $states eq '' || $states =~ /\|failed\|/;
		});
	return $states;
}

# The rows in which views differ from their queries, at most five of each view.
sub differences
{
	my ($node, $suite, $queries, @views) = @_;
	my $sql = "SET search_path = $suite;\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n";

	foreach my $view (@views)
	{
		$sql .= <<"SQL";
WITH stored AS (SELECT stored_row::text AS r FROM $view stored_row),
	wanted AS (SELECT wanted_row::text AS r FROM ($queries->{$view}) wanted_row)
SELECT '$view', kind, left(r, 150)
FROM (SELECT 'unexpected' AS kind, * FROM (TABLE stored EXCEPT ALL TABLE wanted) x
	UNION ALL
	SELECT 'missing', * FROM (TABLE wanted EXCEPT ALL TABLE stored) y) z
ORDER BY 2, 3 LIMIT 5;
SQL
	}
	return $node->safe_psql('postgres', $sql . 'COMMIT');
}

# Waits until the views are fresh and tests that they equal their queries.
sub check_views
{
	my ($node, $suite, $queries, $name, @views) = @_;

	wait_fresh($node);
	is(not_live($node), '', "$suite, $name: all views are live");
	is(differences($node, $suite, $queries, @views), '', "$suite, $name: views equal their queries");
	return;
}

# Prints each view's rule and size.
sub print_rules
{
	my ($node, $suite, @views) = @_;

	foreach my $view (@views)
	{
		my ($rule, $rows) = split /\|/, $node->safe_psql('postgres',
			"SELECT rule, (SELECT count(*) FROM $suite.$view) FROM derive.views WHERE view = '$suite.$view'::regclass");
		note(sprintf '%-8s %s  %-20s %6d rows', $suite, $view, $rule, $rows);
	}
	return;
}

foreach my $suite (qw(tpch nexmark))
{
	my $node = derive_node($suite);
	my %queries = read_queries($suite);

	$node->safe_psql('postgres', '',
		extra_params => [ (map { ('-v', $_) } @{ $suites{$suite}{variables} }),
			(map { ('-f', "$tests/$suite/$_") } @{ $suites{$suite}{files} }) ]);
	my @views = create_suite($node, $suite, %queries);
	check_views($node, $suite, \%queries, 'as built', @views);
	print_rules($node, $suite, @views);

	foreach my $step (@{ $suites{$suite}{steps} })
	{
		my ($name, $sql) = @$step;
		$node->safe_psql('postgres', "SET search_path = $suite; $sql");
		check_views($node, $suite, \%queries, $name, @views);
	}
	$node->stop;
}

done_testing();
