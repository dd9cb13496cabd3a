# Lists who has a home on this host. Reads only.
# Arguments: folders of homes ...
# Output: name, uid, owner of each entry, each field ended by NUL; "end" comes last.
set -u
export LC_ALL=C
require_mounted "$@"
for root in "$@"; do
  [ -d "$root" ] || continue
  # -H: the folder of homes may be a link; what is in it is not followed.
  find -H "$root" -mindepth 1 -maxdepth 1 -printf '%f\0%U\0%u\0' || exit 3
done
printf 'end\0'
