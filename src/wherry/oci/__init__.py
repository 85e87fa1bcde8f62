"""The documents that images are made of, as values: references, digests, manifests, configurations (no I/O).

Reading order: `reference` (what a person types), `digest` (what it becomes), `manifest` and `platform` (how one leads
to the other), `image` (what is run), `mount` (what a snapshotter hands to the runtime).
"""
