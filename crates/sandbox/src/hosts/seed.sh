# Makes one host look as a leaver left it. Read by `/bin/sh -s` as root on the host:
# PLACE USER UID FILES MOUNT. What the user had there before is replaced.
set -eu
place=$1 user=$2 uid=$3 files=$4 mount=$5
group=analytics-privatedata-users

if ! getent passwd "$user" >/dev/null; then
    useradd --uid "$uid" --user-group --groups "$group" --no-create-home --shell /bin/bash "$user"
fi

# Sets aside what an earlier seed left.
pkill -KILL -u "$uid" || [ $? = 1 ]
crontab -u "$user" -r 2>/dev/null || :
umount "/home/$user/mnt/scratch" 2>/dev/null || :
rm -rf --one-file-system -- "/home/$user" "/srv/home/$user" "/var/userarchive/$user.tar.gz" "/var/lib/systemd/linger/$user"

# Owner, group and an age that stays the same from seed to seed.
settle() {
    chown -hR "$uid:$uid" "$1"
    find "$1" -exec touch -h -d 2024-05-01T12:00:00Z {} +
}

secrets() {
    mkdir -m 700 "$1/.ssh" "$1/.gnupg"
    ssh-keygen -q -t ed25519 -N '' -C "$user" -f "$1/.ssh/id_ed25519"
    printf '[client]\nuser=%s\npassword=not-a-real-password\n' "$user" >"$1/.my.cnf"
    printf 'machine example.org login %s password not-a-real-password\n' "$user" >"$1/.netrc"
    printf 'not a real keyring\n' >"$1/.gnupg/pubring.kbx"
    chmod 600 "$1/.my.cnf" "$1/.netrc" "$1/.gnupg/pubring.kbx"
}

plain() {
    mkdir -p "$1/notebooks/2024/q1" "$1/notebooks/2024/q2"
    printf 'export EDITOR=vim\n' >"$1/.bashrc"
    printf '{"cells": []}\n' >"$1/notebooks/2024/q1/pageviews.ipynb"
    printf '{"cells": []}\n' >"$1/notebooks/2024/q2/edits by country.ipynb"
}

awkward() {
    plain "$1"
    secrets "$1"
    newline='
'
    mkdir -p "$1/odd names" "$1/modes/nobody" "$1/links" "$1/empty"
    for name in '-rf' '--help' ' leading' 'trailing ' 'résumé – données.txt' '日本語' "two${newline}lines" \
        "it's \"quoted\" \$HOME \`id\`" 'back\slash' '*' '[a]?' '#hash;semi&amp|pipe' '.hidden'; do
        printf 'x' >"$1/odd names/$name"
    done
    mkdir "$1/odd names/-folder with${newline}a newline"
    printf 'x' >"$1/odd names/-folder with${newline}a newline/file"
    printf 'one file, two names\n' >"$1/links/first"
    ln "$1/links/first" "$1/links/second"
    ln -s ../notebooks "$1/links/to folder"
    ln -s /etc/passwd "$1/links/outside"
    ln -s nowhere "$1/links/dangling"
    mkfifo "$1/links/pipe"
    for mode in 000 400 777 4755; do printf 'x' >"$1/modes/$mode"; done
    # A thousand to a folder: many/0/0 ... many/0/999 many/1/1000 ...
    [ "$files" = 0 ] || mkdir "$1/many"
    file=0
    while [ "$file" -lt "$files" ]; do
        folder=$1/many/$((file / 1000))
        # No program for each file: there may be a hundred thousand.
        [ -d "$folder" ] || mkdir "$folder"
        printf '%d\n' "$file" >"$folder/$file"
        file=$((file + 1))
    done
    settle "$1"
    # After chown, which takes the set-id bits away.
    for mode in 000 400 777 4755; do chmod "$mode" "$1/modes/$mode"; done
    chmod 1777 "$1/modes"
    chmod 500 "$1/modes/nobody"
    setfacl -m "g:$group:rx" "$1/notebooks"
}

case $place in
home)
    mkdir -m 755 "/home/$user"
    awkward "/home/$user"
    ;;
symlink)
    mkdir -m 750 "/srv/home/$user"
    plain "/srv/home/$user"
    settle "/srv/home/$user"
    ln -s "/srv/home/$user" "/home/$user"
    settle "/home/$user"
    printf '# m h dom mon dow command\n15 3 * * * /home/%s/report.sh\n' "$user" | crontab -u "$user" -
    ;;
srv)
    mkdir -m 750 "/srv/home/$user" "/srv/home/$user/shared"
    secrets "/srv/home/$user"
    printf 'data\n' >"/srv/home/$user/shared/data.csv"
    truncate -s 1G "/srv/home/$user/sparse.bin"
    settle "/srv/home/$user"
    chgrp "$group" "/srv/home/$user/shared"
    chmod 2770 "/srv/home/$user/shared"
    cd /
    setsid --fork setpriv --reuid "$uid" --regid "$uid" --clear-groups \
        sleep infinity </dev/null >/dev/null 2>&1
    ;;
tarball)
    old=$(mktemp -d)
    mkdir -p "$old/home/$user"
    plain "$old/home/$user"
    settle "$old/home/$user"
    tar -C "$old" -czf "/var/userarchive/$user.tar.gz" home
    chmod 600 "/var/userarchive/$user.tar.gz"
    rm -rf "$old"
    ;;
linger)
    mkdir -m 755 "/home/$user"
    plain "/home/$user"
    units=/home/$user/.config/systemd/user
    mkdir -p "$units/timers.target.wants" "/home/$user/mnt/scratch"
    printf '[Timer]\nOnCalendar=daily\n\n[Install]\nWantedBy=timers.target\n' >"$units/report.timer"
    printf '[Service]\nExecStart=/home/%s/report.sh\n' "$user" >"$units/report.service"
    ln -s ../report.timer "$units/timers.target.wants/report.timer"
    settle "/home/$user"
    : >"/var/lib/systemd/linger/$user"
    if [ "$mount" = true ]; then
        mount -t tmpfs -o "size=1m,mode=0755,uid=$uid,gid=$uid" scratch "/home/$user/mnt/scratch"
        printf 'on another file system\n' >"/home/$user/mnt/scratch/keep"
        settle "/home/$user/mnt/scratch"
    fi
    ;;
nothing) ;;
esac
