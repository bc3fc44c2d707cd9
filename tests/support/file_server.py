"""A real web server on this machine that gives one file, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 1 << 16


@dataclass
class FileServer:
    """What the server gives, and what it was asked for. Changed while it runs.

    Attributes
    ----------
    content
        The file.
    etag, last_modified, content_type, disposition
        Headers; empty ones aren't sent.
    status
        Another answer than 200.
    knows_ranges
        Whether it starts in the middle when asked to.
    chunked
        Whether it keeps the size to itself.
    announced
        A size other than the file's.
    cuts
        After how many bytes of its answer it hangs up; one a request, in turn.
    pause_after
        After how many bytes it waits until `go_on` is set.
    leads_to
        An address to redirect to.
    asked
        Path and Range header of each request.
    """

    content: bytes = b""
    etag: str = '"one"'
    last_modified: str = ""
    content_type: str = "application/octet-stream"
    disposition: str = ""
    encoding: str = ""
    status: int = 200
    knows_ranges: bool = True
    chunked: bool = False
    announced: int | None = None
    cuts: list[int] = field(default_factory=list)
    pause_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    leads_to: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def url(self, name: str = "cells.h5ad") -> str:
        """Return the address of the file under a name."""
        return f"{self.address}/{name}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file: FileServer

    def do_GET(self) -> None:
        file = self.file
        asked = self.headers.get("Range", "")
        file.asked.append((self.path, asked))
        if file.leads_to:
            self._head(302, {"Location": file.leads_to, "Content-Length": "0"})
            return
        if file.status != 200:
            self._head(file.status, {"Content-Length": "0"})
            return
        first = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and file.knows_ranges else 0
        if self.headers.get("If-Range") not in (None, file.etag, file.last_modified):
            first = 0
        if first >= len(file.content) > 0:
            self._head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(file.content)}"})
            return
        body = file.content[first:]
        headers = {
            "ETag": file.etag,
            "Last-Modified": file.last_modified,
            "Content-Type": file.content_type,
            "Content-Disposition": file.disposition,
            "Content-Encoding": file.encoding,
        }
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(file.content) - 1}/{len(file.content)}"
        if file.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(file.announced if file.announced is not None else len(body))
        self._head(206 if first else 200, headers)
        self._send(body, file.cuts.pop(0) if file.cuts else None)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes, cut: int | None) -> None:
        file, sent = self.file, 0
        for begin in range(0, len(body), PIECE):
            piece = body[begin : begin + PIECE]
            if cut is not None and sent + len(piece) > cut:
                self.wfile.write(piece[: cut - sent])
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if file.chunked else piece)
            sent += len(piece)
            if file.pause_after is not None and sent >= file.pause_after:
                file.go_on.wait()
        if file.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if file.announced is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that hang up, or are killed, are what this server is for."""


@contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    """Serve a file on this machine."""
    file = FileServer(content)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"file": file}))
    file.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield file
    finally:
        file.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
