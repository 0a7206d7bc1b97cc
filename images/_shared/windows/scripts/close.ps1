# Close the build's way in: WinRM, its firewall rule and its account. Nothing of the build stays.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

Get-NetFirewallRule -Name 'notebake-winrm' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
Set-Item -Path 'WSMan:\localhost\Service\Auth\Basic' -Value $false
Get-ChildItem -Path 'WSMan:\localhost\Listener' | Remove-Item -Recurse -Force
Get-ChildItem -Path 'Cert:\LocalMachine\My' | Where-Object { $_.FriendlyName -eq 'notebake-winrm' } | Remove-Item
Set-Service -Name 'WinRM' -StartupType Disabled
Disable-LocalUser -Name 'Administrator'
Unregister-ScheduledTask -TaskName 'notebake-finish' -Confirm:$false
Remove-Item -LiteralPath 'C:\Windows\Temp\notebake' -Recurse -Force
