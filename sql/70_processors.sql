/*
 * Processors: application code as the derivation function.  A processor is an outbox in derive_state
 * and a consumer of it with the processor's name, whose events a worker gives to the handler.
 */

CREATE FUNCTION derive_state.row_texts(record) RETURNS jsonb
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_row_texts';
COMMENT ON FUNCTION derive_state.row_texts(record) IS
	'a row as an array of its columns'' texts, which outlives changes of its table';

CREATE FUNCTION derive.create_processor(name text, source regclass, handler regprocedure,
	key text DEFAULT NULL, max_attempts integer DEFAULT 5, backoff interval DEFAULT '1 s') RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_create_processor';
COMMENT ON FUNCTION derive.create_processor(text, regclass, regprocedure, text, integer, interval) IS
	'lets handler(op text, old, new, headers jsonb) be called once for every change of a table, or of a derived view per tick, in the order of commits; what it writes and the progress commit together; what fails is tried max_attempts times, after backoff, twice that ..., then parked';

CREATE FUNCTION derive.drop_processor(name text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_drop_processor';
COMMENT ON FUNCTION derive.drop_processor(text) IS
	'drops a processor with what waits for it and what it has parked';

CREATE FUNCTION derive.pause_processor(name text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_pause_processor';
COMMENT ON FUNCTION derive.pause_processor(text) IS
	'lets a processor rest: its handler is not called, changes wait for it';

CREATE FUNCTION derive.resume_processor(name text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_resume_processor';
COMMENT ON FUNCTION derive.resume_processor(text) IS
	'lets a processor go on from where it was paused';

CREATE VIEW derive.processors AS
SELECT r.processor, o.source, pg_catalog.to_regprocedure(r.handler) AS handler, t.relowner::regrole AS owner,
       CASE WHEN r.paused THEN 'paused'
            WHEN derive_state.processor_pid() IS NULL THEN 'waiting'
            WHEN f.outbox IS NOT NULL THEN 'failed'
            ELSE 'running' END AS state,
       f.reason, c.position, p.position OPERATOR(pg_catalog.-) c.position AS lag,
       d.retried, d.parked, d.error, o.outbox, c.max_attempts, c.backoff, o.created_at
FROM derive_state.processor r
     JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) r.outbox
     JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) r.outbox
     JOIN derive_state.consumer c ON c.outbox OPERATOR(pg_catalog.=) r.outbox
          AND c.consumer OPERATOR(pg_catalog.=) r.processor
     JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) o.outbox
     LEFT JOIN derive_state.processor_failure f ON f.outbox OPERATOR(pg_catalog.=) r.outbox
     CROSS JOIN LATERAL (
         SELECT pg_catalog.count(*) FILTER (WHERE x.parked_at IS NULL) AS retried,
                pg_catalog.count(*) FILTER (WHERE x.parked_at IS NOT NULL) AS parked,
                (pg_catalog.array_agg(x.error ORDER BY x.position DESC)
                 FILTER (WHERE x.error IS NOT NULL))[1] AS error
         FROM derive_state.deferred x
         WHERE x.outbox OPERATOR(pg_catalog.=) c.outbox
               AND x.consumer OPERATOR(pg_catalog.=) c.consumer) d
WHERE pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.processors IS 'the processors whose outboxes you may read: how far each one is, why it does not run if its state is failed, how many events failed and wait for their next try or behind one of their key, how many are parked';

REVOKE ALL ON TABLE derive.processors FROM PUBLIC;
GRANT SELECT ON TABLE derive.processors TO PUBLIC;
