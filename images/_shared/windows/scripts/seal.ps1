# Remove everything that clones must not share: certificate, token, Jupyter's state, logs.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# A clone registers this one again.
Get-ScheduledTask -TaskName 'notebake-watch' -ErrorAction SilentlyContinue | Unregister-ScheduledTask -Confirm:$false
Stop-ScheduledTask -TaskName 'notebake'
Stop-Service -Name 'notebake' -Force
$state = Join-Path $env:ProgramData 'notebake'
foreach ($name in 'data\tls', 'data\token', 'data\ready', 'data\jupyter', 'data\matplotlib', 'printed') {
  $path = Join-Path $state $name
  if (Test-Path -LiteralPath $path) {
    Remove-Item -LiteralPath $path -Recurse -Force
  }
}
Get-ChildItem -LiteralPath (Join-Path $state 'logs') -File | Remove-Item -Force
# Packer's own scripts: the last one cannot be removed by Packer.
Get-ChildItem -Path 'C:\Windows\Temp\*' -File -Include 'script-*.ps1', 'packer-*' | Remove-Item -Force
# The ssh server makes new host keys when it starts.
Get-ChildItem -Path (Join-Path $env:ProgramData 'ssh\*') -File -Include 'ssh_host_*' | Remove-Item -Force
foreach ($name in 'key.pem', 'token', 'ssh_host_*') {
  $left = @(Get-ChildItem -Path $state, "$env:ProgramData\ssh*" -Recurse -Force -Filter $name)
  if ($left.Count -ne 0) { throw "not removed: $($left[0].FullName)" }
}
