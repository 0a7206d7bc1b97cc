# Install and configure cloudbase-init, which reads user-data. It runs first in a clone.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$settings = Get-Content -LiteralPath 'C:\Windows\Temp\settings.json' -Raw | ConvertFrom-Json
$pin = $settings.cloudbase_init
$folder = Join-Path $env:ProgramFiles 'Cloudbase Solutions\Cloudbase-Init'
$msi = 'C:\Windows\Temp\cloudbase-init.msi'
Invoke-WebRequest -UseBasicParsing -Uri $pin.url -OutFile $msi
$hash = (Get-FileHash -LiteralPath $msi -Algorithm SHA256).Hash
if ($hash -ne $pin.sha256) { throw "$($pin.url): SHA-256 is $hash, expected $($pin.sha256)" }
$options = @('/i', $msi, '/qn', '/norestart', '/l*v', 'C:\Windows\Temp\cloudbase-init-msi.log')
$run = Start-Process -FilePath 'msiexec.exe' -ArgumentList $options -Wait -PassThru
if ($run.ExitCode -notin 0, 3010) { throw "msiexec.exe: exit code $($run.ExitCode)" }
Remove-Item -LiteralPath $msi -Force
foreach ($name in 'cloudbase-init.conf', 'cloudbase-init-unattend.conf') {
  Copy-Item -LiteralPath "C:\Windows\Temp\$name" -Destination "$folder\conf\$name" -Force
}
Set-Service -Name 'cloudbase-init' -StartupType Automatic
