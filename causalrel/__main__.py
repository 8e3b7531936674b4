"""``python -m causalrel``, and the console script."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


class _Interrupt(KeyboardInterrupt):
    """An interrupt of our own kind: where text run by ``exec`` meets the plain one, CPython kills itself at its end."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    code = _watched() if _limited() else _run()
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(code)


def _run() -> int:
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        from causalrel.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Interrupt, and again a second later where a callback of some library swallowed it."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, 1)
    raise _Interrupt


def _limited() -> bool:
    """Say whether this process may not take all the memory there is, where libraries abort instead of raising."""
    try:
        import resource
    except ImportError:
        return False
    return hasattr(os, "fork") and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _watched() -> int:
    """Run in a child, so that one which dies for want of memory is told in a sentence."""
    import tempfile

    from causalrel import errors

    os.environ.setdefault("_RJEM_MALLOC_CONF", "background_thread:false")
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), sys.stderr.fileno())
            code = _run()
            sys.stderr.flush()
            os.write(writer, bytes([code]))
            return code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda one, _frame: os.kill(child, one))
        os.close(writer)
        os.waitpid(child, 0)
        ended = os.read(reader, 1)
        if not ended:
            sys.stderr.write(f"causalrel: {errors.out_of_memory().message}\n")
            return 2
        said.seek(0)
        sys.stderr.write(said.read().decode(errors="replace"))
        return ended[0]


if __name__ == "__main__":
    main()
