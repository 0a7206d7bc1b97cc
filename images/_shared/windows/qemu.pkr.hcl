variable "output_directory" {
  type    = string
  default = "output"
}

variable "accelerator" {
  type    = string
  default = "kvm"
}

variable "cpu_model" {
  type    = string
  default = "max"
}

variable "disk_size" {
  type    = string
  default = "40G"
}

variable "firmware" {
  type    = string
  default = "/usr/share/ovmf/OVMF.fd"
}

# The control socket of a running swtpm. Empty: no TPM.
variable "tpm_socket" {
  type    = string
  default = ""
}

variable "console_log" {
  type    = string
  default = "console.log"
}

locals {
  # Any -device here replaces Packer's own, so the network card is listed again.
  tpm = var.tpm_socket == "" ? [] : [
    ["-chardev", "socket,id=tpm,path=${var.tpm_socket}"],
    ["-tpmdev", "emulator,id=tpm0,chardev=tpm"],
    ["-device", "virtio-net,netdev=user.0"],
    ["-device", "tpm-crb,tpmdev=tpm0"],
  ]
}

source "qemu" "image" {
  iso_url          = var.iso
  iso_checksum     = var.iso_checksum
  format           = "qcow2"
  disk_size        = var.disk_size
  disk_interface   = "virtio"
  disk_discard     = "unmap"
  output_directory = var.output_directory
  vm_name          = "${var.target}.qcow2"

  accelerator  = var.accelerator
  machine_type = "q35"
  cpus         = var.cpus
  memory       = var.memory_mib
  net_device   = "virtio-net"
  headless     = true
  # Packer needs the screen, to press the key that starts Setup. WinRM it would offer on every address of the host.
  vnc_bind_address = "127.0.0.1"
  qemuargs = concat([
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:5986"],
    ["-display", "none"],
    ["-cpu", var.cpu_model],
    ["-bios", var.firmware],
    ["-serial", "file:${var.console_log}"],
  ], local.tpm)

  cd_files = ["${var.answer_directory}/*"]
  cd_label = "NOTEBAKE"

  # Answer "Press any key to boot from CD", for as long as it may appear.
  boot_wait    = "2s"
  boot_command = ["<enter><wait1><enter><wait1><enter><wait1><enter><wait1><enter><wait1><enter>"]

  communicator     = "winrm"
  winrm_username   = var.winrm_username
  winrm_password   = var.winrm_password
  winrm_use_ssl    = true
  winrm_insecure   = true
  winrm_timeout    = var.winrm_timeout
  shutdown_command = "powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:/Windows/Temp/notebake-close.ps1"
  shutdown_timeout = "15m"
}
