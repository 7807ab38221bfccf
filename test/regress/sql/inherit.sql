-- Inheritance trees as sources: rows of all children are rows of the parent, by the columns' names;
-- ONLY leaves them out; keys of the parent do not identify the rows of all.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_inherit;
SET search_path = t_inherit;
\set VERBOSITY terse
CREATE TABLE t (id int PRIMARY KEY, g int, n numeric);
CREATE TABLE c1 (extra text) INHERITS (t);
-- Another order of columns, and a child of two parents.
CREATE TABLE c2 (n numeric, own int, id int NOT NULL, g int);
ALTER TABLE c2 INHERIT t;
CREATE TABLE both_of () INHERITS (c1, c2);
INSERT INTO t VALUES (1, 1, 1), (2, 1, 2);
INSERT INTO c1 VALUES (1, 1, 5, 'x'), (3, 2, 1, 'y');
INSERT INTO c2 (id, g, n, own) VALUES (1, 1, 1.50, 1);
INSERT INTO both_of (id, g, n) VALUES (7, 2, 7);
SELECT derive.create_view('all_rows', 'SELECT id, g, n FROM t');
SELECT derive.create_view('own_rows', 'SELECT id, g, n FROM ONLY t');
SELECT derive.create_view('groups', 'SELECT g, sum(n) AS s, count(*) AS c, max(n) AS hi FROM t GROUP BY g');
SELECT derive.create_view('with_and_without', 'SELECT a.id, o.id AS own FROM t a JOIN ONLY t o ON a.g = o.g');
SELECT derive.create_view('of_child', 'SELECT id, extra FROM c1');
SELECT derive.create_view('lookup', 'SELECT a.id, (SELECT o.n FROM ONLY t o WHERE o.id = a.id) AS n FROM t a');
CALL test.check_all();
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
\d all_rows
-- Changes of each kind in each table, one id in several of them.
UPDATE t SET n = n + 1 WHERE id = 1;
INSERT INTO both_of (id, g, n) VALUES (1, 1, 9), (1, 1, 9);
CALL test.check_all();
DELETE FROM c1 WHERE id = 3;
UPDATE c2 SET g = NULL;
INSERT INTO t VALUES (9, NULL, 9);
UPDATE ONLY t SET g = 2 WHERE id = 2;
CALL test.check_all();
-- No recompute so far.
SELECT view, stage, recomputes FROM derive.stages WHERE recomputes > chosen + 1;
-- Children come and go, with and without rows.
ALTER TABLE c2 NO INHERIT t;
CALL test.check_all();
INSERT INTO c2 (id, g, n) VALUES (2, 2, 2);
CALL test.check_all();
ALTER TABLE c2 INHERIT t;
INSERT INTO c2 (id, g, n) VALUES (3, 3, 3);
CALL test.check_all();
BEGIN;
CREATE TABLE c4 () INHERITS (t);
INSERT INTO c4 VALUES (4, 4, 4);
COMMIT;
CALL test.check_all();
UPDATE c4 SET n = 5;
DROP TABLE both_of;
CALL test.check_all();
BEGIN;
ALTER TABLE c4 NO INHERIT t;
UPDATE c4 SET n = 6;
ALTER TABLE c4 INHERIT t;
COMMIT;
CALL test.check_all();
BEGIN;
CREATE TABLE visitor (LIKE t);
INSERT INTO visitor VALUES (11, 1, 1);
ALTER TABLE visitor INHERIT t;
INSERT INTO visitor VALUES (12, 1, 1);
ALTER TABLE visitor NO INHERIT t;
INSERT INTO visitor VALUES (13, 1, 1);
COMMIT;
BEGIN;
ALTER TABLE visitor INHERIT t;
DELETE FROM visitor WHERE id = 11;
ALTER TABLE visitor NO INHERIT t;
COMMIT;
CALL test.check_all();
TRUNCATE ONLY t;
CALL test.check_all();
TRUNCATE c1;
CALL test.check_all();
INSERT INTO t VALUES (1, 1, 1);
TRUNCATE t;
INSERT INTO c4 VALUES (1, 1, 1);
CALL test.check_all();
-- The first child of a table that a view was made of: the table's key is none any more.
CREATE TABLE single (id int PRIMARY KEY, v int);
INSERT INTO single VALUES (1, 1), (2, 2);
SELECT derive.create_view('keyed', 'SELECT id, v FROM single');
SELECT derive.create_view('looked_up', 'SELECT t.id, (SELECT s.v FROM single s WHERE s.id = t.id) AS v FROM t');
SELECT derive.create_view('above_keyed', 'SELECT v, count(*) AS c FROM keyed GROUP BY v');
CALL test.check_all();
CREATE TABLE first_child () INHERITS (single);
INSERT INTO first_child VALUES (2, 2), (2, 2), (3, 1);
CALL test.check_all();
UPDATE first_child SET v = v + 1;
DELETE FROM single WHERE id = 2;
CALL test.check_all();
SELECT indexdef FROM pg_indexes WHERE tablename = 'keyed' AND schemaname = 't_inherit' ORDER BY 1;
-- Children that cannot be followed.
CREATE UNLOGGED TABLE fleeting () INHERITS (single);
CALL test.await_state('keyed', 'failed');
SELECT state, reason FROM derive.views WHERE view = 'keyed'::regclass;
SELECT derive.create_view('refused', 'SELECT id FROM single');
DROP TABLE fleeting;
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_inherit CASCADE;
