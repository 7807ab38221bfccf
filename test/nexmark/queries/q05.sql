-- q5, hot items: windows of 10 seconds that begin every 2 seconds; a bid is in five of them
WITH counts AS (
	SELECT b.auction, w.window_start, count(*) AS num
	FROM bid b
		CROSS JOIN LATERAL generate_series(
			date_bin('2 seconds', b.date_time, timestamp '2000-01-01') - interval '8 seconds',
			date_bin('2 seconds', b.date_time, timestamp '2000-01-01'),
			interval '2 seconds') AS w (window_start)
	GROUP BY b.auction, w.window_start)
SELECT c.auction, c.num, c.window_start
FROM counts c
	JOIN (SELECT max(num) AS max_num, window_start FROM counts GROUP BY window_start) m
		ON m.window_start = c.window_start
WHERE c.num >= m.max_num
