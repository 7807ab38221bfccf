-- TABLESAMPLE REPEATABLE: the rows taken depend on where they lie, so whatever moves rows makes
-- the sample anew.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_sample;
SET search_path = t_sample;
-- As check_all, without numbers of rows: where rows lie depends on what was pruned meanwhile.
CREATE PROCEDURE check_samples() LANGUAGE plpgsql AS $$
DECLARE
    v record;
    equal boolean;
BEGIN
    CALL test.settle();
    FOR v IN SELECT w.view, w.query FROM derive.views w WHERE w.view::text !~ '[.]' ORDER BY w.view::text COLLATE "C" LOOP
        EXECUTE format($q$ WITH stored AS (TABLE %s), wanted AS (%s)
            SELECT NOT EXISTS (TABLE stored EXCEPT ALL TABLE wanted) AND NOT EXISTS (TABLE wanted EXCEPT ALL TABLE stored) $q$, v.view, v.query)
            INTO equal;
        RAISE INFO '%: %', v.view, CASE WHEN equal THEN 'equal' ELSE 'DIFFERENT' END;
    END LOOP;
END $$;
CREATE TABLE a (id int PRIMARY KEY, n int, unused text) WITH (autovacuum_enabled = off);
INSERT INTO a SELECT i, i % 7 FROM generate_series(1, 3000) i;
CREATE TABLE p (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50) WITH (autovacuum_enabled = off);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (50) TO (1000) WITH (autovacuum_enabled = off);
INSERT INTO p SELECT i, i % 7 FROM generate_series(0, 99) i;
-- A sample needs no replica identity, a sum beside it does.
SELECT derive.create_view('half', 'SELECT id FROM a TABLESAMPLE BERNOULLI (50) REPEATABLE (1)');
SELECT derive.create_view('nothing_read', 'SELECT count(*) AS c FROM a TABLESAMPLE BERNOULLI (50) REPEATABLE (2)');
SELECT relreplident FROM pg_class WHERE oid = 'a'::regclass;
SELECT derive.create_view('blocks', 'SELECT n, count(*) AS c FROM a TABLESAMPLE SYSTEM (50) REPEATABLE (3) GROUP BY n');
SELECT derive.create_view('exact', 'SELECT n, count(*) AS c FROM a GROUP BY n');
SELECT derive.create_view('both', 'SELECT a.id FROM a TABLESAMPLE BERNOULLI (50) REPEATABLE (1) JOIN p USING (n)
    WHERE p.id < 5 AND NOT EXISTS (SELECT 1 FROM a b TABLESAMPLE BERNOULLI (10) REPEATABLE (9) WHERE b.id = a.id)');
SELECT derive.create_view('parts', 'SELECT id, n FROM p TABLESAMPLE BERNOULLI (50) REPEATABLE (4)');
SELECT derive.create_view('above', 'SELECT count(*) AS c, sum(id) AS s FROM half');
SELECT derive.create_view('inside', 'SELECT x.n, (SELECT max(a.id) FROM a TABLESAMPLE BERNOULLI (30) REPEATABLE (5) WHERE a.n = x.n) AS m
    FROM exact x');
SELECT derive.create_view('first_ones', 'SELECT id, n FROM a TABLESAMPLE BERNOULLI (50) REPEATABLE (6) ORDER BY n, id LIMIT 5');
SELECT line FROM derive.explain('half'::regclass) line WHERE line LIKE '%rule%';
CALL check_samples();
INSERT INTO a SELECT i, i % 7 FROM generate_series(3001, 3100) i;
CALL check_samples();
-- Rows that only move: no column changes, or one that nobody reads, or all is undone.
CREATE TABLE before AS TABLE half;
UPDATE a SET id = id WHERE id % 3 = 0;
CALL check_samples();
SELECT count(*) > 0 AS other_rows FROM (TABLE half EXCEPT TABLE before) x;
UPDATE a SET unused = 'u' WHERE id % 5 = 0;
CALL check_samples();
BEGIN; UPDATE a SET n = n + 1; UPDATE a SET n = n - 1; COMMIT;
CALL check_samples();
BEGIN; UPDATE p SET n = n + 1; SAVEPOINT s; UPDATE p SET n = 0; ROLLBACK TO s; UPDATE p SET n = n - 1; COMMIT;
CALL check_samples();
ALTER TABLE a REPLICA IDENTITY FULL;
UPDATE a SET id = id WHERE id % 4 = 1;
CALL check_samples();
DELETE FROM a WHERE id % 2 = 0;
VACUUM a;
INSERT INTO a SELECT i, i % 7 FROM generate_series(4000, 4500) i;
CALL check_samples();
UPDATE p SET id = 99 - id;
CALL check_samples();
-- Several transactions in one tick, which cancel.
SELECT derive.pause('parts');
UPDATE p SET n = n + 1;
UPDATE p SET n = n - 1;
SELECT derive.resume('parts');
CALL check_samples();
-- Rows that move without a word in the log.
DELETE FROM a WHERE id < 1000;
CALL check_samples();
DROP TABLE before;
CREATE TABLE before AS TABLE half;
VACUUM FULL a;
CALL check_samples();
SELECT count(*) > 0 AS other_rows FROM (TABLE half EXCEPT TABLE before) x;
CLUSTER a USING a_pkey;
CALL check_samples();
VACUUM FULL p1;
CALL check_samples();
TRUNCATE a;
INSERT INTO a SELECT i, i % 7 FROM generate_series(1, 100) i;
CALL check_samples();
-- A row out of its partition, and a partition that comes with rows.
CREATE TABLE p3 (id int, n int);
INSERT INTO p3 SELECT i, i FROM generate_series(1000, 1020) i;
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (1000) TO (2000);
CALL check_samples();
-- Nothing is recomputed when nothing moves.
CREATE TABLE seen AS SELECT view, stage, recomputes FROM derive.stages WHERE view::text IN ('half', 'blocks', 'parts');
INSERT INTO p3 VALUES (1021, 1);
CALL check_samples();
SELECT n.view, n.recomputes - o.recomputes AS recomputes FROM derive.stages n JOIN seen o USING (view, stage) ORDER BY n.view::text;
SELECT view FROM derive.views, derive.verify(view) ORDER BY 1;
-- Where the rows of these lie is not known.
CREATE MATERIALIZED VIEW m AS TABLE a;
SELECT derive.create_view('x', 'SELECT id FROM m TABLESAMPLE SYSTEM (50) REPEATABLE (1)');
SELECT derive.create_view('x', 'SELECT id FROM half TABLESAMPLE SYSTEM (50) REPEATABLE (1)');
-- A recursion over the same table, which finds that an update changed nothing.
CREATE TABLE tree (id int PRIMARY KEY, parent int) WITH (autovacuum_enabled = off);
ALTER TABLE tree REPLICA IDENTITY FULL;
INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 500) i;
SELECT derive.create_view('reached', 'WITH RECURSIVE r AS (SELECT id FROM tree WHERE parent IS NULL UNION SELECT t.id FROM tree t JOIN r ON t.parent = r.id) SELECT id FROM r');
SELECT derive.create_view('unmoved', 'SELECT id, parent FROM tree TABLESAMPLE BERNOULLI (50) REPEATABLE (7)');
CALL check_samples();
UPDATE tree SET parent = parent;
CALL check_samples();
SET client_min_messages = warning;
DROP SCHEMA t_sample CASCADE;
