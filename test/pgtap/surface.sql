-- The SQL surface: signatures, defaults, volatility, comments, columns, privileges.
\set QUIET on
\pset tuples_only on
\pset format unaligned
BEGIN;
SELECT no_plan();

-- ------------------------------------------------------------------ schemas
SELECT has_schema('derive');
SELECT has_schema('derive_state');
SELECT set_eq(
    $$ SELECT p.proname::text || '(' || pg_get_function_arguments(p.oid) || ') ' || pg_get_function_result(p.oid)
       FROM pg_proc p WHERE p.pronamespace = 'derive'::regnamespace $$,
    ARRAY[
        'create_view(name text, query text, key text[] DEFAULT NULL::text[], with_data boolean DEFAULT true, refresh_every interval DEFAULT NULL::interval) regclass',
        'drop_view(view regclass, cascade boolean DEFAULT false) void',
        'refresh(view regclass) void',
        'pause(view regclass) void',
        'resume(view regclass) void',
        'explain(query text) SETOF text',
        'explain(view regclass) SETOF text',
        'advise(view regclass) SETOF text',
        'health() TABLE("check" text, ok boolean, detail text, hint text)',
        'verify(view regclass) TABLE(kind text, difference bigint, "row" jsonb)',
        'wait(target pg_lsn DEFAULT NULL::pg_lsn, timeout interval DEFAULT NULL::interval, view regclass DEFAULT NULL::regclass) pg_lsn',
        'create_outbox(name text, source regclass, topic text DEFAULT NULL::text, key text DEFAULT NULL::text, payload text DEFAULT NULL::text, filter text DEFAULT NULL::text, retain interval DEFAULT ''7 days''::interval) regclass',
        'drop_outbox(outbox regclass) void',
        'emit(topic text, key text, payload jsonb, outbox regclass DEFAULT NULL::regclass, id uuid DEFAULT NULL::uuid) void',
        'create_consumer(outbox regclass, consumer text, start text DEFAULT ''earliest''::text, max_attempts integer DEFAULT 5, backoff interval DEFAULT ''00:00:01''::interval) void',
        'drop_consumer(outbox regclass, consumer text) void',
        'fetch(outbox regclass, consumer text, max integer DEFAULT 100, lease interval DEFAULT ''00:00:30''::interval, wait interval DEFAULT NULL::interval) TABLE("position" bigint, id uuid, aggregatetype text, aggregateid text, type text, payload jsonb, headers jsonb, created_at timestamp with time zone, token bigint)',
        'ack(outbox regclass, consumer text, "position" bigint, token bigint) void',
        'fail(outbox regclass, consumer text, "position" bigint, token bigint, error text) void',
        'replay(outbox regclass, consumer text, "position" bigint) void',
        'seek(outbox regclass, consumer text, start text) void',
        'request(id uuid, params jsonb DEFAULT NULL::jsonb) TABLE(first boolean, result jsonb)',
        'request_done(id uuid, result jsonb) void',
        'create_processor(name text, source regclass, handler regprocedure, key text DEFAULT NULL::text, max_attempts integer DEFAULT 5, backoff interval DEFAULT ''00:00:01''::interval) void',
        'drop_processor(name text) void',
        'pause_processor(name text) void',
        'resume_processor(name text) void'
    ],
    'the functions of schema derive, their arguments, defaults and results');
SELECT set_eq(
    $$ SELECT format('%s %s', relname, relkind) COLLATE "default" FROM pg_class
       WHERE relnamespace = 'derive'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S') $$,
    ARRAY['views v', 'pipelines v', 'stages v', 'audits v', 'progress v', 'outboxes v', 'consumers v', 'parked v',
        'requests v', 'processors v'],
    'the relations of schema derive');

-- ------------------------------------------------------------------ columns
PREPARE columns(regclass) AS
    SELECT format('%s %s', attname, format_type(atttypid, atttypmod)) COLLATE "default" FROM pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT results_eq(
    $$ EXECUTE columns('derive.views') $$,
    ARRAY['view regclass', 'query text', 'state text', 'reason text', 'rule text', 'applied_lsn pg_lsn',
        'lag_bytes bigint', 'lag interval', 'rows_changed bigint', 'ticks bigint',
        'last_tick_at timestamp with time zone', 'last_tick_time interval', 'created_at timestamp with time zone'],
    'columns of derive.views');
SELECT results_eq(
    $$ EXECUTE columns('derive.stages') $$,
    ARRAY['view regclass', 'stage regclass', 'query text', 'rule text', 'rows_changed bigint', 'ticks bigint',
        'recomputes bigint', 'chosen bigint', 'repairs bigint', 'last_tick_at timestamp with time zone',
        'last_tick_time interval', 'rows_in bigint', 'total_time interval', 'audits bigint'],
    'columns of derive.stages');
SELECT results_eq(
    $$ EXECUTE columns('derive.audits') $$,
    ARRAY['view regclass', 'at timestamp with time zone', 'kind text', 'expected jsonb', 'actual jsonb', 'repaired boolean',
        'stage regclass'],
    'columns of derive.audits');
SELECT results_eq(
    $$ EXECUTE columns('derive.progress') $$,
    ARRAY['view regclass', 'stage regclass', 'phase text', 'rows_done bigint', 'since timestamp with time zone'],
    'columns of derive.progress');
SELECT results_eq(
    $$ EXECUTE columns('derive.outboxes') $$,
    ARRAY['outbox regclass', 'source regclass', 'topic text', 'key text', 'payload text', 'filter text', 'retain interval',
        'position bigint', 'first bigint', 'state text', 'reason text', 'created_at timestamp with time zone'],
    'columns of derive.outboxes');
SELECT results_eq(
    $$ EXECUTE columns('derive.consumers') $$,
    ARRAY['outbox regclass', 'consumer text', 'position bigint', 'lag bigint', 'lease_until timestamp with time zone',
        'token bigint', 'failed bigint', 'missed bigint'],
    'columns of derive.consumers');
SELECT results_eq(
    $$ EXECUTE columns('derive.parked') $$,
    ARRAY['outbox regclass', 'consumer text', 'position bigint', 'key text', 'attempts integer', 'error text',
        'parked_at timestamp with time zone'],
    'columns of derive.parked');
SELECT results_eq(
    $$ SELECT * FROM (SELECT format('%s %s', attname, format_type(atttypid, atttypmod)) COLLATE "default" FROM pg_attribute
        WHERE attrelid = 'derive.pipelines'::regclass AND attnum BETWEEN 1 AND 15 ORDER BY attnum) c $$,
    ARRAY['pipeline name', 'slot_name name', 'state text', 'reason text', 'decoder_pid integer', 'applier_pid integer',
        'received_lsn pg_lsn', 'applied_lsn pg_lsn', 'confirmed_lsn pg_lsn', 'lag interval', 'retained_wal bigint',
        'transactions bigint', 'changes bigint', 'ticks bigint', 'queue_bytes bigint'],
    'columns of derive.pipelines, of which there may be more behind these');

SELECT results_eq(
    $$ EXECUTE columns('derive.requests') $$,
    ARRAY['role regrole', 'id uuid', 'params jsonb', 'result jsonb', 'created_at timestamp with time zone',
        'done_at timestamp with time zone'],
    'columns of derive.requests');
SELECT results_eq(
    $$ EXECUTE columns('derive.processors') $$,
    ARRAY['processor text', 'source regclass', 'handler regprocedure', 'owner regrole', 'state text', 'reason text',
        'position bigint', 'lag bigint', 'retried bigint', 'parked bigint', 'error text', 'outbox regclass', 'max_attempts integer',
        'backoff interval', 'created_at timestamp with time zone'],
    'columns of derive.processors');

-- ------------------------------------------------------------------ volatility and safety
SELECT volatility_is('derive', p.proname, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t)::name[], 'volatile',
        'derive.' || p.oid::regprocedure || ' is volatile')
    FROM pg_proc p WHERE p.pronamespace = 'derive'::regnamespace ORDER BY p.oid::regprocedure::text;
SELECT volatility_is('derive_state', 'row_image', ARRAY['record'], 'immutable');
SELECT volatility_is('derive_state', 'row_hash', ARRAY['record'], 'immutable');
SELECT is_empty(
    $$ SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace) AND prosecdef $$,
    'no function is SECURITY DEFINER');
SELECT is_empty(
    $$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
       WHERE pronamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace)
           AND lanname IN ('sql', 'plpgsql') AND NOT coalesce(array_to_string(proconfig, ' ') ~ 'search_path', false) $$,
    'every function of a language that resolves names has a search_path of its own');
SELECT is_empty(
    $$ SELECT oid::regprocedure FROM pg_proc
       WHERE pronamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace) AND proparallel = 's'
           AND proname NOT IN ('row_image', 'row_hash', 'row_texts', 'debug_steps', 'event_headers', 'event_id') $$,
    'only pure functions are parallel safe');

-- ------------------------------------------------------------------ comments
SELECT is_empty(
    $$ SELECT d.classid::regclass, pg_describe_object(d.classid, d.objid, d.objsubid)
       FROM pg_depend d
       WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
           AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_derive')
           AND (d.classid IN ('pg_proc'::regclass, 'pg_namespace'::regclass)
               OR d.classid = 'pg_class'::regclass AND (SELECT relkind FROM pg_class WHERE oid = d.objid) IN ('r', 'v'))
           AND obj_description(d.objid, d.classid::regclass::name) IS NULL $$,
    'every schema, function, table and view of the extension has a comment');
SELECT isnt(obj_description((SELECT oid FROM pg_extension WHERE extname = 'pg_derive'), 'pg_extension'), NULL,
    'and so has the extension');

-- ------------------------------------------------------------------ privileges
-- What PUBLIC may do, by decision: use both schemas, call all of derive, read its relations, and call
-- what status views and maintenance queries need.  Nothing else.
SELECT set_eq(
    $$ SELECT format('%s on schema %s', a.privilege_type, n.nspname) FROM pg_namespace n, aclexplode(n.nspacl) a
       WHERE n.nspname IN ('derive', 'derive_state') AND a.grantee = 0 $$,
    ARRAY['USAGE on schema derive', 'USAGE on schema derive_state'],
    'PUBLIC may use the schemas, not create in them');
SELECT set_eq(
    $$ SELECT format('%s on %s', a.privilege_type, c.oid::regclass) FROM pg_class c,
           aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
       WHERE c.relnamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace)
           AND c.relkind IN ('r', 'v', 'm', 'S') AND a.grantee = 0 $$,
    ARRAY['SELECT on derive.views', 'SELECT on derive.pipelines', 'SELECT on derive.stages', 'SELECT on derive.audits',
        'SELECT on derive.progress', 'SELECT on derive.outboxes', 'SELECT on derive.consumers',
        'SELECT on derive.parked', 'SELECT on derive.requests', 'SELECT on derive.processors',
        'SELECT on derive_state.health'],
    'PUBLIC may read the status views and no other relation');
SELECT is_empty(
    $$ SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'derive'::regnamespace
       AND NOT has_function_privilege('public', oid, 'EXECUTE') $$,
    'PUBLIC may call every function of schema derive: they check ownership themselves');
SELECT set_eq(
    $$ SELECT proname::text FROM pg_proc WHERE pronamespace = 'derive_state'::regnamespace
       AND has_function_privilege('public', oid, 'EXECUTE') $$,
    ARRAY['row_image', 'row_hash', 'pipeline_status', 'view_statistics', 'log_end', 'view_totals', 'recompute_progress',
        'event_headers', 'row_texts', 'processor_pid', 'event_id'],
    'and of schema derive_state what readers of the status views and owners of views and outboxes need');
SELECT is_empty(
    $$ SELECT attrelid::regclass, attname FROM pg_attribute WHERE attacl IS NOT NULL
       AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('derive'::regnamespace, 'derive_state'::regnamespace)) $$,
    'no column has privileges of its own');

-- A role without any privilege.
CREATE ROLE derive_nobody;
SET LOCAL ROLE derive_nobody;
PREPARE ok_views AS SELECT * FROM derive.views;
PREPARE ok_pipelines AS SELECT * FROM derive.pipelines;
PREPARE ok_stages AS SELECT * FROM derive.stages;
PREPARE ok_audits AS SELECT * FROM derive.audits;
PREPARE ok_progress AS SELECT * FROM derive.progress;
PREPARE ok_health AS SELECT * FROM derive.health();
SELECT lives_ok('ok_views', 'reads derive.views');
SELECT lives_ok('ok_pipelines', 'reads derive.pipelines');
SELECT lives_ok('ok_stages', 'reads derive.stages');
SELECT lives_ok('ok_audits', 'reads derive.audits');
SELECT lives_ok('ok_progress', 'reads derive.progress');
SELECT lives_ok('ok_health', 'calls derive.health');
SELECT throws_ok('SELECT * FROM derive_state.' || r, '42501', NULL, 'cannot read derive_state.' || r)
    FROM unnest(ARRAY['view', 'progress', 'frontier', 'view_id', 'audit', 'source_identity', 'outbox', 'outbox_position', 'outbox_id',
        'consumer', 'deferred', 'secret', 'request', 'processor', 'processor_failure']) r;
SELECT throws_ok('SELECT derive_state.start_pipeline()', '42501', NULL, 'cannot start the pipeline');
SELECT throws_ok('SELECT derive_state.debug_steps()', '42501', NULL, 'cannot list the steps');
SELECT throws_ok('CREATE TABLE derive.x (a int)', '42501', NULL, 'cannot create in derive');
SELECT throws_ok('CREATE TABLE derive_state.x (a int)', '42501', NULL, 'cannot create in derive_state');
SELECT throws_ok($$ SET pg_derive.debug_step = 'tick-start:kill' $$, NULL, NULL, 'cannot kill a worker');
RESET ROLE;

-- ------------------------------------------------------------------ settings
SELECT set_eq(
    $$ SELECT name FROM pg_settings WHERE name LIKE 'pg\_derive.%' $$,
    ARRAY['pg_derive.audit_rate', 'pg_derive.batch_memory', 'pg_derive.database_workers', 'pg_derive.debug_step', 'pg_derive.log_ticks',
        'pg_derive.max_retained_wal', 'pg_derive.request_id', 'pg_derive.request_retention',
        'pg_derive.tick_interval'],
    'the settings');
SELECT results_eq(
    $$ SELECT boot_val FROM pg_settings WHERE name = 'pg_derive.tick_interval' $$, ARRAY['0'], 'tick_interval defaults to 0');
SELECT is_empty(
    $$ SELECT name FROM pg_settings WHERE name LIKE 'pg\_derive.%' AND (short_desc !~ '^Sets|^Makes|^Logs' OR short_desc !~ '\.$') $$,
    'every setting says what it does');
SELECT throws_ok($$ SET pg_derive.no_such_setting = 1 $$, '42602', NULL, 'an unknown setting is refused');

-- ------------------------------------------------------------------ what pg_dump carries
SELECT set_eq(
    $$ SELECT unnest(extconfig)::regclass::text FROM pg_extension WHERE extname = 'pg_derive' $$,
    ARRAY['derive_state.view', 'derive_state.view_id', 'derive_state.outbox', 'derive_state.outbox_id', 'derive_state.outbox_position',
        'derive_state.consumer', 'derive_state.deferred', 'derive_state.request', 'derive_state.processor'],
    'definitions and consumers are dumped, positions of views in the log are not');
SELECT is((SELECT extrelocatable FROM pg_extension WHERE extname = 'pg_derive'), false, 'not relocatable');

SELECT * FROM finish();
ROLLBACK;
