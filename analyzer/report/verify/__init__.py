"""Reports of a certificate that was checked again."""
