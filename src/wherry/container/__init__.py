"""What a container is: its options, its record, its life, and the OCI runtime spec made from them.

Everything here but `users`, `devices` and `cdi` is pure: facts about the host and the image come in as data.
"""
