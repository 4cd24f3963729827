"""Arguments in, exit code out: one file per subcommand, each one call into the API."""
