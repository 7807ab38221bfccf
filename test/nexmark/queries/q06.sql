-- q6, average selling price by seller, over the seller's last ten auctions
SELECT q.seller, q.id,
	avg(q.final) OVER (PARTITION BY q.seller ORDER BY q.date_time, q.id
		ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS avg_final
FROM (
	SELECT a.id, a.seller, b.price AS final, b.date_time,
		row_number() OVER (PARTITION BY a.id, a.seller ORDER BY b.price DESC, b.date_time) AS rank
	FROM auction a, bid b
	WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires) q
WHERE q.rank <= 1
