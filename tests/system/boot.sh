#!/bin/sh
# boot.sh BARE_ROOT PLACE APT_CACHE PIP_CACHE: makes what looks like BARE_ROOT the root of these namespaces, and systemd
# their first process. It runs in new mount, PID, UTS, IPC, cgroup and network namespaces (see machine.py), and changes
# nothing outside: what is written goes into memory, over the bare root.
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=4G tmpfs "$2"
mkdir "$2/written" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/written,workdir=$2/work" overlay "$2/root"
root=$2/root
# What Debian does by night would come between a file's two looks.
rm -f "$root"/etc/systemd/system/timers.target.wants/*
mkdir -p "$root/root/.cache/pip" "$root/usr/src/geospace-monitor"
mount --bind "$3" "$root/var/cache/apt/archives"
mount --bind "$4" "$root/root/.cache/pip"

mount -t proc proc "$root/proc"
# What is set there holds for the whole machine, not for this part of it.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
rmdir /.outside
# systemd hands credentials to its services by mounts that have to be seen from here.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd </dev/null
