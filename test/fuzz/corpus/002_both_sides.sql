-- Rows leave one side of a join while their partner comes on the other.

-- setup
CREATE SCHEMA f;
CREATE TABLE f.d (id int PRIMARY KEY);
CREATE TABLE f.h (id int, t text);
INSERT INTO f.h VALUES (10, 'a'), (10, NULL), (10, 'ba');

-- view v1
SELECT true AS c1 FROM f.h t1 INNER JOIN f.d t2 USING (id);

-- change
BEGIN;
DELETE FROM f.h WHERE t IS NULL;
INSERT INTO f.d VALUES (10);
COMMIT;
