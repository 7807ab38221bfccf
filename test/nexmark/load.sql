-- load.sql: tables, functions and events 0 to :events - 1.  psql -v events=5000 [-v seed=1] -f load.sql

\if :{?seed}
\else
\set seed 1
\endif
\set QUIET on
\ir schema.sql
\ir generator.sql
INSERT INTO side_input SELECT i, 'value ' || i FROM generate_series(0, 999) i;
SELECT add_events(0, :events - 1) \g /dev/null
VACUUM ANALYZE person, auction, bid, side_input;
RESET search_path;
