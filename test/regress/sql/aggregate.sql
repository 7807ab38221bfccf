-- Aggregates: groups are born, die and are born again; FILTER, HAVING, no GROUP BY, odd keys.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_aggregate;
SET search_path = t_aggregate;
CREATE TABLE s (id int PRIMARY KEY, g int, h text, i2 smallint, i4 int, i8 bigint, n numeric, nf numeric(8,2), f4 float4, f8 float8, b bool);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT i, nullif(i % 4, 3), nullif('h' || i % 2, 'h1'), i, i * 2, i * 3, i / 4.0, i * 1.25, i / 8.0, i / 8.0, i % 2 = 0 FROM generate_series(1, 12) i;
SELECT derive.create_view('ints', 'SELECT g, sum(i2) AS s2, sum(i4) AS s4, sum(i8) AS s8, avg(i2) AS a2, avg(i4) AS a4, avg(i8) AS a8,
    min(i2) AS m2, max(i4) AS m4, count(i8) AS c8, count(*) AS c, count(1) AS c1, count(NULL) AS c0 FROM s GROUP BY g');
SELECT derive.create_view('nums', 'SELECT g, sum(n) AS n, sum(n)::text AS nt, avg(n)::text AS at, sum(nf)::text AS nft, avg(nf) AS anf, sum(n * 2 + i4)::text AS expr FROM s GROUP BY g');
SELECT derive.create_view('floats', 'SELECT g, sum(f4) AS s4, sum(f8) AS s8, avg(f4) AS a4, avg(f8) AS a8, min(f4) AS m4, max(f8) AS m8 FROM s GROUP BY g');
SELECT derive.create_view('filtered', 'SELECT g, count(*) FILTER (WHERE b) AS cb, sum(i4) FILTER (WHERE i4 > 10) AS si, max(i4) FILTER (WHERE NOT b) AS mx, avg(n) FILTER (WHERE b IS NULL) AS an FROM s GROUP BY g');
SELECT derive.create_view('with_having', 'SELECT g, sum(i4) AS i FROM s GROUP BY g HAVING sum(i4) > 20 AND count(b) > 1');
SELECT derive.create_view('having_hidden', 'SELECT h FROM s GROUP BY h HAVING max(n) < 100');
SELECT derive.create_view('all_rows', 'SELECT count(*) AS c, sum(i4) AS s, avg(n) AS a, min(h) AS lo, max(f8) AS hi FROM s');
SELECT derive.create_view('all_having', 'SELECT sum(i4) AS s FROM s HAVING count(*) > 5');
SELECT derive.create_view('expr_key', 'SELECT i4 % 3 AS m, lower(h) AS h, count(*) AS c FROM s GROUP BY i4 % 3, lower(h)');
SELECT derive.create_view('ordinal_key', 'SELECT coalesce(g, -1) AS g, b, count(*) AS c FROM s GROUP BY 1, 2');
SELECT derive.create_view('hidden_key', 'SELECT count(*) AS c, sum(i4) AS s FROM s GROUP BY g, h');
SELECT derive.create_view('repeated', 'SELECT g, g AS g2, count(*) AS c, count(*) AS c2, count(*) + sum(i4) AS e, CASE WHEN count(*) > 2 THEN max(i4) END AS m FROM s GROUP BY g');
SELECT derive.create_view('pk_group', 'SELECT id, i4, count(*) AS c FROM s GROUP BY id');
SELECT derive.create_view('const_key', 'SELECT 1 AS one, count(*) AS c FROM s GROUP BY 1');
SELECT derive.create_view('only_keys', 'SELECT g FROM s GROUP BY g');
SELECT derive.create_view('float_key', 'SELECT f8, count(*) AS c FROM s GROUP BY f8');
SELECT derive.create_view('nested_expr', 'SELECT g, round(avg(n), 2) AS r, sum(i4)::numeric / nullif(count(b), 0) AS q, round(max(n) - min(n), 3) AS spread FROM s GROUP BY g');
CALL test.check_all();
UPDATE s SET i2 = i2 + 1, i4 = i4 + 1, i8 = NULL WHERE g = 1;
CALL test.check_all();
-- The extremum leaves, comes back, is shared.
DELETE FROM s WHERE id = 12;
DELETE FROM s WHERE id = 1;
CALL test.check_all();
INSERT INTO s (id, g, i4, n, f8, b) VALUES (20, 1, 1000, 1000.125, 125, true), (21, 1, 1000, 1000.125, 125, NULL);
CALL test.check_all();
DELETE FROM s WHERE id = 20;
CALL test.check_all();
DELETE FROM s WHERE id = 21;
CALL test.check_all();
-- Scales of numeric: the sum's scale follows the largest that is still there.
INSERT INTO s (id, g, n, nf) VALUES (30, 0, 1.000000, 1), (31, 0, 2.5, 2), (32, 5, 0.10, 0);
CALL test.check_all();
DELETE FROM s WHERE id = 30;
CALL test.check_all();
UPDATE s SET n = 3 WHERE id = 32;
CALL test.check_all();
-- Not a number, infinity, and away again.
UPDATE s SET n = 'NaN', f8 = 'NaN', f4 = 'Infinity' WHERE id = 31;
INSERT INTO s (id, g, n, f8) VALUES (33, 0, 'Infinity', '-Infinity');
CALL test.check_all();
DELETE FROM s WHERE id = 31;
CALL test.check_all();
DELETE FROM s WHERE id = 33;
CALL test.check_all();
-- A group dies and is born again in one transaction; another one moves; all values become NULL.
BEGIN; DELETE FROM s WHERE g = 1; INSERT INTO s (id, g, i4) VALUES (40, 1, NULL); COMMIT;
CALL test.check_all();
UPDATE s SET g = 9 WHERE g IS NULL;
UPDATE s SET i4 = NULL, n = NULL, f8 = NULL, h = NULL, b = NULL WHERE g = 9;
CALL test.check_all();
UPDATE s SET g = NULL WHERE g = 9;
CALL test.check_all();
-- Everything goes; no group is left but the one that always lives.
DELETE FROM s;
CALL test.check_all();
TABLE all_rows;
TABLE all_having;
TABLE const_key;
INSERT INTO s (id) VALUES (1);
CALL test.check_all();
-- Groups by the value of a subquery, which other columns and HAVING repeat.
CREATE TABLE r (g int, v int);
ALTER TABLE r REPLICA IDENTITY FULL;
SELECT derive.create_view('by_subquery', 'SELECT (SELECT min(v) FROM r WHERE r.g = s.g) AS m,
	(SELECT min(v) FROM r WHERE r.g = s.g) + 1 AS more, sum((SELECT min(v) FROM r WHERE r.g = s.g)) AS t, count(*) AS c
	FROM s GROUP BY (SELECT min(v) FROM r WHERE r.g = s.g) HAVING (SELECT min(v) FROM r WHERE r.g = s.g) IS DISTINCT FROM 2');
SELECT derive.create_view('by_existence', 'SELECT EXISTS (SELECT FROM r WHERE r.g = s.g) AS e, count(*) AS c FROM s
	GROUP BY EXISTS (SELECT FROM r WHERE r.g = s.g) HAVING NOT EXISTS (SELECT FROM r WHERE r.g = s.g)');
SELECT derive.create_view('by_membership', 'SELECT g IN (SELECT v FROM r) AS m, count(*) AS c FROM s
	GROUP BY g IN (SELECT v FROM r) HAVING g IN (SELECT v FROM r) OR count(*) > 1');
INSERT INTO s (id, g) SELECT i, i % 4 FROM generate_series(50, 60) i;
INSERT INTO r VALUES (1, 2), (2, 2), (2, 1), (3, 7), (3, 7);
CALL test.check_all();
TABLE by_subquery ORDER BY m;
UPDATE r SET v = v + 1 WHERE g < 3;
CALL test.check_all();
DELETE FROM r WHERE g = 3;
UPDATE s SET g = NULL WHERE id = 50;
CALL test.check_all();
DELETE FROM s WHERE id >= 50;
CALL test.check_all();
-- Overflow of what is stored: the view fails and says so, and comes back.
SELECT derive.create_view('narrow', 'SELECT g, sum(i4)::smallint AS s FROM s GROUP BY g');
CALL test.check_all();
INSERT INTO s (id, g, i4) VALUES (2, 2, 40000);
CALL test.await_state('narrow', 'failed');
SELECT reason FROM derive.views WHERE view = 'narrow'::regclass;
DELETE FROM s WHERE id = 2;
SELECT derive.refresh('narrow');
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_aggregate CASCADE;
