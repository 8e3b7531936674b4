"""A headless Chromium without a network, asked over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
#: Inches of A4.
PAPER = (8.27, 11.69)
#: Events of a page that a self-contained one without scripts never has.
COMPLAINTS = {
    "Log.entryAdded",
    "Network.loadingFailed",
    "Page.javascriptDialogOpening",
    "Runtime.consoleAPICalled",
    "Runtime.exceptionThrown",
}


@dataclass
class Browser:
    """One page of a browser."""

    reading: int
    writing: int
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    rest: bytes = b""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its answer; what the page tells meanwhile is kept."""
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.writing, json.dumps(command).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == number:
                assert "error" not in said, said
                found: dict[str, Any] = said["result"]
                return found
            self.events.append(said)

    def open(self, path: Path, width: int) -> None:
        """Show a file at a width, and wait until it is there."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
            if self.events[-1]["method"] == "Page.javascriptDialogOpening":
                self.ask("Page.handleJavaScriptDialog", accept=True)

    def value(self, expression: str) -> Any:
        """Return what an expression is on the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def printed(self) -> bytes:
        """Return the page as PDF on A4, as the browser prints it when asked for nothing else."""
        return base64.b64decode(self.ask("Page.printToPDF", paperWidth=PAPER[0], paperHeight=PAPER[1])["data"])

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself first."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What went wrong, or was said by a script."""
        return [event for event in self.events if event["method"] in COMPLAINTS]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            data = os.read(self.reading, 2**20)
            assert data, "the browser went away"
            self.rest += data
        said, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(said)
        return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser whose network is cut."""
    assert CHROMIUM is not None
    to_read, to_write = os.pipe(), os.pipe()

    def connect() -> None:
        ends = os.dup(to_read[0]), os.dup(to_write[1])
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        done = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=connect,
        )
        os.close(to_read[0])
        os.close(to_write[1])
        page = Browser(reading=to_write[0], writing=to_read[1])
        try:
            target = page.ask("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                page.ask(f"{domain}.enable")
            page.ask(
                "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
            )
            yield page
        finally:
            done.kill()
            done.wait()
            os.close(page.reading)
            os.close(page.writing)
