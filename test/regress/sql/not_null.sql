-- What a column's NOT NULL is trusted for: NOT IN without a look at NULLs.
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
SET client_min_messages = warning;
DROP SCHEMA t_not_null CASCADE;
