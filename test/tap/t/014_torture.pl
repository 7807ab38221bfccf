# Torture: faults of all kinds at random, under eight writing clients, and every view exact whenever
# it is looked at, without a manual step.
#
# DERIVE_SEED fixes which faults happen in which order (1), DERIVE_SECONDS for how long (40); "make
# torture" makes longer runs.  A round is some seconds of load with a fault every second or so, after
# each of which some views are verified in flight; at its end all views are compared with their
# queries.  Memory and retained log are looked at after every round.

use strict;
use warnings FATAL => 'all';

use Derive::Fault;
use Derive::Node;
use Derive::Oracle;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seed = $ENV{DERIVE_SEED} // 1;
my $seconds = $ENV{DERIVE_SECONDS} // 40;
my $round_seconds = $seconds < 120 ? 15 : 20;
my $clients = 8;
my $max_retained = 192;    # MB
my $clock = shifted_clock();
my $limits = can_limit();
my $node = derive_init('torture', <<"CONF", '--wal-segsize=1');
logical_decoding_work_mem = '1MB'
pg_derive.batch_memory = '2MB'
pg_derive.max_retained_wal = '${max_retained}MB'
max_wal_size = '512MB'
wal_recycle = off
log_min_messages = log
CONF

# The server, started with a clock that can be shifted.
sub start
{
	local $ENV{LD_PRELOAD} = $clock if defined $clock;
	$node->start;
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
	CREATE DATABASE holder;});
wait_live($node);
check_all($node, 'first build');

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

sub noise
{
	my ($mb) = @_;

	try_sql("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, $mb)");
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
	my $wrong = join '', map { my $d = difference($copy, $_); $d eq '' ? '' : "$_: $d\n" } view_names($copy);
	is($wrong, '', "$name: every view equals its query");
	$copy->stop('immediate');
	PostgreSQL::Test::Utils::system_log('rm', '-rf', $copy->data_dir);
	return;
}

my @steps = split /\n/, $node->safe_psql('postgres', 'SELECT * FROM derive_state.debug_steps()');

# Kind => weight, what.
my @faults = (
	'worker SIGTERM' => 3, sub { signal('TERM', qw(applier decoder launcher)) },
	'worker SIGKILL' => 1.5, sub { signal('KILL', qw(applier decoder launcher)) },
	'applier SIGSTOP' => 1, sub { freeze('applier') },
	'decoder SIGSTOP' => 1, sub { freeze('decoder') },
	'launcher SIGSTOP' => 0.5, sub { freeze('launcher') },
	'client backend SIGTERM' => 1, sub {
		try_sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'
			AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2});
	},
	'server process SIGKILL' => 1, sub {
		my $pid = try_sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type <> 'client backend' ORDER BY random() LIMIT 1});
		kill 'KILL', $pid if defined $pid && $pid =~ /^\d+$/;
	},
	'immediate shutdown' => 1, sub { $node->stop('immediate'); start() },
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
			noise(5); try_sql('CHECKPOINT'); continue_process($pid) if $pid });
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
	'transaction stays open' => 0.5, sub {
		my $pid = fork() // die $!;
		if ($pid == 0)
		{
			open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null';
			exec 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', 'BEGIN', '-c', 'INSERT INTO big VALUES (1, 1, NULL)', '-c', 'SELECT pg_sleep(3)', '-c', 'COMMIT';
		}
		return $pid;
	},
	'forgotten prepared transaction' => 0.5, sub {
		try_sql(q{BEGIN; CREATE TABLE h (); PREPARE TRANSACTION 'holder'}, 'holder');
		signal('TERM', 'applier') if chance(0.5);
		pause(0.5, 2);
		poll_until(sub { my ($ret) = $node->psql('holder', q{ROLLBACK PREPARED 'holder'});
			$ret == 0 || try_sql(q{SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'holder'}) eq '0' });
	},
	'synchronous replication stuck' => 0.5, sub { with_setting('synchronous_standby_names', "'nobody'", sub { pause(0.3, 1) }) },
	'source locked' => 1, sub { try_sql('BEGIN; LOCK TABLE ' . pick('o.fact', 'o.bag', 'o.part', 'big') . '; SELECT pg_sleep(0.7); COMMIT') },
	'large transaction' => 0.7, sub {
		try_sql(pick(
			q{INSERT INTO big SELECT i, i % 9, repeat('x', 100) FROM generate_series(1, 30000) i},
			q{UPDATE big SET grp = (grp + 1) % 9},
			q{BEGIN; UPDATE big SET grp = 3; ROLLBACK},
			q{DELETE FROM big WHERE id % 2 = 0}, q{TRUNCATE big}));
	},
	'columns added and dropped' => 1, sub {
		my $table = pick('o.fact', 'o.bag', 'o.dim', 'o.part', 'big');
		ddl("ALTER TABLE $table ADD COLUMN extra " . pick('int', 'int DEFAULT 7', 'float8 DEFAULT random()'), "ALTER TABLE $table DROP COLUMN IF EXISTS extra");
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
push @faults, 'clock set back' => 0.5, sub { set_clock(-3600 * (1 + int rand 5)); pause(0.5, 1.5); set_clock(0) if chance(0.5) }
  if defined $clock;

my (%what, %weight, %count);
my $total = 0;
while (my ($kind, $weight, $what) = splice @faults, 0, 3)
{
	$what{$kind} = $what;
	$weight{$kind} = $weight;
	$total += $weight;
}

# A kind at random; the first runs through all of them come in a random order.
my @order;
sub next_kind
{
	if (!@order)
	{
		@order = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand() / $weight{$_}, $_ ] } sort keys %what;
	}
	return shift @order;
}

# Verifies some views at their own frontier; rows found are differences.  Errors are not: a view may
# have become stale, or the server gone away.
sub verify_some
{
	my $found = '';

	foreach my $view (split /\n/, try_sql(q{SELECT view FROM derive.views WHERE state = 'live' ORDER BY random() LIMIT 3}) // '')
	{
		my ($ret, $rows) = $node->psql('postgres', qq{SELECT '$view', kind, difference, left("row"::text, 200) FROM derive.verify('$view') LIMIT 5});
		$found .= "$rows\n" if $ret == 0 && $rows ne '';
	}
	return $found;
}

# What an application does after a crash: ends the transactions that it had prepared.
sub end_prepared
{
	my ($age) = @_;

	try_sql("ROLLBACK PREPARED '$_'") foreach split /\n/,
	  try_sql(qq{SELECT gid FROM pg_prepared_xacts WHERE gid ~ '^load_' AND prepared < now() - interval '$age'}) // '';
	return;
}

sub retained_mb
{
	return $node->safe_psql('postgres', q{SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) / 1048576, 0)::int
		FROM pg_replication_slots WHERE plugin = 'pg_derive'});
}

my $end = time + $seconds;
my $round = 0;
my $faults = 0;
while (time < $end)
{
	my $load = start_load($node, seed => $seed * 100 + ++$round, seconds => $round_seconds, clients => $clients, bulk => 0);
	my @done;

	while (load_is_running($load))
	{
		my $kind = next_kind();
		push @done, $kind;
		diag(sprintf 'round %d, %.0f s left: %s', $round, $end - time, $kind) if $seconds > 60;
		$what{$kind}->();
		$count{$kind}++;
		$faults++;
		next unless wait_connectable($node);
		my $found = verify_some();
		is($found, '', "verified in flight after: $kind");
		end_prepared('1 s');
		pause(0.1, 0.8);
	}
	wait_connectable($node) or die 'the server did not come back';
	end_prepared('0 s');
	finish_load($node, $load);
	1 while waitpid(-1, 0) > 0;
	check_all($node, "round $round (@done)");
	is(join(' ', temporary_files($node)), '', "round $round: no file is left")
	  if poll_until(sub { !temporary_files($node) }, 30) // 1;
	my $mb = resident_mb(worker_pid($node, 'applier')) + resident_mb(worker_pid($node, 'decoder'));
	cmp_ok($mb, '<', 200, sprintf "round %d: the workers take %.0f MB", $round, $mb);
	cmp_ok(retained_mb(), '<', $max_retained + 32, "round $round: the log that is retained is bounded");
}

diag("faults: $faults, seed $seed");
diag(sprintf '%4d  %s', $count{$_}, $_) foreach sort keys %count;
$node->stop;

done_testing();
