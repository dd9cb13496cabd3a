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
while [ $# -gt 0 ]; do
  kind=$1 dev=$2 ino=$3 path=$4
  shift 4
  case $kind in
  folder)
    tomb=${path%/*}/.$user.opsweek-removing
    if [ -d "$path" ] && [ ! -L "$path" ]; then
      same "$path" "$dev" "$ino"
      [ ! -e "$tomb" ] || fail "$tomb is in the way" 4
      if P=$path awk '$5 == ENVIRON["P"] || index($5, ENVIRON["P"] "/") == 1 { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        fail "something is mounted in $path" 5
      fi
      mv --no-target-directory -- "$path" "$tomb" || exit 3
    fi
    if [ -d "$tomb" ] && [ ! -L "$tomb" ]; then
      same "$tomb" "$dev" "$ino"
      rm --recursive --force --one-file-system --preserve-root=all -- "$tomb" || exit 3
    fi
    ;;
  crontab)
    [ -e "$path" ] || continue
    same "$path" "$dev" "$ino"
    crontab -u "$user" -r || exit 3
    ;;
  *)
    [ -e "$path" ] || [ -L "$path" ] || continue
    same "$path" "$dev" "$ino"
    rm --force -- "$path" || exit 3
    ;;
  esac
done
