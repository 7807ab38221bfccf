-- q19, the ten highest bids of each auction
SELECT auction, bidder, price, channel, url, date_time, extra, rank
FROM (
	SELECT *, row_number() OVER (PARTITION BY auction
		ORDER BY price DESC, date_time, bidder, channel, url, extra) AS rank
	FROM bid) q
WHERE rank <= 10
