-- A view's relation: exactly the query's columns, owned by the caller, guarded, and hidden state
-- that is nobody's.
\set QUIET on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
BEGIN;
SELECT no_plan();
CREATE ROLE derive_owner;
CREATE SCHEMA pt AUTHORIZATION derive_owner;
SET LOCAL ROLE derive_owner;
CREATE TABLE pt.src (id int PRIMARY KEY, name varchar(30) COLLATE "C" NOT NULL, n numeric(10,3), tags text[], at timestamptz);
SELECT isnt(derive.create_view('pt.rows', 'SELECT id, name, n, tags AS "The Tags", at FROM pt.src')::text, NULL, 'create_view returns the relation');
SELECT isnt(derive.create_view('pt.groups', 'SELECT name, count(*) AS c, sum(n) AS s, avg(n) AS a, max(at) AS last FROM pt.src GROUP BY name')::text, NULL, 'and again');
SELECT isnt(derive.create_view('pt.keyless', 'SELECT name FROM pt.src')::text, NULL, 'and again');
RESET ROLE;

SELECT has_table('pt', t, t || ' is a table') FROM unnest(ARRAY['rows', 'groups', 'keyless']) t;
SELECT table_owner_is('pt', t, 'derive_owner', t || ' belongs to the caller') FROM unnest(ARRAY['rows', 'groups', 'keyless']) t;
PREPARE shape(regclass) AS
    SELECT format('%s %s %s %s', attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull) COLLATE "default"
    FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 ORDER BY attnum;
SELECT results_eq($$ EXECUTE shape('pt.rows') $$,
    ARRAY['id integer - f', 'name character varying(30) "C" f', 'n numeric(10,3) - f', 'The Tags text[] "default" f',
        'at timestamp with time zone - f'], 'columns, types, modifiers and collations of the query, nothing else');
SELECT results_eq($$ EXECUTE shape('pt.groups') $$,
    ARRAY['name character varying(30) "C" f', 'c bigint - f', 's numeric - f', 'a numeric - f', 'last timestamp with time zone - f'],
    'those of aggregates');
SELECT index_is_unique(schemaname, tablename, indexname, indexname || ' is unique') FROM pg_indexes WHERE schemaname = 'pt' AND tablename IN ('rows', 'groups');
SELECT results_eq(
    $$ SELECT i.indnullsnotdistinct FROM pg_index i WHERE i.indrelid = 'pt.groups'::regclass $$, ARRAY[true], 'NULLs are one key');
SELECT has_trigger('pt', 'rows', tgname, 'guarded by a trigger') FROM pg_trigger WHERE tgrelid = 'pt.rows'::regclass LIMIT 1;

-- Hidden state: owned by nobody who could write to it from outside, dropped with the view.
SELECT isnt_empty($$ SELECT FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^groups_\d+_query$' AND relkind = 'v' $$, 'the definition is an ordinary view');
SELECT isnt_empty($$ SELECT FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^groups_\d+_state$' AND relkind = 'r' $$, 'the groups have a state');
SELECT is_empty($$ SELECT FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^rows_\d+_state$' $$, 'rows need none');
SELECT is_empty(
    $$ SELECT c.oid::regclass FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
       WHERE c.relnamespace = 'derive_state'::regnamespace AND c.relkind IN ('r', 'v') AND a.grantee = 0 AND c.relname <> 'health' $$,
    'PUBLIC may read none of it, but for what derive.health() shows each caller');

SELECT throws_ok($$ INSERT INTO pt.rows (id) VALUES (1) $$, NULL, NULL, 'INSERT is refused');
SELECT throws_ok($$ UPDATE pt.rows SET n = 1 $$, NULL, NULL, 'UPDATE is refused');
SELECT throws_ok($$ DELETE FROM pt.rows $$, NULL, NULL, 'DELETE is refused');
SELECT throws_ok($$ TRUNCATE pt.rows $$, NULL, NULL, 'TRUNCATE is refused');
SELECT throws_ok($$ SELECT derive.create_view('pt.bad', 'SELECT name FROM pt.src LIMIT 1') $$, '0A000', NULL, 'a result that is not determined is a feature that is not supported');
SELECT throws_ok($$ SELECT derive.create_view('pt.rows', 'SELECT id FROM pt.src') $$, '42P07', NULL, 'a name that is taken is a duplicate table');
SELECT throws_ok($$ SELECT derive.drop_view('pt.src') $$, '42809', NULL, 'what is no view is a wrong object type');
SELECT throws_ok($$ SELECT derive.verify('pt.src') $$, '42809', NULL, 'to verify as well');
SELECT throws_ok($$ SELECT derive.refresh('pt.src') $$, '42809', NULL, 'and to refresh');
SELECT throws_ok($$ SELECT derive.wait(view => 'pt.src') $$, '42809', NULL, 'and to wait');

SELECT lives_ok($$ DROP TABLE pt.groups $$, 'DROP TABLE drops a view');
SELECT is_empty($$ SELECT FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^groups_' $$, 'and its hidden state, in the same transaction');
SELECT lives_ok($$ SELECT derive.drop_view('pt.rows') $$, 'so does drop_view');
SELECT is_empty($$ SELECT FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^rows_' $$, 'and its hidden state');
SELECT * FROM finish();
ROLLBACK;
