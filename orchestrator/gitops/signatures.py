"""Signatures: whether somebody who is allowed to signed a revision, by git's own word."""

import asyncio
import os

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.git import GitFailed
from orchestrator.gitops.repository import Commit, GitRepository
from orchestrator.model.git import Signed, VerifyPolicy


class GitNotSigned(OrchestratorError):
    """A revision without the signature that the policy asks for."""

    kind, code = Kind.DENIED, "git_not_signed"


async def check_signature(repository: GitRepository, commit: Commit, policy: VerifyPolicy) -> None:
    """Raises GitNotSigned, GitTimedOut. Only ssh signatures count, as only they name a signer."""
    if policy.require is Signed.NOTHING:
        return
    signers = policy.allowed_signers
    if signers is None or not await asyncio.to_thread(os.path.isfile, signers):
        raise GitNotSigned(
            f"git.verify.allowed_signers: found {signers or 'nothing'!r}, expected a file that "
            "names who may sign"
        )
    verb, what = "verify-commit", commit.sha
    if policy.require is Signed.TAG:
        verb, what = "verify-tag", commit.tag
        if not what:
            raise GitNotSigned(
                f"commit {commit.sha}: found no annotated tag, expected git.ref to be one"
            )
    try:
        await repository.run(
            [verb, "--end-of-options", what],
            of=commit.sha,
            settings=[f"gpg.ssh.allowedSignersFile={signers}"],
        )
    except GitFailed as error:
        raise GitNotSigned(
            f"commit {commit.sha}: found no signature of an allowed signer on the "
            f"{policy.require} ({error.words or 'it has none'})"
        ) from error
