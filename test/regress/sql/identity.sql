-- REPLICA IDENTITY: set to FULL where a source needs it and is the caller's own.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_identity;
CREATE ROLE regress_derive_owner;
CREATE ROLE regress_derive_user;
GRANT ALL ON SCHEMA t_identity TO regress_derive_owner, regress_derive_user;
SET search_path = t_identity;
SET ROLE regress_derive_owner;
CREATE TABLE keyed (id int PRIMARY KEY, n int);
CREATE TABLE keyless (a int, b int);
CREATE TABLE already (a int);
ALTER TABLE already REPLICA IDENTITY FULL;
CREATE TABLE parted (id int, n int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
GRANT SELECT ON ALL TABLES IN SCHEMA t_identity TO regress_derive_user;
RESET ROLE;

-- Not the caller's: an error with the statement to run.
SET ROLE regress_derive_user;
SELECT derive.create_view('v1', 'SELECT n FROM keyed');
SELECT derive.create_view('v1', 'SELECT a FROM keyless');
SELECT derive.create_view('v1', 'SELECT a FROM already');
SELECT derive.create_view('v2', 'SELECT n FROM parted');
RESET ROLE;

-- The caller's own: done, with a NOTICE.
SET ROLE regress_derive_owner;
SELECT derive.create_view('v3', 'SELECT n FROM keyed');
SELECT derive.create_view('v4', 'SELECT a, b FROM keyless');
SELECT derive.create_view('v5', 'SELECT n FROM parted');
SELECT derive.create_view('v6', 'SELECT n FROM keyed WHERE n > 1');
RESET ROLE;
SELECT relname, relreplident FROM pg_class WHERE relnamespace = 't_identity'::regnamespace AND relkind IN ('r', 'p')
    AND relname !~ '^v' ORDER BY 1;

-- Reading the primary key alone needs no more than the default.
SET ROLE regress_derive_owner;
CREATE TABLE only_key (id int PRIMARY KEY, n int);
SELECT derive.create_view('v7', 'SELECT id, count(*) AS c FROM only_key GROUP BY id');
RESET ROLE;

-- What is recomputed, or reads first rows again, needs no old rows: nothing is asked for, of whomsoever the table is.
SET ROLE regress_derive_owner;
CREATE TABLE whole (id int PRIMARY KEY, n int, long text);
CREATE TABLE whole_keyless (a int, b int);
ALTER TABLE whole ALTER long SET STORAGE EXTERNAL;
CREATE TABLE whole_parted (id int, n int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE whole_parted_1 PARTITION OF whole_parted FOR VALUES FROM (0) TO (100);
CREATE TABLE whole_parted_2 PARTITION OF whole_parted FOR VALUES FROM (100) TO (200);
GRANT SELECT ON whole, whole_keyless, whole_parted TO regress_derive_user;
RESET ROLE;
SET ROLE regress_derive_user;
SELECT derive.create_view('w1', 'SELECT id, n, md5(long) AS long FROM whole ORDER BY n DESC, id LIMIT 3');
SELECT derive.create_view('w2', 'SELECT a, row_number() OVER (ORDER BY a, b) AS nr FROM whole_keyless');
SELECT derive.create_view('w3', 'SELECT id, sum(n) OVER (ORDER BY n, id) AS s FROM whole_parted');
-- A view over it takes what the recompute finds.
SELECT derive.create_view('w4', 'SELECT nr % 2 AS odd, sum(a) AS a FROM w2 GROUP BY nr % 2');
RESET ROLE;
SELECT relname, relreplident FROM pg_class WHERE relnamespace = 't_identity'::regnamespace AND relname ~ '^whole'
    AND relkind = 'r' ORDER BY 1;

INSERT INTO keyed SELECT i, i % 3 FROM generate_series(1, 10) i;
INSERT INTO keyless SELECT i % 3, i % 2 FROM generate_series(1, 10) i;
INSERT INTO already VALUES (1), (1), (2);
INSERT INTO parted SELECT i, i % 3 FROM generate_series(1, 180, 7) i;
INSERT INTO only_key VALUES (1, 1), (2, 2);
DELETE FROM keyed WHERE id < 3;
UPDATE keyless SET a = a + 1 WHERE b = 1;
DELETE FROM keyless WHERE a = 2;
DELETE FROM already WHERE ctid = (SELECT min(ctid) FROM already);
UPDATE parted SET id = id + 20 WHERE id BETWEEN 70 AND 90;
UPDATE only_key SET id = 3 WHERE id = 2;
DELETE FROM only_key WHERE id = 1;
CALL test.check_all();

INSERT INTO whole SELECT i, i % 5, repeat(i::text, 3000) FROM generate_series(1, 20) i;
INSERT INTO whole_keyless SELECT i % 4, i % 3 FROM generate_series(1, 10) i;
INSERT INTO whole_parted SELECT i, i % 7 FROM generate_series(1, 190, 9) i;
CALL test.check_all();
UPDATE whole SET n = 10 WHERE id = 7;               -- the long value did not change, nor the key
UPDATE whole_keyless SET a = 9 WHERE b = 1;
UPDATE whole_parted SET id = id + 60 WHERE id > 90 AND id < 110;
CALL test.check_all();
UPDATE whole SET id = 77 WHERE id = 7;
UPDATE whole SET long = 'short' WHERE id = 77;
DELETE FROM whole WHERE n = 4;
DELETE FROM whole_keyless WHERE a = 9;
DELETE FROM whole_parted WHERE n = 3;
CALL test.check_all();
ALTER TABLE whole REPLICA IDENTITY NOTHING;
ALTER TABLE whole_parted_1 REPLICA IDENTITY NOTHING;
UPDATE whole SET n = 11 WHERE id = 5;
DELETE FROM whole WHERE id = 77;
UPDATE whole_parted SET n = n + 1 WHERE id < 50;
CALL test.check_all();
ALTER TABLE whole REPLICA IDENTITY FULL;
UPDATE whole SET n = 12 WHERE id = 6;
DELETE FROM whole WHERE id = 5;
CALL test.check_all();
-- All that was expected: nothing was repaired.
SELECT v.view, v.state, sum(s.repairs) AS repairs FROM derive.views v JOIN derive.stages s USING (view)
    WHERE v.view::text ~ '^w[0-9]' GROUP BY 1, 2 ORDER BY 1;

-- A partition that comes later: with rows, and with another identity.
CREATE TABLE late (id int NOT NULL, n int);
ALTER TABLE late OWNER TO regress_derive_owner;
INSERT INTO late SELECT i, i % 3 FROM generate_series(300, 310) i;
ALTER TABLE parted ATTACH PARTITION late FOR VALUES FROM (300) TO (400);
CALL test.check_all();
UPDATE late SET n = n + 1;
DELETE FROM late WHERE id = 305;
CALL test.check_all();
ALTER TABLE parted DETACH PARTITION parted_2;
CALL test.check_all();
DELETE FROM parted_2;
INSERT INTO parted VALUES (350, 1);
CALL test.check_all();

-- Taken away again: declared or followed by recompute, never a wrong row.
ALTER TABLE keyed REPLICA IDENTITY DEFAULT;
DELETE FROM keyed WHERE id = 5;
UPDATE keyed SET n = n + 1 WHERE id = 6;
ALTER TABLE keyed REPLICA IDENTITY FULL;
UPDATE keyed SET n = n + 1 WHERE id = 7;
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_identity CASCADE;
DROP ROLE regress_derive_owner, regress_derive_user;
