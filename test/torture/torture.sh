#!/usr/bin/env bash
# torture.sh: faults of all kinds, at random, for as long as asked; "make torture" calls it.
#
#   make torture SECONDS=3600 SEED=7
#
# Runs tap/t/014_torture.pl as the tests do (test/run.sh: a private copy of the server) and prints
# how often each fault happened.  The seed, which is printed, fixes the faults, their order and the
# clients' statements, not how processes interleave.
set -euo pipefail
cd "$(dirname "$0")/../.."

export DERIVE_SECONDS=${SECONDS_TO_RUN:-600}
export DERIVE_SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
export DERIVE_TEST_TIMEOUT=$((DERIVE_SECONDS * 2 + 1800))
echo "SECONDS=$DERIVE_SECONDS SEED=$DERIVE_SEED"

out=$(mktemp)
disk=
finish()
{
    [[ -z $disk ]] || { umount "$disk" && rm -f "$disk.image" && rmdir "$disk"; }
    rm -f "$out"
}
trap finish EXIT

# A disk that can be filled up: the server's files lie there.
small_disk()
{
    local folder
    folder=$(mktemp -d "${TMPDIR:-/tmp}/pg_derive-disk.XXXXXX")
    truncate -s 8G "$folder.image"
    if mkfs.ext4 -q -F -m 0 "$folder.image" && mount -o loop "$folder.image" "$folder"; then
        chmod 1777 "$folder"
        disk=$folder
        export DERIVE_SMALL_DISK=$folder
    else
        rm -rf "$folder" "$folder.image"
        echo "no disk can be mounted here: full disks only by limits on processes"
    fi
}
[[ $(id -u) != 0 ]] || small_disk

status=0
PART=tap TEST=014_torture KEEP=1 test/run.sh >"$out" || status=$?
logs=$(sed -n 's/^logs: //p' "$out")
[[ -z $logs ]] || sed -n '/^# faults: /,/^[^#]/p' "$logs/log/tap/014_torture.log" | grep '^#' || true
cat "$out"
exit $status
