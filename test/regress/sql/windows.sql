-- Window functions: the partitions that a change touches are computed anew, no others.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_windows;
SET search_path = t_windows;
CREATE TABLE s (id int PRIMARY KEY, g int, h text, n numeric, i int);
CREATE TABLE d (g int, name text);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE d REPLICA IDENTITY FULL;
INSERT INTO s SELECT k, nullif(k % 4, 3), nullif('h' || k % 3, 'h2'), (k % 6) / 2.0, k % 5 FROM generate_series(1, 24) k;
INSERT INTO d VALUES (0, 'zero'), (1, 'one'), (1, 'uno'), (NULL, 'none');
SELECT derive.create_view('ranks', 'SELECT id, g, rank() OVER (PARTITION BY g ORDER BY i) AS r, sum(n) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM s');
SELECT derive.create_view('no_key', 'SELECT g, h, i, lag(i, 2, -1) OVER w AS l, count(*) OVER w AS c FROM s WHERE i > 0 WINDOW w AS (PARTITION BY h, g ORDER BY id)');
SELECT derive.create_view('common', 'SELECT id, g, h, dense_rank() OVER (PARTITION BY g, h ORDER BY i) AS a, avg(i) OVER (PARTITION BY g) AS b FROM s');
SELECT derive.create_view('expressions', 'SELECT lower(h) AS lh, id % 3 AS m, first_value(id) OVER (PARTITION BY id % 3, lower(h) ORDER BY id) * 2 AS f FROM s');
SELECT derive.create_view('joined', 'SELECT s.id, d.name, s.g, row_number() OVER (PARTITION BY s.g ORDER BY s.id, d.name) AS n FROM s JOIN d ON d.g = s.g');
SELECT derive.create_view('images', 'SELECT n, id, max(id) OVER (PARTITION BY n) AS m FROM s');
SELECT derive.create_view('keyed', 'SELECT id, g, ntile(3) OVER (PARTITION BY g ORDER BY id) AS t FROM s', key => '{g,id}');
SELECT derive.create_view('distinct_windows', 'SELECT DISTINCT g, max(i) OVER (PARTITION BY g) AS m FROM s');
SELECT derive.create_view('filtered', 'SELECT g, id, count(*) FILTER (WHERE i > 2) OVER (PARTITION BY g ORDER BY id) AS c, array_agg(i) OVER (PARTITION BY g ORDER BY id) AS a FROM s');
-- Parts that are not among the columns, or none: recomputed.
SELECT derive.create_view('hidden', 'SELECT id, count(*) OVER (PARTITION BY g) AS c FROM s');
SELECT derive.create_view('whole', 'SELECT id, g, sum(i) OVER (ORDER BY id) AS s FROM s');
SELECT derive.create_view('apart', 'SELECT id, g, h, count(*) OVER (PARTITION BY g) AS a, count(*) OVER (PARTITION BY h) AS b FROM s');
SELECT derive.create_view('over_groups', 'SELECT g, count(*) AS c, rank() OVER (ORDER BY count(*), g) AS r FROM s GROUP BY g');
-- A view above one.
SELECT derive.create_view('best', 'SELECT r, count(*) AS n, sum(s) AS s FROM ranks GROUP BY r');
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN ('ranks'::regclass, 'no_key'::regclass, 'keyed'::regclass) ORDER BY 1::text COLLATE "C";
CALL test.check_all();
UPDATE s SET i = i + 1 WHERE id = 5;
UPDATE s SET g = NULL WHERE id = 5;
CALL test.check_all();
-- Rows move between partitions, also to and from that of NULL; partitions die and are born.
BEGIN;
UPDATE s SET g = CASE WHEN g IS NULL THEN 1 WHEN g = 1 THEN NULL ELSE g END WHERE id < 12;
UPDATE s SET g = 8, h = NULL WHERE g = 2;
INSERT INTO s VALUES (50, 2, 'h9', 1.0, 3), (51, 2, 'h9', 1.00, 3), (52, NULL, NULL, NULL, NULL);
DELETE FROM s WHERE id IN (52, 16);
UPDATE d SET g = coalesce(g, 8);
COMMIT;
CALL test.check_all();
BEGIN;
DELETE FROM s WHERE g = 8;
UPDATE s SET n = n * 1.00 WHERE id % 2 = 0;
INSERT INTO d VALUES (2, 'two'), (2, 'two');
COMMIT;
CALL test.check_all();
-- An equality of its own, which a window's PARTITION BY takes from ORDER BY ... USING, makes other parts.
CREATE FUNCTION folded_cmp(text, text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT bttextcmp(lower($1), lower($2))';
CREATE FUNCTION folded_lt(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT lower($1) < lower($2)';
CREATE FUNCTION folded_eq(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT lower($1) = lower($2)';
CREATE OPERATOR <<< (FUNCTION = folded_lt, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR === (FUNCTION = folded_eq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR CLASS folded_ops FOR TYPE text USING btree AS OPERATOR 1 <<<, OPERATOR 3 ===, FUNCTION 1 folded_cmp(text, text);
INSERT INTO s VALUES (60, 1, 'ab', 1, 1), (61, 1, 'AB', 1, 2), (62, 1, 'aB', 1, 3);
SELECT derive.create_view('folded', 'SELECT id, h, count(*) OVER (PARTITION BY h) AS a, count(*) OVER (PARTITION BY h ORDER BY h USING OPERATOR(t_windows.<<<)) AS b FROM s');
SELECT derive.create_view('folded_alone', 'SELECT id, h, count(*) OVER (PARTITION BY h ORDER BY h USING OPERATOR(t_windows.<<<)) AS b FROM s');
CALL test.check_all();
DELETE FROM s WHERE id = 61;
CALL test.check_all();
-- What is no part of the view's columns touches nothing.
DELETE FROM s;
CALL test.check_all();
INSERT INTO s SELECT k, k % 2, NULL, k, k FROM generate_series(1, 4) k;
CALL test.check_all();
SELECT view FROM derive.views, derive.verify(view) ORDER BY 1;
-- No view has been recomputed but when it was built, or where there is no better rule.
SELECT view, recomputes FROM derive.views, derive_state.view_statistics(view) WHERE recomputes > 1 AND rule <> 'recompute';
SELECT * FROM derive.explain(query => 'SELECT g, id, rank() OVER (PARTITION BY g ORDER BY i) AS r FROM s WHERE i > 0');
SELECT * FROM derive.explain(query => 'SELECT id, count(*) OVER (PARTITION BY g) AS c FROM s');
SET client_min_messages = warning;
DROP SCHEMA t_windows CASCADE;
