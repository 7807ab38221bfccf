-- q8, people who were new and opened an auction in the same window of 10 seconds
SELECT p.id, p.name, p.window_start
FROM (
	SELECT id, name, date_bin('10 seconds', date_time, timestamp '2000-01-01') AS window_start
	FROM person
	GROUP BY 1, 2, 3) p
	JOIN (
		SELECT seller, date_bin('10 seconds', date_time, timestamp '2000-01-01') AS window_start
		FROM auction
		GROUP BY 1, 2) a
		ON p.id = a.seller AND p.window_start = a.window_start
