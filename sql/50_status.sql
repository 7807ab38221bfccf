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
       pg_catalog.pg_wal_lsn_diff(derive_state.log_end(), s.restart_lsn)::bigint AS retained_wal,
       p.transactions,
       p.changes,
       p.ticks,
       p.queue_bytes,
       p.commits,
       derive_state.processor_pid() AS processor_pid
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
            -- an error's message may hold values that only the owner may read
            WHEN g.state OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'stale'])
                 AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') THEN 'shown to the view''s owner'
            ELSE COALESCE(NULLIF(g.reason, ''), f.reason, '') END AS reason,
       (SELECT r.rule
        FROM derive_state.view r
        WHERE v.view OPERATOR(pg_catalog.=) ANY (ARRAY[r.view, r.part_of])
        ORDER BY pg_catalog.array_position(ARRAY['recompute', 'recursion', 'affected keys', 'algebra'], r.rule)
        LIMIT 1) AS rule,
       COALESCE(g.frontier_lsn, p.applied_lsn) AS applied_lsn,
       GREATEST(pg_catalog.pg_wal_lsn_diff(derive_state.log_end(),
                COALESCE(g.frontier_lsn, p.applied_lsn)), 0)::bigint AS lag_bytes,
       p.lag,
       s.rows_changed,
       s.ticks,
       s.last_tick_at,
       s.last_tick_time,
       v.created_at
FROM derive_state.view v
     JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) v.view
     LEFT JOIN derive_state.progress g ON g.id OPERATOR(pg_catalog.=) v.id
     LEFT JOIN derive_state.pipeline_status() p ON true
     CROSS JOIN LATERAL (SELECT COALESCE(p.state OPERATOR(pg_catalog.=) 'running', false) AS runs) l
     CROSS JOIN LATERAL derive_state.view_statistics(v.view) s
     -- foreign tables and materialized views, whose changes are not in the log
     LEFT JOIN LATERAL (
         SELECT CASE WHEN v.refresh_every IS NULL THEN 'as of its last refresh: '
                     ELSE pg_catalog.format('as of %s, every %s: ',
                              pg_catalog.date_trunc('second', pg_catalog.max(t.last_tick_at)), v.refresh_every) END
                OPERATOR(pg_catalog.||) pg_catalog.string_agg(DISTINCT r2.oid::regclass::text, ', ') AS reason
         FROM derive_state.view w
              CROSS JOIN LATERAL derive_state.view_statistics(w.view) t
              JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) w.definition
              JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::regclass
                   AND d.objid OPERATOR(pg_catalog.=) r.oid
                   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::regclass
              JOIN pg_catalog.pg_class r2 ON r2.oid OPERATOR(pg_catalog.=) d.refobjid
                   AND r2.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['f'::"char", 'm'])
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
       s.last_tick_time,
       t.rows_in,
       t.total_time,
       t.audits
FROM derive_state.view v
     CROSS JOIN LATERAL derive_state.view_statistics(v.view) s
     CROSS JOIN LATERAL derive_state.view_totals(v.view) t
ORDER BY COALESCE(v.part_of, v.view), v.id;
COMMENT ON VIEW derive.stages IS 'the stages of the derived views, the view''s own last: what each one computes, by which rule, and how often it was recomputed';

CREATE VIEW derive.audits AS
SELECT COALESCE(v.part_of, v.view) AS view,
       a.at,
       a.kind,
       CASE WHEN o.owns THEN a.expected END AS expected,
       CASE WHEN o.owns THEN a.actual END AS actual,
       a.repaired,
       v.view AS stage
FROM derive_state.audit a
     JOIN derive_state.view v ON v.id OPERATOR(pg_catalog.=) a.id
     JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) v.view
     CROSS JOIN LATERAL (SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns) o
ORDER BY a.at;
COMMENT ON VIEW derive.audits IS 'differences between views and their queries that audits have found and repaired; rows are shown to a view''s owner';

CREATE VIEW derive.progress AS
SELECT COALESCE(v.part_of, v.view) AS view,
       v.view AS stage,
       COALESCE(p.phase, 'waiting') AS phase,
       COALESCE(p.rows_done, 0) AS rows_done,
       COALESCE(p.since, g.since, v.created_at) AS since
FROM derive_state.view v
     LEFT JOIN derive_state.progress g ON g.id OPERATOR(pg_catalog.=) v.id
     LEFT JOIN derive_state.recompute_progress() p ON p.view OPERATOR(pg_catalog.=) v.view
WHERE NOT v.paused
      AND (p.view IS NOT NULL OR g.state IS NULL
           OR g.state OPERATOR(pg_catalog.<>) 'live'
           OR v.refreshes OPERATOR(pg_catalog.<>) g.refreshes)
ORDER BY v.id;
COMMENT ON VIEW derive.progress IS 'builds and repairs: the views and stages that are being recomputed or wait for it';

REVOKE ALL ON TABLE derive.pipelines, derive.views, derive.stages, derive.audits,
	derive.progress FROM PUBLIC;
GRANT SELECT ON TABLE derive.pipelines, derive.views, derive.stages, derive.audits,
	derive.progress TO PUBLIC;
