#!/bin/sh
# Renders cloud-init's settings and units for the variant $2 in the root file system $1, from cloud-init's templates.
set -eu

root=$1 variant=$2
version=25.1.4
sha256=fa70a77fc3cd3167a051e9ab04af4d4f56d3ffa0deb320735c889a6a367d3a3d

mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' "$root/etc/apt/sources.list" | head -n 1)
archive=$root/tmp/cloud-init.tar.gz
python3 - "$mirror/pool/main/c/cloud-init/cloud-init_$version.orig.tar.gz" "$archive" <<'END'
import sys, urllib.request
urllib.request.urlretrieve(sys.argv[1], sys.argv[2])
END
echo "$sha256  $archive" | sha256sum --check --quiet
tar -xzf "$archive" -C "$root/tmp"
source=/tmp/cloud-init-$version

render() {
  chroot "$root" python3 "$source/tools/render-template" --variant "$variant" --prefix / "$source/$1" "$2"
}
render config/cloud.cfg.tmpl /etc/cloud/cloud.cfg
for template in "$root$source"/systemd/*.service.tmpl; do
  name=$(basename "$template" .tmpl)
  render "systemd/$name.tmpl" "/usr/lib/systemd/system/$name"
done
cp "$root$source"/templates/*.tmpl "$root/etc/cloud/templates/"
rm -rf "$archive" "$root$source"

# There is no locale generator: without this cloud-init fails.
printf 'datasource_list: [NoCloud, None]\nlocale: false\n' >"$root/etc/cloud/cloud.cfg.d/90-image.cfg"
