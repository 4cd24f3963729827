"""Reports as one picture, to be shared."""
