# Fuzz::Run: batches of random views under random transactions, and the oracle.
#
#   my $run = Fuzz::Run->new(dsn => 'dbi:Pg:dbname=postgres', seed => 7, say => sub { print @_ });
#   $run->batch($n);                     # one batch: views, rounds of changes, comparisons
#   my $kind = $run->reproduce($case);   # '' or what is wrong with the case's last view
#
# A case is all that a run of one view needs:
#   { tables => [names], gone => { "a.t" => 1 }, rows => [inserts], rounds => [[steps], ...],
#     views => [{ name, sql, ast }] }    # the last view is the one that is looked at
#
# Kinds of faults: diff (the view's table is not its query), verify (derive.verify says so), failed
# (the view failed, its query does not), touched (a change in an unused column wrote to the view),
# stuck (derive.wait came to no end), repaired (a delta did not fit what was stored, and the view was
# recomputed), crash (the server threw everybody out).

package Fuzz::Run;

use strict;
use warnings FATAL => 'all';

use DBI;
use Fuzz::Query;
use Fuzz::Schema;
use Time::HiRes qw(time usleep);

my $sessions = 3;
my $wait_timeout = '30 s';

# Planner settings under which a deterministic query must give the same.
my @other_plans = (
	'SET enable_hashagg = off; SET enable_hashjoin = off; SET enable_material = off',
	'SET enable_nestloop = off; SET enable_mergejoin = off; SET enable_sort = off',
);

sub new
{
	my ($class, %args) = @_;
	my $self = bless {
		dsn => $args{dsn}, user => $args{user} // '', seed => $args{seed} // 1, say => $args{say} // sub { },
		views => $args{views} // 16, rounds => $args{rounds} // 20, stop => $args{stop} // sub { 0 },
		count => {}, refused => {}, invalid => {}, rule => {}, obstacle => {}, faults => [],
	}, $class;

	$self->connect;
	return $self;
}

# Opens all connections anew; after a crash the server needs a moment.
sub connect
{
	my ($self) = @_;
	my $end = time + 60;

	$_->disconnect for grep { $_ } $self->{db}, @{ $self->{s} // [] };
	while (1)
	{
		my $ok = eval {
			$self->{db} = $self->connection;
			$self->{s} = [ map { $self->connection } 1 .. $sessions ];
			1;
		};
		last if $ok;
		die $@ if time > $end;
		usleep(200_000);
	}
	# Interleaved sessions run one after the other in this process: none may wait for another.
	$_->do("SET lock_timeout = '20ms'") for @{ $self->{s} };
	$_->do("SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = off") for @{ $self->{s} };
	return;
}

sub connection
{
	my ($self) = @_;
	my $db = DBI->connect($self->{dsn}, $self->{user}, '', { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1 });

	$db->do("SET client_min_messages = error; SET jit = off; SET statement_timeout = '60s'; SET max_parallel_workers_per_gather = 0");
	return $db;
}

# The first line of an error, without what is particular to one query.
sub message
{
	my ($text) = @_;

	$text =~ s/\n.*//s;
	$text =~ s/^DBD::Pg::\w+ \w+ failed: //;
	$text =~ s/^ERROR:\s+//;
	$text =~ s/ at \S+ line \d+\.?$//;
	$text =~ s/"[^"]*"/"..."/g;
	$text =~ s/\b[tjw]\d+\b/t/g;
	return $text;
}

# Runs code; returns the error, '' if none.
sub try
{
	my ($code) = @_;

	return eval { $code->(); 1 } ? '' : ($@ || 'unknown error');
}

sub lost { my ($self) = @_; return !eval { $self->{db}->do('SELECT 1'); 1 } }

# ---------------------------------------------------------------------------------------
# Tables, views
# ---------------------------------------------------------------------------------------

sub reset_schema
{
	my ($self, $tables, $gone, $rows) = @_;
	my $db = $self->{db};

	for my $s (@{ $self->{s} }) { eval { $s->do('ROLLBACK') } }
	$db->do('ROLLBACK') if $db->ping > 1;
	$db->do('DEALLOCATE ALL');
	$db->do('DROP SCHEMA IF EXISTS f CASCADE');
	$db->do(schema_sql() . tables_sql($tables, $gone // {}));
	$db->do(change_sql($_)) for @$rows;
	return;
}

# Creates a derived view; returns the error.
sub create_view
{
	my ($self, $name, $sql) = @_;

	return try(sub { $self->{db}->do("SELECT derive.create_view('f.$name', \$query\$$sql\$query\$)") });
}

# Prepares the statement that compares a view with its query: two fingerprints.
sub prepare_check
{
	my ($self, $name, $sql) = @_;
	my $print = q{SELECT count(*) || ':' || COALESCE(sum(hashtextextended(t::text, 0)), 0)};

	$self->{db}->do("PREPARE check_$name AS SELECT ($print FROM f.$name t), ($print FROM ($sql) t)");
	return;
}

# The fingerprint of a query under other plans; undef if it fails.
sub is_deterministic
{
	my ($self, $sql) = @_;
	my $db = $self->{db};
	my %seen;

	for my $plan ('SELECT 1', @other_plans)
	{
		eval {
			$db->do("BEGIN; " . $plan =~ s/SET /SET LOCAL /gr);
			my ($print) = $db->selectrow_array(
				"SELECT count(*) || ':' || COALESCE(sum(hashtextextended(t::text, 0)), 0) FROM ($sql) t");
			$seen{$print} = 1;
		};
		$db->do('ROLLBACK');
	}
	return keys %seen == 1;
}

# Ends a tick that comes to no end, with its locks: the schema is to be dropped.
sub end_tick
{
	my ($self) = @_;

	eval { $self->{db}->do('SELECT pg_terminate_backend(applier_pid) FROM derive.pipelines') };
	return 'stuck';
}

# Everything committed is in the views; '' or 'stuck'.
sub wait_fresh
{
	my ($self) = @_;
	my $db = $self->{db};
	my $end = time + 30;
	my $error = try(sub { $db->do("SELECT derive.wait(timeout => '$wait_timeout')") });

	return 'crash' if $error && $self->lost;
	return $self->end_tick if $error;
	while (1)
	{
		my ($busy) = eval { $db->selectrow_array(
			q{SELECT count(*) FROM derive.views WHERE state IN ('building', 'stale')}) };
		return 'crash' unless defined $busy;
		return '' if $busy == 0;
		return $self->end_tick if time > $end;
		usleep(3_000);
		eval { $db->do("SELECT derive.wait(timeout => '$wait_timeout')") };
	}
}

# Runs the steps of a round, one after the other.  What fails is rolled back and the rest of
# its transaction left out, so that a round always does the same.
sub run_steps
{
	my ($self, $steps) = @_;
	my %skip;

	for my $step (@$steps)
	{
		my ($s, $sql) = ($step->{s}, change_sql($step->{c}));
		my $ends = $sql =~ /^(COMMIT|ROLLBACK)$/;
		if ($skip{$s})
		{
			$skip{$s} = 0 if $ends;
			next;
		}
		my $in = $self->{s}[$s]->ping;
		next if $ends && $in < 3;			# the shrinker took its BEGIN away
		my $error = try(sub { $self->{s}[$s]->do($sql) });
		$self->{count}{changes}++;
		next unless $error;
		$self->{count}{'changes that failed'}++;
		if ($in >= 3)
		{
			eval { $self->{s}[$s]->do('ROLLBACK') };
			$skip{$s} = !$ends;
		}
		return 'crash' if $error =~ /connection|terminat|shutdown|recovery/ && $self->lost;
	}
	for my $s (@{ $self->{s} })
	{
		$s->do('COMMIT') if $s->ping >= 3;
	}
	return '';
}

# Which versions of which rows a view's table consists of.
sub row_versions
{
	my ($self, $name) = @_;
	my ($print) = $self->{db}->selectrow_array(
		"SELECT count(*) || ':' || COALESCE(sum(hashtextextended(ctid::text || ' ' || xmin::text, 0)), 0) FROM f.$name");

	return $print;
}

sub only_unused
{
	my ($steps) = @_;

	return @$steps && !grep { $_->{c}{k} ne 'update' || grep { $_->[0] ne 'u' } @{ $_->{c}{set} } } @$steps;
}

# Compares views with their queries; returns { name => kind } of those with a fault.
sub check_views
{
	my ($self, @views) = @_;
	my $db = $self->{db};
	my %fault;

	my $states = $db->selectall_arrayref(q{SELECT view::text, reason FROM derive.views WHERE state = 'failed'});
	my %failed = map { $_->[0] =~ s/^f\.//r => $_->[1] } @$states;
	my %repaired = map { $_->[0] =~ s/^f\.//r => 1 } @{ $db->selectall_arrayref(
		'SELECT DISTINCT view::text FROM derive.stages WHERE repairs > 0') };
	$db->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
	for my $v (@views)
	{
		my @prints = eval { $db->selectrow_array("EXECUTE check_$v->{name}") };
		if ($@)
		{
			$fault{ $v->{name} } = 'query error';
			$v->{detail} = message($@);
			eval { $db->do('ROLLBACK') };
			$db->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
		}
		elsif (exists $failed{ $v->{name} })
		{
			$fault{ $v->{name} } = 'failed';
			$v->{detail} = $failed{ $v->{name} };
		}
		elsif ($prints[0] ne $prints[1])
		{
			$fault{ $v->{name} } = 'diff';
			$v->{detail} = "rows and hash $prints[0] instead of $prints[1]";
		}
		elsif ($repaired{ $v->{name} } && !$v->{repaired}++)
		{
			$fault{ $v->{name} } = 'repaired';
			$v->{detail} = 'a delta did not fit what was stored';
		}
		$self->{count}{comparisons}++;
	}
	$db->do('COMMIT');
	for my $v (grep { ($fault{ $_->{name} } // '') eq 'diff' } @views)
	{
		$fault{ $v->{name} } = 'nondeterministic' unless $self->is_deterministic($v->{sql});
	}
	return \%fault;
}

sub verify_finds
{
	my ($self, $v) = @_;
	my ($n) = eval { $self->{db}->selectrow_array("SELECT count(*) FROM derive.verify('f.$v->{name}')") };

	$self->{say}->("derive.verify('f.$v->{name}') failed: " . message($@) . "\n") unless defined $n;
	$self->{count}{ defined $n ? 'verified' : 'verify failed' }++;
	return $n ? 1 : 0;
}

# One round over some views: { name => kind }.  { '' => 'crash' } if the server is to blame.
sub round
{
	my ($self, $steps, $verify, @views) = @_;
	my $unused = only_unused($steps);
	my %before = $unused ? map { $_->{name} => $self->row_versions($_->{name}) } @views : ();

	my $trouble = $self->run_steps($steps);
	$trouble ||= $self->wait_fresh;
	return { '' => $trouble } if $trouble;
	my $fault = $self->check_views(@views);
	for my $v (grep { !$fault->{ $_->{name} } } @views)
	{
		$fault->{ $v->{name} } = 'touched' if $unused && $self->row_versions($v->{name}) ne $before{ $v->{name} };
		$fault->{ $v->{name} } = 'verify' if $verify && $self->verify_finds($v);
	}
	return $fault;
}

# ---------------------------------------------------------------------------------------
# One case alone
# ---------------------------------------------------------------------------------------

# Runs a case from the start; returns what is wrong with its last view, or ''.  $case->{at}
# is then the round in which it was seen (-1: the first build).
sub reproduce
{
	my ($self, $case) = @_;
	my @views = @{ $case->{views} };
	my $last = $views[-1];
	my $kind = eval { $self->reproduce_unsafe($case, @views) };

	if (!defined $kind)
	{
		my $error = $@;
		return '' unless $self->lost;
		$self->connect;
		$kind = 'crash';
	}
	return $kind;
}

sub reproduce_unsafe
{
	my ($self, $case, @views) = @_;
	my $last = $views[-1];

	$self->reset_schema($case->{tables}, $case->{gone}, $case->{rows});
	for my $v (@views)
	{
		my $error = $self->create_view($v->{name}, $v->{sql});
		return '' if $error;
		$self->prepare_check($v->{name}, $v->{sql});
	}
	for my $n (-1 .. $#{ $case->{rounds} })
	{
		my $fault = $n < 0 ? $self->round([], 0, $last)
		  : $self->round($case->{rounds}[$n], ($case->{kind} // '') eq 'verify', $last);
		my $kind = $fault->{''} // $fault->{ $last->{name} } // '';
		next if $kind eq '';
		$case->{at} = $n;
		$case->{detail} = $last->{detail} // '';
		$self->connect if $kind eq 'crash';
		return $kind =~ /^(query error|nondeterministic)$/ ? '' : $kind;
	}
	return '';
}

# The tables' content as inserts, each row with columns in order.
sub dump_tables
{
	my ($self, $tables, $gone) = @_;
	my @rows;

	for my $t (@$tables)
	{
		my $cols = $self->{db}->selectcol_arrayref(
			"SELECT attname FROM pg_attribute WHERE attrelid = 'f.$t'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
		my $list = join ', ', map { "quote_nullable($_\::text)" } @$cols;
		for my $into (stored_in($t))
		{
			my $only = $into eq $t && stored_in($t) > 1 ? 'ONLY ' : '';
			my $data = $self->{db}->selectall_arrayref(
				"SELECT $list FROM ${only}f.$into ORDER BY " . join(', ', map { "$_\::text" } @$cols));
			push @rows, { k => 'insert', t => $t, cols => [@$cols], rows => [ map { [@$_] } @$data ], into => $into } if @$data;
		}
	}
	return \@rows;
}

# ---------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------

# A query with the views that it reads written out: they may not be built yet, and be empty.
sub written_out
{
	my ($sql, @views) = @_;

	$sql =~ s/\bf\.$_->{name}\b/($_->{sql})/g for reverse @views;
	return $sql;
}

# True if a query runs, fast and with few rows; why not is counted.
sub is_usable
{
	my ($self, $sql, @views) = @_;
	my $db = $self->{db};
	my $started = time;
	my $rows;

	my $error = try(sub { $db->do("EXPLAIN $sql") });
	if ($error)
	{
		$self->{invalid}{ message($error) }++;
		$self->{say}->("invalid: $error$sql\n") if $ENV{FUZZ_SHOW_INVALID};
		return 0;
	}
	$error = try(sub {
		$db->do('SET statement_timeout = 500');
		($rows) = $db->selectrow_array('SELECT count(*) FROM (' . written_out($sql, @views) . ') t');
	});
	$db->do("SET statement_timeout = '60s'");
	if ($error)
	{
		$self->{invalid}{ 'when run: ' . message($error) }++;
		return 0;
	}
	if ($rows > 3000 || time - $started > 0.2)
	{
		$self->{count}{'too large to be tried'}++;
		return 0;
	}
	return 1;
}

# Asks of random queries alone whether their results are determined: under other plans, and with
# the rows of the tables in another order on disk.
sub check_generator
{
	my ($self, $batch) = @_;
	my $db = $self->{db};
	my $print = q{SELECT count(*) || ':' || COALESCE(sum(hashtextextended(t::text, 0)), 0)};
	my @queries;

	srand(($self->{seed} * 7919 + $batch * 104729) % 2147483647);
	$self->reset_schema([ table_names() ], {}, [ map { random_rows($_, 8 + int rand 24) } table_names() ]);
	for my $i (1 .. 100)
	{
		srand(($self->{seed} * 1_000_003 + $batch * 1009 + $i) % 2147483647);
		my $sql = query_sql(random_query());
		next unless $self->is_usable($sql);
		$self->{count}{queries}++;
		push @queries, [ $sql, $db->selectrow_array("$print FROM ($sql) t") ];
	}
	for my $t (table_names())
	{
		$db->do("CREATE TEMP TABLE x AS SELECT * FROM f.$t; TRUNCATE f.$t; INSERT INTO f.$t SELECT * FROM x ORDER BY md5(x::text); DROP TABLE x");
	}
	for my $query (@queries)
	{
		my ($sql, $before) = @$query;
		next if $self->is_deterministic($sql) && ($db->selectrow_array("$print FROM ($sql) t"))[0] eq $before;
		$self->{count}{nondeterministic}++;
		$self->{say}->("not deterministic: $sql\n");
	}
	return;
}

# The views of one batch.  What a number of a query stands for depends on the seed alone,
# except for the earlier views that it can read.
sub make_views
{
	my ($self, $batch) = @_;
	my @views;

	for my $i (1 .. 4 * $self->{views})
	{
		last if @views >= $self->{views};
		srand(($self->{seed} * 1_000_003 + $batch * 1009 + $i) % 2147483647);
		my $ast = random_query(@views);
		my $sql = query_sql($ast);
		$self->{count}{generated}++;
		next unless $self->is_usable($sql, @views);
		$self->{count}{queries}++;
		my $name = 'v' . (@views + 1);
		my $error = $self->create_view($name, $sql);
		if ($error)
		{
			die $error if $self->lost;
			$self->{refused}{ message($error) }++;
			$self->{say}->("refused: $error  $sql\n") if $ENV{FUZZ_SHOW_REFUSED};
			next;
		}
		$self->{count}{accepted}++;
		$self->prepare_check($name, $sql);
		push @views, { name => $name, sql => $sql, ast => $ast, cols => [ query_columns($ast) ] };
	}
	return @views;
}

sub batch
{
	my ($self, $batch) = @_;
	my @rounds;

	srand(($self->{seed} * 7919 + $batch * 104729) % 2147483647);
	my $rows = [ map { my $t = $_; random_rows($t, 8 + int rand 24) } table_names() ];
	my $data_seed = int rand 1e9;
	$self->reset_schema([ table_names() ], {}, $rows);
	my @views = $self->make_views($batch);
	my @all = @views;
	$self->{count}{batches}++;
	return unless @views;

	for my $n (0 .. $self->{rounds})
	{
		srand(($data_seed + $n) % 2147483647);
		my $steps = $n == 0 ? [] : $n % 7 == 3 ? unused_round() : random_round();
		push @rounds, $steps if $n > 0;
		my $fault = $self->round($steps, $n == 5 || $n == $self->{rounds}, @views);
		$self->{count}{rounds}++;
		if (my $trouble = $fault->{''})
		{
			$self->fault($batch, $trouble, $rows, \@rounds, \@all, $views[-1]);
			$self->connect;
			return;
		}
		for my $v (grep { $fault->{ $_->{name} } } @views)
		{
			# A view over a view with a fault has it from there.
			next if grep { $v->{sql} =~ /\bf\.$_\b/ && $fault->{$_} ne 'diff' } keys %$fault;
			$self->fault($batch, $fault->{ $v->{name} }, $rows, \@rounds, \@all, $v);
		}
		@views = grep { !$fault->{ $_->{name} } } @views;
		last if $self->{stop}->() && $n >= 5;
	}
	$self->count_rules(@all);
	return;
}

sub fault
{
	my ($self, $batch, $kind, $rows, $rounds, $all, $v) = @_;

	if ($kind eq 'query error' || $kind eq 'nondeterministic')
	{
		$self->{count}{"views given up: $kind"}++;
		$self->{say}->("$kind (seed $self->{seed}, batch $batch): " . ($v->{detail} // '') . "\n  $v->{sql}\n");
		return;
	}
	push @{ $self->{faults} }, { kind => $kind, batch => $batch, seed => $self->{seed}, detail => $v->{detail} // '',
		case => { kind => $kind, tables => [ table_names() ], gone => {}, rows => $rows, rounds => [@$rounds],
			views => [ needed_views($v, $all) ] } };
	$self->{say}->("$kind (seed $self->{seed}, batch $batch, round " . @$rounds . "): $v->{name} " . ($v->{detail} // '')
		  . "\n  $v->{sql}\n");
	return;
}

# A view and those that it reads, in the order of their creation.
sub needed_views
{
	my ($v, $all) = @_;
	my %need = ($v->{name} => 1);

	for my $w (reverse @$all)
	{
		next unless $need{ $w->{name} };
		$need{$_} = 1 for $w->{sql} =~ /\bf\.(v\d+)\b/g;
	}
	return map { { name => $_->{name}, sql => $_->{sql}, ast => $_->{ast} } } grep { $need{ $_->{name} } } @$all;
}

# By which rule the views were maintained, and how often they were recomputed all the same.
sub count_rules
{
	my ($self, @views) = @_;
	my $rows = eval { $self->{db}->selectall_arrayref(
		q{SELECT v.rule, s.recomputes, v.view::text FROM derive.views v, derive_state.view_statistics(v.view) s
			WHERE v.view::text LIKE 'f.%'}) };

	for my $row (@{ $rows // [] })
	{
		$self->{rule}{ $row->[0] // 'unknown' }++;
		$self->count_obstacles($row->[2]) if ($row->[0] // '') eq 'recompute';
		$self->{count}{'recomputes, first builds among them'} += $row->[1] // 0;
		$self->{count}{'views without recompute'}++ unless ($row->[0] // '') =~ /recompute/;
	}
	return;
}

# Why stages of a view are recomputed.
sub count_obstacles
{
	my ($self, $view) = @_;
	my $lines = eval { $self->{db}->selectcol_arrayref(
		q{SELECT DISTINCT substring(line FROM 'rule: recompute and diff: (.*)') FROM derive.explain($1::regclass) line
			WHERE line LIKE '%rule: recompute and diff: %'}, undef, $view) };

	$self->{obstacle}{$_}++ for @{ $lines // [] };
	return;
}

# The results as text.
sub summary
{
	my ($self) = @_;
	my $c = $self->{count};
	my $of = sub { my ($n, $all) = @_; return sprintf '%d (%.1f %%)', $n // 0, $all ? 100 * ($n // 0) / $all : 0 };
	my $views = 0;
	my $text = '';

	$views += $_ for values %{ $self->{rule} };
	for my $list ([ 'refused', $self->{refused} ], [ 'not valid SQL, left out', $self->{invalid} ], [ 'rule', $self->{rule} ],
		[ 'recomputed because', $self->{obstacle} ])
	{
		my ($title, $h) = @$list;
		$text .= sprintf "%6d  %s: %s\n", $h->{$_}, $title, $_ for sort { $h->{$b} <=> $h->{$a} || $a cmp $b } keys %$h;
	}
	$text .= sprintf "%6d  %s\n", $c->{$_}, $_ for sort grep { !/^(generated|queries|accepted|views without recompute)$/ } keys %$c;
	$text .= "queries: " . ($c->{queries} // 0) . ", accepted: " . $of->($c->{accepted}, $c->{queries})
	  . ", without recompute: " . $of->($c->{'views without recompute'}, $views) . ", rounds: " . ($c->{rounds} // 0)
	  . ", differences: " . @{ $self->{faults} } . "\n";
	return $text;
}

1;
