-- Columns of named inner joins were refused: the joins are dissolved, but the columns were printed as theirs; and items of
-- FROM that refer to a merged column of a full join were not followed to its sides.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int PRIMARY KEY, i int, x int);
CREATE TABLE f.b (id int PRIMARY KEY, i int, y int);
CREATE TABLE f.c (id int PRIMARY KEY, x int, z int);
INSERT INTO f.a VALUES (1, 1, 1), (2, NULL, 2), (3, 1, NULL), (4, 2, 2), (5, 3, 0);
INSERT INTO f.b VALUES (1, 1, 2), (2, 1, 2), (3, NULL, 1), (4, 4, 3), (5, 2, NULL);
INSERT INTO f.c VALUES (1, 1, 1), (2, 1, 3), (3, 2, 2), (4, NULL, 1), (5, 4, NULL);

-- view v1
SELECT j.i AS c1, l.z AS c2 FROM (f.a JOIN f.b USING (i)) AS j, LATERAL (SELECT c.z FROM f.c WHERE c.x = j.i) l;

-- view v2
SELECT j.i AS c1, j.y AS c2 FROM (f.a JOIN f.b USING (i)) AS j WHERE j.i > 1 OR j.y IS NULL;

-- view v3
SELECT j.p AS c1, l.z AS c2 FROM (f.a JOIN f.b USING (i)) AS j(p), LATERAL (SELECT c.z FROM f.c WHERE c.x = j.p ORDER BY c.z, c.id LIMIT 1) l;

-- view v4
SELECT j.i AS c1, (SELECT max(c.z) FROM f.c WHERE c.x = j.i) AS c2, ARRAY(SELECT c.z FROM f.c WHERE c.x < j.y ORDER BY c.z, c.id) AS c3 FROM (f.a JOIN f.b USING (i)) AS j;

-- view v5
SELECT j.i AS c1, l.g AS c2 FROM (f.a FULL JOIN f.b USING (i)) AS j, LATERAL generate_series(1, j.i) l(g);

-- view v6
SELECT j.i AS c1, l.v AS c2 FROM (f.a FULL JOIN f.b USING (i)) AS j, LATERAL (VALUES (j.i), (j.y)) l(v);

-- view v7
SELECT k.i AS c1, l.n AS c2 FROM ((f.a LEFT JOIN f.b USING (i)) AS j JOIN f.c ON c.x = j.i) AS k(aid, i), LATERAL (SELECT count(*) AS n FROM f.c d WHERE d.x = k.i AND d.z >= k.y) l;

-- view v8
SELECT j.i AS c1 FROM (f.a JOIN f.b USING (i)) AS j WHERE j.i > ALL (SELECT c.x FROM f.c WHERE c.z > j.y) AND j.i IN (SELECT c.x FROM f.c);

-- view v9
SELECT j.i AS c1, l.z AS c2 FROM (f.a JOIN f.b USING (i)) AS j, LATERAL (SELECT c.z FROM f.c WHERE c.x = j.i UNION SELECT j.y) l;

-- view v10
SELECT u.i AS c1, l.z AS c2 FROM f.a FULL JOIN f.b USING (i) AS u, LATERAL (SELECT DISTINCT c.z FROM f.c WHERE c.x = u.i OR c.x = a.x) l;

-- view v11
SELECT p.i AS c1, l.z AS c2 FROM (f.a AS p JOIN f.b AS c USING (i)) AS p, LATERAL (SELECT c.z FROM f.c WHERE c.x = p.i AND EXISTS (SELECT FROM f.b AS p2 JOIN f.a AS c2 ON c2.id = p.y WHERE p2.i = c.x)) l;

-- view v12
SELECT c.id AS c1, j IS NULL AS c2, (SELECT count(*) FROM f.b d WHERE d.i = j.i) AS c3, j.y AS c4 FROM f.c LEFT JOIN (f.a JOIN f.b USING (i)) AS j ON j.i = c.x;

-- view v13
SELECT j.i AS c1, l.s AS c2 FROM (f.a FULL JOIN f.b USING (i)) AS j LEFT JOIN LATERAL (SELECT sum(c.z) AS s FROM f.c WHERE c.x = j.i) l ON true;

-- view v14
SELECT j.i AS c1, l.z AS c2 FROM (f.a JOIN f.b USING (i)) AS j, LATERAL (SELECT c.z FROM f.c WHERE c.x = (SELECT max(d.x) FROM f.c d WHERE d.z <= j.i)) l;

-- view v15
SELECT j.i AS c1, l.z AS c2, m.v AS c3 FROM (f.a RIGHT JOIN f.b USING (i)) AS j, LATERAL (SELECT k.z FROM (f.c JOIN f.b b2 ON b2.i = c.x) AS k(p, x, z, q) WHERE k.x = j.i) l, LATERAL (VALUES (j.x), (l.z)) m(v);

-- view v16
SELECT j.i AS c1, count(*) AS c2, max(l.g) AS c3 FROM (f.a NATURAL FULL JOIN f.b) AS j LEFT JOIN LATERAL generate_series(j.i, j.id) l(g) ON l.g > j.i GROUP BY j.i;

-- change
DELETE FROM f.b WHERE id = 1;
UPDATE f.c SET x = 2 WHERE id = 1;

-- change
BEGIN;
INSERT INTO f.a VALUES (6, 4, 1), (7, NULL, NULL);
INSERT INTO f.b VALUES (6, 3, 1), (7, 7, 7);
DELETE FROM f.c WHERE id = 2;
COMMIT;

-- change
UPDATE f.a SET i = i + 1;
UPDATE f.b SET y = NULL WHERE i = 4;
INSERT INTO f.c VALUES (2, 5, 5), (6, 3, 3);

-- change
DELETE FROM f.a;

-- change
INSERT INTO f.a VALUES (1, 1, 1), (2, 2, 2), (3, 2, 2);
TRUNCATE f.c;

-- change
INSERT INTO f.c VALUES (1, 1, 1), (2, 2, 2), (3, 2, 1);
