"""What a plugin raises to answer a call with an RFC 9457 problem of its own choosing."""

_LOWEST_STATUS, _HIGHEST_STATUS = 400, 599


class PluginError(Exception):
    """The call failed; the caller sees `detail`, `status`, `title` and `code`, never a traceback.

    A status from 400 to 499 blames the caller, from 500 to 599 the plugin.
    """

    def __init__(
        self,
        detail: str,
        status: int = 500,
        title: str | None = None,
        code: str = "plugin_error",
    ) -> None:
        if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
            raise ValueError(
                f"status {status} found, {_LOWEST_STATUS} to {_HIGHEST_STATUS} expected"
            )
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.title = title
        self.code = code


class InputError(PluginError):
    """The caller's input is well-formed but wrong (422)."""

    def __init__(
        self,
        detail: str,
        status: int = 422,
        title: str | None = None,
        code: str = "invalid_input",
    ) -> None:
        super().__init__(detail, status, title, code)
