"""An audit as text, one file per format; nothing here analyses anything."""
