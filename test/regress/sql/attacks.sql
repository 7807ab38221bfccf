-- Names and functions of a caller never run with the extension's rights, and a view shows
-- its owner nothing that they may not read.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE ROLE regress_derive_mallory;
GRANT USAGE ON SCHEMA test TO regress_derive_mallory;
CREATE SCHEMA t_attacks AUTHORIZATION regress_derive_mallory;
CREATE SCHEMA t_attacks_theirs;
GRANT USAGE ON SCHEMA t_attacks_theirs TO regress_derive_mallory;
CREATE TABLE t_attacks_theirs.readable (id int);
ALTER TABLE t_attacks_theirs.readable REPLICA IDENTITY FULL;
GRANT SELECT ON t_attacks_theirs.readable TO regress_derive_mallory;
INSERT INTO t_attacks_theirs.readable VALUES (1);

SET ROLE regress_derive_mallory;
SET search_path = t_attacks;
CREATE TABLE seen (who text, superuser boolean);
CREATE FUNCTION witness() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t_attacks.seen SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;
    RETURN true;
END $$;

-- Types that shadow those of the functions' own SQL.
CREATE DOMAIN t_attacks.oid AS pg_catalog.oid CHECK (t_attacks.witness());
CREATE DOMAIN t_attacks.text AS pg_catalog.text CHECK (t_attacks.witness());
CREATE DOMAIN t_attacks.int8 AS pg_catalog.int8 CHECK (t_attacks.witness());
SET search_path = t_attacks, pg_catalog;
SELECT derive.create_view('t_attacks.v', 'SELECT id FROM t_attacks_theirs.readable');
SELECT derive.create_view('t_attacks.folded', 'SELECT id, count(*) AS c FROM t_attacks_theirs.readable GROUP BY id');
SELECT derive.pause('t_attacks.v');
SELECT derive.resume('t_attacks.v');
SELECT derive.refresh('t_attacks.v');
RESET ROLE;
SET search_path = t_attacks;
CALL test.settle();
SELECT count(*) FROM t_attacks.seen WHERE superuser;

-- The query of a view cannot be replaced, and hidden state belongs to no superuser.
SELECT DISTINCT pg_get_userbyid(relowner) = 'regress_derive_mallory' AS theirs, relkind
    FROM pg_class WHERE relnamespace = 'derive_state'::regnamespace AND relname ~ '^(v|folded)_[0-9]+_(query|state)$' ORDER BY 2;
SELECT definition::text AS definition FROM derive_state.view WHERE view = 't_attacks.v'::regclass \gset
SET ROLE regress_derive_mallory;
SELECT test.error('CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO ' || :'definition' ||
    ' DO INSTEAD SELECT 0 AS id') ~ 'must be owner' AS refused;
SELECT test.error('SELECT * FROM ' || :'definition') ~ 'permission denied' AS refused;
SELECT test.error('SELECT * FROM derive_state.frontier') ~ 'permission denied' AS refused;
SELECT test.error('SELECT derive_state.start_pipeline()') ~ 'permission denied' AS refused;
RESET ROLE;

-- Rights that are gone stop the view, without another row in it.
REVOKE SELECT ON t_attacks_theirs.readable FROM regress_derive_mallory;
INSERT INTO t_attacks_theirs.readable VALUES (2);
CALL test.await_state('t_attacks.v', 'failed');
CALL test.await_state('t_attacks.folded', 'failed');
SELECT DISTINCT reason FROM derive.views WHERE state = 'failed';
TABLE t_attacks.v;
GRANT SELECT ON t_attacks_theirs.readable TO regress_derive_mallory;
SELECT derive.refresh('t_attacks.v'), derive.refresh('t_attacks.folded');
CALL test.check_all();

-- A new owner.
CREATE ROLE regress_derive_heir;
GRANT USAGE ON SCHEMA t_attacks, t_attacks_theirs TO regress_derive_heir;
GRANT SELECT ON t_attacks_theirs.readable TO regress_derive_heir;
ALTER TABLE t_attacks.folded OWNER TO regress_derive_heir;
INSERT INTO t_attacks_theirs.readable VALUES (2), (3);
CALL test.check_all();
SELECT derive.refresh('t_attacks.folded');
CALL test.check_all();

SET client_min_messages = warning;
DROP SCHEMA t_attacks, t_attacks_theirs CASCADE;
REVOKE USAGE ON SCHEMA test FROM regress_derive_mallory;
DROP ROLE regress_derive_mallory, regress_derive_heir;
