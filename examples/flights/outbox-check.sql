-- outbox-check.sql: whoever applies the events of the outbox, in their order, has the table.

WITH last AS (
	SELECT DISTINCT ON (aggregateid) aggregateid, type, payload
	FROM flight_events ORDER BY aggregateid, position DESC)
SELECT format('%s events, positions 1 to %s; flights that do not follow from them: %s',
	(SELECT count(*) FROM flight_events), (SELECT max(position) FROM flight_events), count(*))
FROM flights f FULL JOIN (SELECT * FROM last WHERE type <> 'delete') l ON l.aggregateid = f.flight_id::text
WHERE to_jsonb(f) IS DISTINCT FROM l.payload;

SELECT 1 / (count(*) = max(position))::int FROM flight_events \g /dev/null
WITH last AS (
	SELECT DISTINCT ON (aggregateid) aggregateid, type, payload
	FROM flight_events ORDER BY aggregateid, position DESC)
SELECT 1 / (count(*) = 0)::int
FROM flights f FULL JOIN (SELECT * FROM last WHERE type <> 'delete') l ON l.aggregateid = f.flight_id::text
WHERE to_jsonb(f) IS DISTINCT FROM l.payload \g /dev/null
