"""What all tests share: a disk cache of their own, and one thread for each worker's share."""

from __future__ import annotations

import os
import shutil
import tempfile

# Before anything imports flambeau, which reads its settings at import. Workers of pytest-xdist
# inherit the environment, so all of them share one cache: that is tested by the way.
_OWNER = "PYTEST_XDIST_WORKER" not in os.environ
if _OWNER:
    os.environ["FLAMBEAU_CACHE"] = tempfile.mkdtemp(prefix="flambeau-tests-")
elif "FLAMBEAU_THREADS" not in os.environ:
    # Spinning threads of several workers on the same cores would wait for each other.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ["FLAMBEAU_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))

import hypothesis  # noqa: E402  # after the environment
import pytest  # noqa: E402  # after the environment

from flambeau.device import base  # noqa: E402  # after the environment

# The same examples at every run, so that a failure is the change's; `pytest
# --hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("explore", derandomize=False)
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_unconfigure() -> None:
    """Remove the cache when the last worker is done."""
    if _OWNER:
        shutil.rmtree(os.environ["FLAMBEAU_CACHE"], ignore_errors=True)


def unavailable(name: str) -> str | None:
    """None where the device can be used here, else why not."""
    try:
        base.get(name)
    except RuntimeError as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def webgpu() -> str:
    """The webgpu device's name; skips, saying why, where there is no adapter."""
    reason = unavailable("webgpu")
    if reason is not None:
        pytest.skip(reason)
    return "webgpu"


@pytest.fixture(params=["cpu", "reference", "webgpu"])
def every_device(request: pytest.FixtureRequest) -> str:
    """Each device in turn, where it can be used here."""
    reason = unavailable(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)
