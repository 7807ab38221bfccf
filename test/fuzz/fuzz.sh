#!/usr/bin/env bash
# fuzz.sh: makes a private server with this tree's pg_derive and lets fuzz.pl loose on it.
# "make fuzz" calls it; README.md beside it says which parameters there are.
set -euo pipefail
cd "$(dirname "$0")/../.."

source scripts/private-server.sh

if [[ $(id -u) == 0 ]]; then
    scripts/install-needs.sh build server fuzz
fi
make -s

clean_up()
{
    trap '' INT TERM HUP
    server_remove
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

server_create pg_derive-fuzz
server_start <test/server.conf
sql -c 'CREATE EXTENSION pg_derive'

arguments=()
[[ -z ${SECONDS_TO_RUN:-} ]] || arguments+=(--seconds "$SECONDS_TO_RUN")
[[ -z ${SEED:-} ]] || arguments+=(--seed "$SEED")
[[ -z ${BATCH:-} ]] || arguments+=(--batch "$BATCH")
[[ -z ${OUT:-} ]] || arguments+=(--out "$OUT")
status=0
perl test/fuzz/fuzz.pl "${arguments[@]}" "$@" || status=$?
if ((status != 0)) && [[ -n ${OUT:-} ]]; then
    cp "$SERVER_DIR/server.log" "$OUT/"
fi
exit $status
