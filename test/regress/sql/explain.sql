-- explain: stages, the rule of each and why, the SQL of the delta, missing indexes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_explain;
SET search_path = t_explain;
CREATE TABLE a (id int PRIMARY KEY, g int, n numeric, f float8);
CREATE TABLE b (id int PRIMARY KEY, a_id int, m int);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
SELECT * FROM derive.explain(query => 'SELECT id, n FROM a WHERE n > 1');
SELECT * FROM derive.explain(query => 'SELECT a.id, b.m FROM a JOIN b ON b.a_id = a.id');
CREATE INDEX b_a_id ON b (a_id);
SELECT * FROM derive.explain(query => 'SELECT a.id, b.m FROM a JOIN b ON b.a_id = a.id');
SELECT * FROM derive.explain(query => 'SELECT a.id, b.id AS b, b.m FROM a LEFT JOIN b ON b.a_id = a.id AND b.m > 0');
SELECT * FROM derive.explain(query => 'SELECT id FROM a WHERE n > 1 AND NOT EXISTS (SELECT FROM b WHERE a_id = a.id)');
SELECT * FROM derive.explain(query => 'SELECT g, count(*), sum(n), max(id) FROM a GROUP BY g HAVING count(*) > 1');
SELECT * FROM derive.explain(query => 'SELECT g, sum(f) AS s FROM a GROUP BY g');
SELECT * FROM derive.explain(query => 'SELECT count(*) FROM a');
SELECT derive.create_view('v', 'SELECT g, count(*) AS c FROM a GROUP BY g');
SELECT * FROM derive.explain(view => 'v');
SELECT * FROM derive.explain(query => 'SELECT c FROM v');
SELECT * FROM derive.explain(view => 'a');
SELECT rule FROM derive.views;
-- Joins by expressions: indexes on them are named, and stages are given them.
CREATE TABLE c (id int PRIMARY KEY, name text);
CREATE TABLE d (id int PRIMARY KEY, code text, m int);
ALTER TABLE c REPLICA IDENTITY FULL;
ALTER TABLE d REPLICA IDENTITY FULL;
CREATE FUNCTION norm(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT pg_catalog.lower($1)';
SELECT derive.create_view('w', 'SELECT c.id, d.id AS d FROM c JOIN d ON norm(d.code) = norm(c.name) AND d.m = c.id + 1');
SELECT derive.advise('w');
SELECT derive.advise('w') \gexec
SELECT derive.advise('w');
SELECT derive.create_view('x', 'WITH t AS (SELECT code, sum(m) AS s FROM d GROUP BY code) SELECT c.id, t.s, u.s AS other
    FROM c JOIN t ON t.code = c.name JOIN t u ON upper(u.code) = c.name');
SELECT derive.advise('x');
SELECT regexp_replace(pg_get_indexdef(indexrelid), '_[0-9]+', '_N', 'g') AS index FROM pg_index i JOIN derive.stages s ON s.stage = i.indrelid
    WHERE s.view = 'x'::regclass AND indrelid <> 'x'::regclass ORDER BY 1;
INSERT INTO c SELECT i, 'N' || i % 7 FROM generate_series(1, 20) i;
INSERT INTO d SELECT i, CASE WHEN i % 2 = 0 THEN 'n' ELSE 'N' END || (i + 6) % 7, i FROM generate_series(1, 20) i;
CALL test.check_all();
UPDATE d SET code = lower(code) WHERE id < 8;
UPDATE c SET name = NULL WHERE id % 5 = 0;
CALL test.check_all();
SELECT view, rule, sum(recomputes) AS recomputes FROM derive.stages WHERE view IN ('w'::regclass, 'x'::regclass) GROUP BY 1, 2 ORDER BY 1, 2;
-- What an expression determines: c.id is a key of the row.
SELECT line FROM derive.explain(query => 'SELECT c.id, d.m FROM c JOIN d ON d.id = c.id + 1') line WHERE line LIKE '%key:%';
-- Without a key: rows are found by the first number or date, and a hash.
SELECT derive.create_view('y', 'SELECT name, nullif(id, 3) AS id FROM c');
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'y'::regclass;
UPDATE c SET name = 'N' WHERE id < 10;
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_explain CASCADE;
