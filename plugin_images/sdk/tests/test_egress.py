"""The forwarder from the loopback proxy port to the egress socket."""

from pathlib import Path
from socket import AF_UNIX, SHUT_WR, SOCK_STREAM, create_connection, socket
from tempfile import TemporaryDirectory

from orchestrator_sdk.egress import EgressForwarder


def test_both_ways_are_copied_and_each_end_is_passed_on() -> None:
    with TemporaryDirectory() as folder, socket(AF_UNIX, SOCK_STREAM) as broker:
        path = str(Path(folder, "egress.sock"))
        broker.bind(path)
        broker.listen()
        broker.settimeout(5)
        forwarder = EgressForwarder(path, port=0)
        forwarder.start()
        with create_connection(("127.0.0.1", forwarder.port), 5) as client:
            served, _ = broker.accept()
            with served:
                served.settimeout(5)
                client.sendall(b"question")
                asked = served.recv(100)
                client.shutdown(SHUT_WR)
                end_of_question = served.recv(100)
                served.sendall(b"answer")
                served.shutdown(SHUT_WR)
                answered, end_of_answer = client.recv(100), client.recv(100)

    assert (asked, end_of_question) == (b"question", b"")
    assert (answered, end_of_answer) == (b"answer", b"")


def test_without_a_broker_the_client_is_hung_up_on_and_the_next_is_taken() -> None:
    forwarder = EgressForwarder("/nonexistent/egress.sock", port=0)
    forwarder.start()
    ends = []
    for _ in range(60):
        with create_connection(("127.0.0.1", forwarder.port), 5) as client:
            ends.append(client.recv(100))

    assert ends == [b""] * 60
