#!/usr/bin/env bash
# mutants.sh: do the tests notice bugs that are put in on purpose?  "make mutants" calls it.
#
#   make mutants                    all of them
#   make mutants MUTANT=netting     those with this in their names
#   KEEP=1 make mutants             keeps the logs even if all were caught
#
# Each file *.mutant says what is wrong, in which source file which text becomes which other one, and
# the tests each of which must fail then.  First these tests must pass without any bug.  Nothing
# of this tree is touched: everything happens in copies of it.  The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../.."

MUTANT=${MUTANT:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/pg_derive-mutants.XXXXXX")
passed=0
failed=0

report()        # 0|1 text
{
    if [[ $1 == 0 ]]; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$2"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$2"
    fi
}

# Prints the values of one key of a mutant, a line each.
values()        # file key
{
    sed -n "s/^$2: //p" "$1"
}

# Makes $work/tree anew, with all objects, so that only what is changed must be compiled.
fresh_tree()
{
    rm -rf "$work/tree"
    cp -a "$work/clean" "$work/tree"
}

# Runs one test of a copy: "regress NAME", "tap NAME" or "fuzz".
run_test()      # tree test log
{
    local part name
    read -r part name <<<"$2"
    if [[ $part == fuzz ]]; then
        part=tap name=010_fuzz
    fi
    (
        cd "$1"
        PART=$part TEST=$name DERIVE_SEED=1 DERIVE_SECONDS=60 DERIVE_SHRINK=0 PG_TEST_TIMEOUT_DEFAULT=60 \
            DERIVE_TEST_TIMEOUT=600 timeout -k 10 660 test/run.sh
    ) >"$3" 2>&1
}

# The last line of a run that came to its end.
completed() { grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$1"; }

mutants=()
for file in test/mutants/*.mutant; do
    [[ -z $MUTANT || $(basename "$file") == *"$MUTANT"* ]] && mutants+=("$file")
done
if ((${#mutants[@]} == 0)); then
    echo "no mutant of that name"
    echo "0 passed, 1 failed"
    exit 1
fi

# What fails without a bug catches nothing.
mkdir "$work/clean"
tar -c --exclude=./.git . | tar -x -C "$work/clean"
make -s -C "$work/clean"
fresh_tree
while read -r test; do
    status=0
    run_test "$work/tree" "$test" "$work/${test// /_}.log" || status=1
    report $status "without a bug: $test"
done < <(for file in "${mutants[@]}"; do values "$file" test; done | sort -u)

for file in "${mutants[@]}"; do
    name=$(basename "$file" .mutant)
    fresh_tree
    log=$work/$name.log
    if ! perl test/mutants/apply.pl "$file" "$work/tree" 2>"$log"; then
        report 1 "$name does not apply: $(cat "$log")"
        continue
    fi
    if ! make -s -C "$work/tree" >"$log" 2>&1; then
        report 1 "$name cannot be compiled: $(grep -m 1 error "$log")"
        continue
    fi
    while read -r test; do
        log=$work/$name.${test// /_}.log
        if run_test "$work/tree" "$test" "$log"; then
            report 1 "$name: survived $test: $(values "$file" what)"
        elif completed "$log"; then
            report 0 "$name: caught by $test"
        else
            report 1 "$name: $test broke off"
        fi
    done < <(values "$file" test)
done

rm -rf "$work/tree" "$work/clean"
if ((failed == 0)) && [[ -z ${KEEP:-} ]]; then
    rm -rf "$work"
else
    echo "logs: $work"
fi
echo "$passed passed, $failed failed"
((failed == 0))
