"""Certificates for the tests: an authority of their own, and what it signs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

# Made in a moment, where RSA takes seconds on a busy machine.
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Authority:
    """A certificate authority that lives in `directory`; authorities of one test need different names."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("the program openssl is not installed")
        self.program = program
        self.directory = directory
        self.ca = directory / f"{name}.crt"
        self._key = directory / f"{name}.key"
        self._openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN=Authority {name}",
            ),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._key, "-out", self.ca),
        )

    def issue(self, name: str, alternative: str, *, expired: bool = False) -> tuple[Path, Path]:
        """A certificate for `alternative` (`IP:…` or `DNS:…`), and its key; one that is over since yesterday."""
        key, request, certificate = (self.directory / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        self._openssl(*("req", *_NEW_KEY, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request))
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *(
                "-CAcreateserial",
                "-days",
                "-1" if expired else "2",
                "-extfile",
                extensions,
                "-out",
                certificate,
            ),
        )
        return certificate, key

    def _openssl(self, *arguments: object) -> None:
        subprocess.run([self.program, *map(str, arguments)], check=True, capture_output=True)
