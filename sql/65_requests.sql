/*
 * Requests: what was asked for by an id is done once.  A request belongs to the role that made it:
 * no other role can see it, wait for it or be kept waiting by it.
 */

CREATE FUNCTION derive.request(id uuid, params jsonb DEFAULT NULL)
	RETURNS TABLE (first boolean, result jsonb)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_request';
COMMENT ON FUNCTION derive.request(uuid, jsonb) IS
	'says whether the current role makes this request for the first time; if not, with the result that was stored; waits for a transaction that makes it just now; SQLSTATE 22D01 if it was made with other params; sets pg_derive.request_id for the transaction';

CREATE FUNCTION derive.request_done(id uuid, result jsonb) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_request_done';
COMMENT ON FUNCTION derive.request_done(uuid, jsonb) IS
	'stores the result of a request, once, for those who make it again';

CREATE VIEW derive.requests AS
SELECT r.role, r.id, r.params, r.result, r.created_at, r.done_at
FROM derive_state.request r
WHERE pg_catalog.pg_has_role(r.role, 'MEMBER');
COMMENT ON VIEW derive.requests IS 'the requests of roles that you are a member of, as long as they are remembered';

REVOKE ALL ON TABLE derive.requests FROM PUBLIC;
GRANT SELECT ON TABLE derive.requests TO PUBLIC;
