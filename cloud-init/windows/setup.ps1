# Turn a plain Windows system into a notebook machine. Run as an administrator or SYSTEM; every step can be
# repeated.
#
# first-boot.ps1 or Packer unpacks this folder. All values come from config.json in this folder. Two scheduled tasks
# run this script: one at each boot, which prints the certificate's fingerprint on the serial console, and one every
# five minutes (-Watch), which goes on after a failure and prints a new fingerprint. -Wheelhouse: Packer's web server.
param([switch] $Bake, [switch] $Watch, [string] $Wheelhouse = '')

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# The progress bar makes downloads ten times slower.
$ProgressPreference = 'SilentlyContinue'

$root = Split-Path -Parent $PSScriptRoot
$state = Join-Path $env:ProgramData 'notebake'
$readyFile = Join-Path $state 'data\ready'
$tokenFile = Join-Path $state 'data\token'
$printedFile = Join-Path $state 'printed'
$python = Join-Path $root 'python\python.exe'
$lock = Join-Path $PSScriptRoot 'requirements.txt'
$config = Get-Content -LiteralPath "$PSScriptRoot\config.json" -Raw -Encoding UTF8 | ConvertFrom-Json
$wheels = Join-Path $root 'wheels'

# Print a program's output, so that it does not become the result of the calling function.
function Invoke-Native([string] $Program, [string[]] $Arguments) {
  & $Program @Arguments | Out-Host
  if ($LASTEXITCODE -ne 0) { throw "${Program}: exit code $LASTEXITCODE" }
}

# Print on standard output and the serial console, and record it in the event log. Only the token is not recorded.
function Write-Console([string] $Text, [switch] $Secret) {
  Write-Host "notebake: $Text"
  if (-not $Secret) {
    if (-not [Diagnostics.EventLog]::SourceExists('notebake')) { New-EventLog -LogName 'Application' -Source 'notebake' }
    Write-EventLog -LogName 'Application' -Source 'notebake' -EventId 1 -Message $Text
  }
  if ('COM1' -notin [IO.Ports.SerialPort]::GetPortNames()) { return }
  # One program at a time can open the port; Azure's serial console never closes it.
  for ($try = 1; $try -le 10; $try++) {
    try {
      $port = New-Object System.IO.Ports.SerialPort 'COM1', 115200
      $port.WriteTimeout = 5000
      $port.Open()
      $port.WriteLine("notebake: $Text")
      $port.Close()
      return
    } catch {
      Write-Host "notebake: serial console, attempt ${try}: $_"
      Start-Sleep -Seconds 2
    }
  }
}

# RestartCount would not do: it is for tasks that cannot be started, not for those that fail.
# https://learn.microsoft.com/openspecs/windows_protocols/ms-tsch/2ff4aa5a-7bc4-449f-bbb1-27475645867f
function Register-Setup([string] $Name, [string] $Option, [CimInstance] $Trigger) {
  $powershell = "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe"
  $call = "-NoProfile -ExecutionPolicy Bypass -File `"$PSScriptRoot\setup.ps1`" $Option"
  $task = @{
    TaskName  = $Name
    Action    = New-ScheduledTaskAction -Execute $powershell -Argument $call
    Trigger   = $Trigger
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
  } elseif ($Wheelhouse) {
    $source = @('--no-index', '--find-links', $Wheelhouse, '--trusted-host', ([Uri] $Wheelhouse).Host)
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

function Open-Port([string] $Name, [string] $Title, [int] $Port) {
  Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue | Remove-NetFirewallRule
  $rule = @{
    Name = $Name; DisplayName = $Title; Direction = 'Inbound'; Action = 'Allow'
    Protocol = 'TCP'; LocalPort = $Port; Profile = 'Any'
  }
  $null = New-NetFirewallRule @rule
}

# Also in a clone: sysprep turns Remote Desktop off, and on Google Cloud Packer's way in can only be closed afterwards.
function Open-Remote {
  if ($config.ssh -and -not (Get-Service -Name 'sshd' -ErrorAction SilentlyContinue)) {
    $null = Add-WindowsCapability -Online -Name 'OpenSSH.Server~~~~0.0.1.0'
  }
  # Without a choice: the server of releases that have one.
  if ($config.ssh -ne $false -and (Get-Service -Name 'sshd' -ErrorAction SilentlyContinue)) {
    Set-Service -Name 'sshd' -StartupType Automatic
    # Its first start writes host keys and settings.
    Start-Service -Name 'sshd'
    # cloudbase-init writes the user's own authorized_keys, which sshd does not read for administrators.
    $file = Join-Path $env:ProgramData 'ssh\sshd_config'
    $text = Get-Content -LiteralPath $file -Raw
    $own = $text -replace '(?m)^(\s*)(Match Group administrators|AuthorizedKeysFile __PROGRAMDATA__)', '$1#$2'
    if ($own -ne $text) {
      Set-Content -LiteralPath $file -Value $own -Encoding Ascii -NoNewline
      Restart-Service -Name 'sshd'
    }
    Open-Port 'notebake-ssh' 'notebake ssh' 22
  }
  if ($config.rdp) {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server'
    Set-ItemProperty -LiteralPath $key -Name 'fDenyTSConnections' -Value 0
    Open-Port 'notebake-rdp' 'notebake Remote Desktop' 3389
  }
  if (-not $Bake -and (Get-NetFirewallRule -Name 'notebake-winrm' -ErrorAction SilentlyContinue)) {
    Get-NetFirewallRule -Name 'notebake-winrm' | Remove-NetFirewallRule
    Set-Item -Path 'WSMan:\localhost\Service\Auth\Basic' -Value $false
  }
}

function Set-Firewall {
  Set-NetFirewallProfile -All -Enabled True -DefaultInboundAction Block
  Open-Port 'notebake' 'notebake notebook' $config.port
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

# Return what the running server wrote: the fingerprint and its process. Nothing if an earlier boot left the file.
function Get-Ready {
  if (-not (Test-Path -LiteralPath $readyFile)) { return @() }
  $lines = @(Get-Content -LiteralPath $readyFile)
  $running = @(Get-Process -Name 'python' -ErrorAction SilentlyContinue | Select-Object -ExpandProperty 'Id')
  if ($lines.Count -ne 2 -or [int] $lines[1] -notin $running) { return @() }
  return $lines
}

function Write-Identity([string[]] $Lines) {
  if (Test-Path -LiteralPath $tokenFile) {
    Write-Console "token $(Get-Content -LiteralPath $tokenFile -Raw)" -Secret
  }
  Write-Console "certificate SHA256 $($Lines[0])"
  Write-Console 'ready'
  Set-Content -LiteralPath $printedFile -Value $Lines -Encoding Ascii
}

# The tasks and the first boot's own call may run at the same time: one waits for the others. Each may be SYSTEM or
# an administrator.
$access = New-Object System.Security.AccessControl.MutexSecurity
$access.SetSecurityDescriptorSddlForm('D:(A;;0x1f0001;;;SY)(A;;0x1f0001;;;BA)')
$created = $false
$mutex = New-Object System.Threading.Mutex $false, 'Global\notebake-setup', ([ref] $created), $access
try {
  $null = $mutex.WaitOne()
} catch [System.Threading.AbandonedMutexException] {
  Write-Host 'notebake: an earlier set-up was cut off'
}
$step = 'task'
try {
  $done = Join-Path $PSScriptRoot 'complete'
  $complete = Test-Path -LiteralPath $done
  if (-not $complete) {
    Register-Setup 'notebake' '' (New-ScheduledTaskTrigger -AtStartup)
  }
  if (-not $Bake -and -not $Watch) {
    $often = New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval ([TimeSpan]::FromMinutes(5))
    Register-Setup 'notebake-watch' '-Watch' $often
  }
  if (-not $complete) {
    $step = 'trust'
    Import-Trust
    $step = 'python'
    Install-Python
    $step = 'environment'
    $environment = Install-Environment
    $step = 'service'
    Invoke-Native $python @('-X', 'utf8', "$PSScriptRoot\configure.py", $environment)
    $step = 'firewall'
    Set-Firewall
    $step = 'updates'
    Set-UpdatePolicy
    $null = New-Item -ItemType File -Force -Path $done
  }
  if (-not $complete -or -not $Watch) {
    $step = 'remote access'
    Open-Remote
  }
  if (-not $Bake) {
    $step = 'start'
    # An administrator may have stopped the service: only a boot starts it.
    if (-not $complete -or -not $Watch) {
      Start-Service -Name 'notebake'
      $clock = [Diagnostics.Stopwatch]::StartNew()
      while (@(Get-Ready).Count -eq 0) {
        if ($clock.Elapsed.TotalMinutes -gt 10) { throw "no certificate after 10 minutes; see $state\logs" }
        Start-Sleep -Seconds 1
      }
    }
    $ready = @(Get-Ready)
    $printed = @()
    if (Test-Path -LiteralPath $printedFile) { $printed = @(Get-Content -LiteralPath $printedFile) }
    if ($ready.Count -ne 0 -and "$ready" -ne "$printed") { Write-Identity $ready }
  }
} catch {
  Write-Console "setup failed at ${step}: $_"
  throw
} finally {
  $mutex.ReleaseMutex()
}
