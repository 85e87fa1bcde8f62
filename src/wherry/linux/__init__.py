"""Every system call Wherry makes that Python's standard library does not offer."""
