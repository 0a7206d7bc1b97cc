# Set up the machine under Packer with the same provisioning files that user-data delivers.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$guest = Join-Path $env:ProgramFiles 'notebake\guest'
if (Test-Path -LiteralPath $guest) {
  Remove-Item -LiteralPath $guest -Recurse -Force
}
$null = New-Item -ItemType Directory -Force -Path $guest
& "$env:SystemRoot\System32\tar.exe" -xzf 'C:\Windows\Temp\guest.tar.gz' -C $guest
if ($LASTEXITCODE -ne 0) { throw "tar.exe: exit code $LASTEXITCODE" }
if ($env:NOTEBAKE_SERVE_WHEELS) {
  $env:NOTEBAKE_WHEELHOUSE = "http://$env:PACKER_HTTP_ADDR"
}
& "$guest\setup.ps1" -Bake
