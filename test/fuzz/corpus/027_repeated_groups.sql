-- What HAVING repeated of a group expression with a subquery was another thing than the group: a group came twice.
-- setup
CREATE SCHEMA f;
CREATE TABLE f.a (id int, n numeric, b bool, PRIMARY KEY (id));
CREATE TABLE f.b (n numeric, f float8);
CREATE TABLE f.d (id int, y bytea, PRIMARY KEY (id));
INSERT INTO f.a (id, n, b) VALUES (9, -1, false), (16, 1.0, true) ON CONFLICT DO NOTHING;
INSERT INTO f.b (n, f) VALUES (1.00, -1), (-1, -1);

-- view v13
SELECT t2.c1 AS c1
  FROM (SELECT t3.y AS c1
  FROM f.d t3) t2 INNER JOIN (SELECT (SELECT min(t5.f) AS c1
  FROM f.b t5
  WHERE (t5.n = t4.c2)) AS c1
  FROM (SELECT t3.n AS c2
  FROM f.a t3) t4
  GROUP BY (SELECT min(t5.f) AS c1
  FROM f.b t5
  WHERE (t5.n = t4.c2))
  HAVING ((SELECT min(t5.f) AS c1
  FROM f.b t5
  WHERE (t5.n = t4.c2)) < 2::float8)) t6 ON true;

