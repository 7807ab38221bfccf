-- Consumers: cursors with leases and tokens; what fails is retried and parked.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
\set SHOW_CONTEXT never
CREATE SCHEMA t_consumers;
SET search_path = t_consumers;
CREATE TABLE items (id int PRIMARY KEY, owner text);
SELECT derive.create_outbox('events', 'items', key => 'owner');
INSERT INTO items SELECT i, 'o' || i % 3 FROM generate_series(1, 9) i;
SELECT derive.wait() IS NOT NULL;
SELECT derive.create_consumer('events', 'app', backoff => '0 s', max_attempts => 2);
SELECT derive.create_consumer('events', 'app');
SELECT derive.create_consumer('events', 'late', 'latest');
SELECT derive.create_consumer('events', 'third', '3');
SELECT derive.create_consumer('events', 'odd', 'never');
SELECT position, aggregateid, token FROM derive.fetch('events', 'app', 4);
SELECT derive.ack('events', 'app', 2, 1);
SELECT position, token FROM derive.fetch('events', 'app', 4);
-- Event 4 fails: 7 of the same owner waits behind it, the others do not.
SELECT derive.ack('events', 'app', 3, 1);
SELECT derive.fail('events', 'app', 4, 1, 'no luck');
SELECT derive.ack('events', 'app', 6, 1);
UPDATE derive_state.deferred SET retry_at = 'infinity';
SELECT position, aggregateid FROM derive.fetch('events', 'app');
SELECT derive.ack('events', 'app', 9, 1);
SELECT position, lag, token, failed FROM derive.consumers WHERE consumer = 'app';
UPDATE derive_state.deferred SET retry_at = now();
SELECT position, aggregateid FROM derive.fetch('events', 'app');
-- A second failure parks it, and 7 may go.
SELECT derive.fail('events', 'app', 4, 1, 'again');
SELECT consumer, position, key, attempts, error FROM derive.parked;
SELECT position, aggregateid FROM derive.fetch('events', 'app');
SELECT derive.ack('events', 'app', 7, 1);
SELECT position FROM derive.fetch('events', 'app');
SELECT derive.replay('events', 'app', 4);
SELECT position FROM derive.fetch('events', 'app');
SELECT derive.ack('events', 'app', 4, 1);
SELECT derive.replay('events', 'app', 4);
-- An event that is replayed and fails once more: what has been handled behind it does not come again.
SELECT derive.create_consumer('events', 'again', backoff => '0 s', max_attempts => 1);
SELECT count(*) FROM derive.fetch('events', 'again', 6);
SELECT derive.fail('events', 'again', 1, 1, 'parked at once'), derive.ack('events', 'again', 6, 1);
UPDATE derive_state.consumer SET max_attempts = 2 WHERE consumer = 'again';
SELECT derive.replay('events', 'again', 1);
SELECT position, aggregateid FROM derive.fetch('events', 'again');
SELECT derive.fail('events', 'again', 1, 1, 'once more'), derive.ack('events', 'again', 9, 1);
SELECT position, attempts FROM derive_state.deferred WHERE consumer = 'again' ORDER BY 1;
SELECT position FROM derive.fetch('events', 'again');
SELECT derive.drop_consumer('events', 'again');
-- Other starts.
SELECT position FROM derive.fetch('events', 'late');
SELECT min(position) FROM derive.fetch('events', 'third');
SELECT derive.seek('events', 'app', 'earliest');
SELECT min(position), max(position), max(token) FROM derive.fetch('events', 'app');
-- Old tokens have no effect.
SELECT derive.ack('events', 'app', 9, 1);
SELECT derive.fail('events', 'app', 9, 1, 'zombie');
SELECT position, lag, token FROM derive.consumers WHERE consumer = 'app';
-- Waiting.
SELECT derive.ack('events', 'app', 9, 3);
SELECT count(*) FROM derive.fetch('events', 'app', wait => '10 ms');
-- One at a time: what failed does not stand in the way of other keys, nor does what waits behind it.
SELECT derive.create_consumer('events', 'single', backoff => '1 h', max_attempts => 1);
SELECT position FROM derive.fetch('events', 'single', 1);
SELECT derive.fail('events', 'single', 1, 1, 'parked at once');
SELECT position FROM derive.fetch('events', 'single', 1);
SELECT derive.ack('events', 'single', 2, 1);
SELECT position FROM derive.fetch('events', 'single', 1);
SELECT consumer, position, attempts, error FROM derive.parked;
SELECT derive.create_consumer('events', 'keyed', backoff => '1 h');
SELECT position, aggregateid FROM derive.fetch('events', 'keyed', 2);
SELECT derive.fail('events', 'keyed', 1, 1, 'later');
SELECT position, aggregateid FROM derive.fetch('events', 'keyed', 3);
SELECT derive.ack('events', 'keyed', 5, 1);
SELECT position, aggregateid FROM derive.fetch('events', 'keyed', 3);
SELECT derive.ack('events', 'keyed', 9, 1);
SELECT position, key, attempts FROM derive_state.deferred WHERE consumer = 'keyed' ORDER BY 1;
-- Of several whose time has come only those that were given out count as such: an ack of all of these
-- sets the consumer free, and one that is repeated, of a later position, takes none of the others.
SELECT derive.create_consumer('events', 'several', backoff => '0 s');
SELECT count(*) FROM derive.fetch('events', 'several', 6);
SELECT derive.fail('events', 'several', 1, 1, 'x'), derive.fail('events', 'several', 2, 1, 'x'), derive.ack('events', 'several', 6, 1);
SELECT position FROM derive.fetch('events', 'several', 1);
SELECT derive.ack('events', 'several', 1, 1);
SELECT position, token, lease_until IS NULL AS free, failed FROM derive.consumers WHERE consumer = 'several';
SELECT derive.ack('events', 'several', 6, 1);
SELECT position FROM derive.fetch('events', 'several', 1);
-- What the holder before had fetched is not given to the next one, who can neither acknowledge nor fail it.
SELECT derive.create_consumer('events', 'taken');
SELECT count(*) FROM derive.fetch('events', 'taken', 9);
UPDATE derive_state.consumer SET holder = 'other', lease_until = now() WHERE consumer = 'taken';
SELECT position, token FROM derive.fetch('events', 'taken', 2);
SELECT derive.fail('events', 'taken', 9, 2, 'not mine');
SELECT derive.ack('events', 'taken', 9, 2);
SELECT position, token, lease_until IS NULL AS free FROM derive.consumers WHERE consumer = 'taken';
-- What comes again is in its place among the new ones.
SELECT derive.create_consumer('events', 'orderly', backoff => '0 s');
SELECT count(*) FROM derive.fetch('events', 'orderly', 4);
SELECT derive.fail('events', 'orderly', 3, 1, 'x');
SELECT position FROM derive.fetch('events', 'orderly', 5);
SELECT derive.fail('events', 'orderly', 2, 1, 'x');
SELECT position FROM derive.fetch('events', 'orderly', 2);
-- An ack is of what the last fetch gave: 3 was not in it.
SELECT derive.ack('events', 'orderly', 3, 1);
SELECT position FROM derive.fetch('events', 'orderly', 5);
-- The longest time between two tries is a year.
SELECT derive.create_consumer('events', 'patient', backoff => '2 years');
SELECT derive.create_consumer('events', 'patient', backoff => '1 year', max_attempts => 100);
INSERT INTO derive_state.deferred (outbox, consumer, position, attempts, delivered)
	SELECT outbox, consumer, 1, 50, 1 FROM derive_state.consumer WHERE consumer = 'patient';
SELECT count(*) FROM derive.fetch('events', 'patient');
SELECT derive.fail('events', 'patient', 1, 1, 'x');
SELECT retry_at BETWEEN now() + interval '11 months' AND now() + interval '1 year 1 minute' FROM derive_state.deferred WHERE consumer = 'patient' AND attempts > 0;
-- What is refused.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT derive.fetch('events', 'app', wait => '1 s');
ROLLBACK;
SELECT derive.fetch('events', 'nobody');
SELECT derive.fetch('items', 'app');
SELECT derive.fetch('events', 'app', 0);
SELECT derive.fail('events', 'app', 9, 3, 'done already');
SELECT derive.seek('events', 'app', 'x');
CREATE ROLE t_consumers_stranger;
GRANT USAGE ON SCHEMA t_consumers TO t_consumers_stranger;
SET ROLE t_consumers_stranger;
SELECT derive.fetch('t_consumers.events', 'app');
SELECT derive_state.ack(1, $$app$$, 10, 1, 1);
RESET ROLE;
GRANT SELECT ON t_consumers.events TO t_consumers_stranger;
SET ROLE t_consumers_stranger;
SELECT derive.fetch('t_consumers.events', 'app');
SELECT derive.create_consumer('t_consumers.events', 'own');
SELECT count(*) FROM derive.fetch('t_consumers.events', 'own');
RESET ROLE;
-- A function with its owner's rights has these and not its caller's.
CREATE FUNCTION spy() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM derive.fetch('t_consumers.events', 'app') $$;
ALTER FUNCTION spy() OWNER TO t_consumers_stranger;
SELECT spy();
DROP FUNCTION spy();
SELECT derive.drop_consumer('events', 'third');
SELECT consumer FROM derive.consumers ORDER BY 1;
DROP SCHEMA t_consumers CASCADE;
SELECT count(*) FROM derive_state.consumer;
DROP ROLE t_consumers_stranger;
