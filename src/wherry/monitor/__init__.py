"""One small process per container: parent of its first process, keeper of its streams, log and exit status."""
