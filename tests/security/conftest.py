"""Bundles for the tests of the runtime."""

from __future__ import annotations

from support.bundle_fixtures import bundle, host_bundle, rootless_bundle, user_bundle

__all__ = ["bundle", "host_bundle", "rootless_bundle", "user_bundle"]
