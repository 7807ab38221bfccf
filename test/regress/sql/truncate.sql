-- TRUNCATE: followed by recompute, alone and mixed with rows of the same transaction.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_truncate;
SET search_path = t_truncate;
CREATE TABLE a (id int PRIMARY KEY, n int);
CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
INSERT INTO a SELECT i, i % 3 FROM generate_series(1, 9) i;
INSERT INTO b SELECT i, i FROM generate_series(1, 9) i;
SELECT derive.create_view('rows', 'SELECT id, n FROM a');
SELECT derive.create_view('bag', 'SELECT n FROM a');
SELECT derive.create_view('groups', 'SELECT n, count(*) AS c FROM a GROUP BY n');
SELECT derive.create_view('total', 'SELECT count(*) AS c, max(n) AS hi FROM a');
SELECT derive.create_view('joined', 'SELECT a.id, b.id AS b_id FROM a JOIN b ON b.a_id = a.id');
SELECT derive.create_view('above', 'SELECT sum(c) AS c FROM groups');
CALL test.check_all();
TRUNCATE b;
CALL test.check_all();
TRUNCATE a CASCADE;
CALL test.check_all();
TABLE total;
TABLE above;
INSERT INTO a VALUES (1, 1);
CALL test.check_all();
BEGIN; INSERT INTO a VALUES (2, 2); TRUNCATE a CASCADE; INSERT INTO a VALUES (3, 3); INSERT INTO b VALUES (1, 3); COMMIT;
CALL test.check_all();
BEGIN; SAVEPOINT s; TRUNCATE a, b; ROLLBACK TO s; INSERT INTO a VALUES (4, 4); COMMIT;
CALL test.check_all();
BEGIN; TRUNCATE a, b; ROLLBACK;
CALL test.check_all();
CREATE TABLE c (id int PRIMARY KEY);
ALTER TABLE c REPLICA IDENTITY FULL;
SELECT derive.create_view('cv', 'SELECT id FROM c');
BEGIN; INSERT INTO c VALUES (1); TRUNCATE c RESTART IDENTITY; COMMIT;
INSERT INTO c VALUES (2);
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_truncate CASCADE;
