"""Base images: the disk or root filesystem that a target starts from."""
