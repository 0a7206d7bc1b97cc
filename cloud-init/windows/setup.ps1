# Turn a plain Windows system into a notebook machine. Run as an administrator or SYSTEM; every step can be
# repeated.
#
# first-boot.ps1 or Packer unpacks this folder. All values come from config.json in this folder. The scheduled
# task of the first step runs this script at each boot: it continues after a power loss, and prints the
# certificate's fingerprint on the serial console.
param([switch] $Bake)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# The progress bar makes downloads ten times slower.
$ProgressPreference = 'SilentlyContinue'

$root = Split-Path -Parent $PSScriptRoot
$state = Join-Path $env:ProgramData 'notebake'
$readyFile = Join-Path $state 'data\ready'
$tokenFile = Join-Path $state 'data\token'
$python = Join-Path $root 'python\python.exe'
$lock = Join-Path $PSScriptRoot 'requirements.txt'
$config = Get-Content -LiteralPath "$PSScriptRoot\config.json" -Raw -Encoding UTF8 | ConvertFrom-Json
$wheels = Join-Path $root 'wheels'
$wheelhouse = [Environment]::GetEnvironmentVariable('NOTEBAKE_WHEELHOUSE')

# Print a program's output, so that it does not become the result of the calling function.
function Invoke-Native([string] $Program, [string[]] $Arguments) {
  & $Program @Arguments | Out-Host
  if ($LASTEXITCODE -ne 0) { throw "${Program}: exit code $LASTEXITCODE" }
}

function Write-Console([string] $Text) {
  Write-Output "notebake: $Text"
  try {
    $port = New-Object System.IO.Ports.SerialPort 'COM1', 115200
    $port.WriteTimeout = 5000
    $port.Open()
    $port.WriteLine("notebake: $Text")
    $port.Close()
  } catch {
    Write-Verbose "no serial console: $_"
  }
}

function Register-Setup {
  $powershell = "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe"
  $call = "-NoProfile -ExecutionPolicy Bypass -File `"$PSScriptRoot\setup.ps1`""
  $task = @{
    TaskName  = 'notebake'
    Action    = New-ScheduledTaskAction -Execute $powershell -Argument $call
    Trigger   = New-ScheduledTaskTrigger -AtStartup
    Principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
    Settings  = New-ScheduledTaskSettingsSet -ExecutionTimeLimit ([TimeSpan]::FromHours(2))
  }
  $null = Register-ScheduledTask @task -Force
}

function Install-Python {
  if (Test-Path -LiteralPath $python) { return }
  $installer = Join-Path $root 'python.exe'
  Invoke-WebRequest -UseBasicParsing -Uri $config.installer.url -OutFile $installer
  $hash = (Get-FileHash -LiteralPath $installer -Algorithm SHA256).Hash
  if ($hash -ne $config.installer.sha256) {
    Remove-Item -LiteralPath $installer -Force
    throw "$($config.installer.url): SHA-256 is $hash, expected $($config.installer.sha256)"
  }
  $options = @('/quiet', 'InstallAllUsers=1', "TargetDir=`"$root\python`"", 'PrependPath=0', 'Shortcuts=0',
    'AssociateFiles=0', 'Include_launcher=0', 'Include_test=0', 'Include_doc=0', 'Include_tcltk=0')
  $run = Start-Process -FilePath $installer -ArgumentList $options -Wait -PassThru
  # 3010: success, and Windows replaces some files at the next boot.
  if ($run.ExitCode -notin 0, 3010) { throw "python installer: exit code $($run.ExitCode)" }
  Remove-Item -LiteralPath $installer -Force
}

function Import-Trust {
  $pem = Join-Path $PSScriptRoot 'ca.pem'
  if (-not (Test-Path -LiteralPath $pem)) { return }
  $blocks = (Get-Content -LiteralPath $pem -Raw) -split '(?=-----BEGIN CERTIFICATE-----)'
  foreach ($block in $blocks | Where-Object { $_ -match 'BEGIN CERTIFICATE' }) {
    $file = Join-Path $root 'ca.crt'
    Set-Content -LiteralPath $file -Value $block -Encoding Ascii
    $null = Import-Certificate -FilePath $file -CertStoreLocation 'Cert:\LocalMachine\Root'
  }
}

function Install-Environment {
  if (-not (Test-Path -LiteralPath $lock)) {
    Invoke-Native $python @("$PSScriptRoot\wheels.py")
  }
  $hash = (Get-FileHash -LiteralPath $lock -Algorithm SHA256).Hash.ToLowerInvariant()
  $environment = Join-Path $root "env-$($hash.Substring(0, 12))"
  if (Test-Path -LiteralPath "$environment\complete") { return $environment }
  if (Test-Path -LiteralPath $environment) {
    Remove-Item -LiteralPath $environment -Recurse -Force
  }
  Invoke-Native $python @('-m', 'venv', $environment)
  $source = @('--index-url', $config.index)
  if (Test-Path -LiteralPath $wheels) {
    $source = @('--no-index', '--find-links', $wheels)
  } elseif ($wheelhouse) {
    $source = @('--no-index', '--find-links', $wheelhouse, '--trusted-host', ([Uri] $wheelhouse).Host)
  }
  $packages = @('--require-hashes', '--no-deps', '--only-binary', ':all:', '-r', $lock)
  $quiet = @('--quiet', '--disable-pip-version-check', '--no-cache-dir', '--retries', '10')
  Invoke-Native "$environment\Scripts\python.exe" (@('-m', 'pip', 'install') + $quiet + $source + $packages)
  $null = New-Item -ItemType File -Path "$environment\complete"
  if (Test-Path -LiteralPath $wheels) {
    Remove-Item -LiteralPath $wheels -Recurse -Force
  }
  return $environment
}

function Open-Port {
  Set-NetFirewallProfile -All -Enabled True -DefaultInboundAction Block
  Get-NetFirewallRule -Name 'notebake' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
  $rule = @{
    Name = 'notebake'; DisplayName = 'notebake notebook'; Direction = 'Inbound'; Action = 'Allow'
    Protocol = 'TCP'; LocalPort = $config.port; Profile = 'Any'
  }
  $null = New-NetFirewallRule @rule
  Get-NetFirewallRule -Name 'notebake-metadata' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
  if ($config.metadata) { return }
  # Not port 53: some clouds' name servers have these addresses. 168.63.129.16 is Azure's.
  $account = New-Object Security.Principal.NTAccount 'NT SERVICE\notebake'
  $sid = $account.Translate([Security.Principal.SecurityIdentifier]).Value
  $rule = @{
    Name = 'notebake-metadata'; DisplayName = 'notebake cloud metadata'; Direction = 'Outbound'; Action = 'Block'
    Protocol = 'TCP'; RemotePort = @('1-52', '54-65535'); Profile = 'Any'
    RemoteAddress = @('169.254.169.254', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254')
    LocalUser = "D:(A;;CC;;;$sid)"
  }
  $null = New-NetFirewallRule @rule
}

function Set-UpdatePolicy {
  $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU'
  if (-not (Test-Path -LiteralPath $key)) {
    $null = New-Item -Path $key -Force
  }
  foreach ($item in $config.updates.PSObject.Properties) {
    $null = New-ItemProperty -LiteralPath $key -Name $item.Name -Value $item.Value -PropertyType DWord -Force
  }
}

function Write-Identity {
  $watch = [Diagnostics.Stopwatch]::StartNew()
  while (-not (Test-Path -LiteralPath $readyFile)) {
    if ($watch.Elapsed.TotalMinutes -gt 10) { throw "no certificate after 10 minutes; see $state\logs" }
    Start-Sleep -Seconds 1
  }
  if (Test-Path -LiteralPath $tokenFile) {
    Write-Console "token $(Get-Content -LiteralPath $tokenFile -Raw)"
  }
  Write-Console "certificate SHA256 $(Get-Content -LiteralPath $readyFile -Raw)"
}

# The scheduled task and the first boot's own call may run at the same time: one waits for the other.
$mutex = New-Object System.Threading.Mutex $false, 'Global\notebake-setup'
$null = $mutex.WaitOne()
$step = 'task'
try {
  $done = Join-Path $PSScriptRoot 'complete'
  if (-not (Test-Path -LiteralPath $done)) {
    Register-Setup
    $step = 'trust'
    Import-Trust
    $step = 'python'
    Install-Python
    $step = 'environment'
    $environment = Install-Environment
    $step = 'service'
    Invoke-Native $python @('-X', 'utf8', "$PSScriptRoot\configure.py", $environment)
    $step = 'firewall'
    Open-Port
    $step = 'updates'
    Set-UpdatePolicy
    $null = New-Item -ItemType File -Force -Path $done
  }
  if (-not $Bake) {
    $step = 'start'
    Start-Service -Name 'notebake'
    Write-Identity
    Write-Console 'ready'
  }
} catch {
  Write-Console "setup failed at ${step}: $_"
  throw
} finally {
  $mutex.ReleaseMutex()
}
