#!/usr/bin/env bash
# Runs the cases that `make test` leaves out and all of healing, one after another, and writes what came of it into
# docs/testing.md, between the two lines that mark the place. With names of cases it runs these alone and keeps the rows of
# all others, as long as the program is what they were run with.
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

# kept CASE...: what the page says, without the rows of these cases.
kept() {
    local page commit case
    page=$(awk -v begin="$BEGIN" -v end="$END" '$0 == end {inside = 0} inside; $0 == begin {inside = 1}' "$PAGE")
    commit=$(sed -nE 's/^Commit ([0-9a-f]+).*/\1/p' <<<"$page")
    git diff --quiet "$commit" -- src templates Cargo.toml Cargo.lock || {
        echo "the program has changed since $commit: run all cases" >&2
        return 1
    }
    for case in "$@"; do page=$(grep -vF -- "| $case |" <<<"$page"); done
    printf '\n%s\n' "$page"
}

results=$(mktemp)
trap 'rm -f "$results"' EXIT
failed=0
again=''
if [ $# -gt 0 ]; then
    kept "$@" >"$results"
    again=" (on $(revision))"
else
    {
        printf '\nCommit %s, %s, %s cores.\n\n' "$(revision)" "$(date -u +%F)" "$(nproc)"
        printf '| case | result | seconds |\n| --- | --- | --- |\n'
    } >"$results"
fi
programs=$(binaries)
mkdir -p target/long
for program in $programs; do
    for case in $(cases "$program"); do
        if [ $# -gt 0 ] && [[ " $* " != *" $case "* ]]; then continue; fi
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
        printf '| %s | %s%s%s | %s |\n' "$case" "$result" "${details:+, $details}" "$again" "$((SECONDS - started))" >>"$results"
        # After each of them: it takes hours, and may be ended.
        replace "$results"
        echo "  $result after $((SECONDS - started)) s"
    done
done
exit "$failed"
