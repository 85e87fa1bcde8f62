"""The Docker Engine API (1.24 to 1.50) on the engine's use cases: routes per resource, streams, and who may connect.

Reference: moby/moby ``api/docs/v1.50.yaml``.  Read `server` first, then `routes`.
"""
