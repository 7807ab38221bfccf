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
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	key_given   boolean     NOT NULL DEFAULT false,
	refresh_every interval,
	source_key  int2[]
);
COMMENT ON TABLE derive_state.view IS 'one row per derived view and per stage of one; ids rise with creation, so their order is topological';
COMMENT ON COLUMN derive_state.view.part_of IS 'for a stage: the view that it is a stage of';
COMMENT ON COLUMN derive_state.view.query IS 'ordinary view that holds the query, so that PostgreSQL guards it';
COMMENT ON COLUMN derive_state.view.definition IS 'ordinary view that holds the block that is maintained: the query itself, or what is left of it over its stages';
COMMENT ON COLUMN derive_state.view.state_table IS 'state of the aggregate stage, if there is one';
COMMENT ON COLUMN derive_state.view.key IS 'column numbers of the view that identify a row; NULL: none';
COMMENT ON COLUMN derive_state.view.key_given IS 'the key was named by the user';
COMMENT ON COLUMN derive_state.view.source_key IS 'column numbers of the view that hold the key by which changes of its table are read, whose old rows are not logged; NULL: changes are read as rows';
COMMENT ON COLUMN derive_state.view.rule IS 'how it is maintained: algebra, affected keys, recursion or recompute';
COMMENT ON COLUMN derive_state.view.refreshes IS 'number of refreshes that were asked for';
COMMENT ON COLUMN derive_state.view.refresh_every IS 'how often what is not in the log is read again; NULL: when a refresh is asked for, or for a stage: as the view says';

CREATE TABLE derive_state.progress
(
	id           bigint NOT NULL PRIMARY KEY,
	state        text   NOT NULL CHECK (state IN ('building', 'live', 'stale', 'failed')),
	reason       text   NOT NULL DEFAULT '',
	frontier     pg_snapshot,
	frontier_lsn pg_lsn,
	refreshes    bigint NOT NULL DEFAULT 0,
	since        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE derive_state.progress IS 'what the applier knows of each view';
COMMENT ON COLUMN derive_state.progress.frontier IS 'the view''s own frontier while it differs from the pipeline''s';
COMMENT ON COLUMN derive_state.progress.refreshes IS 'number of refreshes that were carried out';
COMMENT ON COLUMN derive_state.progress.since IS 'when the view came into its state';

CREATE TABLE derive_state.frontier
(
	frontier          pg_snapshot NOT NULL,
	applied_lsn       pg_lsn      NOT NULL,
	restart_lsn       pg_lsn      NOT NULL,
	system_identifier bigint      NOT NULL,
	timeline          bigint      NOT NULL,
	database          oid         NOT NULL,
	published_lsn     pg_lsn      NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000000);
COMMENT ON TABLE derive_state.frontier IS 'one row: which source transactions the live views contain';
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

REVOKE ALL ON SEQUENCE derive_state.view_id FROM PUBLIC;
REVOKE ALL ON TABLE derive_state.view, derive_state.progress, derive_state.frontier,
	derive_state.audit FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('derive_state.view_id', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.view', '');
