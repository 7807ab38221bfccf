-- schema.sql: the tables of the demo, and what its sessions do to them.

CREATE TABLE airports (
	iata text PRIMARY KEY,
	name text NOT NULL,
	city text,
	state text,
	country text NOT NULL,
	latitude double precision NOT NULL,
	longitude double precision NOT NULL
);

-- Some flights equal each other in every column that the data has: they need a key of ours.
CREATE TABLE flights (
	flight_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	scheduled timestamp NOT NULL,
	origin text NOT NULL REFERENCES airports,
	destination text NOT NULL REFERENCES airports,
	distance_mi integer NOT NULL,
	delay_min integer
);
CREATE INDEX ON flights (destination);

-- All flights in the order of the file; the sessions take from its second half.
CREATE TABLE timetable (
	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	scheduled timestamp NOT NULL,
	origin text NOT NULL,
	destination text NOT NULL,
	distance_mi integer NOT NULL,
	delay_min integer
);

-- Sleeps until a share (0 to 1) of the replay's time is over.
CREATE FUNCTION pace(started timestamptz, seconds double precision, share double precision)
RETURNS void LANGUAGE sql AS $$
	SELECT pg_sleep(greatest(0, extract(epoch FROM
		started + make_interval(secs => seconds * share) - clock_timestamp())));
$$;

-- Inserts every parts-th flight of the second half, a commit each, spread over the time.
CREATE PROCEDURE replay_departures(part integer, parts integer, seconds double precision)
LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	first bigint := (SELECT count(*) / 2 + 1 FROM timetable);
	last bigint := (SELECT count(*) FROM timetable);
BEGIN
	FOR i IN first + part .. last BY parts LOOP
		INSERT INTO flights (scheduled, origin, destination, distance_mi, delay_min)
		SELECT scheduled, origin, destination, distance_mi, delay_min
		  FROM timetable WHERE seq = i;
		COMMIT;
		PERFORM pace(started, seconds, (i - first + 1.0) / (last - first + 1));
		COMMIT;
	END LOOP;
END;
$$;

-- Corrects the delay of flights that departed lately, 100 commits a second.
CREATE PROCEDURE replay_corrections(seconds double precision)
LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	steps integer := seconds * 100;
BEGIN
	FOR i IN 1 .. steps LOOP
		UPDATE flights SET delay_min = delay_min + (random() * 30)::integer - 10
		 WHERE flight_id = (SELECT max(flight_id) FROM flights)
		                   - (random() * 3000)::integer;
		COMMIT;
		PERFORM pace(started, seconds, i::double precision / steps);
		COMMIT;
	END LOOP;
END;
$$;

-- Cancels flights of the first half, 50 commits a second.
CREATE PROCEDURE replay_cancellations(seconds double precision)
LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	steps integer := seconds * 50;
BEGIN
	FOR i IN 1 .. steps LOOP
		DELETE FROM flights
		 WHERE flight_id = 1 + (random() * (SELECT count(*) / 2 - 1 FROM timetable))::bigint;
		COMMIT;
		PERFORM pace(started, seconds, i::double precision / steps);
		COMMIT;
	END LOOP;
END;
$$;
