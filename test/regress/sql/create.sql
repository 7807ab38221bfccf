-- create_view: what it makes, and the mistakes that it names.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_create;
SET search_path = t_create;
CREATE TABLE item (id int PRIMARY KEY, name varchar(20) NOT NULL, price numeric(8,2), tags text[]);
INSERT INTO item SELECT i, 'item ' || i, i * 1.5, ARRAY['a', 'b'] FROM generate_series(1, 10) i;
ALTER TABLE item REPLICA IDENTITY FULL;

-- The relation exists at once, with exactly the query's columns.
SELECT derive.create_view('cheap', 'SELECT id, name, price, tags, price > 5 AS "Is it?" FROM item WHERE price < 10');
\d cheap
CALL test.check_all();
TABLE cheap ORDER BY 1;

-- Named arguments; a schema; a name that needs quotes.
SELECT derive.create_view(name => 't_create."Odd "" name"', query => 'SELECT count(*) FROM item;');
CALL test.settle();
TABLE "Odd "" name";

-- In one transaction with other DDL: indexes, comments and grants follow at once.
BEGIN;
CREATE TABLE fresh (id int PRIMARY KEY, a int);
INSERT INTO fresh VALUES (1, 10), (2, 20);
SELECT derive.create_view('fresh_view', 'SELECT id, a FROM fresh');
CREATE INDEX fresh_view_a ON fresh_view (a);
COMMENT ON TABLE fresh_view IS 'a comment';
GRANT SELECT ON fresh_view TO PUBLIC;
INSERT INTO fresh VALUES (3, 30);
COMMIT;
CALL test.settle();
TABLE fresh_view ORDER BY 1;
INSERT INTO fresh VALUES (4, 40);
CALL test.check_all();
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM fresh_view WHERE a = 40;
SELECT id FROM fresh_view WHERE a = 40;
RESET enable_seqscan;

-- Rolled back: nothing.
BEGIN;
SELECT derive.create_view('never', 'SELECT id FROM item');
ROLLBACK;
SELECT to_regclass('never');

-- The key: made by us, NULLs not distinct, and only where it is one.
SELECT derive.create_view('by_price', 'SELECT price, count(*) AS n FROM item GROUP BY price');
SELECT derive.create_view('chosen_key', 'SELECT id, name FROM item', key => ARRAY['id']);
SELECT derive.create_view('keyless', 'SELECT name FROM item');
SELECT derive.create_view('one_row', 'SELECT max(price) AS m FROM item');
SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 't_create'::regnamespace AND c.relname IN ('by_price', 'chosen_key', 'keyless', 'one_row', 'cheap')
    ORDER BY 1, 2;
INSERT INTO item VALUES (11, 'item 1', NULL, NULL), (12, 'item 1', NULL, '{}');
UPDATE item SET price = NULL WHERE id < 4;
DELETE FROM item WHERE id = 2;
CALL test.check_all();
SELECT derive.create_view('wrong_key', 'SELECT id, name FROM item', key => ARRAY['nope']);
SELECT derive.create_view('wrong_key', 'SELECT id, name FROM item', key => ARRAY[]::text[]);
SELECT derive.create_view('wrong_key', 'SELECT id, name FROM item', key => ARRAY['id', NULL]);
SELECT derive.create_view('wrong_key', 'SELECT id, name FROM item', key => ARRAY['id', 'id']);

-- Mistakes.
SELECT derive.create_view('cheap', 'SELECT id FROM item');
SELECT derive.create_view('item', 'SELECT id FROM item');
SELECT derive.create_view(NULL, 'SELECT id FROM item');
SELECT derive.create_view('x', NULL);
SELECT derive.create_view('', 'SELECT id FROM item');
SELECT derive.create_view('a.b.c.d', 'SELECT id FROM item');
SELECT derive.create_view('no_such_schema.x', 'SELECT id FROM item');
SELECT derive.create_view('pg_temp.x', 'SELECT id FROM item');
SELECT derive.create_view('x', 'SELEC id FROM item');
SELECT derive.create_view('x', '');
SELECT derive.create_view('x', 'SELECT id FROM item; SELECT 1');
SELECT derive.create_view('x', 'DELETE FROM item');
SELECT derive.create_view('x', 'DELETE FROM item RETURNING id');
SELECT derive.create_view('x', 'TABLE no_such_table');
SELECT derive.create_view('x', 'SELECT no_such_column FROM item');
SELECT derive.create_view('x', 'SELECT id, id FROM item');
SELECT derive.create_view('x', 'SELECT id INTO y FROM item');
SELECT derive.create_view('x', 'SELECT $1::int FROM item');
SELECT derive.create_view('x', 'SELECT NULL AS a, ''b'' AS b, id FROM item');
\d x

-- Names that maintenance SQL uses itself do not collide with the user's.
CREATE TABLE collide (id int PRIMARY KEY, n int, count int, k1 int, sign int, image int, "__x" int, delta_collide int, touched int);
ALTER TABLE collide REPLICA IDENTITY FULL;
INSERT INTO collide SELECT i, i % 3, i, i % 2, 1, 2, 3, 4, 5 FROM generate_series(1, 9) i;
SELECT derive.create_view('collide_rows', 'SELECT n, count, k1, sign, image, "__x", delta_collide, touched FROM collide');
SELECT derive.create_view('collide_groups', 'SELECT n AS k1, sum(count) AS n, min(k1) AS sign, count(*) AS image FROM collide GROUP BY n');
UPDATE collide SET count = count + 1, n = n + 1 WHERE id > 4;
DELETE FROM collide WHERE id = 1;
CALL test.check_all();
CREATE TABLE "Quoted ""table" ("Key ""1" int PRIMARY KEY, "select" text);
ALTER TABLE "Quoted ""table" REPLICA IDENTITY FULL;
SELECT derive.create_view('"Quoted view"', 'SELECT "select", count(*) AS "group" FROM "Quoted ""table" GROUP BY 1');
INSERT INTO "Quoted ""table" VALUES (1, 'x'), (2, 'y'), (3, NULL), (4, 'x');
DELETE FROM "Quoted ""table" WHERE "Key ""1" = 1;
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_create CASCADE;
SELECT count(*) FROM derive.views;
