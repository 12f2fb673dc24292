"""Who runs containers. `base` is the contract; `docker` and `memory` keep it."""
