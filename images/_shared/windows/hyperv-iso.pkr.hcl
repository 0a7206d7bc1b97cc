variable "switch_name" {
  type    = string
  default = "Default Switch"
}

source "hyperv-iso" "image" {
  iso_url          = var.iso
  iso_checksum     = var.iso_checksum
  output_directory = "output-hyperv"
  vm_name          = var.target
  generation       = 2
  switch_name      = var.switch_name
  cpus             = var.cpus
  memory           = var.memory_mib
  disk_size        = 40960
  cd_files         = ["${var.answer_directory}/*"]
  cd_label         = "NOTEBAKE"
  boot_wait        = "2s"
  boot_command     = [for second in range(40) : "a<wait1>"]
  http_directory   = var.wheelhouse
  communicator     = "winrm"
  winrm_username   = var.winrm_username
  winrm_password   = var.winrm_password
  winrm_use_ssl    = true
  winrm_insecure   = true
  winrm_timeout    = var.winrm_timeout
  # Only starts a task of SYSTEM, which seals, runs sysprep and shuts down: after sysprep nobody can log in.
  shutdown_command = "powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:/Windows/Temp/notebake/finish.ps1 -Builder hyperv-iso"
  shutdown_timeout = var.shutdown_timeout
}
