"""Reports of a revival."""
