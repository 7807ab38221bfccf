-- views.sql: four views, each made once and then kept up by the server.

SELECT derive.create_view('airport_delays', $$
	SELECT a.state, a.iata, a.name,
	       count(*) AS flights,
	       count(*) FILTER (WHERE f.delay_min > 15) AS late,
	       sum(f.delay_min) AS delay_sum,
	       avg(f.delay_min) AS delay_avg,
	       max(f.delay_min) AS delay_max
	  FROM flights f
	  JOIN airports a ON a.iata = f.destination
	 GROUP BY a.state, a.iata, a.name
$$);

SELECT derive.create_view('state_delays', $$
	SELECT state,
	       count(*) AS airports,
	       sum(flights) AS flights,
	       sum(late) AS late,
	       sum(delay_sum) AS delay_sum,
	       max(delay_max) AS delay_max
	  FROM airport_delays
	 GROUP BY state
$$);

SELECT derive.create_view('busiest_routes', $$
	SELECT origin, destination,
	       count(*) AS flights,
	       avg(delay_min) AS delay_avg,
	       min(distance_mi) AS distance_mi
	  FROM flights
	 GROUP BY origin, destination
	HAVING count(*) >= 20
$$);

SELECT derive.create_view('hourly_traffic', $$
	SELECT date_trunc('hour', scheduled) AS hour,
	       count(*) AS departures,
	       sum(distance_mi) AS miles,
	       count(*) FILTER (WHERE delay_min > 60) AS very_late
	  FROM flights
	 GROUP BY date_trunc('hour', scheduled)
$$);
