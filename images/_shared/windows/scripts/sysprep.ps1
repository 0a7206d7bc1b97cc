# Generalize, with a time limit: sysprep can hang for hours. The error quotes its logs.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$folder = 'C:\Windows\Temp\notebake'
$settings = Get-Content -LiteralPath "$folder\settings.json" -Raw | ConvertFrom-Json
$failures = Get-Content -LiteralPath "$folder\sysprep-failures.json" -Raw | ConvertFrom-Json
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

# An app of a user that is not provisioned for all of them stops sysprep. Apps of Windows itself (SignatureKind System)
# and frameworks do not.
# https://learn.microsoft.com/troubleshoot/windows-client/setup-upgrade-and-drivers/sysprep-fails-remove-or-update-store-apps
$provisioned = @(Get-AppxProvisionedPackage -Online | Select-Object -ExpandProperty 'DisplayName')
foreach ($app in Get-AppxPackage -AllUsers) {
  if ($app.Name -in $provisioned -or $app.IsFramework -or $app.SignatureKind -eq 'System') { continue }
  Write-Output "notebake: removes the app $($app.PackageFullName)"
  Remove-AppxPackage -Package $app.PackageFullName -AllUsers
}

# A cloud's own agent runs sysprep, so that it also resets itself and runs user-data again in a clone.
$program = 'C:\Windows\System32\Sysprep\Sysprep.exe'
$options = @('/generalize', '/oobe', '/quit', '/quiet')
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
  default { $options += "/unattend:$folder\sysprep.xml" }
}
$run = Start-Process -FilePath $program -ArgumentList $options -PassThru
if (-not $run.WaitForExit($settings.sysprep_minutes * 60 * 1000)) {
  Stop-Process -Id $run.Id -Force
  throw (Get-Explanation "not finished after $($settings.sysprep_minutes) minutes")
}
$reached = (Get-ItemProperty -LiteralPath $stateKey -Name 'ImageState').ImageState
if ($reached -ne $expected) { throw (Get-Explanation "the image's state is $reached, expected $expected") }
# Elsewhere close.ps1 does it. Google's agent clears the folder itself.
if ($env:NOTEBAKE_BUILDER -in 'azure-arm', 'googlecompute' -and (Test-Path -LiteralPath $folder)) {
  Remove-Item -LiteralPath $folder -Recurse -Force
}
