-- load.sql: tables, data and refresh functions.  psql -v scale=0.01 [-v seed=1] -f load.sql

\if :{?seed}
\else
\set seed 1
\endif
\set QUIET on
\ir schema.sql
\ir generator.sql
\ir data.sql
\ir refresh.sql
RESET search_path;
