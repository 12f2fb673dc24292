"""Who types."""

import os
import pwd


def user_name() -> str:
    """Whoever may open the daemon's socket is believed."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
