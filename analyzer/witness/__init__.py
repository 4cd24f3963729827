"""What is behind "dead on the probe": proofs for every input of a domain, and inputs that refute it."""
