/* After 0.1: audits, and since when a view is in its state. */

ALTER TABLE derive_state.progress
	ADD COLUMN since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp();
COMMENT ON COLUMN derive_state.progress.since IS 'when the view came into its state';

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
