# Finish the image: seal, sysprep, close the build's way in, shut down. Sysprep ends the log-ins of the built-in
# Administrator, and a closed WinRM ends Packer's connection. So a task of SYSTEM does it, and this script returns at
# once. If a step fails, the machine stays on, and Packer gives up after its shutdown_timeout.
param([Parameter(Mandatory)] [string] $Builder, [switch] $Worker)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

function Write-Console([string] $Text) {
  try {
    $port = New-Object System.IO.Ports.SerialPort 'COM1', 115200
    $port.WriteTimeout = 5000
    $port.Open()
    foreach ($line in $Text -split "`n") { $port.WriteLine("notebake: $line") }
    $port.Close()
  } catch {
    Write-Output "no serial console: $_"
  }
}

if (-not $Worker) {
  $call = "-NoProfile -ExecutionPolicy Bypass -File $PSCommandPath -Builder $Builder -Worker"
  $task = @{
    TaskName  = 'notebake-finish'
    Action    = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument $call
    Principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
  }
  $null = Register-ScheduledTask @task -Force
  Start-ScheduledTask -TaskName 'notebake-finish'
  exit 0
}

$env:NOTEBAKE_BUILDER = $Builder
try {
  & "$PSScriptRoot\seal.ps1"
  & "$PSScriptRoot\sysprep.ps1"
  & "$PSScriptRoot\close.ps1"
} catch {
  Write-Console "the image is not sealed: $_"
  throw
}
Write-Console 'sealed'
& "$env:SystemRoot\System32\shutdown.exe" /s /t 5 /f
if ($LASTEXITCODE -ne 0) { throw "shutdown.exe: exit code $LASTEXITCODE" }
