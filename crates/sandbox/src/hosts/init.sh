#!/bin/sh
# First process of a host, in its own mount, PID and UTS namespaces: builds the
# host's mounts, leaves the machine's disk behind for good, becomes sshd.
set -eu
host=$1 name=$2 address=$3 port=$4
root=$host/root

read_only() {
    mount --bind "$1" "$2"
    mount -o remount,bind,ro "$2"
}

# pivot_root wants a mount point.
mount --bind "$root" "$root"
read_only /usr "$root/usr"
read_only /etc/alternatives "$root/etc/alternatives"

# Not the machine's /dev: its disks are in there.
mount -t tmpfs -o mode=0755,nosuid dev "$root/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
mkdir "$root/dev/pts"
mkdir -m 1777 "$root/dev/shm"
mount -t devpts -o newinstance,nosuid,noexec,gid=5,mode=0620,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# What is written there would reach the whole machine.
read_only "$root/proc/sys" "$root/proc/sys"
if [ -e "$root/proc/sysrq-trigger" ]; then
    mount --bind /dev/null "$root/proc/sysrq-trigger"
fi

hostname "$name"
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
cd /
umount -l /.old
rmdir /.old

# Root of a host keeps what sudo, mount and chown need, and nothing that makes
# device nodes or changes the machine.
exec setpriv --bounding-set=-mknod,-sys_module,-sys_rawio,-sys_boot,-sys_time,-net_admin,-linux_immutable \
    /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config -o "ListenAddress=$address:$port"
