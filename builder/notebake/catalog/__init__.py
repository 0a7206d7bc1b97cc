"""The catalog: images stored as signed versions, and channels that point to versions."""
