-- ORDER BY ... LIMIT: the first rows are read again from a relation that an index keeps in order.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_first;
SET search_path = t_first;
CREATE COLLATION ignoring (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE s (id int PRIMARY KEY, g int, n numeric, f float8, t text, c text COLLATE ignoring);
CREATE TABLE twice (g int, n numeric);
CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (100);
CREATE TABLE parent (id int, v int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE apart (id int PRIMARY KEY, v int, unused int);
INSERT INTO s SELECT k, nullif(k % 5, 4), (ARRAY[1.0, 1.00, 2.5, NULL, 'NaN', -1]::numeric[])[k % 6 + 1],
    (ARRAY[0, 'NaN', 'Infinity', NULL, -1]::float8[])[k % 5 + 1], nullif('t' || k % 7, 't6'), (ARRAY['a', 'A', 'b', NULL])[k % 4 + 1]
    FROM generate_series(1, 30) k;
INSERT INTO twice SELECT nullif(k % 3, 2), nullif(k % 2, 1) + 0.5 FROM generate_series(1, 12) k;
INSERT INTO p SELECT k, k % 4 FROM generate_series(1, 30) k;
INSERT INTO parent SELECT k, k % 3 FROM generate_series(1, 6) k;
INSERT INTO child SELECT k, k % 3 FROM generate_series(4, 9) k;

INSERT INTO apart SELECT k, k % 4, k FROM generate_series(1, 9) k;

-- One relation as it is: it is read itself, and its old rows need not be logged.
SELECT derive.create_view('plain', 'SELECT id, n, g FROM s ORDER BY n DESC, id LIMIT 4');
SELECT derive.create_view('nulls', 'SELECT id, t FROM s ORDER BY t DESC NULLS LAST, g NULLS FIRST, id DESC OFFSET 3 LIMIT 5');
SELECT derive.create_view('ties', 'SELECT id, f FROM s ORDER BY f FETCH FIRST 2 ROWS WITH TIES');
SELECT derive.create_view('hidden', 'SELECT upper(t) AS t FROM s ORDER BY g, id LIMIT 3');
SELECT derive.create_view('equal_rows', 'SELECT g, n FROM twice ORDER BY g, n LIMIT 7');
SELECT derive.create_view('none', 'SELECT id FROM s ORDER BY id LIMIT 0');
SELECT derive.create_view('alike', 'SELECT id, c FROM s ORDER BY c, id LIMIT 9');
SELECT derive.create_view('repeated', 'SELECT id, g FROM s ORDER BY g, NULL::int, g DESC, id LIMIT 6');
SELECT derive.create_view('parted', 'SELECT id, v FROM p ORDER BY v, id LIMIT 5');
SELECT derive.create_view('alone', 'SELECT id, v FROM ONLY parent ORDER BY id, v LIMIT 3');
SELECT derive.create_view('sorted_only', 'SELECT id FROM apart ORDER BY v DESC, id LIMIT 3');
SELECT relname, relreplident FROM pg_class WHERE oid IN ('s'::regclass, 'apart'::regclass, 'twice'::regclass, 'parent'::regclass, 'p_1'::regclass) ORDER BY 1;
SELECT view, derive.advise(view) FROM derive.views WHERE view::text ~ '^[a-z_]+$' ORDER BY view::text COLLATE "C", 2;
-- PostgreSQL 15 puts the table's name before columns, 16 does not.
SELECT regexp_replace(line, '\ms\.', '', 'g') AS explain FROM derive.explain('nulls'::regclass) line;
SELECT regexp_replace(line, '\ms\.', '', 'g') AS explain FROM derive.explain('ties'::regclass) line;
-- Anything else is a stage below, which is given the index.
SELECT derive.create_view('filtered', 'SELECT id, n FROM s WHERE g > 0 ORDER BY n NULLS FIRST, id LIMIT 4');
SELECT derive.create_view('expression', 'SELECT id, g FROM s ORDER BY -n DESC NULLS LAST, length(t), id OFFSET 1 LIMIT 4');
SELECT derive.create_view('joined', 'SELECT s.id, twice.n FROM s JOIN twice ON twice.g = s.g ORDER BY twice.n DESC, s.id LIMIT 6');
SELECT derive.create_view('groups', 'SELECT g, sum(n) AS n FROM s GROUP BY g ORDER BY sum(n) DESC, g LIMIT 2');
SELECT derive.create_view('sets', 'SELECT g FROM s EXCEPT SELECT g FROM twice ORDER BY 1 LIMIT 2');
SELECT derive.create_view('below', 'SELECT q.g, count(*) AS c, max(q.id) AS m FROM (SELECT id, g FROM s ORDER BY t, id LIMIT 8) q GROUP BY q.g');
SELECT derive.create_view('above', 'SELECT id FROM plain ORDER BY id LIMIT 2');
SELECT derive.create_view('scalar', 'SELECT p.id, (SELECT t FROM s ORDER BY n, id LIMIT 1) AS t FROM p');
-- A LIMIT that is called with 1 and is not 1.
CREATE FUNCTION less(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 - 1';
SELECT derive.create_view('scalar_less', 'SELECT p.id, (SELECT t FROM s ORDER BY n, id LIMIT less(1)) AS t, (SELECT max(n) FROM s WHERE s.g = p.v ORDER BY 1 LIMIT less(1)) AS n FROM p');
SELECT derive.create_view('scalar_groups', 'SELECT id FROM p WHERE v = (SELECT g FROM s GROUP BY g ORDER BY count(*) DESC, g DESC LIMIT 1)');
SELECT derive.create_view('tree', 'SELECT id, v FROM parent ORDER BY v DESC, id LIMIT 4');
SELECT derive.create_view('numbers', 'SELECT g FROM generate_series(1, 5) g ORDER BY g DESC LIMIT 2');
SELECT derive.create_view('arrays', 'SELECT id FROM s ORDER BY ARRAY[t, c::text COLLATE "C"], id LIMIT 4');
SELECT regexp_replace(regexp_replace(line, '\mfiltered_[0-9]+_stage\.', '', 'g'), '_[0-9]+_stage', '_N_stage', 'g') AS explain
    FROM derive.explain('filtered'::regclass) line;
SELECT s.view, s.rule, i.indexrelid IS NOT NULL AS key, substring(pg_get_indexdef(o.indexrelid) FROM '\(.*') AS ordered
    FROM derive.stages s LEFT JOIN pg_index i ON i.indrelid = s.stage AND i.indisunique
        LEFT JOIN pg_index o ON o.indrelid = s.stage AND NOT o.indisunique AND pg_get_indexdef(o.indexrelid) !~ 'row_hash'
    WHERE s.stage <> s.view ORDER BY s.view::text COLLATE "C", s.stage::oid;
-- No end, none that is known, or an order that no index has: recomputed.
SELECT derive.create_view('no_end', 'SELECT id FROM s ORDER BY id OFFSET 27');
SELECT derive.create_view('unknown_end', 'SELECT id FROM s ORDER BY id LIMIT (SELECT count(*) FROM twice)');
SELECT derive.create_view('all_of_them', 'SELECT id FROM s ORDER BY id LIMIT ALL');
SELECT derive.create_view('other_order', 'SELECT id, t FROM s ORDER BY t USING ~<~, id LIMIT 3');
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
CALL test.check_all();

-- What is first leaves, changes its place, comes again; in front, at the end, and behind it.
UPDATE s SET n = n + 5 WHERE id IN (3, 9);
DELETE FROM s WHERE id IN (5, 11);
CALL test.check_all();
INSERT INTO s VALUES (5, 0, 'NaN', 'NaN', NULL, 'B'), (40, NULL, NULL, NULL, 't0', NULL);
UPDATE s SET g = NULL WHERE g = 0;
UPDATE s SET n = 1.000 WHERE n = 1 AND id % 2 = 0;
INSERT INTO twice VALUES (NULL, NULL), (0, 0.5), (0, 0.5), (3, 9);
UPDATE p SET id = id + 50, v = -1 WHERE id IN (4, 21);
UPDATE parent SET v = 7 WHERE id IN (2, 5);
CALL test.check_all();
BEGIN;
UPDATE s SET id = id + 100 WHERE n IS NULL;
DELETE FROM s WHERE t = 't1';
INSERT INTO s SELECT -k, k, k, k, 't' || k, 'a' FROM generate_series(1, 3) k;
DELETE FROM s WHERE id = -2;
DELETE FROM twice WHERE g = 0;
COMMIT;
CALL test.check_all();
UPDATE s SET c = upper(c), f = CASE WHEN f = 'NaN' THEN -2 ELSE f END;
DELETE FROM parent WHERE id < 5;
CALL test.check_all();
-- Old rows are not logged in full: what is only sorted by counts, and nobody can tell that other columns do not.
UPDATE apart SET v = 9 WHERE id = 2;
CALL test.check_all();
SELECT ticks, recomputes FROM derive.stages WHERE view = 'sorted_only'::regclass;
UPDATE apart SET unused = 0;
CALL test.settle();
SELECT ticks, recomputes FROM derive.stages WHERE view = 'sorted_only'::regclass;
-- The rule ran, and nothing else.
SELECT view, stage, ticks, recomputes, repairs FROM derive.stages WHERE rule <> 'recompute' AND view <> 'numbers'::regclass
    AND (recomputes > 1 + chosen OR ticks <= recomputes OR repairs > 0) ORDER BY 1, 2;
TRUNCATE s;
CALL test.check_all();
INSERT INTO s SELECT k, k % 3, 1.0, 0, 't', 'c' FROM generate_series(1, 6) k;
CALL test.check_all();
-- An index that has the order, either way, is none missing; a unique one need not have all of it.
CREATE INDEX ON s (n, id DESC);
CREATE INDEX ON s (g, id);
CREATE INDEX ON s (t DESC NULLS LAST);
CREATE INDEX ON p (v, id);
SELECT view, derive.advise(view) FROM derive.views WHERE view::text ~ '^[a-z_]+$' ORDER BY view::text COLLATE "C", 2;
SELECT view, d.* FROM derive.views v, derive.verify(v.view) d WHERE v.view::text ~ '^[a-z_]+$' ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA t_first CASCADE;
