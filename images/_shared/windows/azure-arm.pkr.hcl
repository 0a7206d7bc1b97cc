# Secrets come from the environment or a variable file.

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
