-- outbox.sql: every change of a flight as an event, and a consumer that a second terminal can be.

SELECT derive.create_outbox('flight_events', 'flights');
SELECT derive.create_consumer('flight_events', 'tail');

-- Waits for events and hands them out, each once.
CREATE FUNCTION next_events(OUT event text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	e record;
BEGIN
	FOR e IN SELECT * FROM derive.fetch('flight_events', 'tail', wait => '10 s') LOOP
		event := format('%s  %s  flight %s  %s-%s  %s min', e.position, rpad(e.type, 6), e.aggregateid,
			e.payload->>'origin', e.payload->>'destination', coalesce(e.payload->>'delay_min', '?'));
		RETURN NEXT;
		PERFORM derive.ack('flight_events', 'tail', e.position, e.token);
	END LOOP;
END;
$$;
