-- Views over views: chains, diamonds, self-joins of a view, changes of a middle one.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_chain;
SET search_path = t_chain;
CREATE TABLE s (id int PRIMARY KEY, g int, n int);
CREATE TABLE d (g int PRIMARY KEY, name text);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE d REPLICA IDENTITY FULL;
INSERT INTO s SELECT i, i % 5, i FROM generate_series(1, 25) i;
INSERT INTO d SELECT i, 'd' || i FROM generate_series(0, 4) i;
-- All in one transaction, each built upon the one before.
BEGIN;
SELECT derive.create_view('a_groups', 'SELECT g, count(*) AS c, sum(n) AS n FROM s GROUP BY g');
SELECT derive.create_view('b_rows', 'SELECT g, n FROM s WHERE n > 3');
SELECT derive.create_view('c_diamond', 'SELECT a.g, a.c, b.n FROM a_groups a JOIN b_rows b ON b.g = a.g');
SELECT derive.create_view('d_sizes', 'SELECT c, count(*) AS groups FROM a_groups GROUP BY c');
SELECT derive.create_view('e_with_source', 'SELECT d.name, a.n FROM d JOIN a_groups a USING (g)');
SELECT derive.create_view('f_top', 'SELECT sum(c) AS c, max(n) AS hi FROM c_diamond');
SELECT derive.create_view('g_self', 'SELECT x.g, y.g AS g2 FROM a_groups x JOIN a_groups y ON x.c = y.c AND x.g < y.g');
SELECT derive.create_view('h_bag_of_bag', 'SELECT n FROM b_rows');
SELECT derive.create_view('i_fourth', 'SELECT f.c, e.name FROM f_top f JOIN e_with_source e ON f.hi >= e.n');
COMMIT;
CALL test.check_all();
INSERT INTO s VALUES (100, 0, 100), (101, 7, 7);
CALL test.check_all();
UPDATE s SET g = g + 1 WHERE n < 10;
CALL test.check_all();
BEGIN; DELETE FROM s WHERE g = 3; UPDATE d SET name = name || '!'; INSERT INTO d VALUES (7, 'seven'); COMMIT;
CALL test.check_all();
-- A change that the middle one swallows reaches nobody above.
UPDATE s SET n = n + 1 WHERE id = 10; UPDATE s SET n = n - 1 WHERE id = 11;
CALL test.check_all();
-- One in the middle is refreshed, paused, resumed.
SELECT derive.pause('a_groups');
UPDATE s SET n = n * 2;
CALL test.await_state('i_fourth', 'stale');
SELECT derive.wait(timeout => '60 s', view => 'b_rows') IS NOT NULL AS waited;
SELECT view, state FROM derive.views ORDER BY view::text COLLATE "C";
SELECT derive.resume('a_groups');
CALL test.check_all();
SELECT derive.refresh('b_rows');
DELETE FROM s WHERE id < 5;
CALL test.check_all();
TRUNCATE d;
CALL test.check_all();
TRUNCATE s;
CALL test.check_all();
INSERT INTO s VALUES (1, 1, 1);
INSERT INTO d VALUES (1, 'one');
CALL test.check_all();
-- A view built later upon ones that live.
SELECT derive.create_view('j_late', 'SELECT count(*) AS c FROM g_self');
CALL test.check_all();
SELECT derive.drop_view('a_groups', cascade => true);
SELECT view FROM derive.views ORDER BY view::text COLLATE "C";
INSERT INTO s VALUES (2, 2, 20);
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_chain CASCADE;
