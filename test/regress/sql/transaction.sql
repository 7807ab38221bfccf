-- Transactions of every kind: savepoints, two phases, rows that come and go, a view's own rows.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_transaction;
SET search_path = t_transaction;
CREATE TABLE s (id int PRIMARY KEY, g int, n numeric);
CREATE TABLE bag (a int, b text);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO s SELECT i, i % 3, i FROM generate_series(1, 9) i;
INSERT INTO bag SELECT i % 3, 'x' FROM generate_series(1, 9) i;
SELECT derive.create_view('rows', 'SELECT id, n FROM s');
SELECT derive.create_view('groups', 'SELECT g, sum(n) AS n FROM s GROUP BY g');
SELECT derive.create_view('copies', 'SELECT a, b FROM bag');
SELECT derive.create_view('joined', 'SELECT s.id, bag.b FROM s JOIN bag ON bag.a = s.g');
CALL test.check_all();
BEGIN; INSERT INTO s VALUES (10, 1, 1); UPDATE s SET n = 2 WHERE id = 10; UPDATE s SET g = 2 WHERE id = 10; DELETE FROM s WHERE id = 10; COMMIT;
CALL test.check_all();
BEGIN; DELETE FROM s WHERE id = 1; INSERT INTO s VALUES (1, 1, 1); COMMIT;
CALL test.check_all();
BEGIN; DELETE FROM s WHERE id = 1; INSERT INTO s VALUES (1, 0, 100); COMMIT;
CALL test.check_all();
-- Keys change places within one statement's reach.
BEGIN; UPDATE s SET id = -id; UPDATE s SET id = 10 + id; COMMIT;
CALL test.check_all();
BEGIN; SAVEPOINT a; INSERT INTO s VALUES (50, 1, 1); SAVEPOINT b; UPDATE s SET n = 0; ROLLBACK TO b; INSERT INTO bag VALUES (1, 'sub'); RELEASE a; COMMIT;
CALL test.check_all();
BEGIN; SAVEPOINT a; DELETE FROM s; ROLLBACK TO a; DELETE FROM bag WHERE b = 'sub'; COMMIT;
CALL test.check_all();
BEGIN; UPDATE s SET n = n + 1; DELETE FROM bag; ROLLBACK;
CALL test.check_all();
DO $$ BEGIN FOR i IN 1 .. 100 LOOP BEGIN INSERT INTO s VALUES (200 + i % 60, i % 3, i); EXCEPTION WHEN unique_violation THEN UPDATE s SET n = n + 1 WHERE id = 200 + i % 60; END; END LOOP; END $$;
CALL test.check_all();
BEGIN; INSERT INTO s VALUES (300, 1, 1); DELETE FROM bag WHERE a = 0; PREPARE TRANSACTION 't_transaction';
INSERT INTO s VALUES (301, 1, 1);
CALL test.check_all();
COMMIT PREPARED 't_transaction';
CALL test.check_all();
BEGIN; DELETE FROM s; PREPARE TRANSACTION 't_transaction'; ROLLBACK PREPARED 't_transaction';
CALL test.check_all();
-- Duplicates, one by one.
DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag WHERE a = 1);
CALL test.check_all();
INSERT INTO bag SELECT 1, 'x' FROM generate_series(1, 5);
UPDATE bag SET b = NULL WHERE ctid = (SELECT max(ctid) FROM bag WHERE a = 1);
CALL test.check_all();
UPDATE bag SET a = NULL;
CALL test.check_all();
SELECT count(*), a, b FROM copies GROUP BY a, b ORDER BY a, b;
-- COPY, and a column that no view reads.
COPY bag FROM stdin;
5	copied
5	copied
\N	\N
\.
CALL test.check_all();
ALTER TABLE s ADD COLUMN ignored int;
UPDATE s SET ignored = 1;
CALL test.check_all();
-- Many rows: the first large tick.
INSERT INTO s SELECT i, i % 7, i FROM generate_series(1000, 21000) i;
CALL test.check_all();
UPDATE s SET n = n + 1, g = g + 1;
CALL test.check_all();
DELETE FROM s WHERE id > 1000;
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_transaction CASCADE;
