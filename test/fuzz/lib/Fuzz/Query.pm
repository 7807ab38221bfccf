# Fuzz::Query: random queries as trees, and their SQL.
#
# Every query is deterministic as a multiset: whatever cuts or numbers rows (LIMIT, DISTINCT ON,
# ROWS frames, row_number, array_agg) has an order that tells all distinguishable rows apart.
# That order is made when the SQL is made, from the columns that are there then, so that it stays
# total while the shrinker takes columns away.
#
# A query:   { q => 'select', with => [W], distinct, on => [E], cols => [{ n => name, e => E }], from => F,
#              where => [E], group => { kind, keys => [E], sets => [[n]] }, having => [E], order => O, limit => L }
#            { q => 'setop', op => 'UNION ALL', l => Q, r => Q, order => O, limit => L }
#            { q => 'values', rows => [[E]], cols => [{ n, e }] }
# A source:  { f => 'tab', name, a => alias, cols => [[name, type]], key } | { f => 'sub', s => Q, a, lateral }
#            { f => 'cte', w => W, a } | { f => 'func', e => E, a, cols, ord }
#            { f => 'join', jt => 'LEFT', l => F, r => F, on => [E], using => [names], natural, ja => alias }
# W, a common table expression: { name, s => Q, mat, rec, cols => [[name, type]] }
# O, an order: { kind => 'pos' | 'total' | 'terms', by => [E], desc => number }

package Fuzz::Query;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Fuzz::Expr;
use Fuzz::Schema;

our @EXPORT = qw(random_query query_sql query_columns from_items);

my $serial = 0;
sub alias { return 't' . ++$serial }

# ---------------------------------------------------------------------------------------
# What a query or a source shows
# ---------------------------------------------------------------------------------------

# [[name, type], ...]
sub query_columns
{
	my ($q) = @_;

	return query_columns($q->{l}) if $q->{q} eq 'setop';
	return map { [ $_->{n}, $_->{e}{t} ] } @{ $q->{cols} };
}

sub item_columns
{
	my ($f) = @_;

	return query_columns($f->{s}) if $f->{f} eq 'sub';
	return @{ $f->{w}{cols} // [ query_columns($f->{w}{s}) ] } if $f->{f} eq 'cte';
	return @{ $f->{cols} };
}

# The leaves of a FROM tree, from left to right.
sub from_items
{
	my ($f) = @_;

	return () unless $f;
	return (from_items($f->{l}), from_items($f->{r})) if $f->{f} eq 'join';
	return ($f);
}

# What can be referred to of a FROM tree, as a scope's cols.
sub scope_columns
{
	my ($f) = @_;
	my @cols;

	for my $item (from_items($f))
	{
		push @cols, map { { t => $_->[1], n => column($_->[1], "$item->{a}.$_->[0]"), plain => 1 } } item_columns($item);
	}
	push @cols, merged_columns($f);
	return \@cols;
}

# The columns that USING merges, by the join's own alias.
sub merged_columns
{
	my ($f) = @_;
	my @cols;

	return () unless $f && $f->{f} eq 'join';
	if ($f->{ja})
	{
		my %type = map { @$_ } map { item_columns($_) } from_items($f->{l});
		push @cols, map { { t => $type{$_}, n => column($type{$_}, "$f->{ja}.$_"), plain => 1 } } @{ $f->{using} };
	}
	return (@cols, merged_columns($f->{l}), merged_columns($f->{r}));
}

# ---------------------------------------------------------------------------------------
# FROM
# ---------------------------------------------------------------------------------------

# A context: { outer, depth, ctes => [W], views => [{ name, cols }], budget => \n }
sub deeper { my ($ctx, %more) = @_; return { %$ctx, depth => $ctx->{depth} - 1, %more } }

sub table_item
{
	my ($ctx) = @_;

	if (@{ $ctx->{views} } && chance(0.15))
	{
		my $v = pick(@{ $ctx->{views} });
		return { f => 'tab', name => $v->{name}, a => alias(), cols => $v->{cols} };
	}
	my $name = pick(source_names());
	my $info = table_info($name);
	return { f => 'tab', name => $name, a => alias(), cols => $info->{cols}, key => $info->{key},
		only => $name eq 'm' && chance(0.3) ? 'ONLY ' : '' };
}

sub values_query
{
	my ($types) = @_;
	my $n = 1 + int rand 3;

	return { q => 'values', rows => [ map { [ map { const($_, 0.2) } @$types ] } 1 .. $n ],
		cols => [ map { { n => 'c' . ($_ + 1), e => const($types->[$_]) } } 0 .. $#$types ] };
}

# A function in FROM; with a scope it may refer to the items before it.
sub func_item
{
	my ($scope) = @_;
	my $a = alias();
	my ($format, $type, @kids) = chance(0.5) ? ('unnest(%s)', 'int', expr('ia', $scope, 1))
	  : ('generate_series(%s, 3)', 'int', node('int', 'GREATEST(%s, 0)', expr('int', $scope, 1)));
	my @cols = ([ 'c1', $type ]);
	my $ord = chance(0.3);

	push @cols, [ 'c2', 'big' ] if $ord;
	return { f => 'func', e => node($type, $format, @kids), a => $a, cols => \@cols, ord => $ord ? 1 : 0, lateral => chance(0.5) };
}

# One leaf; $left is the tree that a lateral one may refer to, if the join allows it.
sub from_item
{
	my ($ctx, $left) = @_;

	${ $ctx->{budget} }--;
	if (@{ $ctx->{ctes} } && chance(0.5))
	{
		return { f => 'cte', w => pick(@{ $ctx->{ctes} }), a => alias() };
	}
	my $scope = { cols => $left ? scope_columns($left) : [], outer => $ctx->{outer}, depth => 0 };
	return func_item($scope) if chance($left ? 0.06 : 0.02);
	return { f => 'sub', s => values_query([ map { random_type() } 1 .. 1 + int rand 2 ]), a => alias() } if chance(0.03);
	if ($ctx->{depth} > 0 && ${ $ctx->{budget} } > 0 && chance(0.4))
	{
		my $lateral = $left && chance(0.4);
		my $outer = $lateral ? $scope : $ctx->{outer};
		return { f => 'sub', s => random_block(deeper($ctx, outer => $outer), { correlate => $lateral }), a => alias(),
			lateral => $lateral ? 1 : 0 };
	}
	return table_item($ctx);
}

sub join_condition
{
	my ($l, $r, $jt, $ctx) = @_;
	my ($lc, $rc) = (scope_columns($l), scope_columns($r));
	my @on;

	if ($jt ne 'FULL' && chance($r->{lateral} ? 0.3 : 0.05))
	{
		return [ node('bool', pick('true', 'true', 'false')) ] if $jt ne 'INNER';
		return [ node('bool', 'true') ];
	}
	my @pairs;
	for my $x (@$lc)
	{
		push @pairs, map { [ $x, $_ ] } grep { $_->{t} eq $x->{t} } @$rc;
	}
	for (1 .. weighted(6 => 1, 2 => 2))
	{
		last unless @pairs;
		my ($x, $y) = map { $_->{n} } @{ pick(@pairs) };
		push @on, $jt eq 'FULL' || chance(0.75) ? node('bool', '(%s = %s)', $x, $y) : comparison($x, $y);
	}
	my $both = { cols => [ @$lc, @$rc ], outer => $ctx->{outer}, depth => 0 };
	push @on, bool_expr($both, 1) if !@on || ($jt ne 'FULL' && chance(0.15));
	return \@on;
}

# Columns that both sides have once, with the same type.
sub common_columns
{
	my ($l, $r) = @_;
	my (%left, %right);

	push @{ $left{ $_->[0] } }, $_->[1] for map { item_columns($_) } from_items($l);
	push @{ $right{ $_->[0] } }, $_->[1] for map { item_columns($_) } from_items($r);
	my @common = grep { $right{$_} } sort keys %left;
	return (\@common, [ grep { @{ $left{$_} } == 1 && @{ $right{$_} } == 1 && $left{$_}[0] eq $right{$_}[0] } @common ]);
}

sub random_from
{
	my ($ctx, $n) = @_;
	my $f = $n > 2 && chance(0.25) ? random_from($ctx, 2) : from_item($ctx, undef);
	my $count = () = from_items($f);

	while ($count < $n)
	{
		my $jt = weighted(10 => 'INNER', 6 => 'LEFT', 1.5 => 'RIGHT', 2 => 'FULL', 1 => 'CROSS', 1 => ',');
		my $may_lateral = $jt =~ /INNER|LEFT|CROSS|,/;
		my $r = $n - $count >= 2 && chance(0.25) ? random_from($ctx, 2) : from_item($ctx, $may_lateral ? $f : undef);
		my $join = { f => 'join', jt => $jt eq ',' ? 'CROSS' : $jt, l => $f, r => $r };
		my ($common, $usable) = common_columns($f, $r);
		if ($jt ne 'CROSS' && $jt ne ',')
		{
			# NATURAL would also join the columns that no query shall read.
			my $unused = !grep { my $side = $_; !grep { $_->{f} eq 'tab' && has_unused($_->{name}) } from_items($side) } $f, $r;
			if (@$usable && @$usable == @$common && !$unused && chance(0.25)) { $join->{natural} = 1 }
			elsif (@$usable && chance(0.25))
			{
				$join->{using} = [ pick(@$usable) ];
				$join->{ja} = 'j' . ++$serial;
			}
			else { $join->{on} = join_condition($f, $r, $jt, $ctx) }
		}
		$f = $join;
		$count = () = from_items($f);
	}
	return $f;
}

# ---------------------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------------------

sub from_count
{
	my ($ctx) = @_;

	return 1 if ${ $ctx->{budget} } <= 1;
	return weighted(50 => 1, 33 => 2, 12 => 3, 3 => 4);
}

# FROM and WHERE, and the scope that they give.
sub random_source
{
	my ($ctx, $want) = @_;
	my $from = random_from($ctx, from_count($ctx));
	my $scope = { cols => scope_columns($from), outer => $ctx->{outer}, depth => $ctx->{depth},
		subquery => sub { random_sublink($ctx, @_) } };
	my @where;

	push @where, bool_expr($scope) if chance(0.45);
	push @where, bool_expr($scope, 1) if chance(0.12);
	if ($want->{correlate} && $ctx->{outer} && chance(0.75))
	{
		my @pairs;
		for my $x (@{ $scope->{cols} })
		{
			push @pairs, map { [ $x, $_ ] } grep { $_->{t} eq $x->{t} && $_->{plain} } @{ $ctx->{outer}{cols} };
		}
		push @where, comparison(map { $_->{n} } @{ pick(@pairs) }) if @pairs;
	}
	return ({ q => 'select', from => $from, where => \@where }, $scope);
}

# The types that a block is to show; without a demand, of its own choice.
sub wanted_types
{
	my ($want, $scope, $own) = @_;

	return @{ $want->{types} } if $want->{types};
	return map { wanted_type($want, $scope, $own) } 1 .. weighted(3 => 1, 5 => 2, 4 => 3, 1 => 4);
}

sub wanted_type
{
	my ($want, $scope, $own) = @_;
	my @types = map { $_->{t} } @{ $scope->{cols} };

	@types = grep { is_exact($_) } @types if $want->{exact};
	if ($own && chance(0.5))
	{
		my $t = $own->();
		return $t if is_exact($t) || !$want->{exact};
	}
	return @types && chance(0.9) ? pick(@types) : $want->{exact} ? random_exact_type() : random_type();
}

sub named_columns
{
	my @nodes = @_;

	return [ map { { n => 'c' . ($_ + 1), e => $nodes[$_] } } 0 .. $#nodes ];
}

sub plain_expr
{
	my ($t, $scope) = @_;
	my @cols = grep { $_->{t} eq $t } @{ $scope->{cols} };

	return @cols && chance(0.6) ? pick(@cols)->{n} : expr($t, $scope);
}

sub plain_block
{
	my ($ctx, $want) = @_;
	my ($q, $scope) = random_source($ctx, $want);
	my @nodes = map { plain_expr($_, $scope) } wanted_types($want, $scope);

	if (!$want->{types} && chance(0.05))
	{
		push @nodes, chance(0.5) ? node('int', 'unnest(%s)', expr('ia', $scope, 1))
		  : node('int', 'generate_series(1, LEAST(%s, 3))', expr('int', $scope, 1));
	}
	$q->{cols} = named_columns(@nodes);
	return $q;
}

sub group_keys
{
	my ($scope) = @_;
	my @cols = @{ $scope->{cols} };

	return map { @cols && chance(0.75) ? pick(@cols)->{n} : expr(random_type(), $scope, 1) }
	  1 .. weighted(2 => 0, 8 => 1, 5 => 2, 1.5 => 3);
}

sub group_block
{
	my ($ctx, $want) = @_;
	my ($q, $scope) = random_source($ctx, $want);
	my @keys = group_keys($scope);

	# Only bare columns in grouping sets: what an expression in the key shows elsewhere where it is
	# not grouped by depends on the plan in versions before 18.
	my $kind = !@keys ? 'none' : weighted(80 => 'plain', (grep { !$_->{col} } @keys) ? () : (6 => 'rollup', 4 => 'cube', 6 => 'sets'));
	my $grouped = { outer => $scope->{outer}, depth => $scope->{depth}, subquery => $scope->{subquery} };

	$q->{group} = { kind => $kind, keys => \@keys };
	$q->{group}{sets} = [ map { [ grep { chance(0.5) } 0 .. $#keys ] } 1 .. 2 + int rand 2 ] if $kind eq 'sets';
	$grouped->{cols} = [ map { my $n = canonical($_);
			$n ? { t => $n->{t}, n => $n, plain => $n == $_ && $_->{col} && $kind eq 'plain' ? 1 : 0 } : () } @keys ];
	$grouped->{fresh} = sub {
		my ($t) = @_;
		return node('int', 'GROUPING(%s)', pick(@keys)) if $t eq 'int' && $kind =~ /rollup|cube|sets/ && chance(0.3);
		return grouped_window($grouped, $t) if $kind eq 'plain' && chance(0.04);
		return aggregate($t, $scope);
	};
	my @nodes = map { grouped_expr($_, $grouped) } wanted_types($want, $grouped, \&aggregate_types);
	$q->{cols} = named_columns(@nodes);
	$q->{having} = [ $kind eq 'none' && chance(0.2) ? const('bool', 0) : bool_expr($grouped, 1) ] if chance(0.2);
	return $q;
}

# Mostly a key or an aggregate, sometimes an expression over both.
sub grouped_expr
{
	my ($t, $grouped) = @_;
	my @cols = grep { $_->{t} eq $t } @{ $grouped->{cols} };

	return pick(@cols)->{n} if @cols && chance(0.7);
	return $grouped->{fresh}->($t) // expr($t, $grouped) if chance(0.8);
	return expr($t, $grouped);
}

# A window function over groups.
sub grouped_window
{
	my ($grouped, $t) = @_;
	my $in = { %$grouped, fresh => undef, depth => 0 };
	my @part = @{ $grouped->{cols} } && chance(0.6) ? pick(@{ $grouped->{cols} })->{n} : ();

	return undef unless $t eq 'big' || $t eq 'num';
	my $agg = node('big', 'count(*)');
	return { t => 'big', f => 'rank() OVER!', k => [], win => { part => \@part, order => [$agg] } } if $t eq 'big';
	return { t => 'num', f => 'sum(%s) OVER!', k => [$agg], win => { part => \@part, order => [] } };
}

# Window functions: [weight, result, format, kinds of arguments, what order they need].
my @windows = (
	[ 3, 'big', 'row_number() OVER!', [], 'total' ], [ 3, 'big', 'rank() OVER!', [], 'any' ],
	[ 2, 'big', 'dense_rank() OVER!', [], 'any' ], [ 3, 'big', 'sum(%s) OVER!', ['int'], 'frame' ],
	[ 2, 'big', 'count(*) OVER!', [], 'frame' ], [ 1, 'big', 'count(%s) OVER!', ['txt'], 'frame' ],
	[ 2, 'num', 'sum(%s) OVER!', ['num'], 'frame' ], [ 1, 'num', 'avg(%s) OVER!', ['int'], 'frame' ],
	[ 1, 'int', 'ntile(3) OVER!', [], 'total' ], [ 2, 'int', 'min(%s) OVER!', ['int'], 'frame' ],
	[ 2, 'int', 'max(%s) OVER!', ['int'], 'frame' ], [ 2, 'int', 'lag(%s) OVER!', ['int'], 'total' ],
	[ 1, 'int', 'lead(%s, 2, 0) OVER!', ['int'], 'total' ], [ 1, 'int', 'first_value(%s) OVER!', ['int'], 'rows' ],
	[ 1, 'int', 'nth_value(%s, 2) OVER!', ['int'], 'rows' ], [ 1, 'txt', 'last_value(%s) OVER!', ['txt'], 'rows' ],
	[ 2, 'txt', 'lag(%s) OVER!', ['txt'], 'total' ], [ 1, 'txt', 'max(%s) OVER!', ['txt'], 'frame' ],
	[ 1, 'txt', 'string_agg(%s, NULL) OVER!', ['txt'], 'rows' ], [ 1, 'bool', 'bool_or(%s) OVER!', ['bool'], 'frame' ],
	[ 1, 'xnum', 'trim_scale(round((percent_rank() OVER!)::numeric, 6))', [], 'any' ],
	[ 1, 'xnum', 'trim_scale(round((cume_dist() OVER!)::numeric, 6))', [], 'any' ], [ 1, 'date', 'lead(%s) OVER!', ['date'], 'total' ],
	[ 1, 'ia', 'array_agg(%s) OVER!', ['int'], 'rows' ],
);

my @row_frames = ('ROWS BETWEEN 1 PRECEDING AND CURRENT ROW', 'ROWS UNBOUNDED PRECEDING',
	'ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING', 'ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW');
my @peer_frames = ('', '', '', 'GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW', 'RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING',
	'RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING', 'GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP');

sub window
{
	my ($t, $scope) = @_;
	my @list = grep { $_->[1] eq $t } @windows;
	return undef unless @list;
	my ($weight, $type, $format, $args, $need) = @{ weighted(map { $_->[0] => $_ } @list) };
	my @cols = @{ $scope->{cols} };
	my $col = sub { @cols && chance(0.85) ? pick(@cols)->{n} : expr(random_type(), $scope, 1) };
	my $win = { part => [ map { $col->() } 1 .. weighted(3 => 0, 7 => 1, 1 => 2) ],
		order => [ map { $col->() } 1 .. weighted(4 => 0, 5 => 1, 1 => 2) ], desc => int rand 8 };

	$need = weighted(2 => 'rows', 5 => 'peers', 1 => 'offset') if $need eq 'frame';
	if ($need eq 'offset')
	{
		$win->{order} = [ expr('int', $scope, 1) ];
		$win->{frame} = 'RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING';
	}
	elsif ($need eq 'peers')
	{
		$win->{frame} = pick(@peer_frames);
		$win->{frame} = '' if !@{ $win->{order} };
	}
	elsif ($need eq 'rows')
	{
		$win->{total} = 1;
		$win->{frame} = pick(@row_frames);
	}
	elsif ($need eq 'total') { $win->{total} = 1 }

	# Equal rows have a place each in such an order.  Which of them has the first place in both of two orders
	# would be a matter of chance, so there is one order for all of a block's windows of this kind.
	if ($win->{total})
	{
		$scope->{total} //= { %$win };
		$win->{$_} = $scope->{total}{$_} for qw(part order desc);
	}
	return { t => $t, f => $format, k => [ map { expr($_, $scope, 1) } @$args ], win => $win };
}

sub window_block
{
	my ($ctx, $want) = @_;
	my ($q, $scope) = random_source($ctx, $want);
	my $with = { %$scope, fresh => sub { window($_[0], $scope) } };
	my @nodes;

	for my $t (wanted_types($want, $scope, sub { pick(qw(big big int num txt)) }))
	{
		push @nodes, chance(0.5) ? plain_expr($t, $scope) : expr($t, $with, 1);
	}
	if (!$want->{types})
	{
		my $t = pick($want->{exact} ? qw(big int txt) : qw(big big int num txt xnum bool));
		push @nodes, window($t, $scope);
	}
	$q->{cols} = named_columns(@nodes);
	return $q;
}

sub distinct_block
{
	my ($ctx, $want) = @_;

	return plain_block($ctx, $want) if grep { !is_exact($_) } @{ $want->{types} // [] };
	my $q = random_block($ctx, { %$want, exact => 1, kinds => [ 8 => 'plain', 2 => 'group', 1 => 'window' ] });

	$q->{distinct} = 1;
	return $q;
}

sub distinct_on_block
{
	my ($ctx, $want) = @_;
	my ($q, $scope) = random_source($ctx, $want);
	my @cols = @{ $scope->{cols} };

	$q->{cols} = named_columns(map { plain_expr($_, $scope) } wanted_types($want, $scope));
	$q->{on} = [ map { @cols && chance(0.85) ? pick(@cols)->{n} : expr(random_exact_type(), $scope, 1) } 1 .. weighted(5 => 1, 2 => 2) ];
	$q->{order} = { kind => 'total', desc => int rand 8, by => chance(0.4) ? [ expr('int', $scope, 1) ] : [] };
	return $q;
}

# True if an expression tells equal rows of FROM apart by their places in a window.
sub has_place
{
	my ($e) = @_;

	return 0 if $e->{q};
	return 1 if $e->{win} && $e->{win}{total};
	return grep { has_place($_) } @{ $e->{k} // [] };
}

sub limit_block
{
	my ($ctx, $want) = @_;
	my $exact = chance(0.6);
	my $q = random_block($ctx, { %$want, exact => $exact || $want->{exact},
		kinds => $exact ? [ 5 => 'plain', 4 => 'group', 1 => 'window', 2 => 'setop', 1 => 'distinct' ] : [ 1 => 'plain' ] });
	my $simple = $q->{q} eq 'select' && !$q->{group} && !$q->{distinct} && !$q->{order} && !$q->{limit};
	my $srf = $q->{q} eq 'select' && grep { $_->{e}{f} =~ /^(unnest|generate_series)/ } @{ $q->{cols} };

	return $q if $q->{order} || $q->{limit};
	# Before version 18 core takes a grouping column that WHERE sets to a constant for that also where
	# grouping sets make it NULL, and does not sort by it: it would show other rows than it should.
	return $q if $q->{group} && $q->{group}{kind} =~ /^(rollup|cube|sets)$/;
	return $q if grep { !is_exact($_->[1]) } query_columns($q) and !$simple || $srf;
	my $all_exact = !grep { !is_exact($_->[1]) } query_columns($q);
	my $places = $q->{q} eq 'select' && grep { has_place($_->{e}) } @{ $q->{cols} };
	return $q if $places && !$all_exact;
	$q->{order} = $all_exact && ($srf || $places || !$simple || chance(0.5)) ? { kind => 'pos' } : { kind => 'total', by => [] };
	$q->{order}{desc} = int rand 8;
	if ($all_exact && chance(0.2))
	{
		$q->{order}{kind} = 'first';
		$q->{limit} = { n => 1 + int rand 4, ties => 1 };
	}
	else
	{
		$q->{limit} = { n => weighted(1 => 0, 3 => 1, 3 => 3, 2 => 10), offset => chance(0.3) ? 1 + int rand 3 : 0 };
		delete $q->{limit}{n} if $q->{limit}{offset} && chance(0.3);
	}
	return $q;
}

sub setop_block
{
	my ($ctx, $want) = @_;
	my $op = weighted(5 => 'UNION ALL', 3 => 'UNION', 2 => 'INTERSECT', 1 => 'INTERSECT ALL', 3 => 'EXCEPT', 1.5 => 'EXCEPT ALL');

	# Which of several equal rows such an operation keeps is open.
	$op = 'UNION ALL' if grep { !is_exact($_) } @{ $want->{types} // [] };
	my $exact = $op ne 'UNION ALL' || $want->{exact};
	my $down = deeper($ctx);
	my $l = random_block($down, { %$want, exact => $exact });
	my @types = map { $_->[1] } query_columns($l);
	my $r = random_block($down, { %$want, exact => $exact, types => \@types });

	return { q => 'setop', op => $op, l => $l, r => $r };
}

# WITH one or two expressions that the block below uses.
sub cte_block
{
	my ($ctx, $want) = @_;
	my @with;
	my $inner = { %$ctx, ctes => [ @{ $ctx->{ctes} } ] };

	for (1 .. weighted(3 => 1, 1 => 2))
	{
		my $w = { name => 'w' . ++$serial, mat => pick('', '', 'MATERIALIZED ', 'NOT MATERIALIZED ') };
		$w->{s} = random_block(deeper($inner, outer => undef), {});
		push @with, $w;
		push @{ $inner->{ctes} }, $w;
	}
	my $q = random_block(deeper($inner, depth => $ctx->{depth} - 1), $want);
	unshift @{ $q->{with} }, @with;
	return $q;
}

# WITH RECURSIVE over pairs of integers, bounded by a level or by the finite set of pairs.
sub recursive_block
{
	my ($ctx, $want) = @_;
	my $pairs = sub {
		my $item = table_item({ %$ctx, views => [] });
		my @ints = grep { $_->[1] eq 'int' } @{ $item->{cols} };
		return ($item, map { column('int', "$item->{a}.$_->[0]") } pick(@ints), pick(@ints));
	};
	my ($t1, $x1, $y1) = $pairs->();
	my ($t2, $x2, $y2) = $pairs->();
	my $bounded = chance(0.5);
	my $w = { name => 'w' . ++$serial, rec => 1, cols => [ [ 'c1', 'int' ], [ 'c2', 'int' ] ], mat => '' };
	my $r = { f => 'cte', w => $w, a => alias() };
	my $r1 = column('int', "$r->{a}.c1");
	my $r2 = column('int', "$r->{a}.c2");
	my $one = { q => 'select', from => $t1, where => [], cols => named_columns($x1, $bounded ? node('int', '0') : $y1) };
	my $two = { q => 'select', where => [], from => { f => 'join', jt => 'INNER', l => $r, r => $t2,
			on => [ node('bool', '(%s = %s)', $bounded ? $r1 : $r2, $x2) ] } };

	if (chance(0.3))
	{
		my ($t3, $x3, $y3) = $pairs->();
		$two->{from} = { f => 'join', jt => 'INNER', l => $two->{from}, r => $t3, on => [ node('bool', '(%s = %s)', $y2, $x3) ] };
		$y2 = $y3;
	}
	push @{ $one->{where} }, node('bool', '(%s < 4)', $y1) if chance(0.5);
	$two->{cols} = $bounded ? named_columns($y2, node('int', '(%s + 1)', $r2)) : named_columns($r1, $y2);
	push @{ $two->{where} }, node('bool', '(%s < 2)', $r2) if $bounded;
	$w->{s} = { q => 'setop', op => $bounded ? pick('UNION ALL', 'UNION') : 'UNION', l => $one, r => $two, fixed => 1 };
	my $q = random_block(deeper($ctx, ctes => [ @{ $ctx->{ctes} }, $w ]), $want);
	unshift @{ $q->{with} }, $w;
	return $q;
}

my %blocks = (
	plain => \&plain_block, group => \&group_block, window => \&window_block, distinct => \&distinct_block,
	on => \&distinct_on_block, limit => \&limit_block, setop => \&setop_block, cte => \&cte_block,
	rec => \&recursive_block, values => sub {
		my ($ctx, $want) = @_;
		return values_query($want->{types} // [ map { $want->{exact} ? random_exact_type() : random_type() } 1 .. 2 ]);
	},
);

sub random_block
{
	my ($ctx, $want) = @_;
	my @kinds = @{ $want->{kinds} // [ 40 => 'plain', 26 => 'group', 7 => 'window', 5 => 'distinct', 4 => 'on', 5 => 'limit',
			9 => 'setop', 5 => 'cte', 1.2 => 'rec', 0.4 => 'values' ] };
	my $kind = weighted(@kinds);

	$kind = 'plain' if $kind =~ /setop|cte|rec/ && ($ctx->{depth} <= 0 || ${ $ctx->{budget} } <= 0);
	my %inner = %$want;
	delete $inner{kinds};
	return $blocks{$kind}->($ctx, \%inner);
}

# ---------------------------------------------------------------------------------------
# Subqueries in expressions
# ---------------------------------------------------------------------------------------

# An expression of the type with a subquery in it.
sub random_sublink
{
	my ($ctx, $t, $scope) = @_;
	return undef if $ctx->{depth} <= 0 || ${ $ctx->{budget} } <= 0;
	my $down = deeper($ctx, outer => { %$scope, fresh => undef });
	my %want = (correlate => chance(0.65));
	my $kinds = [ 10 => 'plain', 3 => 'group', 1 => 'distinct', 1.5 => 'setop', 0.5 => 'window', 0.7 => 'limit', 0.5 => 'values' ];

	return scalar_sublink($down, $t, \%want) if $t ne 'bool' || chance(0.12);
	my $kind = weighted(6 => 'exists', 4 => 'in', 1.5 => 'any', 1.5 => 'all', 1 => 'row');
	if ($kind eq 'exists')
	{
		return node('bool', '(' . pick('', 'NOT ') . 'EXISTS (%s))', random_block($down, { %want, kinds => $kinds }));
	}
	if ($kind eq 'row')
	{
		my @types = map { random_scope_type($scope) } 1 .. 2;
		my $sub = random_block($down, { %want, kinds => $kinds, types => \@types });
		my @left = map { expr($_, { %$scope, subquery => undef }, 1) } @types;
		return node('bool', '((%s, %s) ' . pick('IN', 'NOT IN') . ' (%s))', @left, $sub);
	}
	my $type = random_scope_type($scope);
	my $sub = random_block($down, { %want, kinds => $kinds, types => [$type] });
	my $left = expr($type, { %$scope, subquery => undef }, 1);
	return node('bool', '(%s ' . pick('IN', 'NOT IN') . ' (%s))', $left, $sub) if $kind eq 'in';
	return node('bool', '(%s ' . pick('=', '<', '>=', '<>') . ' ' . uc($kind) . ' (%s))', $left, $sub);
}

sub random_scope_type
{
	my ($scope) = @_;
	my @types = map { $_->{t} } @{ $scope->{cols} };

	return @types ? pick(@types) : 'int';
}

# One value: an aggregate over everything, the first row of an order, or an array.
sub scalar_sublink
{
	my ($ctx, $t, $want) = @_;

	if ($t eq 'ia' && chance(0.5))
	{
		my $q = random_block($ctx, { %$want, types => ['int'], kinds => [ 1 => 'plain' ] });
		$q->{order} = { kind => 'pos', desc => int rand 8 };
		return node('ia', 'ARRAY(%s)', $q);
	}
	my ($q, $scope) = random_source($ctx, $want);
	if (chance(0.75))
	{
		my $n = aggregate($t, $scope);
		if ($n)
		{
			$q->{cols} = named_columns($n);
			$q->{group} = { kind => 'none', keys => [] };
			return node($t, '(%s)', $q);
		}
	}
	$q->{cols} = named_columns(plain_expr($t, $scope));
	$q->{order} = { kind => 'total', by => [], desc => int rand 8 };
	$q->{limit} = { n => 1 };
	return node($t, '(%s)', $q);
}

# A random query; views: [{ name, cols => [[name, type]] }] that it may read.
sub random_query
{
	my (@views) = @_;
	my $depth = weighted(38 => 0, 32 => 1, 20 => 2, 10 => 3);
	my $budget = 2 + 2 * $depth;

	$serial = 0;
	return random_block({ outer => undef, depth => $depth, ctes => [], views => \@views, budget => \$budget }, {});
}

# ---------------------------------------------------------------------------------------
# SQL
# ---------------------------------------------------------------------------------------

sub expr_sql
{
	my ($n, $q) = @_;
	my $sql = sprintf $n->{f}, map { $_->{q} ? query_sql($_) : expr_sql($_, $q) } @{ $n->{k} };

	if ($n->{win})
	{
		my $over = window_sql($n->{win}, $q);
		$sql =~ s/OVER!/OVER ($over)/;
	}
	return $sql;
}

sub list_sql { my ($q, $with, @nodes) = @_; return join $with, map { expr_sql($_, $q) } @nodes }

# ORDER BY terms that tell all distinguishable rows of a FROM apart.
sub total_order
{
	my ($q) = @_;
	my @terms;

	for my $item (from_items($q->{from}))
	{
		my %key = map { $_ => 1 } @{ $item->{key} // [] };
		for my $col (item_columns($item))
		{
			next if %key && !$key{ $col->[0] };
			push @terms, total_terms($col->[1], "$item->{a}.$col->[0]");
		}
	}
	return @terms;
}

sub directions
{
	my ($desc, @terms) = @_;
	my $n = 0;

	$desc //= 0;
	return map { my $bit = ($desc >> ($n++ % 2)) & 1; $_ . ($bit ? ' DESC' : '') . (($desc & 4) ? $bit ? ' NULLS LAST' : ' NULLS FIRST' : '') }
	  @terms;
}

sub window_sql
{
	my ($w, $q) = @_;
	my @order = map { expr_sql($_, $q) } @{ $w->{order} };
	my $sql = @{ $w->{part} } ? 'PARTITION BY ' . list_sql($q, ', ', @{ $w->{part} }) : '';

	push @order, total_order($q) if $w->{total};
	$sql .= ' ORDER BY ' . join(', ', directions($w->{desc}, @order)) if @order;
	$sql .= " $w->{frame}" if $w->{frame};
	$sql =~ s/^ //;
	return $sql;
}

sub order_sql
{
	my ($q) = @_;
	my $o = $q->{order};
	my $n = () = query_columns($q);

	return '' unless $o;
	my @terms = $o->{kind} eq 'pos' ? (1 .. $n) : $o->{kind} eq 'first' ? (1)
	  : ((map { expr_sql($_, $q) } @{ $q->{on} // [] }, @{ $o->{by} // [] }), total_order($q));
	return @terms ? ' ORDER BY ' . join(', ', directions($o->{desc}, @terms)) : '';
}

sub limit_sql
{
	my ($q) = @_;
	my $l = $q->{limit};

	return '' unless $l;
	return " FETCH FIRST $l->{n} ROWS WITH TIES" if $l->{ties};
	return (defined $l->{n} ? " LIMIT $l->{n}" : '') . ($l->{offset} ? " OFFSET $l->{offset}" : '');
}

sub from_sql
{
	my ($f) = @_;

	if ($f->{f} eq 'join')
	{
		my ($l, $r) = map { $_->{f} eq 'join' ? '(' . from_sql($_) . ')' : from_sql($_) } $f->{l}, $f->{r};
		return "$l CROSS JOIN $r" if $f->{jt} eq 'CROSS';
		return "$l NATURAL $f->{jt} JOIN $r" if $f->{natural};
		return "$l $f->{jt} JOIN $r USING (" . join(', ', @{ $f->{using} }) . ") AS $f->{ja}" if $f->{using};
		return "$l $f->{jt} JOIN $r ON " . (@{ $f->{on} } ? list_sql(undef, ' AND ', @{ $f->{on} }) : 'true');
	}
	return ($f->{only} // '') . "f.$f->{name} $f->{a}" if $f->{f} eq 'tab';
	return "$f->{w}{name} $f->{a}" if $f->{f} eq 'cte';
	my $lateral = $f->{lateral} ? 'LATERAL ' : '';
	my $names = '(' . join(', ', map { $_->[0] } item_columns($f)) . ')';
	return $lateral . '(' . query_sql($f->{s}) . ") $f->{a}" . ($f->{s}{q} eq 'values' ? $names : '') if $f->{f} eq 'sub';
	return $lateral . expr_sql($f->{e}) . ($f->{ord} ? ' WITH ORDINALITY' : '') . " $f->{a}$names";
}

sub group_sql
{
	my ($q) = @_;
	my $g = $q->{group};

	return '' unless $g && @{ $g->{keys} };
	my $list = list_sql($q, ', ', @{ $g->{keys} });
	return " GROUP BY $list" if $g->{kind} eq 'plain';
	return ' GROUP BY ' . uc($g->{kind}) . " ($list)" if $g->{kind} ne 'sets';
	return ' GROUP BY GROUPING SETS ('
	  . join(', ', map { '(' . list_sql($q, ', ', map { $g->{keys}[$_] } grep { $_ < @{ $g->{keys} } } @$_) . ')' } @{ $g->{sets} }) . ')';
}

sub with_sql
{
	my ($q) = @_;
	my @with = @{ $q->{with} // [] };

	return '' unless @with;
	return 'WITH ' . ((grep { $_->{rec} } @with) ? 'RECURSIVE ' : '')
	  . join(', ', map { "$_->{name}" . ($_->{rec} || $_->{s}{q} eq 'values' ? '(' . join(', ', map { $_->[0] } $_->{cols} ? @{ $_->{cols} } : query_columns($_->{s})) . ')' : '')
		  . " AS $_->{mat}(" . query_sql($_->{s}) . ')' } @with) . ' ';
}

sub query_sql
{
	my ($q) = @_;

	if ($q->{q} eq 'values')
	{
		return with_sql($q) . 'VALUES ' . join(', ', map { '(' . list_sql($q, ', ', @$_) . ')' } @{ $q->{rows} }) . order_sql($q) . limit_sql($q);
	}
	if ($q->{q} eq 'setop')
	{
		return with_sql($q) . '(' . query_sql($q->{l}) . ") $q->{op} (" . query_sql($q->{r}) . ')' . order_sql($q) . limit_sql($q);
	}
	my $sql = with_sql($q) . 'SELECT ';
	$sql .= 'DISTINCT ' if $q->{distinct};
	$sql .= 'DISTINCT ON (' . list_sql($q, ', ', @{ $q->{on} }) . ') ' if $q->{on};
	$sql .= join ', ', map { expr_sql($_->{e}, $q) . " AS $_->{n}" } @{ $q->{cols} };
	$sql .= ' FROM ' . from_sql($q->{from}) if $q->{from};
	$sql .= ' WHERE ' . list_sql($q, ' AND ', @{ $q->{where} }) if @{ $q->{where} // [] };
	$sql .= group_sql($q);
	$sql .= ' HAVING ' . list_sql($q, ' AND ', @{ $q->{having} }) if @{ $q->{having} // [] };
	return $sql . order_sql($q) . limit_sql($q);
}

1;
