"""Permissions over HTTP: listed, explained, checked, granted, revoked, reset; held updates too."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

from pydantic import Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.explaining import Explainer
from orchestrator.manager.manager import OPERATOR, PluginManager
from orchestrator.manager.overridden import drift
from orchestrator.manager.permissions import PermissionSystem
from orchestrator.manager.statuses import held_update
from orchestrator.model.base import Model
from orchestrator.model.permissions import Permission, PermissionKind
from orchestrator.policy.explanation import lines, to_json


class PermissionRequestInvalid(OrchestratorError):
    """No such permission, or a request of another shape."""

    kind, code = Kind.INVALID, "permission_request_invalid"


class Decision(Model):
    """The body of a grant, revoke or reset: who decided, and why."""

    who: Annotated[str, Field(min_length=1, max_length=100)] = OPERATOR
    why: Annotated[str, Field(max_length=1_000)] = ""


class PermissionApi:
    """Rows are by plugin and permission; `effective` says whether it holds now."""

    def __init__(
        self, *, manager: PluginManager, permissions: PermissionSystem, explainer: Explainer
    ) -> None:
        self._manager = manager
        self._permissions = permissions
        self._explainer = explainer

    def routes(self) -> list[Route]:
        one = "/v1/plugins/{plugin_id}/permissions"
        return [
            Route("/v1/permissions", self.all, methods=["GET"]),
            Route(one, self.of_plugin, methods=["GET"]),
            Route("/v1/plugins/{plugin_id}/explanation", self.explain, methods=["GET"]),
            Route(f"{one}/{{permission}}", self.check, methods=["GET"]),
            Route(f"{one}/{{permission}}/grant", self.grant, methods=["POST"]),
            Route(f"{one}/{{permission}}/revoke", self.revoke, methods=["POST"]),
            Route(f"{one}/reset", self.reset, methods=["POST"]),
            Route(f"{one}/{{permission}}/reset", self.reset, methods=["POST"]),
            Route("/v1/plugins/{plugin_id}/updates/{update}/grant", self.update, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        return JSONResponse([self._rights(d) for d in self._manager.fleet.deployments.values()])

    async def of_plugin(self, request: Request) -> Response:
        plugin_id = request.path_params["plugin_id"]
        return JSONResponse(self._rights(self._manager.deployment(plugin_id)))

    async def explain(self, request: Request) -> Response:
        """As it is deployed now, with what was granted and revoked since."""
        plugin_id = request.path_params["plugin_id"]
        explanation = await self._explainer.explain(
            self._manager.deployment(plugin_id),
            self._manager.policy,
            disk=self._manager.fleet.disks.get(plugin_id, ""),
        )
        return JSONResponse({"explanation": to_json(explanation), "lines": lines(explanation)})

    async def check(self, request: Request) -> Response:
        plugin_id, permission = request.path_params["plugin_id"], _permission(request)
        holds = self._permissions.check_permission(plugin_id, permission)
        rows = list(_rows(self._manager.deployment(plugin_id)))
        row = next((row for row in rows if row["permission"] == permission), None)
        why = row["why"] if row is not None else "the plugin does not ask for it"
        return JSONResponse({"effective": holds, "why": why})

    async def grant(self, request: Request) -> Response:
        decision = await _decision(request)
        changed = await self._permissions.grant_permission(
            request.path_params["plugin_id"],
            _permission(request),
            who=decision.who,
            why=decision.why,
        )
        return JSONResponse({"changed": changed})

    async def revoke(self, request: Request) -> Response:
        decision = await _decision(request)
        changed = await self._permissions.revoke_permission(
            request.path_params["plugin_id"],
            _permission(request),
            who=decision.who,
            why=decision.why,
        )
        return JSONResponse({"changed": changed})

    async def reset(self, request: Request) -> Response:
        decision = await _decision(request)
        forgotten = await self._permissions.reset_permissions(
            request.path_params["plugin_id"],
            _permission(request) if "permission" in request.path_params else None,
            who=decision.who,
            why=decision.why,
        )
        rows = [{"permission": one.permission, "state": one.state} for one in forgotten]
        return JSONResponse({"forgotten": rows})

    async def update(self, request: Request) -> Response:
        decision = await _decision(request)
        differences = await self._permissions.grant_update(
            request.path_params["plugin_id"],
            request.path_params["update"],
            who=decision.who,
            why=decision.why,
        )
        return JSONResponse({"differences": list(differences)})

    def _rights(self, deployment: Deployment) -> dict[str, JsonValue]:
        held = held_update(self._manager.fleet, deployment.plugin_id)
        return {
            "plugin_id": deployment.plugin_id,
            "version": deployment.inputs.info.version,
            "permissions": list(_rows(deployment)),
            "held": asdict(held) if held is not None else None,
        }


def _rows(deployment: Deployment) -> Iterator[dict[str, JsonValue]]:
    """What is asked, granted or revoked, with the reason of its state."""
    now: dict[str, Permission] = {
        permission.kind: permission for permission in deployment.grant.permissions
    }
    asked: dict[str, Permission] = {p.kind: p for p in deployment.inputs.info.permissions}
    changed = {found.permission: found for found in drift(deployment)}
    for kind in sorted({*now, *asked, *changed}):
        wish, change, has = asked.get(kind), changed.get(kind), now.get(kind)
        plain = "the manifest grants it" if has is not None else "the manifest does not grant it"
        yield {
            "permission": kind,
            "effective": has is not None,
            "parameters": has.model_dump(mode="json", exclude={"kind", "required", "reason"})
            if has is not None
            else None,
            "required": wish.required if wish is not None else False,
            "wanted_for": wish.reason if wish is not None else "",
            "why": change.text if change is not None else plain,
            "change": asdict(change) if change is not None else None,
        }


def _permission(request: Request) -> PermissionKind:
    text = request.path_params["permission"]
    try:
        return PermissionKind(text)
    except ValueError:
        known = ", ".join(PermissionKind)
        raise PermissionRequestInvalid(
            f"permission: found {text!r}, expected one of {known}"
        ) from None


async def _decision(request: Request) -> Decision:
    try:
        return Decision.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise PermissionRequestInvalid(f"request body: {field}: {first['msg']}") from error
