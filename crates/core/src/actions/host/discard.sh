# Removes what extract.sh unpacked. Arguments: the places relative to the root ...
set -u
export LC_ALL=C
cd / || exit 3
for place in "$@"; do
  stage=${place%/*}/.${place##*/}.opsweek-restoring
  rm --recursive --force --one-file-system --preserve-root=all -- "$stage" || exit 3
done
