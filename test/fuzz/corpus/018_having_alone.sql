-- HAVING without aggregates makes one group even of nothing.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int PRIMARY KEY, i int, t text);
CREATE TABLE f.b (i int, t text);
INSERT INTO f.a VALUES (1, 1, 'x'), (2, NULL, 'y'), (3, 1, NULL), (4, 2, 'x');
INSERT INTO f.b VALUES (1, 'x'), (1, 'x'), (NULL, NULL), (3, 'z');

-- view v1
SELECT a.id AS c1, x.one AS c2 FROM f.a, LATERAL (SELECT 1 AS one FROM f.b WHERE b.i > a.i HAVING true) x WHERE EXISTS (SELECT 1 FROM f.b WHERE b.i > a.id + 1 HAVING true);

-- change
DELETE FROM f.b WHERE i = 1;

-- change
INSERT INTO f.b VALUES (1, 'x'), (2, NULL);
UPDATE f.a SET i = 3 WHERE id = 2;

-- change
BEGIN;
INSERT INTO f.b VALUES (3, 'x');
DELETE FROM f.a WHERE id = 3;
UPDATE f.b SET i = NULL WHERE i = 1;
COMMIT;

-- change
DELETE FROM f.b;

-- change
INSERT INTO f.b VALUES (2, 'x'), (2, 'x');
UPDATE f.a SET id = -1 WHERE id = 1;
UPDATE f.a SET id = 1 WHERE id = 4;
UPDATE f.a SET id = 4 WHERE id = -1;
