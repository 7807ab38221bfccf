-- Requests: what was asked for by an id is done once; the id travels with the changes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
\set SHOW_CONTEXT never
CREATE SCHEMA t_requests;
SET search_path = t_requests;
-- The first caller proceeds; a duplicate gets what is stored.
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '{"amount": 1}');
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '{"amount": 1.0}');
SELECT derive.request_done('00000000-0000-0000-0000-000000000001', '{"ok": true}');
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '{"amount": 1}');
SELECT role = current_user::regrole AS mine, id, params, result, done_at >= created_at AS done FROM derive.requests;
-- Without params they are as good as any.
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000002');
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000002', NULL);
-- Done, but with nothing to say.
SELECT derive.request_done('00000000-0000-0000-0000-000000000002', NULL);
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000002');
-- What is refused.
DO $$
DECLARE
	state text; message text; hint text; detail text; call text;
BEGIN
	FOREACH call IN ARRAY ARRAY[
		$q$derive.request('00000000-0000-0000-0000-000000000001', '{"amount": 2}')$q$,
		$q$derive.request('00000000-0000-0000-0000-000000000001')$q$,
		$q$derive.request('00000000-0000-0000-0000-000000000002', '{}')$q$,
		$q$derive.request(NULL)$q$,
		$q$derive.request_done('00000000-0000-0000-0000-000000000001', '{"ok": false}')$q$,
		$q$derive.request_done('00000000-0000-0000-0000-000000000002', '1')$q$,
		$q$derive.request_done('00000000-0000-0000-0000-000000000009', '1')$q$,
		$q$derive.request_done(NULL, '1')$q$]
	LOOP
		BEGIN
			EXECUTE 'SELECT ' || call;
			RAISE NOTICE 'accepted: %', call;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RAISE NOTICE '% % | % | %', state, replace(message, current_user, 'caller'), detail, hint;
		END;
	END LOOP;
END $$;
BEGIN READ ONLY;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000003');
ROLLBACK;
-- In the caller's transaction: rolled back, it was never made.
BEGIN;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000004');
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000004');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000004');
SHOW pg_derive.request_id;
ROLLBACK TO s;
SHOW pg_derive.request_id;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000004');
SELECT derive.request_done('00000000-0000-0000-0000-000000000004', '"here"');
SHOW pg_derive.request_id;
COMMIT;
SHOW pg_derive.request_id;
-- A fixed snapshot that has the request is as good as a new one.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000004');
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000005');
SELECT derive.request_done('00000000-0000-0000-0000-000000000005', '"fixed"');
COMMIT;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000005');
-- Roles have requests of their own, and see no others'.
CREATE ROLE t_requests_a;
CREATE ROLE t_requests_b;
GRANT USAGE, CREATE ON SCHEMA t_requests TO t_requests_a, t_requests_b;
SET ROLE t_requests_a;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '"a"');
SELECT derive.request_done('00000000-0000-0000-0000-000000000001', '"secret of a"');
CREATE FUNCTION as_a(id uuid, OUT first boolean, OUT result jsonb) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN (SELECT r FROM derive.request(id, '"a"') r);
RESET ROLE;
SET ROLE t_requests_b;
SELECT * FROM derive.requests;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '"b"');
-- A function with its owner's rights makes its owner's requests.
SELECT * FROM as_a('00000000-0000-0000-0000-000000000001');
SELECT role, params FROM derive.requests;
SELECT * FROM derive_state.request;
INSERT INTO derive_state.request (role, id) VALUES ('t_requests_a'::regrole, '00000000-0000-0000-0000-000000000006');
DELETE FROM derive.requests;
RESET ROLE;
-- The setting.
SET pg_derive.request_id = E'a\nb';
SET pg_derive.request_id = 'ä';
SELECT set_config('pg_derive.request_id', repeat('x', 256), false);
SELECT length(set_config('pg_derive.request_id', repeat('x', 255), false));
RESET pg_derive.request_id;
-- It travels with all changes of its transaction, wherever in it it was set, also with plain statements and emitted events.
CREATE TABLE items (id int PRIMARY KEY, note text);
SELECT derive.create_outbox('item_events', 'items');
SELECT derive.create_outbox('said', NULL);
CREATE VIEW shown AS SELECT position, type, payload->>'id' AS id, payload->>'note' AS expected, headers->>'request_id' AS request
	FROM item_events;
INSERT INTO items VALUES (1, 'none');
SET pg_derive.request_id = 'session';
INSERT INTO items VALUES (2, 'session');
INSERT INTO items VALUES (3, 'session');
BEGIN;
INSERT INTO items VALUES (4, 'local');
SET LOCAL pg_derive.request_id = 'local';
UPDATE items SET note = 'local' WHERE id = 1;
SELECT derive.emit('t', 'k', '1', 'said');
COMMIT;
BEGIN;
INSERT INTO items VALUES (5, 'session: the savepoint takes it back');
SAVEPOINT s;
SET LOCAL pg_derive.request_id = 'never';
INSERT INTO items VALUES (50, 'never');
ROLLBACK TO s;
SAVEPOINT t;
INSERT INTO items VALUES (6, 'session, in a subtransaction');
RELEASE t;
COMMIT;
BEGIN;
SELECT * FROM derive.request('00000000-0000-0000-0000-00000000000a');
INSERT INTO items VALUES (7, 'request');
COMMIT;
BEGIN;
SET LOCAL pg_derive.request_id = 'two-phase';
INSERT INTO items VALUES (8, 'two-phase');
PREPARE TRANSACTION 't_requests';
INSERT INTO items VALUES (9, 'session');
COMMIT PREPARED 't_requests';
SET pg_derive.request_id = '';
INSERT INTO items VALUES (10, 'none');
-- Whoever writes such a message by hand says no more than by the setting; what is no id is ignored.
BEGIN;
INSERT INTO items VALUES (11, 'by hand');
SELECT pg_logical_emit_message(true, 'pg_derive.request', 'by hand') IS NOT NULL;
SELECT pg_logical_emit_message(true, 'pg_derive.request', 'again') IS NOT NULL;
COMMIT;
BEGIN;
INSERT INTO items VALUES (12, 'none');
SELECT pg_logical_emit_message(true, 'pg_derive.request', '\xff00'::bytea) IS NOT NULL;
COMMIT;
SELECT derive.wait() IS NOT NULL;
SELECT * FROM shown ORDER BY position;
SELECT aggregatetype, headers->>'request_id' AS request FROM said;
-- A transaction that changes nothing gets neither an id nor a message.
CREATE EXTENSION pg_walinspect;
SET pg_derive.request_id = 'idle';
SELECT pg_current_wal_insert_lsn() AS before \gset
BEGIN;
SELECT count(*) FROM items;
UPDATE items SET note = '' WHERE id = -1;
SELECT txid_current_if_assigned() IS NULL AS unassigned;
COMMIT;
BEGIN;
SELECT txid_current() > 0 AS assigned;
COMMIT;
INSERT INTO items VALUES (20, 'idle') ON CONFLICT DO NOTHING;
SELECT count(*) AS messages FROM pg_get_wal_records_info(:'before', pg_current_wal_flush_lsn())
	WHERE resource_manager = 'LogicalMessage' AND description LIKE '%prefix "pg_derive.request"%';
DROP EXTENSION pg_walinspect;
RESET pg_derive.request_id;
-- A request that is too old is forgotten.
SELECT count(*) > 0 AS there FROM derive.requests;
UPDATE derive_state.request SET created_at = now() - interval '6 days 23 hours' WHERE id = '00000000-0000-0000-0000-000000000002';
UPDATE derive_state.request SET created_at = now() - interval '7 days 1 minute' WHERE id <> '00000000-0000-0000-0000-000000000002';
INSERT INTO derive_state.request (role, id, created_at) SELECT current_user::regrole, gen_random_uuid(), now() - interval '8 days' FROM generate_series(1, 3500);
DO $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		EXIT WHEN (SELECT count(*) FROM derive_state.request) = 1;
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;
SELECT id FROM derive_state.request;
SELECT * FROM derive.request('00000000-0000-0000-0000-000000000001', '"anything"');
DROP SCHEMA t_requests CASCADE;
DELETE FROM derive_state.request;
DROP ROLE t_requests_a, t_requests_b;
