# Gives what extract.sh unpacked its name, unless anything has it.
# Arguments: the places relative to the root ...
set -u
export LC_ALL=C
fail() {
  printf '%s\n' "$1" >&2
  exit 4
}
cd / || exit 3
for place in "$@"; do
  stage=${place%/*}/.${place##*/}.opsweek-restoring
  [ ! -e "$place" ] && [ ! -L "$place" ] || fail "/$place is in the way"
  mv --no-target-directory --no-clobber -- "$stage" "$place" || exit 3
  [ ! -e "$stage" ] && [ ! -L "$stage" ] || fail "/$place is in the way"
done
