-- pause, resume, refresh, with_data, wait and the status of a view through its life.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_lifecycle;
SET search_path = t_lifecycle;
CREATE TABLE src (id int PRIMARY KEY, n int);
ALTER TABLE src REPLICA IDENTITY FULL;
INSERT INTO src SELECT i, i % 3 FROM generate_series(1, 9) i;
SELECT derive.create_view('v', 'SELECT n, count(*) AS c FROM src GROUP BY n');
SELECT derive.create_view('above', 'SELECT count(*) AS groups, sum(c) AS c FROM v');
CALL test.check_all();
SELECT view, state, reason, rule, applied_lsn IS NOT NULL AS lsn, lag_bytes >= 0 AS bytes,
    rows_changed > 0 AS changed, created_at > now() - interval '1 hour' AS recent FROM derive.views ORDER BY 1;

-- Paused: the content stays as it is, and so does what stands above.
SELECT derive.pause('v');
CALL test.await_state('v', 'paused');
INSERT INTO src VALUES (10, 0), (11, 77);
SELECT derive.create_view('elsewhere', 'SELECT id FROM src');
CALL test.await_state('elsewhere', 'live');
SELECT derive.wait(timeout => '60 s', view => 'elsewhere') IS NOT NULL AS waited;
TABLE v ORDER BY 1;
SELECT count(*) FROM elsewhere;
SELECT view, state FROM derive.views ORDER BY 1;
SELECT derive.pause('v');
SELECT test.error($$SELECT derive.wait(timeout => '100 ms', view => 'v')$$) ~ '^(5|0)' AS wait_for_a_paused_view_is_an_error;

-- Resumed: recomputed, and maintained again.
SELECT derive.resume('v');
CALL test.check_all();
TABLE v ORDER BY 1;
DELETE FROM src WHERE n = 77;
CALL test.check_all();
SELECT derive.resume('v');
CALL test.check_all();

-- Refresh repairs whatever is wrong.
CALL test.guard('v', false);
DELETE FROM v WHERE n = 0;
UPDATE v SET c = 99 WHERE n = 1;
INSERT INTO v VALUES (1000, 1000);
CALL test.guard('v', true);
SELECT kind, difference, "row" FROM derive.verify('v') ORDER BY 1, 3;
SELECT derive.refresh('v');
CALL test.check_all();
SELECT * FROM derive.verify('v');
SELECT * FROM derive.verify('above');
UPDATE src SET n = n + 1;
CALL test.check_all();

-- Duplicates are told apart by verify.
SELECT derive.create_view('bag', 'SELECT n FROM src');
CALL test.settle();
CALL test.guard('bag', false);
INSERT INTO bag VALUES (1), (1), (NULL);
DELETE FROM bag WHERE n = 2;
CALL test.guard('bag', true);
SELECT kind, difference, "row" FROM derive.verify('bag') ORDER BY 1, 3;
SELECT derive.refresh('bag');
CALL test.check_all();

-- Without data: empty and paused until it is wanted.
SELECT derive.create_view('later', 'SELECT id, n FROM src', with_data => false);
SELECT state FROM derive.views WHERE view = 'later'::regclass;
SELECT derive.wait(timeout => '60 s') IS NOT NULL AS waited;
SELECT count(*) FROM later;
SELECT derive.resume('later');
CALL test.check_all();
UPDATE src SET n = 0 WHERE id = 1;
CALL test.check_all();

-- wait.
SELECT derive.wait() >= '0/0' AS waited;
SELECT derive.wait('0/1') >= '0/1' AS long_past;
INSERT INTO src VALUES (20, 20);
SELECT derive.wait(pg_current_wal_lsn()) >= '0/0' AS waited;
SELECT c FROM v WHERE n = 20;
SELECT test.error($$SELECT derive.wait('FFFFFF/0', '10 ms')$$) ~ '^57D01: ' AS timeout_has_its_sqlstate;
SELECT test.error($$SELECT derive.wait('FFFFFF/0', '-1 s')$$);
SELECT test.error($$SELECT derive.wait(view => 'src')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 FROM src;
SELECT derive.wait();
ROLLBACK;

-- A failed view: the error, the views above it, and its return.
SELECT derive.create_view('quotient', 'SELECT id, 100 / n AS q FROM src WHERE id > 100');
SELECT derive.create_view('over_quotient', 'SELECT sum(q) AS q FROM quotient');
CALL test.settle();
INSERT INTO src VALUES (101, 1), (102, 0);
CALL test.await_state('quotient', 'failed');
SELECT view, state, reason FROM derive.views WHERE state <> 'live' ORDER BY 1;
SELECT derive.wait(timeout => '60 s', view => 'v') IS NOT NULL AS others_go_on;
DELETE FROM src WHERE id = 102;
SELECT derive.refresh('quotient');
CALL test.check_all();

-- A view that fails in its first build.
INSERT INTO src VALUES (103, 0);
CALL test.await_state('quotient', 'failed');
SELECT derive.create_view('fails_at_once', 'SELECT 1 / n AS q FROM src');
CALL test.await_state('fails_at_once', 'failed');
SELECT reason FROM derive.views WHERE view = 'fails_at_once'::regclass;
SELECT derive.drop_view('fails_at_once');
DELETE FROM src WHERE id = 103;
SELECT derive.refresh('quotient');
CALL test.check_all();

-- Mistakes.
SELECT derive.pause('src');
SELECT derive.resume('src');
SELECT derive.refresh('src');
SELECT derive.drop_view('src');
SELECT * FROM derive.verify('src');
SELECT derive.pause('no_such_view');
SELECT derive.pause(NULL);

SET client_min_messages = warning;
DROP SCHEMA t_lifecycle CASCADE;
SELECT count(*) FROM derive.views;
