-- Materialized views and foreign tables: their changes are not in the log, so a stage holds a copy
-- as of the last refresh.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_silent;
SET search_path = t_silent;
CREATE TABLE s (id int PRIMARY KEY, g int);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT k, k % 4 FROM generate_series(1, 12) k;
CREATE MATERIALIZED VIEW counts AS SELECT g, count(*) AS n FROM s GROUP BY g;
CREATE VIEW above AS SELECT g, n FROM counts WHERE n > 1;
\set VERBOSITY terse
SELECT derive.create_view('joined', 'SELECT s.id, c.n FROM s JOIN counts c ON c.g = s.g');
SELECT derive.create_view('through_view', 'SELECT s.g, count(a.n) AS n FROM s LEFT JOIN above a ON a.g = s.g GROUP BY s.g');
SELECT derive.create_view('alone', 'SELECT g, n FROM counts');
\set VERBOSITY default
CALL test.settle();
SELECT view, state, reason, rule FROM derive.views ORDER BY view::text COLLATE "C";
CALL test.check_all();
-- The table is followed, the materialized view is not ...
INSERT INTO s VALUES (20, 0), (21, 9);
CALL test.settle();
CALL test.check_all();
SELECT id, n FROM joined WHERE id >= 20 ORDER BY id;
-- ... until a refresh.
REFRESH MATERIALIZED VIEW counts;
SELECT id, n FROM joined WHERE id >= 20 ORDER BY id;
SELECT derive.refresh('joined'), derive.refresh('through_view'), derive.refresh('alone');
CALL test.settle();
SELECT id, n FROM joined WHERE id >= 20 ORDER BY id;
CALL test.check_all();
-- At a stated interval without being asked.
SELECT derive.create_view('timed', 'SELECT s.id, c.n FROM s JOIN counts c ON c.g = s.g', refresh_every => '0.1 s');
CALL test.settle();
SELECT regexp_replace(reason, 'as of .*,', 'as of ...,') AS reason FROM derive.views WHERE view = 'timed'::regclass;
INSERT INTO s VALUES (22, 9);
REFRESH MATERIALIZED VIEW counts;
CREATE PROCEDURE await_count(wanted bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 1500 LOOP
        IF (SELECT n = wanted FROM timed WHERE id = 22) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.02);
        COMMIT;
    END LOOP;
    RAISE EXCEPTION 'not read again';
END $$;
CALL await_count(2);
-- Only the copy is computed anew.
SELECT bool_or(recomputes > 1) FILTER (WHERE query LIKE '%counts%') AS copy,
    bool_or(recomputes > chosen + 1) FILTER (WHERE query NOT LIKE '%counts%') AS above
FROM derive.stages WHERE view = 'timed'::regclass;
SELECT derive.create_view('x', 'SELECT id FROM s', refresh_every => '1 h');
SELECT derive.create_view('x', 'SELECT g FROM counts', refresh_every => '-1 h');
SELECT derive.drop_view('timed');
-- What it depends on is guarded.
DROP MATERIALIZED VIEW counts;
SELECT derive.drop_view('joined'), derive.drop_view('through_view'), derive.drop_view('alone');
SET client_min_messages = warning;
DROP SCHEMA t_silent CASCADE;
