# Ends a user's left-over processes and forbids new ones to linger.
# Arguments: user, uid.
set -u
export LC_ALL=C
user=$1 uid=$2
name=$(id -un -- "$uid" 2>/dev/null) || name=$user
if [ "$name" != "$user" ]; then
  printf 'uid %s is %s by now\n' "$uid" "$name" >&2
  exit 4
fi
if [ -d /run/systemd/system ]; then loginctl disable-linger "$user" 2>/dev/null; fi
rm --force -- "/var/lib/systemd/linger/$user"
for signal in TERM KILL; do
  pkill "-$signal" -U "$uid" || [ $? = 1 ] || exit 3
  for _ in $(seq 50); do
    pgrep -U "$uid" >/dev/null || exit 0
    sleep 0.1
  done
done
printf 'processes of %s outlive SIGKILL\n' "$user" >&2
exit 3
