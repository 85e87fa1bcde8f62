"""The OCI runtime: a bundle in, a container out, in the process that asked.

`plan` turns a runtime specification into operations, `create` starts a process for them, `init` walks them inside it.
"""
