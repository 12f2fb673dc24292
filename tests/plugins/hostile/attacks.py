"""What the hostile plugin can do to a socket; each answers with what came of it."""

import array
import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

SOCKETS = os.environ["ORCHESTRATOR_SOCKETS"]


def talk(path: str, requests: list[str], seconds: float = 3.0, pause: float = 0.0) -> list[str]:
    """Each request on a connection of its own; what was answered till the end or so long."""
    answers = []
    for request in requests:
        with _connected(path) as sock:
            _send(sock, request.encode("latin-1"))
            answers.append(_all(sock, seconds))
        time.sleep(pause)
    return answers


def dribble(
    path: str, text: str, pause: float, seconds: float, count: int = 1
) -> list[dict[str, Any]]:
    """A byte at a time on `count` connections at once, until they are ended."""

    def one() -> dict[str, Any]:
        began, sent = time.monotonic(), 0
        with _connected(path) as sock:
            sock.settimeout(pause)
            while time.monotonic() < began + seconds:
                if sent < len(text):
                    _send(sock, text[sent : sent + 1].encode("latin-1"))
                    sent += 1
                with contextlib.suppress(TimeoutError):
                    got = _all(sock, seconds) if _readable(sock) else None
                    if got is not None:
                        return {"answer": got, "seconds": time.monotonic() - began}
        return {"answer": None, "seconds": time.monotonic() - began}

    return at_once([one] * count)


def hold(path: str, count: int, text: str, seconds: float) -> dict[str, int]:
    """Many connections, all kept open for so long; how many the other side still holds then."""
    found: dict[str, int] = {"opened": 0, "refused": 0, "alive": 0}
    socks = []
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(0)
        try:
            sock.connect(f"{SOCKETS}/{path}")
        except OSError as error:
            found["refused"] += 1
            found[errno.errorcode[error.errno or 0]] = (
                found.get(errno.errorcode[error.errno or 0], 0) + 1
            )
            sock.close()
            continue
        found["opened"] += 1
        _send(sock, text.encode("latin-1"))
        socks.append(sock)
    time.sleep(seconds)
    for sock in socks:
        try:
            sock.recv(1)
        except BlockingIOError:
            found["alive"] += 1
        except OSError:
            pass
        sock.close()
    return found


def ping_pong(mine: str, other: str, depth: int) -> dict[str, Any]:
    """Two plugins that call each other, each hiding the call that it serves; how far it went."""
    if depth == 0:
        return {"depth": 0}
    wish = {"do": "ping_pong", "mine": other, "other": mine, "depth": depth - 1}
    body = json.dumps(wish)
    head = f"POST /v1/plugins/{other}/execute HTTP/1.1\r\nHost: h\r\nX-Deadline-Ms: 5000\r\n"
    with _connected("host.sock") as sock:
        sock.settimeout(30)
        _send(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = _one(sock)
    if not answer.startswith("HTTP/1.1 200"):
        return {"depth": 1, "ended": answer[:400]}
    inner: dict[str, Any] = json.loads(answer.partition("\r\n\r\n")[2])
    return {**inner, "depth": inner["depth"] + 1}


HELD: list[socket.socket] = []


def hold_each(path: str, texts: list[str]) -> int:
    """A request on a connection each, left open; how many."""
    for text in texts:
        sock = _connected(path)
        _send(sock, text.encode("latin-1"))
        HELD.append(sock)
    return len(texts)


def let_go() -> int:
    """End what is held."""
    count = len(HELD)
    while HELD:
        HELD.pop().close()
    return count


def flood(path: str, seconds: float, text: str = "", threads: int = 2) -> int:
    """Connect, send, leave, as often as can be; how often it went."""

    def one() -> int:
        until, times = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(0.2)
                sock.connect(f"{SOCKETS}/{path}")
                times += 1
                sock.sendall(text.encode("latin-1"))
        return times

    return sum(at_once([one] * threads))


def repeat(path: str, text: str, times: int, pause: float = 0.0) -> dict[str, int]:
    """The same request over and over on one connection, dialled anew when it ends; by status."""
    statuses: dict[str, int] = {}
    sock = _connected(path)
    for _ in range(times):
        _send(sock, text.encode("latin-1"))
        answer = _one(sock)
        status = answer.partition(" ")[2][:3] or "none"
        statuses[status] = statuses.get(status, 0) + 1
        if not answer or "connection: close" in answer.lower():
            sock.close()
            sock = _connected(path)
        time.sleep(pause)
    sock.close()
    return statuses


def smuggle_descriptors(path: str, times: int) -> int:
    """Open files sent along with bytes, for the other side to hold; how many went."""
    sent = 0
    for _ in range(times):
        with contextlib.suppress(OSError), _connected(path) as sock:
            pipe = os.pipe()
            files = array.array("i", pipe)
            sock.sendmsg([b"GET "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
            sent += 1
            for file in pipe:
                os.close(file)
    return sent


def unread(path: str, text: str, count: int, seconds: float) -> int:
    """Ask on many connections and read no answer; how many could be asked."""
    socks = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            sock = _connected(path)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            _send(sock, text.encode("latin-1"))
            socks.append(sock)
    time.sleep(seconds)
    for sock in socks:
        sock.close()
    return len(socks)


def pile(path: str, head: str, text: str, times: int, count: int) -> list[str]:
    """Bodies of a piece without end, from many connections at once; the first lines back."""
    body = ("[" + text * times)[: 16 << 20].encode()

    def one() -> str:
        with _connected(path) as sock:
            sock.settimeout(30)
            _send(sock, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return _all(sock, 30)[:100]

    return at_once([one] * count)


def shout(text: str) -> int:
    """A line to the log, as bytes."""
    return os.write(1, text.encode("latin-1") + b"\n")


def read(path: str) -> str:
    """The file, or the kernel's word."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def tamper() -> dict[str, str]:
    """Everything one could do to a folder of sockets; by name the kernel's word, or `done`."""
    own = f"{SOCKETS}/plugin.sock"
    attempts: dict[str, Callable[[], object]] = {
        "unlink": lambda: os.unlink(own),
        "rename": lambda: os.rename(own, f"{SOCKETS}/other.sock"),
        "replace": lambda: os.replace("/tmp/fake.sock", own),
        "symlink": lambda: os.symlink("/var/run/docker.sock", f"{SOCKETS}/docker.sock"),
        "hard link": lambda: os.link(own, f"{SOCKETS}/copy.sock"),
        "hard link out": lambda: os.link(own, "/tmp/copy.sock"),
        "bind": lambda: _bound(f"{SOCKETS}/mine.sock"),
        "mkdir": lambda: os.mkdir(f"{SOCKETS}/db"),
        "mkfifo": lambda: os.mkfifo(f"{SOCKETS}/pipe"),
        "chmod": lambda: os.chmod(own, 0o777),
        "chmod folder": lambda: os.chmod(SOCKETS, 0o777),
        "chown": lambda: os.chown(own, 65532, 65532),
        "touch": lambda: os.utime(own),
        "attribute": lambda: os.setxattr(own, "user.mine", b"1"),
        "open": lambda: open(own, "wb"),  # noqa: SIM115 - it must not
        "rename folder": lambda: os.rename(SOCKETS, "/tmp/orchestrator"),
    }
    with contextlib.suppress(OSError):
        _bound("/tmp/fake.sock").close()
    return {name: tried(attempt) for name, attempt in attempts.items()}


def reach(paths: list[str]) -> dict[str, str]:
    """Connect to each; `@name` is an abstract address."""
    return {path: tried(lambda path=path: _dial(path)) for path in paths}


def listen_beside(names: list[str], seconds: float) -> dict[str, str]:
    """Abstract addresses to hear neighbours on; who came."""
    heard = {}
    for name in names:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"\0{name}")
            sock.listen()
            sock.settimeout(seconds)
            heard[name] = tried(sock.accept)
    return heard


def visible() -> dict[str, Any]:
    """What the kernel tells of sockets: of this network namespace, and in this file system."""
    with open("/proc/net/unix", encoding="ascii") as file:
        named = sorted({row.split()[7] for row in file.readlines()[1:] if len(row.split()) > 7})
    return {"kernel": named, "folder": sorted(os.listdir(SOCKETS))}


# ---------------------------------------------------------------------------------------------


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(f"{SOCKETS}/{path}")
    return sock


def _dial(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2)
        sock.connect(f"\0{path[1:]}" if path.startswith("@") else path)


def _bound(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


def tried(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def _send(sock: socket.socket, data: bytes) -> None:
    """As much as is taken: who refuses a request need not read it to its end."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def _all(sock: socket.socket, seconds: float) -> str:
    """What comes to the end of file, or till nothing came for so long; its first 64 KiB."""
    sock.settimeout(seconds)
    got = b""
    with contextlib.suppress(OSError):
        while len(got) < 65_536 and (piece := sock.recv(65_536)):
            got += piece
    return got.decode("latin-1")


def _one(sock: socket.socket) -> str:
    """One answer with its body."""
    got = b""
    with contextlib.suppress(OSError):
        while b"\r\n\r\n" not in got:
            piece = sock.recv(65_536)
            if not piece:
                return ""
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        for row in head.lower().split(b"\r\n"):
            if row.startswith(b"content-length:"):
                while len(body) < int(row.partition(b":")[2]):
                    body += sock.recv(65_536)
    return got.decode("latin-1")


def _readable(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda work=work: results.append(work())) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
