#!/usr/bin/env bash
# Runs the cases that `make test` leaves out and all of healing, one after another, and writes what came of it into
# docs/testing.md, between the two lines that mark the place.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PAGE=docs/testing.md
BEGIN='<!-- long: written by make test-long -->'
END='<!-- long: end -->'

# binaries: the test programs, built if need be.
binaries() { cargo test --no-run 2>&1 | tee /dev/stderr | sed -nE 's/^ *Executable .*\((.*)\)$/\1/p'; }

# cases PROGRAM: what is ignored, and the other ways in which a replacement fails, so that all of them stand in one table.
cases() {
    {
        "$1" --list --ignored --format terse
        "$1" --list --format terse heal::
    } | sed -n 's/: test$//p' | sort -u
}

revision() {
    local changed=''
    if ! git diff --quiet HEAD -- . ":!$PAGE"; then changed=' with local changes'; fi
    printf '%s%s' "$(git rev-parse --short=12 HEAD)" "$changed"
}

# replace FILE: puts its text between the marks of the page.
replace() {
    local new=$PAGE.new
    awk -v begin="$BEGIN" -v end="$END" -v file="$1" '
        $0 == begin {print; while ((getline line < file) > 0) print line; print ""; skipping = 1}
        $0 == end {skipping = 0}
        !skipping' "$PAGE" >"$new"
    grep -qxF -- "$END" "$new"
    mv "$new" "$PAGE"
}

results=$(mktemp)
trap 'rm -f "$results"' EXIT
failed=0
{
    printf '\nCommit %s, %s, %s cores.\n\n' "$(revision)" "$(date -u +%F)" "$(nproc)"
    printf '| case | result | seconds |\n| --- | --- | --- |\n'
} >"$results"
programs=$(binaries)
mkdir -p target/long
for program in $programs; do
    for case in $(cases "$program"); do
        started=$SECONDS
        log=target/long/${case//::/.}.log
        echo "$case (log: $log)"
        result=passed
        "$program" --exact "$case" --include-ignored --nocapture >"$log" 2>&1 </dev/null || {
            result=failed
            failed=1
            tail -n 30 "$log"
        }
        # Cases in one are counted by their own line: `17 points`.
        details=$(sed -nE 's/^long: (.*)$/\1/p' "$log" | paste -sd';')
        printf '| %s | %s%s | %s |\n' "$case" "$result" "${details:+, $details}" "$((SECONDS - started))" >>"$results"
        # After each of them: it takes hours, and may be ended.
        replace "$results"
        echo "  $result after $((SECONDS - started)) s"
    done
done
exit "$failed"
