"""The client's side of TLS: certificate and host name are always checked."""

from __future__ import annotations

import ssl


class _ClosingSocket(ssl.SSLSocket):
    """A TLS socket that closes itself when the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """A client's TLS context that checks the certificate and the host name.

    Without `ca_file` the system's authorities count. Raises OSError (ssl.SSLError is one) for an unusable file.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _ClosingSocket
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    return context
