# Torture: faults of all kinds at random, under eight writing clients, and every view and outbox exact
# whenever it is looked at, without a manual step.
#
# DERIVE_SEED fixes which faults happen in which order (1), DERIVE_SECONDS for how long (20); "make
# torture" makes longer runs.  A round is some seconds of load with a fault every second or so, after
# each of which some views are verified in flight; at its end all views are compared with their
# queries, and outboxes, their consumers and a processor with an independent record (Derive::Ledger).
# Memory, retained log, spilled bytes, outbox partitions and the catalog's rows are measured all the
# time and have limits.
#
# DERIVE_SMALL_DISK is a folder on a disk of its own, which "make torture" makes if it may: the server's
# files lie there, and it is filled up now and then.  What full disks do to single processes is
# tried by limits on the sizes of their files anyway.

use strict;
use warnings FATAL => 'all';

use Derive::Fault;
use Derive::Ledger;
use Derive::Node;
use Derive::Oracle;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seed = $ENV{DERIVE_SEED} // 1;
my $seconds = $ENV{DERIVE_SECONDS} // 20;
my $round_seconds = $seconds < 120 ? 10 : 20;
my $clients = 8;
my $max_retained = 192;    # MB
my %max = (memory => 200, 'memory in flight' => 400, 'retained log' => $max_retained + 64, spilled => 512,
	partitions => 40, 'catalog rows' => 1000, 'catalog MB' => 64);
my %most = map { $_ => 0 } keys %max;    # of these, so far
my $disk = $ENV{DERIVE_SMALL_DISK};
my $clock = shifted_clock();
my $limits = can_limit();
my $node = derive_init('torture', <<"CONF", '--wal-segsize=1');
logical_decoding_work_mem = '1MB'
pg_derive.batch_memory = '2MB'
pg_derive.max_retained_wal = '${max_retained}MB'
max_wal_size = '512MB'
wal_recycle = off
log_min_messages = error
CONF

if (defined $disk)
{
	system('mv', $node->data_dir, "$disk/data") == 0 or die 'cannot move the data directory';
	symlink "$disk/data", $node->data_dir or die $!;
}

# The server, started with a clock that can be shifted.
sub start
{
	local $ENV{LD_PRELOAD} = $clock if defined $clock;
	return $node->start(@_);
}

# Says whether there is a postmaster.
sub is_up
{
	my $pid = eval { postmaster_pid($node) };

	return defined $pid && kill 0, $pid;
}

# Starts the server again if it has gone; what is left of it may need a moment to go, too.
sub start_again
{
	return if is_up();
	$node->{_pid} = undef;
	poll_until(sub { start(fail_ok => 1) }) or die 'the server cannot be started';
	return;
}

start();
srand($seed);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
create_schema($node);
create_views($node, only => [qw(fact_rows fact_bag bag_rows bag_constant comp_rows wide_rows part_rows
	  fact_dim bag_fact null_join self_join agg_int agg_numeric agg_float agg_other agg_all agg_bag agg_part
	  second third diamond copy_of_copy dim_left dim_left_agg bag_full ranked latest labels top_ten)]);
$node->safe_psql('postgres', q{
	CREATE TABLE big (id int, grp int, pad text);
	CREATE INDEX ON big (id);
	SELECT derive.create_view('big_groups', 'SELECT grp, count(*) AS n, sum(id) AS s FROM big GROUP BY grp');
	SELECT derive.create_view('big_rows', 'SELECT id, pad FROM big WHERE grp < 5');
	CREATE TABLE noise (a text);
	CREATE TABLE many WITH (parallel_workers = 24) AS SELECT i FROM generate_series(1, 20000) i;
	CREATE DATABASE holder;});
my $ledger = Derive::Ledger->new($node);
wait_live($node);
wait_fresh($node);
is(differences($node), '', 'first build: every view equals its query');

sub chance { return rand() < $_[0] }
sub pick { return $_[ int rand @_ ] }
sub pause { my ($low, $high) = @_; usleep(1_000_000 * ($low + rand($high - $low))); return }

# SQL that may fail: the server may be away, or the statement may lose against others.
sub try_sql { my ($sql, $db) = @_; my ($ret, $out) = $node->psql($db // 'postgres', "SET lock_timeout = '3s'; $sql"); return $out }

# A worker's process id, or undef.
sub worker
{
	my ($role) = @_;
	my $pid = $role eq 'launcher'
	  ? try_sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_derive launcher'})
	  : try_sql("SELECT ${role}_pid FROM derive.pipelines");

	return defined $pid && $pid =~ /^[1-9]\d*$/ ? $pid : undef;
}

sub signal
{
	my ($signal, @roles) = @_;
	my $pid = worker(pick(@roles)) or return;

	kill $signal, $pid;
	return;
}

# Stops a worker for a moment.
sub freeze
{
	my ($role) = @_;
	my $pid = worker($role) or return;

	stop_process($pid);
	pause(0.2, 1.5);
	continue_process($pid);
	return;
}

# Limits a worker for a moment.
sub starve
{
	my ($role, $what, $bytes, $sql) = @_;
	my $pid = worker($role) or return;

	limit($pid, $what => $bytes);
	try_sql($sql);
	pause(0.3, 1);
	limit($pid, $what => undef) if kill 0, $pid;
	return;
}

# Sets a server setting for a moment, while something happens.
sub with_setting
{
	my ($name, $value, $what) = @_;

	try_sql("ALTER SYSTEM SET $name = $value");
	try_sql('SELECT pg_reload_conf()');
	$what->();
	poll_until(sub { my ($ret) = $node->psql('postgres', "ALTER SYSTEM RESET $name"); $ret == 0 });
	try_sql('SELECT pg_reload_conf()');
	return;
}

# Fills the disk, all of it or but for a little, for a moment.  Its user makes room and starts the server
# if it has given up.
sub fill_disk
{
	my ($free) = `df --output=avail -B1 $disk` =~ /(\d+)\s*$/ or die 'df';

	system('fallocate', '-l', $free - pick(0, 0, 100_000, 3_000_000), "$disk/ballast");
	try_sql(q{INSERT INTO big SELECT i, i % 5, repeat('w', 100) FROM generate_series(1, 10000) i});
	pause(0.5, 2);
	unlink "$disk/ballast";
	poll_until(sub { start_again(); my ($ret) = $node->psql('postgres', 'SELECT 1'); $ret == 0 });
	return;
}

sub noise
{
	my ($mb) = @_;

	try_sql("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, $mb)");
	return;
}

# Runs SQL in a session of its own, which the end of the round waits for.
my @sessions;
sub background
{
	my ($sql) = @_;
	my $pid = fork() // die $!;

	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec 'psql', '-Xq', '-d', $node->connstr('postgres'), map { ('-c', $_) } split /;\s*/, $sql;
	}
	push @sessions, $pid;
	return;
}

# DDL on a source, and what takes it back.
sub ddl
{
	my ($do, $undo) = @_;

	try_sql($do);
	return unless defined $undo;
	pause(0.1, 0.5);
	poll_until(sub { my ($ret) = $node->psql('postgres', "SET lock_timeout = '3s'; $undo"); $ret == 0 });
	return;
}

# A copy of the server's files, which must be right by itself.
my $copies = 0;
sub check_copy
{
	my ($copy, $name) = @_;

	$copy->start;
	foreach my $gid (split /\n/, $copy->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$copy->safe_psql($gid eq 'holder' ? 'holder' : 'postgres', "ROLLBACK PREPARED '$gid'");
	}
	wait_live($copy);
	wait_fresh($copy);
	is(differences($copy), '', "$name: every view equals its query");
	$ledger->check_copy($copy, $name);
	$copy->stop('immediate');
	PostgreSQL::Test::Utils::system_log('rm', '-rf', $copy->data_dir);
	return;
}

my @steps = split /\n/, $node->safe_psql('postgres', 'SELECT * FROM derive_state.debug_steps()');

# Kind => weight, what.
my @faults = (
	'worker SIGTERM' => 3, sub { signal('TERM', qw(applier decoder launcher)) },
	'worker SIGKILL' => 1.5, sub { signal('KILL', qw(applier decoder launcher)) },
	'processor SIGTERM' => 1, sub { signal('TERM', 'processor') },
	'processor SIGKILL' => 1, sub { signal('KILL', 'processor') },
	'applier SIGSTOP' => 1, sub { freeze('applier') },
	'decoder SIGSTOP' => 1, sub { freeze('decoder') },
	'launcher SIGSTOP' => 0.5, sub { freeze('launcher') },
	'processor SIGSTOP' => 0.5, sub { freeze('processor') },
	'several workers SIGTERM' => 1, sub { signal('TERM', $_) foreach qw(applier decoder processor launcher) },
	'consumer SIGTERM' => 1, sub {
		try_sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^consumer'});
	},
	'client backend SIGTERM' => 1, sub {
		try_sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'
			AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2});
	},
	'server process SIGKILL' => 1, sub {
		my $pid = try_sql(q{SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY random() LIMIT 1});
		kill 'KILL', $pid if defined $pid && $pid =~ /^\d+$/;
	},
	'immediate shutdown' => 1, sub { $node->stop('immediate'); start() },
	'postmaster SIGKILL' => 1, sub { kill 'KILL', postmaster_pid($node); poll_until(sub { !is_up() }); start_again() },
	'postmaster SIGSTOP' => 0.5, sub { my $pid = postmaster_pid($node); stop_process($pid); pause(0.2, 1); continue_process($pid) },
	'fast shutdown' => 1, sub { $node->stop('fast'); start() },
	'error at a step' => 2, sub { set_debug_step($node, pick(grep { /^tick-/ } @steps) . ':error'); pause(0.2, 0.6); set_debug_step($node, undef) },
	'death at a step' => 1, sub { set_debug_step($node, pick(@steps) . ':kill'); pause(0.2, 0.6); set_debug_step($node, undef) },
	'power loss' => 0.7, sub { my $copy = power_loss($node, 'lost_' . ++$copies); check_copy($copy, 'power loss') },
	'base backup' => 0.4, sub {
		my $name = 'base_' . ++$copies;
		eval { $node->backup($name); 1 } or return;
		my $copy = PostgreSQL::Test::Cluster->new($name);
		$copy->init_from_backup($node, $name);
		check_copy($copy, 'base backup');
		PostgreSQL::Test::Utils::system_log('rm', '-rf', $node->backup_dir . "/$name");
	},
	'slot dropped' => 1, sub {
		my $slot = try_sql('SELECT slot_name FROM derive.pipelines') or return;
		foreach my $try (1 .. 20)
		{
			try_sql('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active');
			my ($ret) = $node->psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
			last if $ret == 0;
		}
	},
	'slot invalidated' => 0.7, sub {
		with_setting('max_slot_wal_keep_size', "'1MB'", sub { my $pid = worker('applier'); stop_process($pid) if $pid;
			noise(5); try_sql(q{SET statement_timeout = '5s'; CHECKPOINT}); continue_process($pid) if $pid });
	},
	'log shed' => 0.7, sub {
		with_setting('pg_derive.max_retained_wal', "'4MB'", sub { my $pid = worker('applier'); stop_process($pid) if $pid;
			noise(10); pause(1, 1.5); continue_process($pid) if $pid });
	},
	'slots exhausted' => 0.5, sub {
		try_sql(q{SELECT pg_create_physical_replication_slot('s' || i) FROM generate_series(1, 9) i});
		signal('TERM', 'decoder');
		pause(0.2, 0.5);
		poll_until(sub { my ($ret) = $node->psql('postgres',
			q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^s\d$' AND NOT active}); $ret == 0 });
	},
	'workers exhausted' => 0.5, sub {
		my $pid = background(q{SET max_parallel_workers = 24; SET max_parallel_workers_per_gather = 24; SET parallel_setup_cost = 0;
			SET parallel_tuple_cost = 0; SELECT count(CASE WHEN i % 100 = 0 THEN pg_sleep(0.1) END) FROM many});
		pause(0.1, 0.3);
		signal('TERM', qw(applier decoder processor));
	},
	'transaction stays open' => 0.5, sub {
		background(q{BEGIN; INSERT INTO big VALUES (1, 1, NULL); INSERT INTO accounts VALUES (-} . int(rand 1_000_000) . q{, 1);
			SELECT pg_sleep(} . pick(3, 8) . q{); COMMIT});
	},

	'forgotten prepared transaction' => 0.5, sub {
		try_sql(q{BEGIN; CREATE TABLE h (); PREPARE TRANSACTION 'holder'}, 'holder');
		signal('TERM', 'applier') if chance(0.5);
		pause(0.5, 2);
		poll_until(sub { my ($ret) = $node->psql('holder', q{ROLLBACK PREPARED 'holder'});
			$ret == 0 || try_sql(q{SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'holder'}) eq '0' });
	},
	'synchronous replication stuck' => 0.5, sub { with_setting('synchronous_standby_names', "'nobody'", sub { pause(0.3, 1) }) },
	'source locked' => 1, sub { try_sql('BEGIN; LOCK TABLE ' . pick('o.fact', 'o.bag', 'o.part', 'big', 'accounts') . '; SELECT pg_sleep(0.7); COMMIT') },
	'outbox locked' => 1, sub { try_sql('BEGIN; LOCK TABLE ' . pick('events', 'made', 'balance_events', 'balances') . '; SELECT pg_sleep(0.7); COMMIT') },
	'outbox read for long' => 0.5, sub { background('BEGIN; SELECT count(*) FROM brief; SELECT pg_sleep(4); COMMIT') },
	'tables truncated' => 0.5, sub { try_sql(pick('TRUNCATE accounts', 'TRUNCATE o.fact, o.bag, accounts', 'TRUNCATE o.part')) },
	'large transaction' => 0.7, sub {
		try_sql(pick(
			q{INSERT INTO big SELECT i, i % 9, repeat('x', 100) FROM generate_series(1, 30000) i},
			q{UPDATE big SET grp = (grp + 1) % 9},
			q{BEGIN; UPDATE big SET grp = 3; ROLLBACK},
			q{INSERT INTO accounts SELECT i, i % 100 FROM generate_series(1000, 6000) i ON CONFLICT DO NOTHING; DELETE FROM accounts WHERE id > 300},
			q{BEGIN; UPDATE accounts SET v = v + 1; SAVEPOINT s; UPDATE accounts SET v = v * 2; ROLLBACK TO s;
				SELECT emit('large', to_jsonb(i)) FROM generate_series(1, 3000) i; UPDATE accounts SET note = 'large'; COMMIT},
			q{DELETE FROM big WHERE id % 2 = 0}, q{TRUNCATE big}));
	},
	'columns added and dropped' => 1, sub {
		my $table = pick('o.fact', 'o.bag', 'o.dim', 'o.part', 'big', 'accounts');
		ddl("ALTER TABLE $table ADD COLUMN extra " . pick('int', 'int DEFAULT 7', $table eq 'accounts' ? 'text' : 'float8 DEFAULT random()'), "ALTER TABLE $table DROP COLUMN IF EXISTS extra");
	},
	'table rewritten' => 1, sub { try_sql(pick('VACUUM FULL o.fact', 'CLUSTER o.comp USING comp_pkey', 'VACUUM FULL big', 'ALTER TABLE o.fact ALTER unused TYPE varchar', 'ALTER TABLE o.fact ALTER unused TYPE text')) },
	'index rebuilt' => 0.5, sub { try_sql(pick('REINDEX TABLE o.fact', 'REINDEX TABLE CONCURRENTLY o.bag', 'REINDEX TABLE v.agg_int')) },
	'table renamed' => 0.5, sub { ddl('ALTER TABLE o.dim RENAME TO renamed', 'ALTER TABLE IF EXISTS o.renamed RENAME TO dim') },
	'partition detached and attached' => 1, sub {
		ddl('ALTER TABLE o.part DETACH PARTITION o.part_2' . pick('', ' CONCURRENTLY'),
			q{DO $$ BEGIN IF NOT (SELECT relispartition FROM pg_class WHERE oid = 'o.part_2'::regclass) THEN
				DELETE FROM o.part_3 p WHERE p.day >= '2024-02-01' AND p.day < '2024-03-01';
				ALTER TABLE o.part ATTACH PARTITION o.part_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); END IF; END $$});
	},
	'column renamed' => 0.5, sub {
		my ($table, $column) = @{ pick([ 'o.dim', 'label' ], [ 'o.fact', 'qty' ], [ 'big', 'grp' ]) };
		ddl("ALTER TABLE $table RENAME $column TO renamed", qq{DO \$\$ BEGIN ALTER TABLE $table RENAME renamed TO $column; EXCEPTION WHEN undefined_column THEN END \$\$});
	},
	'table unlogged and logged' => 0.5, sub { ddl('ALTER TABLE big SET UNLOGGED', 'ALTER TABLE big SET LOGGED') },
	'replica identity changed' => 0.5, sub { ddl('ALTER TABLE o.fact REPLICA IDENTITY DEFAULT', 'ALTER TABLE o.fact REPLICA IDENTITY FULL') },
	'view refreshed' => 0.5, sub { try_sql(q{SELECT derive.refresh(view) FROM derive.views ORDER BY random() LIMIT 3}) },
	'view paused and resumed' => 0.5, sub { my $v = pick('v.agg_int', 'v.bag_rows', 'big_rows'); ddl("SELECT derive.pause('$v')", "SELECT derive.resume('$v')") },
	'view created and dropped' => 0.5, sub { ddl(q{SELECT derive.create_view('extra', 'SELECT b.a, count(*) AS n FROM o.bag b JOIN o.dim d ON d.id = b.a GROUP BY b.a')}, q{DROP TABLE IF EXISTS extra}) },
);
push @faults, (
	'disk full, applier' => 1, sub { starve('applier', fsize => 1024 * 1024, q{INSERT INTO big SELECT i, i % 5, repeat('y', 100) FROM generate_series(1, 20000) i}) },
	'disk full, decoder' => 1, sub { starve('decoder', fsize => 1024 * 1024, q{UPDATE big SET pad = repeat('z', 110)}) },
	'disk full, log' => 0.4, sub {
		my $session = eval { $node->background_psql('postgres', on_error_stop => 0) } or return;
		eval {
			limit($session->query_safe('SELECT pg_backend_pid()'), fsize => 512 * 1024);
			$session->query(q{SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, 20)});
		};
		eval { $session->quit };
	},
	'out of memory' => 1, sub {
		my $pid = worker('applier') or return;
		my ($size) = eval { slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m } or return;
		starve('applier', as => ($size + pick(64, 512, 2048)) * 1024, 'UPDATE big SET grp = grp + 1; UPDATE o.fact SET qty = qty + 1');
	}) if $limits;
push @faults, 'disk full' => 1, \&fill_disk if defined $disk;
push @faults, 'clock set back' => 0.5, sub { set_clock(-3600 * (1 + int rand 5)); pause(1.2, 2); end_sleeps(); set_clock(0) if chance(0.5) }    # else until the round ends
  if defined $clock;

my (%what, %weight, %count);
my $total = 0;
while (my ($kind, $weight, $what) = splice @faults, 0, 3)
{
	$what{$kind} = $what;
	$weight{$kind} = $weight;
	$total += $weight;
}

# Which fault comes next: runs through all of them, each in an order of its own, which depends on nothing
# but the seed.  What a fault chooses depends on the seed and its number.
my $faults = 0;
my @order;
sub next_kind
{
	srand($seed * 100_003 + ++$faults);
	@order = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand() / $weight{$_}, $_ ] } sort keys %what if !@order;
	return shift @order;
}

# Verifies some views at their own frontier; rows found are differences.  Errors are not: a view may
# have become stale, or the server gone away.
sub verify_some
{
	my $found = '';

	foreach my $view (split /\n/, try_sql(q{SELECT view FROM derive.views WHERE state = 'live' ORDER BY random() LIMIT 2}) // '')
	{
		my ($ret, $rows) = $node->psql('postgres', qq{SET lock_timeout = '3s'; SELECT '$view', kind, difference, left("row"::text, 200) FROM derive.verify('$view') LIMIT 5});
		$found .= "$rows\n" if $ret == 0 && $rows ne '';
	}
	return $found;
}

# What an application does after a crash: ends the transactions that it had prepared.
sub end_prepared
{
	my ($age) = @_;

	try_sql("ROLLBACK PREPARED '$_'") foreach split /\n/,
	  try_sql(qq{SELECT gid FROM pg_prepared_xacts WHERE gid ~ '^load_'
			AND prepared NOT BETWEEN now() - interval '$age' AND now()}) // '';    # the clock may have been set back
	return;
}

# Ends what sleeps: pg_sleep goes by the time of day, and sleeps on for as long as that was set back.
sub end_sleeps
{
	try_sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	return;
}

# Measures what has limits; those of the workers' memory are wider while faults go on.
sub measure
{
	my ($memory) = @_;
	my $data = $node->data_dir;
	my ($bytes) = `du -sb $data/base/pgsql_tmp 2>/dev/null` =~ /^(\d+)/;
	my ($log) = `du -sm $data/pg_wal/ 2>/dev/null` =~ /^(\d+)/;
	my %now = ($memory => 0, spilled => ($bytes // 0) / 1048576, 'log files' => $log // 0);

	foreach my $role (qw(applier decoder processor))
	{
		my $pid = worker($role);
		$now{$memory} += resident_mb($pid) if $pid;
	}
	$now{'retained log'} = try_sql(q{SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) / 1048576, 0)::int
		FROM pg_replication_slots WHERE plugin = 'pg_derive'}) || 0;
	$now{partitions} = try_sql(q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'brief'::regclass}) || 0;
	foreach my $what (sort keys %now)
	{
		$most{$what} = $now{$what} if $now{$what} > ($most{$what} // 0);
	}
	return;
}

# The same for what grows slowly.
sub measure_catalog
{
	my @tables = split /\n/, $node->safe_psql('postgres', q{SELECT oid::regclass FROM pg_class
		WHERE relnamespace = 'derive_state'::regnamespace AND relkind = 'r' AND relname !~ '(_stage|_state)$' AND NOT relispartition
		AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')});
	my ($rows, $mb) = (0, 0);

	foreach my $table (@tables)
	{
		my ($n, $size) = split /\|/, $node->safe_psql('postgres', "SELECT count(*), pg_total_relation_size('$table') / 1048576.0 FROM $table");
		$rows += $n;
		$mb += $size;
	}
	$most{'catalog rows'} = $rows if $rows > $most{'catalog rows'};
	$most{'catalog MB'} = $mb if $mb > $most{'catalog MB'};
	return;
}

my $end = time + $seconds;
my $round = 0;
$ledger->start_consumers;
while (time < $end)
{
	my $load = start_load($node, seed => $seed * 100 + ++$round, seconds => $round_seconds, clients => $clients, bulk => 0,
		extra => [ Derive::Ledger::statements() ]);
	my @done;

	while (load_is_running($load))
	{
		my $kind = next_kind();
		push @done, $kind;
		diag(sprintf 'round %d, %.0f s left: %s', $round, $end - time, $kind) if $seconds > 60;
		$what{$kind}->();
		$count{$kind}++;
		next unless wait_connectable($node);
		measure('memory in flight');
		my $found = verify_some();
		is($found, '', "verified in flight after: $kind");
		end_prepared('1 s');
		pause(0, 0.4);
	}
	wait_connectable($node) or die 'the server did not come back';
	set_clock(0) if defined $clock;
	end_prepared('0 s');
	finish_load($node, $load);
	waitpid $_, 0 foreach splice @sessions;
	wait_live($node);
	wait_fresh($node);
	$node->safe_psql('postgres', 'ANALYZE');    # or a join of tables that were truncated and filled again takes minutes
	is(differences($node), '', "round $round: every view equals its query");
	$ledger->check("round $round");
	ok(poll_until(sub { !temporary_files($node) }), "round $round: no file is left") or diag(join ' ', temporary_files($node));
	measure('memory');
	measure_catalog();
	foreach my $what (sort keys %max)
	{
		cmp_ok($most{$what}, '<=', $max{$what}, "round $round: $what");
	}
	diag("round $round had: @done") if !Test::More->builder->is_passing;
}
$ledger->check_end;
$ledger->stop_consumers;

diag("faults: $faults, rounds: $round, seconds: $seconds, seed $seed");
diag(sprintf '%4d  %s', $count{$_}, $_) foreach sort keys %count;
diag("at most: " . join ', ', map { sprintf '%s %.0f%s', $_, $most{$_}, /memory|retained|files|spilled/ ? ' MB' : '' } sort keys %most);
diag("events: $ledger->{position}{events}, of a view: $ledger->{position}{balance_events}, emitted: $ledger->{position}{made}, gaps: $ledger->{gaps}");
$node->stop;

done_testing();
