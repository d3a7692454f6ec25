"""Helpers of the tests that look at the whole: counters, and programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flambeau.device.cpu import compile as cpu
from flambeau.schedule import flush

ROOT = Path(__file__).resolve().parent.parent


def made() -> tuple[int, int]:
    """How many plans were obtained and how many kernels, by compiling or from the disk."""
    plans = flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded
    return plans, cpu.STATISTICS.compiled + cpu.STATISTICS.loaded_from_disk


@contextmanager
def nothing_new() -> Iterator[None]:
    """Fails where a plan or a kernel is made within."""
    before = made()
    yield
    assert made() == before, "plans, kernels: a known structure was compiled again"


def start(program: str, **environment: str) -> subprocess.Popen[str]:
    """Run a program in a new process."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the process printed; fails with its errors where it failed."""
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    return printed


def run(program: str, **environment: str) -> str:
    """What a program prints in a process of its own."""
    return finish(start(program, **environment))


class Nowhere:
    """A disk cache that is empty."""

    @staticmethod
    def get(key: str) -> None:
        return None

    @staticmethod
    def put(key: str, data: bytes) -> None:
        return None
