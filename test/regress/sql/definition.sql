-- The definition is guarded as an ordinary view's: drop, rename, type change of a source.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_definition;
SET search_path = t_definition;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE FUNCTION double(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE src (id int PRIMARY KEY, n int, unused text, m mood);
ALTER TABLE src REPLICA IDENTITY FULL;
INSERT INTO src SELECT i, i, 'u', 'ok' FROM generate_series(1, 5) i;
SELECT derive.create_view('rows', 'SELECT id, double(n) AS n, m FROM src WHERE n > 1');
SELECT derive.create_view('total', 'SELECT sum(n) AS total FROM rows');
CALL test.check_all();

-- Refused.
DROP TABLE src;
ALTER TABLE src DROP COLUMN n;
\set VERBOSITY terse
ALTER TABLE src ALTER COLUMN n TYPE bigint;
\set VERBOSITY default
DROP FUNCTION double(int);
DROP TYPE mood;
DROP TABLE rows;
ALTER TABLE rows DROP COLUMN n;
SELECT derive.drop_view('rows');

-- Followed.
ALTER TABLE src RENAME COLUMN n TO renamed;
INSERT INTO src VALUES (6, 6, NULL, 'happy');
CALL test.check_all();
ALTER TABLE src RENAME TO source;
INSERT INTO source VALUES (7, 7, NULL, NULL);
CALL test.check_all();
CREATE SCHEMA t_definition_2;
ALTER TABLE source SET SCHEMA t_definition_2;
UPDATE t_definition_2.source SET renamed = renamed + 1;
CALL test.check_all();
ALTER SCHEMA t_definition_2 RENAME TO t_definition_3;
DELETE FROM t_definition_3.source WHERE id = 2;
CALL test.check_all();
ALTER FUNCTION double(int) RENAME TO twice;
ALTER TYPE mood ADD VALUE 'ecstatic';
INSERT INTO t_definition_3.source VALUES (8, 8, NULL, 'ecstatic');
CALL test.check_all();
-- From PostgreSQL 16 on, columns of the only table are shown without its name.
SELECT view, regexp_replace(query, '(source|rows)\.', '', 'g') AS query FROM derive.views ORDER BY 1;

-- Not the view's business.
ALTER TABLE t_definition_3.source ADD COLUMN more int DEFAULT 7;
INSERT INTO t_definition_3.source (id, renamed, more) VALUES (9, 9, 9);
CALL test.check_all();
ALTER TABLE t_definition_3.source DROP COLUMN unused;
INSERT INTO t_definition_3.source (id, renamed, more) VALUES (10, 10, 10);
DELETE FROM t_definition_3.source WHERE id = 3;
CALL test.check_all();
ALTER TABLE t_definition_3.source ALTER COLUMN more TYPE text USING more || '!';
UPDATE t_definition_3.source SET renamed = renamed * 2 WHERE id > 5;
CALL test.check_all();
ALTER TABLE t_definition_3.source ADD COLUMN volatile_default float8 DEFAULT random();
UPDATE t_definition_3.source SET renamed = renamed + 1;
CALL test.check_all();
VACUUM FULL t_definition_3.source;
DELETE FROM t_definition_3.source WHERE id = 4;
CALL test.check_all();
CLUSTER t_definition_3.source USING src_pkey;
INSERT INTO t_definition_3.source (id, renamed) VALUES (11, 11);
CALL test.check_all();

-- DDL and DML in one transaction, rows before and after.
BEGIN;
INSERT INTO t_definition_3.source (id, renamed) VALUES (20, 20);
ALTER TABLE t_definition_3.source ADD COLUMN late int;
UPDATE t_definition_3.source SET renamed = 21, late = 1 WHERE id = 20;
ALTER TABLE t_definition_3.source DROP COLUMN more;
INSERT INTO t_definition_3.source (id, renamed) VALUES (22, 22);
DELETE FROM t_definition_3.source WHERE id = 5;
COMMIT;
CALL test.check_all();

-- The table is replaced under its views: a rewrite that needs the view's own column.
ALTER TABLE t_definition_3.source ADD COLUMN gen int GENERATED ALWAYS AS (renamed * 3) STORED;
SELECT derive.create_view('generated', 'SELECT gen, count(*) AS n FROM t_definition_3.source GROUP BY gen');
UPDATE t_definition_3.source SET renamed = renamed - 1;
CALL test.check_all();

-- What cannot be followed is recomputed.
ALTER TABLE t_definition_3.source SET UNLOGGED;
INSERT INTO t_definition_3.source (id, renamed) VALUES (30, 30);
ALTER TABLE t_definition_3.source SET LOGGED;
UPDATE t_definition_3.source SET renamed = 31 WHERE id = 30;
CALL test.check_all();

-- pg_dump sees an ordinary table and keeps the definition.
SELECT c.relkind, c.relpersistence FROM pg_class c WHERE oid = 'rows'::regclass;
DROP TABLE t_definition_3.source CASCADE;
SELECT view FROM derive.views;

SET client_min_messages = warning;
DROP SCHEMA t_definition, t_definition_3 CASCADE;
