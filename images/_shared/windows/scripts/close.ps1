# Shutdown command: close WinRM, disable the build's account, shut down.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

Get-NetFirewallRule -Name 'notebake-winrm' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
Set-Service -Name 'WinRM' -StartupType Disabled
Get-ChildItem -Path 'WSMan:\localhost\Listener' | Remove-Item -Recurse -Force
Disable-LocalUser -Name 'Administrator'
& "$env:SystemRoot\System32\shutdown.exe" /s /t 5 /f
if ($LASTEXITCODE -ne 0) { throw "shutdown.exe: exit code $LASTEXITCODE" }
