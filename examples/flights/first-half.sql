-- first-half.sql: the flights that are there before the views are.

INSERT INTO flights (scheduled, origin, destination, distance_mi, delay_min)
SELECT scheduled, origin, destination, distance_mi, delay_min
  FROM timetable
 WHERE seq <= (SELECT count(*) / 2 FROM timetable)
 ORDER BY seq;
ANALYZE;
