# Fuzz::Schema: the adversarial tables of schema "f", their random content, random changes.
#
# Tables are few and small and their values come from tiny domains, so that keys collide, groups
# shrink to nothing and come back, and NULL is everywhere.  Types whose values can be equal and
# yet different (numeric 1.0 and 1.00, interval '1 day' and '24 hours', jsonb) are among them, and
# f.word, a text without regard to case as citext: its operators are in schema public.
#
# A change is a structure, not a text, so that the shrinker can take parts out of it:
#   { k => 'insert', t => 'a', cols => [...], rows => [[...], ...] }
#   { k => 'update', t => 'a', set => [[column, sql], ...], where => sql }
#   { k => 'delete', t => 'a', where => sql }     { k => 'truncate', t => 'a' }
#   { k => 'raw', sql => 'BEGIN' }
# A round is a list of steps { s => session, c => change }.

package Fuzz::Schema;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(
  pick chance weighted sql_type literal table_info has_unused table_names source_names
  schema_sql tables_sql stored_in change_sql random_rows random_round unused_round
);

# The generator's name of a type => the type in SQL.  xnum and xitv are numeric and interval
# whose equal values are identical (trim_scale, justify_interval).
my %sql_type = (
	int => 'int', big => 'bigint', num => 'numeric', xnum => 'numeric', txt => 'text',
	vc => 'varchar', bpc => 'char(4)', bool => 'bool', date => 'date', ts => 'timestamptz',
	itv => 'interval', xitv => 'interval', json => 'jsonb', ia => 'int[]', ta => 'text[]',
	pair => 'f.pair', dom => 'f.small', rng => 'int4range', enum => 'f.mood', byt => 'bytea',
	flt => 'float8', word => 'f.word',
);

my %values = (
	int => [ -1, 0, 1, 1, 2, 2, 3, 4 ],
	big => [ 0, 1, 2, 3, 10000000000 ],
	num => [ qw(1.0 1.00 1 0 2.5 2.50 -1 0.00 3), "'NaN'" ],
	xnum => [ qw(1 0 2.5 -1 3) ],
	txt => [ "''", "'a'", "'a'", "'b'", "'A'", "'ab'", "'ba'" ],
	vc => [ "'a'", "'b'", "'A'", "'B'", "'aB'" ],
	bpc => [ "'x'", "'xy'", "'Y'", "''" ],
	bool => [ 'true', 'false' ],
	date => [ map { "'2024-01-0$_'" } 1 .. 4 ],
	ts => [ "'2024-01-01 00:00+00'", "'2024-01-01 12:00+00'", "'2024-01-02 23:30+02'" ],
	itv => [ "'1 day'", "'24 hours'", "'2 hours'", "'1 mon'", "'30 days'", "'0'" ],
	xitv => [ "'1 day'", "'2 hours'", "'1 mon'" ],
	json => [ q('{"a": 1}'), q('{"a": 1.0}'), q('[1, 2]'), q('{"b": null}'), q('1'), q('{"a": "x"}'), q('[]') ],
	ia => [ "'{1,2}'", "'{}'", "'{NULL,1}'", "'{2}'", "'{2}'", "'{1,1,3}'" ],
	ta => [ "'{a,b}'", "'{}'" ],
	pair => [ "'(1,a)'", "'(1,a)'", "'(,)'", "'(2,)'", "'(2,b)'" ],
	dom => [ 0, 1, 1, 2, 3 ],
	rng => [ "'[1,3)'", "'empty'", "'(,2)'", "'[2,)'", "'[2,4)'" ],
	enum => [ "'low'", "'mid'", "'high'" ],
	byt => [ "'\\x00'", "'\\x0102'", "''", "'\\x61'" ],
	flt => [ 0, 0.5, 0.5, 1.25, 2, -1, "'NaN'" ],
	word => [ "'a'", "'A'", "'b'", "'B'", "'aB'" ],
);

# Columns in order: name => type; "key" is the primary key, "unused" is never read by a query.
my %tables = (
	a => { cols => [ id => 'int', i => 'int', g => 'big', n => 'num', t => 'txt', b => 'bool', u => 'int' ],
		key => ['id'], unused => 'u', rows => 30 },
	b => { cols => [ i => 'int', g => 'int', n => 'num', v => 'vc', j => 'json', f => 'flt', u => 'int' ],
		unused => 'u', rows => 30 },
	c => { cols => [ k1 => 'int', k2 => 'txt', d => 'date', s => 'ts', w => 'itv', x => 'bpc' ],
		key => [ 'k1', 'k2' ], rows => 20 },
	d => { cols => [ id => 'int', i => 'int', ar => 'ia', p => 'pair', o => 'dom', r => 'rng',
			e => 'enum', y => 'byt' ],
		key => ['id'], rows => 20 },
	e => { cols => [ id => 'int', i => 'int', t => 'txt', w => 'word' ], key => ['id'], rows => 15 },
	h => { cols => [ id => 'int', i => 'int', t => 'txt', w => 'word' ], rows => 20 },
	p => { cols => [ l => 'int', i => 'int', n => 'num', t => 'txt' ], rows => 30, partition => 'LIST (l)',
		parts => { p_0 => 'FOR VALUES IN (0, NULL)', p_1 => 'FOR VALUES IN (1, 2)', p_x => 'DEFAULT' } },
	q => { cols => [ id => 'int', d => 'date', i => 'int', o => 'dom' ], key => [ 'id', 'd' ], rows => 20,
		partition => 'RANGE (d)',
		parts => { q_1 => "FOR VALUES FROM ('2024-01-01') TO ('2024-01-03')", q_x => 'DEFAULT' } },
	m => { cols => [ id => 'int', i => 'int', t => 'txt' ], rows => 20, children => [ 'm_1', 'm_2' ] },
);

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# One of (weight, thing, weight, thing, ...).
sub weighted
{
	my @list = @_;
	my $total = 0;

	for (my $i = 0; $i < @list; $i += 2) { $total += $list[$i] }
	my $point = rand $total;
	for (my $i = 0; $i < @list; $i += 2)
	{
		$point -= $list[$i];
		return $list[ $i + 1 ] if $point < 0;
	}
	return $list[-1];
}

sub sql_type { return $sql_type{ $_[0] } // die "no type $_[0]" }

# A random value of a type, as SQL without a cast.
sub literal
{
	my ($type, $null) = @_;

	return 'NULL' if chance($null // 0.2);
	return pick(@{ $values{$type} });
}

# ---------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------

sub table_names { return sort keys %tables }

# { cols => [[name, type], ...] without the unused one, key => [names] or undef }
sub table_info
{
	my ($name) = @_;
	my ($root) = split /_/, $name;
	my $t = $tables{$root};
	my @cols;

	for (my $i = 0; $i < @{ $t->{cols} }; $i += 2)
	{
		my ($col, $type) = @{ $t->{cols} }[ $i, $i + 1 ];
		push @cols, [ $col, $type ] unless ($t->{unused} // '') eq $col;
	}
	return { cols => \@cols, key => $t->{key} };
}

# True if a table has a column that queries must not read.
sub has_unused { return exists $tables{ $_[0] } && defined $tables{ $_[0] }{unused} }

# What a query can read, the likelier ones several times.
sub source_names
{
	return (qw(a a a b b b c c d d e e e h h h p p p q q p_1 q_x m m m_1));
}

sub all_columns
{
	my ($t) = @_;
	my @c = @{ $tables{$t}{cols} };

	return map { $c[ 2 * $_ ] } 0 .. $#c / 2;
}

# Types, functions and aggregates that the tables and queries use.
sub schema_sql
{
	return <<'SQL' . word_sql();
CREATE SCHEMA f;
CREATE TYPE f.mood AS ENUM ('low', 'mid', 'high');
CREATE TYPE f.pair AS (x int, y text);
CREATE DOMAIN f.small AS int CHECK (VALUE > -1000000);
CREATE FUNCTION f.weigh(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	'SELECT COALESCE($1, 0) + COALESCE(2 * $2 + 1, 0)';
CREATE AGGREGATE f.weight(int) (SFUNC = f.weigh, STYPE = bigint);
SQL
}

# The type f.word, as one statement: who uses it needs all of it.
sub word_sql
{
	my @operators = ([ '<', '>', '>=', '' ], [ '<=', '>=', '>', '' ], [ '=', '=', '<>', ', MERGES, HASHES' ],
		[ '>=', '<=', '<', '' ], [ '>', '<', '<=', '' ], [ '<>', '<>', '=', '' ]);
	my @sql = ('CREATE TYPE f.word', "CREATE FUNCTION f.word_in(cstring) RETURNS f.word IMMUTABLE STRICT LANGUAGE internal AS 'textin'",
		"CREATE FUNCTION f.word_out(f.word) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout'",
		"CREATE TYPE f.word (INPUT = f.word_in, OUTPUT = f.word_out, LIKE = text, CATEGORY = 'S')",
		'CREATE CAST (f.word AS text) WITHOUT FUNCTION AS IMPLICIT', 'CREATE CAST (text AS f.word) WITHOUT FUNCTION AS ASSIGNMENT',
		'CREATE FUNCTION f.word_cmp(f.word, f.word) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS '
		  . q{'SELECT bttextcmp(lower($1::text COLLATE "C"), lower($2::text COLLATE "C"))'},
		'CREATE FUNCTION f.word_hash(f.word) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS '
		  . q{'SELECT hashtext(lower($1::text COLLATE "C"))'});

	for my $n (0 .. $#operators)
	{
		my ($operator, $commutator, $negator, $more) = @{ $operators[$n] };
		push @sql, "CREATE FUNCTION f.word_$n(f.word, f.word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT f.word_cmp(\$1, \$2) $operator 0'",
		  "CREATE OPERATOR public.$operator (LEFTARG = f.word, RIGHTARG = f.word, FUNCTION = f.word_$n, COMMUTATOR = OPERATOR(public.$commutator), "
		  . "NEGATOR = OPERATOR(public.$negator)$more)";
	}
	push @sql, 'CREATE OPERATOR CLASS f.word_ops DEFAULT FOR TYPE f.word USING btree AS '
	  . join(', ', map { 'OPERATOR ' . ($_ + 1) . " public.$operators[$_][0]" } 0 .. 4) . ', FUNCTION 1 f.word_cmp(f.word, f.word)',
	  'CREATE OPERATOR CLASS f.word_hash_ops DEFAULT FOR TYPE f.word USING hash AS OPERATOR 1 public.=, FUNCTION 1 f.word_hash(f.word)';
	return join('; ', @sql) . ";\n";
}

# CREATE TABLE for the tables, without the columns in $gone ("a.t" => 1).
sub tables_sql
{
	my ($names, $gone) = @_;
	my $sql = '';

	for my $name (sort @$names)
	{
		my $t = $tables{$name};
		my @defs;
		for (my $i = 0; $i < @{ $t->{cols} }; $i += 2)
		{
			my ($col, $type) = @{ $t->{cols} }[ $i, $i + 1 ];
			next if $gone->{"$name.$col"};
			push @defs, "$col " . sql_type($type) . ($type eq 'vc' ? ' COLLATE "en-x-icu"' : '');
		}
		push @defs, 'PRIMARY KEY (' . join(', ', @{ $t->{key} }) . ')' if $t->{key};
		$sql .= "CREATE TABLE f.$name (" . join(', ', @defs) . ')'
		  . ($t->{partition} ? " PARTITION BY $t->{partition}" : '') . ";\n";
		for my $part (sort keys %{ $t->{parts} // {} })
		{
			$sql .= "CREATE TABLE f.$part PARTITION OF f.$name $t->{parts}{$part};\n";
		}
		$sql .= "CREATE TABLE f.$_ (more int) INHERITS (f.$name);\n" for @{ $t->{children} // [] };
	}
	return $sql;
}

# ---------------------------------------------------------------------------------------
# Content and changes
# ---------------------------------------------------------------------------------------

# A value for a column, NULL only where one may be.
sub column_value
{
	my ($t, $col, $type) = @_;
	my $in_key = grep { $_ eq $col } @{ $tables{$t}{key} // [] };

	return 1 + int rand 40 if $col eq 'id' && $in_key && @{ $tables{$t}{key} } == 1;
	return int rand 12 if $col eq 'id';
	return literal($type, $in_key ? 0 : 0.22);
}

# An INSERT of random rows; rows whose key is there already are left out by the server.
sub random_rows
{
	my ($t, $n) = @_;
	my @c = @{ $tables{$t}{cols} };
	my @rows;

	for (1 .. $n)
	{
		push @rows, [ map { column_value($t, $c[ 2 * $_ ], $c[ 2 * $_ + 1 ]) } 0 .. $#c / 2 ];
		push @rows, [ @{ $rows[-1] } ] if !$tables{$t}{key} && chance(0.15);
	}
	return { k => 'insert', t => $t, cols => [ all_columns($t) ], rows => \@rows, into => pick(stored_in($t)) };
}

# The tables that hold the rows of a table with inheritance children, itself among them.
sub stored_in { my ($t) = @_; return ($t, @{ $tables{$t}{children} // [] }) }

my %no_order = map { $_ => 1 } qw(json);

sub random_condition
{
	my ($t) = @_;
	my @c = @{ $tables{$t}{cols} };
	my $n = int rand @c / 2;
	my ($col, $type) = @c[ 2 * $n, 2 * $n + 1 ];
	my $v = column_value($t, $col, $type);

	return "$col IS NULL" if $v eq 'NULL';
	$v = "$v" . '::' . sql_type($type);
	return weighted(
		6 => "$col = $v",
		2 => $no_order{$type} ? "$col = $v" : "$col < $v",
		1 => "$col IS DISTINCT FROM $v",
		1 => "$col IS NOT NULL AND $col <> $v");
}

# A list of changes that belong together, mostly one.
sub random_changes
{
	my $t = pick(table_names());
	my $info = $tables{$t};
	my @c = @{ $info->{cols} };
	my $kind = weighted(40 => 'insert', 34 => 'update', 22 => 'delete', 4 => 'swap', 3 => 'move',
		1.2 => 'empty', 0.5 => 'truncate', 1.5 => 'again', $info->{children} ? (4 => 'inherit') : ());

	return random_rows($t, 1 + int rand 4) if $kind eq 'insert';
	return { k => 'delete', t => $t, where => random_condition($t) } if $kind eq 'delete';
	return ({ k => 'delete', t => $t, where => 'true' }, chance(0.5) ? random_rows($t, 12) : ())
	  if $kind eq 'empty';
	return ({ k => 'truncate', t => $t }, random_rows($t, 10)) if $kind eq 'truncate';
	if ($kind eq 'swap' && $info->{key} && $info->{key}[0] eq 'id' && @{ $info->{key} } == 1)
	{
		my ($x, $y) = (1 + int rand 40, 1 + int rand 40);
		return map { { k => 'update', t => $t, set => [ [ 'id', $_->[1] ] ], where => "id = $_->[0]" } }
		  ([ $x, -7 ], [ $y, $x ], [ -7, $y ]);
	}
	if ($kind eq 'move' && $info->{key})		# keys move in one statement
	{
		return { k => 'update', t => $t, set => [ [ $info->{key}[0], "$info->{key}[0] + 40" ] ],
			where => random_condition($t) };
	}
	if ($kind eq 'inherit')		# a child goes, with what it holds, and perhaps comes back
	{
		my $child = pick(@{ $info->{children} });
		return (raw("ALTER TABLE f.$child NO INHERIT f.$t"), chance(0.5) ? random_rows($t, 2) : (),
			raw("ALTER TABLE f.$child INHERIT f.$t"));
	}
	if ($kind eq 'again' && !$info->{key})		# every row twice, or once
	{
		my $list = join ', ', all_columns($t);
		return { k => 'raw', sql => "INSERT INTO f.$t ($list) SELECT $list FROM f.$t WHERE "
			  . random_condition($t) };
	}
	my @set;
	my %done;
	for (1 .. (chance(0.6) ? 1 : 2))
	{
		my $n = int rand @c / 2;
		my ($col, $type) = @c[ 2 * $n, 2 * $n + 1 ];
		next if $done{$col}++;
		my $v = column_value($t, $col, $type);
		$v = "$col + 1" if $type eq 'int' && chance(0.3);
		$v = "$col || $v" if $type eq 'ia' && $v ne 'NULL' && chance(0.3);
		push @set, [ $col, $v ];
	}
	return { k => 'update', t => $t, set => \@set, where => random_condition($t) };
}

sub change_sql
{
	my ($c) = @_;

	return $c->{sql} if $c->{k} eq 'raw';
	return "TRUNCATE f.$c->{t}" if $c->{k} eq 'truncate';
	return "DELETE FROM f.$c->{t}" . where_sql($c) if $c->{k} eq 'delete';
	return "UPDATE f.$c->{t} SET " . join(', ', map { "$_->[0] = $_->[1]" } @{ $c->{set} }) . where_sql($c)
	  if $c->{k} eq 'update';
	return 'INSERT INTO f.' . ($c->{into} // $c->{t}) . ' (' . join(', ', @{ $c->{cols} }) . ') VALUES '
	  . join(', ', map { '(' . join(', ', @$_) . ')' } @{ $c->{rows} })
	  . ($tables{ $c->{t} }{key} ? ' ON CONFLICT DO NOTHING' : '');
}

sub where_sql
{
	my ($c) = @_;

	return $c->{where} eq 'true' ? '' : " WHERE $c->{where}";
}

sub raw { return { k => 'raw', sql => $_[0] } }

# The changes of one transaction, with its BEGIN and end where it has them.
sub random_transaction
{
	my @body = map { random_changes() } 1 .. weighted(5 => 1, 3 => 2, 2 => 3, 1 => 5);

	return @body if chance(0.35);		# each on its own
	if (chance(0.25))
	{
		push @body, raw('SAVEPOINT s'), random_changes();
		push @body, raw('SAVEPOINT t'), random_changes(), raw(pick('RELEASE t', 'ROLLBACK TO t')) if chance(0.3);
		push @body, raw(pick('ROLLBACK TO s', 'ROLLBACK TO s', 'RELEASE s'));
		push @body, random_changes();
	}
	return (raw('BEGIN'), @body, raw(chance(0.12) ? 'ROLLBACK' : 'COMMIT'));
}

# One round: transactions of one session, or of three whose statements interleave.
sub random_round
{
	my @steps;

	if (chance(0.7))
	{
		push @steps, map { { s => 0, c => $_ } } random_transaction() for 1 .. weighted(3 => 1, 2 => 2, 1 => 4);
		return \@steps;
	}
	my @queues = map { [ map { random_transaction() } 1 .. 2 ] } 0 .. 2;
	while (my @left = grep { @{ $queues[$_] } } 0 .. 2)
	{
		my $s = pick(@left);
		push @steps, { s => $s, c => shift @{ $queues[$s] } };
	}
	return \@steps;
}

# A round that changes only columns that no query reads.
sub unused_round
{
	return [ map { { s => 0, c => { k => 'update', t => $_, set => [ [ 'u', 'COALESCE(u, 0) + 1' ] ],
				where => pick('true', 'i > 1', 'n IS NOT NULL') } } } qw(a b) ];
}

1;
