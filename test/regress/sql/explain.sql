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
SET client_min_messages = warning;
DROP SCHEMA t_explain CASCADE;
