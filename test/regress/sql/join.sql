-- Joins: NULLs and duplicates on both sides, the same table several times, every subset of the
-- sources changed in one transaction, rows that come and go within it.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_join;
SET search_path = t_join;
CREATE TABLE a (x int, y int, t text);
CREATE TABLE b (x int, z int);
CREATE TABLE c (z int PRIMARY KEY, label text);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
ALTER TABLE c REPLICA IDENTITY FULL;
INSERT INTO a VALUES (1, 1, 'a'), (1, 1, 'a'), (2, NULL, 'b'), (NULL, 1, 'c'), (NULL, NULL, NULL), (3, 2, 'd');
INSERT INTO b VALUES (1, 10), (1, 10), (1, 11), (2, 10), (NULL, 10), (NULL, NULL), (3, NULL);
INSERT INTO c VALUES (10, 'ten'), (11, 'eleven'), (12, NULL);
SELECT derive.create_view('ab', 'SELECT a.x, a.t, b.z FROM a JOIN b ON a.x = b.x');
SELECT derive.create_view('abc', 'SELECT a.t, c.label FROM a JOIN b USING (x) JOIN c USING (z)');
SELECT derive.create_view('nat', 'SELECT x, y, z FROM a NATURAL JOIN b');
SELECT derive.create_view('nullsafe', 'SELECT a.t, b.z FROM a, b WHERE a.x IS NOT DISTINCT FROM b.x');
SELECT derive.create_view('selfjoin', 'SELECT p.t, q.t AS t2 FROM a p JOIN a q ON p.x = q.y');
SELECT derive.create_view('triple', 'SELECT p.x, q.y, r.t FROM a p, a q, a r WHERE p.x = q.x AND q.y = r.y');
-- The last term has three tables before their deltas, more than are taken apart.
SELECT derive.create_view('fourfold', 'SELECT p.x, s.t FROM a p JOIN a q ON p.x = q.x JOIN a r ON q.y = r.y JOIN a s ON s.x = r.x');
SELECT derive.create_view('crossed', 'SELECT a.t, c.label FROM a CROSS JOIN c');
SELECT derive.create_view('theta', 'SELECT b.x, c.label FROM b JOIN c ON b.z < c.z');
SELECT derive.create_view('agg', 'SELECT c.label, count(*) AS n, sum(a.y) AS y, min(a.t) AS t FROM a JOIN b USING (x) JOIN c USING (z) GROUP BY c.label');
SELECT derive.create_view('selfagg', 'SELECT p.x, count(*) AS n FROM a p JOIN a q ON p.y = q.y GROUP BY p.x');
SELECT derive.create_view('constant', 'SELECT 1 AS one FROM a JOIN b ON a.x = b.x WHERE false');
SELECT derive.create_view('nested', 'SELECT a.t FROM (a JOIN b ON a.x = b.x) JOIN (c JOIN b b2 ON b2.z = c.z) ON b.z = c.z WHERE b2.x = a.x');
CALL test.check_all();
-- One source at a time.
INSERT INTO a VALUES (1, NULL, 'new'), (NULL, 2, 'null');
CALL test.check_all();
DELETE FROM b WHERE z = 10 AND x = 1;
CALL test.check_all();
UPDATE c SET label = 'TEN' WHERE z = 10;
CALL test.check_all();
-- Every pair, and all three.
BEGIN; UPDATE a SET x = 2 WHERE x = 1; INSERT INTO b VALUES (2, 11), (2, 12); COMMIT;
CALL test.check_all();
BEGIN; DELETE FROM b WHERE x = 2 AND z = 11; DELETE FROM c WHERE z = 11; COMMIT;
CALL test.check_all();
BEGIN; UPDATE a SET t = t || '!'; UPDATE c SET label = NULL; COMMIT;
CALL test.check_all();
BEGIN; UPDATE a SET y = coalesce(y, 0) + 1; UPDATE b SET z = z + 1; UPDATE c SET z = z + 1, label = z::text; COMMIT;
CALL test.check_all();
-- Rows that appear and vanish within one transaction, on both sides.
BEGIN;
INSERT INTO a VALUES (7, 7, 'seven'); INSERT INTO b VALUES (7, 12);
DELETE FROM a WHERE x = 7; UPDATE b SET x = 8 WHERE x = 7; INSERT INTO a VALUES (8, 7, 'eight'); DELETE FROM b WHERE x = 8;
COMMIT;
CALL test.check_all();
-- Partners that leave together.
BEGIN; DELETE FROM a WHERE x = 2; DELETE FROM b WHERE x = 2; COMMIT;
CALL test.check_all();
-- Several transactions that likely fall into one tick.
INSERT INTO a SELECT i % 4, i % 3, 't' || i FROM generate_series(1, 20) i;
INSERT INTO b SELECT i % 4, 10 + i % 3 FROM generate_series(1, 10) i;
INSERT INTO c VALUES (20, 'x');
UPDATE a SET x = y, y = x;
DELETE FROM a WHERE t LIKE 't1%';
CALL test.check_all();
DELETE FROM a; DELETE FROM b; DELETE FROM c;
CALL test.check_all();
INSERT INTO a VALUES (1, 1, 'a'); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1, 'one');
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_join CASCADE;
