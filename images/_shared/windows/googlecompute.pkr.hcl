# Secrets come from the environment or a variable file.

variable "gcp_project" {
  type    = string
  default = ""
}

variable "gcp_zone" {
  type    = string
  default = "europe-west3-a"
}

variable "gcp_source_image_family" {
  type    = string
  default = ""
}

source "googlecompute" "image" {
  project_id          = var.gcp_project
  zone                = var.gcp_zone
  source_image_family = var.gcp_source_image_family
  image_name          = var.image_name
  machine_type        = "e2-standard-2"
  disk_size           = 50
  metadata = {
    sysprep-specialize-script-ps1 = file("${path.root}/answer/winrm.ps1")
  }
  communicator   = "winrm"
  winrm_username = "packer"
  winrm_use_ssl  = true
  winrm_insecure = true
  winrm_timeout  = "20m"
}
