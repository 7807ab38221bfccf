# The shortest path through everything: create, write, wait, read.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derive::Node;
use Derive::Oracle;

my $node = derive_node('main');

$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int PRIMARY KEY, customer int, total numeric);
	INSERT INTO orders SELECT i, i % 3, i FROM generate_series(1, 30) i;
	SELECT derive.create_view('per_customer',
		'SELECT customer, count(*) AS orders, sum(total) AS total FROM orders GROUP BY customer');
	SELECT derive.create_view('large', 'SELECT id, total FROM orders WHERE total > 20');
});
wait_live($node);

is($node->safe_psql('postgres', 'SELECT * FROM per_customer ORDER BY 1'),
	"0|10|165\n1|10|145\n2|10|155", 'the first build');
is($node->safe_psql('postgres', 'SELECT count(*), sum(total) FROM large'), '10|255', 'both views');

# One statement of each kind, each followed by derive.wait in a session of its own.
my @steps = (
	[ 'INSERT INTO orders VALUES (31, 2, 100)', "0|10|165\n1|10|145\n2|11|255", 'insert' ],
	[ 'UPDATE orders SET total = total + 1 WHERE customer = 1', "0|10|165\n1|10|155\n2|11|255", 'update' ],
	[ 'UPDATE orders SET customer = 7 WHERE id = 31', "0|10|165\n1|10|155\n2|10|155\n7|1|100", 'a group is born' ],
	[ 'DELETE FROM orders WHERE customer = 7', "0|10|165\n1|10|155\n2|10|155", 'a group dies' ],
	[ 'BEGIN; DELETE FROM orders; ROLLBACK', "0|10|165\n1|10|155\n2|10|155", 'rollback' ],
	[ 'INSERT INTO orders VALUES (40, 7, 1)', "0|10|165\n1|10|155\n2|10|155\n7|1|1", 'and is born again' ],
	[ 'TRUNCATE orders', '', 'truncate' ],
	[ 'INSERT INTO orders VALUES (1, NULL, NULL)', '|1|', 'the NULL group' ],
);
foreach my $step (@steps)
{
	my ($sql, $expected, $name) = @$step;
	$node->safe_psql('postgres', $sql);
	wait_fresh($node);
	is($node->safe_psql('postgres', 'SELECT * FROM per_customer ORDER BY 1'), $expected, $name);
}
check_all($node, 'at the end');

# What the status relations say.
is(pipeline($node, 'state'), 'running', 'the pipeline runs');
like(pipeline($node, 'slot_name'), qr/^pg_derive_\d+$/, 'its slot is named after the database');
is(pipeline($node, 'applier_pid <> decoder_pid'), 't', 'two workers');
is(pipeline($node, 'ticks > 0 AND transactions > 0 AND changes > 0'), 't', 'counters count');
is($node->safe_psql('postgres',
		q{SELECT bool_and(state = 'live' AND reason = '' AND ticks > 0 AND rows_changed > 0
			AND last_tick_at IS NOT NULL AND applied_lsn IS NOT NULL) FROM derive.views}),
	't', 'views tell that they are live');

# wait(): a target in the future, the timeout and its SQLSTATE.
like(sql_error($node, q{SELECT derive.wait(pg_current_wal_lsn() + 1000000000, '100 ms')}),
	qr/ERROR:  57D01:/, 'a wait that times out is an error of its own SQLSTATE');
is($node->safe_psql('postgres', q{SELECT derive.wait(pg_current_wal_lsn(), '60 s') IS NOT NULL}),
	't', 'wait for a position of now');

# Asynchronous commits reach the view, too, without anybody else's commit.
$node->safe_psql('postgres',
	'SET synchronous_commit = off; INSERT INTO orders VALUES (2, 1, 5)');
ok(poll_until(sub {
		$node->safe_psql('postgres', 'SELECT count(*) FROM per_customer WHERE customer = 1') eq '1';
	}), 'an asynchronous commit arrives without a wait');

# No other server-side noise: an error in the log is a bug.
$node->stop;
unlike(slurp_file($node->logfile), qr/(PANIC|FATAL:  (?!terminating)|TRAP|WARNING:)/,
	'nothing alarming in the log');

done_testing();
