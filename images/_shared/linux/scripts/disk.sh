#!/bin/sh
# Set up a disk on the host, in a chroot, before the machine under Packer boots from it: the same provisioning files,
# set-up and inventory. There is no network, and no service starts.
set -eu

guest=/opt/notebake/guest
cd /var/tmp
rm -rf "$guest"
mkdir -p "$guest"
tar -xzf guest.tar.gz -C "$guest" --no-same-owner
rm -f "$guest/upgrade.sh" # done before, with a network
python3 "$guest/setup.py" --bake
# No server may start in the machine under Packer: install.sh puts this file back.
mv "$guest/complete" notebake-complete
python3 report.py --disk >notebake-software.json
apt-get clean
rm -rf /var/lib/apt/lists/*

# What cloud-init does from the seed, which takes half of an emulated boot. seal.sh and finish.sh remove it.
touch /etc/cloud/cloud-init.disabled
printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n' >/etc/systemd/network/10-notebake-build.network
ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
useradd --uid 64990 --create-home --shell /bin/bash notebake-build
ssh=/home/notebake-build/.ssh
install -d -m 0700 -o notebake-build -g notebake-build "$ssh"
install -m 0600 -o notebake-build -g notebake-build key.pub "$ssh/authorized_keys"
echo 'notebake-build ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
chmod 0440 /etc/sudoers.d/90-cloud-init-users
rm -f guest.tar.gz report.py key.pub disk.sh
