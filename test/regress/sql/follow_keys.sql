-- Tables that log the columns of their replica identity only, and views that follow these.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_follow_keys;
SET search_path = t_follow_keys;
SET client_min_messages = notice;

-- Which of them were recomputed or repaired since the last look.
CREATE TEMP TABLE seen (stage regclass, recomputes bigint, repairs bigint);
CREATE PROCEDURE recomputed() LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(s.view::text, ', ' ORDER BY s.view::text COLLATE "C") INTO names
        FROM derive.stages s LEFT JOIN seen USING (stage)
        WHERE (s.recomputes, s.repairs) IS DISTINCT FROM (seen.recomputes, seen.repairs);
    RAISE INFO 'recomputed: %', COALESCE(names, 'none');
    TRUNCATE seen;
    INSERT INTO seen SELECT s.stage, s.recomputes, s.repairs FROM derive.stages s;
END $$;

CREATE TABLE plain (id int PRIMARY KEY, n int, long text, unread int);
ALTER TABLE plain ALTER long SET STORAGE EXTERNAL;
CREATE TABLE two (b numeric, a text COLLATE "C", n int, PRIMARY KEY (a, b));
CREATE TABLE other (id int, code text NOT NULL UNIQUE, n int);
ALTER TABLE other REPLICA IDENTITY USING INDEX other_code_key;
CREATE TABLE parted (k int, region text, n int, PRIMARY KEY (region, k)) PARTITION BY LIST (region);
CREATE TABLE parted_n PARTITION OF parted FOR VALUES IN ('n');
CREATE TABLE parted_s (n int, gone int, region text NOT NULL, k int NOT NULL);
ALTER TABLE parted_s DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_s FOR VALUES IN ('s');
CREATE TABLE empty_parted (k int PRIMARY KEY, n int) PARTITION BY RANGE (k);

-- What is filtered and projected, and shows the key, asks for nothing.
SELECT derive.create_view('plain_all', 'SELECT id, n, md5(long) AS long FROM plain');
SELECT derive.create_view('plain_some', 'SELECT n * 2 AS twice, id AS number FROM plain WHERE n % 2 = 0 AND length(long) > 3');
SELECT derive.create_view('two_all', 'SELECT a, n, b FROM two WHERE n IS NOT NULL');
SELECT derive.create_view('other_all', 'SELECT code, n FROM other');
SELECT derive.create_view('parted_all', 'SELECT n, k, region FROM parted');
SELECT derive.create_view('empty_all', 'SELECT k, n FROM empty_parted');
SELECT derive.create_view('given_key', 'SELECT n, id, long FROM plain WHERE n > 0', key => '{long, id}');
-- A stage below something else, and views above.
SELECT derive.create_view('stages', 'SELECT o.code, p.n, p.id FROM other_all o LEFT JOIN (SELECT id, n FROM plain WHERE n > 2) p ON p.id = o.n');
SELECT derive.create_view('above', 'SELECT long, count(*), min(n), max(number) FROM plain_all JOIN plain_some ON id = number GROUP BY long');
-- Windows and DISTINCT ON, whose parts are others than those of the key.
SELECT derive.create_view('ranked', 'SELECT n % 4 AS part, id, rank() OVER w AS r, count(*) OVER w AS c FROM plain WHERE n <> 3 WINDOW w AS (PARTITION BY n % 4 ORDER BY n, id)');
SELECT derive.create_view('best', 'SELECT DISTINCT ON (n % 5) n % 5 AS part, id, n, left(long, 5) AS long FROM plain ORDER BY n % 5, n DESC, id');
SELECT derive.create_view('parted_sums', 'SELECT region, k, n, sum(n) OVER (PARTITION BY k % 3) AS s, k % 3 AS part FROM parted');
SELECT derive.create_view('other_ranked', 'SELECT code, n, row_number() OVER (PARTITION BY n ORDER BY code) AS nr FROM other');
-- Whose table it is does not matter.
CREATE ROLE regress_derive_reader;
GRANT ALL ON SCHEMA t_follow_keys TO regress_derive_reader;
GRANT SELECT ON plain TO regress_derive_reader;
SET ROLE regress_derive_reader;
SELECT derive.create_view('of_another', 'SELECT id, n FROM plain WHERE id > 10');
SELECT derive.create_view('refused', 'SELECT n FROM plain');
RESET ROLE;
-- The key is not shown, or two tables are read: FULL is needed.
CREATE TABLE needs_full (id int PRIMARY KEY, n int);
CREATE TABLE also_full (id int PRIMARY KEY, n int);
SELECT derive.create_view('without_key', 'SELECT n FROM needs_full');
SELECT derive.create_view('joined', 'SELECT a.id, b.n FROM also_full a JOIN plain_all b USING (id)');
CREATE TABLE window_full (id int PRIMARY KEY, n int);
SELECT derive.create_view('windowed', 'SELECT n, rank() OVER (PARTITION BY n ORDER BY id) AS r FROM window_full');
CREATE TABLE sets_full (id int PRIMARY KEY, n int);
SELECT derive.create_view('sets', 'SELECT id, generate_series(1, n) AS i FROM sets_full');
CREATE TABLE only_full (id int PRIMARY KEY, n int);
SELECT derive.create_view('only_rows', 'SELECT id, n FROM ONLY only_full');
CREATE TABLE tree_full (id int PRIMARY KEY, n int);
CREATE TABLE child_full (PRIMARY KEY (id)) INHERITS (tree_full);
SELECT derive.create_view('tree', 'SELECT id, n FROM tree_full');
-- One that is FULL already is followed by rows.
SELECT derive.create_view('by_rows', 'SELECT id, n FROM needs_full');
SELECT relname, relreplident FROM pg_class WHERE relnamespace = 't_follow_keys'::regnamespace AND relkind IN ('r', 'p')
    AND relname NOT IN (SELECT view::text FROM derive.views) ORDER BY relname COLLATE "C";
SELECT s.view, s.stage = s.view AS itself, s.rule, w.source_key, w.key FROM derive.stages s JOIN derive_state.view w ON w.view = s.stage
    ORDER BY s.view::text COLLATE "C", 2;
SELECT derive.explain('plain_some'::regclass);
SELECT derive.advise('plain_some'::regclass);
SELECT derive.explain('best'::regclass);
SELECT derive.explain('SELECT id AS number, n, rank() OVER (PARTITION BY n ORDER BY id) AS r FROM plain');
SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 't_follow_keys' AND tablename IN ('plain_some', 'given_key', 'ranked', 'best', 'other_all', 'other_ranked')
    ORDER BY indexdef COLLATE "C";

INSERT INTO plain SELECT i, i % 7, repeat(i::text, 3000), i FROM generate_series(1, 40) i;
INSERT INTO two SELECT (i / 3)::numeric / 2, 'x' || i % 3, i FROM generate_series(1, 20) i;
INSERT INTO other SELECT i, 'c' || i, i % 4 FROM generate_series(1, 20) i;
INSERT INTO parted SELECT i, CASE WHEN i % 3 = 0 THEN 'n' ELSE 's' END, i FROM generate_series(1, 20) i;
INSERT INTO needs_full SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO also_full SELECT i, i FROM generate_series(1, 20) i;
CALL test.check_all();
CALL recomputed();

-- Updates that log no old row, deletes, and keys that change.
UPDATE plain SET n = n + 1 WHERE id % 3 = 0;            -- the long value is not logged, either
UPDATE plain SET unread = 0 WHERE id % 5 = 0;           -- nothing that is read changes
UPDATE plain SET long = 'short' WHERE id IN (5, 6);
DELETE FROM plain WHERE id IN (7, 8);
UPDATE plain SET id = id + 100 WHERE id BETWEEN 10 AND 14;
UPDATE two SET n = NULL WHERE a = 'x1';
UPDATE two SET a = 'y' WHERE a = 'x0' AND b > 1;
DELETE FROM two WHERE b = 1;
UPDATE other SET n = n + 10 WHERE id % 2 = 0;
UPDATE other SET code = 'd' || id WHERE id > 15;
DELETE FROM other WHERE id < 4;
UPDATE parted SET n = -n WHERE k % 2 = 0;
UPDATE parted SET region = 'n' WHERE k = 1;             -- into the other partition
DELETE FROM parted WHERE k = 9;
CALL test.check_all();
CALL recomputed();

-- Many changes of one key in one transaction, and in several that one tick takes.
BEGIN;
UPDATE plain SET n = 100 WHERE id = 1;
UPDATE plain SET id = 1001 WHERE id = 1;
UPDATE plain SET n = 101 WHERE id = 1001;
DELETE FROM plain WHERE id = 1001;
INSERT INTO plain VALUES (1, 102, 'again'), (1001, 2, 'another');
SAVEPOINT s;
UPDATE plain SET n = 50;
DELETE FROM plain WHERE id > 20;
ROLLBACK TO s;
UPDATE plain SET id = -id WHERE id IN (2, 3);           -- places changed
UPDATE plain SET id = CASE id WHEN -2 THEN 3 ELSE 2 END WHERE id < 0;
INSERT INTO plain VALUES (5000, 4, 'not for long');
DELETE FROM plain WHERE id = 5000;
COMMIT;
CALL test.check_all();
DO $$ BEGIN FOR i IN 1 .. 300 LOOP UPDATE plain SET n = i, id = CASE id WHEN 20 THEN 2000 ELSE 20 END WHERE id IN (20, 2000); COMMIT; END LOOP; END $$;
CALL test.check_all();
CALL recomputed();

-- Keys that are equal and look different.
INSERT INTO two VALUES (7.0, 'z', 1), (8, 'z', 2);
CALL test.check_all();
UPDATE two SET b = 7.000 WHERE b = 7;
UPDATE two SET b = 8.0, n = 3 WHERE b = 8;
CALL test.check_all();
DELETE FROM two WHERE b = 8.00;
CALL test.check_all();
CALL recomputed();

-- Keys of several kinds of types, and of a collation by which different texts are equal.
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE types (d positive, v varchar(5), c char(4), e mood, r int4range, a int[], n int, PRIMARY KEY (d, v, c, e, r, a));
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE texts (k text COLLATE any_case PRIMARY KEY, n int);
SELECT derive.create_view('types_all', 'SELECT a, r, e, c, v, d, n FROM types');
SELECT derive.create_view('texts_all', 'SELECT n, k FROM texts');
INSERT INTO types SELECT i, 'v' || i, 'c' || i, 'glad', int4range(i, i + 5), ARRAY[i, NULL], i FROM generate_series(1, 10) i;
INSERT INTO texts VALUES ('Ada', 1), ('bob', 2), ('Eve', 3);
CALL test.settle();
CALL recomputed();
UPDATE types SET n = n + 1 WHERE d < 5;
UPDATE types SET e = 'sad', c = c || 'x', a = a || 1 WHERE d = 6;
DELETE FROM types WHERE d = 7;
UPDATE texts SET k = 'ADA' WHERE n = 1;
UPDATE texts SET n = 20, k = 'Bob' WHERE k = 'BOB';
DELETE FROM texts WHERE k = 'eve';
INSERT INTO texts VALUES ('EVE', 4);
CALL test.check_all();
CALL recomputed();
TABLE texts_all ORDER BY n;

-- Partitions that come: with the identity that their primary key gives them, or by rows.
CREATE TABLE empty_parted_1 PARTITION OF empty_parted FOR VALUES FROM (0) TO (100);
CREATE TABLE empty_parted_2 PARTITION OF empty_parted FOR VALUES FROM (100) TO (200);
ALTER TABLE empty_parted_2 REPLICA IDENTITY FULL;
INSERT INTO empty_parted SELECT i, i FROM generate_series(1, 150, 10) i;
CALL test.check_all();
CALL recomputed();
UPDATE empty_parted SET n = n + 1;
UPDATE empty_parted SET k = k + 45 WHERE k > 80;
DELETE FROM empty_parted WHERE k IN (11, 146);
CALL test.check_all();
CALL recomputed();
ALTER TABLE empty_parted_1 REPLICA IDENTITY NOTHING;    -- lost, and so recomputed
UPDATE empty_parted SET n = n + 1 WHERE k < 100;
CALL test.check_all();
CALL recomputed();

-- TRUNCATE.
TRUNCATE other;
INSERT INTO other VALUES (1, 'c1', 1);
CALL test.check_all();
CALL recomputed();

-- Other identities, in the middle of things.
BEGIN;
UPDATE plain SET n = n + 1 WHERE id = 4;
ALTER TABLE plain REPLICA IDENTITY FULL;
UPDATE plain SET n = n + 1 WHERE id = 5;
DELETE FROM plain WHERE id = 6;
ALTER TABLE plain REPLICA IDENTITY DEFAULT;
UPDATE plain SET n = n + 1, long = long || 'x' WHERE id = 9;
UPDATE plain SET id = 900 WHERE id = 15;
COMMIT;
CALL test.check_all();
CALL recomputed();
ALTER TABLE plain REPLICA IDENTITY FULL;
UPDATE plain SET n = n + 1 WHERE id < 10;
UPDATE plain SET unread = 2;
DELETE FROM plain WHERE id = 16;
CALL test.check_all();
CALL recomputed();
ALTER TABLE plain REPLICA IDENTITY NOTHING;
UPDATE plain SET n = n + 1 WHERE id < 10;
UPDATE plain SET id = 3000 WHERE id = 30;
CALL test.check_all();
CALL recomputed();
INSERT INTO plain VALUES (17000, 2, 'an insert says all of itself');
CALL test.check_all();
CALL recomputed();
DELETE FROM plain WHERE id = 17000;
CALL test.check_all();
CALL recomputed();
ALTER TABLE plain REPLICA IDENTITY DEFAULT;
DELETE FROM plain WHERE id = 17;
CALL test.check_all();
CALL recomputed();
-- Another index, which does not have the key's columns.
ALTER TABLE plain ADD more int NOT NULL GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX plain_more ON plain (more);
ALTER TABLE plain REPLICA IDENTITY USING INDEX plain_more;
CALL test.check_all();
CALL recomputed();
UPDATE plain SET n = n + 1 WHERE id = 18;
DELETE FROM plain WHERE id = 19;
CALL test.check_all();
CALL recomputed();
DROP INDEX plain_more;                                  -- then nothing is logged
DELETE FROM plain WHERE id = 21;
CALL test.check_all();
CALL recomputed();
ALTER TABLE plain REPLICA IDENTITY DEFAULT;
-- A primary key with the same columns, and some more.
ALTER TABLE plain DROP CONSTRAINT plain_pkey, ADD PRIMARY KEY (more, id);
UPDATE plain SET n = n + 1 WHERE id = 22;
DELETE FROM plain WHERE id = 23;
CALL test.check_all();
CALL recomputed();
-- None at all.
ALTER TABLE plain DROP CONSTRAINT plain_pkey;
UPDATE plain SET n = n + 1 WHERE id = 24;
DELETE FROM plain WHERE id = 25;
CALL test.check_all();
CALL recomputed();
ALTER TABLE plain ADD PRIMARY KEY (id);
UPDATE plain SET n = n + 1 WHERE id = 26;
CALL test.check_all();
CALL recomputed();

-- A key that is NULL, since it is none any more.
ALTER TABLE plain DROP CONSTRAINT plain_pkey;
ALTER TABLE plain ALTER id DROP NOT NULL;
INSERT INTO plain (id, n, long) VALUES (NULL, 6, 'without key');
CALL test.check_all();
CALL recomputed();
DELETE FROM plain WHERE id IS NULL;
CALL test.check_all();
ALTER TABLE plain ADD PRIMARY KEY (id);
CALL recomputed();

-- An outbox needs whole rows; the views go on by keys.
SELECT derive.create_outbox('events', 'other');
UPDATE other SET n = n + 1;
DELETE FROM other WHERE code = 'c1';
CALL test.check_all();
SELECT type, payload FROM events ORDER BY position;
CALL recomputed();

-- A recompute beside: what it does not hear of rows is no loss for who follows keys.
SELECT derive.create_view('numbered', 'SELECT id, n, row_number() OVER (ORDER BY n, id) AS nr FROM plain');
CALL test.settle();
CALL recomputed();
UPDATE plain SET n = 1000 WHERE id = 27;
CALL test.check_all();
CALL recomputed();

SET client_min_messages = warning;
DROP SCHEMA t_follow_keys CASCADE;
DROP ROLE regress_derive_reader;
