#!/bin/bash
# Makes a small root of this machine's /usr in memory and runs systemd there as process 1, in namespaces of its own:
# boot.sh FOLDER REPOSITORY READABLE... FOLDER/etc is put over /etc. The network is that of the caller.
set -euo pipefail
root=$1/root etc=$1/etc repository=$2
shift 2
mount --make-rprivate /
mkdir "$root"
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p usr etc/systemd/system opt/osteo run tmp var proc sys dev .old
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
mount --rbind -o ro /usr usr
mount -t tmpfs -o mode=755 local usr/local/sbin
for name in passwd group nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d ssl hosts alternatives; do
  [ ! -e "/etc/$name" ] || cp -a "/etc/$name" etc/
done
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
# The environment's Python may lie in the home of root, which no other user may enter.
for path in "$@"; do
  mkdir -p ".$path"
  mount --bind -o ro "$path" ".$path"
done
chmod -R go+rX "$etc/systemd"
chmod go+rx root home 2>/dev/null || true
mount --bind -o ro "$repository" opt/osteo
# Nothing of this machine is started: no step of Debian's boot but the journal.
for name in sysinit basic default; do
  printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' > "etc/systemd/system/$name.target"
done
cp -r "$etc/." etc/
mount -t proc proc proc
# The kernel's settings are those of the whole machine.
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
touch dev/console
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 var var
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p var/lib var/log/journal var/tmp var/cache
chmod 1777 var/tmp
pivot_root . .old
umount -l /.old
# As on a machine: credentials reach a unit by a mount that spreads.
mount --make-rshared /
exec env -i container=docker PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --system --log-target=console --show-status=0
