# Unpacks a compressed tar archive from standard input beside the user's places, each under
# .NAME.opsweek-restoring in the same folder; what an earlier run left there goes first.
# Arguments: user, the uid that the files belong to or nothing, the places relative to the root ...
set -u -o pipefail
export LC_ALL=C
user=$1 uid=$2
shift 2
fail() {
  printf '%s\n' "$1" >&2
  exit "$2"
}
cd / || exit 3
if [ -n "$uid" ]; then
  now=$(id -u -- "$user" 2>/dev/null) && [ "$now" != "$uid" ] && fail "$user is uid $now by now, not $uid" 4
  name=$(id -un -- "$uid" 2>/dev/null) && [ "$name" != "$user" ] && fail "uid $uid is $name by now" 4
fi
renames=()
for place in "$@"; do
  case $place in /* | *[!A-Za-z0-9._/-]*) fail "$place is no place" 3 ;; esac
  stage=${place%/*}/.${place##*/}.opsweek-restoring
  [ -d "${place%/*}" ] || fail "there is no folder /${place%/*}" 4
  rm --recursive --force --one-file-system --preserve-root=all -- "$stage" || exit 3
  # Names, and those that hard links name; never what a symbolic link says.
  renames+=("--transform=s,^${place//./\\.}\\(/.*\\)\\{0\\,1\\}\$,$stage\\1,rhS")
done
zstd --quiet --decompress --stdout |
  tar --extract --file=- --preserve-permissions --same-owner --numeric-owner \
    --acls --xattrs '--xattrs-include=*' --delay-directory-restore --keep-old-files "${renames[@]}"
