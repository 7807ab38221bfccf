-- What one view's recompute means for the views above it.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_repair;
SET search_path = t_repair;

-- A lower view that goes stale and comes back in one tick must take the upper one along.
CREATE TABLE p (id int, k int, v int) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
ALTER TABLE p1 REPLICA IDENTITY FULL;
INSERT INTO p VALUES (1, 1, 10);
SELECT derive.create_view('lower', 'SELECT k, sum(v) AS s FROM p GROUP BY k');
SELECT derive.create_view('upper', 'SELECT sum(s) AS s, count(*) AS c FROM lower');
CALL test.check_all();
BEGIN;
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
ALTER TABLE p2 REPLICA IDENTITY FULL;
INSERT INTO p VALUES (2, 2, 100);
COMMIT;
CALL test.check_all();
TABLE upper;
CREATE TABLE p3 (LIKE p);
ALTER TABLE p3 REPLICA IDENTITY FULL;
INSERT INTO p3 VALUES (3, 3, 1000);
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES IN (3);
CALL test.check_all();
TABLE upper;
ALTER TABLE p DETACH PARTITION p1;
CALL test.check_all();
TABLE upper;

-- A repair is no delta: what stood above was right all the time.
CALL test.guard('lower', false);
UPDATE lower SET s = 0 WHERE k = 3;
CALL test.guard('lower', true);
SELECT derive.refresh('lower');
CALL test.check_all();
TABLE upper;

-- A trigger could write in the tick's transaction, so there are none on views.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON lower FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON lower FOR EACH STATEMENT EXECUTE FUNCTION note();

-- A function that a view calls, or an operator of it, is replaced, and no row changes.
CREATE TABLE f (id int PRIMARY KEY, n int);
INSERT INTO f SELECT i, i FROM generate_series(1, 3) i;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + $2; END $$;
CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION finish(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE added(int) (SFUNC = add, STYPE = int, FINALFUNC = finish, INITCOND = 0);
CREATE OPERATOR <+> (FUNCTION = plus, LEFTARG = int, RIGHTARG = int);
SELECT derive.create_view('calls', 'SELECT id, twice(n) AS n FROM f');
SELECT derive.create_view('adds', 'SELECT added(n) AS n FROM f');
SELECT derive.create_view('operates', 'SELECT id, n <+> 1 AS n FROM f');
CALL test.check_all();
CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3 * $1';
CREATE OR REPLACE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 - $2; END $$;
CALL test.check_all();
TABLE calls;
TABLE operates;
-- Those of an aggregate, too.
CREATE OR REPLACE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 10 * $2';
CALL test.check_all();
CREATE OR REPLACE FUNCTION finish(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -$1';
CALL test.check_all();
-- Nothing is concluded from what a function is when the view is created: whether it is strict, or what it says of nothing.
CREATE TABLE g (f_id int, n int);
INSERT INTO g VALUES (1, 1), (1, 2), (2, 3);
CREATE FUNCTION large(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$ BEGIN RETURN $1 > 1; END $$;
CREATE FUNCTION more(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + 1; END $$;
SELECT derive.create_view('outer_joined', 'SELECT f.id, g.n FROM f LEFT JOIN g ON g.f_id = f.id WHERE large(g.n)');
SELECT derive.create_view('counted', 'SELECT id, (SELECT more(count(*)) FROM g WHERE g.f_id = f.id) AS n FROM f');
SELECT derive.create_view('limited', 'SELECT id, (SELECT g.n FROM g WHERE g.f_id = f.id ORDER BY g.n LIMIT more(0)) AS n FROM f WHERE id > 1');
SELECT view, rule FROM derive.views WHERE view::text IN ('outer_joined', 'counted', 'limited') ORDER BY view::text COLLATE "C";
CALL test.check_all();
CREATE OR REPLACE FUNCTION large(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN coalesce($1, 2) > 1; END $$;
CREATE OR REPLACE FUNCTION more(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + 2; END $$;
INSERT INTO g VALUES (2, 0);
CALL test.await_state('limited', 'failed');
SELECT reason FROM derive.views WHERE view = 'limited'::regclass;
DROP TABLE limited;
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_repair CASCADE;
