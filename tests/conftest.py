"""What every test shares: no network, no display, and the shipped week with its fitted network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import causalrel as cr

os.environ.setdefault("MPLBACKEND", "Agg")

BAD_SPAN = ("2026-02-15T09:00", "2026-02-16T00:00")


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Let nothing connect beyond this machine; kernels and workers talk over loopback and files."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="session")
def canary() -> cr.Windows:
    """The shipped week of ``llm-canary`` in half hours, one unit a node."""
    return cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")


@pytest.fixture(scope="session")
def serving(canary: cr.Windows) -> cr.Graph:
    """The reference graph over what the shipped week measures."""
    return cr.load_graph("llm-serving").project(canary.names)


@pytest.fixture(scope="session")
def fitted(canary: cr.Windows, serving: cr.Graph) -> cr.Network:
    """That graph fitted to that week."""
    return cr.fit(canary, serving)


@pytest.fixture(scope="session")
def bad_span() -> tuple[str, str]:
    """The span of the shipped week in which its node overheats."""
    return BAD_SPAN
