"""What differs where the guest is a Windows: names it takes, its files, its user-data, its images."""
