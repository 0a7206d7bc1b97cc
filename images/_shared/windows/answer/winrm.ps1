# Open WinRM over HTTPS for Packer. close.ps1 and sysprep.ps1 close it again.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# Windows refuses to set up WinRM on a network whose category is unknown.
Get-NetConnectionProfile | Set-NetConnectionProfile -NetworkCategory Private
$certificate = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME -CertStoreLocation 'Cert:\LocalMachine\My'
Enable-PSRemoting -Force -SkipNetworkProfileCheck
Get-ChildItem -Path 'WSMan:\localhost\Listener' | Remove-Item -Recurse -Force
$listener = @{
  ResourceURI = 'winrm/config/Listener'
  SelectorSet = @{ Address = '*'; Transport = 'HTTPS' }
  ValueSet    = @{ Hostname = $env:COMPUTERNAME; CertificateThumbprint = $certificate.Thumbprint }
}
$null = New-WSManInstance @listener
Set-Item -Path 'WSMan:\localhost\Service\Auth\Basic' -Value $true
Set-Item -Path 'WSMan:\localhost\Service\AllowUnencrypted' -Value $false
Get-NetFirewallRule -Name 'notebake-winrm' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
$rule = @{
  Name = 'notebake-winrm'; DisplayName = 'notebake: WinRM of the build'; Direction = 'Inbound'
  Action = 'Allow'; Protocol = 'TCP'; LocalPort = 5986
}
$null = New-NetFirewallRule @rule
Set-Service -Name 'WinRM' -StartupType Automatic
