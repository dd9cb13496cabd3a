# Lets a user's services run without a login. Arguments: user.
set -u
export LC_ALL=C
if [ -d /run/systemd/system ]; then exec loginctl enable-linger "$1"; fi
mkdir --parents /var/lib/systemd/linger && : >"/var/lib/systemd/linger/$1"
