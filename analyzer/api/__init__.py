"""The stages in their order: the way in for the command line and for Python; `analyzer` names what is public."""
