"""Talking to image registries: the OCI distribution protocol with Docker's token authentication.

From the bottom up; each module imports only those above it::

    failures     what went wrong, in Docker's words; which failures are worth another try
    retry        how often, how long, with what pauses
    address      which addresses a registry may send us to
    helpers      programs that keep secrets
    credentials  ~/.docker/config.json and credential helpers, read
    logins       the same, written
    config       registries.toml: mirrors, insecure registries, certificates, time limits
    proxy        which proxy a request goes through
    net          sockets with deadlines, connections that look where they go
    tls          certificates and whom to trust
    explain      errors of sockets, TLS and HTTP in Docker's words
    transport    one request: http or https, redirects, no credentials for strangers
    auth         challenges and tokens
    login        credentials shown to a registry
    blob         one blob as a stream, from any offset
    client       manifests and blobs of one registry and its mirrors
    push         the same, written: mounts, uploads that go on where they broke off
    listing      tags, catalogues, referrers
    search       Docker Hub's search, and catalogues
    policy       policy.toml: what may be pulled, and what must be signed
    signatures   cosign's signatures by public key
    fetch        the whole way from a name to a verified image

(`archive`, `archive_writer` and `layout` are image archives and directories, and need none of these.)
"""

from wherry.registry import without_http2

without_http2.prepare()
