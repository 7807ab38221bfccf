-- Who may do what, and as whom the expressions of a query run.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_privileges;
CREATE ROLE regress_derive_alice;
CREATE ROLE regress_derive_bob;
GRANT ALL ON SCHEMA t_privileges TO regress_derive_alice, regress_derive_bob;
SET search_path = t_privileges;

SET ROLE regress_derive_alice;
CREATE TABLE secret (id int PRIMARY KEY, n int);
ALTER TABLE secret REPLICA IDENTITY FULL;
INSERT INTO secret VALUES (1, 1);
SELECT derive.create_view('v', 'SELECT id, n FROM secret');
RESET ROLE;
CALL test.settle();
SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'v'::regclass;

-- Another role: neither reads nor touches.
SET ROLE regress_derive_bob;
TABLE v;
SELECT derive.create_view('peep', 'SELECT id FROM secret');
SELECT derive.create_view('peep', 'SELECT id FROM v');
SELECT derive.explain(query => 'SELECT id FROM secret');
SELECT derive.drop_view('v');
SELECT derive.refresh('v');
SELECT derive.pause('v');
SELECT derive.resume('v');
SELECT * FROM derive.verify('v');
SELECT * FROM derive.explain(view => 'v');
SELECT derive.wait(timeout => '60 s', view => 'v') IS NOT NULL AS waited;
SELECT derive.create_view('pg_catalog.x', 'SELECT 1 FROM t_privileges.v');
SELECT * FROM derive_state.view;
SELECT * FROM derive_state.debug_steps();
SELECT derive_state.start_pipeline();
DELETE FROM derive_state.view;
SELECT derive.create_view('derive_state.x', 'SELECT id FROM v');
RESET ROLE;
REVOKE ALL ON SCHEMA t_privileges FROM regress_derive_bob;
GRANT USAGE ON SCHEMA t_privileges TO regress_derive_bob;
GRANT SELECT ON v TO regress_derive_bob;
SET ROLE regress_derive_bob;
TABLE v;
SELECT derive.create_view('t_privileges.x', 'SELECT id FROM t_privileges.v');
RESET ROLE;

-- Expressions run as the view's owner, restricted, with a locked search_path: not as the worker.
SET ROLE regress_derive_alice;
CREATE FUNCTION whoami(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN current_user || ' ' || (SELECT rolsuper FROM pg_roles WHERE rolname = current_user); END $$;
CREATE FUNCTION path(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN current_setting('search_path'); END $$;
CREATE FUNCTION escape(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM set_config('role', 'none', false); RETURN current_user; EXCEPTION WHEN others THEN RETURN sqlerrm; END $$;
SELECT derive.create_view('who', 'SELECT id, whoami(n) AS who, path(n) AS path, escape(n) AS escape FROM secret');
RESET ROLE;
INSERT INTO secret VALUES (2, 2);
CALL test.settle();
SELECT id, who, path, escape FROM who ORDER BY 1;

-- Another current search_path or setting of the database or role changes nothing.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = nowhere', current_database()); END $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 1', current_database()); END $$;
ALTER ROLE regress_derive_alice SET search_path = nowhere;
SELECT pg_terminate_backend(applier_pid, 60000) FROM derive.pipelines;
INSERT INTO secret VALUES (3, 3);
CALL test.settle();
SELECT id, who, path, escape FROM who ORDER BY 1;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$;

-- The owner loses the right to read the source: the view fails, it does not leak.
CREATE TABLE other (id int PRIMARY KEY, n int);
ALTER TABLE other REPLICA IDENTITY FULL;
INSERT INTO other VALUES (1, 1);
GRANT SELECT ON other TO regress_derive_alice;
SET ROLE regress_derive_alice;
SELECT derive.create_view('borrowed', 'SELECT id, n FROM other');
RESET ROLE;
CALL test.settle();
REVOKE SELECT ON other FROM regress_derive_alice;
INSERT INTO other VALUES (2, 2);
CALL test.await_state('borrowed', 'failed');
SELECT reason FROM derive.views WHERE view = 'borrowed'::regclass;
TABLE borrowed ORDER BY 1;
GRANT SELECT ON other TO regress_derive_alice;
SET ROLE regress_derive_alice;
SELECT derive.refresh('borrowed');
RESET ROLE;
CALL test.settle();
TABLE borrowed ORDER BY 1;

-- A view changes hands.
ALTER TABLE who OWNER TO regress_derive_bob;
GRANT SELECT ON secret TO regress_derive_bob;
INSERT INTO secret VALUES (4, 4);
CALL test.settle();
SELECT id, who FROM who WHERE id = 4;
SET ROLE regress_derive_alice;
SELECT derive.drop_view('who');
RESET ROLE;
SET ROLE regress_derive_bob;
SELECT derive.drop_view('who');
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA t_privileges CASCADE;
DROP ROLE regress_derive_alice, regress_derive_bob;
