# Install Windows updates once; Packer runs it again after a restart. The update agent refuses network sessions, so
# a scheduled task runs it as SYSTEM.
param([switch] $Worker)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$folder = 'C:\Windows\Temp\notebake'
$result = Join-Path $folder 'updates.txt'
$restart = Join-Path $folder 'restart'
$counter = Join-Path $folder 'rounds.txt'
# Another release of Windows: the category Upgrades.
# https://learn.microsoft.com/previous-versions/windows/desktop/ff357803(v=vs.85)
$upgrades = '3689bdc8-b205-4af4-8d4a-a63924c5e9d5'

function Install-Update {
  $session = New-Object -ComObject 'Microsoft.Update.Session'
  # BrowseOnly: optional updates.
  $found = $session.CreateUpdateSearcher().Search('BrowseOnly=0 and IsInstalled=0 and IsHidden=0').Updates
  $chosen = New-Object -ComObject 'Microsoft.Update.UpdateColl'
  foreach ($update in $found) {
    $categories = @($update.Categories | Select-Object -ExpandProperty 'CategoryID')
    if ($upgrades -in $categories) { continue }
    $update.AcceptEula()
    $null = $chosen.Add($update)
  }
  if ($chosen.Count -eq 0) { return 'done: nothing to install' }
  $downloader = $session.CreateUpdateDownloader()
  $downloader.Updates = $chosen
  $null = $downloader.Download()
  $installer = $session.CreateUpdateInstaller()
  $installer.Updates = $chosen
  $null = New-Item -ItemType File -Force -Path $restart
  $outcome = $installer.Install()
  $failed = @()
  for ($n = 0; $n -lt $chosen.Count; $n++) {
    $one = $outcome.GetUpdateResult($n)
    # 2: installed.
    if ($one.ResultCode -ne 2) { $failed += '{0} (0x{1:X8})' -f $chosen.Item($n).Title, $one.HResult }
  }
  if ($failed.Count -ne 0) { return "not installed: $($failed -join '; ')" }
  return "done: $($chosen.Count) installed"
}

if ($Worker) {
  try {
    $text = Install-Update
  } catch {
    $text = "failed: $_"
  }
  Set-Content -LiteralPath "${result}.new" -Value $text -Encoding UTF8
  Move-Item -LiteralPath "${result}.new" -Destination $result -Force
  exit 0
}
# Packer gives a step no variables when it tries it again after a lost connection (seen with 1.6.6): so a missing one
# means yes, and the rounds are counted here.
if ($env:NOTEBAKE_UPDATES -eq 'no') { exit 0 }

$settings = Get-Content -LiteralPath "$folder\settings.json" -Raw | ConvertFrom-Json
$copy = Join-Path $folder 'updates.ps1'
Copy-Item -LiteralPath $PSCommandPath -Destination $copy -Force
foreach ($old in $result, $restart) {
  if (Test-Path -LiteralPath $old) {
    Remove-Item -LiteralPath $old -Force
  }
}
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
$text = Get-Content -LiteralPath $result -Raw -Encoding UTF8
Write-Output "notebake: updates $text"
$round = 1
if (Test-Path -LiteralPath $counter) { $round += [int] (Get-Content -LiteralPath $counter -Raw) }
Set-Content -LiteralPath $counter -Value $round -Encoding Ascii
if ($text -like 'done*') { exit 0 }
# It is tried again after a restart.
if ($text -like 'not installed*' -and $round -lt 3) { exit 0 }
throw "updates: $text"
