"""`/v1/gitops…` of a whole daemon on in-memory backends."""

import pytest

from orchestrator.manager.monitored import stored_monitoring
from tests.unit.gitops.house import GitHouse
from tests.unit.server.event_asking import ask


async def test_the_following_is_steered_over_http(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    house.git()
    async with house.goes_on():
        answer = await ask(house, "GET", "/v1/gitops")
        assert answer.json == {"followed": False}
        answer = await ask(house, "POST", "/v1/gitops/sync")
        assert (answer.status, answer.json["code"]) == (409, "gitops_not_configured")
        wish = {"config": str(house.config), "who": "ada", "monitoring": True}
        answer = await ask(house, "PUT", "/v1/gitops", wish)
        assert answer.json == {"url": house.url, "ref": "main", "path": "manifests"}
        assert stored_monitoring(house.daemon.manager.fleet.store).stack is True
        await house.synced(sha)
        answer = await ask(house, "GET", "/v1/gitops")
        assert (answer.json["synced"], answer.json["plugins"][0]["plugin_id"]) == (sha, "one")
        assert [
            row["revision"] for row in (await ask(house, "GET", "/v1/gitops/history")).json
        ] == [sha]
        assert (await ask(house, "POST", "/v1/gitops/suspend", {"who": "ada"})).json == {
            "changed": True
        }
        answer = await ask(house, "POST", "/v1/gitops/rollback", {"to": sha[:8]})
        assert (answer.status, answer.json["code"]) == (409, "gitops_suspended")
        assert (await ask(house, "POST", "/v1/gitops/resume")).json == {"changed": True}
        assert (await ask(house, "POST", "/v1/gitops/resume")).json == {"changed": False}
        answer = await ask(house, "POST", "/v1/gitops/webhook")

        assert (answer.status, answer.json["code"]) == (403, "webhook_refused")


@pytest.mark.parametrize("wish", [{"to": "main"}, {"prune": "yes"}, {"other": 1}, b"{"])
async def test_a_body_of_another_shape_is_refused(house: GitHouse, wish: object) -> None:
    async with house.goes_on():
        answer = await ask(house, "POST", "/v1/gitops/rollback", wish)

        assert (answer.status, answer.json["code"]) == (422, "gitops_request_invalid")


async def test_commands_and_syncs_are_taken_down(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows():
        await house.synced(sha)
        await ask(house, "POST", "/v1/gitops/suspend", {"who": "ada", "why": "a test"})
        answer = await ask(house, "GET", "/v1/audit?count=100")
        told = [(row["action"], row["why"]) for row in answer.json]

        assert ("command", "up --git") in told
        assert ("command", "gitops suspend") in told
        assert any(action == "git_sync" for action, _ in told)
