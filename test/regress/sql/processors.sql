-- Processors: a function is called for every change, once, in the order of commits; what fails is retried and parked.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
\set SHOW_CONTEXT never
CREATE SCHEMA t_processors;
SET search_path = t_processors;
-- Waits until a processor has nothing left to do now but what waits for another try.
CREATE PROCEDURE handled(name text, wanted bigint DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM derive.wait(timeout => '60 s');
	COMMIT;
	FOR i IN 1 .. 3000 LOOP
		IF (SELECT lag = 0 AND (retried = wanted OR wanted < 0) FROM derive.processors WHERE processor = name) THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
	RAISE EXCEPTION 'not handled: %', (SELECT p FROM derive.processors p WHERE processor = name);
END $$;
CREATE TABLE items (id int PRIMARY KEY, owner text, n numeric);
CREATE TABLE seen (number bigserial, op text, was items, "is" items, request text);
CREATE FUNCTION note(op text, old items, new items, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF (new).n < 0 THEN
		RAISE EXCEPTION 'negative: %', (new).n USING ERRCODE = 'check_violation';
	END IF;
	INSERT INTO seen (op, was, "is", request) VALUES (op, old, new, headers->>'request_id');
END $$;
SELECT derive.create_processor('notes', 'items', 'note(text, items, items, jsonb)', key => 'owner', max_attempts => 2, backoff => '0 s');
BEGIN;
INSERT INTO items VALUES (1, 'a', 1.00), (2, 'b', NULL);
UPDATE items SET n = 2.50 WHERE id = 1;
SAVEPOINT s;
DELETE FROM items;
ROLLBACK TO s;
SET LOCAL pg_derive.request_id = 'r1';
COMMIT;
DELETE FROM items WHERE id = 2;
TRUNCATE items;
CALL handled('notes');
SELECT number, op, was, "is", request FROM seen ORDER BY number;
SELECT processor, source, handler, owner = current_user::regrole AS mine, state, position, lag, retried, parked, error, max_attempts, backoff
FROM derive.processors;
-- What fails is parked after the last attempt; until then others of its key wait, and what the handler wrote is undone.
CREATE FUNCTION half(op text, old items, new items, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen (op, "is") VALUES ('half', new);
	PERFORM 1 / (new).n::int;
END $$;
SELECT derive.create_processor('halves', 'items', 'half(text, items, items, jsonb)', max_attempts => 1);
TRUNCATE seen RESTART IDENTITY;
INSERT INTO items VALUES (3, 'a', -1), (4, 'a', 4), (5, 'b', 5), (6, NULL, -6), (7, NULL, 7), (8, 'b', 0);
CALL handled('notes');
CALL handled('halves');
SELECT op, "is" FROM seen WHERE op <> 'half' ORDER BY ("is").owner, number;
SELECT "is" FROM seen WHERE op = 'half' ORDER BY ("is").id;
SELECT consumer, position, key, attempts, error FROM derive.parked ORDER BY consumer, position;
SELECT processor, retried, parked, error FROM derive.processors ORDER BY processor;
-- Replay, when the handler is mended; the plan of its call is made again.
CREATE OR REPLACE FUNCTION note(op text, old items, new items, headers jsonb) RETURNS void LANGUAGE sql
	BEGIN ATOMIC INSERT INTO seen (op, was, "is", request) VALUES (op, old, new, 'mended'); END;
SELECT derive.replay(outbox, consumer, position) FROM derive.parked WHERE consumer = 'notes' ORDER BY position;
CALL handled('notes');
SELECT op, "is" FROM seen WHERE request = 'mended' ORDER BY number;
SELECT derive.drop_processor('halves');
-- Renamed, moved, of a table that is renamed: it is still the handler.
CREATE SCHEMA "t processors";
ALTER FUNCTION note RENAME TO "a note";
ALTER FUNCTION "a note" SET SCHEMA "t processors";
ALTER TABLE items RENAME TO "all items";
SELECT processor, handler FROM derive.processors;
INSERT INTO "all items" VALUES (20, 'c', 7.5);
CALL handled('notes');
SELECT op, "is", request FROM seen WHERE ("is").id = 20;
ALTER TABLE "all items" RENAME TO items;
ALTER FUNCTION "t processors"."a note" RENAME TO note;
ALTER FUNCTION "t processors".note SET SCHEMA t_processors;
SELECT handler, (SELECT r.handler FROM derive_state.processor r) AS stored FROM derive.processors;
DROP SCHEMA "t processors";
-- Paused: changes wait.  Meanwhile the table is altered: each event is given as a row of the type of now.
SELECT derive.pause_processor('notes');
CREATE TABLE seen_rows (op text, old_text text, new_text text);
CREATE OR REPLACE FUNCTION note(op text, old items, new items, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen_rows VALUES (op, old::text, new::text);
END $$;
SET client_min_messages = warning;
DROP TABLE seen CASCADE;
RESET client_min_messages;
INSERT INTO items VALUES (10, 'a', 1.50), (11, 'c', 'NaN');
UPDATE items SET owner = 'b' WHERE id = 10;
SELECT derive.wait() IS NOT NULL;
SELECT state, lag FROM derive.processors;
ALTER TABLE items RENAME COLUMN owner TO holder;
ALTER TABLE items ADD COLUMN since date DEFAULT '2024-02-29', ADD COLUMN doc jsonb;
ALTER TABLE items DROP COLUMN n;
INSERT INTO items VALUES (12, 'd', NULL, 'null');
SELECT derive.resume_processor('notes');
CALL handled('notes');
SELECT * FROM seen_rows ORDER BY new_text;
-- A value that does not fit its column any more fails, until it does again.
ALTER TABLE items ADD COLUMN size text;
SELECT derive.pause_processor('notes');
INSERT INTO items (id, size) VALUES (13, 'large'), (14, '14');
SELECT derive.wait() IS NOT NULL;
DELETE FROM items WHERE size = 'large';
SELECT derive.wait() IS NOT NULL;
ALTER TABLE items ALTER COLUMN size TYPE int USING size::int;
TRUNCATE seen_rows;
SELECT derive.resume_processor('notes');
CALL handled('notes');
SELECT op, new_text FROM seen_rows ORDER BY new_text;
SELECT error FROM derive.parked WHERE consumer = 'notes';
-- Rows of every kind come as they are.
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (id int PRIMARY KEY, f float8, r real, j jsonb, t json, b bytea, a int[], p pair, ps pair[], rg int4range, mr int4multirange,
	ts timestamptz, iv interval, c char(3), x text COLLATE "C", m money, u uuid, bits bit(3), d numeric(6, 2), k regclass);
CREATE TABLE kinds_seen (LIKE kinds);
CREATE FUNCTION copy(op text, old kinds, new kinds, headers jsonb) RETURNS void LANGUAGE sql
	BEGIN ATOMIC
		DELETE FROM kinds_seen WHERE id = (old).id;
		INSERT INTO kinds_seen SELECT (new).* WHERE op <> 'delete';
	END;
SELECT derive.create_processor('kinds', 'kinds', 'copy(text, kinds, kinds, jsonb)');
INSERT INTO kinds VALUES (1, '-0', 'NaN', 'null', ' {"a" : 1, "a":2}', '\x00ff', '[2:3]={1,NULL}', '(1,"x ""y""")', '{"(1,)",NULL}', '[1,5)', '{[1,2],[5,6]}',
	'infinity', '-1 mon +2 days -00:00:00.5', 'a', E'\t"\\', 12.5, gen_random_uuid(), '101', 1.5, 'pg_class'),
	(2, 1.0 / 3, 1.0 / 3, '[null, 1.10]', 'null', '', '{}', NULL, '{}', 'empty', '{}', '2024-01-01 12:00:00.123456+05', '1 year', '', '', NULL, NULL, NULL, 0, NULL),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE kinds SET x = repeat('toast', 10000) WHERE id = 2;
UPDATE kinds SET f = f + 1 WHERE id = 2;
CALL handled('kinds');
SELECT * FROM (SELECT k::text FROM kinds k EXCEPT ALL SELECT k::text FROM kinds_seen k) x UNION ALL (SELECT k::text FROM kinds_seen k EXCEPT ALL SELECT k::text FROM kinds k);
SELECT parked, retried FROM derive.processors WHERE processor = 'kinds';
-- What a handler writes is an ordinary change: for views, outboxes, and other processors; the request goes along.
CREATE TABLE first (id int PRIMARY KEY, v int);
CREATE TABLE second (id int PRIMARY KEY, v int);
CREATE TABLE third (id int PRIMARY KEY, v int, request text);
CREATE FUNCTION to_second(op text, old first, new first, headers jsonb) RETURNS void LANGUAGE sql
	BEGIN ATOMIC INSERT INTO second VALUES ((new).id, (new).v * 10); END;
CREATE FUNCTION to_third(op text, old second, new second, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF (new).v % 20 = 0 THEN
		PERFORM derive.request(('00000000-0000-0000-0000-0000000000' || (new).v)::uuid);
	END IF;
	INSERT INTO third VALUES ((new).id, (new).v * 10, headers->>'request_id');
END $$;
SELECT derive.create_processor('to second', 'first', 'to_second(text, first, first, jsonb)');
SELECT derive.create_processor('to third', 'second', 'to_third(text, second, second, jsonb)');
SELECT derive.create_view('sums', 'SELECT sum(v) AS s FROM third');
SELECT derive.create_outbox('third_events', 'third');
CALL test.settle();
SET pg_derive.request_id = 'chain';
INSERT INTO first VALUES (1, 1);
RESET pg_derive.request_id;
INSERT INTO first SELECT i, i FROM generate_series(2, 9) i;
CALL handled('to second');
CALL handled('to third');
SELECT derive.wait() IS NOT NULL;
SELECT * FROM sums;
SELECT * FROM third ORDER BY id;
SELECT payload->>'id' AS id, headers->>'request_id' AS request FROM third_events ORDER BY position;
SELECT id, role = current_user::regrole AS mine FROM derive.requests ORDER BY id;
-- Deferred constraints count at once: a violation is its event's.
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE wishes (id int PRIMARY KEY, parent int);
CREATE FUNCTION grant_wish(op text, old wishes, new wishes, headers jsonb) RETURNS void LANGUAGE sql
	BEGIN ATOMIC INSERT INTO children VALUES ((new).id, (new).parent); END;
SELECT derive.create_processor('wishes', 'wishes', 'grant_wish(text, wishes, wishes, jsonb)', max_attempts => 1);
INSERT INTO parents VALUES (1);
INSERT INTO wishes VALUES (1, 1), (2, 2), (3, 1);
CALL handled('wishes');
TABLE children;
SELECT position, error FROM derive.parked WHERE consumer = 'wishes';
-- A handler runs as the processor's owner, and cannot become anybody else.
CREATE ROLE t_processors_owner;
CREATE ROLE t_processors_stranger;
GRANT USAGE, CREATE ON SCHEMA t_processors TO t_processors_owner, t_processors_stranger;
SET ROLE t_processors_owner;
CREATE TABLE mine (id int PRIMARY KEY, command text);
CREATE TABLE who (id int, "user" name, "session" name, path text);
CREATE FUNCTION act(op text, old mine, new mine, headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (new).command;
	INSERT INTO who VALUES ((new).id, current_user, NULL, current_setting('search_path'));
END $$;
SELECT derive.create_processor('acts', 'mine', 'act(text, mine, mine, jsonb)', max_attempts => 1);
INSERT INTO mine VALUES (1, 'SELECT 1'), (2, 'RESET ROLE'), (3, 'SET SESSION AUTHORIZATION DEFAULT'), (4, 'CREATE TEMP TABLE x (a int)'),
	(5, 'SELECT * FROM derive_state.secret'), (6, 'SET search_path = pg_catalog'), (7, 'COMMIT'), (8, 'CREATE TABLE derive_state.x (a int)'), (9, 'SELECT 1'),
	(10, 'SET CONSTRAINTS ALL DEFERRED'), (11, 'SELECT pg_terminate_backend(pg_backend_pid()) WHERE false');
CALL handled('acts');
SELECT id, "user", path FROM who ORDER BY id;
SELECT key, error FROM derive.parked WHERE consumer = 'acts' ORDER BY position;
-- Nobody else can do anything to it, or read what waits.
SET ROLE t_processors_stranger;
SELECT processor FROM derive.processors;
SELECT derive.drop_processor('acts');
SELECT derive.pause_processor('acts');
SELECT derive.resume_processor('acts');
SELECT derive.create_processor('theirs', 'mine', 'act(text, mine, mine, jsonb)');
SELECT count(*) FROM derive_state.processor;
RESET ROLE;
-- What is refused.
CREATE FUNCTION strict_one(op text, old items, new items, headers jsonb) RETURNS void STRICT LANGUAGE sql AS 'SELECT';
CREATE FUNCTION wrong_row(op text, old kinds, new kinds, headers jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION wrong_result(op text, old items, new items, headers jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE no_function(op text, old items, new items, headers jsonb) LANGUAGE sql AS 'SELECT';
SELECT derive.create_processor('x', 'items', 'strict_one(text, items, items, jsonb)');
SELECT derive.create_processor('x', 'items', 'wrong_row(text, kinds, kinds, jsonb)');
SELECT derive.create_processor('x', 'items', 'wrong_result(text, items, items, jsonb)');
SELECT derive.create_processor('x', 'items', 'no_function(text, items, items, jsonb)');
SELECT derive.create_processor('notes', 'items', 'note(text, items, items, jsonb)');
SELECT derive.create_processor('', 'items', 'note(text, items, items, jsonb)');
SELECT derive.create_processor('x', 'items', 'note(text, items, items, jsonb)', max_attempts => 0);
SELECT derive.create_processor('x', 'items', 'note(text, items, items, jsonb)', key => 'no_column');
SELECT derive.create_processor(NULL, 'items', 'note(text, items, items, jsonb)');
SELECT derive.drop_processor('nobody');
\set VERBOSITY terse
DROP FUNCTION note;
DROP TABLE items;
SET client_min_messages = warning;
-- Its source takes it along, and its function.
DROP TABLE items CASCADE;
DROP FUNCTION grant_wish CASCADE;
SELECT processor FROM derive.processors ORDER BY 1;
DROP SCHEMA t_processors CASCADE;
RESET client_min_messages;
SELECT count(*) FROM derive_state.processor;
SELECT relname FROM pg_class WHERE relname ~ '^processor_\d' AND relkind IN ('r', 'p') AND relnamespace = 'derive_state'::regnamespace;
DELETE FROM derive_state.request;
DROP ROLE t_processors_owner, t_processors_stranger;
