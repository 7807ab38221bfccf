# Exactly once, whoever dies: several sessions write to a table with an outbox, two consumers of one
# name and one of another handle its events, and 24 times somebody is killed: applier, decoder,
# a consumer's session, a consumer's program, the whole server.  At the end the outbox is what a
# trigger has written down, and each consumer has handled each event once, as it stands.
#
# DERIVE_SEED chooses who is killed and what is written; DERIVE_KILLS how often.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Derive::Node;
use Derive::Outbox;

my $seed = $ENV{DERIVE_SEED} // int(rand(1_000_000));
my $kills = $ENV{DERIVE_KILLS} // 24;
note("DERIVE_SEED=$seed");
srand($seed);

my $node = derive_init('kills', "fsync = on\nlogical_decoding_work_mem = 64kB\nrestart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_derive');
audited_table($node, 'accounts');
create_audited_outbox($node, 'events', 'accounts');
$node->safe_psql('postgres', q{
	SELECT derive.create_outbox('locked', 'accounts', filter => 'op <> ''delete''');
	SELECT derive.create_view('per_digit', 'SELECT id % 10 AS d, count(*) AS n FROM accounts GROUP BY id % 10');
	SELECT derive.create_consumer('events', 'shared');
	SELECT derive.create_consumer('events', 'alone');
	CREATE TABLE handled (consumer text, position bigint, id uuid, content text);
});

# Writers: short transactions that change some rows, one in eight is rolled back, one in twenty large.
my $write = $node->basedir . '/write.sql';
append_to_file($write, q{
SELECT set_config('w.k', (random() * 40)::int::text, false), set_config('w.d', (random() * 7)::int::text, false);
BEGIN;
INSERT INTO accounts SELECT (random() * 500)::int, 0, repeat('x', 20) FROM generate_series(1, 3) ON CONFLICT DO NOTHING;
UPDATE accounts SET v = v + 1 WHERE id % 50 = current_setting('w.k')::int;
DELETE FROM accounts WHERE id % 97 = current_setting('w.k')::int;
SAVEPOINT s;
UPDATE accounts SET v = -1 WHERE id < 20;
ROLLBACK TO s;
UPDATE accounts SET v = v + 100 WHERE current_setting('w.k') IN ('3', '4');
DO $$ BEGIN IF current_setting('w.d') = '0' THEN RAISE 'undone'; END IF; END $$;
COMMIT;
});

# Consumers: what they do and that they have done it commit together.
sub consume
{
	my ($name) = @_;
	return qq{
DO \$\$
DECLARE
	e record;
	last bigint;
	held bigint;
BEGIN
	FOR e IN SELECT * FROM derive.fetch('events', '$name', 20, '300 ms', '500 ms') LOOP
		INSERT INTO handled VALUES ('$name', e.position, e.id, md5(e.type || e.payload::text || e.headers::text));
		last := e.position;
		held := e.token;
	END LOOP;
	IF last IS NOT NULL THEN
		PERFORM derive.ack('events', '$name', last, held);
	END IF;
END \$\$;
};
}

my $stop = $node->basedir . '/stop';
my @children;

# Runs a script again and again, whatever comes of it, until told to stop.  The program's process
# id is in a file.
sub run_on
{
	my ($name, $file, $number) = @_;
	my $pid = fork() // die 'fork';

	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		$ENV{PGAPPNAME} = $name;
		while (!-e $stop)
		{
			my $program = fork() // die 'fork';
			exec 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-f', $file if $program == 0;
			open my $note, '>', $node->basedir . "/$name.$number.pid";
			print $note $program;
			close $note;
			waitpid $program, 0;
			usleep(5_000);
		}
		require POSIX;
		POSIX::_exit(0);
	}
	push @children, $pid;
	return;
}

foreach my $name ('shared', 'alone')
{
	append_to_file($node->basedir . "/$name.sql", consume($name) x 10);
}
run_on('writer', $write, $_) foreach 1 .. 3;
run_on('shared', $node->basedir . '/shared.sql', $_) foreach 1 .. 2;
run_on('alone', $node->basedir . '/alone.sql', 1);

# Waits until events have been written since the last look.
my $seen = 0;

sub await_events
{
	ok(poll_until(sub {
		my ($ret, $out) = $node->psql('postgres', q{SELECT position FROM derive.outboxes WHERE outbox = 'events'::regclass});
		return 0 if $ret != 0 || $out !~ /^\d+$/ || $out < $seen + 5;
		$seen = $out;
		return 1;
	}), "events are written: $seen");
	return;
}

# A process of the server, or undef.
sub backend
{
	my ($condition) = @_;
	my ($ret, $out) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $condition ORDER BY random() LIMIT 1");

	return defined $out && $out =~ /^(\d+)$/ ? $1 : undef;
}

my @victims = ('applier', 'decoder', 'session', 'program');
foreach my $k (1 .. $kills)
{
	await_events();
	usleep(int(rand(300_000)));
	my $victim = $k % 8 == 0 ? 'server' : $victims[ int(rand(@victims)) ];
	my $signal = rand() < 0.6 ? 'TERM' : 'KILL';
	note("kill $k: $victim $signal");
	if ($victim eq 'server')
	{
		$node->stop('immediate');
		$node->start;
	}
	elsif ($victim eq 'program')
	{
		kill 'KILL', slurp_file($node->basedir . '/shared.' . (1 + int(rand(2))) . '.pid');
	}
	else
	{
		my $pid = backend($victim eq 'session' ? "application_name IN ('shared', 'alone')" : "backend_type = 'pg_derive $victim'");
		kill $signal, $pid if defined $pid;
	}
	wait_connectable($node);
}
await_events();
append_to_file($stop, '');
waitpid $_, 0 foreach @children;

wait_live($node);
wait_fresh($node);
check_outbox($node, 'events', 'accounts', 'at the end');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (
		(SELECT type, payload->>'id', payload->>'v' FROM locked EXCEPT ALL
		 SELECT type, payload->'new'->>'id', payload->'new'->>'v' FROM events WHERE type <> 'delete')
		UNION ALL
		(SELECT type, payload->'new'->>'id', payload->'new'->>'v' FROM events WHERE type <> 'delete' EXCEPT ALL
		 SELECT type, payload->>'id', payload->>'v' FROM locked)) x}), '0', 'a second outbox has the same');

# Consumers go on to the end.
foreach my $name ('shared', 'alone')
{
	poll_until(sub {
		$node->psql('postgres', consume($name));
		return $node->safe_psql('postgres', "SELECT lag FROM derive.consumers WHERE consumer = '$name'") eq '0' });
	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM (
			(SELECT position, id, content FROM handled WHERE consumer = '$name' EXCEPT ALL
			 SELECT position, id, md5(type || payload::text || headers::text) FROM events)
			UNION ALL
			(SELECT position, id, md5(type || payload::text || headers::text) FROM events EXCEPT ALL
			 SELECT position, id, content FROM handled WHERE consumer = '$name')) x}), '0',
		"consumer $name has handled each event once, as it stands");
}
note($node->safe_psql('postgres', q{SELECT count(*) || ' events' FROM events}));
done_testing();
