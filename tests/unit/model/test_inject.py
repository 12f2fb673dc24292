"""`spec.inject`: what is no host, no header or a header that frames a message is refused."""

from pathlib import Path

import pytest

from orchestrator.model.load import load_manifest
from orchestrator.model.problems import InvalidFile

MANIFEST = """
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: m}
spec:
  source: {image: m}
  inject: {'%s': {file: t, header: %s}}
"""


@pytest.mark.parametrize(
    ("host", "header", "told"),
    [
        ("*.a.example:443", "X-Key", "found '*.a.example:443', expected host:port in lower case"),
        ("a.example", "X-Key", "found 'a.example', expected host:port in lower case"),
        ("a.example:443", "'X: y'", "found 'X: y', expected the name of an HTTP header"),
        *(
            ("a.example:443", header, f"found '{header}', expected a header that carries a cred")
            for header in ("Transfer-Encoding", "content-length", "Host", "connection", "Upgrade")
        ),
    ],
)
def test_what_could_change_where_a_request_goes_or_ends_is_refused(
    tmp_path: Path, host: str, header: str, told: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST % (host, header))

    with pytest.raises(InvalidFile) as caught:
        load_manifest(path)

    assert told in str(caught.value)
