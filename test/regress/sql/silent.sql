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
-- What it depends on is guarded.
DROP MATERIALIZED VIEW counts;
SELECT derive.drop_view('joined'), derive.drop_view('through_view'), derive.drop_view('alone');
SET client_min_messages = warning;
DROP SCHEMA t_silent CASCADE;
