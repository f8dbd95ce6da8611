#!/bin/sh
# Boots systemd over a copy-on-write view of this machine, in namespaces of its own; see booted.py.
# Arguments: the folder to work in, Python's prefix, its packages, the project, the challenge folder.
set -eu
folder=$1
root=$folder/root
mount -t tmpfs tmpfs "$folder/overlay"
mkdir "$folder/overlay/upper" "$folder/overlay/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/overlay/upper,workdir=$folder/overlay/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
ln -s pts/ptmx "$root/dev/ptmx"
for device in null zero full random urandom tty console; do cp -a "/dev/$device" "$root/dev/$device"; done
chmod 666 "$root/dev/null" "$root/dev/zero" "$root/dev/full" "$root/dev/random" "$root/dev/urandom" "$root/dev/tty"

mkdir -p "$root/opt/python" "$root/opt/packages" "$root/opt/project" "$root/var/www/acme" "$root/etc/sslctl"
mount --bind "$2" "$root/opt/python"
mount --bind "$3" "$root/opt/packages"
mount --bind "$4" "$root/opt/project"
mount --bind "$5" "$root/var/www/acme"
cp -r "$folder/files/." "$root/"
rm -f "$root/etc/machine-id"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
rm -rf "$root/var/lib/sslctl"
install -d -m 700 "$root/var/lib/sslctl"
chmod 644 "$root/etc/sslctl/"*.pem
chroot "$root" sh -eu -c 'cd /opt/project && . /schedule.sh'
# Not a mere chroot: what systemd mounts for a service in its sandbox hangs below the real root.
cd "$root"
mkdir -p old
pivot_root . old
umount -l old
# Or what systemd mounts for a service, its credentials, would stay where it mounts them.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=idle.target --log-target=null --show-status=0
