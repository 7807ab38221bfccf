-- Rows as a whole, and the names in JSON: of columns, attributes and enum values, which may change.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_json_names;
SET search_path = t_json_names;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b int);
CREATE TABLE src (id int PRIMARY KEY, n int, m mood, p pair);
ALTER TABLE src REPLICA IDENTITY FULL;
INSERT INTO src SELECT i, nullif(i, 3), 'ok', row(i, i)::pair FROM generate_series(1, 5) i;

-- Rows of subqueries and ordinary views, which become a part of the query around them.
CREATE VIEW plain AS SELECT id, n FROM src;
CREATE VIEW grouped AS SELECT n, count(*) AS c FROM src GROUP BY n;
SELECT derive.create_view('sub', 'SELECT count(q) AS c, count(CASE WHEN q IS NOT NULL THEN 1 END) AS full FROM (SELECT id, n FROM src) q');
SELECT derive.create_view('over_plain', 'SELECT id, q IS NOT NULL AS full FROM plain q');
SELECT derive.create_view('same', 'SELECT a.id, b.id AS other FROM plain a, plain b WHERE a = b');
SELECT derive.create_view('over_grouped', 'SELECT s.id, count(q) AS c FROM src s LEFT JOIN grouped q ON q.n = s.n GROUP BY s.id');
SELECT derive.create_view('lateral_row', 'SELECT s.id, count(q) AS c, count(CASE WHEN q IS NULL THEN 1 END) AS e FROM src s, LATERAL (SELECT t.n FROM src t WHERE t.id < s.id) q GROUP BY s.id');
-- Equal rows may hold NULL; rows that are compared column by column may not.
SELECT derive.create_view('same_rows', 'SELECT a.id FROM (SELECT id, ROW(id, n) AS p FROM src) a JOIN (SELECT ROW(id, n) AS p FROM src) b ON a.p = b.p');
SELECT derive.create_view('refused', 'SELECT j.id FROM (src JOIN plain USING (id, n)) AS j, (src s JOIN plain p USING (id, n)) AS k WHERE j = k');
CALL test.check_all();
INSERT INTO src VALUES (6, NULL, 'ok', NULL), (7, 7, NULL, NULL);
DELETE FROM src WHERE id = 1;
UPDATE src SET n = 8 WHERE id = 3;
CALL test.check_all();
-- Which names would be in the JSON?
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM plain q');
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM grouped q');
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM (SELECT id FROM src) q');
CREATE MATERIALIZED VIEW copied AS SELECT id, n FROM src;
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM copied q');
SELECT derive.drop_view('sub'), derive.drop_view('over_plain'), derive.drop_view('same'), derive.drop_view('over_grouped'),
    derive.drop_view('lateral_row'), derive.drop_view('same_rows');

-- Names that change: nothing of that is in the log.
SELECT derive.create_view('a_rows', 'SELECT id, to_jsonb(s) AS j FROM src s');
SELECT derive.create_view('b_enums', 'SELECT id, to_jsonb(m) AS j FROM src');
SELECT derive.create_view('c_arrays', 'SELECT id, to_jsonb(ARRAY[p]) AS j FROM src');
SELECT derive.create_view('d_list', 'SELECT id % 2 AS odd, jsonb_agg(s ORDER BY id) AS j FROM src s GROUP BY 1');
SELECT derive.create_view('e_below', 'SELECT id, n FROM src');
SELECT derive.create_view('f_above', 'SELECT id, to_jsonb(b) AS j FROM e_below b');
SELECT derive.create_view('g_above', 'SELECT j, count(*) AS c FROM b_enums GROUP BY j');
CALL test.check_all();
ALTER TABLE src RENAME COLUMN n TO renamed;
CALL test.check_all();
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
CALL test.check_all();
ALTER TYPE pair RENAME ATTRIBUTE a TO aa;
CALL test.check_all();
ALTER TABLE e_below RENAME COLUMN n TO renamed;
CALL test.check_all();
ALTER TABLE src ADD COLUMN more int DEFAULT 1;
CALL test.check_all();
ALTER TABLE src ALTER COLUMN more TYPE numeric(10, 2);
CALL test.check_all();
ALTER TABLE src DROP COLUMN more;
CALL test.check_all();
-- By delta, afterwards as before.
INSERT INTO src VALUES (10, 10, 'fine', row(1, 2)::pair);
UPDATE src SET m = 'happy', p = row(3, 3)::pair WHERE id = 2;
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_json_names CASCADE;
