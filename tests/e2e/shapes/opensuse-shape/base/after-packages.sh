#!/bin/sh
# Runs after all packages are installed; $1 is the root file system being made.
set -eu

root=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

sh "$here/cloud-init-variant.sh" "$root" suse
cp "$here/os-release" "$root/usr/lib/os-release"

# The repository, signed with a key that rpm in this root file system trusts, as on openSUSE.
cp "$here/stubs.spec" "$here/updateinfo.xml" "$root/tmp/"
(cd "$root/tmp" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root download firewalld)
chroot "$root" sh -eu <<'END'
export HOME=/tmp
build() {
  rpmbuild -bb --quiet --define "build $1" --define "_rpmdir $2" --define '_topdir /tmp/rpmbuild' /tmp/stubs.spec
}
build 1 /tmp/old
rpm --install --nodeps /tmp/old/noarch/shape-release-*.rpm /tmp/old/noarch/shape-base-*.rpm
build 2 /srv/repository
createrepo_c --quiet /srv/repository
modifyrepo_c /tmp/updateinfo.xml /srv/repository/repodata >/dev/null
export GNUPGHOME=/tmp/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key shape@notebake.test rsa3072 sign never
gpg --batch --quiet --armor --detach-sign /srv/repository/repodata/repomd.xml
gpg --armor --export >/srv/repository/repodata/repomd.xml.key
rpm --import /srv/repository/repodata/repomd.xml.key
gpgconf --kill all
rm -rf "$GNUPGHOME" /tmp/rpmbuild /tmp/old /tmp/updateinfo.xml /tmp/stubs.spec /tmp/firewalld_*.deb
END

mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf /usr/lib/systemd/system/NetworkManager.service "$root/etc/systemd/system/multi-user.target.wants/"
rm -f "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"

sh "$here/clean.sh" "$root"
