#!/bin/sh
# Runs after all packages are installed; $1 is the root file system being made.
set -eu

root=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repository=$root/srv/repository

sh "$here/cloud-init-variant.sh" "$root" ubuntu
cp "$here/os-release" "$root/usr/lib/os-release"
printf 'DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=26.04\nDISTRIB_CODENAME=resolute\n' >"$root/etc/lsb-release"

# The distribution's repository, with ufw and needrestart; newer builds of one package in its updates and of one in
# its security updates: a library that the notebook server has open. Signed with a key that this root file system
# trusts, as on Ubuntu.
apt() {
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root "$@"
}
newer() {
  (cd "$root/tmp" && apt download "$1")
  dpkg-deb --raw-extract "$root/tmp/$1"_*.deb "$root/tmp/newer"
  sed -i 's/^Version: .*/&+shape1/' "$root/tmp/newer/DEBIAN/control"
  [ "$1" != netbase ] || install -m 0755 "$here/netbase-postinst.sh" "$root/tmp/newer/DEBIAN/postinst"
  dpkg-deb --root-owner-group --build "$root/tmp/newer" "$repository/$2" >/dev/null
  rm -r "$root/tmp/newer" "$root/tmp/$1"_*.deb
}
mkdir -p "$repository/pool/partial" "$repository/updates" "$repository/security"
(cd "$repository/pool" && apt download ufw)
apt -y --no-install-recommends -o Dir::Cache::Archives="$repository/pool" --download-only install needrestart
newer netbase updates
newer libexpat1 security
chroot "$root" sh -eu <<'END'
cd /srv/repository
export GNUPGHOME=/tmp/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key shape@notebake.test ed25519 sign never
for suite in resolute resolute-updates resolute-security; do
  mkdir -p "dists/$suite/main/binary-amd64"
  case $suite in
  resolute) apt-ftparchive packages pool ;;
  *) apt-ftparchive packages "${suite#resolute-}" ;;
  esac >"dists/$suite/main/binary-amd64/Packages"
  apt-ftparchive -o APT::FTPArchive::Release::Codename="$suite" -o APT::FTPArchive::Release::Suite="$suite" \
    -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures=amd64 \
    release "dists/$suite" >Release
  mv Release "dists/$suite/"
  gpg --batch --quiet --clearsign --output "dists/$suite/InRelease" "dists/$suite/Release"
done
gpg --export >/etc/apt/trusted.gpg.d/shape.gpg
gpgconf --kill all
rm -rf "$GNUPGHOME"

# As on 26.04: sudo is sudo-rs, and uutils' tools come first in PATH.
ln -sf /usr/lib/cargo/bin/sudo /usr/bin/sudo
for tool in /usr/lib/cargo/bin/coreutils/*; do
  ln -sf "$tool" "/usr/local/bin/$(basename "$tool")"
done
END

# Ubuntu's needrestart restarts services by itself, also after unattended upgrades.
mkdir -p "$root/etc/needrestart/conf.d"
echo "\$nrconf{restart} = 'a';" >"$root/etc/needrestart/conf.d/ubuntu.conf"

# In place of snapd: a unit that must not be changed.
cp "$here/snapd.service" "$root/etc/systemd/system/snapd.service"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../snapd.service "$root/etc/systemd/system/multi-user.target.wants/snapd.service"
for unit in systemd-networkd systemd-networkd-wait-online systemd-resolved; do
  find "$root/etc/systemd/system" -name "$unit.service" -type l -delete
done
ln -sf /usr/lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"
mkdir -p "$root/etc/systemd/system/network-online.target.wants"
ln -sf /usr/lib/systemd/system/systemd-networkd-wait-online.service \
  "$root/etc/systemd/system/network-online.target.wants/"
mkdir -p "$root/etc/systemd/system/sysinit.target.wants"
ln -sf /usr/lib/systemd/system/systemd-resolved.service "$root/etc/systemd/system/sysinit.target.wants/"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

sh "$here/clean.sh" "$root"
