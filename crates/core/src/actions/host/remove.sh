# Removes a user's places, each only if it is still the very object that was looked at.
# Arguments: user, then for each place: kind, device, inode, path.
# A folder is renamed first, so that a removal that was cut short is known as one.
set -u
export LC_ALL=C
user=$1
shift
fail() {
  printf '%s\n' "$1" >&2
  exit "$2"
}
same() { [ "$(stat -c '%d %i' -- "$1")" = "$2 $3" ] || fail "$1 is not what it was" 4; }
# A bind mount of the same file system looks like any folder to rm. Whoever cannot tell whether
# there is one removes nothing.
unmounted() {
  P=$1 awk '$5 == ENVIRON["P"] || index($5, ENVIRON["P"] "/") == 1 { found = 1 } END { exit (found ? 10 : 0) }' \
    /proc/self/mountinfo
  case $? in
  0) ;;
  10) fail "something is mounted in $1" 5 ;;
  *) fail "cannot tell what is mounted in $1" 3 ;;
  esac
}
while [ $# -gt 0 ]; do
  kind=$1 dev=$2 ino=$3 path=$4
  shift 4
  case $kind in
  folder)
    tomb=${path%/*}/.$user.opsweek-removing
    if [ -d "$path" ] && [ ! -L "$path" ]; then
      same "$path" "$dev" "$ino"
      [ ! -e "$tomb" ] || fail "$tomb is in the way" 4
      unmounted "$path"
      mv --no-target-directory -- "$path" "$tomb" || exit 3
    fi
    if [ -d "$tomb" ] && [ ! -L "$tomb" ]; then
      same "$tomb" "$dev" "$ino"
      unmounted "$tomb"
      rm --recursive --force --one-file-system --preserve-root=all -- "$tomb" || exit 3
    fi
    ;;
  *)
    [ -e "$path" ] || [ -L "$path" ] || continue
    same "$path" "$dev" "$ino"
    # A crontab too: crontab(1) knows nobody whose account is gone.
    rm --force -- "$path" || exit 3
    ;;
  esac
done
