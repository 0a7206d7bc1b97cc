# First boot: unpack the provisioning files and run setup.ps1. notebake puts one line before this text,
# $Archive = '...', the files as a tar.gz in base64. Can be repeated; other files upgrade the machine.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$root = Join-Path $env:ProgramFiles 'notebake'
$new = Join-Path $root 'guest.new'
if (Test-Path -LiteralPath $new) {
  Remove-Item -LiteralPath $new -Recurse -Force
}
$null = New-Item -ItemType Directory -Force -Path $new
$packed = Join-Path $root 'guest.tar.gz'
[IO.File]::WriteAllBytes($packed, [Convert]::FromBase64String($Archive))
& "$env:SystemRoot\System32\tar.exe" -xzf $packed -C $new
if ($LASTEXITCODE -ne 0) { throw "tar.exe: exit code $LASTEXITCODE" }
Remove-Item -LiteralPath $packed -Force

# A folder of their own for other files: the service may run in the one it has, so nothing is removed from it. The
# service moves when setup.ps1 configures it.
$digest = Get-Content -LiteralPath "$new\digest" -Raw
$guest = Join-Path $root "guest-$($digest.Substring(0, 12))"
if (Test-Path -LiteralPath $guest) {
  Remove-Item -LiteralPath $new -Recurse -Force
} else {
  Move-Item -LiteralPath $new -Destination $guest
}
& "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -ExecutionPolicy Bypass -File "$guest\setup.ps1"
if ($LASTEXITCODE -ne 0) { throw "setup.ps1: exit code $LASTEXITCODE" }
