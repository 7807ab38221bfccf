-- A correlated subquery shows which of two equal values it was computed for.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int PRIMARY KEY, n numeric);
CREATE TABLE f.b (n numeric);
INSERT INTO f.a VALUES (1, 1.0), (2, 1.00), (3, 2), (4, NULL);
INSERT INTO f.b VALUES (0.5), (0.5), (NULL), (1);

-- view v1
SELECT a.n AS c1, (SELECT max(b.n * a.n) FROM f.b WHERE b.n < a.n) AS c2 FROM f.a;

-- change
UPDATE f.a SET n = 1 WHERE id = 1;

-- change
INSERT INTO f.b VALUES (0.75), (0.750);
DELETE FROM f.a WHERE id = 2;

-- change
BEGIN;
INSERT INTO f.a VALUES (5, 1.000);
UPDATE f.b SET n = 0.1 WHERE n = 0.5;
COMMIT;

-- change
DELETE FROM f.b;
