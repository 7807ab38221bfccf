-- derive.verify found a difference that was none: core printed a merged column of a named FULL JOIN as one of the subquery's.

-- setup
CREATE SCHEMA f;
CREATE TYPE f.mood AS ENUM ('low', 'mid', 'high');
CREATE TABLE f.d (id int PRIMARY KEY, i int, e f.mood);
CREATE TABLE f.e (id int, i int, PRIMARY KEY (id));
CREATE TABLE f.p (l int, i int);
INSERT INTO f.d (id, i, e) VALUES (26, NULL, 'low'), (27, 2, 'low');
INSERT INTO f.e (id, i) VALUES (11, 2);

-- view v7
SELECT t2.id AS c2
  FROM f.p t1 FULL JOIN f.d t2 USING (i) AS j3
  WHERE (t2.e < ANY (SELECT 'mid'::f.mood AS c1
  FROM f.e t4
  WHERE (t4.i = j3.i)));

-- change
INSERT INTO f.p VALUES (1, 3), (1, 2);
