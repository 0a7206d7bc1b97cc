"""Plan -> golden image with its record: a base image, provisioned by Packer."""
