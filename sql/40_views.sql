/* Views: the SQL interface. */

CREATE FUNCTION derive.create_view(name text, query text, key text[] DEFAULT NULL,
	with_data boolean DEFAULT true, refresh_every interval DEFAULT NULL) RETURNS regclass
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_create_view';
COMMENT ON FUNCTION derive.create_view(text, text, text[], boolean, interval) IS
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
