"""Buckets, certificates, and what fsspec reads: the ways to a file that aren't plain http."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from czrun.datasets.fetch import fetched
from czrun.datasets.spec import DatasetSpec
from czrun.datasets.web import _address
from czrun.errors import DatasetError
from file_server import FileServer


def fetch(url: str) -> bytes:
    return fetched(DatasetSpec(name="cells", url=url)).path.read_bytes()


class CutsOnce(MemoryFileSystem):  # type: ignore[misc]
    """A place whose connection breaks once, at the second piece."""

    protocol = "cutsonce"
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's own pattern
    pseudo_dirs = [""]  # noqa: RUF012
    begins: list[int] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("cutsonce://", "memory://")))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        self.begins.append(start or 0)
        if len(self.begins) == 2:
            raise ConnectionResetError("cut")
        return super().cat_file(path, start=start, end=end, **more)


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """fsspec's file system in memory, emptied."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


class TestBuckets:
    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("s3://bucket/a/b c.h5ad", "https://bucket.s3.amazonaws.com/a/b%20c.h5ad"),
            ("s3://dotted.bucket/a.h5ad", "https://s3.amazonaws.com/dotted.bucket/a.h5ad"),
            ("gs://bucket/a.h5ad", "https://storage.googleapis.com/bucket/a.h5ad"),
            ("https://host/a.h5ad?x=1#name.h5ad", "https://host/a.h5ad?x=1"),
        ],
    )
    def test_a_public_bucket_is_a_web_server(self, url: str, address: str) -> None:
        assert _address(url) == address

    def test_a_bucket_of_ones_own_endpoint(
        self, server: FileServer, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        assert fetch("s3://bucket/folder/cells.h5ad") == content
        assert server.asked[0][0] == "/bucket/folder/cells.h5ad"

    def test_a_bucket_that_asks_who_you_are(
        self, server: FileServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        server.status = 403
        monkeypatch.setattr("czrun.datasets.fetch.find_spec", lambda _: None)
        with pytest.raises(DatasetError, match=r"isn't public, or isn't there \(403\)") as refused:
            fetch("s3://bucket/cells.h5ad")
        assert "czrun[remote]" in refused.value.hint


class TestElsewhere:
    def test_what_fsspec_has_a_back_end_for(self, memory: MemoryFileSystem, content: bytes) -> None:
        memory.pipe_file("/folder/cells.h5ad", content)
        assert fetch("memory://folder/cells.h5ad") == content

    def test_a_cut_is_mended(self, content: bytes) -> None:
        fsspec.register_implementation("cutsonce", CutsOnce, clobber=True)
        content *= 6
        fsspec.filesystem("cutsonce").pipe_file("/folder/cells.h5ad", content)
        assert fetch("cutsonce://folder/cells.h5ad") == content
        assert CutsOnce.begins[:3] == [0, 8 << 20, 8 << 20]

    def test_what_isn_t_there(self, memory: MemoryFileSystem) -> None:
        memory.pipe_file("/folder/other.h5ad", b"")
        with pytest.raises(DatasetError, match="isn't there"):
            fetch("memory://folder/cells.h5ad")

    def test_a_folder_that_doesn_t_look_like_one(self, memory: MemoryFileSystem) -> None:
        memory.pipe_file("/folder/cells.h5ad/part", b"x")
        with pytest.raises(DatasetError, match="is a folder"):
            fetch("memory://folder/cells.h5ad")

    def test_an_unknown_kind_of_address(self) -> None:
        with pytest.raises(DatasetError, match="can't be opened: Protocol not known"):
            fetch("carrierpigeon://loft/cells.h5ad")

    def test_without_fsspec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(DatasetError, match="needs fsspec") as refused:
            fetch("abfs://container/cells.h5ad")
        assert refused.value.hint == "pip install 'czrun[remote]'"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that nobody has signed, and its key behind it."""
    if not shutil.which("openssl"):
        pytest.skip("openssl isn't installed: there is nothing to make a certificate with")
    path = tmp_path / "here.pem"
    key = tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        leads_to = self.path.partition("?to=")[2]
        self.send_response(302 if leads_to else 200)
        if leads_to:
            self.send_header("Location", leads_to)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"cells")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that don't trust the certificate hang up."""


@pytest.fixture
def tls_address(certificate: Path) -> Iterator[str]:
    """The address of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = _Quiet(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class TestCertificates:
    def test_one_that_nobody_has_signed(self, tls_address: str) -> None:
        with pytest.raises(DatasetError, match=r"the certificate of 127\.0\.0\.1 isn't trusted") as refused:
            fetch(f"{tls_address}/cells.h5ad")
        assert "export SSL_CERT_FILE=" in refused.value.hint

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_one_that_the_user_names(
        self, tls_address: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, str(certificate))
        assert fetch(f"{tls_address}/cells.h5ad") == b"cells"

    def test_a_way_that_leaves_encryption_is_refused(
        self, tls_address: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, server: FileServer
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(DatasetError, match="without encryption"):
            fetch(f"{tls_address}/cells.h5ad?to={server.url()}")
