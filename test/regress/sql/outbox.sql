-- Outboxes: every change of a table, the net change of a view, events without a table.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_outbox;
SET search_path = t_outbox;
CREATE TABLE orders (id int PRIMARY KEY, customer int, total numeric, note text);
SELECT derive.create_outbox('order_events', 'orders');
SELECT derive.create_outbox('large', 'orders', topic => 'large-orders', key => 'customer',
    payload => $$jsonb_build_object('op', op, 'was', (old).total, 'is', (new).total)$$, filter => '(new).total > 10');
SELECT derive.create_outbox('events', NULL);
CREATE VIEW shown AS SELECT position, aggregatetype, aggregateid, type, payload, headers->>'ordinal' AS ordinal FROM order_events;
-- In the order of commits, with old and new; what was rolled back is no event.
INSERT INTO orders VALUES (1, 1, 5, 'a'), (2, 1, 50, 'b');
BEGIN;
UPDATE orders SET total = 60 WHERE id = 2;
SAVEPOINT s;
DELETE FROM orders;
ROLLBACK TO s;
SELECT derive.emit('hello', 'k', '{"a": 1}');
DELETE FROM orders WHERE id = 1;
COMMIT;
BEGIN;
INSERT INTO orders VALUES (3);
SELECT derive.emit('never', 'k', '{"a": 2}');
ROLLBACK;
-- An update that changes nothing is a change; TRUNCATE is one, too.
UPDATE orders SET note = note;
SELECT derive.wait() IS NOT NULL;
ALTER TABLE orders ADD COLUMN added int DEFAULT 7;
UPDATE orders SET added = 8;
TRUNCATE orders;
SELECT derive.wait() IS NOT NULL;
SELECT * FROM shown ORDER BY position;
SELECT position, aggregatetype, aggregateid, type, payload FROM large ORDER BY position;
SELECT position, aggregatetype, aggregateid, type, payload FROM events ORDER BY position;
-- An id of the caller's counts once; one of ours is a function of where the event comes from.
SELECT derive.emit('once', NULL, NULL, 'events', '00000000-0000-0000-0000-000000000001') FROM generate_series(1, 2);
SELECT derive.emit('once', NULL, NULL, 'events', '00000000-0000-0000-0000-000000000001');
SELECT derive.wait() IS NOT NULL;
SELECT position, id, aggregatetype FROM events WHERE aggregatetype = 'once';
SELECT count(DISTINCT id) = count(*) AND min(headers->>'xid') IS NOT NULL AND min(headers->>'commit_lsn') IS NOT NULL AS told
FROM order_events;
-- An expression that fails: the event is there with the error.
SELECT derive.create_outbox('fragile', 'orders', payload => 'to_jsonb(1 / (new).customer)');
INSERT INTO orders VALUES (10, 1), (11, 0), (12, 2);
SELECT derive.wait() IS NOT NULL;
SELECT position, aggregateid, payload->'id' AS row, headers->>'error' AS error FROM fragile ORDER BY position;
-- An expression that is wrong by now; one that fails for some of many rows.
CREATE FUNCTION t_outbox.half(i int) RETURNS int LANGUAGE sql AS $$ SELECT i / (i % 2) $$;
CREATE TABLE many (id int PRIMARY KEY);
SELECT derive.create_outbox('many_events', 'many', payload => 't_outbox.half((new).id)');
INSERT INTO many SELECT generate_series(1, 600);
SELECT derive.wait() IS NOT NULL;
DROP FUNCTION half;
INSERT INTO many SELECT generate_series(601, 900);
SELECT derive.wait() IS NOT NULL;
SELECT headers->>'error' AS error, jsonb_typeof(payload) AS payload, count(*), count(aggregateid) AS keys, min(position), max(position), min(payload::text), max((headers->>'ordinal')::int) AS ordinal
FROM many_events GROUP BY 1, 2 ORDER BY 5;
DROP TABLE many CASCADE;
-- A request id travels with the transaction; strings are read alike whatever the session's setting.
SET standard_conforming_strings = off;
SELECT derive.create_outbox('strings', 'orders', payload => E'to_jsonb(\'\\\' || \'x\'::text)', filter => E'op = \'insert\'');
RESET standard_conforming_strings;
BEGIN;
SELECT pg_logical_emit_message(true, 'pg_derive.request', 'request-1') IS NOT NULL;
INSERT INTO orders VALUES (13, 3);
COMMIT;
INSERT INTO orders VALUES (14, 3);
SELECT derive.wait() IS NOT NULL;
SELECT payload, headers->'request_id' AS request, headers->'ordinal' AS ordinal FROM strings ORDER BY position;
SELECT derive.drop_outbox('strings');
-- Names in expressions are the row's; a function that writes to another outbox cannot.
CREATE TABLE plain ("order" int, "position" int, op text);
CREATE FUNCTION intrude() RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO t_outbox.events VALUES (99, gen_random_uuid(), 'x', 'x', 'x', 'null', '{}', now()) RETURNING payload $$;
SELECT derive.create_outbox('named', 'plain', key => '"order" + "position"', payload => $$jsonb_build_object('op', op, 'was', (new).op)$$);
SELECT derive.create_outbox('intruding', 'plain', payload => 'intrude()');
INSERT INTO plain VALUES (1, 2, 'mine');
SELECT derive.wait() IS NOT NULL;
SELECT aggregateid, payload FROM named;
SELECT aggregateid, payload, headers->>'error' AS error FROM intruding;
-- The table: the columns that a router expects, partitions by position.
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = 'named'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_get_partkeydef('named'::regclass), pg_get_expr(relpartbound, c.oid) AS bounds, relowner = current_user::regrole AS owned
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'named'::regclass;
SELECT outbox, source, topic, key, state, reason, position, first FROM derive.outboxes WHERE outbox = 'named'::regclass;
DROP TABLE plain CASCADE;
-- Over a derived view: the net change of each tick.
SELECT derive.create_view('per_customer', 'SELECT customer, count(*) AS n FROM orders GROUP BY customer');
CALL test.settle();
SELECT derive.create_outbox('totals', 'per_customer');
BEGIN;
INSERT INTO orders SELECT i, 1 FROM generate_series(20, 29) i;
DELETE FROM orders WHERE customer = 2;
INSERT INTO orders VALUES (30, 5);
COMMIT;
SELECT derive.wait() IS NOT NULL;
SELECT aggregateid, type, payload FROM totals ORDER BY aggregateid;
-- Only the pipeline writes.
INSERT INTO events VALUES (0);
DELETE FROM order_events;
TRUNCATE order_events;
-- Nobody else can emit, not even with the message itself.
SELECT pg_logical_emit_message(true, 'pg_derive.emit', repeat('x', 200)) IS NOT NULL;
SELECT pg_logical_emit_message(true, 'pg_derive.outbox', 'x') IS NOT NULL;
CREATE ROLE t_outbox_stranger;
GRANT USAGE ON SCHEMA t_outbox TO t_outbox_stranger;
SET ROLE t_outbox_stranger;
SELECT derive.emit('x', NULL, NULL, 't_outbox.events');
SELECT derive.create_outbox('mine', 't_outbox.orders');
SELECT derive.drop_outbox('t_outbox.events');
SELECT count(*) FROM derive.outboxes;
-- Any role may have outboxes over what it may read, and hold up.
RESET ROLE;
GRANT SELECT ON orders, per_customer TO t_outbox_stranger;
GRANT CREATE ON SCHEMA t_outbox TO t_outbox_stranger;
SET ROLE t_outbox_stranger;
SELECT derive.create_outbox('mine', 't_outbox.orders');
SELECT derive.create_outbox('mine', 't_outbox.per_customer');
RESET ROLE;
GRANT TRIGGER ON orders TO t_outbox_stranger;
SET ROLE t_outbox_stranger;
SELECT derive.create_outbox('mine', 't_outbox.orders');
INSERT INTO mine (position) VALUES (1);
SELECT derive.drop_outbox('mine');
RESET ROLE;
-- What jsonb cannot hold holds nothing up, with expressions and without, also when these are gone.
CREATE TABLE strange (id int PRIMARY KEY, j json);
CREATE FUNCTION short(j json) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT to_jsonb(length(j::text))';
SELECT derive.create_outbox('strange_events', 'strange');
SELECT derive.create_outbox('strange_lengths', 'strange', payload => 'short((new).j)');
INSERT INTO strange VALUES (1, '1'), (2, '"\u0000"'), (3, '"\ud800"'), (4, '[]');
SELECT derive.wait() IS NOT NULL;
DROP FUNCTION short(json);
INSERT INTO strange VALUES (5, '"\u0000"'), (6, '{}');
SELECT derive.wait() IS NOT NULL;
SELECT position, aggregateid, type, payload, headers->>'error' AS error FROM strange_events ORDER BY position;
SELECT position, aggregateid, type, payload, headers->>'error' AS error FROM strange_lengths ORDER BY position;
DROP TABLE strange CASCADE;
-- The key of an outbox for which none is given is the source's primary key, by whatever names it goes.
CREATE TABLE keyed (id int, "Part" text, v int, PRIMARY KEY ("Part", id));
CREATE TABLE unkeyed (id int);
SELECT derive.create_outbox('keyed_events', 'keyed');
SELECT derive.create_outbox('unkeyed_events', 'unkeyed');
CALL test.settle();
INSERT INTO keyed VALUES (1, 'a', 10);
INSERT INTO unkeyed VALUES (1);
CALL test.settle();
ALTER TABLE keyed RENAME COLUMN id TO number;
ALTER TABLE keyed RENAME COLUMN v TO id;
INSERT INTO keyed VALUES (2, 'a', 20);
UPDATE keyed SET id = 11 WHERE number = 1;
UPDATE keyed SET number = 3 WHERE number = 2;
CALL test.settle();
ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD PRIMARY KEY (number);
ALTER TABLE unkeyed ADD PRIMARY KEY (id);
DELETE FROM keyed WHERE number = 3;
INSERT INTO unkeyed VALUES (2);
CALL test.settle();
ALTER TABLE keyed DROP COLUMN number;
INSERT INTO keyed VALUES ('b', 30);
CALL test.settle();
ALTER TABLE keyed ADD PRIMARY KEY ("Part");
DELETE FROM keyed WHERE "Part" = 'a';
CALL test.settle();
SELECT position, type, aggregateid, payload, headers->>'error' AS error FROM keyed_events ORDER BY position;
SELECT position, type, aggregateid, payload FROM unkeyed_events ORDER BY position;
SELECT outbox, key FROM derive.outboxes WHERE outbox IN ('keyed_events'::regclass, 'unkeyed_events'::regclass) ORDER BY outbox::text;
-- What is refused.
SELECT derive.create_outbox('bad', 'shown');
SELECT derive.create_outbox('bad', 'orders', filter => 'true) OR (true');
SELECT derive.create_outbox('bad', 'orders', payload => '1, 2');
SELECT derive.create_outbox('bad', 'orders', payload => '1; DROP TABLE orders');
SELECT derive.create_outbox('bad', 'orders', payload => '1 FROM orders');
SELECT derive.create_outbox('commented', 'orders', payload => '1 -- ');
SELECT derive.create_outbox('bad', 'orders', key => '(new).missing');
SELECT derive.create_outbox('bad', 'orders', filter => '(new).id IN (SELECT 1)');
SELECT derive.create_outbox('bad', 'orders', payload => 'row_number() OVER ()');
SELECT derive.create_outbox('bad', 'orders', payload => 'generate_series(1, 2)');
SELECT derive.create_outbox('bad', 'orders', payload => 'count(*)');
SELECT derive.create_outbox('bad', 'orders', retain => '0');
ALTER TABLE order_events ADD COLUMN extra int;
CREATE TRIGGER t BEFORE INSERT ON order_events FOR EACH ROW EXECUTE FUNCTION derive_state.reject_write();
CREATE TABLE mine PARTITION OF order_events DEFAULT;
-- The guard is up again after an outbox that could not be made.
DO $$
BEGIN
    EXECUTE format('CREATE TABLE derive_state.outbox_%s_1 ()', (SELECT last_value + 1 FROM derive_state.outbox_id));
    PERFORM derive.create_outbox('bad', 'orders');
EXCEPTION WHEN duplicate_table THEN
    RAISE NOTICE 'it could not';
END $$;
ALTER TABLE per_customer ADD COLUMN extra int;
SELECT derive.create_outbox('bad', NULL, key => '1');
SELECT derive.create_outbox(NULL, 'orders');
SELECT derive.drop_outbox('orders');
SELECT derive.emit(NULL, NULL, NULL);
-- Nobody can take the ids that changes will have.
DO $$
BEGIN
    PERFORM derive.emit('x', NULL, NULL, o.outbox, derive_state.event_id(p.home || ':' || o.id, 'FFFF/FFFFFFF8', 4294967295))
    FROM derive_state.outbox o JOIN derive_state.outbox_position p USING (id) WHERE o.outbox = 'order_events'::regclass;
EXCEPTION WHEN invalid_parameter_value THEN
    RAISE NOTICE '%', regexp_replace(SQLERRM, '[-0-9a-f]{36}', '...');
END $$;
-- The source is guarded; dropping an outbox leaves nothing.
DROP TABLE orders;
SELECT derive.drop_outbox('large');
SELECT derive.drop_outbox('commented');
DROP SCHEMA t_outbox CASCADE;
SELECT count(*) FROM derive_state.outbox;
DROP ROLE t_outbox_stranger;
