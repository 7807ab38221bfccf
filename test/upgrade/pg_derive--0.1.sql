\echo Use "CREATE EXTENSION pg_derive" to load this file. \quit

/* Schemas: derive is the interface, derive_state what only pg_derive writes. */

CREATE SCHEMA derive;
CREATE SCHEMA derive_state;
REVOKE ALL ON SCHEMA derive, derive_state FROM PUBLIC;

COMMENT ON SCHEMA derive IS 'derived data: views kept equal to their queries from the write-ahead log';
COMMENT ON SCHEMA derive_state IS 'state of pg_derive; read and written by its workers only';

-- Maintenance queries run as the owner of a view and call functions of both schemas.
GRANT USAGE ON SCHEMA derive, derive_state TO PUBLIC;


/*
 * Catalog.  derive_state.view is written by the functions of schema derive, in
 * their callers' transactions; derive_state.progress and derive_state.frontier
 * by the applier alone.  So neither side ever waits for a row of the other.
 */

CREATE SEQUENCE derive_state.view_id AS bigint;

CREATE TABLE derive_state.view
(
	view        regclass    NOT NULL PRIMARY KEY,
	id          bigint      NOT NULL UNIQUE DEFAULT pg_catalog.nextval('derive_state.view_id'),
	part_of     regclass,
	query       regclass    NOT NULL,
	definition  regclass    NOT NULL,
	state_table regclass,
	key         int2[],
	rule        text        NOT NULL,
	paused      boolean     NOT NULL DEFAULT false,
	refreshes   bigint      NOT NULL DEFAULT 0,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE derive_state.view IS 'one row per derived view and per stage of one; ids rise with creation, so their order is topological';
COMMENT ON COLUMN derive_state.view.part_of IS 'for a stage: the view that it is a stage of';
COMMENT ON COLUMN derive_state.view.query IS 'ordinary view that holds the query, so that PostgreSQL guards it';
COMMENT ON COLUMN derive_state.view.definition IS 'ordinary view that holds the block that is maintained: the query itself, or what is left of it over its stages';
COMMENT ON COLUMN derive_state.view.state_table IS 'state of the aggregate stage, if there is one';
COMMENT ON COLUMN derive_state.view.key IS 'column numbers of the view that identify a row; NULL: none';
COMMENT ON COLUMN derive_state.view.rule IS 'how it is maintained: algebra, affected keys or recompute';
COMMENT ON COLUMN derive_state.view.refreshes IS 'number of refreshes that were asked for';

CREATE TABLE derive_state.progress
(
	id           bigint NOT NULL PRIMARY KEY,
	state        text   NOT NULL CHECK (state IN ('building', 'live', 'stale', 'failed')),
	reason       text   NOT NULL DEFAULT '',
	frontier     pg_snapshot,
	frontier_lsn pg_lsn,
	refreshes    bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE derive_state.progress IS 'what the applier knows of each view';
COMMENT ON COLUMN derive_state.progress.frontier IS 'the view''s own frontier while it differs from the pipeline''s';
COMMENT ON COLUMN derive_state.progress.refreshes IS 'number of refreshes that were carried out';

CREATE TABLE derive_state.frontier
(
	frontier          pg_snapshot NOT NULL,
	applied_lsn       pg_lsn      NOT NULL,
	restart_lsn       pg_lsn      NOT NULL,
	system_identifier bigint      NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000000);
COMMENT ON TABLE derive_state.frontier IS 'one row: which source transactions the live views contain';
COMMENT ON COLUMN derive_state.frontier.restart_lsn IS 'decoding starts here after a restart';

REVOKE ALL ON SEQUENCE derive_state.view_id FROM PUBLIC;
REVOKE ALL ON TABLE derive_state.view, derive_state.progress, derive_state.frontier FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('derive_state.view_id', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.view', '');

/* Functions that pg_derive itself calls. */

CREATE FUNCTION derive_state.row_image(record) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_row_image';
COMMENT ON FUNCTION derive_state.row_image(record) IS
	'canonical bytes of a row: equal exactly if all columns are equal as bytes';

CREATE FUNCTION derive_state.row_hash(record) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_row_hash';
COMMENT ON FUNCTION derive_state.row_hash(record) IS
	'hash of a row''s image; indexed on views that have no key';

CREATE FUNCTION derive_state.reject_write() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'derive_reject_write';
COMMENT ON FUNCTION derive_state.reject_write() IS
	'trigger function: refuses to change a derived view by hand';

CREATE FUNCTION derive_state.debug_steps() RETURNS SETOF text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_debug_steps';
COMMENT ON FUNCTION derive_state.debug_steps() IS
	'steps at which pg_derive.debug_step can stop a worker';

CREATE FUNCTION derive_state.pipeline_status(
	OUT slot_name name, OUT state text, OUT reason text,
	OUT decoder_pid integer, OUT applier_pid integer,
	OUT received_lsn pg_lsn, OUT applied_lsn pg_lsn, OUT confirmed_lsn pg_lsn,
	OUT lag interval, OUT transactions bigint, OUT changes bigint, OUT ticks bigint,
	OUT queue_bytes bigint, OUT commits bigint) RETURNS SETOF record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_pipeline_status';
COMMENT ON FUNCTION derive_state.pipeline_status() IS
	'this database''s entry in shared memory; no row if it has none';

CREATE FUNCTION derive_state.view_statistics(view regclass,
	OUT rows_changed bigint, OUT ticks bigint, OUT recomputes bigint,
	OUT chosen bigint, OUT repairs bigint, OUT last_tick_at timestamptz, OUT last_tick_time interval) RETURNS record
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_view_statistics';
COMMENT ON FUNCTION derive_state.view_statistics(regclass) IS
	'counters of a view since the server started';

CREATE FUNCTION derive_state.start_pipeline() RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_start_pipeline';
COMMENT ON FUNCTION derive_state.start_pipeline() IS
	'checks the server''s settings and lets this database''s pipeline start at commit';

-- The rest stays executable by PUBLIC: the status views and maintenance queries, which
-- run as their readers and owners, call it, and it tells nothing that they do not show.
REVOKE ALL ON FUNCTION derive_state.reject_write(), derive_state.debug_steps(),
	derive_state.start_pipeline() FROM PUBLIC;

/* Views: the SQL interface. */

CREATE FUNCTION derive.create_view(name text, query text, key text[] DEFAULT NULL,
	with_data boolean DEFAULT true) RETURNS regclass
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_create_view';
COMMENT ON FUNCTION derive.create_view(text, text, text[], boolean) IS
	'creates a table that is kept equal to a query; it is built after commit';

CREATE FUNCTION derive.drop_view(view regclass, cascade boolean DEFAULT false) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_drop_view';
COMMENT ON FUNCTION derive.drop_view(regclass, boolean) IS
	'drops a derived view, as DROP TABLE does';

CREATE FUNCTION derive.refresh(view regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_refresh';
COMMENT ON FUNCTION derive.refresh(regclass) IS
	'recomputes a view at the next tick and writes what differs';

CREATE FUNCTION derive.pause(view regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_pause';
COMMENT ON FUNCTION derive.pause(regclass) IS
	'stops maintaining a view; it keeps its content and holds nothing back';

CREATE FUNCTION derive.resume(view regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_resume';
COMMENT ON FUNCTION derive.resume(regclass) IS
	'maintains a paused view again, after recomputing it';

CREATE FUNCTION derive.explain(query text) RETURNS SETOF text
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_explain_query';
COMMENT ON FUNCTION derive.explain(text) IS
	'says how a query would be maintained: stages, rules, SQL, missing indexes';

CREATE FUNCTION derive.explain(view regclass) RETURNS SETOF text
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_explain_view';
COMMENT ON FUNCTION derive.explain(regclass) IS
	'says how a view is maintained: stages, rules, SQL, missing indexes';

CREATE FUNCTION derive.advise(view regclass) RETURNS SETOF text
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_advise';
COMMENT ON FUNCTION derive.advise(regclass) IS
	'CREATE INDEX statements that would let the cost of a view follow the change';

CREATE FUNCTION derive.verify(view regclass)
	RETURNS TABLE (kind text, difference bigint, "row" jsonb)
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_verify';
COMMENT ON FUNCTION derive.verify(regclass) IS
	'compares a view with its query at the view''s own frontier; no rows means equal';

CREATE FUNCTION derive.wait(target pg_lsn DEFAULT NULL, timeout interval DEFAULT NULL,
	view regclass DEFAULT NULL) RETURNS pg_lsn
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_wait';
COMMENT ON FUNCTION derive.wait(pg_lsn, interval, regclass) IS
	'waits until everything committed before the call, or before target, is in the live views; returns the applied LSN';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA derive TO PUBLIC;

/* Status: what a person wants to know, as relations. */

CREATE VIEW derive.pipelines AS
SELECT pg_catalog.current_database() AS pipeline,
       p.slot_name,
       p.state,
       COALESCE((SELECT pg_catalog.format('waiting for transaction %s to end before the slot can be created',
                                          l.transactionid)
                 FROM pg_catalog.pg_locks l
                 WHERE l.pid OPERATOR(pg_catalog.=) p.decoder_pid
                   AND l.locktype OPERATOR(pg_catalog.=) 'transactionid'
                   AND NOT l.granted
                 LIMIT 1), p.reason) AS reason,
       p.decoder_pid,
       p.applier_pid,
       p.received_lsn,
       p.applied_lsn,
       p.confirmed_lsn,
       p.lag,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint AS retained_wal,
       p.transactions,
       p.changes,
       p.ticks,
       p.queue_bytes,
       p.commits
FROM derive_state.pipeline_status() p
     LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name OPERATOR(pg_catalog.=) p.slot_name;
COMMENT ON VIEW derive.pipelines IS 'the pipeline of this database: its workers, positions and counters';

CREATE VIEW derive.views AS
SELECT v.view,
       pg_catalog.btrim(pg_catalog.pg_get_viewdef(v.query), ' ;') AS query,
       CASE WHEN v.paused THEN 'paused'
            WHEN g.state OPERATOR(pg_catalog.=) 'live' AND NOT l.runs THEN 'stale'
            ELSE COALESCE(g.state, 'building') END AS state,
       CASE WHEN v.paused THEN ''
            WHEN g.state OPERATOR(pg_catalog.=) 'live' AND NOT l.runs THEN
                 pg_catalog.concat_ws(': ', 'the pipeline is '
                     OPERATOR(pg_catalog.||) COALESCE(p.state, 'not loaded'), NULLIF(p.reason, ''))
            ELSE COALESCE(NULLIF(g.reason, ''), f.reason, '') END AS reason,
       (SELECT r.rule
        FROM derive_state.view r
        WHERE v.view OPERATOR(pg_catalog.=) ANY (ARRAY[r.view, r.part_of])
        ORDER BY pg_catalog.array_position(ARRAY['recompute', 'affected keys', 'algebra'], r.rule)
        LIMIT 1) AS rule,
       COALESCE(g.frontier_lsn, p.applied_lsn) AS applied_lsn,
       GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(),
                COALESCE(g.frontier_lsn, p.applied_lsn)), 0)::bigint AS lag_bytes,
       p.lag,
       s.rows_changed,
       s.ticks,
       s.last_tick_at,
       s.last_tick_time,
       v.created_at
FROM derive_state.view v
     LEFT JOIN derive_state.progress g ON g.id OPERATOR(pg_catalog.=) v.id
     LEFT JOIN derive_state.pipeline_status() p ON true
     CROSS JOIN LATERAL (SELECT COALESCE(p.state OPERATOR(pg_catalog.=) 'running', false) AS runs) l
     CROSS JOIN LATERAL derive_state.view_statistics(v.view) s
     -- foreign tables and materialized views, whose changes are not in the log
     LEFT JOIN LATERAL (
         SELECT 'as of its last refresh: '
                OPERATOR(pg_catalog.||) pg_catalog.string_agg(DISTINCT c.oid::regclass::text, ', ') AS reason
         FROM derive_state.view w
              JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) w.definition
              JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::regclass
                   AND d.objid OPERATOR(pg_catalog.=) r.oid
                   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::regclass
              JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.refobjid
                   AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['f'::"char", 'm'])
         WHERE v.view OPERATOR(pg_catalog.=) ANY (ARRAY[w.view, w.part_of])) f ON true
WHERE v.part_of IS NULL;
COMMENT ON VIEW derive.views IS 'the derived views of this database, their state and how far they are';

CREATE VIEW derive.stages AS
SELECT COALESCE(v.part_of, v.view) AS view,
       v.view AS stage,
       pg_catalog.btrim(pg_catalog.pg_get_viewdef(v.definition), ' ;') AS query,
       v.rule,
       s.rows_changed,
       s.ticks,
       s.recomputes,
       s.chosen,
       s.repairs,
       s.last_tick_at,
       s.last_tick_time
FROM derive_state.view v
     CROSS JOIN LATERAL derive_state.view_statistics(v.view) s
ORDER BY COALESCE(v.part_of, v.view), v.id;
COMMENT ON VIEW derive.stages IS 'the stages of the derived views, the view''s own last: what each one computes, by which rule, and how often it was recomputed';

REVOKE ALL ON TABLE derive.pipelines, derive.views, derive.stages FROM PUBLIC;
GRANT SELECT ON TABLE derive.pipelines, derive.views, derive.stages TO PUBLIC;

/* Start: the pipeline of this database starts when CREATE EXTENSION commits. */

SELECT derive_state.start_pipeline();
