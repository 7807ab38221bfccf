# Derive::Ledger: outboxes, their consumers and a processor under load, compared with an independent record.
#
#   my $ledger = Derive::Ledger->new($node);   # tables, outboxes, consumers, a processor
#   start_load($node, ..., extra => [ Derive::Ledger::statements() ]);
#   $ledger->start_consumers;                  # they go on until stop_consumers, whatever happens
#   $ledger->check('round 3');                 # nobody writes; compares what came since the last check
#   $ledger->check_copy($copy, 'power loss');  # the same in a copy of the server
#
# The record of table "accounts" is made by a trigger, within the writers' transactions, and so is
# that of what is emitted.  It is compared with four things: an outbox over the table, what a processor
# was called for, an outbox of what is emitted, and a second outbox that soon forgets.  Of one key
# the record has the order, too, since the writers wait for each other's rows.  What the record has
# and the outbox has not is right only where a gap lies between the events of that key before and
# after it; and there are gaps only if the server's log says that the slot was lost.  An outbox over
# a view loses nothing ever: of each group, what one event calls new the next one calls old.

package Derive::Ledger;

use strict;
use warnings FATAL => 'all';

use Derive::Node;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $setup = q{
	CREATE TABLE accounts (id int PRIMARY KEY, v int NOT NULL, note text);
	CREATE TABLE ledger (n bigserial PRIMARY KEY, xid text, key text, op text, old jsonb, new jsonb);
	CREATE FUNCTION ledger() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_OP = 'TRUNCATE' THEN
			INSERT INTO ledger (xid, op) VALUES (pg_current_xact_id(), 'truncate');
		ELSE
			INSERT INTO ledger (xid, key, op, old, new) VALUES (pg_current_xact_id(),
				CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END, lower(TG_OP),
				CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'extra' END,
				CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'extra' END);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER ledger AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION ledger();
	CREATE TRIGGER ledger_truncate AFTER TRUNCATE ON accounts EXECUTE FUNCTION ledger();
	SELECT derive.create_outbox('events', 'accounts', payload => 'jsonb_build_object(''old'', to_jsonb(old), ''new'', to_jsonb(new))');
	SELECT derive.create_outbox('brief', 'accounts', payload => 'jsonb_build_object(''old'', to_jsonb(old), ''new'', to_jsonb(new))', retain => '20 s');

	CREATE TABLE emitted (n bigserial PRIMARY KEY, xid text, key text, op text, old jsonb, new jsonb);
	SELECT derive.create_outbox('made', NULL);
	CREATE FUNCTION emit(key text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO emitted (xid, key, op, new) VALUES (pg_current_xact_id(), key, 'message', payload);
		PERFORM derive.emit('made', key, payload, 'made');
	END $$;

	CREATE TABLE processed (n bigserial PRIMARY KEY, position bigint, id uuid UNIQUE, xid text, op text, old jsonb, new jsonb);
	CREATE INDEX ON processed (position);
	CREATE FUNCTION process(op text, old accounts, new accounts, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO processed (position, id, xid, op, old, new) VALUES ((headers->>'position')::bigint, (headers->>'id')::uuid,
			headers->>'xid', op, nullif(to_jsonb(old), 'null') - 'extra', nullif(to_jsonb(new), 'null') - 'extra');
	END $$;
	SELECT derive.create_processor('worker', 'accounts', 'process(text, accounts, accounts, jsonb)', max_attempts => 1000, backoff => '100 ms');

	SELECT derive.create_view('balances', 'SELECT v % 7 AS d, count(*) AS n, sum(v) AS s FROM accounts GROUP BY v % 7');
	CREATE TABLE balances_seen (key text PRIMARY KEY, new jsonb);
	CREATE TABLE handled (consumer text, position bigint, id uuid, content text);
	CREATE INDEX ON handled (consumer, position);
};
my $setup_when_live = q{
	SELECT derive.create_outbox('balance_events', 'balances', payload => 'jsonb_build_object(''old'', to_jsonb(old), ''new'', to_jsonb(new))');
	SELECT derive.create_consumer('events', 'shared');
	SELECT derive.create_consumer('balance_events', 'views');
	SELECT derive.create_consumer('made', 'mails');
};

# Consumer => its outbox, how many sessions.
my %consumers = (shared => [ 'events', 2 ], views => [ 'balance_events', 1 ], mails => [ 'made', 1 ]);

# What has a position: the outboxes, and what the processor did.
my @streams = qw(events brief made balance_events processed);

sub content { return 'md5(position || id::text || type || coalesce(aggregateid, $$$$) || payload::text || headers::text || created_at::text)' }

sub new
{
	my ($class, $node) = @_;
	my $self = bless { node => $node, children => [], segments => [], position => { map { $_ => 0 } @streams },
		log => 0, checks => 0, gaps => 0 }, $class;

	$node->safe_psql('postgres', $setup);
	wait_live($node);
	$node->safe_psql('postgres', $setup_when_live);
	wait_live($node);
	wait_fresh($node);
	$self->{stop} = $node->basedir . '/stop';
	$self->{log} = -s $node->logfile;
	return $self;
}

# Statements for the load, as subs.
my $made = 0;
sub id { return 1 + int rand 300 }
sub statements
{
	return (
		sub { my $id = id(); "INSERT INTO accounts (id, v, note) SELECT i, i % 50, 'new' FROM generate_series($id, $id + 4) i ON CONFLICT DO NOTHING" },
		sub { 'INSERT INTO accounts (id, v) VALUES (' . id() . ', ' . int(rand 100) . ') ON CONFLICT (id) DO UPDATE SET v = excluded.v' },
		sub { 'UPDATE accounts SET v = v + 1 WHERE id = ' . id() },
		sub { 'UPDATE accounts SET v = v + 1, note = NULL WHERE id % 50 = ' . int rand 50 },
		sub { 'UPDATE accounts SET note = note WHERE id = ' . id() },
		sub { 'DELETE FROM accounts WHERE id % 100 = ' . int rand 100 },
		sub { rand() < 0.03 ? 'UPDATE accounts SET v = v + 3' : 'UPDATE accounts SET v = v - 1 WHERE id = ' . id() },
		sub { sprintf q{SELECT emit('%s', '{"n": %d}')}, 'client ' . $$, ++$made },
		sub { sprintf q{SELECT emit(CASE WHEN i > 1 THEN 'many' END, to_jsonb(i)) FROM generate_series(1, 5) i} });
}

# ---------------------------------------------------------------------------------------
# Consumers
# ---------------------------------------------------------------------------------------

# What a consumer does and that it has done it commit together.
sub consume
{
	my ($name) = @_;
	my $outbox = $consumers{$name}[0];
	my $content = content();

	return qq{
DO \$do\$
DECLARE
	e record;
	last bigint;
	held bigint;
BEGIN
	FOR e IN SELECT *, $content AS content FROM derive.fetch('$outbox', '$name', 500, '2 s', '2 s') LOOP
		INSERT INTO handled VALUES ('$name', e.position, e.id, e.content);
		last := e.position;
		held := e.token;
	END LOOP;
	IF last IS NOT NULL THEN
		PERFORM derive.ack('$outbox', '$name', last, held);
	END IF;
END \$do\$;
};
}

# Starts the consumers' programs, which begin again whatever happens to them.
sub start_consumers
{
	my ($self) = @_;

	foreach my $name (map { ($_) x $consumers{$_}[1] } sort keys %consumers)
	{
		my $pid = fork() // die "fork: $!";
		if ($pid != 0)
		{
			push @{ $self->{children} }, $pid;
			next;
		}
		$SIG{PIPE} = 'IGNORE';
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		$ENV{PGAPPNAME} = "consumer $name";
		while (!-e $self->{stop})
		{
			if (open my $psql, '|-', 'psql', '-XqAt', '-d', $self->{node}->connstr('postgres'))
			{
				print $psql consume($name) x 20;
				close $psql;
			}
			usleep(100_000);
		}
		require POSIX;
		POSIX::_exit(0);
	}
	return;
}

sub stop_consumers
{
	my ($self) = @_;

	append_to_file($self->{stop}, '');
	waitpid $_, 0 foreach @{ $self->{children} };
	$self->{children} = [];
	return;
}

# ---------------------------------------------------------------------------------------
# Comparison
# ---------------------------------------------------------------------------------------

# Waits until consumers and processor have done all; returns what is left otherwise.
sub drain
{
	my ($node, $consumers) = @_;
	my $left = q{SELECT 'processor ' || p::text FROM derive.processors p WHERE lag <> 0 OR retried <> 0 OR parked <> 0 OR state <> 'running'
		UNION ALL SELECT 'outbox ' || o::text FROM derive.outboxes o WHERE state <> 'live'};

	$left .= q{ UNION ALL SELECT 'consumer ' || c::text FROM derive.consumers c WHERE lag <> 0 AND consumer <> 'worker'} if $consumers;
	return '' if poll_until(sub { $node->safe_psql('postgres', $left) eq '' });
	return $node->safe_psql('postgres', $left);
}

# The events of a stream between two positions, in the record's form.
sub told
{
	my ($stream, $from, $to) = @_;

	return "SELECT position, xid, CASE WHEN op = 'delete' THEN old ELSE new END ->> 'id' AS key, op, old, new FROM processed
		WHERE position > $from AND position <= $to" if $stream eq 'processed';
	return "SELECT position, headers->>'xid' AS xid, aggregateid AS key, type AS op,
			nullif(payload->'old', 'null') - 'extra' AS old, nullif(payload->'new', 'null') - 'extra' AS new
		FROM $stream WHERE position > $from AND position <= $to" if $stream ne 'made';
	return "SELECT position, headers->>'xid' AS xid, aggregateid AS key, type AS op, NULL::jsonb AS old, payload AS new
		FROM made WHERE position > $from AND position <= $to";
}

# SQL whose rows are what is wrong with a stream that follows a record.
sub wrong_with
{
	my ($stream, $record, $from, $to) = @_;
	my $told = told($stream, $from, $to);
	# What is emitted takes no lock, so that the record's order is not that of the commits.
	my $ordered = $record eq 'ledger' ? 'true' : 'false';
	my $before = $ordered eq 'true' ? 'before' : 'NULL';
	my $after = $ordered eq 'true' ? 'after' : 'NULL';
	# What is emitted in one transaction under one key comes in the record's order, too.
	return qq{
		WITH told AS MATERIALIZED ($told),
		t AS (SELECT *, row_number() OVER (PARTITION BY xid, key ORDER BY position) AS k FROM told WHERE op <> 'gap'),
		r AS (SELECT *, row_number() OVER (PARTITION BY xid, key ORDER BY n) AS k FROM $record),
		j AS MATERIALIZED (SELECT r.n, coalesce(r.key, t.key) AS key, coalesce(r.xid, t.xid) AS xid, t.position,
				r.op AS r_op, r.old AS r_old, r.new AS r_new, t.op AS t_op, t.old AS t_old, t.new AS t_new
			FROM r FULL JOIN t ON r.xid = t.xid AND coalesce(r.key, '') = coalesce(t.key, '') AND r.k = t.k),
		w AS (SELECT *, max(position) OVER (PARTITION BY key ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
				min(position) OVER (PARTITION BY key ORDER BY n ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS after
			FROM j WHERE n IS NOT NULL)
		SELECT 'did not happen: ' || left(j::text, 300) FROM j
			WHERE n IS NULL OR (position IS NOT NULL AND (r_op, r_old, r_new) IS DISTINCT FROM (t_op, t_old, t_new))
		UNION ALL SELECT 'out of order: ' || left(w::text, 300) FROM w WHERE $ordered AND (position < before OR position > after)
		UNION ALL SELECT 'not told: ' || left(w::text, 300) FROM w
			WHERE position IS NULL AND NOT EXISTS (SELECT FROM told g WHERE g.op = 'gap'
				AND g.position > coalesce($before, $from) AND g.position < coalesce($after, $to + 1))
		UNION ALL SELECT 'told in part: ' || xid FROM j WHERE n IS NOT NULL GROUP BY xid HAVING count(position) NOT IN (0, count(*))
		UNION ALL SELECT 'positions: ' || count(*) FROM told HAVING count(*) <> $to - $from OR count(DISTINCT position) <> $to - $from
		LIMIT 10};
}

# SQL whose rows are what is wrong with an outbox by itself.
sub wrong_alone
{
	my ($outbox, $from, $to) = @_;

	return qq{
		WITH e AS MATERIALIZED (SELECT position, type, xmax::text AS x, (headers->>'commit_lsn')::pg_lsn AS lsn, (headers->>'ordinal')::int AS ordinal,
			headers->>'xid' AS xid, headers->>'error' AS error FROM $outbox WHERE position > $from AND position <= $to)
		SELECT 'commits: ' || p::text FROM (SELECT *, lag(lsn) OVER w AS lsn_before, lag(ordinal) OVER w AS ordinal_before, lag(xid) OVER w AS xid_before
				FROM e WHERE type <> 'gap' WINDOW w AS (ORDER BY position)) p
			WHERE lsn < lsn_before OR (lsn = lsn_before AND (xid <> xid_before OR ordinal <= ordinal_before))
		UNION ALL SELECT 'changed or in error: ' || e::text FROM e WHERE x <> '0' OR error IS NOT NULL
		LIMIT 10};
}

# What is wrong with the outbox over the view: each event follows the last one of its group, and the
# last one is the view's row.
sub wrong_balances
{
	my ($from, $to) = @_;

	return qq{
		WITH e AS MATERIALIZED (SELECT position, aggregateid AS key, nullif(payload->'old', 'null') AS old, nullif(payload->'new', 'null') AS new
				FROM balance_events WHERE position > $from AND position <= $to AND type <> 'gap'
			UNION ALL SELECT $from, key, NULL, new FROM balances_seen),
		l AS (SELECT DISTINCT ON (key) key, new FROM e ORDER BY key, position DESC),
		v AS (SELECT d::text AS key, to_jsonb(b) AS new FROM balances b)
		SELECT 'does not follow: ' || left(s::text, 300) FROM (SELECT *, lag(new) OVER w AS before FROM e WINDOW w AS (PARTITION BY key ORDER BY position)) s
			WHERE position > $from AND old IS DISTINCT FROM before
		UNION ALL SELECT 'not the view: ' || left(l::text || ' ' || v::text, 300)
			FROM (SELECT * FROM l WHERE new IS NOT NULL) l FULL JOIN v ON coalesce(l.key, '') = coalesce(v.key, '') WHERE l.new IS DISTINCT FROM v.new
		LIMIT 10};
}

# What is wrong with what a consumer handled.
sub wrong_consumer
{
	my ($name, $from, $to) = @_;
	my $outbox = $consumers{$name}[0];
	my $content = content();
	my $handled = "SELECT position, id, content FROM handled WHERE consumer = '$name' AND position > $from";
	my $told = "SELECT position, id, $content FROM $outbox WHERE position > $from AND position <= $to";

	return "SELECT 'consumer $name: ' || x::text FROM (($handled EXCEPT ALL $told) UNION ALL ($told EXCEPT ALL $handled)) x LIMIT 10";
}

# How often the log says that the slot was lost, behind a byte of it.
sub losses
{
	my ($node, $offset) = @_;

	return scalar(() = slurp_file($node->logfile, $offset) =~ /derived views are stale:/g);
}

# Where the streams are in a server; nobody writes.
sub positions
{
	my ($node) = @_;

	return map { split /\|/ } split /\n/, $node->safe_psql('postgres', q{
		SELECT outbox, position FROM derive.outboxes WHERE outbox::text IN ('events', 'brief', 'made', 'balance_events')
		UNION ALL SELECT 'processed', position FROM derive.processors});
}

# Everything that is wrong in a server, compared with what stood there at the last check; '' if nothing.
sub wrong
{
	my ($self, $node, $losses, $at) = @_;
	my %from = %{ $self->{position} };
	my ($first) = $node->safe_psql('postgres', q{SELECT first FROM derive.outboxes WHERE outbox = 'brief'::regclass});
	my $recent = $at->{events} - ($at->{brief} - $first) - 1000;    # brief begins behind this
	my @sql = (
		wrong_with('events', 'ledger', $from{events}, $at->{events}),
		wrong_with('made', 'emitted', $from{made}, $at->{made}),
		wrong_with('processed', 'ledger', $from{processed}, $at->{processed}),
		wrong_balances($from{balance_events}, $at->{balance_events}),
		"SELECT 'processed out of order: ' || left(s::text, 300) FROM (SELECT *, lag(position) OVER (PARTITION BY new->>'id' ORDER BY n) AS before
			FROM processed WHERE position > $from{processed} AND op <> 'delete' AND op <> 'gap') s WHERE position < before AND new IS NOT NULL LIMIT 10",
		"SELECT 'brief: ' || o || count(*) FROM derive.outboxes o LEFT JOIN brief e ON true WHERE outbox = 'brief'::regclass
			GROUP BY o, o.position, o.first HAVING count(e.position) <> o.position - o.first + 1 OR o.position <> $at->{brief} OR min(e.position) <> o.first",
		"SELECT 'brief differs: ' || x::text FROM (SELECT xid, op, old, new FROM (" . told('brief', 0, $at->{brief}) . ") b WHERE op <> 'gap' EXCEPT ALL
			SELECT xid, op, old, new FROM (" . told('events', $recent, $at->{events}) . ') e) x LIMIT 10',
		map { wrong_alone($_, $from{$_}, $at->{$_}) } qw(events made balance_events));
	my $wrong = '';

	foreach my $sql (@sql)
	{
		my $found = $node->safe_psql('postgres', $sql);
		$wrong .= "$found\n" if $found ne '';
	}
	foreach my $stream (qw(events made processed))
	{
		my $gaps = $node->safe_psql('postgres', 'SELECT count(*) FROM (' . told($stream, $from{$stream}, $at->{$stream}) . q{) t WHERE op = 'gap'});
		$wrong .= "$stream has $gaps gaps, the slot was lost $losses times\n" if $gaps > $losses || ($losses > 0 && $gaps == 0);
		$self->{gaps} += $gaps if $stream eq 'events' && $node == $self->{node};
	}
	return $wrong;
}

sub check_copy
{
	my ($self, $copy, $name) = @_;
	my $left = drain($copy, 0);
	my %at;

	return is($left, '', "$name: the processor has caught up") if $left ne '';
	%at = positions($copy);
	return is($self->wrong($copy, losses($self->{node}, $self->{log}) + losses($copy, 0), \%at), '', "$name: outboxes are complete");
}

sub check
{
	my ($self, $name) = @_;
	my $node = $self->{node};
	my $left = drain($node, 1);
	my $log = -s $node->logfile;
	my (%at, $wrong, @again);

	return is($left, '', "$name: consumers have caught up") if $left ne '';
	%at = positions($node);
	$wrong = $self->wrong($node, losses($node, $self->{log}), \%at);
	foreach my $consumer (sort keys %consumers)
	{
		my $outbox = $consumers{$consumer}[0];
		$wrong .= $node->safe_psql('postgres', wrong_consumer($consumer, $self->{position}{$outbox}, $at{$outbox}));
	}
	push @{ $self->{segments} }, [ $_, $self->{position}{$_}, $at{$_} ] foreach qw(events made balance_events);
	$_->[3] //= $self->hash($_) foreach @{ $self->{segments} };
	@again = map { $self->{segments}[ int rand @{ $self->{segments} } ] } 1 .. 2;
	$wrong .= $self->changed(@again);
	is($wrong, '', "$name: $at{events} events, $at{made} messages, $at{balance_events} of a view: told once, in order, handled once");
	$self->{position}{$_} = $at{$_} foreach @streams;
	$self->{log} = $log;
	$self->{checks}++;
	# The record begins anew, so that it does not grow.
	$node->safe_psql('postgres', q{TRUNCATE ledger, emitted, processed, handled, balances_seen; INSERT INTO balances_seen SELECT d::text, to_jsonb(b) FROM balances b});
	return;
}

sub hash
{
	my ($self, $segment) = @_;
	my ($outbox, $from, $to) = @$segment;

	return $self->{node}->safe_psql('postgres', 'SELECT count(*) || md5(string_agg(' . content() . ", '' ORDER BY position))
		FROM $outbox WHERE position > $from AND position <= $to") // '';
}

# Segments whose events are not what they were.
sub changed
{
	my ($self, @segments) = @_;

	return join '', map { $self->hash($_) eq $_->[3] ? '' : "changed since it was checked: $_->[0] $_->[1] to $_->[2]\n" } @segments;
}

# At the very end: nothing of what was checked has changed, no identity twice, old events are gone.
sub check_end
{
	my ($self) = @_;
	my $node = $self->{node};

	is($self->changed(@{ $self->{segments} }), '', 'no event was changed');
	is($node->safe_psql('postgres', "SELECT '$_', id FROM $_ GROUP BY id HAVING count(*) > 1 LIMIT 5"), '', "$_: each event's id is its own")
	  foreach qw(events made balance_events);
	return;
}

1;
