-- DISTINCT is a fold over all columns; DISTINCT ON is computed anew for the keys that a change touches.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_distinct;
SET search_path = t_distinct;
CREATE TABLE s (id int PRIMARY KEY, g int, h text, n numeric, i int, x xid, j json);
CREATE TABLE d (g int, name text);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE d REPLICA IDENTITY FULL;
INSERT INTO s SELECT k, nullif(k % 4, 3), nullif('h' || k % 3, 'h2'), (k % 6) / 2.0, k % 5, k::text::xid FROM generate_series(1, 24) k;
INSERT INTO d VALUES (0, 'zero'), (1, 'one'), (1, 'uno'), (1, 'uno'), (NULL, 'none');
SELECT derive.create_view('plain', 'SELECT DISTINCT g, h FROM s');
SELECT derive.create_view('twice', 'SELECT DISTINCT g, g AS again, 1 AS one FROM s ORDER BY g');
SELECT derive.create_view('expressions', 'SELECT DISTINCT i % 2 AS m, upper(h) AS u FROM s WHERE i > 0');
SELECT derive.create_view('joined', 'SELECT DISTINCT d.name, s.h FROM s JOIN d USING (g)');
SELECT derive.create_view('first_of', 'SELECT DISTINCT ON (g) g, id, h, i FROM s ORDER BY g, i DESC NULLS LAST, id');
SELECT derive.create_view('first_of_two', 'SELECT DISTINCT ON (g, lower(h)) id, lower(h) AS lh, g FROM s ORDER BY lower(h), g, n, id DESC');
SELECT derive.create_view('first_joined', 'SELECT DISTINCT ON (d.name) d.name, s.id FROM s, d WHERE s.g = d.g ORDER BY d.name, s.id DESC');
SELECT derive.create_view('first_images', 'SELECT DISTINCT ON (n) n, id FROM s ORDER BY n, id');
SELECT derive.create_view('first_window', 'SELECT DISTINCT ON (g) g, id, rank() OVER (PARTITION BY g ORDER BY id) AS r FROM s ORDER BY g, i, id');
SELECT derive.create_view('first_keyed', 'SELECT DISTINCT ON (g) g, id FROM s ORDER BY g, id', key => '{id}');
-- Keys that are not among the columns, or of a type without an order: recomputed.
SELECT derive.create_view('first_hidden', 'SELECT DISTINCT ON (g) id FROM s ORDER BY g, id');
SELECT derive.create_view('no_order', 'SELECT DISTINCT x FROM s');
SELECT derive.create_view('over_groups', 'SELECT DISTINCT count(*) AS c FROM s GROUP BY g');
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
CALL test.check_all();
UPDATE s SET i = i + 5 WHERE id IN (3, 7);
UPDATE s SET h = 'H1' WHERE h = 'h1' AND id > 12;
CALL test.check_all();
-- The row that came first leaves, moves to another key, to that of NULL, and from there.
BEGIN;
DELETE FROM s WHERE id IN (SELECT id FROM s WHERE g = 1 ORDER BY i DESC LIMIT 2);
UPDATE s SET g = NULL WHERE id IN (4, 8);
UPDATE s SET g = 4 WHERE g IS NULL AND id > 12;
UPDATE s SET n = 1.00 WHERE n = 1.0;
DELETE FROM d WHERE name = 'one';
INSERT INTO d VALUES (4, 'four'), (2, NULL);
COMMIT;
CALL test.check_all();
BEGIN;
UPDATE s SET g = CASE WHEN g IS NULL THEN 0 WHEN g = 0 THEN NULL ELSE g END;
INSERT INTO s (id, g) VALUES (70, 70), (71, NULL);
DELETE FROM s WHERE id = 70;
COMMIT;
CALL test.check_all();
DELETE FROM s;
CALL test.check_all();
INSERT INTO s (id) VALUES (1), (2);
CALL test.check_all();
-- What EXCEPT ALL leaves are rows of the left side, though others that look different are equal to them.
CREATE TABLE left_side (n numeric, t text);
CREATE TABLE right_side (n numeric, t text);
SELECT derive.create_view('left_except', 'SELECT n, t FROM left_side EXCEPT ALL SELECT n, t FROM right_side');
INSERT INTO right_side VALUES (1.0, 'x'), (NULL, 'y');
INSERT INTO left_side VALUES (1.000, 'x'), (1.000, 'x'), (1.000, 'x'), (NULL, 'y'), (NULL, 'y');
CALL test.check_all();
INSERT INTO right_side VALUES (1, 'x'), (2.0, 'x');
UPDATE left_side SET n = 1.00 WHERE t = 'x';
CALL test.check_all();
TABLE left_except ORDER BY n;
DELETE FROM right_side;
CALL test.check_all();
-- More columns than an index can have: groups are computed anew, parts are larger, rows have no key.
DO $$
DECLARE
    c text := (SELECT string_agg('c' || g, ', ') FROM generate_series(1, 40) g);
    k text := (SELECT string_agg('k' || g, ', ') FROM generate_series(1, 20) g);
BEGIN
    EXECUTE format('CREATE TABLE many (%s int)', replace(c, ',', ' int,'));
    PERFORM derive.create_view('many_distinct', 'SELECT DISTINCT * FROM many');
    PERFORM derive.create_view('many_except', 'SELECT * FROM many EXCEPT ALL SELECT * FROM many WHERE c40 = 1');
    PERFORM derive.create_view('many_parts', format('SELECT *, count(*) OVER (PARTITION BY %s) AS n FROM many', c));
    PERFORM derive.create_view('many_first', format('SELECT DISTINCT ON (%1$s) * FROM many ORDER BY %1$s', replace(c, ', c40', '')));
    EXECUTE format('CREATE TABLE many_keys (%s int, PRIMARY KEY (%s))', replace(k, ',', ' int,'), k);
    PERFORM derive.create_view('many_joined', format('SELECT a.*, %s FROM many_keys a JOIN many_keys b ON a.k1 = b.k2',
        (SELECT string_agg('b.k' || g || ' AS l' || g, ', ') FROM generate_series(1, 20) g)));
    EXECUTE 'INSERT INTO many_keys SELECT h' || repeat(', h / 2', 19) || ' FROM generate_series(1, 4) h';
END $$;
INSERT INTO many VALUES (1, 2), (1, 2), (1, 3), (NULL, 2);
INSERT INTO many (c1, c40) VALUES (1, 1), (1, 2), (1, 1), (1, 2);
CALL test.check_all();
UPDATE many SET c40 = 3 WHERE c40 = 2;
UPDATE many_keys SET k20 = 7 WHERE k1 = 1;
DELETE FROM many WHERE c2 = 3;
CALL test.check_all();
SELECT view FROM derive.views, derive.verify(view) ORDER BY 1;
-- No view has been recomputed but when it was built, or where there is no better rule.
SELECT view, recomputes FROM derive.views, derive_state.view_statistics(view) WHERE recomputes > 1 AND rule <> 'recompute';
SELECT * FROM derive.explain(query => 'SELECT DISTINCT ON (g) g, id FROM s ORDER BY g, id');
SELECT * FROM derive.explain(query => 'SELECT DISTINCT g, h FROM s');
SELECT test.error($$SELECT derive.explain(query => 'SELECT DISTINCT j FROM s')$$);
SET client_min_messages = warning;
DROP SCHEMA t_distinct CASCADE;
