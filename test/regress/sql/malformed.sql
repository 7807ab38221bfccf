-- Arguments that make no sense, 200 calls of every function of the extension: a clear error or a harmless
-- answer, never an internal error or a crash, and nothing is left behind.  The calls are made up from
-- the functions' signatures, so that a new function is tried without a word here.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
SET client_min_messages = error;
CREATE SCHEMA t_malformed;
SET search_path = t_malformed;
CREATE TABLE plain (id int PRIMARY KEY, "odd "" name" text, payload text);
CREATE TABLE parted (id int, d date) PARTITION BY RANGE (d);
CREATE UNLOGGED TABLE unlogged (id int);
CREATE TABLE child () INHERITS (plain);
CREATE TYPE pair AS (a int, b int);
CREATE TEMP TABLE temporary (id int);
CREATE SEQUENCE numbers;
CREATE VIEW ordinary AS SELECT id FROM plain;
CREATE MATERIALIZED VIEW copy AS SELECT id FROM plain;
SELECT derive.create_view('good', 'SELECT id FROM parted') \g /dev/null
CALL test.settle();

-- What there is before and must be after.
CREATE TABLE census AS SELECT 0 AS at, 'relations' AS what, count(*) FROM pg_class;
CREATE PROCEDURE take_census(n int) LANGUAGE sql AS $$
    INSERT INTO t_malformed.census
        SELECT n, 'relations of derive_state', count(*) FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace
        UNION ALL SELECT n, 'relations', count(*) FROM pg_class
        UNION ALL SELECT n, 'triggers', count(*) FROM pg_trigger
        UNION ALL SELECT n, 'views', count(*) FROM derive_state.view
        UNION ALL SELECT n, 'functions', count(*) FROM pg_proc
        UNION ALL SELECT n, 'slots', count(*) FROM pg_replication_slots
        UNION ALL SELECT n, 'full identities', count(*) FROM pg_class WHERE relreplident = 'f';
$$;

-- Values by type; a text is tried as a name, a query, an expression.
CREATE TABLE pool (type text, value text);
INSERT INTO pool
    SELECT 'regclass', o::text || '::oid' FROM unnest(ARRAY[0, 1, 2, 11, 1259, 999999, 2147483647, 4294967295]) o
    UNION ALL SELECT 'regclass', c.oid::text || '::oid' FROM (
        SELECT oid, row_number() OVER (PARTITION BY relkind, relnamespace ORDER BY oid) AS n FROM pg_class
        WHERE oid NOT IN (SELECT view FROM derive_state.view)) c WHERE n <= 8
    UNION ALL SELECT 'regclass', format('%L', v) FROM unnest(ARRAY['', ' ', 'no.such', 'a.b.c.d', '"', '"x', '-', '-1',
        'plain; DROP TABLE plain', repeat('x', 10000), '99999999999']) v
    UNION ALL SELECT 'text', format('%L', v) FROM unnest(ARRAY['', ' ', ';', '--', '/*', '*/', '''', '"', '""', '$$', '\', E'\n', E'\t',
        '.', '..', 'a.b.c', 'a.b.c.d', 'good', 't_malformed.good', 'plain', 'pg_catalog.x', 'derive_state.x', 'pg_temp.x', 'information_schema.x',
        'x y', '"x', 'x"', '"x y"', '1', 'NULL', 'SELECT', 'SELECT 1', 'SELECT 1;', 'SELECT 1; SELECT 2', 'SELECT', 'SELECT * FROM', 'SELECT * FROM plain',
        'SELECT FROM plain', 'SELECT NULL FROM plain', 'SELECT id, id FROM plain', 'SELECT "odd "" name" FROM plain', 'SELECT id AS "a""b" FROM plain',
        'SELECT id FROM unlogged', 'SELECT id FROM temporary', 'SELECT a FROM pair', 'SELECT last_value FROM numbers', 'SELECT id FROM ordinary',
        'SELECT id FROM copy', 'SELECT relname FROM pg_class', 'SELECT oid FROM plain', 'SELECT ctid FROM plain', 'SELECT id FROM no_such',
        'SELECT no_such FROM plain', 'SELECT no_such()', 'SELECT id + ''x'' FROM plain', 'SELECT $1 FROM plain', 'SELECT :x', 'INSERT INTO plain VALUES (1)',
        'VALUES (1), (2)', 'TABLE plain', 'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r',
        'SELECT random() FROM plain', 'SELECT now()', 'SELECT ROW(1, 2)', 'SELECT ROW(id) FROM plain', 'SELECT plain FROM plain', 'SELECT ''x''::unknown',
        'SELECT id FROM plain FOR UPDATE', 'SELECT id FROM plain LIMIT 1', 'SELECT generate_series(1, id) FROM plain', 'SELECT sum(sum(id)) FROM plain',
        'SELECT 1/0 FROM plain', 'SELECT 1/0', 'SELECT id FROM plain WHERE 1/0 = 1', 'SELECT id FROM plain TABLESAMPLE system (1)',
        'SELECT sum(id) OVER w FROM plain WINDOW w AS ()', 'SELECT id FROM plain GROUP BY id HAVING id > sum(id)', 'SELECT count(*) FILTER (WHERE 1) FROM plain',
        'SELECT id FROM plain UNION SELECT payload FROM plain', 'SELECT 1 AS x ORDER BY 2', 'SELECT x FROM json_to_record(''{}'') AS (x int)',
        'SELECT id FROM ONLY plain', 'SELECT id FROM child', 'EXPLAIN SELECT 1', 'CREATE TABLE x (a int)', 'SELECT id INTO y FROM plain', 'COPY plain TO STDOUT',
        'DO $x$ BEGIN END $x$', 'SELECT id FROM good', 'SELECT xmlparse(content ''<'')', 'SELECT current_user', 'SELECT CURRENT_DATE', 'SELECT U&''\0000''',
        'SELECT id::regclass FROM plain', 'SELECT (plain).* FROM plain', 'SELECT id FROM (SELECT id FROM plain) q(a, b)',
        repeat('x', 63), repeat('x', 64), repeat('"', 1001), repeat('ä', 40), 'ä', repeat('x', 1000000), repeat('(', 20000), repeat('SELECT (', 3000),
        'SELECT ' || repeat('1 + ', 3000) || '1 AS x FROM plain', 'SELECT ' || repeat('id, ', 1700) || '1 FROM plain',
        'SELECT ' || repeat('(', 300) || 'id' || repeat(')', 300) || ' FROM plain', 'SELECT id FROM plain' || repeat(' UNION ALL SELECT id FROM plain', 60)]) v
    UNION ALL SELECT 'text[]', v FROM unnest(ARRAY['''{}''', '''{NULL}''', '''{""}''', '''{id}''', '''{id,id}''', '''{no_such}''', '''{{id},{id}}''',
        '''[5:5]={id}''', '''{id', '''x''', 'array_fill(''x''::text, ARRAY[10000])', 'array_fill(''id''::text, ARRAY[40])']) v
    UNION ALL SELECT 'boolean', v FROM unnest(ARRAY['true', 'false', '''x''']) v
    UNION ALL SELECT 'interval', format('%L', v) FROM unnest(ARRAY['0', '1 ms', '-1 s', '-178000000 years', '178000000 years', 'x', '', '1 month -1 day']) v
    UNION ALL SELECT 'pg_lsn', v FROM unnest(ARRAY['''0/0''', '''0/1''', '''x''', '''0''', '''/''', 'pg_current_wal_lsn()']) v
    UNION ALL SELECT t, v FROM unnest(ARRAY['integer', 'bigint', 'smallint']) t, unnest(ARRAY['0', '1', '-1', '2147483647', '-2147483648', '9223372036854775807',
        '-9223372036854775808', '99999999999999999999', '''x''', '1.5']) v
    UNION ALL SELECT 'uuid', format('%L', v) FROM unnest(ARRAY['00000000-0000-0000-0000-000000000000', 'x', '']) v
    UNION ALL SELECT 'jsonb', format('%L', v) FROM unnest(ARRAY['{}', '[]', 'null', '{', '"x"', repeat('[', 10000), '"\u0000"']) v
    UNION ALL SELECT 'record', v FROM unnest(ARRAY['ROW()', 'ROW(NULL)', 'ROW(1, ROW(2, ROW(NULL)))', 'ROW(repeat(''x'', 1000000))', '(1, 2)::t_malformed.pair', '1']) v;
INSERT INTO pool SELECT DISTINCT type, 'NULL' FROM pool;

-- One call, which is undone: its SQLSTATE.
CREATE FUNCTION try_call(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION SQLSTATE 'TT000';
EXCEPTION WHEN others THEN
    RETURN sqlstate;
END $$;
-- The arguments of a call; a type without a pool is tried with NULL and with text that is none.
CREATE FUNCTION arguments(types text[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format('(%s)::%s', coalesce((SELECT value FROM t_malformed.pool WHERE type = t ORDER BY random() LIMIT 1),
        CASE WHEN random() < 0.5 THEN 'NULL' ELSE '''x''' END), t), ', ' ORDER BY n), '')
    FROM unnest(types) WITH ORDINALITY u (t, n)
$$;
CREATE TABLE calls (function text, statement text, outcome text);
SELECT setseed(0.15) \g /dev/null
\set ECHO all
CALL take_census(1);
INSERT INTO calls (function, statement)
    SELECT p.oid::regprocedure::text, format('SELECT * FROM %s.%I(%s)', p.pronamespace::regnamespace, p.proname,
        arguments(ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, n) ORDER BY n)))
    FROM pg_proc p, generate_series(1, 200)
    WHERE p.pronamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace) AND p.prokind = 'f';
-- One after the other, each in a subtransaction that is rolled back.
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT ctid, statement FROM t_malformed.calls LOOP
        UPDATE t_malformed.calls SET outcome = t_malformed.try_call(c.statement) WHERE ctid = c.ctid;
        COMMIT;
    END LOOP;
END $$;
CALL take_census(2);
-- Internal errors, or calls that were not made at all: none.
SELECT function, outcome, left(statement, 200) AS statement FROM calls WHERE outcome IS NULL OR outcome ~ '^XX' ORDER BY 1, 2, 3 LIMIT 20;
SELECT count(*) >= 200 * count(DISTINCT function) AS enough, count(DISTINCT function) > 10 AS all_functions,
    count(*) FILTER (WHERE outcome ~ '^XX') AS internal FROM calls;
-- Most are refused, each in words of its own.
SELECT count(*) FILTER (WHERE outcome <> 'TT000') > count(*) / 2 AS refused, count(DISTINCT outcome) > 15 AS differently FROM calls;
-- Nothing was left.
SELECT what, sum(CASE at WHEN 2 THEN count ELSE -count END) AS left_behind FROM census WHERE at > 0 GROUP BY what
    HAVING sum(CASE at WHEN 2 THEN count ELSE -count END) <> 0;
SELECT derive.wait(timeout => '60 s') IS NOT NULL AS alive, (SELECT state FROM derive.pipelines) AS pipeline;
-- The same view as before is there and live, and its maintenance goes on.
INSERT INTO parted SELECT NULL, NULL WHERE false;
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_malformed CASCADE;
