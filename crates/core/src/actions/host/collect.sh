# Streams the places named by find's arguments as a tar archive, compressed.
# Arguments: find's, relative to the root. Fails when any part does: a file that changes
# while it is read, too.
set -u -o pipefail
export LC_ALL=C
cd / || exit 3
# Without a path find would take the whole host.
case ${1:--} in -*) exit 3 ;; esac
# Records of 64 KiB, as much as a pipe holds: tar's own are 10 KiB. One core compresses slower
# than the network carries.
find "$@" -print0 |
  tar --create --file=- --format=posix --null --no-recursion --files-from=- \
    --blocking-factor=128 --sparse --numeric-owner --acls --xattrs |
  zstd --quiet --stdout -3 -T2
