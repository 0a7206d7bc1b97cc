# Set up the machine under Packer with the same provisioning files that user-data delivers.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$root = Join-Path $env:ProgramFiles 'notebake'
$new = Join-Path $root 'guest.new'
if (Test-Path -LiteralPath $new) {
  Remove-Item -LiteralPath $new -Recurse -Force
}
$null = New-Item -ItemType Directory -Force -Path $new
& "$env:SystemRoot\System32\tar.exe" -xzf 'C:\Windows\Temp\notebake\guest.tar.gz' -C $new
if ($LASTEXITCODE -ne 0) { throw "tar.exe: exit code $LASTEXITCODE" }
# The same name as in first-boot.ps1: a clone that is given the same files keeps the folder.
$digest = Get-Content -LiteralPath "$new\digest" -Raw
$guest = Join-Path $root "guest-$($digest.Substring(0, 12))"
if (Test-Path -LiteralPath $guest) {
  Remove-Item -LiteralPath $guest -Recurse -Force
}
Move-Item -LiteralPath $new -Destination $guest
$wheelhouse = ''
if ($env:NOTEBAKE_SERVE_WHEELS) {
  # Packer sets it, to port 0 if it serves nothing.
  $address = [string] $env:PACKER_HTTP_ADDR
  if ($address -notmatch ':[1-9][0-9]*$') { throw "Packer serves no wheels: its address is '$address'" }
  $wheelhouse = "http://$address"
}
& "$guest\setup.ps1" -Bake -Wheelhouse $wheelhouse
