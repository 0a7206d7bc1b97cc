# Generalize, with a time limit: sysprep can hang for hours. The error quotes its logs.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$settings = Get-Content -LiteralPath 'C:\Windows\Temp\settings.json' -Raw | ConvertFrom-Json
$failures = Get-Content -LiteralPath 'C:\Windows\Temp\sysprep-failures.json' -Raw | ConvertFrom-Json
$panther = 'C:\Windows\System32\Sysprep\Panther'
$stateKey = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State'
$expected = 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE'

function Get-Explanation([string] $Reason) {
  $lines = @("sysprep: $Reason")
  foreach ($name in 'setuperr.log', 'setupact.log') {
    $log = Join-Path $panther $name
    if (Test-Path -LiteralPath $log) {
      $tail = @(Get-Content -LiteralPath $log -Tail $settings.tail_lines)
      $lines += "--- $name"
      $lines += $tail
      foreach ($failure in $failures) {
        if (($tail -join "`n") -match $failure.pattern) { $lines += "--> $($failure.advice)" }
      }
    }
  }
  return ($lines -join "`n")
}

# A cloud's own agent runs sysprep, so that it also resets itself and runs user-data again in a clone.
$program = 'C:\Windows\System32\Sysprep\Sysprep.exe'
$options = @('/generalize', '/oobe', '/quit', '/quiet', '/mode:vm')
switch ($env:NOTEBAKE_BUILDER) {
  'amazon-ebs' {
    $program = "$env:ProgramFiles\Amazon\EC2Launch\EC2Launch.exe"
    & $program reset --clean
    if ($LASTEXITCODE -ne 0) { throw "EC2Launch.exe reset: exit code $LASTEXITCODE" }
    $options = @('sysprep', '--clean', '--block')
  }
  'googlecompute' {
    $program = "$env:SystemRoot\System32\cmd.exe"
    $options = @('/c', 'GCESysprep -NoShutdown')
  }
  'azure-arm' { Write-Output 'notebake: Azure makes the answer file of each clone' }
  default { $options += '/unattend:C:\Windows\Temp\sysprep.xml' }
}
$run = Start-Process -FilePath $program -ArgumentList $options -PassThru
if (-not $run.WaitForExit($settings.sysprep_minutes * 60 * 1000)) {
  Stop-Process -Id $run.Id -Force
  throw (Get-Explanation "not finished after $($settings.sysprep_minutes) minutes")
}
$reached = (Get-ItemProperty -LiteralPath $stateKey -Name 'ImageState').ImageState
if ($reached -ne $expected) { throw (Get-Explanation "the image's state is $reached, expected $expected") }
# Clones must not listen for Packer.
Set-Service -Name 'WinRM' -StartupType Disabled
