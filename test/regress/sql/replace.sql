-- CREATE OR REPLACE VIEW of an ordinary view that derived views read, directly or through others.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_replace;
SET search_path = t_replace;
\set VERBOSITY terse
CREATE TABLE a (id int PRIMARY KEY, g int, n int);
CREATE TABLE b (g int, label text);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
INSERT INTO a SELECT k, k % 3, k FROM generate_series(1, 9) k;
INSERT INTO b VALUES (0, 'zero'), (1, 'one'), (1, 'eins');
CREATE VIEW plain AS SELECT id, g, n FROM a WHERE n > 2;
CREATE VIEW above AS SELECT g, n FROM plain WHERE g > 0;
SELECT derive.create_view('direct', 'SELECT id, n FROM plain');
SELECT derive.create_view('through', 'SELECT g, sum(n) AS s FROM above GROUP BY g HAVING sum(n) > 3');
SELECT derive.create_view('stacked', 'SELECT s, count(*) AS c FROM through GROUP BY s');
SELECT derive.create_view('given_key', 'SELECT id, g FROM plain', key => ARRAY['id', 'g']);
SELECT derive.create_view('apart', 'SELECT id FROM a');
CREATE INDEX of_user ON direct (n);
COMMENT ON TABLE direct IS 'kept';
CALL test.check_all();
-- Other rows, from other tables, by other rules.
CREATE OR REPLACE VIEW plain AS
    SELECT a.id, a.g, CAST(count(b.label) AS int) AS n FROM a LEFT JOIN b USING (g) GROUP BY a.id, a.g;
CALL test.check_all();
INSERT INTO b VALUES (2, 'two'), (2, 'zwei');
UPDATE a SET g = g + 1 WHERE id < 4;
CALL test.check_all();
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
SELECT obj_description('direct'::regclass, 'pg_class'), count(*) FROM pg_indexes WHERE indexname = 'of_user';
SELECT indexdef FROM pg_indexes WHERE schemaname = 't_replace' AND tablename IN ('direct', 'given_key') ORDER BY 1;
-- Without a key now, and back.
CREATE OR REPLACE VIEW plain AS SELECT a.id, b.g, a.n FROM a, b;
SELECT derive.drop_view('given_key');
CALL test.check_all();
DELETE FROM b WHERE label = 'zero';
INSERT INTO a VALUES (100, 1, 1);
CALL test.check_all();
CREATE OR REPLACE VIEW plain AS SELECT id, g, n FROM a WHERE n > 5;
INSERT INTO a VALUES (101, 2, 7);
CALL test.check_all();
-- In the transaction that changes rows as well, and undone.
BEGIN;
DELETE FROM a WHERE id = 7;
CREATE OR REPLACE VIEW above AS SELECT g, n FROM plain WHERE n < 9;
INSERT INTO a VALUES (102, 0, 8);
COMMIT;
CALL test.check_all();
BEGIN;
CREATE OR REPLACE VIEW plain AS SELECT id, g, 0 AS n FROM a;
ROLLBACK;
CALL test.check_all();
-- What cannot be maintained is not accepted, as long as a derived view reads it.
CREATE OR REPLACE VIEW plain AS SELECT id, g, CAST(random() AS int) AS n FROM a;
CREATE OR REPLACE VIEW above AS SELECT g, n FROM plain WHERE now() > '2000-01-01';
CALL test.check_all();
-- Nor what the view's owner may not read, as it would be read with the rights of the derived view's.
CREATE ROLE regress_derive_replacer;
CREATE TABLE secret (id int, g int, n int);
GRANT USAGE, CREATE ON SCHEMA t_replace TO regress_derive_replacer;
ALTER VIEW above OWNER TO regress_derive_replacer;
GRANT SELECT ON plain TO regress_derive_replacer;
SET ROLE regress_derive_replacer;
CREATE OR REPLACE VIEW above AS SELECT g, n FROM secret;
CREATE OR REPLACE VIEW above AS SELECT g, n FROM plain WHERE n > 6;
RESET ROLE;
CALL test.check_all();
-- Views that nothing derived reads are nobody's business.
CREATE VIEW other AS SELECT 1 AS x;
CREATE OR REPLACE VIEW other AS SELECT CAST(random() AS int) AS x;
-- The key of a view with an outbox stays: its rows would go without an event.
CREATE TABLE parts (id int PRIMARY KEY, n int, m int);
CREATE VIEW shape AS SELECT id, n FROM parts;
SELECT derive.create_view('shaped', 'SELECT id, n FROM shape');
SELECT derive.create_outbox('shaped_events', 'shaped');
CREATE OR REPLACE VIEW shape AS SELECT id, n FROM parts UNION ALL SELECT 0, 0;
CREATE OR REPLACE VIEW shape AS SELECT id, m AS n FROM parts;
SELECT derive.drop_outbox('shaped_events');
CREATE OR REPLACE VIEW shape AS SELECT id, n FROM parts UNION ALL SELECT 0, 0;
SELECT derive.drop_view('shaped');
-- No stage is left behind.
SELECT derive.drop_view('stacked'), derive.drop_view('through'), derive.drop_view('direct'), derive.drop_view('apart');
SELECT count(*) FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^(direct|through|stacked|given_key|apart)_';
SET client_min_messages = warning;
DROP SCHEMA t_replace CASCADE;
DROP ROLE regress_derive_replacer;
