"""A plan becomes a smaller model; both are run and compared before anything is written."""
