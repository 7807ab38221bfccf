-- worst-states.sql: a look at the result, through the view over a view.

\pset footer off
SELECT state, airports, flights,
       round(100.0 * late / flights) AS "late %",
       round(delay_sum / flights, 1) AS "mean delay, min",
       delay_max AS "worst, min"
  FROM state_delays
 WHERE flights >= 100
 ORDER BY delay_sum / flights DESC
 LIMIT 5;
