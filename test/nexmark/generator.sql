-- generator.sql: Nexmark's events as functions of their number, and the streams of changes.
--
-- As in the benchmark's generator, of 50 events 1 is a person, 3 are auctions and 46 are bids; half
-- of the bids go to a hot auction, 3 of 4 come from a hot bidder, 3 of 4 auctions from a hot seller.
-- Ten events a second, so that a window of 10 seconds has about 90 bids.  A value is a hash of the
-- seed, the event's number and a stream number.  psql variable: seed.

SET search_path = nexmark;

-- A random integer between low and high, by event and stream.
CREATE FUNCTION rnd(event bigint, stream bigint, low bigint, high bigint) RETURNS bigint
	IMMUTABLE PARALLEL SAFE
	RETURN low + (hashint8extended(event, :seed * 1000 + stream) & 9223372036854775807) % (high - low + 1);

-- Event time.
CREATE FUNCTION event_time(event bigint) RETURNS timestamp IMMUTABLE
	RETURN timestamp '2024-03-01 23:50:00' + event * interval '100 milliseconds';

-- The last person and the last auction before an event; their ids start at 1000.
CREATE FUNCTION last_person(event bigint) RETURNS bigint IMMUTABLE
	RETURN 1000 + event / 50;
CREATE FUNCTION last_auction(event bigint) RETURNS bigint IMMUTABLE
	RETURN 1000 + event / 50 * 3 + least(greatest(event % 50 - 1, 0), 2);

CREATE FUNCTION filler(event bigint, stream bigint) RETURNS text
	RETURN left(md5(event::text) || md5(stream::text || event), rnd(event, stream, 5, 60)::integer);

CREATE FUNCTION make_person(first bigint, last bigint) RETURNS SETOF person STABLE
BEGIN ATOMIC
	SELECT last_person(e),
		(ARRAY['Peter', 'Paul', 'Luke', 'John', 'Saul', 'Vicky', 'Kate', 'Julie', 'Sarah', 'Deiter', 'Walter'])[rnd(e, 1, 1, 11)]
			|| ' ' || (ARRAY['Shultz', 'Abrams', 'Spencer', 'White', 'Bartels', 'Walton', 'Smith', 'Jones', 'Noris'])[rnd(e, 2, 1, 9)],
		left(md5(e::text), 7) || '@' || left(md5('at' || e), 5) || '.com',
		rnd(e, 3, 1000, 9999) || ' ' || rnd(e, 4, 1000, 9999) || ' ' || rnd(e, 5, 1000, 9999) || ' ' || rnd(e, 6, 1000, 9999),
		(ARRAY['Phoenix', 'Los Angeles', 'San Francisco', 'Boise', 'Portland', 'Bend', 'Redmond', 'Seattle', 'Kent', 'Cheyenne'])[rnd(e, 7, 1, 10)],
		(ARRAY['AZ', 'CA', 'ID', 'OR', 'WA', 'WY'])[rnd(e, 8, 1, 6)],
		event_time(e), filler(e, 9)
	FROM generate_series(first, last) e
	WHERE e % 50 = 0;
END;

CREATE FUNCTION make_auction(first bigint, last bigint) RETURNS SETOF auction STABLE
BEGIN ATOMIC
	SELECT last_auction(e), 'item ' || left(md5(e::text), 8), filler(e, 20), rnd(e, 21, 1, 1000),
		1000 + rnd(e, 22, 1, 1000), event_time(e), event_time(e) + rnd(e, 23, 1, 600) * interval '1 second',
		CASE WHEN rnd(e, 24, 1, 4) > 1 THEN 1000 + (last_person(e) - 1000) / 4 * 4
			ELSE rnd(e, 25, greatest(1000, last_person(e) - 100), last_person(e)) END,
		rnd(e, 26, 10, 14), filler(e, 27)
	FROM generate_series(first, last) e
	WHERE e % 50 BETWEEN 1 AND 3;
END;

CREATE FUNCTION make_bid(first bigint, last bigint) RETURNS SETOF bid STABLE
BEGIN ATOMIC
	SELECT CASE WHEN rnd(e, 40, 1, 2) = 1 THEN 1000 + (last_auction(e) - 1000) / 10 * 10
			ELSE rnd(e, 41, greatest(1000, last_auction(e) - 100), last_auction(e)) END,
		CASE WHEN rnd(e, 42, 1, 4) > 1 THEN 1000 + (last_person(e) - 1000) / 10 * 10 + 1
			ELSE rnd(e, 43, greatest(1000, last_person(e) - 100), last_person(e)) END,
		round(100 * exp(rnd(e, 44, 0, 1382) / 100.0::float8))::bigint,
		c.channel,
		'https://www.nexmark.com/' || left(md5(e::text), 4) || '/' || left(md5('b' || e), 5) || '/item.htm?query=1'
			|| CASE WHEN c.channel LIKE 'channel-%' AND rnd(e, 45, 1, 10) > 1
				THEN '&channel_id=' || rnd(e, 46, 1, 100000) ELSE '' END,
		event_time(e), filler(e, 47)
	FROM generate_series(first, last) e
		CROSS JOIN LATERAL (SELECT CASE WHEN rnd(e, 48, 1, 2) = 1
			THEN (ARRAY['Google', 'Facebook', 'Baidu', 'Apple'])[rnd(e, 49, 1, 4)]
			ELSE 'channel-' || rnd(e, 50, 0, 9999) END AS channel) c
	WHERE e % 50 > 3;
END;

-- All events from first to last, in one transaction.
CREATE FUNCTION add_events(first bigint, last bigint) RETURNS void
BEGIN ATOMIC
	INSERT INTO person SELECT * FROM make_person(first, last);
	INSERT INTO auction SELECT * FROM make_auction(first, last);
	INSERT INTO bid SELECT * FROM make_bid(first, last);
END;

-- What streams do not have: bids withdrawn, raised and copied, auctions extended or moved to another
-- category, people who move; to some of the rows whose events are first to last; batch varies which.
CREATE FUNCTION correct_events(batch bigint, first bigint, last bigint) RETURNS void
BEGIN ATOMIC
	DELETE FROM bid
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (price + batch) % 7 = 0;
	UPDATE bid SET price = price * 2, channel = 'Google'
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (price + batch) % 7 = 1;
	INSERT INTO bid SELECT * FROM bid
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (price + batch) % 7 = 2;
	UPDATE auction SET expires = expires + interval '1 minute', category = 10 + (category - 9) % 5
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (id + batch) % 3 = 0;
	UPDATE person SET state = 'OR', city = 'Bend'
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (id + batch) % 2 = 0;
	DELETE FROM auction
		WHERE date_time BETWEEN event_time(first) AND event_time(last) AND (id + batch) % 13 = 0;
	UPDATE side_input SET value = value || '.' WHERE key % 100 = batch % 100;
END;
