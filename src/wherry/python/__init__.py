"""The package as a library: what `import wherry` offers (docs/python-api.md).

Each call is done by a helper process with one thread, because containers are forked off and the caller may have any
number of threads (docs/decisions/0186-python-api.md).  `client` and `environment` are what callers see, `helper` is the
process, `work` what it does.
"""
