/* Outboxes and their consumers: functions and views over the tables of 25_events.sql. */

CREATE FUNCTION derive.create_outbox(name text, source regclass, topic text DEFAULT NULL,
	key text DEFAULT NULL, payload text DEFAULT NULL, filter text DEFAULT NULL,
	retain interval DEFAULT '7 days') RETURNS regclass
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_create_outbox';
COMMENT ON FUNCTION derive.create_outbox(text, regclass, text, text, text, text, interval) IS
	'creates a table to which every change of a table, or each tick''s net change of a derived view, is written as an event; source NULL: only derive.emit writes';

CREATE FUNCTION derive.drop_outbox(outbox regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_drop_outbox';
COMMENT ON FUNCTION derive.drop_outbox(regclass) IS
	'drops an outbox with its consumers, as DROP TABLE does';

CREATE FUNCTION derive.emit(topic text, key text, payload jsonb, outbox regclass DEFAULT NULL,
	id uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_emit';
COMMENT ON FUNCTION derive.emit(text, text, jsonb, regclass, uuid) IS
	'writes an event to an outbox if the transaction commits; needs INSERT on it; outbox NULL: the only one without a source';

CREATE FUNCTION derive_state.reject_outbox_write() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'derive_reject_outbox_write';
COMMENT ON FUNCTION derive_state.reject_outbox_write() IS
	'trigger on every outbox: only the pipeline writes';

CREATE FUNCTION derive_state.event_headers(lsn pg_lsn, ordinal bigint, xid bigint, at timestamptz,
	request text, error text) RETURNS jsonb
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_event_headers';
COMMENT ON FUNCTION derive_state.event_headers(pg_lsn, bigint, bigint, timestamptz, text, text) IS
	'headers of an event';

CREATE FUNCTION derive_state.event_id(outbox text, lsn pg_lsn, ordinal bigint) RETURNS uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'derive_event_id';
COMMENT ON FUNCTION derive_state.event_id(text, pg_lsn, bigint) IS
	'identity of an event: commit LSN, ordinal, and a hash of these and the outbox, as a UUID of version 8';

/*
 * Consumers.  The functions of schema derive check what the caller may do, read events with the
 * caller's rights, and call those below, which nobody else may, for what is in derive_state.
 */

CREATE FUNCTION derive_state.find_consumer(id bigint, name text, caller oid, wait text)
	RETURNS derive_state.consumer
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c derive_state.consumer;
BEGIN
	SELECT * INTO c FROM derive_state.consumer x WHERE x.outbox = id AND x.consumer = name;
	IF c.consumer IS NULL THEN
		RAISE EXCEPTION 'there is no consumer "%"', name
			USING ERRCODE = 'undefined_object', HINT = 'derive.create_consumer makes one.';
	END IF;
	IF NOT pg_has_role(caller, c.role, 'MEMBER') THEN
		RAISE EXCEPTION 'consumer "%" belongs to role %', name, c.role
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF wait = 'lock' THEN
		SELECT * INTO c FROM derive_state.consumer x WHERE x.outbox = id AND x.consumer = name FOR UPDATE;
	ELSIF wait = 'try' THEN
		SELECT * INTO c FROM derive_state.consumer x WHERE x.outbox = id AND x.consumer = name
			FOR UPDATE SKIP LOCKED;
	END IF;
	RETURN c;
END $$;
COMMENT ON FUNCTION derive_state.find_consumer(bigint, text, oid, text) IS
	'a consumer''s row, locked if wanted; NULL if try and locked by another';

CREATE FUNCTION derive_state.start_position(id bigint, start text) RETURNS bigint
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF start = 'earliest' THEN
		RETURN (SELECT p.first - 1 FROM derive_state.outbox_position p WHERE p.id = start_position.id);
	ELSIF start = 'latest' THEN
		RETURN (SELECT p.position FROM derive_state.outbox_position p WHERE p.id = start_position.id);
	ELSIF start ~ '^[0-9]{1,18}$' THEN
		RETURN greatest(start::bigint - 1, 0);
	END IF;
	RAISE EXCEPTION 'invalid start: "%"', start
		USING ERRCODE = 'invalid_parameter_value',
			HINT = 'It is earliest, latest, or the position of the first event to fetch.';
END $$;
COMMENT ON FUNCTION derive_state.start_position(bigint, text) IS
	'the position up to which a consumer counts as having seen all';

CREATE FUNCTION derive_state.add_consumer(id bigint, name text, caller oid, start text,
	max_attempts integer, backoff interval) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first bigint := derive_state.start_position(id, start);
BEGIN
	IF max_attempts < 1 OR backoff NOT BETWEEN interval '0' AND interval '366 days' OR name = '' THEN
		RAISE EXCEPTION 'max_attempts must be at least 1, backoff between 0 and a year, and consumer not empty'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO derive_state.consumer (outbox, consumer, role, position, fetched, max_attempts, backoff)
		VALUES (id, name, caller::regrole, first, first, max_attempts, backoff);
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION 'there is a consumer "%" already', name
		USING ERRCODE = 'duplicate_object', HINT = 'derive.seek moves it.';
END $$;
COMMENT ON FUNCTION derive_state.add_consumer(bigint, text, oid, text, integer, interval) IS
	'makes a consumer';

CREATE FUNCTION derive_state.remove_consumer(id bigint, name text, caller oid) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM derive_state.find_consumer(id, name, caller, 'lock');
	DELETE FROM derive_state.consumer x WHERE x.outbox = id AND x.consumer = name;
END $$;
COMMENT ON FUNCTION derive_state.remove_consumer(bigint, text, oid) IS 'removes a consumer';

CREATE FUNCTION derive_state.due_positions(id bigint, name text) RETURNS bigint[]
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(x.position ORDER BY x.position), '{}')
	FROM (SELECT d.position, d.retry_at, d.key,
			row_number() OVER (PARTITION BY d.key ORDER BY d.position) AS place
		FROM derive_state.deferred d
		WHERE d.outbox = id AND d.consumer = name AND d.parked_at IS NULL) x
	WHERE (x.place = 1 OR x.key IS NULL) AND x.retry_at <= clock_timestamp();
$$;
COMMENT ON FUNCTION derive_state.due_positions(bigint, text) IS
	'deferred events whose time has come, of each key the first';

CREATE FUNCTION derive_state.next_due(id bigint, name text) RETURNS timestamptz
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT min(x.retry_at)
	FROM (SELECT d.retry_at, d.key,
			row_number() OVER (PARTITION BY d.key ORDER BY d.position) AS place
		FROM derive_state.deferred d
		WHERE d.outbox = id AND d.consumer = name AND d.parked_at IS NULL) x
	WHERE x.place = 1 OR x.key IS NULL;
$$;
COMMENT ON FUNCTION derive_state.next_due(bigint, text) IS
	'when the time of the next deferred event comes, or came; NULL if there is none';

CREATE FUNCTION derive_state.forget_removed(c derive_state.consumer, first bigint) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	WITH gone AS (DELETE FROM derive_state.deferred d
			WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.position < first
			RETURNING d.position)
		SELECT count(*) FILTER (WHERE g.position <= c.position) + greatest(first - 1 - c.position, 0)
		INTO n FROM gone g;
	IF n > 0 THEN
		UPDATE derive_state.consumer x
			SET missed = x.missed + n, position = greatest(x.position, first - 1),
				fetched = greatest(x.fetched, first - 1)
			WHERE x.outbox = c.outbox AND x.consumer = c.consumer;
		RAISE WARNING 'consumer "%" misses % events before position %, which retention has removed',
			c.consumer, n, first USING HINT = 'derive.consumers counts them.';
	END IF;
	RETURN greatest(c.position, first - 1);
END $$;
COMMENT ON FUNCTION derive_state.forget_removed(derive_state.consumer, bigint) IS
	'moves a consumer past events that retention has removed, and says so';

CREATE FUNCTION derive_state.begin_fetch(id bigint, name text, caller oid, session text, patient boolean,
	OUT held boolean, OUT "position" bigint, OUT token bigint, OUT due bigint[],
	OUT deferred bigint[], OUT keys text[], OUT look_at timestamptz)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.find_consumer(id, name, caller, 'no');
	p derive_state.outbox_position;
BEGIN
	held := false;
	-- First without a lock, then with it.
	FOR pass IN 1 .. 2 LOOP
		SELECT x.* INTO p FROM derive_state.outbox_position x WHERE x.id = begin_fetch.id;
		IF c.holder <> session AND c.lease_until > clock_timestamp() THEN
			look_at := c.lease_until;
			RETURN;
		END IF;
		due := derive_state.due_positions(id, name);
		IF p.position <= c.position AND cardinality(due) = 0 THEN
			look_at := derive_state.next_due(id, name);
			RETURN;
		END IF;
		EXIT WHEN pass = 2;
		BEGIN
			c := derive_state.find_consumer(id, name, caller, CASE WHEN patient THEN 'lock' ELSE 'try' END);
		EXCEPTION WHEN lock_not_available THEN
			RETURN;
		END;
		IF c.consumer IS NULL THEN
			RETURN;
		END IF;
	END LOOP;
	position := derive_state.forget_removed(c, p.first);
	due := derive_state.due_positions(id, name);
	token := c.token;
	IF c.holder IS DISTINCT FROM session OR c.lease_until <= clock_timestamp() THEN
		token := c.token + 1;
	END IF;
	SELECT coalesce(array_agg(d.position) FILTER (WHERE d.position > begin_fetch.position), '{}'),
			coalesce(array_agg(DISTINCT d.key) FILTER (WHERE d.parked_at IS NULL AND d.key IS NOT NULL), '{}')
		INTO deferred, keys
		FROM derive_state.deferred d WHERE d.outbox = id AND d.consumer = name;
	look_at := derive_state.next_due(id, name);
	held := true;
END $$;
COMMENT ON FUNCTION derive_state.begin_fetch(bigint, text, oid, text, boolean) IS
	'locks a consumer that this session may have and for which there may be events; tells what to leave out, or when to look again';

CREATE FUNCTION derive_state.end_fetch(id bigint, name text, session text, new_token bigint, lease interval,
	due bigint[], last bigint, waiting bigint[], waiting_keys text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE derive_state.deferred d SET delivered = CASE WHEN d.position <= last THEN new_token END
		WHERE d.outbox = id AND d.consumer = name AND d.position = ANY (due);
	INSERT INTO derive_state.deferred (outbox, consumer, position, key)
		SELECT id, name, w.position, w.key FROM unnest(waiting, waiting_keys) AS w (position, key)
		ON CONFLICT DO NOTHING;
	UPDATE derive_state.consumer x
		SET token = new_token, holder = session, lease_until = clock_timestamp() + lease,
			fetched = greatest(x.position, last)
		WHERE x.outbox = id AND x.consumer = name;
END $$;
COMMENT ON FUNCTION derive_state.end_fetch(bigint, text, text, bigint, interval, bigint[], bigint, bigint[], text[]) IS
	'gives a locked consumer to a session, with what it has been given';

CREATE FUNCTION derive_state.held_consumer(id bigint, name text, caller oid, token bigint)
	RETURNS derive_state.consumer
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c derive_state.consumer := derive_state.find_consumer(id, name, caller, 'lock');
BEGIN
	IF c.token IS DISTINCT FROM token THEN
		RAISE EXCEPTION 'consumer "%" has been taken over', name
			USING ERRCODE = '55D01', DETAIL = format('The token is %s, not %s.', c.token, token),
				HINT = 'Fetch again; the events come to whoever holds the consumer.';
	END IF;
	RETURN c;
END $$;
COMMENT ON FUNCTION derive_state.held_consumer(bigint, text, oid, bigint) IS
	'a consumer''s row, locked, if the token is its last one';

CREATE FUNCTION derive_state.ack(id bigint, name text, caller oid, up_to bigint, token bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.held_consumer(id, name, caller, token);
BEGIN
	DELETE FROM derive_state.deferred d
		WHERE d.outbox = id AND d.consumer = name AND d.delivered = c.token
			AND d.position <= least(up_to, c.fetched);
	UPDATE derive_state.consumer x
		SET position = greatest(x.position, least(up_to, x.fetched)),
			lease_until = CASE WHEN greatest(x.position, up_to) < x.fetched OR EXISTS (
					SELECT FROM derive_state.deferred d
					WHERE d.outbox = id AND d.consumer = name AND d.delivered = c.token)
				THEN x.lease_until END
		WHERE x.outbox = id AND x.consumer = name;
END $$;
COMMENT ON FUNCTION derive_state.ack(bigint, text, oid, bigint, bigint) IS 'acknowledges events';

CREATE FUNCTION derive_state.fail(id bigint, name text, caller oid, failed bigint, token bigint, error text,
	failed_key text, same_key bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.held_consumer(id, name, caller, token);
	tries integer;
BEGIN
	IF failed > c.fetched OR failed < 1 OR (failed <= c.position AND NOT EXISTS (
		SELECT FROM derive_state.deferred d
		WHERE d.outbox = id AND d.consumer = name AND d.position = failed AND d.delivered = c.token))
	THEN
		RAISE EXCEPTION 'event % was not fetched or is acknowledged', failed
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO derive_state.deferred AS d (outbox, consumer, position, key, attempts, error)
		VALUES (id, name, failed, failed_key, 1, error)
		ON CONFLICT (outbox, consumer, position) DO UPDATE
			SET attempts = d.attempts + 1, error = EXCLUDED.error, delivered = NULL
		RETURNING attempts INTO tries;
	UPDATE derive_state.deferred d
		SET retry_at = clock_timestamp() + least(c.backoff * power(2, least(tries, 20) - 1), interval '1 year'),
			parked_at = CASE WHEN tries >= c.max_attempts THEN clock_timestamp() END
		WHERE d.outbox = id AND d.consumer = name AND d.position = failed;

	-- What was given out behind it with the same key comes again after it.
	IF tries < c.max_attempts THEN
		INSERT INTO derive_state.deferred (outbox, consumer, position, key)
			SELECT id, name, s, failed_key FROM unnest(same_key) s
			ON CONFLICT (outbox, consumer, position) DO UPDATE SET delivered = NULL
				WHERE deferred.parked_at IS NULL;
	END IF;
END $$;
COMMENT ON FUNCTION derive_state.fail(bigint, text, oid, bigint, bigint, text, text, bigint[]) IS
	'notes that an event could not be handled';

CREATE FUNCTION derive_state.replay(id bigint, name text, caller oid, parked bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM derive_state.find_consumer(id, name, caller, 'lock');
	UPDATE derive_state.deferred d SET parked_at = NULL, attempts = 0, retry_at = clock_timestamp()
		WHERE d.outbox = id AND d.consumer = name AND d.position = parked AND d.parked_at IS NOT NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'event % is not parked for consumer "%"', parked, name
			USING ERRCODE = 'undefined_object', HINT = 'Parked events are listed in derive.parked.';
	END IF;
END $$;
COMMENT ON FUNCTION derive_state.replay(bigint, text, oid, bigint) IS 'lets a parked event be fetched again';

CREATE FUNCTION derive_state.seek(id bigint, name text, caller oid, start text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	first bigint := derive_state.start_position(id, start);
BEGIN
	PERFORM derive_state.find_consumer(id, name, caller, 'lock');
	DELETE FROM derive_state.deferred d WHERE d.outbox = id AND d.consumer = name;
	UPDATE derive_state.consumer x
		SET position = first, fetched = first, holder = NULL, lease_until = NULL, token = x.token + 1
		WHERE x.outbox = id AND x.consumer = name;
END $$;
COMMENT ON FUNCTION derive_state.seek(bigint, text, oid, text) IS 'moves a consumer';

CREATE FUNCTION derive.create_consumer(outbox regclass, consumer text, start text DEFAULT 'earliest',
	max_attempts integer DEFAULT 5, backoff interval DEFAULT '1 s') RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_create_consumer';
COMMENT ON FUNCTION derive.create_consumer(regclass, text, text, integer, interval) IS
	'makes a named cursor over an outbox, which begins at earliest, latest or a position; a failed event is tried max_attempts times, after backoff, twice that ...; needs SELECT on the outbox';

CREATE FUNCTION derive.drop_consumer(outbox regclass, consumer text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_drop_consumer';
COMMENT ON FUNCTION derive.drop_consumer(regclass, text) IS 'removes a consumer and what it has parked';

CREATE FUNCTION derive.fetch(outbox regclass, consumer text, max integer DEFAULT 100,
	lease interval DEFAULT '30 s', wait interval DEFAULT NULL)
	RETURNS TABLE ("position" bigint, id uuid, aggregatetype text, aggregateid text, type text,
		payload jsonb, headers jsonb, created_at timestamptz, token bigint)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_fetch';
COMMENT ON FUNCTION derive.fetch(regclass, text, integer, interval, interval) IS
	'gives the next events of a consumer to this session for the time of the lease; none while another session holds it; wait: for how long to wait for some; events come again until they are acknowledged';

CREATE FUNCTION derive.ack(outbox regclass, consumer text, "position" bigint, token bigint) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_ack';
COMMENT ON FUNCTION derive.ack(regclass, text, bigint, bigint) IS
	'acknowledges what was fetched up to a position; SQLSTATE 55D01 and no effect if the consumer has been taken over';

CREATE FUNCTION derive.fail(outbox regclass, consumer text, "position" bigint, token bigint, error text)
	RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_fail';
COMMENT ON FUNCTION derive.fail(regclass, text, bigint, bigint, text) IS
	'says that an event could not be handled: it comes again after a while, in front of others of its key, and is parked after the last attempt; SQLSTATE 55D01 if the consumer has been taken over';

CREATE FUNCTION derive.replay(outbox regclass, consumer text, "position" bigint) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_replay';
COMMENT ON FUNCTION derive.replay(regclass, text, bigint) IS 'lets a parked event be fetched again';

CREATE FUNCTION derive.seek(outbox regclass, consumer text, start text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_seek';
COMMENT ON FUNCTION derive.seek(regclass, text, text) IS
	'moves a consumer to earliest, latest or a position, takes it from whoever holds it, and forgets what failed';

CREATE VIEW derive.outboxes AS
SELECT o.outbox, o.source, o.topic, o.key, o.payload, o.filter, o.retain,
       p.position, p.first,
       CASE WHEN p.retry_at IS NOT NULL THEN 'failed'
            WHEN p.published IS NOT NULL THEN 'behind'
            ELSE 'live' END AS state,
       COALESCE(p.reason, '') AS reason, o.created_at
FROM derive_state.outbox o
     JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) o.id
WHERE pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.outboxes IS 'the outboxes that you may read: positions of the last event and of the oldest that is kept, and whether each one is as far as the pipeline';

CREATE VIEW derive.consumers AS
SELECT o.outbox, c.consumer, c.position,
       p.position OPERATOR(pg_catalog.-) c.position AS lag,
       c.lease_until, c.token,
       (SELECT pg_catalog.count(*) FROM derive_state.deferred d
         WHERE d.outbox OPERATOR(pg_catalog.=) c.outbox
               AND d.consumer OPERATOR(pg_catalog.=) c.consumer AND d.attempts OPERATOR(pg_catalog.>) 0) AS failed,
       c.missed OPERATOR(pg_catalog.+) GREATEST(p.first OPERATOR(pg_catalog.-) 1::bigint
           OPERATOR(pg_catalog.-) c.position, 0::bigint) AS missed
FROM derive_state.consumer c
     JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) c.outbox
     JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) c.outbox
WHERE pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.consumers IS 'the consumers of outboxes that you may read: what they have acknowledged, how many events there are after that, how many failed and wait or are parked, and how many retention removed before they were fetched';

CREATE VIEW derive.parked AS
SELECT o.outbox, d.consumer, d.position, d.key, d.attempts, d.error, d.parked_at
FROM derive_state.deferred d
     JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) d.outbox
WHERE d.parked_at IS NOT NULL AND pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.parked IS 'events that failed too often; derive.replay lets them be fetched again';

REVOKE ALL ON TABLE derive.outboxes, derive.consumers, derive.parked FROM PUBLIC;
GRANT SELECT ON TABLE derive.outboxes, derive.consumers, derive.parked TO PUBLIC;

-- The applier calls event_headers and event_id as outboxes' owners; they tell nothing.
REVOKE ALL ON FUNCTION derive_state.reject_outbox_write(),
	derive_state.find_consumer(bigint, text, oid, text), derive_state.start_position(bigint, text),
	derive_state.add_consumer(bigint, text, oid, text, integer, interval),
	derive_state.remove_consumer(bigint, text, oid), derive_state.due_positions(bigint, text),
	derive_state.next_due(bigint, text),
	derive_state.forget_removed(derive_state.consumer, bigint),
	derive_state.begin_fetch(bigint, text, oid, text, boolean),
	derive_state.end_fetch(bigint, text, text, bigint, interval, bigint[], bigint, bigint[], text[]),
	derive_state.held_consumer(bigint, text, oid, bigint),
	derive_state.ack(bigint, text, oid, bigint, bigint),
	derive_state.fail(bigint, text, oid, bigint, bigint, text, text, bigint[]),
	derive_state.replay(bigint, text, oid, bigint), derive_state.seek(bigint, text, oid, text) FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA derive TO PUBLIC;
