"""A base image put together from a Debian archive: signatures, package lists, dependencies, and layers of packages.

`archive` trusts nothing that the signed Release files do not name, `solve` chooses, `base` is both for a lock;
`deb`, `install` and `layers` turn packages into tars.  No maintainer script runs (docs/decisions/0180-debian-base.md).
"""
