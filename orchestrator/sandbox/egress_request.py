"""One request to the egress proxy: CONNECT, or a URL in absolute form. Pure.

A request in absolute form goes on in the broker's own words: its target, Host and framing are
written anew from what was understood, and headers between two neighbours end here (RFC 9110 7.6).
"""

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.egress_policy import (
    HTTP_PORT,
    HTTPS_PORT,
    EgressRules,
    Endpoint,
    Injection,
    parse_endpoint,
    where,
)
from orchestrator.sandbox.http_head import RequestHead, malformed, shown

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",  # codespell:ignore
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS: Final = frozenset({b"host", b"content-length"})
"""Written anew."""
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://")
_ENDS_AUTHORITY: Final = re.compile(rb"[/?#\\]")
_PATH: Final = re.compile(rb"[\x21\x22\x24-\x5b\x5d-\x7e]*")  # all but the fragment and `\`
_REFLECTING: Final = frozenset({"TRACE", "TRACK"})
"""They answer with the request's own headers, an injected credential among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRequest:
    """Where it goes, and what goes first."""

    endpoint: Endpoint
    head: RequestHead
    tunnel: bool
    tls: bool = False
    """Whether the broker itself speaks TLS to the host."""
    forwarded_head: bytes = b""


def read_request(head: RequestHead, rules: EgressRules) -> EgressRequest:
    """Raises Refused for what is no request of a proxy's, or not to a granted host."""
    return _connect(head, rules) if head.method == "CONNECT" else _absolute(head, rules)


def _connect(head: RequestHead, rules: EgressRules) -> EgressRequest:
    endpoint = parse_endpoint(_text(head.target))
    if head.has_body or head.header(b"content-length"):
        raise malformed("found a body with CONNECT, expected none")
    # Clients of HTTP/1.0 age send no Host with CONNECT; one that is sent must agree.
    if head.header(b"host"):
        _check_host_header(head, endpoint, default_port=endpoint.port)
    rules.check_host(endpoint)
    return EgressRequest(endpoint=endpoint, head=head, tunnel=True)


def _absolute(head: RequestHead, rules: EgressRules) -> EgressRequest:
    authority, path = _target(head)
    named = parse_endpoint(_text(authority), default_port=HTTP_PORT)
    if head.minor != 1:
        raise malformed("found HTTP/1.0, expected HTTP/1.1")
    _check_host_header(head, named, default_port=HTTP_PORT)
    endpoint, injection = _injected(named, rules)
    rules.check_host(endpoint)
    if head.method in _REFLECTING:
        raise Refused(
            RefusalCode.METHOD_REFUSED,
            f"found {head.method}, expected a method that does not send the request back",
            evidence=where(endpoint),
        )
    return EgressRequest(
        endpoint=endpoint,
        head=head,
        tunnel=False,
        tls=injection is not None,
        forwarded_head=_forwarded(head, endpoint, path, injection),
    )


def _target(head: RequestHead) -> tuple[bytes, bytes]:
    """(authority, path and query) of a URL."""
    scheme = _SCHEME.match(head.target)
    if scheme is None:
        raise malformed(
            f"found target {shown(head.target)}, expected a URL: this is a proxy, no server"
        )
    rest = head.target[scheme.end() :]
    end = _ENDS_AUTHORITY.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, b"")
    if scheme[1].lower() != b"http":
        raise Refused(
            RefusalCode.SCHEME_REFUSED,
            f"found scheme {shown(scheme[1])}, expected http; https goes through CONNECT",
            evidence={"host": shown(authority)},
        )
    if not _PATH.fullmatch(path):
        raise malformed(f"found target {shown(head.target)}, expected a path of a URL in ASCII")
    return authority, path if path.startswith(b"/") else b"/" + path


def _injected(named: Endpoint, rules: EgressRules) -> tuple[Endpoint, Injection | None]:
    """The endpoint that has a credential, also for the plain URL of a host that has one for TLS."""
    candidates = [named]
    if named.port == HTTP_PORT:
        candidates.append(Endpoint(named.host, HTTPS_PORT, named.address))
    for endpoint in candidates:
        if (injection := rules.injections.get(endpoint)) is not None:
            return endpoint, injection
    return named, None


def _check_host_header(head: RequestHead, endpoint: Endpoint, *, default_port: int) -> None:
    raw = head.header(b"host")
    if not raw:
        raise malformed("found no Host header, expected one")
    if parse_endpoint(_text(raw), default_port=default_port) != endpoint:
        raise Refused(
            RefusalCode.HOST_MALFORMED,
            f"found Host {shown(raw)}, expected {endpoint} as in the request's target",
            evidence=where(endpoint),
        )


def _forwarded(
    head: RequestHead, endpoint: Endpoint, path: bytes, injection: Injection | None
) -> bytes:
    dropped = _HOP_BY_HOP | _OURS | _nominated(head)
    secret = injection.header.encode() if injection is not None else b""
    lines = [
        b"%b %b HTTP/1.1" % (head.method.encode(), path),
        b"Host: " + endpoint.authority(HTTPS_PORT if injection else HTTP_PORT).encode(),
    ]
    lines += [
        name + b": " + value
        for name, value in head.headers
        if name.lower() not in dropped and _folded(name) != _folded(secret)
    ]
    if injection is not None:
        lines.append(secret + b": " + injection.value.encode())
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.header(b"content-length"):
        lines.append(b"Content-Length: %d" % head.content_length)
    # One request a connection: no answer can be taken for another's.
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _nominated(head: RequestHead) -> frozenset[bytes]:
    """Headers that `Connection` says end here."""
    return frozenset(
        token.strip().lower()
        for name, value in head.headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    )


def _folded(name: bytes) -> bytes:
    """Servers in the manner of CGI take `X_Key` for `X-Key`."""
    return name.lower().replace(b"_", b"-")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refused(
            RefusalCode.HOST_MALFORMED,
            f"found {shown(raw)} as host and port, expected UTF-8",
            evidence={"host": shown(raw)},
        ) from None
