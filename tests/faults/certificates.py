"""An authority of its own, and a certificate for this machine, for as long as a test lasts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority's certificate, and certificate and key of `localhost`."""

    ca: Path
    certificate: Path
    key: Path


def new_certificates(directory: Path) -> Certificates:
    """Make them with `openssl`; skips the test where that is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    ca, ca_key, certificate, key, request, names = (
        directory / name for name in ("ca.pem", "ca-key.pem", "cert.pem", "key.pem", "request", "names")
    )
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new: list[str | Path] = ["req", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    sign: list[str | Path] = ["x509", "-req", "-days", "2", "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"]
    calls: list[list[str | Path]] = [
        [*new, "-x509", "-subj", "/CN=Test authority", "-keyout", ca_key, "-out", ca],
        [*new, "-subj", "/CN=localhost", "-keyout", key, "-out", request],
        [*sign, "-in", request, "-extfile", names, "-out", certificate],
    ]
    for arguments in calls:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
    return Certificates(ca, certificate, key)
