# Remove everything that clones must not share: certificate, token, Jupyter's state, logs.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

Stop-ScheduledTask -TaskName 'notebake'
Stop-Service -Name 'notebake' -Force
$state = Join-Path $env:ProgramData 'notebake'
foreach ($name in 'data\tls', 'data\token', 'data\ready', 'data\jupyter', 'data\matplotlib') {
  Remove-Item -Path (Join-Path $state $name) -Recurse -Force -ErrorAction SilentlyContinue
}
Get-ChildItem -LiteralPath (Join-Path $state 'logs') -File | Remove-Item -Force
foreach ($name in 'guest.tar.gz', 'notebake-updates.ps1', 'notebake-updates.txt', 'cloudbase-init-msi.log', 'software.json') {
  Remove-Item -LiteralPath "C:\Windows\Temp\$name" -Force -ErrorAction SilentlyContinue
}
foreach ($name in 'key.pem', 'token') {
  $left = @(Get-ChildItem -Path $state -Recurse -Force -Filter $name)
  if ($left.Count -ne 0) { throw "not removed: $($left[0].FullName)" }
}
