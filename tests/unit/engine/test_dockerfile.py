import pytest

from orchestrator.engine.dockerfile import DockerfileRefused, check_dockerfile, uses_base

OURS = "ARG ORCHESTRATOR_BASE\nFROM ${ORCHESTRATOR_BASE}\nCOPY . /plugin\n"


@pytest.mark.parametrize(
    "text",
    [
        OURS,
        "FROM scratch\nCOPY c-echo /plugin/\n",
        "FROM $ORCHESTRATOR_BASE AS Build\nFROM scratch\nCOPY --from=build /x /x\n",
        "FROM $ORCHESTRATOR_BASE\nFROM scratch\nCOPY --from=0 /y /y\n",
        "FROM scratch AS one\nFROM one\nCOPY --chown=1:1 a b\n",
        "FROM scratch\n# ADD http://x /\nRUN echo \\\n  a ADD b\n",
    ],
)
def test_what_takes_only_our_base_and_the_folder_passes(text: str) -> None:
    check_dockerfile(text, network=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM scratch\nADD http://169.254.169.254/ /x\n", "ADD"),
        ("FROM scratch\nadd $U /x\n", "ADD"),
        ("FROM scratch\nAD\\\nD $U /x\n", "ADD"),
        ("FROM scratch\nONBUILD ADD $U /x\n", "ADD"),
        ("FROM scratch\nonbuild onbuild add $U /x\n", "ADD"),
        ("FROM scratch\nRUN a \\\n  # note\nADD $U /x\n", "ADD"),
        ("FROM scratch\nRUN a \\\u2028\nADD $U /x\n", "ADD"),
        ("FROM scratch\nRUN a \\\\\nADD $U /x\n", "ADD"),
        ("\ufeffFROM alpine\n", "builders differ"),
        ("FROM scratch\nRUN a\rADD $U /x\n", "builders differ"),
        ("# escape=`\nFROM scratch\n", "parser directives"),
        ("# syntax=evil/frontend\nFROM scratch\n", "parser directives"),
        ("FROM alpine\n", "FROM alpine"),
        ("FROM --platform=linux/amd64 alpine\n", "FROM alpine"),
        ("ARG X=alpine\nFROM $X\n", "FROM"),
        ("FROM orchestrator/other-plugin:1\n", "FROM orchestrator/other-plugin"),
        ("FROM ${ORCHESTRATOR_BASE}evil\n", "FROM"),
        ("FROM later\nFROM scratch AS later\n", "FROM later"),
        ("FROM scratch\nCOPY --from=alpine /etc /x\n", "COPY --from=alpine"),
        ("FROM scratch\nCOPY --chown=1 --from=1 /etc /x\n", "COPY --from=1"),
    ],
)
def test_what_the_engine_would_fetch_itself_is_refused(text: str, found: str) -> None:
    with pytest.raises(DockerfileRefused, match=found.replace("$", r"\$")):
        check_dockerfile(text, network=False)


def test_with_network_other_images_may_be_taken() -> None:
    check_dockerfile("FROM alpine\nCOPY --from=busybox /a /b\n", network=True)


def test_even_with_network_the_engine_fetches_no_address() -> None:
    with pytest.raises(DockerfileRefused, match="ADD"):
        check_dockerfile("FROM alpine\nADD http://127.0.0.1/ /x\n", network=True)


def test_the_base_is_needed_only_where_it_is_named() -> None:
    assert uses_base(OURS)
    assert not uses_base("FROM scratch\nCOPY x /plugin/x\n")
