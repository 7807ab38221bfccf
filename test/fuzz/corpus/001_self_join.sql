-- Both sides of a join change in one transaction: the old content subtracts the delta.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.e (id int PRIMARY KEY, i int);
INSERT INTO f.e VALUES (7, 2);

-- view v1
SELECT t2.i AS c1 FROM f.e t1 NATURAL INNER JOIN f.e t2;

-- change
DELETE FROM f.e;
