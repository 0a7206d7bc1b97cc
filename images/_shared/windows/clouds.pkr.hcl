# Hyper-V and three clouds. Secrets come from the environment or a variable file.

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
  boot_command     = ["a<wait1>a<wait1>a<wait1>a<wait1>a"]
  communicator     = "winrm"
  winrm_username   = var.winrm_username
  winrm_password   = var.winrm_password
  winrm_use_ssl    = true
  winrm_insecure   = true
  winrm_timeout    = var.winrm_timeout
  shutdown_command = "powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:/Windows/Temp/notebake-close.ps1"
  shutdown_timeout = "15m"
}

variable "azure_subscription_id" {
  type    = string
  default = env("ARM_SUBSCRIPTION_ID")
}

variable "azure_tenant_id" {
  type    = string
  default = env("ARM_TENANT_ID")
}

variable "azure_client_id" {
  type    = string
  default = env("ARM_CLIENT_ID")
}

variable "azure_client_secret" {
  type      = string
  default   = env("ARM_CLIENT_SECRET")
  sensitive = true
}

variable "azure_location" {
  type    = string
  default = "westeurope"
}

variable "azure_resource_group" {
  type    = string
  default = ""
}

variable "azure_sku" {
  type    = string
  default = ""
}

source "azure-arm" "image" {
  subscription_id = var.azure_subscription_id
  tenant_id       = var.azure_tenant_id
  client_id       = var.azure_client_id
  client_secret   = var.azure_client_secret

  location                          = var.azure_location
  vm_size                           = "Standard_D2s_v5"
  os_type                           = "Windows"
  image_publisher                   = "MicrosoftWindowsServer"
  image_offer                       = "WindowsServer"
  image_sku                         = var.azure_sku
  managed_image_name                = var.image_name
  managed_image_resource_group_name = var.azure_resource_group

  communicator   = "winrm"
  winrm_username = "packer"
  winrm_use_ssl  = true
  winrm_insecure = true
  winrm_timeout  = "15m"
}

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
