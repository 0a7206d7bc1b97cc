"""Plan -> the provisioning files, which turn a plain OS into a notebook machine."""
