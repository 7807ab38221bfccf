-- Every aggregate: those without inverse are computed anew for the groups that a change touches.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_aggregates_all;
SET search_path = t_aggregates_all;
CREATE TYPE pair AS (x int, y text);
CREATE TABLE s (id int PRIMARY KEY, g int, h text, i int, n numeric(8,2), b bool, a int[], j jsonb, p pair, r int4range, x xml, bits bit(4), d date);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT k, nullif(k % 4, 3), nullif('h' || k % 3, 'h2'), nullif(k % 5, 4), k * 1.25, k % 2 = 0, ARRAY[k, k % 3], jsonb_build_object('k', k % 3),
    (k % 3, 'p' || k % 2)::pair, int4range(k, k + 3), ('<k>' || k || '</k>')::xml, (k % 16)::bit(4), date '2024-01-01' + k FROM generate_series(1, 24) k;
-- Aggregates of a user's: over several arguments, and ones that do not ignore NULLs.
CREATE FUNCTION weigh(state numeric, value numeric, weight int) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT state + coalesce(value, 0) * coalesce(weight, 1)';
CREATE AGGREGATE weighted(numeric, int) (SFUNC = weigh, STYPE = numeric, INITCOND = '0');
CREATE FUNCTION count_null(state int, value anyelement) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT state + (value IS NULL)::int';
CREATE AGGREGATE nulls(anyelement) (SFUNC = count_null, STYPE = int, INITCOND = '0');
CREATE AGGREGATE sum(text) (SFUNC = textcat, STYPE = text, INITCOND = '');

SELECT derive.create_view('ordered', 'SELECT g, array_agg(h ORDER BY i DESC NULLS FIRST, id) AS x, string_agg(h, '','' ORDER BY h COLLATE "C" DESC, id) AS y,
    jsonb_agg(j ORDER BY id) AS z, jsonb_object_agg(id, h ORDER BY id) AS o, xmlagg(x ORDER BY id)::text AS x2, json_agg(d ORDER BY id)::text AS d, sum(n ORDER BY id) AS s FROM s GROUP BY g');
SELECT derive.create_view('distincts', 'SELECT g, count(DISTINCT h) AS ch, sum(DISTINCT i) AS si, avg(DISTINCT i) AS ai, min(DISTINCT i) AS mi, array_agg(DISTINCT h) AS ah, string_agg(DISTINCT h, ''-'') AS sh FROM s GROUP BY g');
SELECT derive.create_view('ordered_sets', 'SELECT h, percentile_cont(0.5) WITHIN GROUP (ORDER BY n::float8) AS p, percentile_disc(ARRAY[0.2, 0.8]) WITHIN GROUP (ORDER BY i) AS pd,
    mode() WITHIN GROUP (ORDER BY i DESC) AS m, rank(2, ''h1'') WITHIN GROUP (ORDER BY i, h) AS r, percent_rank(3) WITHIN GROUP (ORDER BY i) AS pr FROM s GROUP BY h');
SELECT derive.create_view('direct_key', 'SELECT g, percentile_disc(coalesce(g, 1) / 100.0) WITHIN GROUP (ORDER BY id) AS p FROM s GROUP BY g');
SELECT derive.create_view('numbers', 'SELECT g, variance(n) AS v, stddev_pop(i) AS sp, bit_and(i) AS ba, bit_or(bits) AS bo, bool_and(b) AS ta, bool_or(b) AS tr, every(i > 1) AS e FROM s GROUP BY g');
SELECT derive.create_view('booleans', 'SELECT g, bool_and(b) AS a, bool_or(i > 3) AS o, every(b OR i > 1) FILTER (WHERE h IS NOT NULL) AS e, bool_and(NULL) AS n, bool_or(true) AS t FROM s GROUP BY g');
SELECT derive.create_view('all_booleans', 'SELECT bool_and(b) AS a, bool_or(b) AS o FROM s WHERE i > 1');
SELECT derive.create_view('types', 'SELECT g, array_agg(coalesce(a, ARRAY[0, 0]) ORDER BY id) AS aa, array_agg(p ORDER BY id) AS ap, range_agg(r) AS rs, max(a) AS ma, max(h) AS mh, array_agg(g ORDER BY id) AS keys FROM s WHERE id > 0 GROUP BY g');
SELECT derive.create_view('filters', 'SELECT g, array_agg(i ORDER BY id) FILTER (WHERE b) AS x, array_agg(10 / i ORDER BY id) FILTER (WHERE i <> 0) AS y, count(DISTINCT i) FILTER (WHERE h = ''h1'') AS z,
    nulls(i) FILTER (WHERE b) AS ni, nulls(h) AS nh FROM s GROUP BY g');
SELECT derive.create_view('users', 'SELECT g, weighted(n, i) AS w, nulls(i) AS ni, sum(h ORDER BY id) AS t, count(*) AS c, sum(i) AS si FROM s GROUP BY g HAVING nulls(i) < 5');
SELECT derive.create_view('all_rows', 'SELECT array_agg(id ORDER BY id) AS ids, count(DISTINCT g) AS gs, nulls(h) AS n FROM s');
SELECT derive.create_view('over_join', 'SELECT s.h, array_agg(t.id ORDER BY t.id, s.id) AS ids, count(DISTINCT t.g) AS gs FROM s JOIN s t ON t.g = s.i GROUP BY s.h');
SELECT derive.create_view('in_expression', 'SELECT g + 1 AS g1, coalesce(array_length(array_agg(id ORDER BY id), 1), 0) + count(*) AS n, (array_agg(p ORDER BY id))[1].y AS y FROM s GROUP BY g + 1');
SELECT derive.create_view('collations', 'SELECT g, string_agg(h COLLATE "C", upper(h) ORDER BY h, id) AS x, max(h COLLATE "POSIX") AS m FROM s GROUP BY g');
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
CALL test.check_all();
UPDATE s SET i = coalesce(i, 0) + 1 WHERE id % 7 = 0;
UPDATE s SET g = NULL, h = 'h1' WHERE id < 4;
CALL test.check_all();
-- In one transaction groups die, are born, and rows move between them.
BEGIN;
DELETE FROM s WHERE g = 1;
UPDATE s SET g = 9, i = NULL WHERE id IN (4, 6);
INSERT INTO s (id, g, h) VALUES (100, 1, NULL), (101, NULL, NULL), (102, 77, 'h77');
DELETE FROM s WHERE id = 102;
COMMIT;
CALL test.check_all();
-- A change that touches no group's rows but in a column that is not aggregated.
UPDATE s SET d = d + 1 WHERE id = 8;
CALL test.check_all();
DELETE FROM s;
CALL test.check_all();
TABLE all_rows;
INSERT INTO s (id, g) VALUES (1, 1);
CALL test.check_all();
SELECT view FROM derive.views, derive.verify(view) ORDER BY 1;
-- No view has been recomputed but when it was built.
SELECT view, recomputes FROM derive.views, derive_state.view_statistics(view) WHERE recomputes > 1;
SELECT * FROM derive.explain(query => 'SELECT g, sum(n) AS s, string_agg(h, '','' ORDER BY h COLLATE "C") FILTER (WHERE b) AS hs FROM s GROUP BY g');
-- What is not determined, or has no key to go by.
SELECT test.error($$SELECT derive.create_view('x', 'SELECT g, array_agg(h) FROM s GROUP BY g')$$);
SELECT test.error($$SELECT derive.create_view('x', 'SELECT g, jsonb_agg(h) FILTER (WHERE b) FROM s GROUP BY g')$$);
CREATE FUNCTION add_now(state int, value int) RETURNS int LANGUAGE sql STABLE AS 'SELECT state + value';
CREATE AGGREGATE sum_now(int) (SFUNC = add_now, STYPE = int, INITCOND = '0');
SELECT test.error($$SELECT derive.create_view('x', 'SELECT g, sum_now(i) AS s FROM s GROUP BY g')$$);
SELECT derive.create_view('record_key', 'SELECT (ROW(g, h)) IS NULL AS e, count(*) AS n FROM s GROUP BY ROW(g, h)');
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_aggregates_all CASCADE;
