#!/bin/sh
# in-root.sh ROOT rw|ro UID COMMAND…: runs a command with ROOT as its root folder, the programs of
# this machine bound into it. To be run as root under `unshare --mount`, so that no mount outlives
# it; with `ro` nothing but /state and /tmp can be written, as in a container that is started so.
set -eu
root=$1 mode=$2 uid=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
for name in bin lib lib64 sbin; do
  if [ -L "/$name" ]; then
    [ -L "$root/$name" ] || ln -s "$(readlink "/$name")" "$root/$name"
  elif [ -d "/$name" ]; then
    mkdir -p "$root/$name"
    mount --bind "/$name" "$root/$name"
    mount -o remount,bind,ro "$root/$name"
  fi
done
for name in usr etc dev; do
  mkdir -p "$root/$name"
  mount --rbind "/$name" "$root/$name"
done
# Whatever a step does, it must not reach the programs and settings of this machine.
mount -o remount,bind,ro "$root/usr"
mount -o remount,bind,ro "$root/etc"
mkdir -p "$root/proc" "$root/tmp" "$root/state"
mount -t proc proc "$root/proc"
# npm keeps its settings and its cache at home.
if [ "$mode" = rw ]; then
  mkdir -p "$root$HOME"
  mount --bind "$HOME" "$root$HOME"
else
  mount --bind "$root/state" "$root/state"
  mount -o remount,bind,ro "$root"
  mount -t tmpfs tmpfs "$root/tmp"
fi
exec chroot "$root" /usr/bin/setpriv --reuid="$uid" --regid="$uid" --clear-groups \
  --no-new-privs /bin/sh -c 'cd "${START_IN:-/}" && exec "$@"' sh "$@"
