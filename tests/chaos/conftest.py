"""What the chaos tests share with those of the whole way."""

from tests.e2e.conftest import (
    binary,
    images,
    pytest_asyncio_loop_factories,
    shared_workshop,
    workshop,
)

__all__ = ["binary", "images", "pytest_asyncio_loop_factories", "shared_workshop", "workshop"]
