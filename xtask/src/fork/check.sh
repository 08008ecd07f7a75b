#!/usr/bin/env bash
# Whether forks work: both kinds are made out of a clean clone, built, tested, started and called, the stripped one by the very commands
# that the README has under "Make it yours". Only what is committed is checked.
#
# They share this repository's build folder, in which Cargo finds crates/ built, since a fork has them as they are. Members that differ
# under the same name (xtask, fuzz, starter) are built in another one.
#   cargo xtask check-forks [complete|stripped]
set -euo pipefail
# Those of a git hook that runs this: commits would go to this repository.
unset $(git rev-parse --local-env-vars)
root=$(git rev-parse --show-toplevel)
export CARGO_TARGET_DIR=$1
kind=${2:-both}
case $kind in both | complete | stripped) ;; *) echo "usage: cargo xtask check-forks [complete|stripped]" >&2 && exit 64 ;; esac
# Those of the command that runs this.
unset CARGO CARGO_MANIFEST_DIR RUSTUP_TOOLCHAIN
room=$CARGO_TARGET_DIR/forks
mkdir -p "$room"
cd "$room"

# Says how long a command took.
timed() {
  local what=$1 started=$SECONDS
  shift
  "$@"
  echo "-- $((SECONDS - started)) s  $what"
}

# Starts the program $1, whose variables begin with $2, posts the body $3 to each path, and stops it as an operator does.
call() {
  local program=$CARGO_TARGET_DIR/debug/$1 prefix=$2 body=$3 address=''
  shift 3
  rm -rf called && mkdir called
  env "${prefix}_HTTP__LISTEN=127.0.0.1:0" "${prefix}_ADMIN__LISTEN=127.0.0.1:0" \
    "${prefix}_STORE__URL=sqlite://called/store.db" "$program" > called/lines &
  local service=$!
  while kill -0 $service && [ -z "$address" ]; do
    sleep 0.1
    address=$(sed -n 's/.*"http":"\([^"]*\)".*"message":"ready".*/\1/p; s/.*"message":"ready".*"http":"\([^"]*\)".*/\1/p' called/lines)
  done
  for path; do
    curl --silent --show-error --fail-with-body --header 'content-type: application/json' --data "$body" "http://$address$path"
    echo "  from POST $path"
  done
  kill $service
  wait $service
}

# A clean clone, as a newcomer has one, of files that are as old as ours.
rm -rf template complete order-service again
git clone --quiet "$root" template
(cd template && git ls-files | while read -r file; do touch --reference "$root/$file" "$file"; done)

# Fails unless the fork of the name $2 in the folder $3 is refused for the reason $1.
refused() {
  if said=$(env -C template cargo xtask fork "$2" "$3" 2>&1) || ! grep -q "$1" <<< "$said"; then
    echo "fork $2 $3 was not refused: $said"
    return 1
  fi
}

# Fails with each package and version of the fork's lock file that is not in the template's.
same_versions() {
  packages() { grep -A1 '^name = ' "$1/Cargo.lock" | paste -sd ' ' | sed 's/ -- /\n/g' | grep -v "\"$2\"" | sort; }
  comm -23 <(packages "$1" "$2") <(packages template "$2") | (! grep .)
}

touch template/untracked
refused '1 changed or untracked files, untracked among them' fork-complete ../complete
rm template/untracked
refused 'is not an empty folder' fork-complete ..
refused 'is inside the repository' fork-complete ./complete
refused 'is inside the repository' fork-complete ./new/complete
refused 'is not in kebab-case' Fork ../complete

if [ "$kind" != stripped ]; then
  timed "fork" env -C template cargo xtask fork fork-complete ../complete
  env -C template cargo xtask fork fork-complete ../again
  diff -r --exclude=.git complete again && rm -r again
  same_versions complete fork-complete
  # Of its tests those that know the name: the others are this repository's, word for word. The one that is left out needs a gateway built.
  timed "build and tests of the complete fork" env -C complete cargo test --locked --all-features --lib --test files --test it -- \
    --skip settings_that_do_not_fit_together \
    alerts:: config:: contract:: dashboards:: deploy:: docs:: process::start reference::
  timed "its commands" env -C complete CARGO_TARGET_DIR="$room/xtask" cargo test --quiet --locked --package xtask
  FORK_COMPLETE_GRPC__LISTEN=127.0.0.1:0 call fork-complete FORK_COMPLETE '{"patientId":"p-1","message":"a reminder"}' \
    /api/v1/notifications/sms/async
fi

if [ "$kind" != complete ]; then
  steps=$(awk '/^## /{on = /Make it yours/} on && /^```/{block = /^```sh$/; next} on && block' template/README.md)
  grep -q 'cargo xtask fork order-service ../order-service --strip' <<< "$steps"
  timed "the README's steps, with the tests of the stripped fork" env -C template bash -euo pipefail -c "$steps"
  same_versions order-service order-service
  # In a folder of its own: Cargo takes members of one name for the same, and this one is not.
  env -C order-service CARGO_TARGET_DIR="$room/xtask" cargo clippy --quiet --locked --package xtask -- --deny warnings
  call order-service ORDER_SERVICE '{"text":"a few words"}' /api/v1/examples /api/v1/parcels
  env -C order-service cargo build --quiet --locked
  echo '// Edited.' >> order-service/src/app.rs
  timed "build after an edit in src/" env -C order-service cargo build --locked
fi
