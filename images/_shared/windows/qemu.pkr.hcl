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

# Where Packer keeps the ISO if it downloads it. Empty: in its own cache.
variable "iso_path" {
  type    = string
  default = ""
}

locals {
  # What Windows knows of Hyper-V and uses to be faster; QEMU has it with KVM only.
  cpu = var.accelerator == "kvm" ? "${var.cpu_model},hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_time" : var.cpu_model

  # Windows makes a driver ready for booting only for a device that it has seen: a clone may have its disk on
  # virtio-scsi. Any -device here replaces Packer's own, so the network card is listed again.
  devices = [
    ["-device", "virtio-net,netdev=user.0"],
    ["-device", "virtio-scsi-pci"],
    ["-device", "virtio-serial-pci"],
    ["-device", "virtio-balloon-pci"],
    ["-device", "virtio-rng-pci"],
  ]
  tpm = var.tpm_socket == "" ? [] : [
    ["-chardev", "socket,id=tpm,path=${var.tpm_socket}"],
    ["-tpmdev", "emulator,id=tpm0,chardev=tpm"],
    ["-device", "tpm-crb,tpmdev=tpm0"],
  ]
}

source "qemu" "image" {
  iso_url          = var.iso
  iso_checksum     = var.iso_checksum
  iso_target_path  = var.iso_path
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
    ["-cpu", local.cpu],
    ["-bios", var.firmware],
    ["-serial", "file:${var.console_log}"],
  ], local.devices, local.tpm)

  # The wheels, for the machine.
  # The machine reaches it as 10.0.2.2.
  http_bind_address = "127.0.0.1"
  http_directory    = var.wheelhouse

  cd_files = ["${var.answer_directory}/*"]
  cd_label = "NOTEBAKE"

  # Answer "Press any key to boot from CD", which a slow host shows late.
  boot_wait    = "2s"
  boot_command = [for second in range(40) : "<enter><wait1>"]

  communicator     = "winrm"
  winrm_username   = var.winrm_username
  winrm_password   = var.winrm_password
  winrm_use_ssl    = true
  winrm_insecure   = true
  winrm_timeout    = var.winrm_timeout
  # Only starts a task of SYSTEM, which seals, runs sysprep and shuts down: after sysprep nobody can log in.
  shutdown_command = "powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:/Windows/Temp/notebake/finish.ps1 -Builder qemu"
  shutdown_timeout = var.shutdown_timeout
}
