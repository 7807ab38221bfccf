# The change stream for consumers outside, read over the replication protocol with
# pg_recvlogical and parsed by a JSON parser that has nothing to do with PostgreSQL's.

use strict;
use warnings FATAL => 'all';
use utf8;

use Encode qw(encode);
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use Derive::Node;

my $json = JSON::PP->new->utf8->allow_bignum;
my $pkglibdir = `pg_config --pkglibdir`;
chomp $pkglibdir;

# ---------------------------------------------------------------- a server and a consumer

my $node = derive_init('outside', "logical_decoding_work_mem = '64kB'\nTimeZone = 'America/New_York'\n"
	  . "DateStyle = 'German'\nIntervalStyle = 'iso_8601'\nextra_float_digits = 0\nbytea_output = 'escape'");
# Probed with the installed programs; the copy that the test runs is the same version.
my $described = `postgres --describe-config`;
my $has_wal2json = -e "$pkglibdir/wal2json.so";
$node->append_conf('postgresql.conf',
	"output_plugin_libraries = 'pgoutput, test_decoding, wal2json, pg_derive'")
  if $described =~ /^output_plugin_libraries/m;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');

sub create_slot
{
	my ($slot, %how) = @_;
	return $node->safe_psql($how{db} // 'postgres',
		"SELECT slot_name FROM pg_create_logical_replication_slot('$slot', '"
		  . ($how{plugin} // 'pg_derive') . "', false, " . ($how{two_phase} ? 'true' : 'false') . ')');
}

# The records from the slot's position up to now, parsed; dies on a line that is no JSON.
sub consume
{
	my ($slot, $db, %options) = @_;
	my $end = $node->safe_psql($db, 'SELECT pg_current_wal_insert_lsn()');
	my $lines = $node->pg_recvlogical_upto($db, $slot, $end,
		$PostgreSQL::Test::Utils::timeout_default, %options);
	my @records;

	foreach my $line (split /\n/, $lines)
	{
		my $record = eval { $json->decode($line) };
		die "no JSON: $line\n$@" unless ref $record eq 'HASH';
		push @records, $record;
	}
	return @records;
}

# Creates a slot in a state that another one is in: what both read is the same.
sub copy_slot
{
	my ($from, $to) = @_;
	return $node->safe_psql('postgres', "SELECT slot_name FROM pg_copy_logical_replication_slot('$from', '$to')");
}

# ---------------------------------------------------------------- every built-in type

# Values of each type as SQL literals.  The null of json is not among them: in JSON nothing tells
# it from NULL.
my %samples = (
	bool => [qw(true false)],
	int2 => [qw(0 -32768 32767)],
	int4 => [qw(0 -2147483648 2147483647)],
	int8 => [qw(0 -9223372036854775808 9223372036854775807)],
	float4 => [qw(0 -0 1.5 3.4028235e38 1.1754944e-38 1e-7 1e15 NaN Infinity -Infinity)],
	float8 => [qw(0 -0 0.1 1e300 1.7976931348623157e308 5e-324 123456789012345680 NaN Infinity -Infinity)],
	numeric => [ qw(0 0.00 -0.5 1.10 1e-20 123456789012345678901234567890.123456789 NaN Infinity -Infinity),
		'9' x 2000, '0.' . '0' x 500 . '1' ],
	money => [qw($1.00 -$92233720368547758.08)],
	text => [ '', ' ', "a\tb", 'quote " slash \\ / brace {}', "line\nfeed\r", "\x01\x1f\x7f", 'grün € 😀' ],
	varchar => [ 'x', 'é' ],
	bpchar => [ 'x', 'é' ],
	name => [ 'x', 'é"' ],
	'"char"' => [qw(a Z)],
	bytea => [ '\\x', '\\x00ff5c22', '\\xdeadbeef' ],
	bit => [qw(0 1)],
	varbit => [ '', '0101' ],
	uuid => [qw(00000000-0000-0000-0000-000000000000 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)],
	date => [ qw(2026-02-28 infinity -infinity 0001-01-01 5874897-12-31), '0044-03-15 BC' ],
	time => [qw(00:00:00 24:00:00 12:34:56.789012)],
	timetz => [qw(00:00:00+00 12:34:56.789012-03:30 24:00:00+15:59)],
	timestamp => [ '2026-02-28 12:34:56.789012', 'infinity', '-infinity', '0044-03-15 01:02:03 BC', '294276-12-31 23:59:59.999999' ],
	timestamptz => [ '2026-02-28 12:34:56.789012+05:30', 'infinity', '-infinity', '0044-03-15 01:02:03+00 BC', '2026-07-01 00:00:00+00' ],
	interval => [ '0', '1 year -2 mons +3 days -04:05:06.789', '-178000000 years', '00:00:00.000001' ],
	json => [ '{"a":[1,2.50,null,true],"b":{"c":"\\"\\u00e9\\\\"}}', '"x"', '1e2' ],
	jsonb => [ '{"a":[1,2.50,null,true],"b":{"c":"\\"é\\\\"}}', '"x"', '12345678901234567890.10' ],
	jsonpath => ['$."a"[*]?(@ > 1)'],
	xml => ['<a b="1">é&amp;</a>'],
	inet => [qw(192.168.0.1/24 ::1)],
	cidr => [qw(10.0.0.0/8 2001:db8::/32)],
	macaddr => ['08:00:2b:01:02:03'],
	macaddr8 => ['08:00:2b:01:02:03:04:05'],
	point => ['(0.1,-2)'],
	lseg => ['[(1,2),(3,4)]'],
	path => [ '((1,2),(3,4))', '[(1,2),(3,4)]' ],
	box => ['(3,4),(1,2)'],
	polygon => ['((1,2),(3,4),(5,6))'],
	line => ['{1,-1,0.1}'],
	circle => ['<(1,2),3.5>'],
	tsvector => [q('a':1A,2 'b c':3)],
	tsquery => [q('a' & !'b' | 'c' <-> 'd')],
	oid => [qw(0 4294967295)],
	xid => [qw(3 4294967295)],
	xid8 => [qw(3 18446744073709551615)],
	cid => ['7'],
	tid => ['(1,2)'],
	pg_lsn => ['16/B374D848'],
	txid_snapshot => ['10:20:10,14'],
	pg_snapshot => ['10:20:10,14'],
	refcursor => ['portal'],
	int2vector => ['1 2 3'],
	oidvector => ['1 2 3'],
	aclitem => ['=r/postgres'],
	regproc => ['pg_catalog.now'],
	regprocedure => ['sum(integer)'],
	regoper => ['pg_catalog.||/'],
	regoperator => ['+(integer,integer)'],
	regclass => ['pg_class'],
	regtype => ['integer'],
	regrole => ['pg_monitor'],
	regnamespace => ['pg_catalog'],
	regconfig => ['english'],
	regdictionary => ['simple'],
	regcollation => ['"POSIX"'],
	int4range => [ 'empty', '[1,10)', '(,)' ],
	int8range => ['[1,10)'],
	numrange => ['[1.10,2.200]'],
	tsrange => ['["2026-01-01 00:00:00","2026-01-02 12:00:00.5")'],
	tstzrange => [ '["2026-01-01 00:00:00+00","2026-07-02 12:00:00.5+00")', '[,infinity]' ],
	daterange => ['[2026-01-01,2026-02-01)'],
	int4multirange => ['{[1,10),[20,30)}'],
	int8multirange => ['{}'],
	nummultirange => ['{[1.10,2.20],(3,)}'],
	tsmultirange => ['{["2026-01-01 00:00:00","2026-01-02 00:00:00")}'],
	tstzmultirange => ['{["2026-01-01 00:00:00+00","2026-07-02 00:00:00+00")}'],
	datemultirange => ['{[2026-01-01,2026-02-01)}'],
);
# No column can have a value of these that was written as text.
my %no_input = map { $_ => 1 }
  qw(gtsvector pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list pg_brin_bloom_summary
  pg_brin_minmax_multi_summary pg_ddl_command);
# json_populate_record cannot make arrays of vectors, nor domains over aclitem.
my %no_array = map { $_ => 1 } qw(int2vector oidvector);
my %no_domain = map { $_ => 1 } qw(aclitem);

my @types = split /\n/, $node->safe_psql('postgres', q{
	SELECT CASE typname WHEN 'char' THEN '"char"' ELSE typname END FROM pg_type
	WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
		AND (typcategory <> 'A' OR typname ~ 'vector$') AND typarray <> 0 ORDER BY 1});
is(join(' ', grep { !$samples{$_} && !$no_input{$_} } @types), '', 'a sample of every built-in type');

sub literal
{
	my ($value) = @_;
	$value =~ s/([\\'])/$1$1/g;
	return "E'$value'";
}

my $setup = '';
my $fill = '';
my @tables;
foreach my $type (grep { $samples{$_} } @types)
{
	my $table = 'ty_' . ($type =~ s/\W//gr);
	my $column = $type eq 'bpchar' ? 'character(3)' : $type eq 'bit' ? 'bit(1)' : $type;
	push @tables, $table;
	my $array = $no_array{$type} ? 'int[]' : "${column}[]";
	my $domain = $no_domain{$type} ? $column : "d_$table";
	$setup .= "CREATE DOMAIN d_$table AS $column; CREATE TYPE c_$table AS (x int, \"y z\" $column);\n";
	$setup .= "CREATE TABLE $table (id int PRIMARY KEY, v $column, a $array, d $domain, c c_$table);\n";
	my $id = 0;
	$fill .= "INSERT INTO $table VALUES (0, NULL, '{}', NULL, NULL);\n";
	foreach my $value (@{ $samples{$type} })
	{
		my $sql = literal($value) . "::$column";
		my $elements = $no_array{$type} ? "'{}'" : "ARRAY[ARRAY[$sql, NULL], ARRAY[$sql, $sql]]";
		$id++;
		$fill .= "INSERT INTO $table VALUES ($id, $sql, $elements, $sql, ROW($id, $sql));\n";
	}
}
my $sql_file = PostgreSQL::Test::Utils::tempdir() . '/types.sql';
append_to_file($sql_file, encode('UTF-8', "SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; $setup"));
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $sql_file ],
	'a table per type');
create_slot('types');
unlink $sql_file;
append_to_file($sql_file, encode('UTF-8', "SET client_encoding = 'UTF8'; SET DateStyle = 'ISO';\n$fill"));
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $sql_file ],
	'with values');
copy_slot('types', "types_$_") foreach qw(wal2json debezium cloudevents);

# Each row, made again from its JSON by the server, is the row; and the JSON is to_jsonb's.
foreach my $table (@tables)
{
	my ($ret, $differs, $error) = $node->psql('postgres', qq{
		SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1;
		SET bytea_output = 'hex';
		WITH decoded AS (
			SELECT data::json -> 'new' AS new FROM pg_logical_slot_peek_changes('types', NULL, NULL, 'tables', 'public.$table')
			WHERE data::json ->> 'op' = 'insert'),
		again AS (SELECT r.id, r.v::text AS v, r.a::text AS a, r.d::text AS d, r.c::text AS c
			FROM decoded, json_populate_record(NULL::$table, new) r),
		there AS (SELECT id, v::text, a::text, d::text, c::text FROM $table)
		(SELECT 'lost', t::text FROM (TABLE there EXCEPT ALL TABLE again) t)
		UNION ALL (SELECT 'wrong', t::text FROM (TABLE again EXCEPT ALL TABLE there) t)
		UNION ALL SELECT 'not to_jsonb', new::text FROM decoded
			WHERE NOT EXISTS (SELECT FROM $table t WHERE to_jsonb(t) = new::jsonb)});
	is("$differs$error", '', "round trip of $table");
}

my %seen;
foreach my $record (consume('types', 'postgres', tables => 'public.ty_*', messages => '!*'))
{
	$seen{ $record->{table} }{ $record->{new}{id} } = $record->{new} if $record->{op} eq 'insert';
}
is(scalar(keys %seen), scalar(@tables), 'json: all of it is JSON for others, too');
is($seen{ty_text}{7}{v}, 'grün € 😀', 'characters');
is($seen{ty_text}{6}{v}, "\x01\x1f\x7f", 'control characters');
is($seen{ty_numeric}{6}{v}, '123456789012345678901234567890.123456789', 'a large number keeps its digits');
is($seen{ty_float8}{8}{v}, 'NaN', 'NaN is a string');
is(ref $seen{ty_bool}{1}{v}, 'JSON::PP::Boolean', 'booleans are');
is($seen{ty_jsonb}{1}{v}{a}[1], '2.5', 'jsonb is embedded');
is($seen{ty_timestamptz}{1}{v}, '2026-02-28T07:04:56.789012+00:00', 'times are UTC, whatever the settings');
is($seen{ty_interval}{1}{v}, '00:00:00', 'intervals do not depend on settings either');
is($seen{ty_tstzrange}{1}{v}, '["2026-01-01 00:00:00+00","2026-07-02 12:00:00.5+00")', 'nor times in ranges');
is($seen{ty_point}{1}{v}, '(0.1,-2)', 'nor floats in points');
is($seen{ty_bytea}{3}{v}, '\\xdeadbeef', 'bytea');

my %events = map { $_->{data}{table} . ' ' . $_->{data}{new}{id} => $_->{data}{new} }
  consume('types_cloudevents', 'postgres', format => 'cloudevents', tables => 'public.ty_*');
is_deeply($events{'ty_jsonb 1'}, $seen{ty_jsonb}{1}, 'cloudevents: values as in json');

%seen = ();
foreach my $record (consume('types_debezium', 'postgres', format => 'debezium', tables => 'public.ty_*'))
{
	$seen{ $record->{source}{table} }{ $record->{after}{id} } = $record->{after}{v};
}
is(scalar(keys %seen), scalar(@tables), 'debezium: JSON');
is($seen{ty_timestamp}{1}, 1772282096789012, 'debezium: a timestamp in µs');
is($seen{ty_date}{1}, 20512, 'debezium: a date in days');
is($seen{ty_time}{3}, 45296789012, 'debezium: a time in µs');
is($seen{ty_timestamptz}{1}, '2026-02-28T07:04:56.789012Z', 'debezium: a time with zone');
is($seen{ty_timestamp}{2}, '9223372036825200000', 'debezium: infinity');
is($seen{ty_bytea}{3}, '3q2+7w==', 'debezium: bytea is base64');
is($seen{ty_jsonb}{2}, '"x"', 'debezium: jsonb is a string');
is($seen{ty_interval}{2}, 'P10M3DT-4H-5M-6.789S', 'debezium: an interval of ISO 8601');

# White space between the tokens of json must not break the line.
$node->safe_psql('postgres', q{CREATE TABLE lines (id int PRIMARY KEY, j json)});
create_slot('lines');
$node->safe_psql('postgres', q{INSERT INTO lines VALUES (1, E'{\n\t"a":\r\n [1,\n2]}')});
my ($line) = grep { $_->{op} eq 'insert' } consume('lines', 'postgres');
is_deeply($line->{new}{j}, { a => [ 1, 2 ] }, 'json over several lines is one line');

# ---------------------------------------------------------------- side by side with wal2json

# What of wal2json's record must be in ours.
sub as_in_wal2json
{
	my ($record) = @_;
	delete $record->{unchanged};
	foreach my $column (map { @{ $record->{$_} // [] } } qw(columns identity))
	{
		$column->{value} = undef
		  if $column->{type} =~ /^(float|double|real|numeric)/ && ($column->{value} // '') =~ /^(NaN|-?Infinity)$/;
	}
	return $record;
}

sub from_marker
{
	my ($marker, @records) = @_;
	shift @records while @records && !($records[0]{action} eq 'M' && $records[0]{content} eq $marker);
	# what the pipeline writes for itself is ours to leave out, not wal2json's
	return grep { ($_->{schema} // '') !~ /^derive/ } @records;
}

SKIP:
{
	skip 'wal2json is not installed', 4 unless $has_wal2json;
	# it shows times and numbers as the session's settings say; ours has its own
	$node->append_conf('postgresql.conf', "TimeZone = 'UTC'\nDateStyle = 'ISO'\nIntervalStyle = 'postgres'\n"
		  . "extra_float_digits = 1\nbytea_output = 'hex'");
	$node->reload;
	create_slot('theirs', plugin => 'wal2json');
	create_slot('ours');
	$node->safe_psql('postgres', q{
		CREATE TYPE "Strange" AS ENUM ('x');
		CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		CREATE TABLE pair (id int PRIMARY KEY, name varchar(20), n numeric(8,2), s "Strange", p positive, a int[], big text);
		CREATE TABLE pair_full (id int, v text);
		ALTER TABLE pair_full REPLICA IDENTITY FULL;
		CREATE TABLE pair_index (a int, b int NOT NULL UNIQUE);
		ALTER TABLE pair_index REPLICA IDENTITY USING INDEX pair_index_b_key;
		CREATE TABLE "Odd, ""name""" (id int PRIMARY KEY, "Col" text);
		ALTER TABLE pair ALTER big SET STORAGE EXTERNAL;
		SELECT pg_logical_emit_message(false, 'test', 'start');
		INSERT INTO pair VALUES (1, E'\x02"\\\\', 1.5, 'x', 7, '{1,NULL}', repeat('y', 4000)), (2, NULL, NULL, NULL, NULL, NULL, NULL);
		UPDATE pair SET n = 2 WHERE id = 1;
		UPDATE pair SET id = 3 WHERE id = 1;
		DELETE FROM pair WHERE id = 2;
		INSERT INTO pair_full VALUES (1, 'a');
		UPDATE pair_full SET v = 'b';
		DELETE FROM pair_full;
		INSERT INTO pair_index VALUES (1, 1);
		UPDATE pair_index SET a = 2;
		UPDATE pair_index SET b = 2;
		DELETE FROM pair_index;
		INSERT INTO "Odd, ""name""" VALUES (1, U&'\00e9');
		SELECT pg_logical_emit_message(true, 'test', 'within');
		TRUNCATE pair, pair_full;
		BEGIN; SAVEPOINT a; INSERT INTO pair VALUES (10); ROLLBACK TO a; INSERT INTO pair VALUES (11); COMMIT;
		CREATE TABLE nothing_of_interest ();});
	unlink $sql_file;
	append_to_file($sql_file, encode('UTF-8', "SET client_encoding = 'UTF8'; DELETE FROM $_;\n")) foreach @tables;
	append_to_file($sql_file, encode('UTF-8', "SET DateStyle = 'ISO';\n$fill"));
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $sql_file ],
		'values of all types');
	my %all = ('include-xids' => 1, 'include-timestamp' => 1, 'include-lsn' => 1, 'include-pk' => 1, 'include-origin' => 1);
	foreach my $options ({}, \%all, { 'include-transaction' => 0, 'include-types' => 0, actions => 'insert,delete',
			'filter-tables' => '*.pair_full, public.Odd\,\ "name"' })
	{
		my $name = join(' ', map { "$_=$options->{$_}" } sort keys %$options) || 'no options';
		copy_slot('theirs', 'theirs_now');
		copy_slot('ours', 'ours_now');
		my @theirs = from_marker('start', consume('theirs_now', 'postgres', 'format-version' => 2, %$options));
		my @ours = from_marker('start', consume('ours_now', 'postgres', format => 'wal2json', %$options));
		# both stop at a moment of their own
		my $n = @theirs < @ours ? @theirs : @ours;
		ok($n > 100, "$name: records");
		if (exists $options->{'include-types'})
		{
			delete $_->{type} foreach map { @{ $_->{columns} // [] } } @ours;
			$_->{unchanged} and delete $_->{unchanged} foreach @ours;
			# without types our test cannot tell a number: none is special in what follows
			@ours = grep { ($_->{table} // '') !~ /^ty_(float|numeric)/ } @ours;
			@theirs = grep { ($_->{table} // '') !~ /^ty_(float|numeric)/ } @theirs;
			$n = @theirs < @ours ? @theirs : @ours;
		}
		else
		{
			as_in_wal2json($_) foreach @ours;
		}
		is_deeply([ @ours[ 0 .. $n - 1 ] ], [ @theirs[ 0 .. $n - 1 ] ], "$name: the same as wal2json");
		$node->safe_psql('postgres', 'SELECT pg_drop_replication_slot(s) FROM unnest(ARRAY[\'theirs_now\', \'ours_now\']) s');
	}
	$node->safe_psql('postgres', 'SELECT pg_drop_replication_slot(s) FROM unnest(ARRAY[\'theirs\', \'ours\']) s');
}

# ---------------------------------------------------------------- other encodings

foreach my $encoding (qw(LATIN1 EUC_JP SQL_ASCII))
{
	my $db = 'db_' . lc $encoding;
	my ($text, $name) = $encoding eq 'EUC_JP' ? ('日本', '表') : ('é', 'tété');
	$node->safe_psql('postgres', "CREATE DATABASE $db ENCODING '$encoding' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	create_slot("slot_$db", db => $db);
	unlink $sql_file;
	append_to_file($sql_file, encode('UTF-8', "SET client_encoding = 'UTF8'; CREATE TABLE \"$name\" (\"$name\" text, j json);"
		  . " INSERT INTO \"$name\" VALUES ('$text', '{\"$text\": \"$text\"}');"
		  . " SELECT pg_logical_emit_message(false, '$name', '$text');"));
	append_to_file($sql_file, " SET client_encoding = 'SQL_ASCII'; INSERT INTO \"" . encode('UTF-8', $name) . "\" VALUES (E'a\\xffb');\n")
	  if $encoding eq 'SQL_ASCII';
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $sql_file ], "$encoding: written");
	my @records = consume("slot_$db", $db);
	my ($insert, $odd) = grep { $_->{op} eq 'insert' } @records;
	my ($message) = grep { $_->{op} eq 'message' } @records;
	is_deeply($insert->{new}, { $name => $text, j => { $text => $text } }, "$encoding: a row");
	is($insert->{table}, $name, "$encoding: a name");
	is($message->{prefix} . ' ' . $message->{content}, "$name $text", "$encoding: a message outside of a transaction");
	is($odd->{new}{$name}, "a\xffb", "$encoding: a byte that is no character") if $encoding eq 'SQL_ASCII';
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('slot_$db')");
}

# ---------------------------------------------------------------- transactions in progress

$node->safe_psql('postgres', 'CREATE TABLE big (id int PRIMARY KEY, v text)');
create_slot('whole');
create_slot('pieces', two_phase => 1);
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO big SELECT i, repeat('a', 50) FROM generate_series(1, 3000) i;
	SAVEPOINT s;
	INSERT INTO big SELECT i, repeat('b', 50) FROM generate_series(3001, 6000) i;
	ROLLBACK TO s;
	SAVEPOINT t;
	INSERT INTO big SELECT i, repeat('c', 50) FROM generate_series(6001, 9000) i;
	COMMIT;
	BEGIN;
	INSERT INTO big SELECT i, repeat('d', 50) FROM generate_series(10001, 13000) i;
	ROLLBACK;
	BEGIN;
	INSERT INTO big SELECT i, repeat('e', 50) FROM generate_series(20001, 23000) i;
	PREPARE TRANSACTION 'large';
	INSERT INTO big VALUES (0, 'small');
	COMMIT PREPARED 'large';
	BEGIN;
	UPDATE big SET v = 'f';
	TRUNCATE big;
	COMMIT;});

# A consumer that keeps what is in progress aside, by transaction and subtransaction.
my (%progress, @applied, $piece, %ops, %prepared);
foreach my $record (consume('pieces', 'postgres', streaming => 'on', tables => 'public.big'))
{
	my $op = $record->{op};
	my $xid = $record->{xid};
	$ops{$op}++;
	if ($op eq 'stream_start')
	{
		die "a piece within a piece" if defined $piece;
		die "first: $record->{first}" unless !$record->{first} == !!$progress{$xid};
		$piece = $xid;
		$progress{$xid} //= [];
	}
	elsif ($op eq 'stream_stop') { undef $piece }
	elsif ($op eq 'stream_abort')
	{
		if ($record->{subxid})
		{
			$progress{$xid} = [ grep { ($_->{subxid} // $xid) ne $record->{subxid} } @{ $progress{$xid} } ];
		}
		else { delete $progress{$xid} }
	}
	elsif ($op eq 'stream_commit') { push @applied, @{ delete $progress{$xid} } }
	elsif ($op eq 'stream_prepare') { $prepared{ $record->{gid} } = delete $progress{$xid} }
	elsif ($op eq 'commit_prepared') { push @applied, @{ delete $prepared{ $record->{gid} } } }
	elsif ($op =~ /^(insert|update|delete|truncate)$/)
	{
		if (defined $piece)
		{
			die "of another transaction" if $xid ne $piece;
			die "a commit before the commit" if exists $record->{commit_lsn};
			push @{ $progress{$xid} }, $record;
		}
		else { push @applied, $record }
	}
}
is(scalar(keys %progress), 0, 'streaming: nothing is left in progress');
cmp_ok($ops{stream_start}, '>', 10, 'streaming: many pieces');
is($ops{stream_start}, $ops{stream_stop}, 'streaming: each of which ends');
# From 18 on the server sends nothing of a transaction that it finds aborted.
cmp_ok($ops{stream_abort}, '>=', 1, 'streaming: what was sent of what aborts is taken back');
is($ops{stream_commit}, 2, 'streaming: two commit');
is($ops{stream_prepare}, 1, 'streaming: one is prepared');
my @all = consume('whole', 'postgres', tables => 'public.big');
my @changes = grep { $_->{op} =~ /^(insert|update|delete|truncate)$/ } @all;
my $summary = sub { join "\n", map { join ' ', $_->{op}, $_->{key}{id} // '', $_->{new}{v} // '' } @_ };
is($summary->(@applied), $summary->(@changes), 'streaming: the same changes in the same order as without');
is($ops{begin}, 1, 'the small one comes as a whole');
my $expected = 1;
my $gaps = 0;
foreach my $record (@all)
{
	$expected = 1 if $record->{op} eq 'begin';
	$gaps++ if exists $record->{ordinal} && $record->{ordinal} != $expected++;
	$gaps++ if $record->{op} eq 'commit' && $record->{records} != $expected - 1;
}
is($gaps, 0, 'without: ordinals have no gap, and the commit counts them');
is(scalar(grep { $_->{op} eq 'commit' } @all), 4, 'without: four transactions commit');

# ---------------------------------------------------------------- messages that leave together

# Messages around the size of the buffer in which they wait for each other, and far beyond.
$node->safe_psql('postgres', q{
	CREATE TABLE sized (id int PRIMARY KEY, v text);
	ALTER TABLE sized ALTER v SET STORAGE EXTERNAL});
create_slot('together');
$node->safe_psql('postgres', q{
	INSERT INTO sized SELECT i, repeat(chr(97 + i % 26), CASE i % 5 WHEN 0 THEN 7500 + i WHEN 1 THEN i WHEN 2 THEN 20000 ELSE 3 END)
	  FROM generate_series(1, 300) i;
	INSERT INTO sized VALUES (0, 'alone')});
my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
foreach my $format (qw(json cloudevents))
{
	copy_slot('together', 'together_now');
	my $sent = $node->pg_recvlogical_upto('postgres', 'together_now', $end,
		$PostgreSQL::Test::Utils::timeout_default, format => $format);
	my $peek = "SELECT data FROM pg_logical_slot_peek_changes('together', '$end', NULL, 'format', '$format')";
	chomp $sent;
	cmp_ok(length $sent, '>', 1000000, "$format: all is sent");
	ok($sent eq $node->safe_psql('postgres', $peek), "$format: what the protocol sends is what the SQL function returns");
	# a connection for replication takes SQL, too, and this is not a stream
	ok($sent eq $node->safe_psql('postgres', $peek, replication => 'database'),
		"$format: called over a connection for replication, too");
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('together_now')});
}

# Reads so many bytes from a socket.
sub receive
{
	my ($socket, $size) = @_;
	my $bytes = '';
	while (length $bytes < $size)
	{
		die 'nothing comes' unless IO::Select->new($socket)->can_read($PostgreSQL::Test::Utils::timeout_default);
		my $read = sysread $socket, $bytes, $size - length $bytes, length $bytes;
		die 'the server has closed the connection' unless $read;
	}
	return $bytes;
}

# The next message of the protocol: its type, its content.
sub message
{
	my ($type, $size) = unpack 'aN', receive($_[0], 5);
	my $content = receive($_[0], $size - 4);
	die $content if $type eq 'E';
	return ($type, $content);
}

# A consumer of our own, for what pg_recvlogical does not show: the frames, and when they come.
my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "no connection: $!";
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $startup = pack 'Na*', 196608, "user\0$user\0database\0postgres\0replication\0database\0\0";
syswrite $socket, pack('N', 4 + length $startup) . $startup;
while ((message($socket))[0] ne 'Z') { }
my $query = "START_REPLICATION SLOT together LOGICAL 0/0 (format 'json')\0";
syswrite $socket, 'Q' . pack('N', 4 + length $query) . $query;
while ((message($socket))[0] ne 'W') { }

# Reads up to the commit that has so many records; dies of a frame that is not as it should be.
sub read_frames
{
	my ($records) = @_;
	my $read = 0;
	while (1)
	{
		my ($type, $content) = message($socket);
		die "a message $type" if $type ne 'd';
		next if substr($content, 0, 1) eq 'k';
		my ($w, $start, $stop, $time, $text) = unpack 'aQ>Q>q>a*', $content;
		my $record = $json->decode($text);
		my $at = sprintf '%X/%X', $start >> 32, $start & 0xffffffff;
		die "frame $w of $text" if $w ne 'w' || $start != $stop;
		die "position $at of $text" if exists $record->{lsn} && $at ne $record->{lsn};
		# µs since 2000
		die "time $time of $text" if abs($time / 1e6 + 946684800 - Time::HiRes::time()) > 60;
		return $read if $record->{op} eq 'commit' && $record->{records} == $records;
		$read++;
	}
}
is(read_frames(300), 301, 'each message of a large transaction has its frame');
is(read_frames(1), 2, 'and of a small one');

# What waits is sent before the walsender waits for more of the log: nothing else is written.
my $quiet;
foreach my $try (1 .. 20)
{
	my $before = $node->safe_psql('postgres', "INSERT INTO sized VALUES (-$try, 'alone'); SELECT pg_current_wal_insert_lsn()");
	read_frames(1);
	$quiet = $before eq $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	last if $quiet;
}
ok($quiet, 'a small transaction is sent at once');
close $socket;
$node->safe_psql('postgres', 'DROP_REPLICATION_SLOT together WAIT', replication => 'database');

# ---------------------------------------------------------------- what is refused

create_slot('pieces_again');
$node->safe_psql('postgres', q{INSERT INTO big VALUES (1, 'again')});

my $own = $node->safe_psql('postgres', 'SELECT slot_name FROM derive.pipelines');
like(sql_error($node, "SELECT pg_create_logical_replication_slot('$own', 'pg_derive')"),
	qr/already exists|belongs to the pipeline/, "the pipeline's slot cannot be made by others");
$node->safe_psql('postgres', 'CREATE DATABASE without_extension');
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'without_extension'});
like(sql_error($node, "SELECT pg_create_logical_replication_slot('pg_derive_$oid', 'pg_derive')", 'without_extension'),
	qr/ERROR:  55006:.*belongs to the pipeline.*HINT/s, 'not even where there is none yet');
my ($exit, $stdout, $stderr) = $node->pg_recvlogical_upto('postgres', 'whole',
	$node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()'), 60, colour => 'red');
isnt($exit, 0, 'an unknown option is an error over the protocol, too');
like($stderr, qr/unknown option "colour".*HINT:.*"tables"/s, 'which says what there is');

# Slots and their consumers need nothing of the pipelines: not even the library at the start.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my @again = grep { $_->{op} eq 'insert' } consume('pieces_again', 'postgres', tables => 'public.big');
is(scalar(@again), 1, 'it works without shared_preload_libraries, too');

$node->stop;
unlike(slurp_file($node->logfile), qr/(PANIC|FATAL:  (?!terminating)|TRAP)/, 'nothing alarming in the log');

done_testing();
