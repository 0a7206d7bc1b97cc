# For clones on other virtual hardware: the drivers that Setup did not need, and QEMU's guest agent.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# `notebake bake` puts them on the answer CD.
$volume = @(Get-Volume | Where-Object { $_.FileSystemLabel -eq 'NOTEBAKE' })
if ($volume.Count -ne 1) { throw "expected one CD with the label NOTEBAKE, found $($volume.Count)" }
$staged = "$($volume[0].DriveLetter):\staged"
& "$env:SystemRoot\System32\pnputil.exe" /add-driver "$staged\*.inf" /subdirs /install
# 259: no device needs one of them; 3010: after a restart.
if ($LASTEXITCODE -notin 0, 259, 3010) { throw "pnputil.exe: exit code $LASTEXITCODE" }
$options = @('/i', "$staged\qemu-ga-x86_64.msi", '/qn', '/norestart')
$run = Start-Process -FilePath 'msiexec.exe' -ArgumentList $options -Wait -PassThru
if ($run.ExitCode -notin 0, 3010) { throw "qemu-ga: msiexec.exe: exit code $($run.ExitCode)" }
