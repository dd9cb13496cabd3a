# Prints a digest of what is at a place: of all kinds, modes, owners, sizes, times, names and
# targets. A file's content is not read. Prints nothing for a place that is gone.
# Arguments: find's, for one place, relative to the root.
set -u -o pipefail
export LC_ALL=C
cd / || exit 3
# Without a path find would take the whole host.
case ${1:--} in -*) exit 3 ;; esac
[ -e "$1" ] || [ -L "$1" ] || exit 0
find "$@" \( -type d -printf 'd %m %U %G %T@ %P\0' -o -printf '%y %m %U %G %s %T@ %P -> %l\0' \) |
  sort --zero-terminated | sha256sum | cut -d ' ' -f 1
