# The golden image of a Windows target, on QEMU, Hyper-V and three clouds, by the same steps. Values come from
# variables.pkrvars.json and from `notebake bake` (QEMU). To run another platform by hand,
# with `init` for Packer 1.7 and newer:
#   packer init plugins
#   packer build -only=azure-arm.image -var-file=variables.pkrvars.json -var-file=mine.pkrvars.json .

variable "target" {
  type = string
}

variable "image_name" {
  type = string
}

# Only for the build: sysprep's answer file removes it.
variable "winrm_username" {
  type    = string
  default = "Administrator"
}

# For machines that Windows Setup installs: the password in the answer file. `notebake bake` makes one, and
# `notebake render --build-password-stdin` writes one for a build by hand. Clouds make their own.
variable "winrm_password" {
  type      = string
  default   = ""
  sensitive = true
}

# Timeouts for WinRM login and for each provisioner.
variable "winrm_timeout" {
  type    = string
  default = "3h"
}

# A folder of wheels that Packer serves to the machine. Empty: the machine installs from its Python index.
variable "wheelhouse" {
  type    = string
  default = ""
}

variable "updates" {
  type    = bool
  default = true
}

# Where Packer writes the machine's software inventory, on the host.
variable "software_report" {
  type    = string
  default = "software.json"
}

# For machines that Windows Setup installs, on QEMU and on Hyper-V.
variable "iso" {
  type    = string
  default = ""
}

variable "iso_checksum" {
  type    = string
  default = "none"
}

# A folder with Autounattend.xml, winrm.ps1 and drivers/. It becomes a CD: Hyper-V's generation 2 has no floppy.
variable "answer_directory" {
  type    = string
  default = "answer"
}

variable "cpus" {
  type    = number
  default = 2
}

variable "memory_mib" {
  type    = number
  default = 4096
}

# Sysprep's own limit (settings.json), the seal and the shutdown.
variable "shutdown_timeout" {
  type    = string
  default = "45m"
}

locals {
  # updates.ps1 writes the file when Windows has to restart.
  restart_if_needed = "cmd.exe /c if exist C:\\Windows\\Temp\\notebake\\restart shutdown.exe /r /f /t 5"
}

build {
  sources = [
    "source.qemu.image",
    "source.hyperv-iso.image",
    "source.azure-arm.image",
    "source.amazon-ebs.image",
    "source.googlecompute.image",
  ]

  # close.ps1 removes this folder at the end.
  provisioner "file" {
    sources = [
      "${path.root}/guest.tar.gz",
      "${path.root}/settings.json",
      "${path.root}/cloudbase-init.conf",
      "${path.root}/cloudbase-init-unattend.conf",
      "${path.root}/sysprep.xml",
      "${path.root}/sysprep-failures.json",
      "${path.root}/scripts/finish.ps1",
      "${path.root}/scripts/seal.ps1",
      "${path.root}/scripts/sysprep.ps1",
      "${path.root}/scripts/close.ps1",
    ]
    destination = "C:/Windows/Temp/notebake/"
  }

  provisioner "powershell" {
    environment_vars = ["NOTEBAKE_SERVE_WHEELS=${var.wheelhouse == "" ? "" : "yes"}"]
    script           = "${path.root}/scripts/install.ps1"
    timeout          = "1h"
  }

  # An update may bring others. One that restarts Windows by itself cuts Packer's connection: the step is tried again.
  provisioner "powershell" {
    environment_vars    = ["NOTEBAKE_UPDATES=${var.updates ? "yes" : "no"}"]
    script              = "${path.root}/scripts/updates.ps1"
    timeout             = "4h"
    start_retry_timeout = "30m"
    max_retries         = 2
  }

  provisioner "windows-restart" {
    restart_command = local.restart_if_needed
    restart_timeout = "1h"
  }

  provisioner "powershell" {
    environment_vars    = ["NOTEBAKE_UPDATES=${var.updates ? "yes" : "no"}"]
    script              = "${path.root}/scripts/updates.ps1"
    timeout             = "4h"
    start_retry_timeout = "30m"
    max_retries         = 2
  }

  provisioner "windows-restart" {
    restart_command = local.restart_if_needed
    restart_timeout = "1h"
  }

  provisioner "powershell" {
    environment_vars    = ["NOTEBAKE_UPDATES=${var.updates ? "yes" : "no"}"]
    script              = "${path.root}/scripts/updates.ps1"
    timeout             = "4h"
    start_retry_timeout = "30m"
    max_retries         = 2
  }

  provisioner "windows-restart" {
    restart_timeout = "1h"
  }

  provisioner "powershell" {
    only    = ["qemu.image"]
    script  = "${path.root}/scripts/drivers.ps1"
    timeout = "30m"
  }

  # In clouds the cloud's own agent runs user-data.
  provisioner "powershell" {
    only    = ["qemu.image", "hyperv-iso.image"]
    script  = "${path.root}/scripts/cloudbase-init.ps1"
    timeout = "30m"
  }

  provisioner "powershell" {
    script  = "${path.root}/scripts/clean.ps1"
    timeout = "2h"
  }

  provisioner "powershell" {
    script  = "${path.root}/scripts/report.ps1"
    timeout = "30m"
  }

  provisioner "file" {
    direction   = "download"
    source      = "C:/Windows/Temp/notebake/software.json"
    destination = var.software_report
  }

  # Packer stops these machines itself. Their build's account is no built-in Administrator: it can still log in.
  provisioner "powershell" {
    only             = ["azure-arm.image", "googlecompute.image"]
    environment_vars = ["NOTEBAKE_BUILDER=${source.type}"]
    scripts          = ["${path.root}/scripts/seal.ps1", "${path.root}/scripts/sysprep.ps1"]
    timeout          = "1h"
    skip_clean       = true
  }

  # What shutdown_command does elsewhere: this builder has none.
  provisioner "powershell" {
    only       = ["amazon-ebs.image"]
    inline     = ["C:/Windows/Temp/notebake/finish.ps1 -Builder ${source.type}"]
    skip_clean = true
  }
}
