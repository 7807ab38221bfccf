/*
 * Outboxes and their consumers.  derive_state.outbox is written by the functions of schema derive,
 * in their callers' transactions; derive_state.outbox_position by the applier alone.
 *
 * A consumer is one row, and one more for each event that it could not handle yet: what has
 * failed and waits for its next try, what waits behind it because it has the same key, what is
 * parked.  All else that it has not seen is behind its position.
 */

CREATE SEQUENCE derive_state.outbox_id AS bigint;

CREATE TABLE derive_state.outbox
(
	outbox      regclass    NOT NULL PRIMARY KEY,
	id          bigint      NOT NULL UNIQUE,
	source      regclass,
	of_view     boolean     NOT NULL,
	topic       text        NOT NULL,
	key         text,
	payload     text,
	filter      text,
	path        text        NOT NULL,
	retain      interval    NOT NULL,
	created_lsn pg_lsn      NOT NULL,
	created_xid bigint      NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE derive_state.outbox IS 'one row per outbox';
COMMENT ON COLUMN derive_state.outbox.path IS 'search_path by which the expressions are read';
COMMENT ON COLUMN derive_state.outbox.created_lsn IS 'commits behind this are events';

CREATE TABLE derive_state.outbox_position
(
	id       bigint NOT NULL PRIMARY KEY,
	position bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE derive_state.outbox_position IS 'position of each outbox''s last event';

CREATE TABLE derive_state.secret (key bytea NOT NULL);
INSERT INTO derive_state.secret
	SELECT pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) OPERATOR(pg_catalog.||)
	       pg_catalog.uuid_send(pg_catalog.gen_random_uuid());
COMMENT ON TABLE derive_state.secret IS 'makes emissions in the log ours';

CREATE TABLE derive_state.consumer
(
	outbox       bigint      NOT NULL REFERENCES derive_state.outbox (id) ON DELETE CASCADE,
	consumer     text        NOT NULL CHECK (consumer OPERATOR(pg_catalog.<>) ''),
	role         regrole     NOT NULL,
	position     bigint      NOT NULL,
	fetched      bigint      NOT NULL,
	holder       integer,
	lease_until  timestamptz,
	token        bigint      NOT NULL DEFAULT 0,
	max_attempts integer     NOT NULL,
	backoff      interval    NOT NULL,
	PRIMARY KEY (outbox, consumer)
) WITH (fillfactor = 50);
COMMENT ON TABLE derive_state.consumer IS 'one row per consumer: what it has acknowledged, and who holds it until when';

CREATE TABLE derive_state.deferred
(
	outbox    bigint      NOT NULL,
	consumer  text        NOT NULL,
	position  bigint      NOT NULL,
	key       text,
	attempts  integer     NOT NULL DEFAULT 0,
	retry_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	delivered bigint,
	error     text,
	parked_at timestamptz,
	PRIMARY KEY (outbox, consumer, position),
	FOREIGN KEY (outbox, consumer) REFERENCES derive_state.consumer ON DELETE CASCADE
);
COMMENT ON TABLE derive_state.deferred IS 'events that failed or wait behind a failed one of their key';
COMMENT ON COLUMN derive_state.deferred.delivered IS 'token of the lease in which it was given out and neither acknowledged nor failed';

REVOKE ALL ON SEQUENCE derive_state.outbox_id FROM PUBLIC;
REVOKE ALL ON TABLE derive_state.outbox, derive_state.outbox_position, derive_state.secret,
	derive_state.consumer, derive_state.deferred FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('derive_state.outbox_id', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.outbox', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.outbox_position', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.consumer', '');
SELECT pg_catalog.pg_extension_config_dump('derive_state.deferred', '');

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

CREATE FUNCTION derive_state.caller() RETURNS regrole
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'derive_caller';
COMMENT ON FUNCTION derive_state.caller() IS
	'the role that is current outside of functions with their owner''s rights';

CREATE FUNCTION derive_state.tick_number() RETURNS bigint
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'derive_tick_number';
COMMENT ON FUNCTION derive_state.tick_number() IS 'number of ticks since the server started';

CREATE FUNCTION derive_state.wait_tick(number bigint, deadline timestamptz) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'derive_wait_tick';
COMMENT ON FUNCTION derive_state.wait_tick(bigint, timestamptz) IS
	'waits until there have been more ticks than this, or until the deadline';

CREATE FUNCTION derive_state.outbox_of(outbox regclass) RETURNS bigint
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id bigint;
BEGIN
	SELECT o.id INTO found_id FROM derive_state.outbox o WHERE o.outbox = outbox_of.outbox;
	IF found_id IS NULL THEN
		RAISE EXCEPTION '"%" is not an outbox', outbox
			USING ERRCODE = 'wrong_object_type', HINT = 'Outboxes are listed in derive.outboxes.';
	END IF;
	IF NOT has_table_privilege(derive_state.caller(), outbox, 'SELECT') THEN
		RAISE EXCEPTION 'permission denied for table %', outbox USING ERRCODE = 'insufficient_privilege';
	END IF;
	RETURN found_id;
END $$;
COMMENT ON FUNCTION derive_state.outbox_of(regclass) IS 'an outbox''s id, if the caller may read it';

CREATE FUNCTION derive_state.consumer_of(outbox regclass, consumer text, lock boolean)
	RETURNS derive_state.consumer
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	outbox_id bigint := derive_state.outbox_of(outbox);
	c derive_state.consumer;
BEGIN
	IF lock THEN
		SELECT * INTO c FROM derive_state.consumer x
			WHERE x.outbox = outbox_id AND x.consumer = consumer_of.consumer FOR UPDATE;
	ELSE
		SELECT * INTO c FROM derive_state.consumer x
			WHERE x.outbox = outbox_id AND x.consumer = consumer_of.consumer;
	END IF;
	IF c.consumer IS NULL THEN
		RAISE EXCEPTION 'outbox "%" has no consumer "%"', outbox, consumer
			USING ERRCODE = 'undefined_object', HINT = 'derive.create_consumer makes one.';
	END IF;
	IF NOT pg_has_role(derive_state.caller(), c.role, 'MEMBER') THEN
		RAISE EXCEPTION 'consumer "%" belongs to role %', consumer, c.role
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	RETURN c;
END $$;
COMMENT ON FUNCTION derive_state.consumer_of(regclass, text, boolean) IS
	'a consumer''s row, if the caller may use it';

CREATE FUNCTION derive_state.start_position(outbox regclass, start text) RETURNS bigint
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF start = 'earliest' THEN
		RETURN 0;
	ELSIF start = 'latest' THEN
		RETURN coalesce((SELECT p.position FROM derive_state.outbox_position p
			WHERE p.id = derive_state.outbox_of(outbox)), 0);
	ELSIF start ~ '^[0-9]{1,18}$' THEN
		RETURN greatest(start::bigint - 1, 0);
	END IF;
	RAISE EXCEPTION 'invalid start: "%"', start
		USING ERRCODE = 'invalid_parameter_value',
			HINT = 'It is earliest, latest, or the position of the first event to fetch.';
END $$;
COMMENT ON FUNCTION derive_state.start_position(regclass, text) IS
	'the position before which a consumer counts as having seen all';

CREATE FUNCTION derive.create_consumer(outbox regclass, consumer text, start text DEFAULT 'earliest',
	max_attempts integer DEFAULT 5, backoff interval DEFAULT '1 s') RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first bigint := derive_state.start_position(outbox, start);
BEGIN
	IF max_attempts < 1 OR backoff < interval '0' OR consumer = '' THEN
		RAISE EXCEPTION 'max_attempts must be at least 1, backoff not negative, and consumer not empty'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO derive_state.consumer (outbox, consumer, role, position, fetched, max_attempts, backoff)
		VALUES (derive_state.outbox_of(outbox), consumer, derive_state.caller(), first, first,
			max_attempts, backoff);
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION 'outbox "%" has a consumer "%" already', outbox, consumer
		USING ERRCODE = 'duplicate_object';
END $$;
COMMENT ON FUNCTION derive.create_consumer(regclass, text, text, integer, interval) IS
	'makes a named cursor over an outbox, which begins at earliest, latest or a position; a failed event is tried max_attempts times, after backoff, twice that ...; needs SELECT on the outbox';

CREATE FUNCTION derive.drop_consumer(outbox regclass, consumer text) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c derive_state.consumer := derive_state.consumer_of(outbox, consumer, true);
BEGIN
	DELETE FROM derive_state.consumer x WHERE x.outbox = c.outbox AND x.consumer = c.consumer;
END $$;
COMMENT ON FUNCTION derive.drop_consumer(regclass, text) IS 'removes a consumer and what it has parked';

CREATE FUNCTION derive_state.due_positions(c derive_state.consumer) RETURNS bigint[]
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(x.position ORDER BY x.position), '{}')
	FROM (SELECT d.position, d.retry_at, d.key,
			row_number() OVER (PARTITION BY d.key ORDER BY d.position) AS place
		FROM derive_state.deferred d
		WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.parked_at IS NULL) x
	WHERE (x.place = 1 OR x.key IS NULL) AND x.retry_at <= clock_timestamp();
$$;
COMMENT ON FUNCTION derive_state.due_positions(derive_state.consumer) IS
	'deferred events whose time has come, of each key the first';

CREATE FUNCTION derive.fetch(outbox regclass, consumer text, max integer DEFAULT 100,
	lease interval DEFAULT '30 s', wait interval DEFAULT NULL)
	RETURNS TABLE ("position" bigint, id uuid, aggregatetype text, aggregateid text, type text,
		payload jsonb, headers jsonb, created_at timestamptz, token bigint)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer;
	deadline timestamptz := clock_timestamp() + wait;
	number bigint;
	due timestamptz;
	again bigint[];
	fresh bigint[];
BEGIN
	IF max IS NULL OR max < 1 OR lease IS NULL OR lease <= interval '0' THEN
		RAISE EXCEPTION 'max and lease must be positive' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	LOOP
		number := derive_state.tick_number();
		c := derive_state.consumer_of(outbox, consumer, false);
		IF c.lease_until IS NULL OR c.lease_until <= clock_timestamp() OR c.holder = pg_backend_pid() THEN
			again := (derive_state.due_positions(c))[1:max];
			EXECUTE format('SELECT array_agg(x.position) FROM (SELECT e.position FROM %s e'
				' WHERE e.position > $1 ORDER BY e.position LIMIT $2) x', outbox)
				INTO fresh USING c.position, max - cardinality(again);
			EXIT WHEN cardinality(again) > 0 OR fresh IS NOT NULL;
		END IF;
		IF deadline IS NULL OR clock_timestamp() >= deadline THEN
			RETURN;
		END IF;
		SELECT min(d.retry_at) INTO due FROM derive_state.deferred d
			WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.parked_at IS NULL
				AND d.retry_at > clock_timestamp();
		IF c.holder <> pg_backend_pid() THEN
			due := least(due, c.lease_until);
		END IF;
		PERFORM derive_state.wait_tick(number, least(deadline, due));
	END LOOP;

	-- Now with the row locked: another fetch may have been first.
	c := derive_state.consumer_of(outbox, consumer, true);
	IF c.lease_until > clock_timestamp() AND c.holder <> pg_backend_pid() THEN
		RETURN;
	END IF;
	IF c.holder IS DISTINCT FROM pg_backend_pid() OR c.lease_until <= clock_timestamp() THEN
		c.token := c.token + 1;
	END IF;
	again := (derive_state.due_positions(c))[1:max];
	UPDATE derive_state.deferred d SET delivered = c.token
		WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.position = ANY (again);

	-- What is new, but for that which has to wait behind an event of the same key.
	EXECUTE format('SELECT coalesce(array_agg(x.position ORDER BY x.position), ''{}'') FROM (SELECT e.position FROM %s e'
		' WHERE e.position > $1 ORDER BY e.position LIMIT $2) x', outbox)
		INTO fresh USING c.position, max - cardinality(again);
	IF EXISTS (SELECT FROM derive_state.deferred d WHERE d.outbox = c.outbox AND d.consumer = c.consumer) THEN
		EXECUTE format('INSERT INTO derive_state.deferred (outbox, consumer, position, key)'
			' SELECT $1, $2, e.position, e.aggregateid FROM %s e WHERE e.position = ANY ($3)'
			' AND EXISTS (SELECT FROM derive_state.deferred d WHERE d.outbox = $1 AND d.consumer = $2'
			' AND d.key = e.aggregateid AND d.parked_at IS NULL AND d.position < e.position)'
			' ON CONFLICT DO NOTHING', outbox)
			USING c.outbox, c.consumer, fresh;
	END IF;
	UPDATE derive_state.consumer x
		SET token = c.token, holder = pg_backend_pid(), lease_until = clock_timestamp() + lease,
			fetched = greatest(x.position, fresh[cardinality(fresh)])
		WHERE x.outbox = c.outbox AND x.consumer = c.consumer;
	RETURN QUERY EXECUTE format('SELECT e.position, e.id, e.aggregatetype, e.aggregateid, e.type, e.payload,'
		' e.headers, e.created_at, $5 FROM %s e WHERE e.position = ANY ($3) OR (e.position = ANY ($4)'
		' AND NOT EXISTS (SELECT FROM derive_state.deferred d WHERE d.outbox = $1 AND d.consumer = $2'
		' AND d.position = e.position)) ORDER BY e.position', outbox)
		USING c.outbox, c.consumer, again, fresh, c.token;
END $$;
COMMENT ON FUNCTION derive.fetch(regclass, text, integer, interval, interval) IS
	'gives the next events of a consumer to this session for the time of the lease; none while another session holds it; wait: for how long to wait for some; events come again until they are acknowledged';

CREATE FUNCTION derive_state.held_consumer(outbox regclass, consumer text, token bigint)
	RETURNS derive_state.consumer
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c derive_state.consumer := derive_state.consumer_of(outbox, consumer, true);
BEGIN
	IF c.token IS DISTINCT FROM token THEN
		RAISE EXCEPTION 'consumer "%" of outbox "%" has been taken over', consumer, outbox
			USING ERRCODE = '55D01', DETAIL = format('The token is %s, not %s.', c.token, token),
				HINT = 'Fetch again; the events come to whoever holds the consumer.';
	END IF;
	RETURN c;
END $$;
COMMENT ON FUNCTION derive_state.held_consumer(regclass, text, bigint) IS
	'a consumer''s row, if the token is its last one';

CREATE FUNCTION derive.ack(outbox regclass, consumer text, "position" bigint, token bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.held_consumer(outbox, consumer, token);
BEGIN
	DELETE FROM derive_state.deferred d
		WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.delivered = c.token
			AND d.position <= ack.position;
	UPDATE derive_state.consumer x
		SET position = greatest(x.position, least(ack.position, x.fetched)),
			lease_until = CASE WHEN greatest(x.position, ack.position) < x.fetched OR EXISTS (
					SELECT FROM derive_state.deferred d WHERE d.outbox = c.outbox AND d.consumer = c.consumer
						AND d.delivered = c.token) THEN x.lease_until END
		WHERE x.outbox = c.outbox AND x.consumer = c.consumer;
END $$;
COMMENT ON FUNCTION derive.ack(regclass, text, bigint, bigint) IS
	'acknowledges what was fetched up to a position; SQLSTATE 55D01 and no effect if the consumer has been taken over';

CREATE FUNCTION derive.fail(outbox regclass, consumer text, "position" bigint, token bigint, error text)
	RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.held_consumer(outbox, consumer, token);
	event_key text;
	found_position bigint;
	tries integer;
BEGIN
	EXECUTE format('SELECT e.position, e.aggregateid FROM %s e WHERE e.position = $1', outbox)
		INTO found_position, event_key USING fail.position;
	IF found_position IS NULL OR (found_position > c.fetched) OR (found_position <= c.position AND NOT EXISTS (
		SELECT FROM derive_state.deferred d WHERE d.outbox = c.outbox AND d.consumer = c.consumer
			AND d.position = fail.position AND d.delivered = c.token))
	THEN
		RAISE EXCEPTION 'event % of outbox "%" was not fetched or is acknowledged', fail.position, outbox
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO derive_state.deferred AS d (outbox, consumer, position, key, attempts, error, delivered)
		VALUES (c.outbox, c.consumer, found_position, event_key, 1, fail.error, NULL)
		ON CONFLICT (outbox, consumer, position) DO UPDATE
			SET attempts = d.attempts + 1, error = EXCLUDED.error, delivered = NULL
		RETURNING attempts INTO tries;
	UPDATE derive_state.deferred d
		SET retry_at = clock_timestamp() + c.backoff * power(2, least(tries, 20) - 1),
			parked_at = CASE WHEN tries >= c.max_attempts THEN clock_timestamp() END
		WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.position = found_position;

	-- What was fetched behind it with the same key comes again after it.
	IF event_key IS NOT NULL AND tries < c.max_attempts THEN
		EXECUTE format('INSERT INTO derive_state.deferred (outbox, consumer, position, key)'
			' SELECT $1, $2, e.position, e.aggregateid FROM %s e'
			' WHERE e.position > greatest($3, $4) AND e.position <= $5 AND e.aggregateid = $6'
			' ON CONFLICT DO NOTHING', outbox)
			USING c.outbox, c.consumer, found_position, c.position, c.fetched, event_key;
	END IF;
END $$;
COMMENT ON FUNCTION derive.fail(regclass, text, bigint, bigint, text) IS
	'says that an event could not be handled: it comes again after a while, in front of others of its key, and is parked after the last attempt; SQLSTATE 55D01 if the consumer has been taken over';

CREATE FUNCTION derive.replay(outbox regclass, consumer text, "position" bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.consumer_of(outbox, consumer, true);
BEGIN
	UPDATE derive_state.deferred d SET parked_at = NULL, attempts = 0, retry_at = clock_timestamp()
		WHERE d.outbox = c.outbox AND d.consumer = c.consumer AND d.position = replay.position
			AND d.parked_at IS NOT NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'event % of outbox "%" is not parked for consumer "%"', replay.position, outbox, consumer
			USING ERRCODE = 'undefined_object', HINT = 'Parked events are listed in derive.parked.';
	END IF;
END $$;
COMMENT ON FUNCTION derive.replay(regclass, text, bigint) IS 'lets a parked event be fetched again';

CREATE FUNCTION derive.seek(outbox regclass, consumer text, start text) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	c derive_state.consumer := derive_state.consumer_of(outbox, consumer, true);
	first bigint := derive_state.start_position(outbox, start);
BEGIN
	DELETE FROM derive_state.deferred d WHERE d.outbox = c.outbox AND d.consumer = c.consumer;
	UPDATE derive_state.consumer x
		SET position = first, fetched = first, holder = NULL, lease_until = NULL, token = x.token + 1
		WHERE x.outbox = c.outbox AND x.consumer = c.consumer;
END $$;
COMMENT ON FUNCTION derive.seek(regclass, text, text) IS
	'moves a consumer to earliest, latest or a position, takes it from whoever holds it, and forgets what failed';

CREATE VIEW derive.outboxes AS
SELECT o.outbox, o.source, o.topic, o.key, o.payload, o.filter, o.retain,
       COALESCE(p.position, 0::bigint) AS position, o.created_at
FROM derive_state.outbox o
     LEFT JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) o.id
WHERE pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.outboxes IS 'the outboxes that you may read, and the position of each one''s last event';

CREATE VIEW derive.consumers AS
SELECT o.outbox, c.consumer, c.position,
       COALESCE(p.position, 0::bigint) OPERATOR(pg_catalog.-) c.position AS lag,
       c.lease_until, c.token,
       (SELECT pg_catalog.count(*) FROM derive_state.deferred d
         WHERE d.outbox OPERATOR(pg_catalog.=) c.outbox
               AND d.consumer OPERATOR(pg_catalog.=) c.consumer AND d.attempts OPERATOR(pg_catalog.>) 0) AS failed
FROM derive_state.consumer c
     JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) c.outbox
     LEFT JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) c.outbox
WHERE pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.consumers IS 'the consumers of outboxes that you may read: what they have acknowledged, how many events are behind that, who waits';

CREATE VIEW derive.parked AS
SELECT o.outbox, d.consumer, d.position, d.key, d.attempts, d.error, d.parked_at
FROM derive_state.deferred d
     JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) d.outbox
WHERE d.parked_at IS NOT NULL AND pg_catalog.has_table_privilege(o.outbox, 'SELECT');
COMMENT ON VIEW derive.parked IS 'events that failed too often; derive.replay lets them be fetched again';

REVOKE ALL ON TABLE derive.outboxes, derive.consumers, derive.parked FROM PUBLIC;
GRANT SELECT ON TABLE derive.outboxes, derive.consumers, derive.parked TO PUBLIC;

-- The rest checks its callers' rights itself, or tells nothing.
REVOKE ALL ON FUNCTION derive_state.reject_outbox_write(), derive_state.start_position(regclass, text),
	derive_state.outbox_of(regclass), derive_state.consumer_of(regclass, text, boolean),
	derive_state.held_consumer(regclass, text, bigint),
	derive_state.due_positions(derive_state.consumer), derive_state.tick_number(),
	derive_state.wait_tick(bigint, timestamptz), derive_state.caller() FROM PUBLIC;
