# First boot: unpack the provisioning files and run setup.ps1. notebake puts one line before this text,
# $Archive = '...', the files as a tar.gz in base64. Can be repeated.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$root = Join-Path $env:ProgramFiles 'notebake'
$guest = Join-Path $root 'guest'
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

$known = ''
if (Test-Path -LiteralPath "$guest\digest") {
  $known = Get-Content -LiteralPath "$guest\digest" -Raw
}
if ($known -eq (Get-Content -LiteralPath "$new\digest" -Raw)) {
  Remove-Item -LiteralPath $new -Recurse -Force
} else {
  if (Test-Path -LiteralPath $guest) {
    Remove-Item -LiteralPath $guest -Recurse -Force
  }
  Move-Item -LiteralPath $new -Destination $guest
}
& "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -ExecutionPolicy Bypass -File "$guest\setup.ps1"
if ($LASTEXITCODE -ne 0) { throw "setup.ps1: exit code $LASTEXITCODE" }
