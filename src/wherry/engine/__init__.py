"""The use cases.  `run` is the one to read first."""
