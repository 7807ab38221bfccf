/*
 * Health: each check says whether all is well, what it saw and what to do.  A view does the
 * work, with its owner's rights on the catalog but the eyes of its reader: names and
 * reasons come from the status views, which show a reader what they may see.
 */

-- Tables whose changes a view reads, and whether their old rows are logged as far as it reads them.
CREATE VIEW derive_state.source_identity AS
SELECT u.view, u.source, u.leaf,
       pg_catalog.bool_and(l.relreplident OPERATOR(pg_catalog.=) 'f'
                           OR u.attname OPERATOR(pg_catalog.=) ANY (i.columns)
                           OR (u.by_key AND i.columns IS NOT NULL)) AS covered,
       COALESCE(pg_catalog.bool_or(o.option OPERATOR(pg_catalog.=) 'autovacuum_enabled=false'),
                false) AS never_vacuumed
FROM (SELECT DISTINCT COALESCE(v.part_of, v.view) AS view, d.refobjid AS source, t.relid AS leaf, a.attname,
             v.source_key IS NOT NULL AS by_key
      FROM derive_state.view v
           JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) v.definition
           JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::regclass
                AND d.objid OPERATOR(pg_catalog.=) r.oid
                AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::regclass
                AND d.refobjsubid OPERATOR(pg_catalog.>) 0
           JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) d.refobjid
                AND s.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r'::"char", 'p'])
           JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid
                AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
           CROSS JOIN LATERAL (
               SELECT s.oid AS relid WHERE s.relkind OPERATOR(pg_catalog.=) 'r'
               UNION ALL
               SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(s.oid) p
               WHERE s.relkind OPERATOR(pg_catalog.=) 'p' AND p.isleaf) t
      WHERE NOT EXISTS (SELECT 1 FROM derive_state.view w WHERE w.view OPERATOR(pg_catalog.=) s.oid)) u
     JOIN pg_catalog.pg_class l ON l.oid OPERATOR(pg_catalog.=) u.leaf
     LEFT JOIN LATERAL pg_catalog.unnest(l.reloptions) o (option) ON true
     LEFT JOIN LATERAL (
         SELECT pg_catalog.array_agg(a.attname) AS columns
         FROM pg_catalog.pg_index i
              JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                   AND a.attnum OPERATOR(pg_catalog.=) ANY (i.indkey)
         WHERE i.indrelid OPERATOR(pg_catalog.=) l.oid
               AND CASE l.relreplident WHEN 'd' THEN i.indisprimary
                        WHEN 'i' THEN i.indisreplident ELSE false END) i ON true
GROUP BY u.view, u.source, u.leaf;
COMMENT ON VIEW derive_state.source_identity IS 'the tables that each view reads, and whether they log old rows as far as it reads them';

CREATE VIEW derive_state.health AS
WITH pipeline AS MATERIALIZED (SELECT * FROM derive.pipelines),
slot AS MATERIALIZED (
	SELECT s.*
	FROM pg_catalog.pg_replication_slots s
	WHERE s.slot_name OPERATOR(pg_catalog.=) pg_catalog.format('pg_derive_%s',
	          (SELECT oid FROM pg_catalog.pg_database
	           WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))::name),
-- half of what is lost, or recomputed, at the whole
bound AS MATERIALIZED (
	SELECT COALESCE(pg_catalog.min(setting::bigint OPERATOR(pg_catalog.*) 524288), 10737418240) AS bytes
	FROM pg_catalog.pg_settings
	WHERE (name OPERATOR(pg_catalog.=) 'max_slot_wal_keep_size' AND setting OPERATOR(pg_catalog.<>) '-1')
	      OR (name OPERATOR(pg_catalog.=) 'pg_derive.max_retained_wal' AND setting OPERATOR(pg_catalog.<>) '0')),
views AS MATERIALIZED (SELECT view, state, reason FROM derive.views),
-- planning waits for sources that are locked, and whoever looks at health should not
plannable AS MATERIALIZED (
	SELECT v.view
	FROM views v
	WHERE v.state OPERATOR(pg_catalog.=) 'live' AND pg_catalog.has_table_privilege(v.view, 'SELECT')
	      AND NOT EXISTS (
	          SELECT 1
	          FROM derive_state.source_identity i
	               JOIN pg_catalog.pg_locks l ON l.relation OPERATOR(pg_catalog.=) ANY (ARRAY[i.source, i.leaf])
	                    AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock'
	          WHERE i.view OPERATOR(pg_catalog.=) v.view))
SELECT 1 AS number, 'settings' AS "check", s.wrong IS NULL AS ok,
       COALESCE(s.wrong, 'wal_level, autovacuum and track_counts are as they should be') AS detail,
       CASE WHEN s.wrong IS NOT NULL
            THEN 'Set wal_level = logical (restart), autovacuum = on and track_counts = on: plans rest on its statistics.'
       END AS hint
FROM (SELECT pg_catalog.string_agg(pg_catalog.format('%s = %s', name, setting), ', ') AS wrong
      FROM pg_catalog.pg_settings
      WHERE (name OPERATOR(pg_catalog.=) 'wal_level' AND setting OPERATOR(pg_catalog.<>) 'logical')
            OR (name OPERATOR(pg_catalog.=) ANY (ARRAY['autovacuum', 'track_counts'])
                AND setting OPERATOR(pg_catalog.<>) 'on')) s
UNION ALL
SELECT 2, 'pipeline', COALESCE(p.state OPERATOR(pg_catalog.=) 'running', false),
       CASE WHEN p.state IS NULL THEN 'this database has no pipeline'
            ELSE pg_catalog.concat_ws(': ', 'the pipeline is ' OPERATOR(pg_catalog.||) p.state, NULLIF(p.reason, '')) END,
       CASE WHEN p.state IS NULL
            THEN 'Load the library: shared_preload_libraries = ''pg_derive'', and look at pg_derive.database_workers and max_worker_processes.'
            WHEN p.state OPERATOR(pg_catalog.<>) 'running'
            THEN 'The reason says what it waits for; it is tried again by itself. The server''s log has more.' END
FROM (SELECT 1) o LEFT JOIN pipeline p ON true
UNION ALL
SELECT 3, 'workers', p.applier_pid IS NOT NULL AND p.decoder_pid IS NOT NULL,
       pg_catalog.format('applier %s, decoder %s', COALESCE(p.applier_pid::text, 'not running'),
                         COALESCE(p.decoder_pid::text, 'not running')),
       CASE WHEN p.applier_pid IS NULL OR p.decoder_pid IS NULL
            THEN 'If the check "pipeline" gives no reason: each database takes two of max_worker_processes, with processors three, and the launcher one: increase it and restart the server.' END
FROM (SELECT 1) o LEFT JOIN pipeline p ON true
UNION ALL
SELECT 4, 'slot', COALESCE(s.active AND s.wal_status OPERATOR(pg_catalog.=) ANY (ARRAY['reserved', 'extended']), false),
       CASE WHEN s.slot_name IS NULL THEN 'there is no replication slot'
            ELSE pg_catalog.format('slot %s is %s, its log is %s', s.slot_name,
                     CASE WHEN s.active THEN 'active' ELSE 'not active' END, COALESCE(s.wal_status, 'unknown')) END,
       CASE WHEN s.slot_name IS NULL
            THEN 'It is made again by itself, and the views are recomputed, when max_replication_slots leaves one free.'
            WHEN s.wal_status OPERATOR(pg_catalog.=) ANY (ARRAY['unreserved', 'lost'])
            THEN 'More log was written than max_slot_wal_keep_size keeps, or the slot was idle for longer than idle_replication_slot_timeout: increase it. The views are recomputed.'
            WHEN NOT s.active THEN 'The decoder does not run: see the checks "pipeline" and "workers".' END
FROM (SELECT 1) o LEFT JOIN slot s ON true
UNION ALL
SELECT 5, 'lag', p.lag OPERATOR(pg_catalog.<=) '10 s'::interval,
       pg_catalog.format('the oldest change that is not applied is %s old', p.lag),
       CASE WHEN p.lag OPERATOR(pg_catalog.>) '10 s'::interval
            THEN 'See derive.stages for what takes long (total_time), derive.progress for a build, derive.advise for missing indexes, pg_locks for a locked source.' END
FROM pipeline p
UNION ALL
SELECT 6, 'retained log', COALESCE(p.retained_wal OPERATOR(pg_catalog.<=) b.bytes, true),
       pg_catalog.format('%s of log are kept for the slot', pg_catalog.pg_size_pretty(p.retained_wal)),
       CASE WHEN p.retained_wal OPERATOR(pg_catalog.>) b.bytes
            THEN 'A transaction that is open for long, a prepared one, or lag holds it: see pg_stat_activity and pg_prepared_xacts. Past pg_derive.max_retained_wal it is given up, and the views are recomputed.' END
FROM pipeline p CROSS JOIN bound b
UNION ALL
SELECT 7, 'open transactions', x.oldest IS NULL OR x.oldest OPERATOR(pg_catalog.<=) '1 h'::interval,
       CASE WHEN x.oldest IS NULL THEN 'none is open'
            ELSE pg_catalog.format('the oldest open or prepared transaction is %s old', x.oldest) END,
       CASE WHEN x.oldest OPERATOR(pg_catalog.>) '1 h'::interval
            THEN 'It keeps log and dead rows: end it (pg_terminate_backend, ROLLBACK PREPARED).' END
FROM (SELECT pg_catalog.max(pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) t.at)) AS oldest
      FROM (SELECT prepared AS at FROM pg_catalog.pg_prepared_xacts
            UNION ALL
            SELECT xact_start FROM pg_catalog.pg_stat_activity
            WHERE backend_xid IS NOT NULL AND backend_type OPERATOR(pg_catalog.=) 'client backend') t) x
UNION ALL
SELECT 8, 'views', v.wrong IS NULL,
       COALESCE(v.wrong, pg_catalog.format('%s live, %s paused, %s building', v.live, v.paused, v.building)),
       CASE WHEN v.wrong IS NOT NULL
            THEN 'A failed view is tried again by itself: mend what the reason says, then derive.refresh(view). A stale one is being recomputed: see derive.progress.' END
FROM (SELECT pg_catalog.string_agg(pg_catalog.format('%s is %s: %s', view, state, reason), '; ' ORDER BY view::text)
                 FILTER (WHERE state OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'stale'])) AS wrong,
             pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'live') AS live,
             pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'paused') AS paused,
             pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'building') AS building
      FROM views) v
UNION ALL
SELECT 9, 'replica identity', r.wrong IS NULL,
       COALESCE('not logged in full: ' OPERATOR(pg_catalog.||) r.wrong, 'the sources log what their views need of old rows'),
       CASE WHEN r.wrong IS NOT NULL
            THEN 'Updates and deletes there lead to recomputes: ALTER TABLE ... REPLICA IDENTITY FULL.' END
FROM (SELECT pg_catalog.string_agg(DISTINCT leaf::regclass::text, ', ') AS wrong
      FROM derive_state.source_identity WHERE covered IS NOT TRUE) r
UNION ALL
SELECT 10, 'missing indexes', a.wrong IS NULL,
       COALESCE(a.wrong, 'none'),
       CASE WHEN a.wrong IS NOT NULL THEN 'With these indexes the cost of a change follows its size.' END
FROM (SELECT pg_catalog.string_agg(DISTINCT i.statement, '; ') AS wrong
      FROM plannable v CROSS JOIN LATERAL derive.advise(v.view) i (statement)) a
UNION ALL
SELECT 11, 'vacuum', d.wrong IS NULL,
       COALESCE(d.wrong, 'autovacuum keeps up with views, their state and their sources'),
       CASE WHEN d.wrong IS NOT NULL
            THEN 'VACUUM ANALYZE them, and let autovacuum run on them: ALTER TABLE ... SET (autovacuum_enabled = true, autovacuum_vacuum_scale_factor = 0.05).' END
FROM (SELECT pg_catalog.string_agg(t.relation::text, ', ' ORDER BY t.relation::text) AS wrong
      FROM (SELECT s.relid::regclass AS relation
            FROM derive_state.view v
                 JOIN pg_catalog.pg_stat_all_tables s
                      ON s.relid OPERATOR(pg_catalog.=) ANY (ARRAY[v.view, v.state_table]::oid[])
            WHERE s.n_dead_tup OPERATOR(pg_catalog.>) 100000
                  AND s.n_dead_tup OPERATOR(pg_catalog.>) (2 OPERATOR(pg_catalog.*) s.n_live_tup)
            UNION
            SELECT leaf::regclass FROM derive_state.source_identity WHERE never_vacuumed) t) d
UNION ALL
SELECT 12, 'decoder memory',
       COALESCE((2 OPERATOR(pg_catalog.*) s.spill_bytes) OPERATOR(pg_catalog.<=) s.total_bytes, true),
       pg_catalog.format('%s of %s were spilled to disk by the decoder', pg_catalog.pg_size_pretty(COALESCE(s.spill_bytes, 0)),
                         pg_catalog.pg_size_pretty(COALESCE(s.total_bytes, 0))),
       CASE WHEN (2 OPERATOR(pg_catalog.*) s.spill_bytes) OPERATOR(pg_catalog.>) s.total_bytes
            THEN 'Increase logical_decoding_work_mem: transactions are larger than it.' END
FROM pipeline p
     LEFT JOIN pg_catalog.pg_stat_replication_slots s ON s.slot_name OPERATOR(pg_catalog.=) p.slot_name
UNION ALL
SELECT 13, 'audits', a.n OPERATOR(pg_catalog.=) 0 AND r.n OPERATOR(pg_catalog.=) 0,
       pg_catalog.format('%s differences found in the last week, %s repairs since the server''s start', a.n, r.n),
       CASE WHEN a.n OPERATOR(pg_catalog.>) 0 OR r.n OPERATOR(pg_catalog.>) 0
            THEN 'The views are repaired. Find out who changed them (derive.audits), or report it: it may be a bug.' END
FROM (SELECT pg_catalog.count(*) AS n FROM derive.audits
      WHERE at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) '7 days'::interval)) a
     CROSS JOIN (SELECT COALESCE(pg_catalog.sum(repairs), 0) AS n FROM derive.stages) r
UNION ALL
SELECT 14, 'outboxes', o.wrong IS NULL,
       COALESCE(o.wrong, pg_catalog.format('%s are written', o.n)),
       CASE WHEN o.wrong IS NOT NULL
            THEN 'Mend what the reason says: writing is tried again by itself. Until then the log is kept for it.' END
FROM (SELECT pg_catalog.count(*) AS n,
             pg_catalog.string_agg(pg_catalog.format('%s is %s: %s', outbox, state, reason), '; ' ORDER BY outbox::text)
                 FILTER (WHERE state OPERATOR(pg_catalog.=) 'failed') AS wrong
      FROM derive.outboxes) o
UNION ALL
SELECT 15, 'parked events', k.n OPERATOR(pg_catalog.=) 0,
       pg_catalog.format('%s events are parked', k.n),
       CASE WHEN k.n OPERATOR(pg_catalog.>) 0
            THEN 'Consumers or processors could not handle them: see derive.parked for the errors, then derive.replay them.' END
FROM (SELECT pg_catalog.count(*) AS n FROM derive.parked) k
UNION ALL
SELECT 16, 'processors', r.wrong IS NULL,
       COALESCE('not running: ' OPERATOR(pg_catalog.||) r.wrong, pg_catalog.format('%s running, %s paused', r.running, r.paused)),
       CASE WHEN r.wrong IS NOT NULL
            THEN 'Their worker takes one of max_worker_processes: see the check "pipeline" and the server''s log. One that failed is tried again by itself: mend what the reason says.' END
FROM (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(': ', processor, reason), '; ' ORDER BY processor)
                 FILTER (WHERE state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'failed'])) AS wrong,
             pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'running') AS running,
             pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'paused') AS paused
      FROM derive.processors) r;
COMMENT ON VIEW derive_state.health IS 'what derive.health returns';

REVOKE ALL ON TABLE derive_state.source_identity, derive_state.health FROM PUBLIC;
GRANT SELECT ON TABLE derive_state.health TO PUBLIC;

CREATE FUNCTION derive.health()
	RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS 'SELECT h."check", h.ok, h.detail, h.hint FROM derive_state.health h ORDER BY h.number';
COMMENT ON FUNCTION derive.health() IS
	'checks server, pipeline and views: whether all is well, what was seen, and what to do';
