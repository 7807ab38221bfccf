# DDL on the sources of views, while sessions write to them: each kind is followed, refused by
# PostgreSQL's own rules, or repaired, and every view that is left equals its query.
#
# Writes the table of docs/operations.md, between its markers, and fails if the file differs from
# what the run says.

use strict;
use warnings FATAL => 'all';

use Derive::Node;
use Derive::Oracle;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $document = "$FindBin::Bin/../../../docs/operations.md";
my $node = derive_node('ddl');
my $writers = 2;
my $case = 0;

$node->safe_psql('postgres', 'CREATE ROLE keeper; CREATE ROLE other; GRANT CREATE ON DATABASE postgres TO keeper');

# Statements, in chapters.  Each runs in a schema of its own with the tables and views of set_up().
# undo: run after the writers have ended, before views are compared.  also: other names of a table
# that the writers use as well.  keys: t does not log old rows in full, and views follow its keys.
my @chapters = (
	'Columns' => [
		[ 'ADD COLUMN' => 'ALTER TABLE t ADD COLUMN extra int' ],
		[ 'ADD COLUMN, constant default' => 'ALTER TABLE t ADD COLUMN extra int NOT NULL DEFAULT 7' ],
		[ 'ADD COLUMN, computed default' => 'ALTER TABLE t ADD COLUMN extra float8 DEFAULT random()' ],
		[ 'DROP COLUMN, not used' => 'ALTER TABLE t DROP COLUMN spare' ],
		[ 'DROP COLUMN, used' => 'ALTER TABLE t DROP COLUMN n' ],
		[ 'DROP COLUMN, used, CASCADE' => 'ALTER TABLE t DROP COLUMN n CASCADE' ],
		[ 'RENAME COLUMN, used' => 'ALTER TABLE t RENAME COLUMN n TO m' ],
		[ 'ALTER COLUMN TYPE, not used' => 'ALTER TABLE t ALTER COLUMN spare TYPE text' ],
		[ 'ALTER COLUMN TYPE, used' => 'ALTER TABLE t ALTER COLUMN n TYPE numeric(20,2)' ],
		[ 'SET and DROP NOT NULL, DEFAULT, STATISTICS' => 'ALTER TABLE t ALTER COLUMN n SET DEFAULT 5; ALTER TABLE t ALTER COLUMN spare SET STATISTICS 10; ALTER TABLE t ALTER COLUMN n DROP DEFAULT' ],
		[ 'SET STORAGE' => 'ALTER TABLE t ALTER COLUMN note SET STORAGE EXTERNAL' ],
	],
	'Tables' => [
		[ 'RENAME TO' => 'ALTER TABLE t RENAME TO renamed', also => ['renamed'] ],
		[ 'SET SCHEMA' => 'ALTER TABLE t SET SCHEMA elsewhere', also => ['elsewhere.t'] ],
		[ 'RENAME of the schema' => 'ALTER SCHEMA here RENAME TO there', also => ['there.t'], schema => 'here',
			either => 'followed; repaired if a tick was under way' ],
		[ 'DROP TABLE' => 'DROP TABLE t' ],
		[ 'DROP TABLE CASCADE' => 'DROP TABLE t CASCADE' ],
		[ 'TRUNCATE' => 'TRUNCATE t' ],
		[ 'TRUNCATE, RESTART IDENTITY, with another table' => 'TRUNCATE t, p RESTART IDENTITY' ],
		[ 'VACUUM FULL' => 'VACUUM FULL t' ],
		[ 'CLUSTER' => 'CLUSTER t USING t_pkey' ],
		[ 'VACUUM, ANALYZE' => 'VACUUM ANALYZE t' ],
		[ 'REINDEX' => 'REINDEX TABLE t' ],
		[ 'REINDEX CONCURRENTLY' => 'REINDEX TABLE CONCURRENTLY t' ],
		[ 'CREATE and DROP INDEX' => 'CREATE INDEX more ON t (grp); DROP INDEX more' ],
		[ 'CREATE INDEX CONCURRENTLY' => 'CREATE INDEX CONCURRENTLY more ON t (grp)' ],
		[ 'SET (fillfactor)' => 'ALTER TABLE t SET (fillfactor = 50)' ],
		[ 'SET UNLOGGED' => 'ALTER TABLE t SET UNLOGGED', undo => 'ALTER TABLE t SET LOGGED' ],
		[ 'several changes in one transaction that rolls back' => 'BEGIN; ALTER TABLE t DROP COLUMN spare; TRUNCATE t; ALTER TABLE t ADD COLUMN x int DEFAULT 3; ROLLBACK' ],
		[ 'several changes in one transaction' => 'BEGIN; LOCK TABLE t; UPDATE t SET n = n + 1; ALTER TABLE t ADD COLUMN x int; UPDATE t SET x = id, n = n + 1; ALTER TABLE t DROP COLUMN spare; DELETE FROM t WHERE id % 5 = 0; COMMIT' ],
		[ 'CREATE TRIGGER that changes rows' => 'CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := NEW.n * 2; RETURN NEW; END $$; CREATE TRIGGER twice BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION twice()' ],
		[ 'CREATE RULE' => 'CREATE RULE r AS ON INSERT TO t DO ALSO UPDATE t SET n = n + 1 WHERE id = NEW.id' ],
		[ 'CREATE TABLE ... INHERITS' => 'CREATE TABLE child () INHERITS (t)', undo => 'DROP TABLE child' ],
	],
	'Identity and rights' => [
		[ 'REPLICA IDENTITY DEFAULT' => 'ALTER TABLE t REPLICA IDENTITY DEFAULT' ],
		[ 'REPLICA IDENTITY NOTHING' => 'ALTER TABLE t REPLICA IDENTITY NOTHING' ],
		[ 'DROP CONSTRAINT of the primary key, and duplicates' => 'ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (5, 1, 8)',
			undo => 'DELETE FROM t a USING t b WHERE a.id = b.id AND a.ctid > b.ctid; ALTER TABLE t ADD PRIMARY KEY (id)' ],
		[ 'OWNER TO' => 'ALTER TABLE t OWNER TO other; GRANT SELECT ON t TO keeper', keeper => 1 ],
		[ 'REVOKE SELECT from the owner of the view' => 'REVOKE SELECT ON t FROM keeper', keeper => 1, undo => 'GRANT SELECT ON t TO keeper' ],
		[ 'GRANT to others' => 'GRANT ALL ON t TO other' ],
		[ 'ENABLE ROW LEVEL SECURITY, which does not apply to the owner of the view' => 'ALTER TABLE t ENABLE ROW LEVEL SECURITY' ],
		[ 'OWNER of the view' => 'ALTER TABLE rows OWNER TO keeper; GRANT SELECT ON t TO keeper; GRANT USAGE ON SCHEMA SCHEMA_NAME TO keeper' ],
	],
	'Functions' => [
		[ 'CREATE OR REPLACE FUNCTION' => 'CREATE OR REPLACE FUNCTION f(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT $1 * 3 $$' ],
		[ 'CREATE OR REPLACE FUNCTION, behind an operator' => 'CREATE OR REPLACE FUNCTION g(numeric, numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 * 5 + $2; END $$' ],
		[ 'ALTER FUNCTION ... RENAME' => 'ALTER FUNCTION f(numeric) RENAME TO renamed' ],
		[ 'DROP FUNCTION' => 'DROP FUNCTION f(numeric)' ],
		[ 'CREATE FUNCTION, of other arguments' => 'CREATE FUNCTION f(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$' ],
	],
	'Partitions' => [
		[ 'CREATE TABLE ... PARTITION OF' => 'CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200) TO (300)' ],
		[ 'ATTACH PARTITION, with rows' => 'CREATE TABLE p3 (LIKE p); INSERT INTO p3 SELECT 200 + i, i, i FROM generate_series(1, 20) i; ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (200) TO (300)' ],
		[ 'DETACH PARTITION' => 'ALTER TABLE p DETACH PARTITION p2' ],
		[ 'DETACH PARTITION CONCURRENTLY' => 'ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY' ],
		[ 'DROP TABLE of a partition' => 'DROP TABLE p2' ],
		[ 'TRUNCATE of a partition' => 'TRUNCATE p2' ],
		[ 'split: detach, create two, move rows, in one transaction' => 'BEGIN; ALTER TABLE p DETACH PARTITION p2; CREATE TABLE p2a PARTITION OF p FOR VALUES FROM (100) TO (150); CREATE TABLE p2b PARTITION OF p FOR VALUES FROM (150) TO (200); INSERT INTO p SELECT * FROM p2; DROP TABLE p2; COMMIT' ],
		[ 'ADD COLUMN to a partitioned table' => 'ALTER TABLE p ADD COLUMN extra int' ],
		[ 'VACUUM FULL of a partition' => 'VACUUM FULL p2' ],
		[ 'RENAME of a partition' => 'ALTER TABLE p2 RENAME TO p2_renamed' ],
		[ 'REPLICA IDENTITY DEFAULT of a partition' => 'ALTER TABLE p2 REPLICA IDENTITY DEFAULT' ],
	],
	'A table without FULL, whose keys are followed' => [
		[ 'nothing but changes' => 'SELECT 1', keys => 1 ],
		[ 'changes of keys' => 'BEGIN; LOCK TABLE t; UPDATE t SET id = -id WHERE id % 3 = 0; COMMIT; BEGIN; LOCK TABLE t; UPDATE t SET id = -id WHERE id < 0 AND id % 2 = 0 AND NOT EXISTS (SELECT FROM t o WHERE o.id = -t.id); COMMIT', keys => 1 ],
		[ 'ADD COLUMN, DROP COLUMN, not used' => 'ALTER TABLE t ADD COLUMN extra int; ALTER TABLE t DROP COLUMN spare', keys => 1 ],
		[ 'RENAME COLUMN of the key' => 'ALTER TABLE t RENAME COLUMN id TO number', keys => 1 ],
		[ 'ALTER COLUMN TYPE, not used: a rewrite' => 'ALTER TABLE t ALTER COLUMN spare TYPE bigint', keys => 1 ],
		[ 'VACUUM FULL' => 'VACUUM FULL t', keys => 1 ],
		[ 'TRUNCATE' => 'TRUNCATE t', keys => 1 ],
		[ 'REPLICA IDENTITY FULL' => 'ALTER TABLE t REPLICA IDENTITY FULL', keys => 1 ],
		[ 'REPLICA IDENTITY FULL and back, within a transaction' => 'BEGIN; LOCK TABLE t; UPDATE t SET n = n + 1; ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET n = n + 1; DELETE FROM t WHERE id % 7 = 0; ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET n = n + 1; COMMIT', keys => 1 ],
		[ 'REPLICA IDENTITY USING INDEX over other columns' => 'ALTER TABLE t ADD COLUMN code int NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE; ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key', keys => 1 ],
		[ 'REPLICA IDENTITY NOTHING' => 'ALTER TABLE t REPLICA IDENTITY NOTHING', keys => 1 ],
		[ 'DROP CONSTRAINT of the primary key, and duplicates' => 'ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (5, 1, 8)', keys => 1,
			undo => 'DELETE FROM t a USING t b WHERE a.id = b.id AND a.ctid > b.ctid; ALTER TABLE t ADD PRIMARY KEY (id)' ],
		[ 'a new primary key over the same columns' => 'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)', keys => 1 ],
		[ 'CREATE TABLE ... INHERITS' => 'CREATE TABLE child () INHERITS (t)', keys => 1, undo => 'DROP TABLE child' ],
	],
);

# Tables with rows, and views of each rule over them, in a schema.
sub set_up
{
	my ($schema, $keeper, $keys) = @_;
	my $role = $keeper ? 'SET ROLE keeper;' : '';
	my $full = $keys ? '' : 'ALTER TABLE t REPLICA IDENTITY FULL;';
	my $copy = $keys ? "SELECT derive.create_view('copy', 'SELECT id, grp, n FROM t');" : '';
	my $from = $keys ? 'copy' : 't';

	$node->safe_psql('postgres', qq{
		CREATE SCHEMA $schema;
		GRANT ALL ON SCHEMA $schema TO keeper, other;
		CREATE SCHEMA IF NOT EXISTS elsewhere;
		SET search_path = $schema;
		CREATE TABLE t (id int PRIMARY KEY, grp int, n numeric, note text, spare int);
		CREATE TABLE p (id int, grp int, n numeric) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
		CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
		$full
		ALTER TABLE p1 REPLICA IDENTITY FULL;
		ALTER TABLE p2 REPLICA IDENTITY FULL;
		INSERT INTO t SELECT i, i % 10, i, 'note', i FROM generate_series(1, 200) i;
		INSERT INTO p SELECT i, i % 10, i FROM generate_series(0, 199) i;
		GRANT SELECT ON t, p, p1, p2 TO keeper;
		CREATE FUNCTION f(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS \$\$ SELECT \$1 * 2 \$\$;
		CREATE FUNCTION g(numeric, numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN RETURN \$1 + \$2; END \$\$;
		CREATE OPERATOR <+> (FUNCTION = g, LEFTARG = numeric, RIGHTARG = numeric);
		SET client_min_messages = error;
		$role
		$copy
		SELECT derive.create_view('rows', 'SELECT id, grp, n FROM t WHERE n > 3');
		SELECT derive.create_view('groups', 'SELECT grp, count(*) AS c, sum(n) AS s, max(n) AS hi FROM $from GROUP BY grp');
		SELECT derive.create_view('parts', 'SELECT grp, count(*) AS c, sum(n) AS s FROM p GROUP BY grp');
		SELECT derive.create_view('joined', 'SELECT t.id, p.n FROM $from t JOIN p ON p.id = t.id');
		SELECT derive.create_view('called', 'SELECT id, f(n) AS n, n <+> 1.5 AS m FROM t');
		SELECT derive.create_view('ranked', 'SELECT id, rank() OVER (PARTITION BY grp ORDER BY n, id) AS r FROM $from');});
	wait_live($node);
	return;
}

# Starts sessions that write to the tables, under each of their names, until they are ended.
sub start_writers
{
	my ($schema, @tables) = @_;
	my @pids;

	foreach my $writer (1 .. $writers)
	{
		my $file = "$ENV{TESTDIR}/writer_$writer.sql";
		open my $sql, '>', $file or die $!;
		print $sql "SET search_path = $schema;\nSET lock_timeout = '2s';\n";
		foreach my $i (1 .. 20000)
		{
			my $id = $writer * 100 + int rand 100;
			my $table = $tables[ rand @tables ];
			print $sql (
				"UPDATE $table SET n = n + 1 WHERE id = $id;\n",
				"INSERT INTO $table (id, grp, n) VALUES ($i * 10 + 1000 + $writer, $i % 10, $i);\n",
				"DELETE FROM $table WHERE id = $id;\n",
				"INSERT INTO $table (id, grp, n) VALUES ($id, $i % 10, $i) ON CONFLICT DO NOTHING;\n",
				"UPDATE p SET n = n + 1, grp = (grp + 1) % 10 WHERE id = $id % 200;\n",
				"INSERT INTO p VALUES ($id % 200, $i % 10, $i);\n",
				"DELETE FROM p WHERE ctid = (SELECT min(ctid) FROM p WHERE id = $id % 200) AND id = $id % 200;\n",
				"BEGIN; UPDATE $table SET n = n - 1 WHERE grp = $i % 10 AND id < 300; UPDATE p SET n = n - 1 WHERE id = $id % 200; COMMIT;\n"
			)[ rand 8 ];
		}
		close $sql;
		my $pid = fork() // die $!;
		if ($pid == 0)
		{
			open STDOUT, '>', '/dev/null';
			open STDERR, '>', '/dev/null';
			exec 'psql', '-Xq', '-f', $file, '-d', $node->connstr('postgres');
		}
		push @pids, $pid;
	}
	return @pids;
}

# Waits until so many more source transactions have been applied.
sub go_on
{
	my ($transactions) = @_;
	my $from = pipeline($node, 'transactions');

	poll_until(sub { pipeline($node, 'transactions') > $from + $transactions }, 20);
	return;
}

# Waits until all that is committed has been applied, and each of the schema's views has taken it or
# failed: how a statement goes depends neither on what was still to be read at its time nor on how
# far the views are.
sub arrived
{
	my ($schema) = @_;
	my $now = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');

	poll_until(sub { $node->safe_psql('postgres', "SELECT (SELECT applied_lsn >= '$now' FROM derive.pipelines) AND NOT EXISTS (
		SELECT FROM derive.views v JOIN pg_class c ON c.oid = v.view
		WHERE c.relnamespace = $schema AND v.state NOT IN ('live', 'failed'))") eq 't' }, 20);
	return;
}

# Recomputes of the schema's views that were not chosen for their cost.
sub recomputes
{
	my ($schema) = @_;

	return $node->safe_psql('postgres', "SELECT coalesce(sum(s.recomputes - s.chosen), 0)
		FROM derive.stages s JOIN pg_class c ON c.oid = s.view WHERE c.relnamespace = '$schema'::regnamespace");
}

# What came of a statement, in words.
sub outcome
{
	my ($how) = @_;
	my $name = $how->[0];
	my %option = @$how[ 2 .. $#$how ];
	my $schema = $option{schema} // 'd' . ++$case;
	my $ddl = $how->[1] =~ s/SCHEMA_NAME/$schema/gr;

	set_up($schema, $option{keeper}, $option{keys});
	my $oid = $node->safe_psql('postgres', "SELECT '$schema'::regnamespace::oid");
	my @pids = start_writers($schema, 't', @{ $option{also} // [] });
	go_on(40);
	my $before = recomputes($oid);
	my $file = "$ENV{TESTDIR}/ddl.sql";
	unlink $file;
	append_to_file($file, "SET search_path = $schema;\n$ddl;\n");
	my ($out, $error) = ('', '');
	my $done = IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
		'>', \$out, '2>', \$error);
	arrived($oid);
	go_on(40);
	my $failure = $node->safe_psql('postgres', "SELECT min(v.reason) FROM derive.views v
		JOIN pg_class c ON c.oid = v.view WHERE c.relnamespace = $oid AND v.state = 'failed'");
	kill 'TERM', @pids;
	waitpid $_, 0 foreach @pids;
	poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state <> 'idle' AND pid <> pg_backend_pid()}) eq '0' });

	$node->safe_psql('postgres', "SET search_path = $schema; $option{undo};
		SELECT derive.refresh(view) FROM derive.views WHERE state = 'failed'") if $option{undo};
	wait_live($node);
	wait_fresh($node);
	my $wrong = join '', map { my $d = difference($node, $_); $d eq '' ? '' : "$_:\n$d\n" }
	  split /\n/, $node->safe_psql('postgres', "SELECT view FROM derive.views v JOIN pg_class c ON c.oid = v.view WHERE c.relnamespace = $oid");
	is($wrong, '', "$name: every view equals its query");

	my $left = $node->safe_psql('postgres', "SELECT count(*) FROM derive.views v JOIN pg_class c ON c.oid = v.view WHERE c.relnamespace = $oid");
	my $after = recomputes($oid);
	$node->safe_psql('postgres', "SET client_min_messages = error; DROP SCHEMA IF EXISTS $_ CASCADE")
	  foreach $schema, 'there', 'elsewhere';
	if (!$done)
	{
		my ($message) = $error =~ /ERROR:\s+(.*)/;
		return 'refused: ' . ($message // $error);
	}
	return 'the views that use it are dropped, the others followed' if $left < 6;
	$failure =~ s/(duplicate key) .*/$1 .../;
	return "`failed` ($failure) until it is undone, then repaired" if $failure ne '';
	return $option{either} // ($after > $before ? 'repaired' : 'followed');
}

# The lines that one of two texts has and the other has not, each marked as of the document or run.
sub differing_lines
{
	my ($document_text, $run_text) = @_;
	my %of_document = map { $_ => 1 } split /\n/, $document_text;
	my %of_run = map { $_ => 1 } split /\n/, $run_text;

	return join "\n", (map { "document: $_" } grep { !$of_run{$_} } split /\n/, $document_text),
	  (map { "run: $_" } grep { !$of_document{$_} } split /\n/, $run_text);
}

my $text = '';
while (my ($chapter, $list) = splice @chapters, 0, 2)
{
	$text .= "\n| $chapter | result |\n| --- | --- |\n";
	foreach my $how (@$list)
	{
		my $outcome = outcome($how);
		note("$how->[0]: $outcome");
		$text .= "| $how->[0] | $outcome |\n";
	}
}
$text .= "\n";

my ($written) = (-e $document ? slurp_file($document) : '') =~ /<!-- DDL, written by .*? -->\n(.*?)<!-- end of DDL -->/s;
my $made = "$ENV{TESTDIR}/ddl.md";
append_to_file($made, $text);
ok(($written // '') eq $text, "docs/operations.md is what the run says, which is in $made")
  or diag(differing_lines($written // '', $text));
$node->stop;

done_testing();
