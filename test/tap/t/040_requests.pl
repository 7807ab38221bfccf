# The request id of a transaction is in the headers of all its events, however large the transaction is
# and however it comes to the decoder: whole, in pieces while it is in progress, or, where a decoder
# starts in the middle of it, written to disk first.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;

my $node = derive_node('requests', "logical_decoding_work_mem = 64kB\n");

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, tx text, filler text);
	SELECT derive.create_outbox('events', 'items', payload => 'jsonb_build_object(''tx'', coalesce((new).tx, (old).tx))');
	CREATE TABLE other (id int, filler text);
});

# Events per transaction and request id; each transaction writes its name into its rows.
sub told
{
	wait_fresh($node);
	return $node->safe_psql('postgres', q{
		SELECT payload->>'tx', count(*), headers->>'request_id' FROM events
		WHERE type = 'insert' GROUP BY 1, 3 ORDER BY 1, 3});
}

sub rows
{
	my ($tx, $first, $n, $size) = @_;

	return "INSERT INTO items SELECT i, '$tx', repeat('x', " . ($size // 500)
	  . ") FROM generate_series($first, $first + $n - 1) i;\n";
}

# Whole; in pieces; the id comes last, first, from a savepoint that is released, or is taken back.
$node->safe_psql('postgres', join '',
	"BEGIN;\n", rows('whole', 1, 10), "SET LOCAL pg_derive.request_id = 'r-whole';\nCOMMIT;\n",
	"BEGIN;\n", rows('pieces', 1001, 2000), "SET LOCAL pg_derive.request_id = 'r-pieces';\nCOMMIT;\n",
	"BEGIN;\nSET LOCAL pg_derive.request_id = 'r-first';\n", rows('first', 5001, 2000), "COMMIT;\n",
	"BEGIN;\nSAVEPOINT s;\nSET LOCAL pg_derive.request_id = 'r-sub';\n", rows('sub', 9001, 2000), "RELEASE s;\nCOMMIT;\n",
	"BEGIN;\n", rows('back', 13001, 1000), "SAVEPOINT s;\nSET LOCAL pg_derive.request_id = 'r-never';\n", rows('never', 15001, 1000),
	"ROLLBACK TO s;\n", rows('back', 15001, 1000), "COMMIT;\n",
	"BEGIN;\nSET LOCAL pg_derive.request_id = 'r-two';\n", rows('two', 17001, 2000), "PREPARE TRANSACTION 'p';\n",
	rows('between', 20001, 10), "COMMIT PREPARED 'p';\n",
	"BEGIN;\nSET LOCAL pg_derive.request_id = 'r-nothing';\nINSERT INTO other SELECT i, repeat('y', 500) FROM generate_series(1, 1000) i;\nCOMMIT;\n",
	rows('none', 21001, 2000));
is(told(), join("\n", 'back|2000|', 'between|10|', 'first|2000|r-first', 'none|2000|', 'pieces|2000|r-pieces',
		'sub|2000|r-sub', 'two|2000|r-two', 'whole|10|r-whole'),
	'each event has the id of its transaction');

# A decoder that starts in the middle of a transaction cannot take it in pieces until it has passed
# where its predecessor was.
$node->safe_psql('postgres', 'TRUNCATE items; DELETE FROM other');
wait_fresh($node);
my @sessions = map { $node->background_psql('postgres') } 1 .. 3;
$sessions[0]->query_safe("BEGIN;\n" . rows('one', 30001, 2000));
$sessions[1]->query_safe("BEGIN;\n" . rows('two', 40001, 2000));
$sessions[2]->query_safe("BEGIN;\nSAVEPOINT s;\n" . rows('sub', 50001, 2000));
# With its message in memory, until the next one does not fit besides.
$node->safe_psql('postgres', "BEGIN;\nSET LOCAL pg_derive.request_id = 'r-prepared';\n" . rows('prepared', 70001, 80)
	. "PREPARE TRANSACTION 'p';\n" . rows('small0', 80000, 60, 400));
foreach my $round (1 .. 2)
{
	# what commits now is confirmed, so that the next decoder starts behind it
	$node->safe_psql('postgres', rows("small$round", 60000 + $round, 1));
	wait_fresh($node);
	my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	$node->safe_psql('postgres', rows("after$round", 60010 + $round, 1));
	poll_until(sub { $node->safe_psql('postgres', "SELECT confirmed_lsn >= '$lsn' FROM derive.pipelines") eq 't' })
	  or die 'the slot is not confirmed';
	kill_process('TERM', worker_pid($node, 'decoder'));
	wait_fresh($node);
}
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
$sessions[0]->query_safe("SET LOCAL pg_derive.request_id = 'r-one'; COMMIT");
$sessions[1]->query_safe("COMMIT");
$sessions[2]->query_safe("SET LOCAL pg_derive.request_id = '" . 'r' x 255 . "'; RELEASE s; COMMIT");
$_->quit foreach @sessions;
$node->safe_psql('postgres', "DELETE FROM items WHERE tx LIKE 'small%' OR tx LIKE 'after%'");
wait_fresh($node);
is($node->safe_psql('postgres', q{
		SELECT payload->>'tx', count(*), headers->>'request_id' FROM events
		WHERE type = 'insert' AND payload->>'tx' IN ('one', 'two', 'sub', 'prepared')
			AND (payload->>'tx' <> 'two' AND payload->>'tx' <> 'sub' OR headers->>'request_id' IS NULL
				OR headers->>'request_id' LIKE 'rrr%')
		GROUP BY 1, 3 ORDER BY 1, 3}),
	"one|2000|r-one\nprepared|80|r-prepared\nsub|2000|" . 'r' x 255 . "\ntwo|2000|",
	'also where a decoder starts in the middle');

done_testing();
