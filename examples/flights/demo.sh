#!/usr/bin/env bash
# demo.sh: real flights through views that keep themselves.  `make demo` calls it.
#
# It installs what is missing (Debian, as root), builds, starts a private temporary server, loads
# the first half of the flights, creates four views and lets `pg_derive watch` show them while
# eight sessions replay the other half: new flights, corrected delays, cancellations.  A second
# terminal can tail the outbox of the flights.  In the end every view is compared with its query,
# and the outbox with the table.  Ctrl-C at any time leaves nothing behind.
#
#   DEMO_SECONDS=60 make demo       a longer replay (default: 20)
set -euo pipefail
cd "$(dirname "$0")/../.."

DEMO_SECONDS=${DEMO_SECONDS:-20}
PG_CONFIG=${PG_CONFIG:-pg_config}
here=examples/flights
sessions=()         # process ids of the replaying psql sessions

# shellcheck source=scripts/private-server.sh
source scripts/private-server.sh

say() { printf '\n== %s\n' "$*"; }

# Ends the sessions and removes the server, whatever happened before.
clean_up()
{
    trap '' INT TERM HUP
    if [[ ${#sessions[@]} -gt 0 ]]; then
        kill "${sessions[@]}" 2>/dev/null || :
    fi
    server_remove
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

load()
{
    PGOPTIONS='-c client_min_messages=warning' sql -f $here/schema.sql -f $here/outbox.sql >/dev/null
    sql -c "\copy airports FROM '$here/airports.csv' CSV HEADER" \
        -c "\copy timetable (scheduled, origin, destination, distance_mi, delay_min) FROM '$here/flights.csv' CSV HEADER" \
        -f $here/first-half.sql
}

# Starts the sessions that replay the second half, each a psql of its own.
start_replay()
{
    local call
    for call in "replay_departures(0, 4, $DEMO_SECONDS)" "replay_departures(1, 4, $DEMO_SECONDS)" \
        "replay_departures(2, 4, $DEMO_SECONDS)" "replay_departures(3, 4, $DEMO_SECONDS)" \
        "replay_corrections($DEMO_SECONDS)" "replay_corrections($DEMO_SECONDS)" \
        "replay_corrections($DEMO_SECONDS)" "replay_cancellations($DEMO_SECONDS)"; do
        sql -c "CALL $call" >>"$SERVER_DIR/replay.log" 2>&1 &
        sessions+=($!)
    done
}

# Waits for the sessions; one that failed fails the demo.
finish_replay()
{
    local pid
    for pid in "${sessions[@]}"; do
        wait "$pid" || {
            cat "$SERVER_DIR/replay.log" >&2
            return 1
        }
    done
    sessions=()
}

# On a terminal one table, redrawn; elsewhere a few plain lines.
watch_replay()
{
    if [[ -t 1 ]]; then
        pg_derive watch --interval=0.5 --count=$((DEMO_SECONDS * 2))
    else
        pg_derive watch --interval=4 --count=$((DEMO_SECONDS / 4 + 1))
    fi
}

say "What is needed"
scripts/install-needs.sh build server
echo "all there: $("$PG_CONFIG" --version)"

say "Build"
make -s -j2 PG_CONFIG="$PG_CONFIG" >/dev/null

say "A private server"
server_create pg_derive_demo
server_start <<<"log_min_messages = warning"
createdb flights
export PGDATABASE=flights
sql -c 'CREATE EXTENSION pg_derive'
echo "in $SERVER_DIR, on a socket there"

say "3,376 airports and the first 10,000 of 20,000 flights, and an outbox of what happens to them"
load
echo "a second terminal can follow:"
echo "  echo 'SELECT * FROM next_events() \\watch 0.1' | psql -XqAt 'host=$PGHOST port=$PGPORT user=$PGUSER dbname=flights'"

say "Four views"
sed -n '/^SELECT/,$p' $here/views.sql
sql -f $here/views.sql >/dev/null
wait_for_views 60

say "The other 10,000 flights depart, arrive late, are cancelled ($DEMO_SECONDS s)"
start_replay
watch_replay
finish_replay
sql -f $here/summary.sql

say "Does each view equal its query?"
pg_derive wait --timeout=60 >/dev/null
pg_derive verify

say "Is the outbox complete?"
sql -f $here/outbox-check.sql

say "The worst states to fly to, from the view over a view"
psql -X -q -P pager=off -f $here/worst-states.sql

say "Stop"
server_stop
server_remove
echo "nothing is left behind"
