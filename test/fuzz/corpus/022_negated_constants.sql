-- Core prints -(-2::int) as (- (- 2)), which is the constant 2 to its parser: behind GROUP BY, DISTINCT ON and ORDER BY the
-- number of a column.  Views were wrong or failed, and derive.verify raised errors.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int PRIMARY KEY, i int, x int);
INSERT INTO f.a VALUES (1, 1, 9), (2, NULL, 8), (3, 1, NULL), (4, 2, 7), (5, 3, 6);

-- view v1
SELECT DISTINCT ON (-(-2::int)) id AS c1, x AS c2 FROM f.a ORDER BY -(-2::int), id;

-- view v2
SELECT id AS c1, x AS c2 FROM f.a ORDER BY -(-2::int), id LIMIT 2;

-- view v3
SELECT DISTINCT ON (q.c) q.x AS c1, q.id AS c2 FROM (SELECT -(-2::int) AS c, x, id FROM f.a) q ORDER BY q.c, q.id;

-- view v4
SELECT i AS c1, max(x) AS c2 FROM f.a GROUP BY i, -4::int;

-- view v5
SELECT max(x) AS c1, i AS c2 FROM f.a GROUP BY i, -(-1::int);

-- view v6
SELECT i AS c1, grouping(-4::int) AS c2, count(*) AS c3 FROM f.a GROUP BY GROUPING SETS ((i, -4::int), (i), (-4::int));

-- view v7
SELECT i AS c1, sum(x) AS c2, rank() OVER (PARTITION BY -(-1::int) ORDER BY i) AS c3 FROM f.a GROUP BY i, -4.5::numeric;

-- view v8
SELECT q.c AS c1, count(*) AS c2 FROM (SELECT -4::int AS c, x FROM f.a UNION ALL SELECT i, x FROM f.a) q GROUP BY q.c;

-- change
DELETE FROM f.a WHERE id = 1;

-- change
INSERT INTO f.a VALUES (-1, 1, 9), (6, 2, 1), (7, -4, 0);
UPDATE f.a SET x = 20 - x;

-- change
DELETE FROM f.a;

-- change
INSERT INTO f.a VALUES (8, 1, 9), (6, 2, 1), (7, -4, 0);
