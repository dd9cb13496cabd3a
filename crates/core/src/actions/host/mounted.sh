# Ends the script where a folder of homes lies on what /etc/fstab names and what is not mounted:
# it would look as if nobody had a home there.
# Arguments: folders of homes ...
require_mounted() {
  local root missing
  [ -e /etc/fstab ] || return 0
  for root in "$@"; do
    missing=$(R=$(realpath -m -- "$root") awk '
      NR == FNR { mounted[$5]; next }
      { sub(/\/+$/, "", $2) }
      $1 !~ /^#/ && $2 ~ /^\// && $3 != "swap" && $4 !~ /noauto/ && !($2 in mounted) &&
        index(ENVIRON["R"] "/", $2 "/") == 1 { print $2; exit }
    ' /proc/self/mountinfo /etc/fstab) || {
      printf 'cannot tell what is mounted for %s\n' "$root" >&2
      exit 3
    }
    if [ -n "$missing" ]; then
      printf '%s is in /etc/fstab and not mounted\n' "$missing" >&2
      exit 3
    fi
  done
}

