-- What stands on the rows of a subquery of IN is part of it: windows were refused with an internal error, and OFFSET
-- alone was forgotten.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int PRIMARY KEY, i int);
CREATE TABLE f.b (y int, g int);
INSERT INTO f.a SELECT k, nullif(k % 5, 4) FROM generate_series(1, 8) k;
INSERT INTO f.b VALUES (1, 1), (1, 2), (2, 2), (NULL, 1);

-- view v1
SELECT id AS c1, i AS c2 FROM f.a WHERE CASE WHEN id > 1 THEN i END NOT IN (SELECT max(y) OVER (PARTITION BY g) FROM f.b);

-- view v2
SELECT id AS c1, i IN (SELECT count(*) OVER (PARTITION BY g) FROM f.b) AS c2 FROM f.a;

-- view v3
SELECT id AS c1, i IN (SELECT y FROM f.b ORDER BY y OFFSET 2) AS c2 FROM f.a;

-- view v4
SELECT id AS c1 FROM f.a WHERE i NOT IN (SELECT y FROM f.b ORDER BY y NULLS FIRST OFFSET 1);

-- view v5
SELECT id AS c1, i IN (SELECT y FROM f.b ORDER BY y LIMIT 2) AS c2, EXISTS (SELECT FROM f.b ORDER BY y OFFSET 4) AS c3 FROM f.a;

-- view v6
SELECT id AS c1, i = ANY (SELECT y FROM f.b ORDER BY y, g DESC OFFSET 3) AS c2, i >= ALL (SELECT y FROM f.b ORDER BY y OFFSET 1) AS c3 FROM f.a;

-- change
INSERT INTO f.b VALUES (0, 3), (3, 3);

-- change
DELETE FROM f.b WHERE y IS NULL;
UPDATE f.a SET i = i + 1 WHERE id < 4;

-- change
DELETE FROM f.b;

-- change
INSERT INTO f.b VALUES (1, 1), (NULL, NULL);
