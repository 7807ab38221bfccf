-- Attacks, one by one, by a role that may log in, create a schema of its own and read one table:
-- none gets it a row, a right or a run of its code as somebody else.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
SET client_min_messages = warning;
CREATE ROLE regress_derive_eve;
CREATE ROLE regress_derive_reader;
GRANT USAGE ON SCHEMA test TO regress_derive_eve, regress_derive_reader;
CREATE SCHEMA t_safe;                                   -- not hers
GRANT USAGE ON SCHEMA t_safe TO regress_derive_eve, regress_derive_reader;
CREATE TABLE t_safe.secret (id int PRIMARY KEY, code text);
ALTER TABLE t_safe.secret REPLICA IDENTITY FULL;
INSERT INTO t_safe.secret SELECT i, 'TOPSECRET' || i FROM generate_series(1, 5) i;
CREATE TABLE t_safe.open (id int PRIMARY KEY, n int);
ALTER TABLE t_safe.open REPLICA IDENTITY FULL;
INSERT INTO t_safe.open VALUES (1, 1), (2, 2);
GRANT SELECT ON t_safe.open TO regress_derive_eve;
CREATE TABLE t_safe.columns (id int PRIMARY KEY, code text);
ALTER TABLE t_safe.columns REPLICA IDENTITY FULL;
INSERT INTO t_safe.columns VALUES (1, 'TOPSECRET');
GRANT SELECT (id) ON t_safe.columns TO regress_derive_eve;
CREATE TABLE t_safe.policed (id int PRIMARY KEY, code text);
ALTER TABLE t_safe.policed REPLICA IDENTITY FULL;
ALTER TABLE t_safe.policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t_safe.policed USING (id < 2);
INSERT INTO t_safe.policed VALUES (1, 'yours'), (2, 'TOPSECRET');
GRANT SELECT ON t_safe.policed TO regress_derive_eve;
SELECT derive.create_view('t_safe.secret_view', 'SELECT id, code FROM t_safe.secret') \g /dev/null
SELECT derive.create_view('t_safe.secret_groups', 'SELECT code, count(*) AS n FROM t_safe.secret GROUP BY code') \g /dev/null
CREATE SCHEMA t_eve AUTHORIZATION regress_derive_eve;
CALL test.settle();

-- What her code sees when somebody runs it: anybody but herself is a landed attack.
CREATE TABLE t_eve.seen (who text, what text);
ALTER TABLE t_eve.seen OWNER TO regress_derive_eve;
SET ROLE regress_derive_eve;
SET search_path = t_eve;
CREATE FUNCTION t_eve.witness(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t_eve.seen VALUES (current_user || '/' || session_user, what);
    RETURN true;
END $$;
-- An immutable function cannot write a row, but it can leave a trace in the session.
CREATE FUNCTION t_eve.spy(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_user <> 'regress_derive_eve' THEN
        PERFORM set_config('eve.ran_as', current_user, false);
    END IF;
    RETURN n;
END $$;
-- Tries a statement in a function of hers that runs while a view is maintained; what came of it.
CREATE FUNCTION t_eve.attempt(statement text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done as ' || current_user;
EXCEPTION WHEN others THEN RETURN 'refused ' || sqlstate;
END $$;
CREATE TABLE t_eve.mine (id int PRIMARY KEY, n int, statement text);
ALTER TABLE t_eve.mine REPLICA IDENTITY FULL;
CREATE TABLE t_eve.attacks (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, statement text, outcome text);
RESET ROLE;
GRANT USAGE ON SCHEMA t_eve TO PUBLIC;
GRANT ALL ON t_eve.attacks TO PUBLIC;
\set ECHO all

-- ------------------------------------------------------------------ statements of hers
-- Each must be refused; "LANDED" is a hole.
SELECT state_table::text AS hidden FROM derive_state.view WHERE view = 't_safe.secret_groups'::regclass \gset
INSERT INTO t_eve.attacks (what, statement) VALUES
    ('a view over a table she may not read', $$SELECT derive.create_view('t_eve.a', 'SELECT id FROM t_safe.secret')$$),
    ('the same behind a subquery', $$SELECT derive.create_view('t_eve.a', 'SELECT id FROM t_safe.open WHERE id IN (SELECT id FROM t_safe.secret)')$$),
    ('the same in a WITH that is not used', $$SELECT derive.create_view('t_eve.a', 'WITH w AS (SELECT id FROM t_safe.secret) SELECT id FROM t_safe.open')$$),
    ('the same in a scalar subquery', $$SELECT derive.create_view('t_eve.a', 'SELECT id, (SELECT max(code) FROM t_safe.secret) AS m FROM t_safe.open')$$),
    ('the same under LATERAL', $$SELECT derive.create_view('t_eve.a', 'SELECT o.id, s.code FROM t_safe.open o, LATERAL (SELECT code FROM t_safe.secret x WHERE x.id = o.id) s')$$),
    ('a column she may not read', $$SELECT derive.create_view('t_eve.a', 'SELECT id, code FROM t_safe.columns')$$),
    ('a column she may not read, in a condition', $$SELECT derive.create_view('t_eve.a', $q$SELECT id FROM t_safe.columns WHERE code > 'A'$q$)$$),
    ('a whole row with such a column', $$SELECT derive.create_view('t_eve.a', 'SELECT (c).* FROM t_safe.columns c')$$),
    ('a table with row-level security', $$SELECT derive.create_view('t_eve.a', 'SELECT id, code FROM t_safe.policed')$$),
    ('a view over another one''s view', $$SELECT derive.create_view('t_eve.a', 'SELECT id FROM t_safe.secret_view')$$),
    ('a view over another one''s hidden state', format($$SELECT derive.create_view('t_eve.a', 'SELECT k1 FROM %s')$$, :'hidden')),
    ('explain of a query she may not run', $$SELECT derive.explain(query => 'SELECT code FROM t_safe.secret')$$),
    ('explain of a view she may not read', $$SELECT derive.explain(view => 't_safe.secret_view')$$),
    ('advise about a view she may not read', $$SELECT derive.advise('t_safe.secret_view')$$),
    ('verify of a view she may not read', $$SELECT * FROM derive.verify('t_safe.secret_view')$$),
    ('waiting for a view she may not read', $$SELECT derive.wait(view => 't_safe.secret_view')$$),
    ('refresh of another one''s view', $$SELECT derive.refresh('t_safe.secret_view')$$),
    ('pause of it', $$SELECT derive.pause('t_safe.secret_view')$$),
    ('resume of it', $$SELECT derive.resume('t_safe.secret_view')$$),
    ('drop of it', $$SELECT derive.drop_view('t_safe.secret_view')$$),
    ('drop of another one''s table by drop_view', $$SELECT derive.drop_view('t_safe.secret')$$),
    ('drop of the catalog by drop_view', $$SELECT derive.drop_view('derive_state.view')$$),
    ('reading the catalog of views', $$SELECT * FROM derive_state.view$$),
    ('reading the frontier', $$SELECT * FROM derive_state.frontier$$),
    ('reading what audits found', $$SELECT * FROM derive_state.audit$$),
    ('writing the catalog', $$UPDATE derive_state.view SET rule = 'x'$$),
    ('writing progress', $$UPDATE derive_state.progress SET state = 'failed'$$),
    ('deleting the frontier', $$DELETE FROM derive_state.frontier$$),
    ('the sequence of views', $$SELECT setval('derive_state.view_id', 1)$$),
    ('writing through a status view', $$UPDATE derive.views SET reason = 'x'$$),
    ('starting the pipeline', $$SELECT derive_state.start_pipeline()$$),
    ('the names of debug steps', $$SELECT derive_state.debug_steps()$$),
    ('calling the trigger function', $$SELECT derive_state.reject_write()$$),
    ('its use for a trigger of her own', $$CREATE TRIGGER t BEFORE INSERT ON t_eve.mine EXECUTE FUNCTION derive_state.reject_write()$$),
    ('killing a worker by a setting', $$SET pg_derive.debug_step = 'tick-start:kill'$$),
    ('stopping audits', $$SET pg_derive.audit_rate = 0$$),
    ('ALTER SYSTEM of a setting', $$ALTER SYSTEM SET pg_derive.audit_rate = 0$$),
    ('creating in derive', $$CREATE FUNCTION derive.wait() RETURNS int LANGUAGE sql AS 'SELECT 1'$$),
    ('creating in derive_state', $$CREATE TABLE derive_state.x (a int)$$),
    ('a view in derive_state', $$SELECT derive.create_view('derive_state.x', 'SELECT id FROM t_safe.open')$$),
    ('a view in pg_catalog', $$SELECT derive.create_view('pg_catalog.x', 'SELECT id FROM t_safe.open')$$),
    ('a view in another one''s schema', $$SELECT derive.create_view('t_safe.x', 'SELECT id FROM t_safe.open')$$),
    ('a name that ends its statement', $$SELECT derive.create_view('t_eve.x (a int); DROP TABLE t_eve.mine; --', 'SELECT id FROM t_safe.open')$$),
    ('a query of two statements', $$SELECT derive.create_view('t_eve.x', 'SELECT id FROM t_safe.open; DROP TABLE t_eve.mine')$$),
    ('a query that closes a bracket', $$SELECT derive.create_view('t_eve.x', 'SELECT id FROM t_safe.open) q; SELECT 1 FROM (SELECT 1')$$),
    ('a query that is no query', $$SELECT derive.create_view('t_eve.x', 'DELETE FROM t_eve.mine RETURNING id')$$),
    ('a query that writes', $$SELECT derive.create_view('t_eve.x', 'WITH d AS (DELETE FROM t_eve.mine RETURNING id) SELECT id FROM d')$$),
    ('SELECT INTO', $$SELECT derive.create_view('t_eve.x', 'SELECT id INTO t_eve.y FROM t_safe.open')$$),
    ('FOR UPDATE', $$SELECT derive.create_view('t_eve.x', 'SELECT id FROM t_safe.open FOR UPDATE')$$),
    ('a parameter', $$SELECT derive.create_view('t_eve.x', 'SELECT id FROM t_safe.open WHERE id = $1')$$),
    ('a cursor as a source', $$SELECT derive.create_view('t_eve.x', 'SELECT query_to_xml(''SELECT 1'', true, true, '''')::text AS x FROM t_safe.open')$$),
    ('a system catalog', $$SELECT derive.create_view('t_eve.x', 'SELECT rolname, rolpassword FROM pg_authid')$$),
    ('statistics of other tables', $$SELECT derive.create_view('t_eve.x', 'SELECT most_common_vals::text FROM pg_stats')$$),
    ('reading a file', $$SELECT derive.create_view('t_eve.x', 'SELECT pg_read_file(''postgresql.conf'') AS f FROM t_safe.open')$$),
    ('the position of the pipeline''s slot', $$SELECT pg_replication_slot_advance(slot_name, '0/1') FROM derive.pipelines$$),
    ('the changes of the pipeline''s slot', $$SELECT pg_logical_slot_get_changes(slot_name, NULL, NULL) FROM derive.pipelines$$),
    ('dropping the pipeline''s slot', $$SELECT pg_drop_replication_slot(slot_name) FROM derive.pipelines$$),
    ('a slot of her own with the plugin', $$SELECT pg_create_logical_replication_slot('eve', 'pg_derive')$$),
    ('ending the applier', $$SELECT pg_terminate_backend(applier_pid) FROM derive.pipelines$$),
    ('cancelling the applier', $$SELECT pg_cancel_backend(applier_pid) FROM derive.pipelines$$),
    ('dropping the extension', $$DROP EXTENSION pg_derive CASCADE$$),
    ('updating the extension', $$ALTER EXTENSION pg_derive UPDATE$$),
    ('taking the extension''s objects away', $$ALTER EXTENSION pg_derive DROP FUNCTION derive.refresh(regclass)$$),
    ('replacing a function of the extension', $$CREATE OR REPLACE FUNCTION derive.refresh(view regclass) RETURNS void LANGUAGE sql AS ''$$),
    ('giving herself a right on the catalog', $$GRANT ALL ON derive_state.view TO regress_derive_eve$$);
SET ROLE regress_derive_eve;
UPDATE t_eve.attacks SET outcome = CASE WHEN test.refused(statement) THEN 'refused' ELSE 'LANDED' END WHERE outcome IS NULL;
SELECT what, outcome, test.error(statement) FROM t_eve.attacks WHERE outcome <> 'refused' ORDER BY id;
SELECT count(*) AS attacks, count(*) FILTER (WHERE outcome = 'refused') AS refused FROM t_eve.attacks;
-- Refused for the right reason, not because of a slip above.
SELECT substr(test.error(statement), 1, 5) AS sqlstate, count(*) FROM t_eve.attacks GROUP BY 1 ORDER BY 1;

-- ------------------------------------------------------------------ her own view
-- Its table is hers, but what it holds, and what holds it, is not hers to change.
SELECT derive.create_view('t_eve.own', 'SELECT id, n FROM t_safe.open');
SELECT derive.create_view('t_eve.own_groups', 'SELECT n, count(*) AS c FROM t_safe.open GROUP BY n');
RESET ROLE;
CALL test.settle();
SELECT state_table::text AS state, definition::text AS definition FROM derive_state.view WHERE view = 't_eve.own_groups'::regclass \gset
TRUNCATE t_eve.attacks;
INSERT INTO t_eve.attacks (what, statement) VALUES
    ('INSERT', $$INSERT INTO t_eve.own VALUES (9, 9)$$),
    ('UPDATE', $$UPDATE t_eve.own SET n = 9$$),
    ('DELETE', $$DELETE FROM t_eve.own$$),
    ('TRUNCATE', $$TRUNCATE t_eve.own$$),
    ('COPY FROM', $$COPY t_eve.own FROM PROGRAM 'echo 1'$$),
    ('MERGE', $$MERGE INTO t_eve.own o USING t_safe.open s ON o.id = s.id WHEN MATCHED THEN DELETE$$),
    ('INSERT ... ON CONFLICT', $$INSERT INTO t_eve.own VALUES (1, 9) ON CONFLICT (id) DO UPDATE SET n = 9$$),
    ('an update that finds nothing', $$UPDATE t_eve.own SET n = 9 WHERE false$$),
    ('a row trigger', $$CREATE TRIGGER t AFTER INSERT ON t_eve.own FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()$$),
    ('disabling the guard', $$ALTER TABLE t_eve.own DISABLE TRIGGER ALL$$),
    ('disabling the guard by name', $$ALTER TABLE t_eve.own DISABLE TRIGGER pg_derive_read_only$$),
    ('dropping the guard', $$DROP TRIGGER pg_derive_read_only ON t_eve.own$$),
    ('renaming the guard''s function', $$ALTER FUNCTION derive_state.reject_write() RENAME TO x$$),
    ('a rule', $$CREATE RULE r AS ON INSERT TO t_eve.own DO INSTEAD NOTHING$$),
    ('a check', $$ALTER TABLE t_eve.own ADD CHECK (t_eve.witness('check'))$$),
    ('a default', $$ALTER TABLE t_eve.own ALTER n SET DEFAULT t_eve.spy(1)$$),
    ('a column', $$ALTER TABLE t_eve.own ADD COLUMN x int DEFAULT t_eve.spy(1)$$),
    ('a foreign key', $$ALTER TABLE t_eve.own ADD FOREIGN KEY (id) REFERENCES t_eve.mine$$),
    ('a child table', $$CREATE TABLE t_eve.child () INHERITS (t_eve.own)$$),
    ('becoming a child', $$ALTER TABLE t_eve.own INHERIT t_eve.mine$$),
    ('a policy of force', $$ALTER TABLE t_eve.own FORCE ROW LEVEL SECURITY$$),
    ('its key''s index', $$DO 'BEGIN EXECUTE (SELECT format(''DROP INDEX %s'', indexrelid::regclass) FROM pg_index WHERE indrelid = ''t_eve.own''::regclass AND indisunique); END'$$),
    ('replacing its query', format($$CREATE OR REPLACE VIEW %s AS SELECT 1 AS n, 2::bigint AS c$$, :'definition')),
    ('replacing its query by a rule', format($$CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO %s DO INSTEAD SELECT 1 AS n, 2::bigint AS c$$, :'definition')),
    ('owning its query', format($$ALTER VIEW %s OWNER TO regress_derive_eve$$, :'definition')),
    ('dropping its query', format($$DROP VIEW %s$$, :'definition')),
    ('reading through its query', format($$SELECT * FROM %s$$, :'definition')),
    ('writing its state', format($$UPDATE %s SET n = 9$$, :'state')),
    ('emptying its state', format($$TRUNCATE %s$$, :'state')),
    ('dropping its state', format($$DROP TABLE %s$$, :'state')),
    ('a column for its state', format($$ALTER TABLE %s ADD COLUMN x int$$, :'state')),
    ('disabling the guard of its state', format($$ALTER TABLE %s DISABLE TRIGGER ALL$$, :'state')),
    ('a rule on its state', format($$CREATE RULE r AS ON INSERT TO %s DO INSTEAD NOTHING$$, :'state')),
    ('moving its state out', format($$ALTER TABLE %s SET SCHEMA t_eve$$, :'state')),
    ('renaming a column of its state', format($$ALTER TABLE %s RENAME COLUMN n TO m$$, :'state')),
    ('a trigger on its state', format($$CREATE TRIGGER t BEFORE INSERT ON %s EXECUTE FUNCTION suppress_redundant_updates_trigger()$$, :'state')),
    ('refreshing its state as a view', format($$SELECT derive.refresh(%L)$$, :'state'));
SET ROLE regress_derive_eve;
UPDATE t_eve.attacks SET outcome = CASE WHEN test.refused(statement) THEN 'refused' ELSE 'LANDED' END WHERE outcome IS NULL;
SELECT what, outcome FROM t_eve.attacks WHERE outcome <> 'refused' ORDER BY id;
SELECT count(*) AS attacks, count(*) FILTER (WHERE outcome = 'refused') AS refused FROM t_eve.attacks;
RESET ROLE;
SET search_path = t_eve;
CALL test.check_all();

-- ------------------------------------------------------------------ code of hers that the applier runs
-- In each row a statement that her function tries while her view is maintained.
SET ROLE regress_derive_eve;
INSERT INTO t_eve.mine (id, n, statement) VALUES
    (1, 1, 'SET ROLE postgres'),
    (2, 1, 'SET SESSION AUTHORIZATION DEFAULT'),
    (3, 1, 'RESET ROLE'),
    (4, 1, 'RESET SESSION AUTHORIZATION'),
    (5, 1, 'CREATE TEMP TABLE x (a int)'),
    (6, 1, 'SELECT set_config(''role'', ''postgres'', false)'),
    (7, 1, 'SELECT set_config(''session_authorization'', ''postgres'', false)'),
    (8, 1, 'SELECT count(*) FROM t_safe.secret'),
    (9, 1, 'SELECT count(*) FROM derive_state.view'),
    (10, 1, 'UPDATE derive_state.frontier SET restart_lsn = ''0/0'''),
    (11, 1, 'CREATE OR REPLACE FUNCTION t_eve.later() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END'''),
    (12, 1, 'DECLARE c CURSOR WITH HOLD FOR SELECT t_eve.spy(1)'),
    (13, 1, 'LISTEN eve'),
    (14, 1, 'PREPARE p AS SELECT 1'),
    (15, 1, 'COMMIT'),
    (16, 1, 'ROLLBACK'),
    (17, 1, 'COPY t_safe.open TO PROGRAM ''true'''),
    (18, 1, 'ALTER ROLE regress_derive_eve SUPERUSER'),
    (19, 1, 'GRANT postgres TO regress_derive_eve'),
    (20, 1, 'SELECT pg_terminate_backend(pg_backend_pid())'),
    (21, 1, 'SELECT derive.pause(''t_safe.secret_view'')'),
    (22, 1, 'SELECT derive.drop_view(''t_safe.secret_view'')'),
    (23, 1, 'SET pg_derive.debug_step = ''tick-start:kill'''),
    (24, 1, 'LOAD ''auto_explain''');
SELECT derive.create_view('t_eve.tries', 'SELECT id, statement, t_eve.attempt(statement) AS outcome FROM t_eve.mine');
RESET ROLE;
CALL test.settle();
-- Done as herself, in the ways that a security-restricted operation allows, is no harm.
SELECT id, statement, outcome FROM t_eve.tries WHERE outcome !~ '^refused' ORDER BY id;
SELECT count(*) AS attempts, count(*) FILTER (WHERE outcome ~ '^refused') AS refused FROM t_eve.tries;
SELECT count(*) AS still_live FROM derive.views WHERE view = 't_safe.secret_view'::regclass AND state = 'live';
SELECT derive.drop_view('t_eve.tries');

-- ------------------------------------------------------------------ code of hers that others run
-- Superusers look at her views, in every way there is; her functions must not run as them.
SET ROLE regress_derive_eve;
CREATE TABLE t_eve.bait (id int PRIMARY KEY, n int);
ALTER TABLE t_eve.bait REPLICA IDENTITY FULL;
INSERT INTO t_eve.bait VALUES (1, 1), (2, 2);
SELECT derive.create_view('t_eve.bait_limit', 'SELECT id FROM t_eve.bait b WHERE EXISTS (SELECT 1 FROM t_safe.open o WHERE o.id = b.id LIMIT t_eve.spy(1))');
SELECT derive.create_view('t_eve.bait_constant', 'SELECT id, t_eve.spy(7) AS seven FROM t_eve.bait WHERE n < t_eve.spy(100)');
SELECT derive.create_view('t_eve.bait_groups', 'SELECT n + t_eve.spy(1) AS n, sum(t_eve.spy(id)) AS s FROM t_eve.bait GROUP BY n + t_eve.spy(1) HAVING count(*) >= t_eve.spy(0)');
CREATE TYPE t_eve.label AS ENUM ('a', 'b');
CREATE FUNCTION t_eve.label_text(t_eve.label) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM t_eve.spy(1); RETURN 'x'; END $$;
CREATE INDEX bait_spied ON t_eve.bait (t_eve.spy(n));
CREATE INDEX own_spied ON t_eve.bait_constant (t_eve.spy(id));
RESET ROLE;
CALL test.settle();
SELECT count(*) > 0 AS explained FROM derive.explain('t_eve.bait_limit'::regclass);
SELECT count(*) > 0 AS explained FROM derive.explain('t_eve.bait_constant'::regclass);
SELECT count(*) > 0 AS explained FROM derive.explain('t_eve.bait_groups'::regclass);
SELECT count(*) >= 0 AS advised FROM derive.views v, LATERAL derive.advise(v.view);
SELECT count(*) AS checks FROM derive.health();
SELECT * FROM derive.verify('t_eve.bait_limit');
SELECT * FROM derive.verify('t_eve.bait_constant');
SELECT * FROM derive.verify('t_eve.bait_groups');
SELECT count(*) > 0 AS shown FROM derive.stages;
SELECT derive.refresh('t_eve.bait_constant'), derive.pause('t_eve.bait_groups'), derive.resume('t_eve.bait_groups');
ANALYZE t_eve.bait_constant;
VACUUM FULL t_eve.bait_constant;
SELECT coalesce(current_setting('eve.ran_as', true), 'nobody else') AS ran_as;
-- The trap works: this is what a superuser who runs the query by hand gets.
SELECT t_eve.spy(1), current_setting('eve.ran_as') = current_user AS caught;
SELECT who, what, count(*) FROM t_eve.seen WHERE who !~ '^regress_derive_eve' GROUP BY 1, 2;
CALL test.check_all();

-- Shadows of what the extension's SQL names, in every schema that she can put first.
SET ROLE regress_derive_eve;
CREATE FUNCTION t_eve.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM t_eve.witness('count'); RETURN 0; END $$;
CREATE FUNCTION t_eve.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN t_eve.witness('='); END $$;
CREATE OPERATOR t_eve.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = t_eve.eq);
CREATE FUNCTION t_eve.row_image(record) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN PERFORM t_eve.witness('row_image'); RETURN ''; END $$;
CREATE FUNCTION t_eve.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM t_eve.witness('to_jsonb'); RETURN '{}'; END $$;
CREATE DOMAIN t_eve.regclass AS oid CHECK (t_eve.witness('regclass'));
CREATE TABLE t_eve.view (view oid, id bigint);
RESET ROLE;
SET search_path = t_eve, pg_catalog;
SELECT count(*) > 0 AS shown FROM derive.views;
SELECT pg_catalog.count(*) > 0 AS shown FROM derive.stages;
SELECT pg_catalog.count(*) AS checks FROM derive.health();
SELECT * FROM derive.verify('t_eve.bait_constant');
SELECT derive.refresh('t_eve.own');
SELECT derive.create_view('t_safe.by_superuser', 'SELECT id OPERATOR(pg_catalog.+) 1 AS id FROM t_safe.open');
SELECT derive.wait(timeout => '60 s') IS NOT NULL AS waited;
SELECT derive.drop_view('t_safe.by_superuser');
RESET search_path;
SELECT who, what, count(*) FROM t_eve.seen WHERE who !~ '^regress_derive_eve' AND what <> 'count' GROUP BY 1, 2;

-- ------------------------------------------------------------------ what error messages tell
-- A view of the administrator's fails with a value of the secret table in the message; whoever may read
-- the view, but not the table, learns that it failed, not why.
SELECT derive.create_view('t_safe.numbers', 'SELECT id, NULLIF(code, ''x'')::int AS n FROM t_safe.secret WHERE id > 100');
GRANT SELECT ON t_safe.numbers TO regress_derive_reader;
CALL test.settle();
INSERT INTO t_safe.secret VALUES (101, 'TOPSECRET');
CALL test.await_state('t_safe.numbers', 'failed');
SELECT reason FROM derive.views WHERE view = 't_safe.numbers'::regclass;
SET ROLE regress_derive_reader;
SELECT state, reason FROM derive.views WHERE view = 't_safe.numbers'::regclass;
SELECT test.error($$SELECT derive.wait(view => 't_safe.numbers', timeout => '60 s')$$) ~ 'TOPSECRET' AS leaks;
SELECT test.error($$SELECT * FROM derive.verify('t_safe.numbers')$$) ~ 'TOPSECRET' AS leaks;
SELECT count(*) AS leaks FROM derive.health() WHERE detail ~ 'TOPSECRET' OR hint ~ 'TOPSECRET';
SELECT count(*) AS leaks FROM derive.explain('t_safe.numbers'::regclass) e WHERE e ~ 'TOPSECRET';
RESET ROLE;
DELETE FROM t_safe.secret WHERE id = 101;
SELECT derive.refresh('t_safe.numbers');

-- ------------------------------------------------------------------ rights that change
-- RLS that is put on a source later stops the view; so do rights that are gone from one column.
SET ROLE regress_derive_eve;
SELECT derive.create_view('t_eve.later', 'SELECT id FROM t_safe.columns');
RESET ROLE;
CALL test.settle();
REVOKE SELECT (id) ON t_safe.columns FROM regress_derive_eve;
INSERT INTO t_safe.columns VALUES (2, 'TOPSECRET');
CALL test.await_state('t_eve.later', 'failed');
SELECT count(*) FROM t_eve.later;
GRANT SELECT (id) ON t_safe.columns TO regress_derive_eve;
SELECT derive.refresh('t_eve.later');
CALL test.settle();
ALTER TABLE t_safe.columns ENABLE ROW LEVEL SECURITY;
INSERT INTO t_safe.columns VALUES (3, 'TOPSECRET');
CALL test.await_state('t_eve.later', 'failed');
SELECT reason FROM derive.views WHERE view = 't_eve.later'::regclass;
SELECT count(*) FROM t_eve.later;
-- A view given to somebody who may not read its sources: they get no further row.
ALTER TABLE t_safe.secret_view OWNER TO regress_derive_eve;
INSERT INTO t_safe.secret VALUES (6, 'TOPSECRET6');
CALL test.await_state('t_safe.secret_view', 'failed');
SELECT count(*) FROM t_safe.secret_view;
-- Messages in the log that look like ours.
SET ROLE regress_derive_eve;
SELECT pg_logical_emit_message(true, 'pg_derive', 'x') IS NOT NULL AS sent, pg_logical_emit_message(false, 'derive', repeat('x', 100000)) IS NOT NULL AS sent;
RESET ROLE;
SELECT derive.wait(timeout => '60 s') IS NOT NULL AS waited;
SELECT state FROM derive.pipelines;

SET client_min_messages = warning;
DROP SCHEMA t_eve, t_safe CASCADE;
REVOKE USAGE ON SCHEMA test FROM regress_derive_eve, regress_derive_reader;
DROP OWNED BY regress_derive_eve;
DROP ROLE regress_derive_eve, regress_derive_reader;
