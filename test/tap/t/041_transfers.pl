# The example of docs/processors.md: a request to transfer money becomes a debit and a credit in two tables.
#
# Clients ask again and again, as those do that have lost a connection, while workers and the server are
# killed, at random and at every named step.  However it went: no money came or went, each request had its
# effect exactly once and in order, and what cannot be done is parked.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Derive::Node;

my $seed = $ENV{DERIVE_SEED} // 1 + int rand 1_000_000;
note("DERIVE_SEED=$seed");
srand($seed);

my $node = derive_node('transfers');

# The statements are those that the page shows.
my $page = slurp_file(dirname(__FILE__) . '/../../../docs/processors.md');
my ($example) = $page =~ /<!-- example: transfers -->\s*```sql\n(.*?)```/s;
ok($example, 'the page has the example');
$node->safe_psql('postgres', $example);

# What happened, told by the handler's own writes: a row for each effect, in order.
$node->safe_psql('postgres', q{
	INSERT INTO checking SELECT i, 1000000 FROM generate_series(1, 12) i;
	INSERT INTO savings SELECT i, 0 FROM generate_series(1, 12) i;
	CREATE TABLE effects (number bigserial, tablename text, owner int, change numeric, request text);
	CREATE FUNCTION note_effect() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effects (tablename, owner, change, request)
			VALUES (TG_TABLE_NAME, NEW.owner, NEW.balance - OLD.balance, current_setting('pg_derive.request_id'));
		RETURN NULL;
	END $$;
	CREATE TRIGGER note_effect AFTER UPDATE ON checking FOR EACH ROW EXECUTE FUNCTION note_effect();
	CREATE TRIGGER note_effect AFTER UPDATE ON savings FOR EACH ROW EXECUTE FUNCTION note_effect();
	-- A processor that would show it if an event came twice, or not at all.
	CREATE TABLE calls (number bigserial, id bigint);
	CREATE FUNCTION call(op text, old transfers, new transfers, headers jsonb) RETURNS void LANGUAGE sql
		AS $$ INSERT INTO public.calls (id) VALUES ((new).id) $$;
	-- It comes before the other, which would not show it, so that it is what a kill at a step meets.
	SELECT derive.drop_processor('transfers');
	SELECT derive.create_processor('calls', 'transfers', 'call(text, transfers, transfers, jsonb)');
	SELECT derive.create_view('total', 'SELECT sum(balance) AS money FROM (SELECT balance FROM checking UNION ALL SELECT balance FROM savings) b');
	SELECT derive.create_outbox('savings_events', 'savings');
	-- Asks n times for owners of its own; some ask again, some for more than there is.
	CREATE PROCEDURE ask(client int, n int, seed int) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM setseed(seed / 10000000.0);
		FOR i IN 1 .. n LOOP
			IF random() < 0.3 THEN
				INSERT INTO transfers (request, owner, amount)
					SELECT request, owner, amount FROM (SELECT * FROM transfers WHERE (owner - 1) % 3 = client ORDER BY id DESC LIMIT 5) t
					ORDER BY random() LIMIT 1;
			ELSE
				INSERT INTO transfers (request, owner, amount)
					VALUES (gen_random_uuid(), 1 + client + 3 * floor(random() * 3)::int,
						CASE WHEN random() < 0.03 THEN 5000000 ELSE 1 + floor(random() * 100) END);
			END IF;
			COMMIT;
		END LOOP;
	END $$;});

$node->safe_psql('postgres', $1) if $example =~ /(SELECT derive\.create_processor.*?;)/s;

# Starts clients; returns what finish needs.
sub ask
{
	my ($n) = @_;
	my @clients;

	foreach my $client (0 .. 2)
	{
		my $out = '';
		my $s = int rand 1_000_000;
		push @clients,
		  IPC::Run::start(
			[ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', "CALL ask($client, $n, $s)" ],
			'<', \undef, '>', \$out, '2>', \my $err);
	}
	return \@clients;
}

sub finish
{
	my ($clients) = @_;

	# a client whose server was killed has failed, which is no concern of ours
	foreach my $client (@$clients)
	{
		eval { IPC::Run::finish($client) };
	}
	return;
}

sub drained
{
	return poll_until(
		sub {
			wait_fresh($node);
			return $node->safe_psql('postgres',
				q{SELECT bool_and(lag = 0 AND retried = 0 AND state = 'running') FROM derive.processors}) eq 't';
		}, 120);
}

# Everything that has to be so when there is nothing left to do; '' if it is.
sub wrong
{
	drained() or return 'not drained: ' . $node->safe_psql('postgres', 'SELECT p FROM derive.processors p');
	wait_live($node);
	wait_fresh($node);
	return $node->safe_psql('postgres', q{
		WITH wanted AS (SELECT request::text, min(owner) AS owner, min(amount) AS amount, min(id) AS id FROM transfers
				WHERE amount < 5000000 GROUP BY request),
			debits AS (SELECT request, owner, change, number FROM effects WHERE tablename = 'checking'),
			credits AS (SELECT request, owner, change, number FROM effects WHERE tablename = 'savings')
		SELECT 'the sum is ' || money FROM total WHERE money <> 12000000
		UNION ALL SELECT 'the view is not its query' FROM total
			WHERE money <> (SELECT sum(balance) FROM (SELECT balance FROM checking UNION ALL SELECT balance FROM savings) b)
		UNION ALL SELECT 'calls differ: ' || count(*) FROM
			(SELECT id FROM transfers EXCEPT ALL SELECT id FROM calls
			UNION ALL (SELECT id FROM calls EXCEPT ALL SELECT id FROM transfers)) d HAVING count(*) > 0
		UNION ALL SELECT 'calls not in order: ' || count(*) FROM (SELECT t.id < lag(t.id) OVER (PARTITION BY t.owner ORDER BY c.number) AS bad
			FROM calls c JOIN transfers t USING (id)) o WHERE bad HAVING count(*) > 0
		UNION ALL SELECT 'debits differ: ' || count(*) FROM
			(SELECT request, owner, -amount FROM wanted EXCEPT ALL SELECT request, owner, change FROM debits
			UNION ALL (SELECT request, owner, change FROM debits EXCEPT ALL SELECT request, owner, -amount FROM wanted)) d HAVING count(*) > 0
		UNION ALL SELECT 'credits differ: ' || count(*) FROM
			(SELECT request, owner, amount FROM wanted EXCEPT ALL SELECT request, owner, change FROM credits
			UNION ALL (SELECT request, owner, change FROM credits EXCEPT ALL SELECT request, owner, amount FROM wanted)) d HAVING count(*) > 0
		UNION ALL SELECT 'not in order: ' || count(*) FROM (SELECT w.id < lag(w.id) OVER (PARTITION BY d.owner ORDER BY d.number) AS bad
			FROM debits d JOIN wanted w USING (request)) o WHERE bad HAVING count(*) > 0
		UNION ALL SELECT 'requests differ: ' || count(*) FROM
			(SELECT request FROM wanted EXCEPT ALL SELECT id::text FROM derive.requests WHERE done_at IS NOT NULL
			UNION ALL (SELECT id::text FROM derive.requests EXCEPT ALL SELECT request FROM wanted)) d HAVING count(*) > 0
		UNION ALL SELECT 'parked differ: ' || count(*) FROM
			(SELECT owner::text FROM transfers WHERE amount >= 5000000 EXCEPT ALL SELECT key FROM derive.parked
			UNION ALL (SELECT key FROM derive.parked EXCEPT ALL SELECT owner::text FROM transfers WHERE amount >= 5000000)) d HAVING count(*) > 0
		UNION ALL SELECT 'events differ: ' || count(*) FROM
			(SELECT request, owner::text FROM wanted EXCEPT ALL SELECT headers->>'request_id', aggregateid FROM savings_events WHERE type = 'update'
			UNION ALL (SELECT headers->>'request_id', aggregateid FROM savings_events WHERE type = 'update' EXCEPT ALL SELECT request, owner::text FROM wanted)) d HAVING count(*) > 0});
}

finish(ask(100));
is(wrong(), '', 'without any kills');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT request) FROM transfers'), '>', 30, 'there were duplicates');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM derive.parked'), '>', 0, 'and some that could not be done');

# Part 1: at random.
foreach my $victim ([ 'processor', 'TERM' ], [ 'processor', 'KILL' ], [ 'applier', 'TERM' ], [ 'decoder', 'TERM' ],
	[ 'applier', 'KILL' ], [ 'decoder', 'KILL' ], [ 'processor', 'KILL' ], [ 'postmaster', 'immediate' ])
{
	my ($who, $how) = @$victim;
	my $clients = ask(400);

	usleep(200_000 + int rand 1_000_000);
	if ($who eq 'postmaster')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		kill_process($how, worker_pid($node, $who));
	}
	finish($clients);
	wait_connectable($node) or die 'the server did not come back';
	is(wrong(), '', "after $who $how");
}

# Part 2: at every step that this meets.
my @steps = grep { /^(processor|tick-(start|snapshot|drained|view|published|frontier|commit|confirm)|decoder-(commit|confirm))/ }
  split /\n/, $node->safe_psql('postgres', 'SELECT * FROM derive_state.debug_steps()');
cmp_ok(scalar(grep { /^processor/ } @steps), '>=', 6, 'steps: ' . join ' ', @steps);
foreach my $step (@steps)
{
	my $offset = -s $node->logfile;

	set_debug_step($node, "$step:kill");
	my $died = poll_until(
		sub {
			finish(ask(10));
			# one that fails, and a worker that starts
			$node->psql('postgres', q{INSERT INTO transfers (request, owner, amount) VALUES (gen_random_uuid(), 3, 5000000)});
			$node->psql('postgres', 'SELECT pg_terminate_backend(processor_pid) FROM derive.pipelines') if $step eq 'processor-start';
			return slurp_file($node->logfile, $offset) =~ /was terminated by signal 9/;
		});
	set_debug_step($node, undef);
	ok($died, "$step: a worker died there");
	wait_connectable($node) or die "the server did not come back from $step";
	is(wrong(), '', "$step: all is well");
}

# An error at a step of the processor's, too, is not the handler's; it comes again.
foreach my $step (grep { /^processor-(acked|committed|fetched)/ } @steps)
{
	my $offset = -s $node->logfile;

	set_debug_step($node, "$step:error");
	my $met = poll_until(
		sub {
			finish(ask(10));
			return slurp_file($node->logfile, $offset) =~ /stopped at step "$step"/;
		});
	set_debug_step($node, undef);
	ok($met, "$step: an error was thrown there");
	is(wrong(), '', "$step: all is well after the error");
}

# What was parked can be done when there is money.
$node->safe_psql('postgres', q{
	UPDATE checking SET balance = balance + 1000000000;
	DELETE FROM effects WHERE change = 1000000000;
	SELECT derive.replay(outbox, consumer, position) FROM derive.parked});
drained() or die 'not drained';
is($node->safe_psql('postgres', q{SELECT count(*) FROM derive.parked}), '0', 'nothing is parked any more');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM (SELECT balance FROM checking UNION ALL SELECT balance FROM savings) b}),
	'12012000000', 'and the money is there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM effects WHERE change = 5000000}),
	$node->safe_psql('postgres', q{SELECT count(DISTINCT request) FROM transfers WHERE amount = 5000000}), 'each request once');

done_testing();
