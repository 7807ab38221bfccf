# Fuzz::Expr: random expressions that are right by type, immutable, and never fail.
#
# A node is { t => type, f => format, k => [nodes] }: its SQL is the format with the kids' SQL in
# place of each %s.  Other nodes carry more: { sub => query } puts a subquery in place of the
# first %s, { win => {...} } is a window function; Fuzz::Query makes and renders these.
#
# A scope says what an expression can refer to:
#   { cols => [{ t => type, n => node, plain => bool }, ...],   # plain: a bare column
#     outer => scope or undef,        # of the query around
#     depth => n,                     # how deep subqueries may still nest
#     fresh => sub { node or undef }, # makes a further leaf of a type: an aggregate, a window function
#     subquery => sub }               # makes an expression with a subquery
#
# "exact" types are those whose equal values are identical; only they can be shown where one of
# several equal values is kept (grouping keys, DISTINCT, set operations, min and max).

package Fuzz::Expr;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Fuzz::Schema;

our @EXPORT = qw(
  node column const expr bool_expr aggregate is_exact is_sortable canonical total_terms
  random_type random_exact_type aggregate_types comparison
);

my %loose = map { $_ => 1 } qw(num itv json word);
my %plain_weights = (int => 10, big => 3, num => 5, xnum => 2, txt => 7, vc => 2, bpc => 1, bool => 3,
	date => 1.5, ts => 1, itv => 1, xitv => 0.5, json => 1.5, ia => 1.2, ta => 0.3, pair => 0.7, dom => 0.8,
	rng => 0.7, enum => 1, byt => 0.5, flt => 1, word => 0.7);

sub is_exact { return !$loose{ $_[0] } }
sub is_sortable { return 1 }

sub random_type
{
	return weighted(map { $plain_weights{$_} => $_ } sort keys %plain_weights);
}

sub random_exact_type
{
	return weighted(map { $plain_weights{$_} => $_ } grep { !$loose{$_} } sort keys %plain_weights);
}

sub node { my ($t, $f, @k) = @_; return { t => $t, f => $f, k => [@k] } }

sub column { my ($t, $sql) = @_; (my $f = $sql) =~ s/%/%%/g; return { t => $t, f => $f, k => [], col => 1 } }

sub const
{
	my ($t, $null) = @_;
	my $v = literal($t, $null // 0.12);

	$v =~ s/%/%%/g;
	$v = "($v)" if $v =~ /^-/;
	return { t => $t, f => $t eq 'vc' ? "$v\::varchar" : "$v\::" . sql_type($t), k => [], const => 1 };
}

# An exact expression that is the same for equal values, or undef where there is none.
sub canonical
{
	my ($n) = @_;

	return $n if is_exact($n->{t});
	return node('xnum', 'trim_scale(%s)', $n) if $n->{t} eq 'num';
	return node('xitv', 'justify_interval(%s)', $n) if $n->{t} eq 'itv';
	return node('txt', 'lower((%s)::text)', $n) if $n->{t} eq 'word';
	return undef;
}

# ORDER BY terms over a column's SQL that tell all its distinguishable values apart.
sub total_terms
{
	my ($t, $sql) = @_;

	return ($sql, "scale($sql)") if $t eq 'num';
	return ($sql, "extract(day FROM $sql)", "extract(month FROM $sql)") if $t eq 'itv';
	return ($sql, "($sql)::text") if $t eq 'json' || $t eq 'word';
	return ($sql);
}

# What makes a type from others: type => [weight, format, types of the kids...].
my %ops = (
	int => [
		[ 3, '((%s + %s) %% 11)', 'int', 'int' ], [ 2, q{((%s - %s) %% 7)}, 'int', 'int' ],
		[ 1, '((%s * %s) %% 13)', 'int', 'int' ], [ 2, '(%s %% 2)', 'int' ], [ 1, '(- %s)', 'int' ],
		[ 1, 'abs(%s)', 'int' ], [ 1, '(%s / 2)', 'int' ], [ 1, 'length(%s)', 'txt' ],
		[ 0.7, 'cardinality(%s)', 'ia' ], [ 0.7, '(%s)[1]', 'ia' ], [ 0.8, '(%s).x', 'pair' ],
		[ 0.8, '(%s)::int', 'dom' ], [ 0.5, 'lower(%s)', 'rng' ], [ 0.5, '(%s %% 1000)::int', 'big' ],
		[ 0.5, 'extract(day FROM %s)::int', 'date' ], [ 0.4, 'octet_length(%s)', 'byt' ],
		[ 0.4, '(%s)::int', 'bool' ], [ 0.3, '(%s - %s)', 'date', 'date' ],
	],
	big => [ [ 2, '(%s)::bigint', 'int' ], [ 1, '(%s + %s)', 'big', 'int' ], [ 1, '(%s %% 100)', 'big' ] ],
	num => [
		[ 2, '(%s + %s)', 'num', 'num' ], [ 1, '(%s * 1.5)', 'num' ], [ 1, '(- %s)', 'num' ],
		[ 1, '(%s)::numeric', 'int' ], [ 0.5, '(%s)::numeric', 'big' ], [ 1, 'round(%s, 1)', 'num' ],
		[ 1, '(%s - %s)', 'num', 'int' ], [ 1, '(%s)', 'xnum' ],
	],
	xnum => [ [ 4, 'trim_scale(%s)', 'num' ], [ 1, '(%s)::numeric', 'int' ] ],
	txt => [
		[ 2, '(%s || %s)', 'txt', 'txt' ], [ 1, 'upper(%s)', 'txt' ], [ 1, 'left(%s, 1)', 'txt' ],
		[ 1.5, '(%s)::text', 'int' ], [ 1, '(%s)::text', 'vc' ], [ 0.5, '(%s)::text', 'bpc' ],
		[ 1, q{(%s ->> 'a')}, 'json' ], [ 0.7, '(%s).y', 'pair' ], [ 0.5, '(%s)::text', 'json' ],
		[ 0.5, '(%s)::text', 'bool' ], [ 0.5, 'reverse(%s)', 'txt' ], [ 0.5, 'lower((%s)::text)', 'word' ],
	],
	vc => [ [ 1, '(%s)::varchar', 'txt' ] ],
	bpc => [],
	date => [ [ 2, '(%s + %s)', 'date', 'int' ], [ 1, q{(%s AT TIME ZONE 'UTC')::date}, 'ts' ] ],
	ts => [ [ 1, q{((%s)::timestamp AT TIME ZONE 'UTC')}, 'date' ] ],
	itv => [ [ 2, '(%s + %s)', 'itv', 'itv' ], [ 1, '(%s * 2)', 'itv' ], [ 1, '(%s)', 'xitv' ],
		[ 1, 'make_interval(days => %s)', 'int' ] ],
	xitv => [ [ 1, 'justify_interval(%s)', 'itv' ] ],
	json => [ [ 2, q{(%s -> 'a')}, 'json' ], [ 1, '(%s || %s)', 'json', 'json' ] ],
	ia => [ [ 1, '(%s || %s)', 'ia', 'int' ], [ 1, 'ARRAY[%s, %s]', 'int', 'int' ],
		[ 0.5, 'array_remove(%s, %s)', 'ia', 'int' ] ],
	ta => [ [ 1, q{string_to_array(%s, 'a')}, 'txt' ], [ 1, 'ARRAY[%s, %s]', 'txt', 'txt' ] ],
	pair => [ [ 1, 'ROW(%s, %s)::f.pair', 'int', 'txt' ] ],
	dom => [ [ 1, '(%s)::f.small', 'int' ] ],
	rng => [ [ 1, 'int4range(least(%s, 1), 3)', 'int' ], [ 1, '(%s * %s)', 'rng', 'rng' ] ],
	enum => [],
	byt => [ [ 1, '(%s || %s)', 'byt', 'byt' ], [ 0.5, 'sha256(%s)', 'byt' ] ],
	flt => [ [ 1, '(%s + %s)', 'flt', 'flt' ], [ 1, '(%s)::float8', 'int' ] ],
	word => [ [ 1, '(%s)::text::f.word', 'txt' ] ],
);

# An expression of a type.
sub expr
{
	my ($t, $scope, $size) = @_;
	$size //= 2;

	if ($scope->{fresh} && chance(0.5))
	{
		my $n = $scope->{fresh}->($t);
		return $n if $n;
	}
	my @cols = grep { $_->{t} eq $t } @{ $scope->{cols} };
	if ($scope->{outer} && chance(0.12))
	{
		my $n = outer_column($t, $scope->{outer});
		return $n if $n;
	}
	return pick(@cols)->{n} if @cols && chance($size > 0 ? 0.7 : 0.95);
	if ($size <= 0)
	{
		return convert($t, $scope) // const($t);
	}
	if ($scope->{subquery} && $scope->{depth} > 0 && chance(0.035))
	{
		my $n = $scope->{subquery}->($t, $scope);
		return $n if $n;
	}
	if (chance(0.3))
	{
		return conditional($t, $scope, $size);
	}
	return bool_expr($scope, $size) if $t eq 'bool';
	my @ops = @{ $ops{$t} };
	return convert($t, $scope) // const($t) if !@ops || chance(0.12);
	my $op = weighted(map { $_->[0] => $_ } @ops);
	my ($weight, $format, @types) = @$op;
	return node($t, $format, map { expr($_, $scope, $size - 1) } @types);
}

sub outer_column
{
	my ($t, $scope) = @_;

	for (my $s = $scope; $s; $s = $s->{outer})
	{
		my @cols = grep { $_->{t} eq $t && $_->{plain} } @{ $s->{cols} };
		return pick(@cols)->{n} if @cols && chance(0.8);
	}
	return undef;
}

# Makes the type from a column of another type, where one operator does it.
sub convert
{
	my ($t, $scope) = @_;
	my @ways;

	return undef if $t eq 'bool';
	for my $op (@{ $ops{$t} })
	{
		my ($weight, $format, @types) = @$op;
		my @kids = map { my $want = $_; [ grep { $_->{t} eq $want } @{ $scope->{cols} } ] } @types;
		push @ways, [ $format, @kids ] unless grep { !@$_ } @kids;
	}
	return undef unless @ways;
	my ($format, @kids) = @{ pick(@ways) };
	return node($t, $format, map { pick(@$_)->{n} } @kids);
}

sub conditional
{
	my ($t, $scope, $size) = @_;
	my $sub = sub { expr($t, $scope, $size - 1) };
	my $kind = weighted(3 => 'coalesce', 3 => 'case', 1 => 'case1', 1 => 'nullif', 1 => 'least', 0.5 => 'simple');

	$kind = 'coalesce' if $t eq 'dom' && $kind ne 'case';
	return node($t, 'COALESCE(%s, %s)', $sub->(), $sub->()) if $kind eq 'coalesce';
	return node($t, 'CASE WHEN %s THEN %s ELSE %s END', bool_expr($scope, $size - 1), $sub->(), $sub->())
	  if $kind eq 'case';
	return node($t, 'CASE WHEN %s THEN %s END', bool_expr($scope, $size - 1), $sub->()) if $kind eq 'case1';
	my $case = pick('int', 'word');
	return node($t, 'CASE %s WHEN %s THEN %s ELSE %s END', expr($case, $scope, 0), const($case, 0), $sub->(), $sub->())
	  if $kind eq 'simple';
	return node($t, 'NULLIF(%s, %s)', $sub->(), $sub->()) if $kind eq 'nullif';
	return node($t, pick('LEAST', 'GREATEST') . '(%s, %s)', $sub->(), $sub->());
}

# A comparison of two expressions of the same type.
sub comparison
{
	my ($x, $y) = @_;

	return node('bool', '(%s ' . weighted(6 => '=', 1 => '<>', 2 => '<', 1 => '>=',
			1 => 'IS DISTINCT FROM', 1.5 => 'IS NOT DISTINCT FROM') . ' %s)', $x, $y);
}

# A type that the scope has a column of.
sub type_in_scope
{
	my ($scope) = @_;
	my @cols = @{ $scope->{cols} };

	return @cols && chance(0.9) ? pick(@cols)->{t} : random_type();
}

sub bool_expr
{
	my ($scope, $size) = @_;
	$size //= 2;

	if ($scope->{subquery} && $scope->{depth} > 0 && $size > 0 && chance(0.12))
	{
		my $n = $scope->{subquery}->('bool', $scope);
		return $n if $n;
	}
	my $kind = $size <= 0 ? 'compare' : weighted(10 => 'compare', 4 => 'constant', 2 => 'null', 2 => 'and', 2 => 'or', 1.2 => 'not',
		1.5 => 'in', 1 => 'between', 1 => 'like', 1 => 'is', 0.6 => 'array', 0.4 => 'range', 0.4 => 'json',
		0.8 => 'column', 0.4 => 'row');
	my $t = type_in_scope($scope);
	my $e = sub { expr($_[0] // $t, $scope, $size - 1) };

	if ($kind eq 'compare')
	{
		my ($x, $y) = ($e->(), $e->());
		$y = $e->() if $x == $y;
		$y = const($t) if $x == $y;
		return comparison($x, $y);
	}
	return comparison(expr($t, $scope, 0), const($t, 0)) if $kind eq 'constant';
	return node('bool', '(%s IS ' . pick('NULL', 'NOT NULL') . ')', $e->()) if $kind eq 'null';
	return node('bool', '(%s ' . uc($kind) . ' %s)', bool_expr($scope, $size - 1), bool_expr($scope, $size - 1))
	  if $kind eq 'and' || $kind eq 'or';
	return node('bool', '(NOT %s)', bool_expr($scope, $size - 1)) if $kind eq 'not';
	return node('bool', '(%s ' . pick('', 'NOT ') . 'IN (%s, %s))', $e->(), const($t), const($t)) if $kind eq 'in';
	return node('bool', '(%s BETWEEN %s AND %s)', $e->(), const($t, 0), $e->()) if $kind eq 'between';
	return node('bool', '(%s ' . pick("LIKE 'a%%'", "LIKE '%%b'", "~ '^[ab]+\$'") . ')', $e->('txt')) if $kind eq 'like';
	return node('bool', '(%s IS ' . pick('TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN') . ')', bool_expr($scope, $size - 1))
	  if $kind eq 'is';
	return pick(1, 2) == 1 ? node('bool', '(%s = ANY (%s))', $e->('int'), $e->('ia'))
	  : node('bool', '(%s @> %s)', $e->('ia'), $e->('ia'))
	  if $kind eq 'array';
	return range_test($e) if $kind eq 'range';
	return node('bool', q{(%s @> %s)}, $e->('json'), const('json', 0)) if $kind eq 'json';
	return node('bool', '((%s, %s) ' . pick('=', '<', '>=', 'IS DISTINCT FROM') . ' (%s, %s))',
		$e->(), $e->('int'), $e->(), $e->('int')) if $kind eq 'row';
	return expr('bool', { %$scope, fresh => undef }, 0);
}

sub range_test
{
	my ($e) = @_;

	return chance(0.5) ? node('bool', '(%s @> %s)', $e->('rng'), $e->('int'))
	  : node('bool', '(%s && %s)', $e->('rng'), $e->('rng'));
}

# ---------------------------------------------------------------------------------------
# Aggregates
# ---------------------------------------------------------------------------------------

# Result type => [weight, format, types...]; all of them give the same for any order of rows.
my %aggregates = (
	big => [
		[ 6, 'count(*)' ], [ 2, 'count(%s)', 'any' ], [ 2, 'count(DISTINCT %s)', 'any' ],
		[ 4, 'sum(%s)', 'int' ], [ 1, 'sum(DISTINCT %s)', 'int' ], [ 0.7, 'min(%s)', 'big' ], [ 0.7, 'max(%s)', 'big' ],
		[ 0.5, 'rank(1) WITHIN GROUP (ORDER BY %s)', 'int' ], [ 0.3, 'dense_rank(2) WITHIN GROUP (ORDER BY %s DESC)', 'int' ],
		[ 0.7, 'f.weight(%s)', 'int' ], [ 0.3, 'regr_count(%s, 1)', 'flt' ],
	],
	num => [ [ 3, 'sum(%s)', 'num' ], [ 2, 'sum(%s)', 'big' ], [ 2, 'avg(%s)', 'int' ], [ 1, 'avg(%s)', 'num' ],
		[ 0.3, 'stddev_pop(%s)', 'int' ], [ 0.3, 'var_samp(%s)', 'int' ] ],
	xnum => [ [ 1, 'trim_scale(min(%s))', 'num' ], [ 1, 'trim_scale(max(%s))', 'num' ], [ 1, 'trim_scale(sum(%s))', 'num' ],
		[ 0.3, 'trim_scale(avg(DISTINCT %s))', 'int' ],
		[ 0.3, q{trim_scale(round((avg(%s))::numeric, 6))}, 'flt' ],
		[ 0.3, q{trim_scale(round((percentile_cont(0.5) WITHIN GROUP (ORDER BY %s))::numeric, 6))}, 'flt' ],
		[ 0.2, q{trim_scale(round((cume_dist(1) WITHIN GROUP (ORDER BY %s))::numeric, 6))}, 'int' ] ],
	int => [ [ 3, 'min(%s)', 'int' ], [ 3, 'max(%s)', 'int' ],
		[ 0.7, 'percentile_disc(0.5) WITHIN GROUP (ORDER BY %s)', 'int' ], [ 0.5, 'mode() WITHIN GROUP (ORDER BY %s)', 'int' ],
		[ 0.3, 'bit_or(%s)', 'int' ], [ 0.3, 'bit_xor(%s)', 'int' ] ],
	txt => [ [ 2, 'min(%s)', 'txt' ], [ 2, 'max(%s)', 'txt' ], [ 1.5, q{string_agg(%s, ',' ORDER BY %s, %s)}, '=txt' ],
		[ 0.7, q{string_agg(DISTINCT %s, '-' ORDER BY %s)}, 'same txt' ],
		[ 0.4, 'mode() WITHIN GROUP (ORDER BY %s DESC)', 'txt' ],
		[ 0.4, '(jsonb_agg(%s ORDER BY %s))::text', 'same int' ] ],
	vc => [ [ 1, 'max((%s)::text)::varchar', 'vc' ] ],
	bpc => [ [ 1, 'min(%s)', 'bpc' ] ],
	bool => [ [ 1, 'bool_and(%s)', 'bool' ], [ 1, 'bool_or(%s)', 'bool' ], [ 0.5, '(count(*) > %s)', 'const int' ] ],
	date => [ [ 1, 'min(%s)', 'date' ], [ 1, 'max(%s)', 'date' ] ],
	ts => [ [ 1, 'max(%s)', 'ts' ] ],
	itv => [ [ 1, 'sum(%s)', 'itv' ] ],
	xitv => [ [ 1, 'justify_interval(min(%s))', 'itv' ] ],
	json => [ [ 1, 'jsonb_agg(%s ORDER BY %s)', 'same txt' ] ],
	ia => [ [ 2, 'array_agg(%s ORDER BY %s)', 'same int' ], [ 1, 'array_agg(DISTINCT %s ORDER BY %s)', 'same int' ],
		[ 0.5, 'max(%s)', 'ia' ] ],
	ta => [ [ 1, 'array_agg(%s ORDER BY %s DESC NULLS LAST)', 'same txt' ] ],
	pair => [],
	dom => [],
	rng => [ [ 1, 'range_intersect_agg(%s)', 'rng' ] ],
	enum => [ [ 1, 'min(%s)', 'enum' ], [ 1, 'max(%s)', 'enum' ] ],
	byt => [],
	word => [],
	flt => [ [ 1, 'min(%s)', 'flt' ], [ 1, 'max(%s)', 'flt' ], [ 0.7, 'sum(%s)', 'flt' ], ],
);

# The result types that aggregates over this scope make well.
sub aggregate_types
{
	return weighted(8 => 'big', 4 => 'num', 1.5 => 'xnum', 4 => 'int', 3 => 'txt', 1 => 'bool', 0.7 => 'date', 0.3 => 'ts',
		0.5 => 'itv', 0.3 => 'xitv', 0.5 => 'json', 1.2 => 'ia', 0.5 => 'ta', 0.3 => 'rng', 0.5 => 'enum', 1 => 'flt',
		0.2 => 'vc', 0.2 => 'bpc');
}

# An aggregate with that result over the scope of the rows that are aggregated; undef if none is.
sub aggregate
{
	my ($t, $inner) = @_;
	my @list = @{ $aggregates{$t} };
	return undef unless @list;
	my ($weight, $format, @types) = @{ weighted(map { $_->[0] => $_ } @list) };
	my @kids;

	for my $want (@types)
	{
		if ($want =~ /^const (\w+)/) { push @kids, const($1, 0) }
		elsif ($want =~ /^same (\w+)/) { push @kids, (expr($1, $inner, 1)) x 2 }
		elsif ($want =~ /^=(\w+)/)
		{
			my $e = expr($1, $inner, 1);
			push @kids, $e, expr(type_in_scope($inner), $inner, 0), $e;
		}
		elsif ($want eq 'any') { push @kids, expr(type_in_scope($inner), $inner, 1) }
		else { push @kids, expr($want, $inner, 1) }
	}
	if (chance(0.12) && $format =~ /^(\w|\.)+\([^()]*\)( WITHIN GROUP \([^()]*\))?$/)
	{
		return { %{ node($t, "$format FILTER (WHERE %s)", @kids, bool_expr($inner, 1)) }, agg => 1 };
	}
	return { %{ node($t, $format, @kids) }, agg => 1 };
}

1;
