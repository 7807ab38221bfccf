-- The change stream for consumers outside: each format, each option, each error, through the
-- SQL functions of slots.  What differs from run to run (ids, positions, times) is taken out.
CREATE SCHEMA change_stream;
SET search_path = change_stream, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(10,2));
CREATE TABLE plain (a int, b text);                       -- no key: REPLICA IDENTITY DEFAULT is none
CREATE TABLE whole (id int PRIMARY KEY, doc text);
ALTER TABLE whole REPLICA IDENTITY FULL;
ALTER TABLE whole ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE wide (id int PRIMARY KEY, doc text, n int);
ALTER TABLE wide ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE "Q""uote, d.ot" ("a""b" int PRIMARY KEY, "new" text);
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_high (junk int, v text, id int NOT NULL);
ALTER TABLE parted_high DROP COLUMN junk;
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (10) TO (20);
CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);

-- Records without what changes from run to run.
CREATE FUNCTION records(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text
LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(data,
            '"version":"[^"]*"', '"version":"V"'),
            '"((?:commit_|end_|prepare_)?lsn|nextlsn)":("[0-9A-F]+/[0-9A-F]+"|\d+)', '"\1":"L"', 'g'),
            '"(xid|txId|subxid|ts_.s)":\d+', '"\1":0', 'g'),
            '"(commit_time|time|prepare_time|rollback_time|timestamp)":"\d[^"]*"', '"\1":"T"', 'g'),
            '"sequence":"[^]]*]"', '"sequence":"S"', 'g')
    FROM pg_logical_slot_peek_changes(slot, NULL, NULL, VARIADIC
        options || CASE WHEN 'tables' = ANY (options) OR 'add-tables' = ANY (options) THEN '{}'
                        ELSE ARRAY['tables', 'change_stream.*'] END) $$;

SELECT 'created' FROM pg_create_logical_replication_slot('change_stream', 'pg_derive');

INSERT INTO orders VALUES (1, 'Ann', 9.90), (2, 'Bob', NULL);
UPDATE orders SET total = 10 WHERE id = 1;
UPDATE orders SET id = 3 WHERE id = 2;
DELETE FROM orders WHERE id = 3;
BEGIN;
INSERT INTO plain VALUES (1, E'quote " backslash \\ line\n tab\t \x01 €');
SELECT 'message' FROM pg_logical_emit_message(true, 'audit', 'in the transaction');
UPDATE plain SET a = 2;
DELETE FROM plain;
COMMIT;
SELECT 'message' FROM pg_logical_emit_message(false, 'audit', 'outside');
SELECT 'message' FROM pg_logical_emit_message(false, 'bytes', '\x00ff'::bytea);
SELECT 'message' FROM pg_logical_emit_message(false, 'pg_derive.snapshot', '10:20:15');
INSERT INTO whole VALUES (1, repeat('x', 3000));
UPDATE whole SET id = 2;
INSERT INTO wide VALUES (1, repeat('x', 3000), 1);
UPDATE wide SET n = 2;
INSERT INTO "Q""uote, d.ot" VALUES (1, 'x');
INSERT INTO parted VALUES (1, 'low'), (11, 'high');
INSERT INTO computed VALUES (21);
TRUNCATE plain, parted;

-- json
SELECT replace(r, repeat('x', 3000), 'xxx') AS r FROM records('change_stream') r;
SELECT replace(r, repeat('x', 3000), 'xxx') AS r FROM records('change_stream', 'format', 'json', 'snapshot_marks', 'on',
    'tables', 'change_stream.wide', 'messages', '!*') r;

-- wal2json
SELECT replace(r, repeat('x', 3000), 'xxx') AS r
FROM records('change_stream', 'format', 'wal2json', 'include-transaction', 'off') r;
SELECT * FROM records('change_stream', 'format', 'wal2json', 'include-transaction', 'off', 'format-version', '2',
    'include-xids', '1', 'include-timestamp', 'true', 'include-lsn', 'on', 'include-pk', 'on', 'include-typmod', 'off',
    'include-origin', 'on', 'include-schemas', 'off', 'actions', 'update,delete', 'add-tables', 'change_stream.orders, *.pla\in',
    'add-msg-prefixes', 'nothing');

-- debezium
SELECT replace(r, repeat('x', 3000), 'xxx') AS r FROM records('change_stream', 'format', 'debezium', 'source', 'shop') r;
SELECT regexp_replace(r, '"\d+:\d+"', '"id"', 'g') AS r
FROM records('change_stream', 'format', 'debezium', 'tombstones', 'on', 'transaction_metadata', 'on',
    'tables', 'change_stream.orders', 'operations', 'update,delete') r;

-- cloudevents
SELECT regexp_replace(regexp_replace(replace(r, repeat('x', 3000), 'xxx'), '"id":"\d+:[^:]*', '"id":"S:L'),
    '/postgresql/\d+/', '/postgresql/S/') AS r
FROM records('change_stream', 'format', 'cloudevents', 'snapshot_marks', 'on') r;
SELECT count(DISTINCT data::jsonb ->> 'id') = count(*) AS unique_ids, count(*) > 15 AS some
FROM pg_logical_slot_peek_changes('change_stream', NULL, NULL, 'format', 'cloudevents');

-- What is chosen.
SELECT r::jsonb ->> 'op' AS op, r::jsonb ->> 'table' AS "table", r::jsonb -> 'new' AS new
FROM records('change_stream', 'tables', 'change_stream.parted, "change_stream"."Q""uote, d.ot"', 'messages', '!*') r;
SELECT r::jsonb ->> 'op' AS op, r::jsonb ->> 'table' AS "table", r::jsonb -> 'ordinal' AS ordinal
FROM records('change_stream', 'tables', 'Change_Stream.O*, !*.computed', 'operations', 'delete, truncate', 'messages', 'aud*, !b*') r;
SELECT p.pattern, string_agg(DISTINCT r::jsonb ->> 'table', ' ' ORDER BY r::jsonb ->> 'table') AS tables
FROM (VALUES ('change_stream.*'), ('change_stream.*e'), ('change_stream.*a*e*'), ('change_stream.w*e'), ('change_stream.w*w*'),
        ('change_stream."*"'), ('"Change_Stream".*'), ('*.*, !change_stream.*e'), ('!*.p*'), ('!*.parted'), ('*.parted, !*.*_low'),
        ('change*.w**,*.orders')) p(pattern),
    LATERAL (SELECT * FROM records('change_stream', 'tables', p.pattern || ', !test.*', 'messages', '!*') r) r
WHERE r::jsonb ->> 'schema' = 'change_stream' GROUP BY p.pattern ORDER BY p.pattern COLLATE "C";
SELECT r::jsonb ->> 'op' AS op, r::jsonb -> 'key' AS key, r::jsonb -> 'old' AS old, r::jsonb -> 'new' AS new
FROM records('change_stream', 'columns', 'change_stream.orders.id, change_stream.orders.c*, !*.*.customer, !*.whole.doc',
    'tables', 'change_stream.orders, change_stream.whole', 'messages', '!*') r
WHERE r::jsonb ? 'lsn';

-- Origins.
SELECT 'created' FROM pg_replication_origin_create('change_stream_node');
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_origin', 'pg_derive');
INSERT INTO orders VALUES (100, 'local', 0);
SELECT pg_replication_origin_session_setup('change_stream_node');
INSERT INTO orders VALUES (101, 'remote', 0);
SELECT pg_replication_origin_session_reset();
SELECT o.origins, array_agg(r::jsonb #>> '{new,customer}') AS customers, array_agg(r::jsonb ->> 'origin') AS origins
FROM (VALUES ('any'), ('none'), ('change_stream_node'), ('!change_stream_node'), ('!none'), ('none, change*')) o(origins),
    LATERAL (SELECT * FROM records('change_stream_origin', 'origins', o.origins) r WHERE r::jsonb ->> 'op' = 'insert') r
GROUP BY o.origins ORDER BY o.origins COLLATE "C";
SELECT r::jsonb #>> '{columns,1,value}' AS customer
FROM records('change_stream_origin', 'format', 'wal2json', 'filter-origins', 'change_stream_node', 'include-transaction', 'off') r;

-- Two phases: the formats that do not know them get the transaction at its second phase.
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_two_phase', 'pg_derive', false, true);
BEGIN;
INSERT INTO orders VALUES (200, 'prepared', 0);
PREPARE TRANSACTION 'change_stream "1"';
SELECT * FROM records('change_stream_two_phase');
SELECT * FROM records('change_stream_two_phase', 'format', 'wal2json', 'include-transaction', 'off');
COMMIT PREPARED 'change_stream "1"';
BEGIN;
INSERT INTO orders VALUES (201, 'prepared', 0);
PREPARE TRANSACTION 'change_stream 2';
ROLLBACK PREPARED 'change_stream 2';
SELECT * FROM records('change_stream_two_phase');
SELECT * FROM records('change_stream_two_phase', 'format', 'debezium', 'source', 'shop');

-- A relation that changes under the stream: each record is of its time.
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_ddl', 'pg_derive');
CREATE TYPE mood AS ENUM ('happy');
CREATE TABLE moving (id int PRIMARY KEY, gone int, feeling mood);
INSERT INTO moving VALUES (1, 1, 'happy');
ALTER TABLE moving DROP COLUMN gone;
ALTER TABLE moving RENAME COLUMN feeling TO mood;
ALTER TYPE mood RENAME TO temper;
ALTER TYPE temper RENAME VALUE 'happy' TO 'glad';
ALTER TABLE moving RENAME TO moved;
ALTER TABLE moved ADD COLUMN late int DEFAULT 7;
UPDATE moved SET mood = 'glad' WHERE id = 1;
ALTER TYPE temper RENAME TO humour;                       -- tells no relation
UPDATE moved SET late = 8;
ALTER SCHEMA change_stream RENAME TO change_stream_new;   -- neither does this
UPDATE change_stream_new.moved SET late = 9;
ALTER SCHEMA change_stream_new RENAME TO change_stream;
ALTER TABLE moved REPLICA IDENTITY NOTHING;
UPDATE moved SET late = 10;
ALTER TABLE moved REPLICA IDENTITY FULL;
UPDATE moved SET id = 2;
DROP TABLE moved;
SELECT * FROM records('change_stream_ddl', 'format', 'wal2json', 'include-transaction', 'off', 'tables', 'change_stream*.*');

-- The request that a transaction serves.
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_request', 'pg_derive');
SET pg_derive.request_id = 'order "4711"';
INSERT INTO orders VALUES (50, 'Eve', 1);
RESET pg_derive.request_id;
INSERT INTO orders VALUES (51, 'Eve', 1);
SELECT * FROM records('change_stream_request');
SELECT r::jsonb ->> 'requestid' FROM records('change_stream_request', 'format', 'cloudevents') r;
SELECT r::jsonb ->> 'content' FROM records('change_stream_request', 'format', 'wal2json', 'include-transaction', 'off',
    'messages', 'pg_derive.request', 'operations', 'truncate') r;

-- Strings: what needs an escape at every place of a word of the machine, and next to another.
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_strings', 'pg_derive');
CREATE TABLE strings (id serial PRIMARY KEY, v text);
INSERT INTO strings (v)
    SELECT repeat('a', before) || c || repeat('~', between) || c || repeat(' ', after)
    FROM generate_series(0, 9) before, generate_series(0, 7) between, generate_series(0, 8, 4) after,
        unnest(ARRAY[E'\x01', E'\x1f', ' ', '!', '"', '#', '[', E'\\', ']', E'\x7f', 'é', '€', '😀']) c;
SELECT count(*) AS strings, count(*) FILTER (WHERE s.v IS DISTINCT FROM r::jsonb #>> '{new,v}') AS wrong
FROM records('change_stream_strings', 'tables', '*.strings') r
    LEFT JOIN strings s ON s.id = (r::jsonb #>> '{new,id}')::int
WHERE r::jsonb ->> 'op' = 'insert';

-- A transaction that turns out to have aborted while the names of its table are looked up: changes of that
-- table which come behind it are sent.  The insert lets core, but not the plugin, know the table.
CREATE TABLE aborted (id int PRIMARY KEY, v text);
INSERT INTO aborted SELECT i, 'first' FROM generate_series(1, 3000) i;
SELECT 'created' FROM pg_create_logical_replication_slot('change_stream_aborted', 'pg_derive');
INSERT INTO aborted VALUES (0, 'not asked for');
BEGIN;
UPDATE aborted SET v = 'in vain';
ROLLBACK;
UPDATE aborted SET v = 'second' WHERE id = 1;
SET logical_decoding_work_mem = '64kB';
SELECT * FROM records('change_stream_aborted', 'streaming', 'on', 'operations', 'update', 'tables', '*.aborted');
RESET logical_decoding_work_mem;

-- Errors.
SELECT * FROM records('change_stream', 'format', 'internal');
SELECT * FROM records('change_stream', 'colour', 'red');
SELECT * FROM records('change_stream', 'include-xids', '1');
SELECT * FROM records('change_stream', 'format', 'wal2json', 'tombstones', 'on');
SELECT * FROM records('change_stream', 'format', 'wal2json', 'format-version', '1');
SELECT * FROM records('change_stream', 'format', 'debezium', 'streaming', 'on');
SELECT * FROM records('change_stream', 'snapshot_marks', 'maybe');
SELECT * FROM records('change_stream', 'operations', 'upsert');
SELECT * FROM records('change_stream', 'operations', 'insert,');
SELECT * FROM records('change_stream', 'tables', 'orders');
SELECT * FROM records('change_stream', 'tables', 'a.b.c');
SELECT * FROM records('change_stream', 'tables', '"a.b');
SELECT * FROM records('change_stream', 'tables', '');
SELECT * FROM records('change_stream', 'tables', 'a.b c.d');
SELECT * FROM records('change_stream', 'columns', 'a.b');
SELECT * FROM records('change_stream', 'format', 'wal2json', 'add-tables', 'orders');
SELECT * FROM records('change_stream', 'format', 'wal2json', 'add-tables', '');
SELECT * FROM records('change_stream', 'source', 'x');
SELECT * FROM records('change_stream', 'tables', 'a.b', 'tables', 'c.d');

-- Who may read is what core decides: roles with REPLICATION, and they read all tables.
CREATE ROLE change_stream_reader;
CREATE ROLE change_stream_replicator REPLICATION;
\set VERBOSITY sqlstate
SET ROLE change_stream_reader;
SELECT * FROM pg_logical_slot_peek_changes('change_stream', NULL, NULL);
SET ROLE change_stream_replicator;
SELECT * FROM change_stream.orders;
SELECT count(*) > 0 AS reads_all FROM pg_logical_slot_peek_changes('change_stream', NULL, NULL, 'tables', 'change_stream.orders');
RESET ROLE;
\set VERBOSITY default

SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^change_stream';
SELECT pg_replication_origin_drop('change_stream_node');
DROP ROLE change_stream_reader, change_stream_replicator;
SET client_min_messages = warning;
DROP SCHEMA change_stream CASCADE;
