/*
 * After 0.1: audits, since when a view is in its state, views made again, intervals, where a
 * frontier is from; outboxes, requests and processors.
 */

ALTER TABLE derive_state.view
	ADD COLUMN key_given boolean NOT NULL DEFAULT false,
	ADD COLUMN refresh_every interval,
	ADD COLUMN source_key int2[];
COMMENT ON COLUMN derive_state.view.key_given IS 'the key was named by the user';
COMMENT ON COLUMN derive_state.view.source_key IS 'column numbers of the view that hold the key by which changes of its table are read, whose old rows are not logged; NULL: changes are read as rows';
COMMENT ON COLUMN derive_state.view.rule IS 'how it is maintained: algebra, affected keys, recursion or recompute';
COMMENT ON COLUMN derive_state.view.refresh_every IS 'how often what is not in the log is read again; NULL: when a refresh is asked for, or for a stage: as the view says';

ALTER TABLE derive_state.progress
	ADD COLUMN since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp();
COMMENT ON COLUMN derive_state.progress.since IS 'when the view came into its state';

ALTER TABLE derive_state.frontier
	ADD COLUMN timeline bigint,
	ADD COLUMN database oid,
	ADD COLUMN published_lsn pg_lsn;
UPDATE derive_state.frontier SET published_lsn = applied_lsn,
	timeline = (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
	database = (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()),
	-- the slot of 0.1 was confirmed beyond the row where there was nothing of interest
	restart_lsn = GREATEST(restart_lsn, (SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots
		WHERE slot_name OPERATOR(pg_catalog.=) (SELECT 'pg_derive_' OPERATOR(pg_catalog.||) oid::text
			FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())::name));
ALTER TABLE derive_state.frontier
	ALTER COLUMN timeline SET NOT NULL,
	ALTER COLUMN database SET NOT NULL,
	ALTER COLUMN published_lsn SET NOT NULL;
COMMENT ON COLUMN derive_state.frontier.restart_lsn IS 'decoding starts here after a restart; the slot is never confirmed beyond it';
COMMENT ON COLUMN derive_state.frontier.published_lsn IS 'commits that start before this are in the outboxes';
COMMENT ON COLUMN derive_state.frontier.timeline IS 'of the log that the positions belong to; with system_identifier and database it tells a copy from the original';

CREATE TABLE derive_state.audit
(
	id       bigint      NOT NULL,
	at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	kind     text        NOT NULL,
	expected jsonb,
	actual   jsonb,
	repaired boolean     NOT NULL DEFAULT false
);
CREATE INDEX audit_at ON derive_state.audit (at);
COMMENT ON TABLE derive_state.audit IS 'the newest differences between views and their queries that audits have found';
COMMENT ON COLUMN derive_state.audit.id IS 'of the view or stage in derive_state.view';
REVOKE ALL ON TABLE derive_state.audit FROM PUBLIC;

DROP FUNCTION derive.create_view(text, text, text[], boolean);

\part 25_events.sql
