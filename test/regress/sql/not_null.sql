-- What NOT NULL and a primary key are trusted for: NOT IN and domains without a look at NULLs, lookups as joins.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_not_null;
SET search_path = t_not_null;
CREATE TABLE a (x int PRIMARY KEY);
CREATE TABLE b (id int PRIMARY KEY, y int NOT NULL);
CREATE TABLE c (id int PRIMARY KEY, y int);
ALTER TABLE b REPLICA IDENTITY FULL;
ALTER TABLE c REPLICA IDENTITY FULL;
INSERT INTO a SELECT generate_series(1, 5);
INSERT INTO b VALUES (1, 1);
INSERT INTO c VALUES (1, 1), (2, NULL);
-- From PostgreSQL 18 on, a column can be marked although there are rows with NULL in it.
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE 'ALTER TABLE c ADD CONSTRAINT c_y NOT NULL y NOT VALID';
    END IF;
END $$;
SELECT derive.create_view('trusted', 'SELECT x FROM a WHERE x NOT IN (SELECT y FROM b)');
SELECT derive.create_view('not_trusted', 'SELECT x FROM a WHERE x NOT IN (SELECT y FROM c)');
CALL test.check_all();
INSERT INTO b VALUES (2, 2);
INSERT INTO c VALUES (3, 3);
CALL test.check_all();
DELETE FROM c WHERE y IS NULL;
CALL test.check_all();
-- What was trusted may go.
ALTER TABLE b ALTER y DROP NOT NULL;
INSERT INTO b VALUES (3, NULL);
CALL test.check_all();
DELETE FROM b WHERE y IS NULL;
CALL test.check_all();
-- Values that a subquery depends on are joined by plain equality if they cannot be NULL; and of a primary key
-- there is one row at most, so that a subquery becomes a join. Views that were made so are made again when either goes.
CREATE TABLE d (id int PRIMARY KEY, x int NOT NULL) PARTITION BY LIST (id);
CREATE TABLE d_1 PARTITION OF d FOR VALUES IN (1, 2, 3);
CREATE TABLE e (k int PRIMARY KEY, v text);
ALTER TABLE d_1 REPLICA IDENTITY FULL;
ALTER TABLE e REPLICA IDENTITY FULL;
INSERT INTO d VALUES (1, 1), (2, 2);
INSERT INTO e VALUES (1, 'one'), (2, 'two');
SELECT derive.create_view('compared', 'SELECT id, (SELECT count(*) FROM c WHERE c.y < coalesce(d.x, 9)) AS n FROM d');
SELECT derive.create_view('compared_part', 'SELECT x, (SELECT count(*) FROM c WHERE c.y < coalesce(p.x, 9)) AS n FROM d_1 p');
SELECT derive.create_view('above', 'SELECT n, count(*) AS c FROM compared GROUP BY n');
SELECT derive.create_view('looked_up', 'SELECT x, (SELECT v FROM e WHERE e.k = d.x) AS v FROM d');
SELECT derive.create_view('joined', 'SELECT d.id, e.k, e.v FROM d JOIN e ON e.k = d.x');
CALL test.check_all();
SELECT id AS id_of_joined FROM derive_state.view WHERE view = 'joined'::regclass \gset
ALTER TABLE d ALTER x DROP NOT NULL;
INSERT INTO d VALUES (3, NULL);
CALL test.check_all();
UPDATE d SET x = NULL WHERE id = 1;
INSERT INTO c VALUES (5, 5);
CALL test.check_all();
-- What was not made of it is not made again.
SELECT id = :id_of_joined AS kept FROM derive_state.view WHERE view = 'joined'::regclass;
BEGIN;
ALTER TABLE e DROP CONSTRAINT e_pkey;
INSERT INTO e VALUES (2, 'deux');
COMMIT;
CALL test.await_state('looked_up', 'failed');
SELECT reason FROM derive.views WHERE view = 'looked_up'::regclass;
DELETE FROM e WHERE v = 'two';
SELECT derive.refresh('looked_up');
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_not_null CASCADE;
