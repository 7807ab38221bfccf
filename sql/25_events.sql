/*
 * Outboxes and their consumers.  derive_state.outbox is written by the functions of schema derive,
 * in their callers' transactions; derive_state.outbox_position by the applier alone.
 *
 * A consumer is one row, and one more for each event that it could not handle yet: what has
 * failed and waits for its next try, what waits behind it because it has the same key, what is
 * parked.  All else that it has not seen is behind its position.
 *
 * A request belongs to the role that made it: no other role can see it, wait for it or be kept
 * waiting by it.  A processor is an outbox in derive_state and a consumer of it with the
 * processor's name.
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
	created_xid bigint      NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE derive_state.outbox IS 'one row per outbox';
COMMENT ON COLUMN derive_state.outbox.key IS 'expression; NULL: the source''s key, as it is when events are written';
COMMENT ON COLUMN derive_state.outbox.path IS 'search_path by which the expressions are read';
COMMENT ON COLUMN derive_state.outbox.created_xid IS 'transaction whose own changes are no events';

CREATE TABLE derive_state.outbox_position
(
	id        bigint  NOT NULL PRIMARY KEY,
	position  bigint  NOT NULL DEFAULT 0,
	first     bigint  NOT NULL DEFAULT 1,
	published pg_lsn,
	home      text    NOT NULL,
	gap       boolean NOT NULL DEFAULT false,
	failures  integer NOT NULL DEFAULT 0,
	retry_at  timestamptz,
	reason    text
) WITH (fillfactor = 50);
COMMENT ON TABLE derive_state.outbox_position IS 'how far each outbox is; written by the applier alone';
COMMENT ON COLUMN derive_state.outbox_position.position IS 'of the last event';
COMMENT ON COLUMN derive_state.outbox_position.first IS 'of the oldest event that retention has left';
COMMENT ON COLUMN derive_state.outbox_position.published IS 'commits that start before this are in it; NULL: as far as the pipeline';
COMMENT ON COLUMN derive_state.outbox_position.home IS 'server and database whose log these positions are of';
COMMENT ON COLUMN derive_state.outbox_position.gap IS 'changes were lost, which the next event says';
COMMENT ON COLUMN derive_state.outbox_position.retry_at IS 'events could not be written; not before this';

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
	holder       text,
	lease_until  timestamptz,
	token        bigint      NOT NULL DEFAULT 0,
	missed       bigint      NOT NULL DEFAULT 0,
	max_attempts integer     NOT NULL,
	backoff      interval    NOT NULL,
	PRIMARY KEY (outbox, consumer)
) WITH (fillfactor = 50);
COMMENT ON TABLE derive_state.consumer IS 'one row per consumer: what it has acknowledged, and who holds it until when';
COMMENT ON COLUMN derive_state.consumer.fetched IS 'of what comes after position, what the last fetch has given out';
COMMENT ON COLUMN derive_state.consumer.holder IS 'session that fetched last';
COMMENT ON COLUMN derive_state.consumer.missed IS 'events that retention removed before they were fetched';

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

CREATE TABLE derive_state.request
(
	role       regrole     NOT NULL,
	id         uuid        NOT NULL,
	params     jsonb,
	result     jsonb,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	done_at    timestamptz,
	PRIMARY KEY (role, id)
) WITH (fillfactor = 80);
COMMENT ON TABLE derive_state.request IS 'requests of the last days: written by derive.request and request_done, deleted by the applier after pg_derive.request_retention';

-- For the deletion of old ones.
CREATE INDEX request_created_at ON derive_state.request (created_at);

REVOKE ALL ON TABLE derive_state.request FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('derive_state.request', '');

CREATE TABLE derive_state.processor
(
	outbox    bigint       NOT NULL PRIMARY KEY REFERENCES derive_state.outbox (id) ON DELETE CASCADE,
	processor text         NOT NULL UNIQUE CHECK (processor OPERATOR(pg_catalog.<>) ''),
	handler   text         NOT NULL,
	paused    boolean      NOT NULL DEFAULT false
);
COMMENT ON TABLE derive_state.processor IS 'one row per processor; its owner is that of its outbox';
COMMENT ON COLUMN derive_state.processor.handler IS 'qualified name and argument types: pg_upgrade keeps no numbers of functions';

-- Not in derive_state.processor, so that the worker waits for no one who pauses a processor.
CREATE TABLE derive_state.processor_failure
(
	outbox   bigint      NOT NULL PRIMARY KEY REFERENCES derive_state.processor (outbox) ON DELETE CASCADE,
	failures integer     NOT NULL,
	retry_at timestamptz NOT NULL,
	reason   text        NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE derive_state.processor_failure IS 'processors that rest after an error that was not their handler''s; written by their worker alone';

REVOKE ALL ON TABLE derive_state.processor, derive_state.processor_failure FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('derive_state.processor', '');
