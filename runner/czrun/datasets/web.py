"""Files over HTTP: of web servers, and of public buckets of S3 and Google, which are web servers too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urldefrag, urlsplit

import requests
from urllib3.exceptions import NameResolutionError

from czrun.datasets.remote import Interrupted, NeedsCredentials, RemoteVersion, Stream, shown_url
from czrun.errors import DatasetError
from czrun.version import __version__

_CONNECT_S, _SILENCE_S = 10, 60
# What a cut costs at most; larger pieces aren't measurably faster.
_PIECE_BYTES = 1 << 18
_LATER = "The same command goes on from where this one came to."


def open_web(url: str, start: int, begun: RemoteVersion | None) -> Stream:
    """Ask for a file from a byte on.

    Parameters
    ----------
    url
        https://, http://, s3:// or gs://.
    start
        The first byte that is wanted.
    begun
        What the server said when the bytes before it came. Where it says something else by now, or can't
        start in the middle, the stream starts from 0.

    Raises
    ------
    DatasetError
        When the server can't be reached, or hasn't got the file.
    NeedsCredentials
        When a bucket doesn't give it to strangers.
    """
    session = requests.Session()
    # requests itself looks at REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, and these win.
    session.verify = os.environ.get("SSL_CERT_FILE") or True
    try:
        response = _ask(session, url, start, begun)
        if start and not _goes_on(response, start, begun):
            response.close()
            response = _ask(session, url, 0, None)
        _refuse_pages(response, url)
    except BaseException:
        session.close()
        raise

    def hang_up() -> None:
        response.close()
        session.close()

    begin = start if response.status_code == requests.codes.partial else 0
    return Stream(_version(response), begin, _names(response), _pieces(response), hang_up)


def _ask(session: requests.Session, url: str, start: int, begun: RemoteVersion | None) -> requests.Response:
    # identity: a range of a compressed answer would be a range of something else.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"czrun/{__version__}"}
    if start and begun and (unchanged := begun.etag or begun.last_modified):
        headers |= {"Range": f"bytes={start}-", "If-Range": unchanged}
    address = _address(url)
    try:
        response = _get(session, address, headers)
        region = response.headers.get("x-amz-bucket-region")
        # S3 names the region of a bucket in a redirect that leads nowhere.
        if region and response.status_code in (301, 307, 400) and f".{region}." not in address:
            response.close()
            address = address.replace("s3.amazonaws.com", f"s3.{region}.amazonaws.com", 1)
            response = _get(session, address, headers)
    except requests.RequestException as error:
        raise _unreachable(url, error) from error
    if address.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise DatasetError(
            f"{shown_url(url)} leads on to an address without encryption, {shown_url(response.url)}.",
            "Name that address itself, with --sha256, if you trust it.",
        )
    range_is_past_the_end = start and response.status_code == requests.codes.requested_range_not_satisfiable
    if response.status_code not in (requests.codes.ok, requests.codes.partial) and not range_is_past_the_end:
        response.close()
        raise _refused(url, response)
    return response


def _get(session: requests.Session, address: str, headers: dict[str, str]) -> requests.Response:
    return session.get(address, headers=headers, stream=True, timeout=(_CONNECT_S, _SILENCE_S))


def _address(url: str) -> str:
    """Return where a file is on the web."""
    scheme, _, rest = urldefrag(url).url.partition("://")
    if scheme in ("http", "https"):
        return urldefrag(url).url
    bucket, _, key = rest.partition("/")
    path = quote(key)
    if scheme == "gs":
        return f"https://storage.googleapis.com/{bucket}/{path}"
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    # A dot in a bucket's name would make a host that no certificate covers.
    host = f"s3.amazonaws.com/{bucket}" if "." in bucket else f"{bucket}.s3.amazonaws.com"
    return f"https://{host}/{path}"


def _goes_on(response: requests.Response, start: int, begun: RemoteVersion | None) -> bool:
    """Tell whether an answer can be joined to what is there; a whole file always may come instead."""
    if response.status_code == requests.codes.ok:
        return True
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return first is not None and int(first[1]) == start and _version(response).continues(begun)


def _version(response: requests.Response) -> RemoteVersion:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # Unpacked on the way: neither its size nor its middle is known.
        return RemoteVersion(size=None)
    if response.status_code == requests.codes.partial:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = response.headers.get("Content-Length", "")
    etag = response.headers.get("ETag", "")
    return RemoteVersion(
        size=int(size) if size.isdecimal() else None,
        # A weak tag promises the same meaning, not the same bytes.
        etag="" if etag.startswith("W/") else etag,
        last_modified=response.headers.get("Last-Modified", ""),
    )


def _names(response: requests.Response) -> tuple[str, ...]:
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    led_to = PurePosixPath(unquote(urlsplit(response.url).path)).name
    return (header.get_filename() or "", led_to)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_PIECE_BYTES)
    except requests.RequestException as error:
        raise Interrupted(_reason(error)) from error


def _refuse_pages(response: requests.Response, url: str) -> None:
    if response.headers.get("Content-Type", "").startswith("text/html"):
        response.close()
        raise DatasetError(
            f"{shown_url(url)} answers with a web page, not with a file.",
            "Copy the address of the download itself; or download it in a browser and name the file.",
        )


def _refused(url: str, response: requests.Response) -> DatasetError | NeedsCredentials:
    code, shown = response.status_code, shown_url(url)
    if code in (401, 403):
        if not url.startswith(("http://", "https://")):
            return NeedsCredentials(f"{shown} isn't public, or isn't there ({code}).")
        return DatasetError(
            f"{shown} isn't given to strangers ({code}).",
            "If it needs a login, download it in a browser and name the file.",
        )
    if code in (404, 410):
        return DatasetError(f"{shown} isn't there ({code}).", "Look the address up where you found it.")
    if code == requests.codes.too_many_requests or code >= 500:
        return DatasetError(f"The server of {shown} can't give it now ({code}).", _LATER)
    return DatasetError(
        f"The server of {shown} answers {code} {response.reason}.", "Try the address in a browser."
    )


def _unreachable(url: str, error: requests.RequestException) -> DatasetError:
    host, shown = urlsplit(_address(url)).hostname, shown_url(url)
    if isinstance(error, requests.exceptions.SSLError):
        return DatasetError(
            f"{shown}: the certificate of {host} isn't trusted: {_reason(error)}.",
            "Behind a proxy that reads along, name its certificate: export SSL_CERT_FILE=/path/to/ca.pem",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return DatasetError(
            f"{shown}: the proxy doesn't let it through: {_reason(error)}.",
            "Look at the variables https_proxy and no_proxy.",
        )
    if isinstance(error, requests.Timeout):
        return DatasetError(f"{host} doesn't answer.", _LATER)
    if isinstance(error, requests.ConnectionError):
        why = "there is no such host" if "NameResolution" in _causes(error) else _reason(error)
        return DatasetError(
            f"{host} can't be reached: {why}.",
            f"Are you online? Behind a proxy: export https_proxy=http://proxy:port. {_LATER}",
        )
    return DatasetError(f"{shown} can't be fetched: {_reason(error)}.", "Try the address in a browser.")


def _causes(error: BaseException) -> str:
    """Return the kinds of error within an error."""
    inner = error.args[0] if error.args else None
    inner = getattr(inner, "reason", inner)
    return NameResolutionError.__name__ if isinstance(inner, NameResolutionError) else type(inner).__name__


def _reason(error: BaseException) -> str:
    """Return the innermost words of an error that holds another, which holds another."""
    while True:
        inner: object = None
        with suppress(IndexError):
            inner = getattr(error.args[0], "reason", None) or error.args[-1]
        if not isinstance(inner, BaseException):
            return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__
        error = inner
