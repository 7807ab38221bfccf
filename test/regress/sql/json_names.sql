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
CALL test.check_all();
INSERT INTO src VALUES (6, NULL, 'ok', NULL), (7, 7, NULL, NULL);
DELETE FROM src WHERE id = 1;
UPDATE src SET n = 8 WHERE id = 3;
CALL test.check_all();
-- Which names would be in the JSON?
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM plain q');
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM grouped q');
SELECT derive.create_view('refused', 'SELECT to_jsonb(q) AS j FROM (SELECT id FROM src) q');
SELECT derive.drop_view('sub'), derive.drop_view('over_plain'), derive.drop_view('same'), derive.drop_view('over_grouped'),
    derive.drop_view('lateral_row');

SET client_min_messages = warning;
DROP SCHEMA t_json_names CASCADE;
