"""The daemon's API: calls on a fast path of their own, everything else on Starlette."""
