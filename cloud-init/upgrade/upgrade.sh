#!/bin/sh
# Bring every package of the distribution up to date, and list the packages before and after. $1: apt or zypper;
# which of them is installed does not say it.
set -eu

family=$1
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# needrestart would restart services; ZYPP_LOCK_TIMEOUT: seconds
DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 ZYPP_LOCK_TIMEOUT=900 LC_ALL=C.UTF-8
export PATH DEBIAN_FRONTEND NEEDRESTART_SUSPEND ZYPP_LOCK_TIMEOUT LC_ALL

packages() {
  # shellcheck disable=SC2016 # dpkg's own variables
  if [ "$family" = apt ]; then
    dpkg-query -W -f '${Package}\t${Version}\n'
  else
    rpm -qa --qf '%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n'
  fi | sort
}

apt() {
  apt-get -q -o APT::Update::Error-Mode=any "$@"
}

# Without this option zypper leaves out the patches that need a reboot, the kernel's among them.
# 100 to 103: done, and something to say. 103: zypper itself was updated, and has more to do.
zypp() {
  code=0
  zypper --non-interactive --non-interactive-include-reboot-patches "$@" || code=$?
  case $code in
  0 | 100 | 101 | 102 | 103 | 107) ;;
  *) return "$code" ;;
  esac
}

packages >/var/tmp/notebake-before
if [ "$family" = apt ]; then
  apt update
  apt -y --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold dist-upgrade
  apt clean
else
  zypp refresh
  if grep -q '^ID=.*tumbleweed' /etc/os-release; then
    zypp dup --auto-agree-with-licenses --no-recommends
  else
    zypp patch --auto-agree-with-licenses
    [ "$code" -ne 103 ] || zypp patch --auto-agree-with-licenses
  fi
fi
packages >/var/tmp/notebake-after
