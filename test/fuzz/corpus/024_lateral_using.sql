-- A LATERAL that depends on its row by more than equalities, joined with USING: the join was printed without the condition added to it.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.h (id int, i int);
CREATE TABLE f.q (id int, d date, i int, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE f.q_1 PARTITION OF f.q FOR VALUES FROM ('2024-01-01') TO ('2024-01-03');
CREATE TABLE f.q_x PARTITION OF f.q DEFAULT;
INSERT INTO f.h (id, i) VALUES (4, 2);
INSERT INTO f.q (id, d, i) VALUES (11, '2024-01-03', 2), (10, '2024-01-04', 0) ON CONFLICT DO NOTHING;

-- view v15
SELECT NULL::bigint AS c1
  FROM (SELECT t1.i AS c1, t1.id AS c2
  FROM f.q t1) t2 LEFT JOIN LATERAL (SELECT t3.i AS c1
  FROM f.h t3
  WHERE (t3.id < t2.c2)) t4 USING (c1) AS j5;

