# Reports what a user left on this host. Reads only.
# Arguments: user, folder of archived homes, folders of homes ..., "--", names of secrets ...
# Output: records of a tag and its fields, each ended by NUL; "end" comes last.
set -u -o pipefail
export LC_ALL=C
user=$1 archives=$2
shift 2
roots=()
while [ "$1" != -- ]; do
  roots+=("$1")
  shift
done
shift
require_mounted "${roots[@]}"
emit() { printf '%s\0' "$@"; }
fail() {
  printf '%s\n' "$1" >&2
  exit 3
}

for tool in awk find ps; do
  command -v "$tool" >/dev/null || fail "there is no $tool"
done

uid=$(id -u -- "$user" 2>/dev/null) || uid=
emit uid "$uid"
owner=$uid
seen=' '
for root in "${roots[@]}"; do
  # /home may be a link to /srv/home: then there is one place, not two.
  real=$(realpath -e -- "$root" 2>/dev/null) || continue
  case $seen in *" $real "*) continue ;; esac
  seen="$seen$real "
  path=$real/$user
  tomb=$real/.$user.opsweek-removing
  if [ -d "$tomb" ] && [ ! -L "$tomb" ]; then
    emit tomb "$tomb" "$(stat -c %d -- "$tomb")" "$(stat -c %i -- "$tomb")"
  fi
  [ -e "$path" ] || [ -L "$path" ] || continue
  kind=file target=
  if [ -L "$path" ]; then
    kind=link
    target=$(readlink -- "$path")
  elif [ -d "$path" ]; then
    kind=folder
  fi
  ids=$(stat -c '%u %d %i' -- "$path") || fail "cannot stat $path"
  read -r home_uid dev ino <<<"$ids"
  # Without an account the home tells whose processes to look for, unless the uid has been
  # given to somebody else since.
  if [ -z "$owner" ] && ! id -un -- "$home_uid" >/dev/null 2>&1; then owner=$home_uid; fi
  counts=$(find "$path" -xdev -printf '%y %s %T@\n' | awk '
    { if ($1 == "d") d++; else if ($1 == "f") { f++; b += $2 } else o++
      if ($1 == "b" || $1 == "c") n++
      if ($3 + 0 > t) t = $3 + 0 }
    END { printf "%.0f %.0f %.0f %.0f %.0f %.0f", f, d, o, b, int(t), n }') || fail "cannot read all of $path"
  read -r files folders others bytes newest devices <<<"$counts"
  emit home "$path" "$kind" "$target" "$home_uid" "$(stat -c %U -- "$path")" "$dev" "$ino" \
    "$files" "$folders" "$others" "$bytes" "$newest"
  [ "$kind" = folder ] || continue
  # A bind mount of the same file system looks like any folder to find and rm.
  mounts=$(P=$path awk '$5 == ENVIRON["P"] || index($5, ENVIRON["P"] "/") == 1 { print $5 }' /proc/self/mountinfo) ||
    fail "cannot tell what is mounted in $path"
  while read -r mount; do
    [ -z "$mount" ] || emit mount "$mount"
  done <<<"$mounts" || fail "cannot tell what is mounted in $path"
  if [ "$devices" != 0 ]; then
    first=$(find "$path" -xdev \( -type b -o -type c \) -print -quit) || fail "cannot read all of $path"
    emit devices "$devices" "$first"
  fi
  for name in "$@"; do
    find "$path" -mindepth 1 -maxdepth 1 -name "$name" -printf 'secret\0%p\0'
  done
  find "$path/.config/systemd/user" -maxdepth 2 -name '*.timer' -printf 'timer\0%p\0' 2>/dev/null
done

file() {
  local ids
  ids=$(stat -c '%u %d %i %s %Y' -- "$2") || fail "cannot stat $2"
  read -r f_uid f_dev f_ino f_size f_time <<<"$ids"
  emit "$1" "$2" "$f_uid" "$f_dev" "$f_ino" "$f_size" "$f_time"
}
for path in "$archives/$user"*; do
  if [ -f "$path" ] && [ ! -L "$path" ]; then file archive "$path"; fi
done
# Somebody has made it by hand: it may hold anything.
if [ -d "$archives/$user" ] && [ ! -L "$archives/$user" ]; then emit by-hand "$archives/$user"; fi
path=/var/spool/cron/crontabs/$user
if [ -f "$path" ]; then file crontab "$path"; fi
if [ -e "/var/lib/systemd/linger/$user" ]; then emit linger; fi
if [ -n "$owner" ]; then
  while read -r pid tty comm; do
    emit process "$pid" "$tty" "$comm"
  done < <(ps -U "$owner" -o pid=,tty=,comm=)
fi
emit end
