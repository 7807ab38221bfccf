# Faults that 003_crash, 005_setup_errors and 009_large_transactions do not try: stopped processes,
# full disks, no memory, lost power, a clock that goes back, transactions that stay open, and a
# log that grows while nobody can follow it.

use strict;
use warnings FATAL => 'all';

use Derive::Fault;
use Derive::Node;
use Derive::Oracle;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seed = oracle_seed();
my $clock = shifted_clock();
my $node = derive_init('faults', <<'CONF', '--wal-segsize=1');
logical_decoding_work_mem = '64kB'
pg_derive.batch_memory = '1MB'
max_wal_size = '1GB'
wal_recycle = off
min_wal_size = '2MB'
CONF
{
	local $ENV{LD_PRELOAD} = $clock if defined $clock;
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
create_schema($node);
create_views($node, only => [qw(fact_rows bag_rows agg_int agg_numeric agg_float agg_all
	  bag_fact wide_rows part_rows second third dim_left ranked top_ten)]);
$node->safe_psql('postgres', q{
	CREATE TABLE big (id int PRIMARY KEY, grp int, pad text);
	ALTER TABLE big REPLICA IDENTITY FULL; -- rows are put aside, not keys
	SELECT derive.create_view('big_rows', 'SELECT id, pad FROM big');
	SELECT derive.create_view('big_groups', 'SELECT grp, count(*) AS n, sum(id) AS s FROM big GROUP BY grp');
	CREATE TABLE noise (a text);
	CREATE TABLE divisors (id int PRIMARY KEY, x int);
	SELECT derive.create_view('quotients', 'SELECT id, 100 / x AS q FROM divisors');
	CREATE DATABASE holder;});
wait_live($node);

# Changes rows of big, of some kB each.
sub write_big
{
	my ($rows) = @_;

	$node->safe_psql('postgres', "INSERT INTO big SELECT coalesce((SELECT max(id) FROM big), 0) + i, i % 7, repeat('x', 1000)
		FROM generate_series(1, $rows) i");
	return;
}

# Writes megabytes of log that no view needs.
sub write_noise
{
	my ($mb) = @_;

	$node->safe_psql('postgres', 'TRUNCATE noise; INSERT INTO noise SELECT repeat(md5(i::text), 30) FROM generate_series(1, 1000) i')
	  foreach 1 .. $mb;
	return;
}

sub log_since { my ($offset) = @_; return slurp_file($node->logfile, $offset) }

# Waits for a line of the log.
sub logged
{
	my ($offset, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return ok(poll_until(sub { log_since($offset) =~ $pattern }), $name);
}

# ---- a process that does not get on ----
foreach my $role ('applier', 'decoder', 'launcher')
{
	my $pid = $role eq 'launcher' ? launcher_pid($node) : worker_pid($node, $role);
	my $load = start_load($node, seed => $seed++, seconds => 2, clients => 2, bulk => 0);

	stop_process($pid);
	usleep(1_000_000);
	continue_process($pid);
	finish_load($node, $load);
	check_all($node, "$role stopped for a while");
}

# ---- a transaction that stays open, while others come and go ----
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; INSERT INTO big VALUES (-1, -1, 'open')});
write_big(10);
check_all($node, 'a transaction is open');
$session->query_safe('COMMIT');
$session->quit;
check_all($node, 'it has committed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM big_rows WHERE id = -1'), '1', 'and is in the view');

# ---- no disk, no memory ----
SKIP:
{
	skip 'no prlimit', 1 unless can_limit();
	my $offset = -s $node->logfile;

	# in the applier: the table of a view cannot grow; segments of the log are no larger than that
	write_big(2000);
	wait_fresh($node);
	my $applier = worker_pid($node, 'applier');
	limit($applier, fsize => 1024 * 1024);
	write_big(50);
	logged($offset, qr/derived view "big_rows" failed: could not extend file/, 'disk full in a view: it is failed');
	is($node->safe_psql('postgres', q{SELECT state FROM derive.views WHERE view = 'quotients'::regclass}), 'live',
		'the others go on');
	limit($applier, fsize => undef);
	check_all($node, 'after a full disk in the applier');

	# in the decoder: a transaction in progress cannot be put aside
	$offset = -s $node->logfile;
	my $decoder = worker_pid($node, 'decoder');
	limit($decoder, fsize => 1024 * 1024);
	write_big(3000);
	logged($offset, qr/(could not write|No space left|File too large)/, 'disk full in a spool is logged');
	check_all($node, 'after a full disk in the decoder');
	isnt(worker_pid($node, 'decoder'), $decoder, 'with another decoder');

	# in the log itself: the server stops and starts again
	$offset = -s $node->logfile;
	$session = $node->background_psql('postgres', on_error_stop => 0);
	limit($session->query_safe('SELECT pg_backend_pid()'), fsize => 512 * 1024);
	$session->query_until(qr/started/, qq{\\echo started
		SELECT pg_logical_emit_message(false, 'noise', repeat('y', 1000000)) FROM generate_series(1, 100);\n});
	logged($offset, qr/PANIC:  could not write to (log )?file/, 'disk full in the log stops the server');
	eval { $session->quit };
	wait_connectable($node) or die 'the server did not come back';
	check_all($node, 'after a full disk in the log');

	# memory
	$offset = -s $node->logfile;
	$applier = worker_pid($node, 'applier');
	my ($size) = slurp_file("/proc/$applier/status") =~ /^VmSize:\s+(\d+)/m;
	limit($applier, as => ($size + 1024) * 1024);
	$node->safe_psql('postgres', q{UPDATE big SET grp = grp + 1; UPDATE o.fact SET qty = qty + 1});
	logged($offset, qr/out of memory/, 'no memory in a tick is logged');
	limit($applier, as => undef);
	poll_until(		# a tick that began without memory may end later
		sub {
			$node->safe_psql('postgres', q{SELECT derive.refresh(view) FROM derive.views WHERE state = 'failed'});
			$node->safe_psql('postgres', q{SELECT bool_and(state = 'live') FROM derive.views}) eq 't';
		});
	check_all($node, 'after a tick without memory');
}

# ---- lost power ----
foreach my $i (1 .. 2)
{
	my $load = start_load($node, seed => $seed++, seconds => 3, clients => 3);

	usleep(1_000_000 + int rand 1_000_000);
	my $copy = power_loss($node, "lost_$i");
	finish_load($node, $load);
	$copy->start;
	foreach my $gid (split /\n/, $copy->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$copy->safe_psql('postgres', "COMMIT PREPARED '$gid'");
	}
	check_all($copy, "what the disk held at a random moment, $i");
	unlike(slurp_file($copy->logfile), qr/derived views are stale/, 'went on from its frontier');
	$copy->stop('immediate');
}
check_all($node, 'and the server itself');

# ---- files of a decoder that was killed in the middle of a large transaction ----
$session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; INSERT INTO big SELECT 2000000 + i, 1, repeat('z', 1000) FROM generate_series(1, 3000) i});
ok(poll_until(sub { scalar temporary_files($node) }), 'a large transaction in progress is spooled');
kill_process('KILL', worker_pid($node, 'decoder'));
eval { $session->quit };
wait_connectable($node) or die 'the server did not come back';
check_all($node, 'a decoder killed while it spooled');
is(join(' ', temporary_files($node)), '', 'no file is left');

# ---- the clock goes back ----
SKIP:
{
	skip 'no compiler', 1 unless defined $clock;
	set_clock(-7200);
	is($node->safe_psql('postgres', q{SELECT clock_timestamp() < pg_postmaster_start_time()}), 't', 'two hours back');
	my $load = start_load($node, seed => $seed++, seconds => 2, clients => 2, bulk => 0, slow => 0);
	usleep(500_000);
	ok(eval { wait_fresh($node, undef, 20); 1 }, 'views are fresh within seconds') or diag($@);
	finish_load($node, $load);
	is($node->safe_psql('postgres', q{SELECT lag >= '0' FROM derive.pipelines}), 't', 'the lag is not negative');
	set_clock(0);
	$node->safe_psql('postgres', 'INSERT INTO divisors VALUES (1, 0)');
	ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT state FROM derive.views WHERE view = 'quotients'::regclass}) eq 'failed' }),
		'a view fails');
	set_clock(-7200);
	$node->safe_psql('postgres', 'UPDATE divisors SET x = 5');
	ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT state FROM derive.views WHERE view = 'quotients'::regclass}) eq 'live' }),
		'and is tried again in spite of the clock');
	kill_process('TERM', worker_pid($node, 'applier'));
	check_all($node, 'the clock went back');
	set_clock(0);
	check_all($node, 'and forth');

	# Events of two hours ago behind younger ones: retention takes nothing out of the middle.
	$node->safe_psql('postgres', q{
		CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
		SELECT derive.create_outbox('order_events', 'orders', retain => '16 s')});
	my $insert = 'INSERT INTO orders DEFAULT VALUES; SELECT derive.wait()';
	my $tick = 'UPDATE divisors SET x = x; SELECT derive.wait()';    # brings no event
	my $whole = q{SELECT (SELECT count(*) FROM order_events) = position - first + 1 FROM derive.outboxes WHERE outbox = 'order_events'::regclass};
	my $parts = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'order_events'::regclass};
	my $holes = 0;
	ok(poll_until(sub { $node->safe_psql('postgres', $insert); $node->safe_psql('postgres', $parts) > 1 }), 'a partition is closed');
	set_clock(-7200);
	$node->safe_psql('postgres', $insert);
	set_clock(0);
	ok(poll_until(sub { $node->safe_psql('postgres', $tick); $node->safe_psql('postgres', $parts) > 2 }), 'and one that ends with an old event');
	ok(poll_until(sub {
			$node->safe_psql('postgres', $tick);
			$holes++ if $node->safe_psql('postgres', $whole) ne 't';
			$node->safe_psql('postgres', q{SELECT first > 1 FROM derive.outboxes WHERE outbox = 'order_events'::regclass}) eq 't' }), 'retention goes on');
	is($holes, 0, 'from the oldest on');
	$node->safe_psql('postgres', 'DROP TABLE orders CASCADE');
}

# ---- the slot is gone and there is no other ----
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('s' || i) FROM generate_series(1, 9) i});
my $slot = pipeline($node, 'slot_name');
ok(poll_until(sub {
			$node->psql('postgres', 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active');
			my ($ret) = $node->psql('postgres', "SELECT pg_drop_replication_slot('$slot'); SELECT pg_create_physical_replication_slot('s10')");
			return $ret == 0;
		}), 'all slots are taken by others');
ok(poll_until(sub { pipeline($node, 'reason') =~ /max_replication_slots|replication slots are in use/ }), 'the pipeline says so');
like($node->safe_psql('postgres', q{SELECT DISTINCT state || ': ' || reason FROM derive.views}),
	qr/^stale: the replication slot was missing$/, 'views say why they are stale');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('s' || i) FROM generate_series(1, 10) i});
check_all($node, 'a slot is free again');

# ---- the log is bounded ----
$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_derive.max_retained_wal = '64MB'});
$node->reload;

# What slots of pipelines retain, in MB.
sub retained
{
	return $node->safe_psql('postgres', q{SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) / 1048576, 0)::int
		FROM pg_replication_slots WHERE plugin = 'pg_derive'});
}

# by a transaction that stays open
$node->safe_psql('holder', q{BEGIN; CREATE TABLE h (); PREPARE TRANSACTION 'holder'});
write_noise(70);
ok(poll_until(sub {
			$node->safe_psql('postgres', q{SELECT DISTINCT state || ': ' || reason FROM derive.views}) =~
			  /^stale: more log than pg_derive.max_retained_wal \(64 MB\) was retained$/;
		}), 'a transaction stays open: views say that their log was given up');
write_noise(100);
ok(poll_until(sub { write_noise(1); retained() < 70 }), 'waiting for it retains no more than is allowed either')
  or diag(retained());
$node->safe_psql('holder', q{ROLLBACK PREPARED 'holder'});
check_all($node, 'repaired after the transaction has ended');

# by an applier that does not read
my $applier = worker_pid($node, 'applier');
stop_process($applier);
write_big(20000);
write_noise(80);
ok(poll_until(sub { write_noise(1); retained() < 70 }), 'an applier hangs: its slot is given up') or diag(retained());
continue_process($applier);
check_all($node, 'repaired after the applier has come back');
like(slurp_file($node->logfile), qr/retained more than pg_derive.max_retained_wal/, 'the log says so');

# by a view that stays locked: only this one is given up.  (A lock that keeps readers of a source out
# belongs to a transaction that itself retains the log.)
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE quotients IN SHARE MODE');
$node->safe_psql('postgres', 'UPDATE big SET grp = 3 WHERE id < 100');
$node->safe_psql('postgres', "SELECT derive.wait(timeout => '60 s', view => 'big_groups')");
ok(poll_until(sub {
			write_noise(2);
			$node->safe_psql('postgres', q{UPDATE big SET grp = grp + 1 WHERE id = 5});
			$node->safe_psql('postgres', q{SELECT state || ': ' || reason FROM derive.views WHERE view = 'quotients'::regclass}) =~
			  /^stale: a source stayed locked/;
		}), 'a locked view is given up')
  or diag($node->safe_psql('postgres', 'SELECT view, state, reason FROM derive.views'));
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.views WHERE state <> 'live'}), '1', 'and no other');
$session->query_safe('COMMIT');
$session->quit;
check_all($node, 'the lock is gone');

# Paused and failed views hold nothing back.
my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{SELECT derive.pause('big_rows'); INSERT INTO divisors VALUES (7, 0)});
write_noise(120);
ok(poll_until(sub { write_noise(1); retained() < 30 }), 'paused and failed views retain nothing')
  or diag(retained());
unlike(log_since($offset), qr/given up/, 'and no slot was given up for them');
$node->safe_psql('postgres', q{SELECT derive.resume('big_rows'); DELETE FROM divisors WHERE id = 7; SELECT derive.refresh('quotients')});
check_all($node, 'all is live again');

# Where no worker runs, the launcher looks after the slot.
$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 0");
$node->restart;
write_noise(80);
ok(poll_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE plugin = 'pg_derive'}) eq '0' }),
	'a slot that nobody reads is given up');
$node->append_conf('postgresql.conf', "max_worker_processes = 24\nmax_logical_replication_workers = 4");
$node->restart;
check_all($node, 'workers run again');
$node->stop;

done_testing();
