"""What is known of an image: its record, software, SBOM, page; the diff of two."""
