# Derive::Oracle: random transactions over an adversarial schema, and the one question that
# counts: does every view equal its query?
#
#   create_schema($node);                      # tables of schema "o", filled
#   create_views($node);                       # views of schema "v" over them
#   my $load = start_load($node, seed => 7, seconds => 20, clients => 4);
#   verify_midflight($node) while load_is_running($load);
#   finish_load($node, $load);
#   check_all($node, 'after the load');
#
# The load is a number of child processes, each of which writes seeded random transactions
# into a psql of its own and starts another one when the server has thrown it out.  What a
# seed fixes is each client's statements, not how the clients interleave.
#
# Rows are compared as text: stricter than the types' equality, since it sees the scale of a
# numeric.  The views below avoid the few cases in which a query has several right answers
# (min of 1.0 and 1.00).

package Derive::Oracle;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Derive::Node;

our @EXPORT = qw(
  create_schema create_views view_names start_load load_is_running finish_load
  difference differences check_equal check_all verify_midflight consistent_midflight oracle_seed
);

# ---------------------------------------------------------------------------------------
# The sources
# ---------------------------------------------------------------------------------------

my $schema_sql = <<'SQL';
CREATE SCHEMA o;

-- A row of every type that the aggregates take; everything but the key may be NULL.
CREATE TABLE o.fact (id int PRIMARY KEY, grp int, sub int, name text, amount numeric, qty int,
	small smallint, big bigint, f float8, f4 float4, flag bool, ts timestamptz, d date,
	unused text);

-- No key, duplicates, NULLs everywhere.
CREATE TABLE o.bag (a int, b int, c text, n numeric, f float8);

-- A composite key and fixed scales.
CREATE TABLE o.comp (k1 int, k2 text, v numeric(10,2), ref int, w interval, unused int,
	PRIMARY KEY (k1, k2));

-- Values that are stored out of line.
CREATE TABLE o.wide (id int PRIMARY KEY, grp int, payload text, tag text, n int);
ALTER TABLE o.wide ALTER payload SET STORAGE EXTERNAL;

-- A small table that is joined to everything, and to itself.
CREATE TABLE o.dim (id int PRIMARY KEY, label text, parent int, weight numeric(6,2));

-- Partitions of three physical shapes: as the root, other column order, a dropped column.
CREATE TABLE o.part (id int, day date, region text, amt numeric, grp int,
	PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE o.part_1 PARTITION OF o.part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE o.part_2 (grp int, amt numeric, region text, day date NOT NULL, id int NOT NULL);
ALTER TABLE o.part ATTACH PARTITION o.part_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE o.part_3 (id int NOT NULL, gone text, day date NOT NULL, region text, amt numeric,
	grp int);
ALTER TABLE o.part_3 DROP COLUMN gone;
ALTER TABLE o.part ATTACH PARTITION o.part_3 DEFAULT;

CREATE INDEX ON o.fact (grp);
CREATE INDEX ON o.bag (a);
CREATE INDEX ON o.bag (b);
CREATE INDEX ON o.comp (ref);
CREATE INDEX ON o.dim (parent);
CREATE INDEX ON o.part (grp);

-- 20 kB that do not compress.
CREATE FUNCTION o.noise(seed int) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(md5(seed::text || '.' || i), '') FROM generate_series(1, 640) i $$;

INSERT INTO o.dim SELECT i, CASE WHEN i % 5 <> 0 THEN 'label ' || i % 7 END,
		CASE WHEN i % 4 <> 0 THEN i % 6 END, CASE WHEN i % 3 <> 0 THEN i * 1.25 END
	FROM generate_series(0, 14) i;
INSERT INTO o.fact (id, grp, sub, name, amount, qty)
	SELECT i, i % 10, i % 3, 'name ' || i % 20, i / 8.0, i % 17 FROM generate_series(1, 150) i;
INSERT INTO o.bag SELECT i % 10, i % 4, 'c' || i % 3, i, i / 8.0 FROM generate_series(1, 150) i;
INSERT INTO o.comp SELECT i % 12, 'k' || i / 12, i * 1.01, i % 10, i * interval '1 hour'
	FROM generate_series(1, 100) i;
INSERT INTO o.wide SELECT i, i % 4, o.noise(i), 'tag ' || i % 3, i % 5
	FROM generate_series(1, 25) i;
INSERT INTO o.part SELECT i, date '2024-01-01' + i % 80, 'region ' || i % 3, i / 4.0, i % 10
	FROM generate_series(1, 150) i;
SQL

# ---------------------------------------------------------------------------------------
# The views: name => query.  In order: later ones may read earlier ones.
# ---------------------------------------------------------------------------------------

my @views = (
	# Projection and selection.
	fact_rows => q{SELECT id, upper(name) AS name, amount * 2 AS twice, ts, f FROM o.fact},
	fact_bag => q{SELECT grp, flag FROM o.fact WHERE qty > 3 OR qty IS NULL},
	bag_rows => q{SELECT a, c, n FROM o.bag},
	bag_constant => q{SELECT 1 AS one FROM o.bag WHERE b = 1},
	comp_rows => q{SELECT k2, k1, v FROM o.comp WHERE v BETWEEN -50 AND 50},
	wide_rows => q{SELECT id, payload, n FROM o.wide},
	wide_hash => q{SELECT tag, md5(payload) AS hash FROM o.wide WHERE n > 1 OR grp IS NULL},
	part_rows => q{SELECT id, day, amt, region FROM o.part WHERE amt IS DISTINCT FROM 0},

	# Joins: keyed, keyless, three occurrences, nullable columns, one table several times.
	fact_dim => q{SELECT f.id, d.label, f.amount FROM o.fact f JOIN o.dim d ON d.id = f.grp},
	bag_fact => q{SELECT b.a, b.c, f.name FROM o.bag b, o.fact f
		WHERE b.a = f.grp AND b.b = f.sub AND f.qty < 6},
	three_way => q{SELECT f.id, c.k1, c.k2, d.weight * c.v AS weighted
		FROM o.fact f JOIN o.dim d ON d.id = f.grp JOIN o.comp c ON c.ref = d.parent
		WHERE f.sub = 1},
	null_join => q{SELECT b.c, c.k2 FROM o.bag b JOIN o.comp c
		ON b.b IS NOT DISTINCT FROM c.ref AND c.k1 = 1},
	self_join => q{SELECT c.id, c.label, p.label AS parent_label
		FROM o.dim c JOIN o.dim p ON c.parent = p.id},
	bag_self => q{SELECT x.a, count(*) AS n, sum(y.n)::text AS s FROM o.bag x
		JOIN o.bag y ON x.b = y.a JOIN o.bag z ON y.b = z.b AND z.c = 'c1' GROUP BY x.a},
	dim_pairs => q{SELECT x.id AS x, y.id AS y FROM o.dim x CROSS JOIN o.dim y
		WHERE x.weight < y.weight},
	part_dim => q{SELECT p.id, p.day, d.label FROM o.part p JOIN o.dim d ON d.id = p.grp},

	# Aggregates.
	agg_int => q{SELECT grp, count(*) AS n, count(qty) AS nq, sum(qty) AS sq, sum(small) AS ss,
		sum(big) AS sb, avg(qty) AS aq, min(qty) AS lo, max(big) AS hi, avg(big) AS ab,
		sum(qty) FILTER (WHERE flag) AS fq, count(*) FILTER (WHERE qty > 5) AS n5
		FROM o.fact GROUP BY grp},
	agg_numeric => q{SELECT grp, sum(amount)::text AS s, avg(amount)::text AS a,
		trim_scale(min(amount)) AS lo, trim_scale(max(amount)) AS hi, count(amount) AS n
		FROM o.fact GROUP BY grp},
	agg_fixed => q{SELECT ref, sum(v)::text AS s, avg(v) AS a, max(v) AS hi, sum(w) AS w,
		avg(w) AS aw, min(w) AS low FROM o.comp GROUP BY ref},
	agg_float => q{SELECT grp, sum(f) AS s, avg(f4) AS a, sum(f4) AS s4, min(f) AS lo, max(f4) AS hi
		FROM o.fact GROUP BY grp},
	agg_other => q{SELECT flag, min(name) AS n1, max(name) AS n2, min(ts) AS t1, max(ts) AS t2,
		min(d) AS d1, max(d) AS d2, count(ts) AS nt FROM o.fact GROUP BY flag},
	agg_wide => q{SELECT grp, max(payload) AS hi, sum(length(payload)) AS len, count(*) AS n
		FROM o.wide GROUP BY grp},
	agg_having => q{SELECT grp, count(*) AS n FROM o.fact GROUP BY grp
		HAVING count(*) > 12 AND sum(qty) > 60},
	agg_all => q{SELECT count(*) AS n, sum(qty) AS sq, sum(amount)::text AS s, max(qty) AS hi
		FROM o.fact},
	agg_all_having => q{SELECT sum(b) AS s FROM o.bag WHERE a > 2 HAVING count(*) > 80},
	agg_expr => q{SELECT grp % 3 AS m, qty IS NULL AS missing, count(*) AS n, sum(amount + 1)::text AS s
		FROM o.fact GROUP BY grp % 3, qty IS NULL},
	agg_keyless => q{SELECT count(*) AS n, max(qty) AS hi FROM o.fact GROUP BY grp, flag},
	agg_bag => q{SELECT b, c, sum(n)::text AS s, sum(f) AS f, min(a) AS lo, count(*) AS n
		FROM o.bag GROUP BY b, c},
	agg_join => q{SELECT d.label, count(*) AS n, sum(f.amount)::text AS s, max(f.qty) AS hi
		FROM o.fact f JOIN o.dim d ON d.id = f.grp WHERE f.flag IS NOT TRUE GROUP BY d.label},
	agg_part => q{SELECT region, extract(month FROM day) AS month, count(*) AS n,
		sum(amt)::text AS s, max(amt)::float8 AS hi FROM o.part GROUP BY 1, 2},
	only_keys => q{SELECT grp, sub FROM o.fact GROUP BY grp, sub},

	# Views over views: a chain of three, and a diamond.
	second => q{SELECT n AS size, count(*) AS groups, sum(sq) AS sq FROM v.agg_int GROUP BY n},
	third => q{SELECT sum(groups) AS groups, max(size) AS largest FROM v.second},
	diamond => q{SELECT i.grp, i.n, a.s FROM v.agg_int i JOIN v.agg_numeric a ON a.grp = i.grp},
	diamond_sum => q{SELECT n % 2 AS odd, count(*) AS c, sum(n) AS n FROM v.diamond GROUP BY 1},
	rows_and_source => q{SELECT b.a, count(*) AS n FROM v.bag_rows b JOIN o.dim d ON d.id = b.a
		GROUP BY b.a},
	copy_of_copy => q{SELECT a, c FROM v.bag_rows WHERE a IS NOT NULL},

	# Joins that keep rows, and existence.
	dim_left => q{SELECT d.id, d.label, f.name, f.qty FROM o.dim d LEFT JOIN o.fact f
		ON f.grp = d.id AND f.flag},
	dim_left_agg => q{SELECT d.id, count(f.id) AS n, sum(f.qty) AS q FROM o.dim d
		LEFT JOIN o.fact f ON f.grp = d.id LEFT JOIN o.comp c ON c.ref = f.sub AND c.k1 < 4
		GROUP BY d.id},
	bag_full => q{SELECT b.a, b.c, c.k1, c.k2 FROM o.bag b FULL JOIN o.comp c
		ON b.b = c.ref AND c.k1 = 2},
	dim_exists => q{SELECT id FROM o.dim d WHERE EXISTS (SELECT FROM o.bag b WHERE b.a = d.id)
		AND NOT EXISTS (SELECT FROM o.fact f WHERE f.grp = d.id AND f.qty > 12)},
	fact_not_in => q{SELECT id FROM o.fact WHERE grp NOT IN (SELECT b FROM o.bag WHERE c = 'c2')},

	# Queries of several stages.
	best_groups => q{SELECT g.big, count(*) AS n FROM (SELECT grp, sum(qty) > 40 AS big
		FROM o.fact GROUP BY grp) g GROUP BY g.big},
	union_all_keys => q{SELECT grp AS k FROM o.fact UNION ALL SELECT a FROM o.bag},
	union_keys => q{SELECT grp AS k, sub AS l FROM o.fact UNION SELECT a, b FROM o.bag},
	except_keys => q{SELECT a FROM o.bag EXCEPT ALL SELECT grp FROM o.fact},
	intersect_keys => q{SELECT a, b FROM o.bag INTERSECT SELECT grp, sub FROM o.fact},
	rollup => q{SELECT grp, sub, count(*) AS n, GROUPING(grp, sub) AS level
		FROM o.fact GROUP BY ROLLUP (grp, sub)},
	with_twice => q{WITH t AS (SELECT grp, count(*) AS n FROM o.fact GROUP BY grp)
		SELECT x.grp, y.grp AS other FROM t x JOIN t y ON x.n = y.n AND x.grp < y.grp},
	scalars => q{SELECT d.id, (SELECT sum(qty) FROM o.fact f WHERE f.grp = d.id) AS q,
		(SELECT count(*) FROM o.bag b WHERE b.a = d.id) AS n FROM o.dim d},
	above_average => q{SELECT id, qty FROM o.fact WHERE qty > (SELECT avg(qty) FROM o.fact)},
	large_groups => q{SELECT grp FROM o.fact GROUP BY grp
		HAVING count(*) > (SELECT count(*) FROM o.dim)},

	# Parts computed again, and whole queries.
	ranked => q{SELECT id, grp, row_number() OVER (PARTITION BY grp ORDER BY qty, id) AS nr,
		sum(qty) OVER (PARTITION BY grp) AS q FROM o.fact},
	latest => q{SELECT DISTINCT ON (grp) grp, id, qty FROM o.fact ORDER BY grp, qty DESC, id},
	labels => q{SELECT grp, array_agg(id ORDER BY id) AS ids, count(DISTINCT sub) AS subs,
		percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) AS mid FROM o.fact GROUP BY grp},
	distinct_bag => q{SELECT DISTINCT a, c FROM o.bag},
	top_ten => q{SELECT id, qty FROM o.fact ORDER BY qty DESC NULLS LAST, id LIMIT 10},
	reachable => q{WITH RECURSIVE r(id, root) AS (SELECT id, id FROM o.dim UNION
		SELECT d.id, r.root FROM o.dim d JOIN r ON d.parent = r.id) SELECT id, root FROM r},
	hops => q{WITH RECURSIVE r AS (SELECT a, b FROM o.bag UNION
		SELECT r.a, x.b FROM r JOIN o.bag x ON x.a = r.b WHERE x.c = 'c1') SELECT a, b FROM r},
	steps => q{WITH RECURSIVE r AS (SELECT b AS first, a AS last, 0 AS n, c FROM o.bag UNION ALL
		SELECT r.first, x.b, r.n + 1, r.c || x.c FROM r JOIN o.bag x ON x.a = r.last JOIN o.dim d ON d.id = x.b
		WHERE r.n < 2 AND x.c = 'c2') SELECT first, n, c, count(*) AS k FROM r GROUP BY first, n, c},
);

# Equations between views that hold at every frontier, for consistent_midflight().
my @equations = (
	'(SELECT n FROM v.agg_all)', '(SELECT coalesce(sum(n), 0) FROM v.agg_int)',
	'(SELECT n FROM v.agg_all)', '(SELECT count(*) FROM v.fact_rows)',
	'(SELECT sq FROM v.agg_all)', '(SELECT sum(sq) FROM v.second)',
	'(SELECT groups FROM v.third)', '(SELECT nullif(count(*), 0) FROM v.agg_int)',
	'(SELECT count(*) FROM v.diamond)', '(SELECT coalesce(sum(c), 0) FROM v.diamond_sum)',
	'(SELECT count(*) FROM v.copy_of_copy)',
	'(SELECT count(*) FROM v.bag_rows WHERE a IS NOT NULL)',
	'(SELECT count(*) FROM v.bag_rows)', '(SELECT coalesce(sum(n), 0) FROM v.agg_bag)',
);

# The seed of this run: DERIVE_SEED, or one of its own, printed so that it can be used again.
sub oracle_seed
{
	my $seed = $ENV{DERIVE_SEED} // (time * 1000) % 1_000_000;

	diag("DERIVE_SEED=$seed");
	return int $seed;
}

sub create_schema
{
	my ($node, $db) = @_;

	$node->safe_psql($db // 'postgres', $schema_sql);
	return;
}

# Creates all views, or those named, and waits until they are live.
sub create_views
{
	my ($node, %args) = @_;
	my %wanted = map { $_ => 1 } @{ $args{only} // [] };
	my $db = $args{db} // 'postgres';
	my $sql = "CREATE SCHEMA v;\n";

	for (my $i = 0; $i < @views; $i += 2)
	{
		next if %wanted && !$wanted{ $views[$i] };
		$sql .= "SELECT derive.create_view('v.$views[$i]', \$q\$$views[ $i + 1 ]\$q\$);\n";
	}
	$node->safe_psql($db, $sql);
	wait_live($node, $db);
	return;
}

# The names of all derived views of the database.
sub view_names
{
	my ($node, $db) = @_;

	return split /\n/,
	  $node->safe_psql($db // 'postgres', 'SELECT view FROM derive.views ORDER BY 1');
}

# ---------------------------------------------------------------------------------------
# The question
# ---------------------------------------------------------------------------------------

# The rows in which a view and its query differ, at one snapshot: '' if they are equal.  Right
# only while nobody writes and after wait_fresh().
sub difference
{
	my ($node, $view, $db) = @_;

	$db //= 'postgres';
	my $query = $node->safe_psql($db,
		"SELECT query FROM derive.views WHERE view = '$view'::regclass");
	die "$view is no derived view" if $query eq '';
	$query =~ s/;\s*$//;
	return $node->safe_psql($db, <<"SQL");
BEGIN ISOLATION LEVEL REPEATABLE READ;
WITH stored AS (SELECT stored_row::text AS r FROM $view stored_row),
	wanted AS (SELECT wanted_row::text AS r FROM ($query) wanted_row)
SELECT 'unexpected', left(r, 200) FROM (TABLE stored EXCEPT ALL TABLE wanted) x
UNION ALL
SELECT 'missing', left(r, 200) FROM (TABLE wanted EXCEPT ALL TABLE stored) x
ORDER BY 1, 2 LIMIT 20;
COMMIT;
SQL
}

# The same for all views of the database, in one session: lines that begin with the view's name.
sub differences
{
	my ($node, $db) = @_;

	return $node->safe_psql($db // 'postgres', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT format('WITH stored AS (SELECT stored_row::text AS r FROM %1$s stored_row),
	wanted AS (SELECT wanted_row::text AS r FROM (%2$s) wanted_row)
	SELECT %1$L, ''unexpected'', left(r, 200) FROM (TABLE stored EXCEPT ALL TABLE wanted) x
	UNION ALL
	SELECT %1$L, ''missing'', left(r, 200) FROM (TABLE wanted EXCEPT ALL TABLE stored) x
	LIMIT 20', view, regexp_replace(query, ';\s*$', '')) FROM derive.views ORDER BY view \gexec
COMMIT;
SQL
}

# Waits until the view is fresh and tests that it equals its query.
sub check_equal
{
	my ($node, $view, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$node->safe_psql($db // 'postgres', "SELECT derive.wait(timeout => '"
		  . $PostgreSQL::Test::Utils::timeout_default . " s', view => '$view')");
	return is(difference($node, $view, $db), '', $name // "$view equals its query");
}

# check_equal() for every view of the database, and all are live.
sub check_all
{
	my ($node, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	wait_live($node, $db);
	wait_fresh($node, $db);
	check_equal($node, $_, "$name: $_ equals its query", $db) foreach view_names($node, $db);
	return;
}

# Verifies live views in random order at their own frontier, under load: all, or max => n of them
# (in db => name).  Returns the differences found, one per line, and the number of views verified.
sub verify_midflight
{
	my ($node, %args) = @_;
	my $db = $args{db} // 'postgres';
	my $max = $args{max} // 1000;
	my ($verified, $found) = (0, '');

	foreach my $view (split /\n/, $node->safe_psql($db,
			qq{SELECT view FROM derive.views WHERE state = 'live' ORDER BY random() LIMIT $max}))
	{
		my ($ret, $rows, $error) = $node->psql($db,
			qq{SELECT '$view', kind, difference, left("row"::text, 200)
				FROM derive.verify('$view') LIMIT 5},
			on_error_stop => 1);
		$found .= "$rows\n" if $rows ne '';
		# While a TRUNCATE holds a source, its views are behind, and verify says just that.
		$found .= "$view: $error\n" if $ret != 0 && $error !~ /is behind the other views/;
		$verified++ if $ret == 0;
	}
	return ($found, $verified);
}

# Joins views in one statement: at every moment they show one and the same frontier.  Returns
# the equations that do not hold, with their sides.
sub consistent_midflight
{
	my ($node, $db) = @_;
	my $found = '';

	for (my $i = 0; $i < @equations; $i += 2)
	{
		my ($left, $right) = @equations[ $i, $i + 1 ];
		my $row = $node->safe_psql($db // 'postgres',
			"SELECT l, r FROM (SELECT $left AS l, $right AS r) x WHERE l IS DISTINCT FROM r");
		$found .= "$left = $right: $row\n" if $row ne '';
	}
	return $found;
}

# ---------------------------------------------------------------------------------------
# The load
# ---------------------------------------------------------------------------------------

# Starts clients => n writers for seconds => s.  truncate, bulk and slow (0 or 1, default 1)
# switch the expensive statements; extra => [subs that return SQL] makes every fifth one of these.
sub start_load
{
	my ($node, %args) = @_;
	my @children;
	my $log = $PostgreSQL::Test::Utils::log_path;

	foreach my $client (1 .. $args{clients})
	{
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			open STDOUT, '>', "$log/load_$client.log";
			open STDERR, '>&', \*STDOUT;
			eval { run_client($node, $client, %args) };
			print "client $client: $@" if $@;
			POSIX::_exit($@ ? 1 : 0);
		}
		push @children, $pid;
	}
	return { children => \@children, end => time + $args{seconds} };
}

sub load_is_running
{
	my ($load) = @_;

	return time < $load->{end};
}

# Waits for the clients and ends the prepared transactions that a crash has orphaned.
sub finish_load
{
	my ($node, $load, $db) = @_;

	foreach my $pid (@{ $load->{children} })
	{
		waitpid $pid, 0;
		die "a client of the load failed, see its log" if $? != 0;
	}
	$db //= 'postgres';
	foreach my $gid (split /\n/,
		$node->safe_psql($db, 'SELECT gid FROM pg_prepared_xacts WHERE database = current_database()'))
	{
		my $verb = length($gid) % 2 ? 'COMMIT' : 'ROLLBACK';
		$node->safe_psql($db, "$verb PREPARED '$gid'");
	}
	return;
}

# One client, in its own process.
sub run_client
{
	my ($node, $client, %args) = @_;
	my $end = time + $args{seconds};
	my $connstr = $node->connstr($args{db} // 'postgres');
	my $made = 0;

	srand($args{seed} * 1000 + $client);
	local $SIG{PIPE} = 'IGNORE';
	while (time < $end)
	{
		open my $psql, '|-', 'psql', '-Xq', '-v', 'VERBOSITY=terse', '-d', $connstr
		  or die "psql: $!";
		$psql->autoflush(1);
		my $alive = print $psql "SET lock_timeout = '3 s'; SET deadlock_timeout = '100 ms';\n";

		while ($alive && time < $end)
		{
			$alive = print $psql transaction($client, ++$made, \%args);
		}
		close $psql;    # waits; an error only says that the server went away
		usleep(100_000) if time < $end;
	}
	print "client $client wrote $made transactions\n";
	return;
}

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub null_or { my ($value, $p) = @_; return chance($p // 0.12) ? 'NULL' : $value }
sub grp { return null_or(int rand 10) }
sub fact_id { return 1 + int rand 300 }
sub eighth { return (int(rand 200) - 100) / 8 }

# A numeric of any scale; sometimes one that is not a number.
sub numeric
{
	return pick("'NaN'", "'Infinity'", "'-Infinity'") if chance(0.01);
	return null_or(sprintf '%.*f', int rand 5, rand(200) - 100);
}

sub fact_values
{
	my ($id) = @_;

	return join ', ', $id, grp(), null_or(int rand 3), null_or("'name " . int(rand 20) . "'"),
	  numeric(), null_or(int rand 17), null_or(int rand 100), null_or(int rand 1_000_000_000) . '::bigint * 5',
	  null_or(eighth()), null_or(eighth()), null_or(pick('true', 'false')),
	  null_or("timestamptz '2024-01-01' + " . int(rand 1000) . " * interval '1 minute'"),
	  null_or("date '2024-01-01' + " . int(rand 30)), null_or("'u" . int(rand 1000) . "'");
}

sub bag_values
{
	return join ', ', null_or(int rand 10), null_or(int rand 4), null_or("'c" . int(rand 3) . "'"),
	  numeric(), null_or(eighth());
}

sub comp_values
{
	return join ', ', int(rand 12), "'k" . int(rand 10) . "'", null_or(sprintf '%.2f', rand(200) - 100),
	  grp(), null_or(int(rand 50) . " * interval '1 hour'"), null_or(int rand 1000);
}

sub part_values
{
	return join ', ', 1 + int(rand 300), "date '2024-01-01' + " . int(rand 90),
	  null_or("'region " . int(rand 3) . "'"), numeric(), grp();
}

# Statements, by weight.  Each is a sub of the client's options that returns SQL.
my @statements = (
	# fact
	8 => sub { 'INSERT INTO o.fact VALUES (' . fact_values(fact_id()) . ') ON CONFLICT DO NOTHING' },
	4 => sub {
		'INSERT INTO o.fact VALUES (' . fact_values(fact_id())
		  . ') ON CONFLICT (id) DO UPDATE SET qty = excluded.qty, amount = excluded.amount, grp = excluded.grp';
	},
	3 => sub {
		'INSERT INTO o.fact VALUES '
		  . join(', ', map { '(' . fact_values(fact_id()) . ')' } 1 .. 5) . ' ON CONFLICT DO NOTHING';
	},
	6 => sub { 'UPDATE o.fact SET qty = ' . null_or(int rand 17) . ', amount = ' . numeric() . ' WHERE id = ' . fact_id() },
	4 => sub { 'UPDATE o.fact SET grp = ' . grp() . ' WHERE id = ' . fact_id() },
	3 => sub { 'UPDATE o.fact SET qty = qty + 1, f = f + 0.125 WHERE grp = ' . int(rand 10) },
	3 => sub { "UPDATE o.fact SET unused = 'u" . int(rand 1000) . "' WHERE grp = " . int(rand 10) },
	2 => sub { 'UPDATE o.fact SET id = ' . fact_id() . ' WHERE id = ' . fact_id() },
	2 => sub { 'UPDATE o.fact SET flag = NOT flag, name = NULL, ts = NULL WHERE sub = ' . int(rand 3) . ' AND qty = ' . int(rand 17) },
	2 => sub { 'UPDATE o.fact SET (amount, f, f4) = (amount * 1.10, f - 0.25, f4 + 0.5) WHERE grp IS NULL' },
	6 => sub { 'DELETE FROM o.fact WHERE id = ' . fact_id() },
	2 => sub { 'DELETE FROM o.fact WHERE grp IS NOT DISTINCT FROM ' . grp() . ' AND qty < ' . int(rand 8) },
	1 => sub { 'DELETE FROM o.fact WHERE grp = ' . int(rand 10) },
	1 => sub { 'MERGE INTO o.fact f USING (SELECT ' . fact_id() . ' AS id) s ON s.id = f.id WHEN MATCHED AND f.qty > 8 THEN DELETE WHEN MATCHED THEN UPDATE SET qty = f.qty + 1 WHEN NOT MATCHED THEN INSERT (id, grp) VALUES (s.id, ' . grp() . ')' },

	# bag
	6 => sub { 'INSERT INTO o.bag VALUES ' . join ', ', map { '(' . bag_values() . ')' } 1 .. 1 + int rand 3 },
	2 => sub { my $row = bag_values(); "INSERT INTO o.bag VALUES ($row), ($row), ($row)" },
	3 => sub { 'UPDATE o.bag SET b = ' . null_or(int rand 4) . ' WHERE ctid = (SELECT min(ctid) FROM o.bag WHERE a = ' . int(rand 10) . ')' },
	2 => sub { 'UPDATE o.bag SET n = n + 0.5, c = ' . null_or("'c" . int(rand 3) . "'") . ' WHERE a IS NOT DISTINCT FROM ' . grp() },
	5 => sub { 'DELETE FROM o.bag WHERE ctid = (SELECT min(ctid) FROM o.bag WHERE a IS NOT DISTINCT FROM ' . grp() . ')' },
	2 => sub { 'DELETE FROM o.bag WHERE a = ' . int(rand 10) . ' AND b IS NOT DISTINCT FROM ' . null_or(int rand 4) },

	# comp
	4 => sub { 'INSERT INTO o.comp VALUES (' . comp_values() . ') ON CONFLICT (k1, k2) DO UPDATE SET v = excluded.v, ref = excluded.ref' },
	3 => sub { 'UPDATE o.comp SET v = v + 1, w = w + interval \'1 hour\' WHERE k1 = ' . int(rand 12) },
	2 => sub { 'UPDATE o.comp SET k1 = ' . int(rand 12) . " WHERE k1 = " . int(rand 12) . " AND k2 = 'k" . int(rand 10) . "'" },
	3 => sub { 'DELETE FROM o.comp WHERE k1 = ' . int(rand 12) . ' AND ref IS NOT DISTINCT FROM ' . grp() },

	# wide
	2 => sub { my $id = 1 + int rand 40; 'INSERT INTO o.wide VALUES (' . join(', ', $id, grp(), null_or("o.noise($id)"), null_or("'tag'"), int rand 5) . ') ON CONFLICT DO NOTHING' },
	4 => sub { 'UPDATE o.wide SET n = n + 1 WHERE id = ' . (1 + int rand 40) },
	1 => sub { 'UPDATE o.wide SET payload = o.noise(' . int(rand 1000) . ') WHERE id = ' . (1 + int rand 40) },
	1 => sub { 'UPDATE o.wide SET grp = ' . grp() . ", payload = payload WHERE tag = 'tag " . int(rand 3) . "'" },
	1 => sub { 'UPDATE o.wide SET id = id + 40 WHERE id = ' . (1 + int rand 40) },
	2 => sub { 'DELETE FROM o.wide WHERE id = ' . (1 + int rand 80) },

	# dim
	2 => sub { 'INSERT INTO o.dim VALUES (' . join(', ', int rand 16, null_or("'label " . int(rand 7) . "'"), grp(), null_or(sprintf '%.2f', rand 20)) . ') ON CONFLICT DO NOTHING' },
	2 => sub { "UPDATE o.dim SET label = " . null_or("'label " . int(rand 7) . "'") . ', parent = ' . grp() . ' WHERE id = ' . int(rand 16) },
	1 => sub { 'UPDATE o.dim SET weight = weight + 0.25 WHERE parent IS NOT DISTINCT FROM ' . grp() },
	1 => sub { 'DELETE FROM o.dim WHERE id = ' . int(rand 16) },

	# part: with moves between partitions
	5 => sub { 'INSERT INTO o.part VALUES (' . part_values() . ') ON CONFLICT DO NOTHING' },
	4 => sub { 'UPDATE o.part SET day = date \'2024-01-01\' + ' . int(rand 90) . ' WHERE id = ' . (1 + int rand 300) },
	3 => sub { 'UPDATE o.part SET amt = ' . numeric() . ' WHERE grp = ' . int(rand 10) },
	3 => sub { 'DELETE FROM o.part WHERE id = ' . (1 + int rand 300) },

	# expensive ones
	0.1 => sub {
		return 'SELECT 1' unless $_[0]{bulk} // 1;
		my $start = 100_000 + 20_000 * int rand 3;
		return pick(
			"INSERT INTO o.fact (id, grp, qty, amount) SELECT i, NULL, i % 17, i / 8.0 FROM generate_series($start, $start + 19999) i ON CONFLICT DO NOTHING",
			('DELETE FROM o.fact WHERE id >= 100000') x 3);
	},
	0.1 => sub {
		return 'SELECT 1' unless $_[0]{bulk} // 1;
		return pick("INSERT INTO o.bag SELECT 1000 + i, NULL, 'bulk', i, NULL FROM generate_series(1, 5000) i",
			("DELETE FROM o.bag WHERE c = 'bulk'") x 2);
	},
	0.15 => sub {
		return 'SELECT 1' unless $_[0]{truncate} // 1;
		return 'TRUNCATE ' . pick('o.bag', 'o.part', 'o.fact', 'o.part_2', 'o.fact, o.bag');
	},
	0.8 => sub {
		return 'SELECT 1' unless $_[0]{slow} // 1;
		return sprintf 'SELECT pg_sleep(%.2f)', pick(0.05, 0.05, 0.2, 1);
	},
);

my $total_weight = 0;
for (my $i = 0; $i < @statements; $i += 2) { $total_weight += $statements[$i] }

sub statement
{
	my ($args) = @_;

	return pick(@{ $args->{extra} })->() . ";\n" if $args->{extra} && chance(0.2);

	my $point = rand $total_weight;

	for (my $i = 0; $i < @statements; $i += 2)
	{
		$point -= $statements[$i];
		return $statements[ $i + 1 ]->($args) . ";\n" if $point < 0;
	}
	return "SELECT 1;\n";
}

# SQL of one random transaction.
sub transaction
{
	my ($client, $number, $args) = @_;
	my $body = join '', map { statement($args) } 1 .. 1 + int rand 5;

	return statement($args) if chance(0.3);

	# Work under savepoints, some of it undone; nested, so that subtransactions have parents.
	if (chance(0.3))
	{
		my $inner = statement($args);
		$inner = "SAVEPOINT t;\n" . statement($args) . pick("ROLLBACK TO t;\n", "RELEASE t;\n") . $inner
		  if chance(0.4);
		$body .= "SAVEPOINT s;\n$inner" . pick("ROLLBACK TO s;\n", "RELEASE s;\n", '') . statement($args);
	}

	my $begin = chance(0.2) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" : "BEGIN;\n";
	$begin .= "SET LOCAL synchronous_commit = off;\n" if chance(0.3);

	return "$begin${body}ROLLBACK;\n" if chance(0.1);
	if (chance(0.1))
	{
		my $gid = "load_${client}_${number}_" . int rand 1_000_000;
		my $pause = chance(0.3) ? "SELECT pg_sleep(0.1);\n" : '';
		return "$begin${body}PREPARE TRANSACTION '$gid';\n$pause"
		  . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$gid';\n";
	}
	return "$begin${body}COMMIT;\n";
}

1;
