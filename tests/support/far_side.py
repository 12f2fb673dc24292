"""What stands on the other side: answers TCP and UDP with its own bytes, and counts what comes.

    far_side.py LOG PORT…

Each line of LOG is `<protocol> <port> <bytes>`. Standard library only.
"""

import socket
import sys
import threading
from pathlib import Path

GREETING = b"here is the far side"


def note(log: Path, lock: threading.Lock, line: str) -> None:
    with lock, log.open("a") as file:
        file.write(f"{line}\n")


def tcp(port: int, log: Path, lock: threading.Lock) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    note(log, lock, f"ready {port} 0")

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.sendall(GREETING)
            while chunk := connection.recv(1 << 16):
                note(log, lock, f"tcp {port} {len(chunk)}")

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def udp(port: int, log: Path, lock: threading.Lock) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    note(log, lock, f"ready {port} 0")
    while True:
        data, peer = sock.recvfrom(1 << 16)
        note(log, lock, f"udp {port} {len(data)}")
        if data.startswith(b"echo"):
            sock.sendto(data, peer)


def main() -> None:
    log, lock = Path(sys.argv[1]), threading.Lock()
    threads = [
        threading.Thread(target=serve, args=(int(port), log, lock))
        for port in sys.argv[2:]
        for serve in (tcp, udp)
    ]
    for thread in threads:
        thread.start()


main()
