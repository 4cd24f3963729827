"""An audit as one HTML page that works offline: see page.py for what it shows, packed.py for how it stays small."""
