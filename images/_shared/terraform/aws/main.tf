# Machines in AWS EC2 with user-data only, for Terraform and OpenTofu. All values are in terraform.tfvars.json.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "allow" {
  description = "Networks that may reach the notebook and ssh, such as [\"198.51.100.7/32\"]: your own address."
  type        = list(string)
  nullable    = false
}

variable "machines" {
  description = "Number of machines: NAME-1, NAME-2, ..."
  type        = number
  default     = 1
  nullable    = false
}

variable "name" {
  description = "Name of the machines, without their number."
  type        = string
}

variable "region" {
  description = "Region; null: that of the AWS configuration."
  type        = string
  default     = null
}

variable "size" {
  description = "Instance type: x86-64, 2 GiB or more."
  type        = string
}

variable "image" {
  description = "AMI; null: the newest of the publisher."
  type        = string
  default     = null
}

variable "publisher" {
  description = "Account of the distribution, and the pattern of its AMIs' names."
  type        = object({ owner = string, name = string })
  default     = null
}

variable "subnet" {
  description = "Subnet; null: one of the default VPC."
  type        = string
  default     = null
}

variable "public" {
  description = "Give each machine a public address."
  type        = bool
}

variable "disk_gib" {
  description = "Size of each disk, in GiB; not less than the image."
  type        = number
  default     = 8
  nullable    = false
}

variable "public_key" {
  description = "Public ssh key of the administrator; null: no log-in over ssh."
  type        = string
  default     = null
}

variable "admin" {
  description = "User that logs in over ssh."
  type        = string
}

variable "base_url" {
  description = "Path at which the notebook's pages begin."
  type        = string
}

variable "port" {
  description = "Public port of the notebook."
  type        = number
}

variable "user_data" {
  description = "User-data file in this folder; null for the AMI of a golden image."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags on everything that is created."
  type        = map(string)
  default     = {}
  nullable    = false
}

provider "aws" {
  region = var.region

  default_tags {
    tags = var.tags
  }
}

data "aws_ami" "publisher" {
  count = var.image == null ? 1 : 0

  most_recent = true
  owners      = [var.publisher.owner]

  filter {
    name   = "name"
    values = [var.publisher.name]
  }

  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

data "aws_subnet" "chosen" {
  count = var.subnet == null ? 0 : 1

  id = var.subnet
}

resource "aws_key_pair" "admin" {
  count = var.public_key == null ? 0 : 1

  key_name_prefix = "${var.name}-"
  public_key      = var.public_key
}

resource "aws_security_group" "notebook" {
  name_prefix = "${var.name}-"
  description = "notebake: ${var.name}"
  vpc_id      = one(data.aws_subnet.chosen[*].vpc_id)

  # The machine redirects the public port to the notebook's.
  dynamic "ingress" {
    for_each = toset([22, var.port])

    content {
      protocol         = "tcp"
      from_port        = ingress.value
      to_port          = ingress.value
      cidr_blocks      = [for network in var.allow : network if !strcontains(network, ":")]
      ipv6_cidr_blocks = [for network in var.allow : network if strcontains(network, ":")]
    }
  }

  egress {
    protocol         = "-1"
    from_port        = 0
    to_port          = 0
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_instance" "notebook" {
  count = var.machines

  ami                         = var.image == null ? one(data.aws_ami.publisher[*].id) : var.image
  instance_type               = var.size
  subnet_id                   = var.subnet
  associate_public_ip_address = var.public
  vpc_security_group_ids      = [aws_security_group.notebook.id]
  key_name                    = one(aws_key_pair.admin[*].key_name)
  user_data_base64            = var.user_data == null ? null : filebase64("${path.module}/${var.user_data}")

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.disk_gib
    encrypted   = true
    tags        = var.tags
  }

  tags = {
    Name = "${var.name}-${count.index + 1}"
  }

  # A new image, or user-data rendered again, is for new machines: replacing one would delete its notebooks.
  lifecycle {
    ignore_changes = [ami, user_data_base64]
  }
}

output "addresses" {
  description = "URL of each notebook."
  value = {
    for machine in aws_instance.notebook : machine.tags.Name =>
    "https://${var.public ? machine.public_ip : machine.private_ip}:${var.port}${var.base_url}"
  }
}

output "adopt" {
  description = "Commands that pin each machine's certificate from its console, once it has booted."
  value = {
    for machine in aws_instance.notebook : machine.tags.Name => join(" ", compact([
      "aws ec2 get-console-output --latest --output text --instance-id ${machine.id}",
      var.region == null ? "" : "--region ${var.region}",
      "| notebake adopt ${machine.tags.Name} --console - --user ${var.admin}",
      "--address https://${var.public ? machine.public_ip : machine.private_ip}:${var.port}${var.base_url}",
    ]))
  }
}
