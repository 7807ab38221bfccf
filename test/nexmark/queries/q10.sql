-- q10, log with the date's parts
SELECT auction, bidder, price, date_time, extra, date_time::date AS day,
	extract(hour FROM date_time) AS hour, extract(minute FROM date_time) AS minute
FROM bid
