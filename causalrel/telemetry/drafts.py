"""Drafts: files that take their names only when every one of them is whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from causalrel import errors


@contextmanager
def drafted(folder: str | Path) -> Iterator[Path]:
    """Give a hidden directory to write into, whose files move into a directory once the block has ended well.

    Parameters
    ----------
    folder : str or pathlib.Path
        The directory they are meant for; made if its parent exists, and gone again if the block fails.

    Yields
    ------
    pathlib.Path
        Where to write.

    Raises
    ------
    CausalrelError
        When the directory cannot be made or written, or a link bears the name of a file.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with drafted(folder) as draft:
    ...         _ = (draft / "a.txt").write_text("whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    target = Path(folder)
    made = not target.exists()
    try:
        target.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".draft-") as draft:
            yield Path(draft)
            files = sorted(Path(draft).iterdir())
            for file in files:
                if (target / file.name).is_symlink():
                    raise errors.bad_question(
                        f"cannot write '{target / file.name}': it is a link", "remove it, or name another directory"
                    )
            for file in files:
                file.replace(target / file.name)
        made = False
    except (OSError, pl.exceptions.PolarsError) as fault:
        said = getattr(fault, "strerror", None) or str(fault).partition("\n")[0].rpartition(": ")[2][:120]
        raise errors.bad_question(f"cannot write '{folder}': {said}", "name a directory you may write") from None
    finally:
        if made and target.is_dir() and not any(target.iterdir()):
            target.rmdir()
