-- By delta or by recompute: what is cheaper by the planner's estimates, decided in each tick.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_choice;
SET search_path = t_choice;
CREATE TABLE a (id int PRIMARY KEY, g int, n int);
CREATE TABLE b (id int PRIMARY KEY, a_id int, m int);
CREATE INDEX ON b (a_id);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
INSERT INTO a SELECT i, i % 100, i FROM generate_series(1, 10000) i;
INSERT INTO b SELECT i, 1 + i % 10000, i FROM generate_series(1, 60000) i;
ANALYZE a, b;
SELECT derive.create_view('joined', 'SELECT a.id, b.id AS b, n, m FROM a JOIN b ON b.a_id = a.id');
SELECT derive.create_view('staged', 'SELECT c, count(*) AS n FROM (SELECT a.id, count(b.id) AS c FROM a LEFT JOIN b ON b.a_id = a.id AND b.m >= a.n GROUP BY a.id) x GROUP BY c');
CALL test.check_all();
-- Which views have a stage that was recomputed since it was built.
CREATE VIEW recomputed AS SELECT view, bool_or(recomputes > 1) FROM derive.stages
	WHERE view IN ('joined'::regclass, 'staged'::regclass) GROUP BY view ORDER BY view::text COLLATE "C";
-- A few rows: by delta.
UPDATE a SET n = n + 1 WHERE id IN (3, 5000);
UPDATE b SET m = m - 1 WHERE id < 4;
CALL test.check_all();
TABLE recomputed;
-- All rows, of both tables in one transaction: each would be joined with the other before and after.
BEGIN;
UPDATE a SET n = n + 1;
UPDATE b SET m = m + 2;
COMMIT;
CALL test.check_all();
TABLE recomputed;
-- What a recompute finds is a delta for the views above; and then again by delta.
SELECT sum(recomputes) AS before FROM derive.stages \gset
UPDATE b SET m = 0 WHERE id = 7;
CALL test.check_all();
SELECT sum(recomputes) - :before AS more FROM derive.stages;
SELECT regexp_replace(l, '\d+$', 'N') FROM derive.explain(view => 'joined') l WHERE l ~ 'estimated';
SET client_min_messages = warning;
DROP SCHEMA t_choice CASCADE;
