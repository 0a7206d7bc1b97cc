# Make the image smaller: replaced components, downloaded updates, and blocks that are no longer used.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

& "$env:SystemRoot\System32\Dism.exe" /Online /Cleanup-Image /StartComponentCleanup /ResetBase
# 3010: after a restart.
if ($LASTEXITCODE -notin 0, 3010) { throw "Dism.exe: exit code $LASTEXITCODE" }
Stop-Service -Name 'wuauserv' -Force
$downloads = Join-Path $env:SystemRoot 'SoftwareDistribution\Download'
Get-ChildItem -LiteralPath $downloads -Force | Remove-Item -Recurse -Force
Optimize-Volume -DriveLetter 'C' -ReTrim
