# Install and configure cloudbase-init, which reads user-data. It runs first in a clone.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$settings = Get-Content -LiteralPath 'C:\Windows\Temp\notebake\settings.json' -Raw | ConvertFrom-Json
$pin = $settings.cloudbase_init
$folder = Join-Path $env:ProgramFiles 'Cloudbase Solutions\Cloudbase-Init'
$msi = 'C:\Windows\Temp\notebake\cloudbase-init.msi'
Invoke-WebRequest -UseBasicParsing -Uri $pin.url -OutFile $msi
$hash = (Get-FileHash -LiteralPath $msi -Algorithm SHA256).Hash
if ($hash -ne $pin.sha256) { throw "$($pin.url): SHA-256 is $hash, expected $($pin.sha256)" }
# As SYSTEM, like the task of setup.ps1. Its own account would be one more administrator, with a password.
$options = @('/i', $msi, '/qn', '/norestart', 'RUN_SERVICE_AS_LOCAL_SYSTEM=1')
$run = Start-Process -FilePath 'msiexec.exe' -ArgumentList $options -Wait -PassThru
if ($run.ExitCode -notin 0, 3010) { throw "msiexec.exe: exit code $($run.ExitCode)" }
foreach ($name in 'cloudbase-init.conf', 'cloudbase-init-unattend.conf') {
  Copy-Item -LiteralPath "C:\Windows\Temp\notebake\$name" -Destination "$folder\conf\$name" -Force
}
Set-Service -Name 'cloudbase-init' -StartupType Automatic
