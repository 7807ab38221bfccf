-- q11, user sessions: bids of a bidder without a gap of 10 seconds
SELECT bidder, count(*) AS bid_count, min(date_time) AS start_time, max(date_time) AS end_time
FROM (
	SELECT bidder, date_time,
		sum(is_start) OVER (PARTITION BY bidder ORDER BY date_time) AS session
	FROM (
		SELECT bidder, date_time,
			CASE WHEN date_time <= lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
				+ interval '10 seconds' THEN 0 ELSE 1 END AS is_start
		FROM bid) s) t
GROUP BY bidder, session
