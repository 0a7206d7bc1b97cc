# Remove notebake from this machine. -Data: also the notebooks, the certificate and the token.
param([switch] $Data)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$root = Join-Path $env:ProgramFiles 'notebake'
Get-ScheduledTask -TaskName 'notebake*' | Unregister-ScheduledTask -Confirm:$false
& "$root\nssm.exe" stop 'notebake'
# 1: it was not running.
if ($LASTEXITCODE -notin 0, 1) { throw "nssm.exe stop: exit code $LASTEXITCODE" }
& "$root\nssm.exe" remove 'notebake' confirm
if ($LASTEXITCODE -ne 0) { throw "nssm.exe remove: exit code $LASTEXITCODE" }
Get-NetFirewallRule -Name 'notebake*' | Remove-NetFirewallRule
Remove-Item -LiteralPath $root -Recurse -Force
if ($Data) {
  Remove-Item -LiteralPath (Join-Path $env:ProgramData 'notebake') -Recurse -Force
}
