"""What may be a URL, a ref, a path: everything else is refused before git sees it."""

import pytest

from orchestrator.gitops.address import (
    GitPathRefused,
    GitRefRefused,
    GitUrlRefused,
    check_path,
    check_ref,
    check_url,
    is_ssh,
)


@pytest.mark.parametrize(
    ("url", "ssh"),
    [
        ("https://git.example.com/team/plugins.git", False),
        ("https://someone@git.example.com:8443/team/plugins.git", False),
        ("http://127.0.0.1:3000/plugins.git", False),
        ("http://[::1]:3000/plugins.git", False),
        ("ssh://git@git.example.com:22/plugins.git", True),
        ("git@git.example.com:team/plugins.git", True),
        ("file:///srv/plugins.git", False),
        ("/srv/plugins.git", False),
    ],
)
def test_what_git_speaks_safely_is_taken_as_it_is(url: str, *, ssh: bool) -> None:
    assert check_url(url) == url
    assert is_ssh(url) == ssh


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-uhttps://git.example.com/x",
        "--upload-pack=touch /tmp/owned",
        "ext::sh -c touch% /tmp/owned",
        "fd::17/foo",
        "https::https://git.example.com/x",
        "git://git.example.com/x",
        "ftp://git.example.com/x",
        "http://git.example.com/x",
        "https://someone:word@git.example.com/x",
        "https://git.example.com",
        "https://git.example.com/x?y=1",
        "https://git.example.com:port/x",
        "ssh://-oProxyCommand=touch/x",
        "ssh://git@-oProxyCommand=touch/x",
        "ssh://-lroot@git.example.com/x",
        "-oProxyCommand=touch:x",
        "git@-oProxyCommand=touch:x",
        "git@git.example.com:-x",
        "file://elsewhere/srv/x",
        "manifests",
        "../x",
        "https://git.example.com/a b",
        "https://git.example.com/a\nb",
        "x" * 4_000,
    ],
)
def test_a_url_that_git_could_take_for_something_else_is_refused(url: str) -> None:
    with pytest.raises(GitUrlRefused):
        check_url(url)


def test_a_refused_url_is_not_told_with_its_password() -> None:
    with pytest.raises(GitUrlRefused) as refused:
        check_url("https://someone:hunter2@git.example.com/x")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("ref", ["main", "v1.2.3", "feature/x", "refs/heads/main", "a" * 40])
def test_what_git_names_refs_is_one(ref: str) -> None:
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-d",
        "--upload-pack=x",
        "a/-b",
        "a..b",
        "a//b",
        "/a",
        "a/",
        ".a",
        "a/.b",
        "a.lock",
        "a.",
        "a b",
        "a~1",
        "a^{}",
        "a:b",
        "+a",
        "a*",
        "a?",
        "a[b",
        "a\\b",
        "a@{1}",
        "@",
        "a\nb",
        "a\x7f",
    ],
)
def test_a_ref_that_is_none_or_says_more_is_refused(ref: str) -> None:
    if ref == "+a":
        assert check_ref(ref) == "+a"  # git's own rules allow it; it is used in full only
        return
    with pytest.raises(GitRefRefused):
        check_ref(ref)


def test_a_path_is_one_below_the_root() -> None:
    assert check_path("./environments//prod/") == "environments/prod"
    assert check_path("") == ""
    for path in ("/etc", "../x", "a/../../b", ".git", "a/.GIT/hooks", "a\\b", "a\nb"):
        with pytest.raises(GitPathRefused):
            check_path(path)
