-- What the regression tests ask of views again and again.  Included, not a test of its own.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS test;

-- The views that are neither live nor paused, with their states; NULL if there are none.
CREATE OR REPLACE FUNCTION test.unsettled(OUT views text, OUT only_failed boolean) LANGUAGE sql AS $$
    SELECT string_agg(format('%s is %s: %s', v.view, v.state, v.reason), ', '), bool_and(v.state = 'failed')
    FROM derive.views v WHERE v.state NOT IN ('live', 'paused')
$$;

-- Waits until every view that is not paused is live and contains all that is committed.
CREATE OR REPLACE PROCEDURE test.settle() LANGUAGE plpgsql AS $$
DECLARE
    waiting record;
BEGIN
    FOR i IN 1 .. 3000 LOOP
        SELECT * INTO waiting FROM test.unsettled();
        IF waiting.views IS NULL THEN
            PERFORM derive.wait(timeout => '60 s');
            COMMIT;
            -- What was just applied may have been the end of a view's being live.
            SELECT * INTO waiting FROM test.unsettled();
            EXIT WHEN waiting.views IS NULL;
        END IF;
        -- A failed view may be about to come back, but that takes no minute.
        EXIT WHEN waiting.only_failed AND i > 500;
        PERFORM pg_sleep(0.02);
        COMMIT;
    END LOOP;
    IF waiting.views IS NOT NULL THEN
        RAISE EXCEPTION 'views that do not become live: %', waiting.views;
    END IF;
END $$;

-- Waits until a view has the given state.
CREATE OR REPLACE PROCEDURE test.await_state(v regclass, wanted text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 1500 LOOP
        IF (SELECT w.state = wanted FROM derive.views w WHERE w.view = v) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.02);
        COMMIT;
    END LOOP;
    RAISE EXCEPTION '% does not become %', v, wanted;
END $$;

-- Settles and compares every view of the current schema with its query, as multisets of rows
-- as text: "equal" or the differing rows.
CREATE OR REPLACE PROCEDURE test.check_all() LANGUAGE plpgsql AS $$
DECLARE
    v record;
    found record;
BEGIN
    CALL test.settle();
    FOR v IN SELECT w.view, w.query FROM derive.views w JOIN pg_class c ON c.oid = w.view
        WHERE c.relnamespace = current_schema()::regnamespace AND w.state <> 'paused'
        ORDER BY c.relname COLLATE "C"
    LOOP
        EXECUTE format($q$
            WITH stored AS (SELECT stored_row::text AS r FROM %s stored_row), wanted AS (SELECT wanted_row::text AS r FROM (%s) wanted_row)
            SELECT (SELECT count(*) FROM stored) AS n,
                (SELECT string_agg(x.r, ' ' ORDER BY x.r) FROM (TABLE stored EXCEPT ALL TABLE wanted) x) AS unexpected,
                (SELECT string_agg(x.r, ' ' ORDER BY x.r) FROM (TABLE wanted EXCEPT ALL TABLE stored) x) AS missing
            $q$, v.view, v.query) INTO found;
        IF found.unexpected IS NULL AND found.missing IS NULL THEN
            RAISE INFO '%: equal, % rows', v.view, found.n;
        ELSE
            RAISE INFO '%: DIFFERENT, unexpected: %, missing: %', v.view, found.unexpected, found.missing;
        END IF;
    END LOOP;
END $$;

-- Lets a superuser write to a view's relation past its guard, and puts the guard back: the only
-- way to make a wrong row for verify to find.
CREATE OR REPLACE PROCEDURE test.guard(v regclass, guarded boolean) LANGUAGE sql SET allow_system_table_mods = on
    AS $$ UPDATE pg_class SET relhastriggers = guarded WHERE oid = v $$;

-- The message, detail and hint of a statement that must fail, without the position's line.
CREATE OR REPLACE FUNCTION test.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS message = message_text, hint = pg_exception_hint, detail = pg_exception_detail;
    RETURN concat_ws(E'\n', sqlstate || ': ' || message, nullif('detail: ' || detail, 'detail: '),
        nullif('hint: ' || hint, 'hint: '));
END $$;

-- Whether a statement is refused; if not, it is undone.
CREATE OR REPLACE FUNCTION test.refused(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION SQLSTATE 'TT000';
EXCEPTION
    WHEN SQLSTATE 'TT000' THEN RETURN false;
    WHEN others THEN RETURN true;
END $$;
RESET client_min_messages;
