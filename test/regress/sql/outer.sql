-- Outer joins, EXISTS, functions and VALUES in FROM: NULLs and duplicates on both sides, the same
-- table on both sides, every subset of the sources changed in one transaction, first and last
-- matches that come and go.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_outer;
SET search_path = t_outer;
CREATE DOMAIN present AS int CHECK (VALUE IS NOT NULL);
CREATE TABLE a (x int, y int, t text COLLATE "C");
CREATE TABLE b (x int, z int, p present DEFAULT 1);
CREATE TABLE c (z int, label text);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
ALTER TABLE c REPLICA IDENTITY FULL;
INSERT INTO a VALUES (1, 1, 'a'), (1, 1, 'a'), (2, NULL, 'b'), (NULL, 1, 'c'), (NULL, NULL, NULL), (3, 2, 'd');
INSERT INTO b VALUES (1, 1), (1, 1), (1, 2), (2, 1), (NULL, 1), (NULL, NULL), (4, NULL);
INSERT INTO c VALUES (1, 'one'), (2, 'two'), (3, NULL), (NULL, 'null');

-- Outer joins, nested both ways, with all kinds of conditions.
SELECT derive.create_view('left1', 'SELECT a.x, a.t, b.z, b.p FROM a LEFT JOIN b ON a.x = b.x');
SELECT derive.create_view('left_left', 'SELECT a.t, b.z, c.label FROM (a LEFT JOIN b ON a.x = b.x) LEFT JOIN c ON b.z = c.z');
SELECT derive.create_view('left_inner', 'SELECT a.t, b.z, c.label FROM a LEFT JOIN (b JOIN c ON b.z = c.z) ON a.x = b.x');
SELECT derive.create_view('left_right', 'SELECT a.t, b.z, c.label FROM a LEFT JOIN (b RIGHT JOIN c USING (z)) ON a.x = c.z');
SELECT derive.create_view('left_theta', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x < b.x');
SELECT derive.create_view('left_partly', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x = b.x AND a.y < b.z');
SELECT derive.create_view('left_sides', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x = b.x AND a.y > 0 AND b.z > 1');
SELECT derive.create_view('left_only_right', 'SELECT a.t, b.z FROM a LEFT JOIN b ON b.z > 1');
SELECT derive.create_view('left_nullsafe', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x IS NOT DISTINCT FROM b.x');
SELECT derive.create_view('left_self', 'SELECT p.t, q.t AS t2 FROM a p LEFT JOIN a q ON p.x = q.y');
SELECT derive.create_view('left_where', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x = b.x WHERE b.x IS NULL OR a.y > 0');
SELECT derive.create_view('left_joined', 'SELECT a.t, b.z, c.label FROM a LEFT JOIN b ON a.x = b.x JOIN c ON c.z = a.y');
SELECT derive.create_view('right1', 'SELECT a.t, b.z FROM a RIGHT JOIN b ON a.x = b.x');
SELECT derive.create_view('full1', 'SELECT x, a.t, b.z FROM a FULL JOIN b USING (x)');
SELECT derive.create_view('full_left', 'SELECT a.t, b.z, c.label FROM (a LEFT JOIN b ON a.x = b.x) FULL JOIN c ON b.z = c.z');
SELECT derive.create_view('full_full', 'SELECT x, z, label FROM a FULL JOIN b USING (x) FULL JOIN c USING (z)');
SELECT derive.create_view('full_where', 'SELECT a.t, b.z, c.label FROM a FULL JOIN (b JOIN c ON b.z = c.z) ON a.x = b.x WHERE a.y IS NULL OR a.y > 0');
SELECT derive.create_view('named_join', 'SELECT j.t, j.z FROM (a LEFT JOIN b USING (x)) AS j');

-- EXISTS.
SELECT derive.create_view('semi', 'SELECT t FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x)');
SELECT derive.create_view('anti', 'SELECT t FROM a WHERE y > 0 AND NOT EXISTS (SELECT FROM b WHERE b.x = a.x AND b.z > 1 LIMIT 1)');
SELECT derive.create_view('anti_anti', 'SELECT t FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.x = a.x AND NOT EXISTS (SELECT FROM c WHERE c.z = b.z))');
SELECT derive.create_view('semi_anti', 'SELECT t FROM a WHERE EXISTS (SELECT FROM b WHERE b.x = a.x) AND NOT EXISTS (SELECT FROM c WHERE c.z = a.y)');
SELECT derive.create_view('anti_self', 'SELECT x, y FROM a p WHERE NOT EXISTS (SELECT FROM a q WHERE q.x = p.x AND q.y > p.y)');
SELECT derive.create_view('anti_over_left', 'SELECT a.t, b.z FROM a LEFT JOIN b ON a.x = b.x WHERE NOT EXISTS (SELECT FROM c WHERE c.z = b.z)');
SELECT derive.create_view('semi_over_outer', 'SELECT a.t FROM a WHERE EXISTS (SELECT FROM b LEFT JOIN c ON c.z = b.z WHERE b.x = a.y AND c.label IS NULL)');
SELECT derive.create_view('semi_no_columns', 'SELECT t FROM a WHERE EXISTS (SELECT FROM b HAVING count(*) > 6) AND NOT EXISTS (SELECT FROM c WHERE c.z = a.y GROUP BY c.label HAVING count(*) > 1)');
SELECT derive.create_view('semi_of_rows', 'SELECT t FROM a WHERE EXISTS (SELECT ROW(b.z) FROM b GROUP BY b.z HAVING count(*) > 1)');
SELECT derive.create_view('semi_uncorrelated', 'SELECT t FROM a WHERE EXISTS (SELECT FROM b WHERE z = 2) AND NOT EXISTS (SELECT FROM c WHERE z = 7)');

-- Functions and VALUES.
SELECT derive.create_view('function_lateral', 'SELECT a.t, g, n FROM a LEFT JOIN LATERAL generate_series(1, a.y) WITH ORDINALITY AS g(g, n) ON true');
SELECT derive.create_view('function_full', 'SELECT g, b.z FROM generate_series(0, 4) g FULL JOIN b ON b.x = g');
SELECT derive.create_view('functions', 'SELECT a.t, r.* FROM a, ROWS FROM (generate_series(1, a.x), generate_series(1, a.y)) AS r(g, h)');
SELECT derive.create_view('values_left', 'SELECT v.w, b.z FROM (VALUES (1, ''one''), (2, ''two''), (NULL, ''none'')) v(k, w) LEFT JOIN b ON b.x = v.k');
SELECT derive.create_view('values_lateral', 'SELECT a.t, v.q FROM a, b, LATERAL (VALUES (a.y), (b.z)) v(q) WHERE a.x = b.x');
SELECT derive.create_view('set_returning', 'SELECT t, generate_series(1, y) AS g, generate_series(1, 2) AS h FROM a');

-- Merged columns inside EXISTS, and names that the delta uses itself.
SELECT derive.create_view('merged', 'SELECT x, t, z FROM a FULL JOIN b USING (x) WHERE NOT EXISTS (SELECT FROM c WHERE c.z = x)');
SELECT derive.create_view('merged_named', 'SELECT j.x, j.t FROM (a LEFT JOIN b USING (x)) j WHERE EXISTS (SELECT FROM c LEFT JOIN b USING (z) WHERE c.z = j.x)');
SELECT derive.create_view('taken_names', 'SELECT flip.t, candidate.z, change_1.label FROM a flip LEFT JOIN (b candidate LEFT JOIN c change_1 ON change_1.z = candidate.z) ON flip.x < candidate.x');

-- Groups over all that.
SELECT derive.create_view('group_left', 'SELECT b.z, count(*) AS n, count(a.x) AS m, sum(a.y) AS y, min(a.t) AS t, max(b.p) AS p FROM a LEFT JOIN b ON a.x = b.x GROUP BY b.z');
SELECT derive.create_view('group_full', 'SELECT x, count(*) AS n, sum(b.z) AS z, min(a.t) AS t FROM a FULL JOIN b USING (x) GROUP BY x');
SELECT derive.create_view('group_anti', 'SELECT y, count(*) AS n, max(t) AS t FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.x = a.x) GROUP BY y');
SELECT derive.create_view('group_all', 'SELECT count(*) AS n, count(b.x) AS m, avg(b.z) AS z FROM a LEFT JOIN b ON a.x = b.x LEFT JOIN c ON c.z = b.z');
SELECT derive.create_view('group_function', 'SELECT g, count(*) AS n FROM a, generate_series(1, a.y) g GROUP BY g');
CALL test.check_all();

-- First matches come, last ones go.
INSERT INTO b VALUES (3, 1);
CALL test.check_all();
DELETE FROM b WHERE x = 1;
CALL test.check_all();
INSERT INTO b VALUES (1, 2), (1, 2), (2, 3), (NULL, 3);
CALL test.check_all();
DELETE FROM c WHERE z = 2;
CALL test.check_all();
UPDATE a SET x = 4 WHERE y = 1;
CALL test.check_all();
-- Every pair, and all three.
BEGIN; UPDATE a SET x = 2 WHERE x = 4; INSERT INTO b VALUES (2, 2), (4, 1); COMMIT;
CALL test.check_all();
BEGIN; DELETE FROM b WHERE x = 2; DELETE FROM c WHERE z = 1; COMMIT;
CALL test.check_all();
BEGIN; UPDATE a SET y = coalesce(y, 0) + 1; INSERT INTO c VALUES (1, 'uno'), (2, NULL), (2, 'due'); COMMIT;
CALL test.check_all();
BEGIN; UPDATE a SET x = y, y = x; UPDATE b SET x = z, z = x; UPDATE c SET z = z + 1; COMMIT;
CALL test.check_all();
-- A partner that comes and goes within one transaction, and one that is replaced.
BEGIN; INSERT INTO b VALUES (9, 9); INSERT INTO a VALUES (9, 9, 'nine'); DELETE FROM b WHERE x = 9; COMMIT;
CALL test.check_all();
BEGIN; INSERT INTO b VALUES (9, 1); INSERT INTO b VALUES (9, 2); COMMIT;
BEGIN; DELETE FROM b WHERE x = 9; INSERT INTO b VALUES (9, 3); COMMIT;
CALL test.check_all();
-- Both partners leave, everything leaves.
BEGIN; DELETE FROM a WHERE x = 9; DELETE FROM b WHERE x = 9; COMMIT;
CALL test.check_all();
DELETE FROM b;
CALL test.check_all();
BEGIN; DELETE FROM a; DELETE FROM c; INSERT INTO b VALUES (1, 1); COMMIT;
CALL test.check_all();
BEGIN; INSERT INTO a VALUES (1, 1, 'again'), (1, 7, 'again'); INSERT INTO c VALUES (1, 'again'); COMMIT;
CALL test.check_all();
-- All of them follow by their deltas.
SELECT rule, count(*) FROM derive.views GROUP BY rule ORDER BY rule;

-- Queries without tables have nothing to follow.
SELECT derive.create_view('no_from', 'SELECT 1 AS one, ''x''::text AS x');
SELECT derive.create_view('no_table', 'SELECT g FROM generate_series(1, 3) g');
SELECT derive.create_view('no_table_group', 'SELECT count(*) AS n, sum(v) AS s FROM (VALUES (1), (2)) w(v)');
CALL test.settle();
SELECT * FROM no_from;
SELECT * FROM no_table;
SELECT * FROM no_table_group;

-- The keys of joined rows: those of a nullable side are NULL where it is missing.
CREATE TABLE p (id int PRIMARY KEY, q_id int, n int);
CREATE TABLE q (id int PRIMARY KEY, p_id int, n int);
ALTER TABLE p REPLICA IDENTITY FULL;
ALTER TABLE q REPLICA IDENTITY FULL;
CREATE FUNCTION view_key(query text) RETURNS text LANGUAGE sql AS $$
    SELECT substr(e, 8) FROM derive.explain(query => query) e WHERE e LIKE '  key: %'
$$;
SELECT view_key('SELECT p.id, q.n FROM p LEFT JOIN q ON q.id = p.q_id');
SELECT view_key('SELECT p.id, q.id AS q FROM p LEFT JOIN q ON q.p_id = p.id');
SELECT view_key('SELECT q.id AS q, p.n FROM p LEFT JOIN q ON q.p_id = p.id');
SELECT view_key('SELECT p.id, q.n FROM p RIGHT JOIN q ON q.id = p.q_id');
SELECT view_key('SELECT p.id, q.id AS q FROM p RIGHT JOIN q ON q.id = p.q_id');
SELECT view_key('SELECT p.id, q.id AS q FROM p FULL JOIN q ON q.id = p.q_id');
SELECT view_key('SELECT p.id FROM p FULL JOIN q ON q.id = p.q_id');
SELECT view_key('SELECT id FROM p WHERE EXISTS (SELECT FROM q WHERE q.p_id = p.id)');
SELECT view_key('SELECT p.id, g FROM p, generate_series(1, n) g');
SELECT view_key('SELECT id, generate_series(1, n) AS g FROM p');
SELECT derive.create_view('keyed', 'SELECT p.id, q.id AS q, q.n FROM p FULL JOIN q ON q.p_id = p.id');
INSERT INTO p VALUES (1, 1, 1), (2, NULL, 2);
INSERT INTO q VALUES (1, 1, 1), (2, 1, 2), (3, NULL, 3), (4, 7, 4);
CALL test.check_all();
BEGIN; UPDATE q SET p_id = 2 WHERE id = 2; DELETE FROM p WHERE id = 1; INSERT INTO p VALUES (7, NULL, 7); COMMIT;
CALL test.check_all();

-- Existence by an equality and something else: the rows of a key's change are kept as records, of any types.
CREATE DOMAIN "a domain" AS numeric(6, 2);
CREATE TYPE "a pair" AS (l int, "R" text);
CREATE TABLE "left" (id int PRIMARY KEY, k int, "T x" varchar(10), c char(4), d "a domain", p "a pair", a int[], z text COLLATE "en-x-icu");
CREATE TABLE "right" (id int PRIMARY KEY, k int, "T x" varchar(10), c char(4), d "a domain", p "a pair", a int[], z text COLLATE "en-x-icu");
SELECT derive.create_view('rec_semi', 'SELECT id FROM "left" l WHERE EXISTS (SELECT FROM "right" r WHERE r.k = l.k AND r."T x" <> l."T x")');
SELECT derive.create_view('rec_anti', 'SELECT id FROM "left" l WHERE NOT EXISTS (SELECT FROM "right" r WHERE r.k = l.k AND r.c < l.c AND r.id > 2)');
SELECT derive.create_view('rec_left', 'SELECT l.id, r.id AS r FROM "left" l LEFT JOIN "right" r ON r.k = l.k AND r.d > l.d AND r.p IS DISTINCT FROM l.p');
SELECT derive.create_view('rec_full', 'SELECT l.id, r.id AS r FROM "left" l FULL JOIN "right" r ON r.k = l.k AND (r.a && l.a OR r.z > l.z)');
SELECT derive.create_view('rec_join', 'SELECT id FROM "left" l WHERE NOT EXISTS (SELECT FROM "right" r JOIN p ON p.id = r.id WHERE r.k = l.k AND r.z > l.z AND p.n <> l.id)');
SELECT derive.create_view('rec_collated', 'SELECT id FROM "left" l WHERE EXISTS (SELECT FROM "right" r WHERE r.k = l.k AND (r.z > ''b'') <> (l.id > 10))');
INSERT INTO "left" SELECT i, nullif(i % 4, 3), 't' || i % 3, 'c' || i % 5, i % 7 / 3.0, ROW(i % 2, 'R')::"a pair", ARRAY[i % 3, i % 5], chr(65 + i % 6) FROM generate_series(1, 30) i;
INSERT INTO "right" SELECT i, nullif(i % 5, 4), 't' || i % 2, 'c' || i % 3, i % 5 / 3.0, ROW(i % 3, 'R')::"a pair", ARRAY[i % 4], chr(65 + i % 5) FROM generate_series(1, 12) i;
CALL test.check_all();
BEGIN;
DELETE FROM "right" WHERE id % 3 = 0;
UPDATE "right" SET k = (k + 1) % 4, "T x" = 't' || id % 3, c = NULL, z = lower(z) WHERE id % 2 = 0;
UPDATE "left" SET d = d + 1, p = ROW(NULL, NULL), a = NULL WHERE id % 4 = 0;
INSERT INTO "right" SELECT i, i % 3, 't9', 'c9', 2, NULL, ARRAY[i % 4], 'Z' FROM generate_series(21, 30) i;
UPDATE "right" SET z = 'A' WHERE id > 25;
COMMIT;
CALL test.check_all();
DELETE FROM "right" WHERE k = 1;
UPDATE "left" SET k = 2 WHERE k = 0;
CALL test.check_all();
SELECT rule, sum(recomputes) - count(*) AS recomputes, sum(repairs) AS repairs FROM derive.stages WHERE query LIKE '%"right"%' GROUP BY rule;

-- A reader of the outer table only cannot look into EXISTS.
CREATE ROLE regress_derive_outer;
GRANT ALL ON SCHEMA t_outer TO regress_derive_outer;
GRANT SELECT ON p TO regress_derive_outer;
ALTER TABLE q ENABLE ROW LEVEL SECURITY;
SET ROLE regress_derive_outer;
SELECT derive.create_view('stolen', 'SELECT id FROM p WHERE EXISTS (SELECT FROM t_outer.q WHERE q.p_id = p.id)');
RESET ROLE;
ALTER TABLE q DISABLE ROW LEVEL SECURITY;
SET ROLE regress_derive_outer;
SELECT derive.create_view('stolen', 'SELECT id FROM p WHERE EXISTS (SELECT FROM t_outer.q WHERE q.p_id = p.id)');
RESET ROLE;

-- What is not a step of its own.
SELECT derive.create_view('far1', 'SELECT id FROM p WHERE NOT EXISTS (SELECT FROM q WHERE q.p_id = p.id AND NOT EXISTS (SELECT FROM a WHERE a.x = q.id AND a.y = p.id))');
SELECT derive.create_view('far2', 'SELECT id FROM p WHERE EXISTS (SELECT FROM q LEFT JOIN a ON a.x = p.n WHERE q.p_id = p.id AND a.y IS NULL)');
SELECT derive.create_view('far3', 'SELECT id FROM p WHERE EXISTS (SELECT FROM q WHERE q.p_id = p.id) OR n = 1');
SELECT derive.create_view('far4', 'SELECT id FROM p WHERE EXISTS (SELECT count(*) FROM q WHERE q.p_id = p.id)');
SELECT derive.create_view('far6', 'SELECT id FROM p WHERE NOT EXISTS (SELECT FROM c WHERE c.z = 7 UNION ALL SELECT FROM b WHERE b.z = 7)');
SELECT derive.create_view('far5', 'SELECT generate_series(1, n) AS g, count(*) FROM p GROUP BY 1');
CALL test.check_all();
SELECT derive.create_view('far', 'SELECT id, now FROM p, now() now');

SET client_min_messages = warning;
DROP SCHEMA t_outer CASCADE;
DROP ROLE regress_derive_outer;
