"""What runs in the plugin's place: tries what it is told, all at once, and prints what came back.

    python3 -c <this> '[["tcp", "10.0.0.1", 80], …]'

It prints a JSON list of the same length: the text that came back, or "!" and the error's name.
"""

import contextlib
import json
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 2.0


def tcp(address, port, source=0):
    with socket.create_connection((address, port), SECONDS, ("", source)) as sock:
        return sock.recv(100).decode()


def tcp6(address, port):
    return tcp(address, port)


def udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.sendto(b"echo udp", (address, port))
        return sock.recv(100).decode()


def ping(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(SECONDS)
        sock.sendto(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + b"pong", (address, 0))
        return sock.recv(100)[-4:].decode()


def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened"


def packet():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    return "opened"


def netfilter():
    """What `nft` speaks: whoever has it can ask for the rules, and with the right change them."""
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).close()
    return "opened"


def capabilities():
    with Path("/proc/self/status").open() as file:
        return next(line.split()[1] for line in file if line.startswith("CapEff"))


def addresses6():
    """But loopback's."""
    try:
        with Path("/proc/net/if_inet6").open() as file:
            return "".join(line for line in file if line.split()[-1] != "lo")
    except FileNotFoundError:
        return ""


def add_address():
    """A second address on the network's interface, as `ip addr add` asks for it."""
    index = next(number for number, link in socket.if_nameindex() if link != "lo")
    body = struct.pack("BBBBI", socket.AF_INET, 24, 0, 0, index)
    body += struct.pack("HH4s", 8, 2, bytes([10, 213, 255, 254]))
    message = struct.pack("IHHII", 16 + len(body), 20, 0x605, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(SECONDS)
        sock.send(message)
        error = struct.unpack("i", sock.recv(4096)[16:20])[0]
    if error:
        raise OSError(-error, "refused")
    return "added"


def name(host):
    return socket.gethostbyname(host)


def flood(address, port, size, count, word="x"):
    """Datagrams of one size; how many came back within the time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        back = 0
        for _ in range(count):
            with contextlib.suppress(OSError):
                sock.sendto(word.encode().ljust(size, b"x"), (address, port))
                if word == "echo":
                    back += len(sock.recv(size)) == size
            time.sleep(0.002)  # the far side is a slow reader
        return str(back)


def drip(address, port, seconds):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                sock.sendto(b"drip", (address, port))
            time.sleep(0.01)
    return "done"


def listen(port, seconds):
    """Serve as another plugin would."""
    with socket.create_server(("", port)) as listener:
        listener.settimeout(seconds)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        listener.accept()[0].sendall(b"here is another plugin")
    return "called"


def hear(port, seconds):
    """Wait for a datagram, as another plugin would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.settimeout(seconds)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        return sock.recv(100).decode()


def attempt(words):
    verb, *arguments = words
    try:
        return globals()[verb](*arguments)
    except OSError as error:
        return f"!{type(error).__name__}"


def attempt_all(attempts):
    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(attempt, attempts))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(attempt_all(json.loads(sys.argv[1]))) + "\n")
