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

CREATE FUNCTION derive_state.announce() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'derive_announce';
COMMENT ON FUNCTION derive_state.announce() IS
	'trigger function: tells the applier that the catalog of views has changed';

-- The functions of schema derive say so themselves; a dump that is being restored does not.
CREATE OR REPLACE TRIGGER pg_derive_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON derive_state.view
	FOR EACH STATEMENT EXECUTE FUNCTION derive_state.announce();
ALTER TABLE derive_state.view ENABLE ALWAYS TRIGGER pg_derive_announce;

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

CREATE FUNCTION derive_state.processor_pid() RETURNS integer
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_processor_pid';
COMMENT ON FUNCTION derive_state.processor_pid() IS
	'process that runs the handlers of this database''s processors; NULL if there is none';

CREATE FUNCTION derive_state.view_statistics(view regclass,
	OUT rows_changed bigint, OUT ticks bigint, OUT recomputes bigint,
	OUT chosen bigint, OUT repairs bigint, OUT last_tick_at timestamptz, OUT last_tick_time interval) RETURNS record
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_view_statistics';
COMMENT ON FUNCTION derive_state.view_statistics(regclass) IS
	'counters of a view since the server started';

CREATE FUNCTION derive_state.log_end() RETURNS pg_lsn
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
		ELSE pg_catalog.pg_current_wal_lsn() END $$;
COMMENT ON FUNCTION derive_state.log_end() IS
	'end of the log, on a standby of what it has replayed';

CREATE FUNCTION derive_state.view_totals(view regclass,
	OUT rows_in bigint, OUT total_time interval, OUT audits bigint) RETURNS record
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_view_totals';
COMMENT ON FUNCTION derive_state.view_totals(regclass) IS
	'more counters of a view since the server started';

CREATE FUNCTION derive_state.recompute_progress(
	OUT view regclass, OUT phase text, OUT rows_done bigint, OUT since timestamptz) RETURNS SETOF record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_recompute_progress';
COMMENT ON FUNCTION derive_state.recompute_progress() IS
	'the recompute that this database''s applier is at; no row if there is none';

CREATE FUNCTION derive_state.start_pipeline() RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_start_pipeline';
COMMENT ON FUNCTION derive_state.start_pipeline() IS
	'checks the server''s settings and lets this database''s pipeline start at commit';

-- The rest stays executable by PUBLIC: the status views and maintenance queries, which
-- run as their readers and owners, call it, and it tells nothing that they do not show.
REVOKE ALL ON FUNCTION derive_state.reject_write(), derive_state.announce(), derive_state.debug_steps(),
	derive_state.start_pipeline() FROM PUBLIC;
