# Streams a listing of the places named by find's arguments, compressed: type, mode, uid,
# gid, size, time, path, target, each entry ended by NUL.
set -u -o pipefail
export LC_ALL=C
cd / || exit 3
# Without a path find would take the whole host.
case ${1:--} in -*) exit 3 ;; esac
find "$@" -printf '%y %m %U %G %s %T@ %p -> %l\0' | zstd --quiet --stdout -3
