"""Plan -> user-data, seed and Packer template."""
