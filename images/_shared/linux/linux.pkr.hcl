# The golden image of a Linux target. Values come from variables.pkrvars.json and from `notebake bake`.
# To run it by hand:
#   packer build -var-file=variables.pkrvars.json -var ssh_private_key_file=KEY -var seed_directory=DIR .
# DIR holds user-data and meta-data that give the user notebake-build this key and sudo.

variable "target" {
  type = string
}

variable "base_image" {
  type = string
}

variable "base_checksum" {
  type = string
}

variable "output_directory" {
  type    = string
  default = "output"
}

variable "seed_directory" {
  type    = string
  default = "seed"
}

variable "ssh_private_key_file" {
  type    = string
  default = ""
}

# A folder with wheels that Packer serves to the machine. Empty: the machine has an environment, or installs it from
# its Python index.
variable "wheelhouse" {
  type    = string
  default = ""
}

variable "qemu_binary" {
  type    = string
  default = "qemu-system-x86_64"
}

variable "accelerator" {
  type    = string
  default = "tcg"
}

variable "cpu_model" {
  type    = string
  default = "max"
}

variable "cpus" {
  type    = number
  default = 2
}

variable "memory_mib" {
  type    = number
  default = 2048
}

variable "disk_size" {
  type    = string
  default = "8G"
}

variable "console_log" {
  type    = string
  default = "console.log"
}

# Where Packer writes the machine's software inventory, on the host.
variable "software_report" {
  type    = string
  default = "software.json"
}

source "qemu" "image" {
  iso_url          = var.base_image
  iso_checksum     = var.base_checksum
  disk_image       = true
  format           = "qcow2"
  disk_size        = var.disk_size
  disk_interface   = "virtio"
  disk_discard     = "unmap"
  output_directory = var.output_directory
  vm_name          = "${var.target}.qcow2"

  qemu_binary  = var.qemu_binary
  accelerator  = var.accelerator
  machine_type = "q35"
  cpus         = var.cpus
  memory       = var.memory_mib
  net_device   = "virtio-net"
  headless     = true
  disable_vnc  = true
  # By default Packer offers ssh and its web server on every address of the host, and the screen over VNC.
  http_bind_address = "127.0.0.1"
  qemuargs = [
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-display", "none"],
    ["-vnc", "none"],
    ["-cpu", var.cpu_model],
    ["-serial", "file:${var.console_log}"],
  ]

  cd_files       = ["${var.seed_directory}/user-data", "${var.seed_directory}/meta-data"]
  cd_label       = "cidata"
  http_directory = var.wheelhouse

  boot_wait              = "-1s"
  communicator           = "ssh"
  ssh_username           = "notebake-build"
  ssh_private_key_file   = var.ssh_private_key_file
  ssh_timeout            = "20m"
  ssh_handshake_attempts = 200
  shutdown_command       = "sudo sh /run/notebake-seal/finish.sh"
  shutdown_timeout       = "3m"
}

build {
  sources = ["source.qemu.image"]

  provisioner "file" {
    source      = "${path.root}/guest.tar.gz"
    destination = "/tmp/guest.tar.gz"
  }

  provisioner "shell" {
    environment_vars = ["NOTEBAKE_WHEELS=${var.wheelhouse}"]
    execute_command  = "sudo env {{ .Vars }} sh {{ .Path }}"
    script           = "${path.root}/scripts/install.sh"
  }

  # A reboot ends the connection, and then nothing can be cleaned up.
  provisioner "shell" {
    execute_command   = "sudo env {{ .Vars }} sh {{ .Path }}"
    expect_disconnect = true
    skip_clean        = true
    script            = "${path.root}/scripts/reboot.sh"
  }

  provisioner "shell" {
    execute_command     = "sudo env {{ .Vars }} sh {{ .Path }}"
    start_retry_timeout = "15m"
    script              = "${path.root}/scripts/rebooted.sh"
  }

  provisioner "file" {
    source      = "${path.root}/scripts/report.py"
    destination = "/tmp/report.py"
  }

  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh {{ .Path }}"
    script          = "${path.root}/scripts/report.sh"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/tmp/software.json"
    destination = var.software_report
  }

  provisioner "file" {
    source      = "${path.root}/scripts/finish.sh"
    destination = "/tmp/finish.sh"
  }

  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh {{ .Path }}"
    script          = "${path.root}/scripts/seal.sh"
  }
}
