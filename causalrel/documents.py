"""Documents: text written to a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from causalrel import errors


def save_text(text: str, path: str | Path) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    text : str
        What to write, as UTF-8.
    path : str or pathlib.Path
        Where; a file that exists is replaced.

    Raises
    ------
    CausalrelError
        When the directory does not exist or cannot be written to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_text("a", Path(folder) / "a.txt")
    ...     (Path(folder) / "a.txt").read_text()
    'a'
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise errors.bad_question(f"cannot write '{target}': there is no directory '{target.parent}'", "make it first")
    if target.is_dir():
        raise errors.bad_question(f"cannot write '{target}': it is a directory", "name a file in it")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise errors.bad_question(f"cannot write '{target}': it is a link or a device", "name a plain file")
    data = text.encode("utf-8")
    made = ""
    try:
        handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(made).chmod(_mode(target))
        Path(made).replace(target)
    except OSError as fault:
        if made:
            Path(made).unlink(missing_ok=True)
        raise errors.bad_question(
            f"cannot write '{target}': {fault.strerror or fault}", "check the directory's rights and space"
        ) from None


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
