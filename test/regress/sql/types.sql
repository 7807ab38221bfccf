-- Types: as columns, as keys, as arguments of min, max, sum and avg.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_types;
SET search_path = t_types;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE s (id int PRIMARY KEY, k int, m money, iv interval, o oid, ip inet, lsn pg_lsn, e mood, arr int[], dom positive, d date, t time, tz timetz,
    ts timestamp, tstz timestamptz, u uuid, j json, jb jsonb, x xml, pt point, c char(5), vc varchar(5), nm name, by bytea, bits bit(3), vb varbit, r int4range, p pair, tid tid,
    tt text COLLATE "C", mac macaddr);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s VALUES
    (1, 1, 1.50, '1 hour', 5, '10.0.0.1', '0/10', 'ok', '{1,2}', 5, '2024-01-01', '10:00', '10:00+00', '2024-01-01 01:01', '2024-01-01 01:01+00',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":  1}', '{"a": 1}', '<a/>', '(1,2)', 'ab', 'abc', 'nm', '\x0001', B'101', B'1', '[1,5)', ROW(1, 'x'), '(0,1)', 'tt', '08:00:2b:01:02:03'),
    (2, 1, 2.50, '30 minutes', 6, '10.0.0.2/8', '0/20', 'happy', '{3,NULL}', 6, '2023-01-01', '11:00', '09:00+00', '2023-01-01 01:01', '2023-01-01 01:01+00',
     'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1}', '{"b": [1, null]}', '<b/>', '(3,4)', 'cd', 'def', 'nm2', '\x02', B'111', B'10', 'empty', ROW(2, NULL), '(0,2)', 'uu', '08:00:2b:01:02:04'),
    (3, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- Every type as a column, keyed and not; json, xml and point have no equality.
SELECT derive.create_view('keyed', 'SELECT id, m, iv, o, ip, lsn, e, arr, dom, d, t, tz, ts, tstz, u, j, jb, x, pt, c, vc, nm, by, bits, vb, r, p, tid, tt, mac FROM s');
SELECT derive.create_view('keyless', 'SELECT m, iv, o, ip, lsn, e, arr, dom, d, t, tz, ts, tstz, u, j, jb, x, pt, c, vc, nm, by, bits, vb, r, p, tid, tt, mac FROM s');
SELECT derive.create_view('extrema', 'SELECT k, min(m) AS m, max(iv) AS iv, min(o) AS o, max(ip) AS ip, min(lsn) AS lsn, max(e) AS e, min(arr) AS arr, max(dom) AS dom,
    min(d) AS d, max(t) AS t, min(tz) AS tz, max(ts) AS ts, min(tstz) AS tstz, max(c) AS c, min(vc) AS vc, max(tt) AS tt FROM s GROUP BY k');
SELECT derive.create_view('sums', 'SELECT k, sum(m) AS m, sum(iv) AS iv, avg(iv) AS aiv, sum(dom) AS dom, count(j) AS j, count(pt) AS pt FROM s GROUP BY k');
SELECT derive.create_view('grouped', 'SELECT e, arr, u, jb, c, r, ip, count(*) AS n FROM s GROUP BY e, arr, u, jb, c, r, ip');
SELECT derive.create_view('fields', 'SELECT id, (p).a AS a, arr[1] AS first, jb -> ''a'' AS ja, lower(r) AS lo FROM s');
CALL test.check_all();
\d extrema
INSERT INTO s SELECT id + 10, k, m, iv, o, ip, lsn, e, arr, dom, d, t, tz, ts, tstz, u, j, jb, x, pt, c, vc, nm, by, bits, vb, r, p, tid, tt, mac FROM s;
CALL test.check_all();
UPDATE s SET j = '{"a":1}', pt = '(1,2)', x = '<c/>', e = 'sad', arr = arr || 9, iv = iv + '1 minute', m = m + 1::money WHERE id IN (1, 12);
CALL test.check_all();
UPDATE s SET m = NULL, iv = NULL, e = NULL, jb = NULL, p = NULL WHERE id = 11;
DELETE FROM s WHERE id = 2;
CALL test.check_all();
-- Equal but not the same: what is stored follows the row, not the type's equality.
CREATE TABLE same (id int PRIMARY KEY, n numeric, f float8, t text);
ALTER TABLE same REPLICA IDENTITY FULL;
SELECT derive.create_view('same_rows', 'SELECT id, n, f FROM same');
SELECT derive.create_view('same_bag', 'SELECT n, f FROM same');
INSERT INTO same VALUES (1, 1.0, 0), (2, 1.00, 0), (3, 1.000, -0.0);
CALL test.check_all();
UPDATE same SET n = 1.0000 WHERE id = 1;
UPDATE same SET f = '-0' WHERE id = 2;
CALL test.check_all();
DELETE FROM same WHERE id = 3;
CALL test.check_all();
SELECT n FROM same_bag ORDER BY n::text;
-- Collations of keys and of extrema.
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE words (id int PRIMARY KEY, w text COLLATE ci);
ALTER TABLE words REPLICA IDENTITY FULL;
INSERT INTO words VALUES (1, 'Abc'), (2, 'abd');
SELECT derive.create_view('folded', 'SELECT w COLLATE "C" AS w, count(*) AS n FROM words GROUP BY w COLLATE "C"');
SELECT derive.create_view('ci_groups', 'SELECT lower(w::text COLLATE "C") COLLATE ci AS w, count(*) AS n FROM words GROUP BY 1');
INSERT INTO words VALUES (3, 'ABC'), (4, 'abc');
CALL test.check_all();
DELETE FROM words WHERE id = 1;
CALL test.check_all();
-- A collation of a schema that is only in the caller's search path.
SELECT derive.create_view('united', 'SELECT w FROM words UNION ALL SELECT ''x'' COLLATE ci');
CALL test.check_all();
-- COLLATE of a column of a subquery does not decide comparisons of it outside, and that of
-- an expression does, although a stage has a column instead of it.
CREATE TABLE plain (id int PRIMARY KEY, s text);
ALTER TABLE plain REPLICA IDENTITY FULL;
INSERT INTO plain VALUES (1, 'ABC'), (2, 'abd');
SELECT derive.create_view('inner_collation', 'SELECT w.id, p.id AS p FROM words w JOIN (SELECT id, s COLLATE "default" AS s FROM plain) p ON p.s = w.w');
SELECT derive.create_view('inner_exists', 'SELECT id FROM words WHERE w IN (SELECT s COLLATE "default" FROM plain)');
SELECT derive.create_view('outer_collation', 'SELECT id, (SELECT count(*) FROM plain WHERE s COLLATE "default" = w) AS n FROM words');
SELECT derive.create_view('decided', 'SELECT id, (SELECT count(*) FROM plain WHERE s COLLATE "C" = w) AS n FROM words');
SELECT derive.create_view('rows_collated', 'SELECT w.id, p.id AS p, CASE p.s WHEN w.w THEN 1 END AS same, coalesce(p.s, w.w) < ''B'' AS less FROM words w JOIN (SELECT id, s COLLATE "default" AS s FROM plain) p ON (p.s, p.id) < (w.w, w.id)');
INSERT INTO words VALUES (5, 'ABD'), (6, 'abc');
CALL test.check_all();
UPDATE plain SET s = 'abc' WHERE id = 2;
CALL test.check_all();
-- A domain that allows no NULL has one where no row gives a value.
CREATE DOMAIN must AS int NOT NULL;
CREATE TABLE musts (id int, s must);
ALTER TABLE musts REPLICA IDENTITY FULL;
SELECT derive.create_view('must_joined', 'SELECT a.id, b.s FROM musts a LEFT JOIN musts b ON b.id = a.s + 1');
SELECT derive.create_view('must_grouped', 'SELECT s, id, count(*) AS n FROM musts GROUP BY CUBE (s, id)');
SELECT derive.create_view('must_filtered', 'SELECT id, count(s) FILTER (WHERE id > 1) AS n, array_agg(s ORDER BY s) FILTER (WHERE id > 1) AS a FROM musts GROUP BY id');
SELECT derive.create_view('must_found', 'SELECT id, (SELECT mode() WITHIN GROUP (ORDER BY b.s) FROM musts b WHERE b.id = a.s + 1) AS m FROM musts a');
INSERT INTO musts VALUES (1, 1), (1, 2), (2, 2), (2, 3);
CALL test.check_all();
UPDATE musts SET s = s + 1 WHERE id = 2;
CALL test.check_all();
DELETE FROM musts WHERE id = 1;
CALL test.check_all();
SELECT view, derive.verify(view) FROM derive.views WHERE view::text LIKE 'must%' ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA t_types CASCADE;
