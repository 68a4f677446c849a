"""Where a stack is reached from outside: a port, and the certificate to trust there."""

import http.client
import ssl
from dataclasses import dataclass

_PATIENCE_S = 30


@dataclass(frozen=True)
class Address:
    """Where the stack is reached, and whom to trust there."""

    port: int
    certificate: str

    def connection(self) -> http.client.HTTPSConnection:
        """Return a connection that checks the certificate."""
        trusted = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=_PATIENCE_S, context=trusted
        )
