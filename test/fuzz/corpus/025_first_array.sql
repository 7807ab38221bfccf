-- The first of several arrays: array_agg(...)[1] is not one of them, and the view failed.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.m (id int, i int, t text);
CREATE TABLE f.p (l int, i int, t text);
INSERT INTO f.m VALUES (1, 1, 'a'), (2, NULL, 'a'), (3, 3, 'b');
INSERT INTO f.p VALUES (1, 1, 'a'), (2, 2, 'b'), (3, NULL, NULL);

-- view v4
SELECT l, (SELECT ARRAY[t3.id, t3.i] AS c1 FROM f.m t3 WHERE t3.t = t1.t ORDER BY t3.id DESC NULLS LAST, t3.i LIMIT 1) AS c3
  FROM f.p t1;

-- change
INSERT INTO f.m VALUES (4, 4, 'a');

-- change
DELETE FROM f.m WHERE id = 3;
