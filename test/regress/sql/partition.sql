-- Partitioned sources: leaf rows are rows of the root, whatever the partition's shape.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_partition;
SET search_path = t_partition;
CREATE TABLE p (id int, day date, n numeric, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
-- Other order of columns, a dropped one, and partitions of its own.
CREATE TABLE p_2 (n numeric, gone int, id int NOT NULL, day date NOT NULL) PARTITION BY HASH (id);
ALTER TABLE p_2 DROP COLUMN gone;
CREATE TABLE p_2_0 (day date NOT NULL, id int NOT NULL, n numeric);
ALTER TABLE p_2 ATTACH PARTITION p_2_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p_2_1 PARTITION OF p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE p ATTACH PARTITION p_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO p SELECT i, date '2024-01-01' + i, i FROM generate_series(1, 55) i;
SELECT derive.create_view('rows', 'SELECT id, day, n FROM p WHERE n > 5');
SELECT derive.create_view('months', 'SELECT extract(month FROM day) AS m, count(*) AS c, sum(n) AS n, max(id) AS hi FROM p GROUP BY 1');
SELECT derive.create_view('one_leaf', 'SELECT id, n FROM p_1');
SELECT derive.create_view('subtree', 'SELECT count(*) AS c FROM p_2');
SELECT derive.create_view('pairs', 'SELECT x.id, y.day FROM p x JOIN p y ON x.id = y.id + 1 AND x.day < y.day + 3');
CALL test.check_all();
INSERT INTO p VALUES (100, '2024-01-05', 1), (101, '2024-02-05', 100);
INSERT INTO p_2_0 VALUES ('2024-02-10', (SELECT i FROM generate_series(1000, 1100) i
    WHERE satisfies_hash_partition('p_2'::regclass, 2, 0, i) LIMIT 1), 7);
CALL test.check_all();
-- Moves between leaves, within one and across levels.
UPDATE p SET day = day + 31 WHERE day < '2024-01-20';
CALL test.check_all();
UPDATE p SET day = day - 31, n = n + 0.5 WHERE id % 3 = 0 AND day BETWEEN '2024-02-01' AND '2024-02-29';
UPDATE p_2 SET id = id + 500;
DELETE FROM p WHERE id % 5 = 0;
DELETE FROM p_1 WHERE n < 10;
CALL test.check_all();
-- A partition comes and goes, with and without rows.
CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO p VALUES (3, '2024-03-03', 3);
CALL test.check_all();
CREATE TABLE p_4 (LIKE p);
INSERT INTO p_4 SELECT i, '2024-04-04', i FROM generate_series(1, 5) i;
ALTER TABLE p ATTACH PARTITION p_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
CALL test.check_all();
INSERT INTO p VALUES (9, '2024-04-09', 9);
ALTER TABLE p DETACH PARTITION p_3;
CALL test.check_all();
INSERT INTO p_3 VALUES (4, '2024-03-04', 4);
DROP TABLE p_4;
CALL test.check_all();
TRUNCATE p_1;
CALL test.check_all();
TRUNCATE p;
CALL test.check_all();
INSERT INTO p SELECT i, date '2024-01-01' + i, i FROM generate_series(1, 20) i;
CALL test.check_all();
-- Attached, written and detached in one transaction.
BEGIN;
ALTER TABLE p ATTACH PARTITION p_3 FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
UPDATE p SET n = n + 1 WHERE id = 4;
INSERT INTO p VALUES (8, '2024-03-08', 8);
COMMIT;
CALL test.check_all();
SET client_min_messages = warning;
DROP SCHEMA t_partition CASCADE;
