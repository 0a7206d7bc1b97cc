# Secrets come from the environment or a variable file.

variable "aws_region" {
  type    = string
  default = "eu-central-1"
}

variable "aws_source_ami_name" {
  type    = string
  default = ""
}

source "amazon-ebs" "image" {
  region        = var.aws_region
  ami_name      = var.image_name
  instance_type = "m6i.large"

  # The last step shuts the machine down, as SYSTEM.
  disable_stop_instance = true

  source_ami_filter {
    filters = {
      name                = var.aws_source_ami_name
      virtualization-type = "hvm"
    }
    owners      = ["amazon"]
    most_recent = true
  }

  user_data      = "<powershell>\n${file("${path.root}/answer/winrm.ps1")}\n</powershell>\n"
  communicator   = "winrm"
  winrm_username = "Administrator"
  winrm_use_ssl  = true
  winrm_insecure = true
  winrm_timeout  = "20m"
}
