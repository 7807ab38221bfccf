-- Values out of line: fetched, kept when an update leaves them alone, compared by content.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_toast;
SET search_path = t_toast;
CREATE FUNCTION noise(seed int, n int DEFAULT 640) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(md5(seed || '.' || i), '') FROM generate_series(1, n) i $$;
CREATE TABLE s (id int PRIMARY KEY, g int, big text, other text, n int);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT i, i % 2, noise(i), repeat('compressible ', 2000), i FROM generate_series(1, 6) i;
SELECT derive.create_view('rows', 'SELECT id, big, n FROM s');
SELECT derive.create_view('bag', 'SELECT big, other FROM s');
SELECT derive.create_view('hashes', 'SELECT md5(big) AS h, count(*) AS n FROM s GROUP BY md5(big)');
SELECT derive.create_view('extrema', 'SELECT g, min(big) AS lo, max(big) AS hi FROM s GROUP BY g');
SELECT derive.create_view('narrow', 'SELECT id, n FROM s');
CALL test.check_all();
-- Unchanged values are in no tuple of the log.
UPDATE s SET n = n + 1;
CALL test.check_all();
UPDATE s SET g = 1 - g WHERE id < 4;
CALL test.check_all();
-- Changed ones are, and so is one that becomes small or NULL.
UPDATE s SET big = noise(100 + id) WHERE id = 1;
UPDATE s SET big = 'small' WHERE id = 2;
UPDATE s SET big = NULL, other = noise(7) WHERE id = 3;
CALL test.check_all();
UPDATE s SET big = noise(200) WHERE big IS NULL;
UPDATE s SET id = id + 100 WHERE id = 4;
CALL test.check_all();
-- Several times in one transaction, with a savepoint undone.
BEGIN;
UPDATE s SET big = noise(300) WHERE id = 5;
SAVEPOINT a; UPDATE s SET big = noise(301) WHERE id = 5; ROLLBACK TO a;
UPDATE s SET n = 0 WHERE id = 5;
INSERT INTO s VALUES (7, 1, noise(300), noise(302), 7);
UPDATE s SET big = big || 'x' WHERE id = 7;
COMMIT;
CALL test.check_all();
DELETE FROM s WHERE id IN (1, 6, 7);
CALL test.check_all();
-- A key that no index can hold: the view says so, the others go on.
SELECT derive.create_view('by_big', 'SELECT big, sum(n) AS n FROM s GROUP BY big');
CALL test.await_state('by_big', 'failed');
SELECT reason FROM derive.views WHERE view = 'by_big'::regclass;
SELECT derive.drop_view('by_big');
CALL test.check_all();
ALTER TABLE s ADD COLUMN more text DEFAULT 'default';
UPDATE s SET more = noise(400);
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_toast CASCADE;
