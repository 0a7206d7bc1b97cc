# Open WinRM over HTTPS for Packer. close.ps1 closes it again.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$request = @{
  DnsName = $env:COMPUTERNAME; FriendlyName = 'notebake-winrm'; CertStoreLocation = 'Cert:\LocalMachine\My'
}
$certificate = New-SelfSignedCertificate @request
# The category of a network that is still being identified does not matter: the firewall has a rule of its own.
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
