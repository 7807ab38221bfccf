-- A view's relation is read-only to everyone, its owner and superusers included.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_readonly;
SET search_path = t_readonly;
CREATE TABLE src (id int PRIMARY KEY, n int);
ALTER TABLE src REPLICA IDENTITY FULL;
INSERT INTO src VALUES (1, 1), (2, 2);
SELECT derive.create_view('v', 'SELECT id, n FROM src');
CALL test.settle();
INSERT INTO v VALUES (3, 3);
INSERT INTO v SELECT 3, 3 WHERE false;
INSERT INTO v VALUES (1, 1) ON CONFLICT DO NOTHING;
UPDATE v SET n = 5;
UPDATE v SET n = 5 WHERE false;
DELETE FROM v;
DELETE FROM v WHERE id = 1;
TRUNCATE v;
TRUNCATE src, v;
COPY v FROM stdin;
3	3
\.
MERGE INTO v USING src ON src.id = v.id WHEN MATCHED THEN DELETE;
WITH w AS (DELETE FROM v RETURNING id) SELECT * FROM w;
BEGIN; SELECT id FROM v WHERE id = 1 FOR UPDATE; ROLLBACK;

-- Whoever has the privileges gets no further.
CREATE ROLE regress_derive_writer;
GRANT USAGE ON SCHEMA t_readonly TO regress_derive_writer;
GRANT ALL ON v TO regress_derive_writer;
SET ROLE regress_derive_writer;
INSERT INTO v VALUES (3, 3);
TRUNCATE v;
TABLE v ORDER BY 1;
RESET ROLE;

-- The guard cannot be taken away, nor the shape changed, behind pg_derive's back.
SELECT tgname AS guard FROM pg_trigger WHERE tgrelid = 'v'::regclass \gset
SELECT statement, test.refused(replace(statement, 'GUARD', :'guard')) AS refused
    FROM (VALUES ('DROP TRIGGER GUARD ON v'), ('ALTER TABLE v DISABLE TRIGGER ALL'), ('ALTER TABLE v DISABLE TRIGGER GUARD'),
        ('ALTER TABLE v ENABLE REPLICA TRIGGER GUARD'), ('ALTER TABLE v ADD COLUMN extra int'), ('ALTER TABLE v DROP COLUMN n'),
        ('ALTER TABLE v ALTER COLUMN n TYPE bigint'), ('ALTER TABLE v ADD CHECK (n < 5)'),
        ('ALTER TABLE v ALTER COLUMN n SET NOT NULL'), ('ALTER TABLE v SET UNLOGGED'),
        ('CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING'), ('CREATE TABLE child () INHERITS (v)'), ('DROP INDEX v_key')) s (statement);
SET session_replication_role = replica;
INSERT INTO v VALUES (4, 4);
DELETE FROM v;
RESET session_replication_role;
INSERT INTO src VALUES (3, 3);
UPDATE src SET n = n * 10 WHERE id = 1;
DELETE FROM src WHERE id = 2;
CALL test.check_all();
TABLE v ORDER BY 1;

-- What is the owner's to do: rename, move, index, cluster, vacuum, analyze, comment, storage.
ALTER TABLE v RENAME TO w;
CREATE SCHEMA t_readonly_2;
ALTER TABLE w SET SCHEMA t_readonly_2;
CREATE INDEX ON t_readonly_2.w (n);
ALTER TABLE t_readonly_2.w SET (fillfactor = 70);
VACUUM FULL t_readonly_2.w;
VACUUM ANALYZE t_readonly_2.w;
INSERT INTO src VALUES (5, 5);
UPDATE src SET n = -n;
CALL test.settle();
SET search_path = t_readonly_2;
CALL test.check_all();
SELECT view FROM derive.views;
SELECT id FROM w WHERE n = -5;

SET client_min_messages = warning;
DROP SCHEMA t_readonly, t_readonly_2 CASCADE;
DROP ROLE regress_derive_writer;
