-- q7, highest bid of each window of 10 seconds
SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
FROM bid b
	JOIN (
		SELECT max(price) AS max_price, date_bin('10 seconds', date_time, timestamp '2000-01-01') AS window_start
		FROM bid
		GROUP BY 2) m
		ON b.price = m.max_price
WHERE b.date_time >= m.window_start AND b.date_time < m.window_start + interval '10 seconds'
