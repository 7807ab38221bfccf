-- The gate: what cannot be maintained is refused by name, with its position and a way out.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_gate;
SET search_path = t_gate;
CREATE TABLE a (id int PRIMARY KEY, grp int, n numeric, t text, ts timestamptz);
CREATE TABLE b (id int PRIMARY KEY, a_id int, n numeric);
ALTER TABLE a REPLICA IDENTITY FULL;
ALTER TABLE b REPLICA IDENTITY FULL;
CREATE FUNCTION volatile_one() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE FUNCTION stable_one() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE FUNCTION immutable_twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION set_of(int) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS 'SELECT generate_series(1, $1)';

-- Functions that depend on more than their arguments.
SELECT derive.create_view('x', 'SELECT id, random() FROM a');
SELECT derive.create_view('x', 'SELECT id FROM a WHERE ts > now()');
SELECT derive.create_view('x', 'SELECT id FROM a WHERE ts > current_timestamp');
SELECT derive.create_view('x', 'SELECT id, current_user FROM a');
SELECT derive.create_view('x', 'SELECT id FROM a WHERE grp = volatile_one()');
SELECT derive.create_view('x', 'SELECT id FROM a WHERE grp = stable_one()');
SELECT derive.create_view('x', 'SELECT id, date_trunc(''day'', ts) FROM a');
SELECT derive.create_view('x', 'SELECT id, ts::date FROM a');
SELECT derive.create_view('x', 'SELECT id, ts::text FROM a');
SELECT derive.create_view('x', 'SELECT id, xmlelement(name t, ts)::text AS x FROM a');
SELECT derive.create_view('x', 'SELECT id, xmlforest(t, ARRAY[decode(t, ''hex'')] AS b)::text AS x FROM a');
SELECT derive.create_view('x', 'SELECT nextval(''derive_state.view_id'') FROM a');
SELECT derive.create_view('x', 'SELECT grp, count(*) FROM a GROUP BY grp HAVING random() > 0.5');
SELECT derive.create_view('x', 'SELECT sum(n) FILTER (WHERE ts < now()) FROM a');

-- Queries that do more than read, or read nothing, at any depth.
SELECT derive.create_view('x', 'SELECT id FROM a WHERE id IN (SELECT a_id FROM b WHERE n > random())');
SELECT derive.create_view('x', 'SELECT s.id FROM (SELECT ctid, id FROM a) s');
SELECT derive.create_view('x', 'SELECT id FROM a, LATERAL (SELECT b.id AS b_id FROM b WHERE b.a_id = a.id FETCH FIRST ROW ONLY) l');
SELECT derive.create_view('x', 'SELECT id FROM a UNION SELECT oid::int FROM pg_class');
SELECT derive.create_view('x', 'WITH d AS (DELETE FROM a RETURNING id) SELECT id FROM d');

-- What leaves open which rows are meant, or locks them.
SELECT derive.create_view('x', 'SELECT id FROM a LIMIT 3');
SELECT derive.create_view('x', 'SELECT id FROM a OFFSET 3');
SELECT derive.create_view('x', 'SELECT id FROM a FOR UPDATE');
-- GROUP BY and DISTINCT take their equality from ORDER BY ... USING: images of records are told apart otherwise than records are.
CREATE TYPE amount AS (n numeric);
CREATE TABLE amounts (id int PRIMARY KEY, r amount);
-- (18 does not know where it is)
SELECT test.error($$SELECT derive.create_view('x', 'SELECT r, count(*) FROM amounts GROUP BY r ORDER BY r USING OPERATOR(pg_catalog.*<)')$$);
SELECT derive.create_view('x', 'SELECT id FROM a WHERE EXISTS (SELECT DISTINCT r FROM amounts ORDER BY r USING OPERATOR(pg_catalog.*<))');
SELECT derive.create_view('x', 'SELECT id FROM a TABLESAMPLE BERNOULLI (10)');
SELECT derive.create_view('x', 'SELECT id FROM a TABLESAMPLE SYSTEM (10) REPEATABLE (random())');

-- Aggregates whose result is not determined.
SELECT derive.create_view('x', 'SELECT grp, array_agg(id) FROM a GROUP BY grp');
SELECT derive.create_view('x', 'SELECT grp, string_agg(t, '','') FROM a GROUP BY grp');
SELECT derive.create_view('x', 'SELECT id, (SELECT jsonb_agg(b.id) FROM b WHERE b.a_id = a.id) AS bs FROM a');
SELECT derive.create_view('x', 'SELECT grp, jsonb_agg(ts ORDER BY id) FROM a GROUP BY grp');

-- Columns that are not the row's data.
SELECT derive.create_view('x', 'SELECT ctid, id FROM a');
SELECT derive.create_view('x', 'SELECT id FROM a WHERE xmin::text = ''1''');
SELECT derive.create_view('x', 'SELECT tableoid::regclass, id FROM a');

-- Relations that cannot be followed.
CREATE TEMP TABLE temporary (id int PRIMARY KEY);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE VIEW plain_view AS SELECT id FROM a;
CREATE MATERIALIZED VIEW matview AS SELECT id FROM a;
CREATE SEQUENCE seq;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE UNLOGGED TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int) SERVER nowhere;
\set VERBOSITY terse
SELECT derive.create_view('x', 'SELECT id FROM temporary');
\set VERBOSITY default
SELECT derive.create_view('x', 'SELECT id FROM unlogged');
SELECT derive.create_view('x', 'SELECT last_value FROM seq');
SELECT derive.create_view('x', 'SELECT id FROM parted');
SELECT derive.create_view('x', 'SELECT oid, relname FROM pg_class');
SELECT derive.create_view('x', 'SELECT table_name FROM information_schema.tables');
SELECT derive.create_view('x', 'SELECT id FROM derive_state.view');
SELECT derive.create_view('x', 'SELECT view FROM derive.views');
SELECT derive.create_view('x', 'SELECT FROM a');

-- Row level security that applies to the view's owner: which rows the query sees would depend on
-- more than the rows.
CREATE TABLE guarded (id int PRIMARY KEY);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_derive_reader;
GRANT ALL ON SCHEMA t_gate TO regress_derive_reader;
GRANT SELECT ON guarded TO regress_derive_reader;
SET ROLE regress_derive_reader;
SELECT derive.create_view('x', 'SELECT id FROM guarded');
RESET ROLE;

-- Nothing of all this has left anything behind.
SELECT count(*) FROM derive.views;
SELECT to_regclass('x');
SELECT count(*) FROM pg_class c WHERE relnamespace = 'derive_state'::regnamespace AND relname LIKE 'x\_%';

-- ONLY and all that is immutable is fine.
SELECT derive.create_view('only_parent', 'SELECT id FROM ONLY parent');
CREATE TABLE parted_ok (id int PRIMARY KEY);
SELECT derive.create_view('by_order', 'SELECT t, count(*) FROM a GROUP BY t ORDER BY t USING OPERATOR(pg_catalog.~<~)');
SELECT derive.create_view('fine', 'SELECT a.id, b.id AS b_id, immutable_twice(grp) AS g, CASE WHEN a.n > 1 THEN upper(t) ELSE NULL END AS t,
    ARRAY[a.id, b.id] AS ids, coalesce(b.n, 0) + 1 AS n, ts AT TIME ZONE ''UTC'' AS utc
    FROM a INNER JOIN (b CROSS JOIN parted_ok p) ON b.a_id = a.id AND (a.t IS NULL OR a.t LIKE ''x%'')');
INSERT INTO a VALUES (1, 1, 2, 'xyz', '2024-01-01 00:00+00'), (2, NULL, NULL, NULL, NULL), (3, 3, 3, 'no', NULL);
INSERT INTO b SELECT i, i % 4, i FROM generate_series(1, 8) i;
INSERT INTO parted_ok VALUES (1), (2);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2);
CALL test.check_all();
DELETE FROM b WHERE id = 5;
UPDATE a SET t = 'x' WHERE id = 3;
DELETE FROM parted_ok WHERE id = 1;
CALL test.check_all();

-- explain() refuses in the same words.
SELECT derive.explain(query => 'SELECT id FROM a LIMIT 3');

SET client_min_messages = warning;
DROP SCHEMA t_gate CASCADE;
DROP ROLE regress_derive_reader;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
