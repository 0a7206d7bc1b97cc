# Install Windows updates. The update agent refuses network sessions, so a scheduled task runs it as SYSTEM.
param([switch] $Worker)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$result = 'C:\Windows\Temp\notebake-updates.txt'

function Install-Update {
  $session = New-Object -ComObject 'Microsoft.Update.Session'
  $found = $session.CreateUpdateSearcher().Search("IsInstalled=0 and IsHidden=0 and Type='Software'").Updates
  if ($found.Count -eq 0) { return 'done: 0 updates' }
  foreach ($update in $found) { $update.AcceptEula() }
  $downloader = $session.CreateUpdateDownloader()
  $downloader.Updates = $found
  $null = $downloader.Download()
  $installer = $session.CreateUpdateInstaller()
  $installer.Updates = $found
  $code = $installer.Install().ResultCode
  # 2: all installed; 3: some failed, and the next bake tries them again.
  if ($code -notin 2, 3) { throw "the update agent's result code is $code" }
  return "done: $($found.Count) updates, result code $code"
}

if ($Worker) {
  try {
    $text = Install-Update
  } catch {
    $text = "failed: $_"
  }
  Set-Content -LiteralPath $result -Value $text -Encoding Ascii
  exit 0
}
if (-not $env:NOTEBAKE_UPDATES) { exit 0 }

$settings = Get-Content -LiteralPath 'C:\Windows\Temp\settings.json' -Raw | ConvertFrom-Json
$copy = 'C:\Windows\Temp\notebake-updates.ps1'
Copy-Item -LiteralPath $PSCommandPath -Destination $copy -Force
Remove-Item -LiteralPath $result -Force -ErrorAction SilentlyContinue
$task = @{
  TaskName  = 'notebake-updates'
  Action    = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument "-NoProfile -ExecutionPolicy Bypass -File $copy -Worker"
  Principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
}
$null = Register-ScheduledTask @task -Force
Start-ScheduledTask -TaskName 'notebake-updates'
$watch = [Diagnostics.Stopwatch]::StartNew()
while (-not (Test-Path -LiteralPath $result)) {
  if ($watch.Elapsed.TotalMinutes -gt $settings.updates_minutes) {
    throw "updates: not finished after $($settings.updates_minutes) minutes"
  }
  Start-Sleep -Seconds 5
}
Unregister-ScheduledTask -TaskName 'notebake-updates' -Confirm:$false
$text = Get-Content -LiteralPath $result -Raw
Write-Output "notebake: updates $text"
if ($text -notlike 'done*') { throw "updates: $text" }
