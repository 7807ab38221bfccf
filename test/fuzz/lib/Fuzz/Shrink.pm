# Fuzz::Shrink: makes a case that shows a fault as small as it can be and still show it.
#
#   my $shrunk = shrink($run, $fault, 60);     # $fault->{case} is smaller now; true if reproduced
#
# First the history: only the last round, on the tables as they were before it, if that is enough.
# Then the query: every edit of its tree that makes its SQL shorter is tried and kept if the same
# kind of fault is seen.  An edit that makes nonsense is refused by the server, so edits need not
# know the rules of SQL.  Then changes, rows, tables and columns.  Each try runs on fresh tables.

package Fuzz::Shrink;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Fuzz::Query;
use Fuzz::Schema;
use Storable qw(dclone);
use Time::HiRes qw(time);

our @EXPORT = qw(shrink);

my $tries;

# True if the case shows the kind of fault that is looked for.
sub shows
{
	my ($run, $case, $kind) = @_;

	$tries++;
	return $run->reproduce($case) eq $kind;
}

sub shrink
{
	my ($run, $fault, $seconds) = @_;
	my $kind = $fault->{kind};
	my $case = $fault->{case};
	my $end = time + $seconds;

	$tries = 0;
	$fault->{reproduced} = shows($run, $case, $kind) || shows($run, $case, $kind);
	return 0 unless $fault->{reproduced};
	splice @{ $case->{rounds} }, $case->{at} + 1;
	$case = only_last_round($run, $case, $kind);
	$case = inline_views($run, $case, $kind);
	while (time < $end)
	{
		my $size = size($case);
		for my $step (\&shrink_query, \&shrink_steps, \&shrink_tables, \&shrink_rows)
		{
			$case = $step->($run, $case, $kind, $end);
		}
		last if size($case) >= $size;
	}
	$run->reproduce($case);			# for its detail
	$fault->{case} = $case;
	$fault->{detail} = $case->{detail} if $case->{detail};
	$fault->{tries} = $tries;
	return 1;
}

sub size
{
	my ($case) = @_;
	my $n = length $case->{views}[-1]{sql};

	$n += length change_sql($_) for @{ $case->{rows} }, map { map { $_->{c} } @$_ } @{ $case->{rounds} };
	return $n;
}

# Replays all rounds but the last without the view and takes the tables as they are then.
sub only_last_round
{
	my ($run, $case, $kind) = @_;
	return $case if @{ $case->{rounds} } < 2;
	my $small = dclone($case);

	eval {
		$run->reset_schema($case->{tables}, {}, $case->{rows});
		$run->run_steps($_) for @{ $case->{rounds} }[ 0 .. $#{ $case->{rounds} } - 1 ];
		$small->{rows} = $run->dump_tables($case->{tables});
		$small->{rounds} = [ $case->{rounds}[-1] ];
		1;
	} or return $case;
	return shows($run, $small, $kind) ? $small : $case;
}

# Puts the queries of other views in the places where they are read.
sub inline_views
{
	my ($run, $case, $kind) = @_;
	return $case if @{ $case->{views} } < 2;
	my $small = dclone($case);
	my %ast = map { $_->{name} => $_->{ast} } @{ $small->{views} };
	my $last = $small->{views}[-1];

	for my $v (@{ $small->{views} })
	{
		walk($v->{ast}, [], sub {
			my ($n) = @_;
			return unless ($n->{f} // '') eq 'tab' && $ast{ $n->{name} };
			my $a = $n->{a};
			my $sub = dclone($ast{ $n->{name} });
			%$n = (f => 'sub', s => $sub, a => $a);
		});
	}
	$last->{sql} = query_sql($last->{ast});
	$small->{views} = [$last];
	return shows($run, $small, $kind) ? $small : $case;
}

# ---------------------------------------------------------------------------------------
# The query
# ---------------------------------------------------------------------------------------

# Calls back for every node (query, source, expression) below one, outermost first, with the path.
sub walk
{
	my ($n, $path, $call) = @_;

	if (ref $n eq 'HASH')
	{
		$call->($n, $path);
		for my $key (sort keys %$n)
		{
			next if $key eq 'w' || !ref $n->{$key};
			walk($n->{$key}, [ @$path, $key ], $call);
		}
	}
	elsif (ref $n eq 'ARRAY')
	{
		walk($n->[$_], [ @$path, $_ ], $call) for grep { ref $n->[$_] } 0 .. $#$n;
	}
	return;
}

sub at
{
	my ($n, @path) = @_;

	for my $step (@path) { $n = ref $n eq 'HASH' ? $n->{$step} : $n->[$step] }
	return $n;
}

sub replace_with { my ($n, $by) = @_; my %new = %$by; %$n = %new; return }

# Takes the output column out of every arm of a query.
sub drop_column
{
	my ($q, $i) = @_;

	if ($q->{q} eq 'setop') { drop_column($q->{l}, $i); drop_column($q->{r}, $i) }
	else
	{
		splice @{ $q->{cols} }, $i, 1;
		if ($q->{q} eq 'values') { splice @$_, $i, 1 for @{ $q->{rows} } }
	}
	return;
}

# All edits of a tree: [path, code that changes the node there].
sub edits
{
	my ($top) = @_;
	my @edits;

	walk($top, [], sub {
		my ($n, $path) = @_;
		my $add = sub { push @edits, [ $path, $_[0] ] };
		if ($n->{q}) { query_edits($n, $add, scalar @$path) }
		elsif ($n->{t} && $n->{k}) { expr_edits($n, $add) }
		elsif ($n->{f} && $n->{f} eq 'join') { join_edits($n, $add) }
		elsif ($n->{f}) { $add->(sub { delete $_[0]{lateral} }) if $n->{lateral} }
	});
	return @edits;
}

sub query_edits
{
	my ($n, $add, $depth) = @_;

	# The query becomes one of those inside it.
	walk($n, [], sub {
		my ($m, $p) = @_;
		my @p = @$p;
		$add->(sub { my $by = at($_[0], @p); replace_with($_[0], $by) }) if $m->{q} && @p;
	}) if $depth < 4;
	for my $clause (qw(with distinct having group limit order on))
	{
		$add->(sub { delete $_[0]{$clause} }) if $n->{$clause} && (ref $n->{$clause} ne 'ARRAY' || @{ $n->{$clause} });
	}
	$add->(sub { delete $_[0]{order}; delete $_[0]{limit}; delete $_[0]{on} }) if $n->{order};
	if ($n->{q} eq 'setop' && !$n->{fixed})
	{
		$add->(sub { $_[0]{op} = 'UNION ALL' }) if $n->{op} =~ /^UNION$/;
	}
	for my $list (qw(with where having on rows))
	{
		next if $n->{fixed};
		for my $i (reverse 0 .. $#{ $n->{$list} // [] })
		{
			$add->(sub { splice @{ $_[0]{$list} }, $i, 1; delete $_[0]{$list} unless @{ $_[0]{$list} } }) if $list ne 'rows' || $#{ $n->{rows} } > 0;
		}
	}
	if ($n->{group} && @{ $n->{group}{keys} })
	{
		for my $i (reverse 0 .. $#{ $n->{group}{keys} })
		{
			$add->(sub { splice @{ $_[0]{group}{keys} }, $i, 1; $_[0]{group}{kind} = 'none' unless @{ $_[0]{group}{keys} } });
		}
		$add->(sub { $_[0]{group}{kind} = 'plain' }) if $n->{group}{kind} ne 'plain';
	}
	my @cols = query_columns($n);
	for my $i (reverse 0 .. $#cols)
	{
		$add->(sub { drop_column($_[0], $i) }) if @cols > 1;
	}
	return;
}

sub join_edits
{
	my ($n, $add) = @_;

	$add->(sub { my $by = $_[0]{l}; replace_with($_[0], $by) });
	$add->(sub { my $by = $_[0]{r}; replace_with($_[0], $by) });
	for my $i (reverse 0 .. $#{ $n->{on} // [] })
	{
		$add->(sub { splice @{ $_[0]{on} }, $i, 1 });
	}
	return;
}

# An expression becomes an expression of its type below it, or a constant.
sub expr_edits
{
	my ($n, $add) = @_;

	walk($n->{k}, ['k'], sub {
		my ($m, $p) = @_;
		my @p = @$p;
		$add->(sub { my $by = at($_[0], @p); replace_with($_[0], $by) })
		  if $m->{t} && $m->{k} && $m->{t} eq $n->{t} && !grep { $_ eq 'from' || $_ eq 'cols' } @p;
	});
	if ($n->{win})
	{
		for my $list (qw(part order))
		{
			for my $i (reverse 0 .. $#{ $n->{win}{$list} })
			{
				$add->(sub { splice @{ $_[0]{win}{$list} }, $i, 1 });
			}
		}
		$add->(sub { delete $_[0]{win}{frame} }) if $n->{win}{frame};
	}
	if (!$n->{col} && !$n->{const})
	{
		my $constant = $n->{t} eq 'bool' ? 'true' : $n->{t} eq 'int' ? '1' : 'NULL::' . sql_type($n->{t});
		$add->(sub { replace_with($_[0], { t => $_[0]{t}, f => $constant, k => [], const => 1 }) });
	}
	return;
}

sub shrink_query
{
	my ($run, $case, $kind, $end) = @_;
	my $i = 0;
	my %done;

	while (time < $end)
	{
		my @edits = edits($case->{views}[-1]{ast});
		last if $i >= @edits;
		my ($path, $code) = @{ $edits[ $i++ ] };
		my $ast = dclone($case->{views}[-1]{ast});
		my $sql = eval { $code->(at($ast, @$path)); query_sql($ast) } // next;
		next if length $sql >= length $case->{views}[-1]{sql} || $done{$sql}++;
		my $small = { %$case, views => [ @{ $case->{views} } ] };
		$small->{views}[-1] = { name => $case->{views}[-1]{name}, ast => $ast, sql => $sql };
		next unless shows($run, $small, $kind);
		$case = $small;
		$i = 0 if $i > @edits / 2;
		$i-- if $i > 0;
	}
	return $case;
}

# ---------------------------------------------------------------------------------------
# Lists
# ---------------------------------------------------------------------------------------

# The shortest part of a list with which the test still holds, by taking chunks away.
sub shorten
{
	my ($list, $end, $test) = @_;
	my @list = @$list;

	for (my $chunk = int((@list + 1) / 2); $chunk >= 1; $chunk = $chunk == 1 ? 0 : int(($chunk + 1) / 2))
	{
		for (my $i = 0; $i < @list;)
		{
			last if time > $end;
			my @less = @list;
			splice @less, $i, $chunk;
			if ($test->(\@less)) { @list = @less }
			else { $i += $chunk }
		}
	}
	return \@list;
}

sub shrink_steps
{
	my ($run, $case, $kind, $end) = @_;

	$case->{rounds} = shorten($case->{rounds}, $end, sub { shows($run, { %$case, rounds => $_[0] }, $kind) })
	  if @{ $case->{rounds} } > 1;
	my $alone = { %$case, rounds => [ map { [ map { { %$_, s => 0 } } @$_ ] } @{ $case->{rounds} } ] };
	$case = $alone if grep({ $_->{s} != 0 } map { @$_ } @{ $case->{rounds} }) && shows($run, $alone, $kind);
	for my $r (0 .. $#{ $case->{rounds} })
	{
		my $with = sub { my ($steps) = @_; my @rounds = @{ $case->{rounds} }; $rounds[$r] = $steps; return { %$case, rounds => \@rounds } };
		my $steps = shorten($case->{rounds}[$r], $end, sub { shows($run, $with->($_[0]), $kind) });
		$case = $with->($steps);
		for my $n (0 .. $#$steps)
		{
			my $c = $steps->[$n]{c};
			my $list = $c->{k} eq 'insert' ? 'rows' : $c->{k} eq 'update' ? 'set' : next;
			next if @{ $c->{$list} } < 2;
			my $less = sub { my @s = @$steps; $s[$n] = { %{ $s[$n] }, c => { %$c, $list => $_[0] } }; return \@s };
			my $short = shorten($c->{$list}, $end, sub { @{ $_[0] } && shows($run, $with->($less->($_[0])), $kind) });
			$steps = $less->($short);
			$case = $with->($steps);
		}
	}
	return $case;
}

sub shrink_tables
{
	my ($run, $case, $kind, $end) = @_;
	my $text = join ' ', map { $_->{sql} } @{ $case->{views} };
	my $try = sub {
		my ($tables, $gone) = @_;
		my %there = map { $_ => 1 } @$tables;
		my $small = { %$case, tables => $tables, gone => $gone };
		$small->{rows} = [ map { without_columns($_, $gone) } grep { $there{ $_->{t} } } @{ $case->{rows} } ];
		$small->{rounds} = [ map { [ map { { %$_, c => without_columns($_->{c}, $gone) } } grep { !$_->{c}{t} || $there{ $_->{c}{t} } } @$_ ] }
			@{ $case->{rounds} } ];
		return shows($run, $small, $kind) ? ($case = $small) : undef;
	};

	for my $t (@{ $case->{tables} })
	{
		next if $text =~ /\bf\.${t}(_\w)?\b/;
		$try->([ grep { $_ ne $t } @{ $case->{tables} } ], $case->{gone});
	}
	for my $t (@{ $case->{tables} })
	{
		my ($rows) = grep { $_->{t} eq $t } @{ $case->{rows} };
		for my $col (map { $_->[0] } @{ table_info($t)->{cols} }, ['u'])
		{
			last if time > $end;
			next if $case->{gone}{"$t.$col"} || $text =~ /\.$col\b/;
			$try->($case->{tables}, { %{ $case->{gone} }, "$t.$col" => 1 });
		}
	}
	return $case;
}

# A change as it is in tables without some columns.
sub without_columns
{
	my ($c, $gone) = @_;
	return $c unless $c->{k} eq 'insert' || $c->{k} eq 'update';
	my %new = %$c;

	if ($c->{k} eq 'insert')
	{
		my @keep = grep { !$gone->{"$c->{t}.$c->{cols}[$_]"} } 0 .. $#{ $c->{cols} };
		$new{cols} = [ @{ $c->{cols} }[@keep] ];
		$new{rows} = [ map { [ @$_[@keep] ] } @{ $c->{rows} } ];
	}
	else { $new{set} = [ grep { !$gone->{"$c->{t}.$_->[0]"} } @{ $c->{set} } ] }
	return \%new;
}

sub shrink_rows
{
	my ($run, $case, $kind, $end) = @_;

	for my $t (@{ $case->{tables} })
	{
		my @others = grep { $_->{t} ne $t } @{ $case->{rows} };
		my ($mine) = grep { $_->{t} eq $t } @{ $case->{rows} };
		next unless $mine;
		my $with = sub { return { %$case, rows => [ @others, @{ $_[0] } ? { %$mine, rows => $_[0] } : () ] } };
		$case = $with->(shorten($mine->{rows}, $end, sub { shows($run, $with->($_[0]), $kind) }));
	}
	return $case;
}

1;
