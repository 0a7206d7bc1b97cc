# Write the software inventory as JSON for notebake.record.software: programs and updates, Python packages,
# services, ports, users, firewall rules. What close.ps1 removes (WinRM) is left out.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# setup.ps1 names the environment after its lock.
$environments = @(Get-ChildItem -Path (Join-Path $env:ProgramFiles 'notebake') -Directory -Filter 'env-*')
if ($environments.Count -ne 1) { throw "expected one environment, found $($environments.Count)" }
$python = Join-Path $environments[0].FullName 'Scripts\python.exe'
# From here on Windows gives ports to clients.
$ephemeral = 49152
$winrm = 5986
$wide = '0.0.0.0', '::', '127.0.0.1', '::1'

# Return versions and installed bytes; only some programs register their size.
function Get-Program {
  $system = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
  $found = [ordered]@{ 'windows' = '{0}.{1}' -f $script:release.Version, $system.UBR }
  $sizes = [ordered]@{}
  $branch = 'Microsoft\Windows\CurrentVersion\Uninstall\*'
  $rows = Get-ItemProperty -Path "HKLM:\SOFTWARE\$branch", "HKLM:\SOFTWARE\WOW6432Node\$branch"
  foreach ($row in $rows) {
    if (-not $row.PSObject.Properties['DisplayName']) { continue }
    $name = [string]$row.DisplayName
    $version = ''
    if ($row.PSObject.Properties['DisplayVersion']) { $version = [string]$row.DisplayVersion }
    if ($found.Contains($name)) { $name = '{0}:{1}' -f $name, $version }
    $found[$name] = $version
    if ($row.PSObject.Properties['EstimatedSize']) { $sizes[$name] = [long]$row.EstimatedSize * 1024 }
  }
  foreach ($update in Get-HotFix) { $found[$update.HotFixID] = [string]$update.Description }
  return @{ versions = $found; bytes = $sizes }
}

function Get-PythonFact([string] $Expression) {
  $json = & $python -I -c "import importlib.metadata as m, json, re, sys; print(json.dumps($Expression))"
  if ($LASTEXITCODE -ne 0) { throw "python.exe: exit code $LASTEXITCODE" }
  return ($json | ConvertFrom-Json)
}

function Get-Unit {
  $found = [ordered]@{}
  foreach ($service in Get-CimInstance -ClassName 'Win32_Service' -Filter "StartMode='Auto'" | Sort-Object -Property 'Name') {
    # The names of per-session services end with a number that differs at each boot.
    if ($service.Name -notmatch '_[0-9a-f]{4,}$') { $found[$service.Name] = 'automatic' }
  }
  return $found
}

function Get-Listener {
  $rows = @()
  foreach ($row in Get-NetTCPConnection -State 'Listen') { $rows += , @('tcp', $row.LocalAddress, $row.LocalPort) }
  foreach ($row in Get-NetUDPEndpoint) { $rows += , @('udp', $row.LocalAddress, $row.LocalPort) }
  $lines = @()
  foreach ($row in $rows) {
    if ($row[2] -ge $ephemeral -or $row[2] -eq $winrm) { continue }
    $address = '*'
    if ($row[1] -in $wide) { $address = $row[1] }
    $lines += '{0} {1} {2}' -f $row[0], $address, $row[2]
  }
  return @($lines | Sort-Object -Unique)
}

function Get-Account {
  $found = [ordered]@{}
  foreach ($user in Get-LocalUser) {
    # close.ps1 disables the build's account.
    $state = 'disabled'
    if ($user.Enabled -and $user.Name -ne 'Administrator') { $state = 'enabled' }
    $found[$user.Name] = '{0} {1}' -f $user.SID.Value.Split('-')[-1], $state
  }
  return $found
}

function Get-Rule {
  $lines = @()
  foreach ($item in Get-NetFirewallProfile) {
    $lines += '{0}: enabled {1}, inbound {2}' -f $item.Name, $item.Enabled, $item.DefaultInboundAction
  }
  $ports = @{}
  foreach ($filter in Get-NetFirewallPortFilter) { $ports[$filter.InstanceID] = $filter }
  foreach ($rule in Get-NetFirewallRule -Enabled 'True' -Direction 'Inbound' | Sort-Object -Property 'Name') {
    if ($rule.Name -eq 'notebake-winrm') { continue }
    $filter = $ports[$rule.InstanceID]
    $lines += '{0} {1} {2} {3}: {4}' -f $rule.Action, $rule.Profile, $filter.Protocol, ($filter.LocalPort -join ','), $rule.Name
  }
  return $lines
}

$release = Get-CimInstance -ClassName 'Win32_OperatingSystem'
$programs = Get-Program
$key = "re.sub('[-_.]+', '-', d.name).lower()"
$report = [ordered]@{
  system          = [ordered]@{ id = 'windows'; version = $release.Version; title = $release.Caption; packages = 'generic' }
  python          = Get-PythonFact "'%d.%d.%d' % sys.version_info[:3]"
  os_packages     = $programs.versions
  upgraded        = @{}
  newest_package  = $null
  os_origins      = @{}
  os_sizes        = $programs.bytes
  python_packages = Get-PythonFact "{${key}: d.version for d in m.distributions()}"
  python_sizes    = Get-PythonFact "{${key}: sum(f.locate().stat().st_size for f in d.files or () if f.locate().is_file()) for d in m.distributions()}"
  units           = Get-Unit
  ports           = @(Get-Listener)
  users           = Get-Account
  setuid          = @{}
  firewall        = @(Get-Rule)
}
# Set-Content would write a byte order mark.
[IO.File]::WriteAllText('C:\Windows\Temp\notebake\software.json', (ConvertTo-Json -InputObject $report -Depth 4))
