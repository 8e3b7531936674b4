"""Names of what ships with causalrel: models and data sets, in a wheel and in a checkout alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from causalrel import errors

Folder = Literal["models/graphs", "models/slos", "models/scenarios", "models/maps", "models/calibrations", "datasets"]

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 32


def root() -> Path:
    """Return the folder that holds ``models`` and ``datasets``.

    Returns
    -------
    pathlib.Path
        The installed copy, or the checkout.

    Examples
    --------
    >>> (root() / "models").is_dir()
    True
    """
    here = Path(__file__).resolve().parent
    packed = here / "_shipped"
    return packed if packed.is_dir() else here.parent


def names(folder: Folder) -> list[str]:
    """List what ships in a folder.

    Parameters
    ----------
    folder : {"models/graphs", "models/slos", "models/scenarios", "models/maps", "models/calibrations", "datasets"}
        Where to look.

    Returns
    -------
    list of str
        Sorted names without ending.

    Examples
    --------
    >>> "llm-serving" in names("models/graphs")
    True
    """
    where = root() / folder
    if not where.is_dir():
        return []
    if folder == "datasets":
        return sorted(item.name for item in where.iterdir() if (item / "card.yaml").is_file())
    return sorted(item.stem for item in where.glob("*.yaml"))


def resolve(name: str, folder: Folder, what: str) -> Path:
    """Find a YAML document by path or by shipped name.

    Parameters
    ----------
    name : str
        A path to a file, or the name of a shipped document.
    folder : {"models/graphs", "models/slos", "models/scenarios", "models/maps", "models/calibrations", "datasets"}
        Where shipped documents of this sort live.
    what : str
        What it is, named in the error.

    Returns
    -------
    pathlib.Path
        An existing file.

    Raises
    ------
    CausalrelError
        When there is neither such a file nor such a name.

    Examples
    --------
    >>> resolve("llm-serving", "models/graphs", "graph").name
    'llm-serving.yaml'
    """
    if name in names(folder):
        return root() / folder / (f"{name}/card.yaml" if folder == "datasets" else f"{name}.yaml")
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise errors.unreadable(name, "it is a directory", f"name the {what} file in it")
    if path.suffix or "/" in name:
        raise errors.file_not_found(name)
    raise errors.unknown_name(name, what, names(folder))


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases, tags or duplicate keys; every scalar but null stays text, so ``1.10`` and ``NO`` do.

    The schema of each document turns text into numbers where it wants them.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        depth = getattr(self, "_depth", 0) + 1
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_DEPTH} levels deep")
        self._depth = depth
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth = depth - 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.YAMLError("merge keys are not allowed")
            if key.value in seen:
                raise yaml.YAMLError(f"key '{key.value}' is written twice (line {key.start_mark.line + 1})")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag in {_NULL, _MERGE}]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(path: Path, what: str) -> list[Any]:
    """Read every document of a YAML file, safely; scalars are text or None.

    Parameters
    ----------
    path : pathlib.Path
        An existing file of at most 1 MiB.
    what : str
        What it is, named in the error.

    Returns
    -------
    list
        One dict, list or scalar a document; empty documents are left out.

    Raises
    ------
    CausalrelError
        When the file is too large, not UTF-8, not YAML, or uses aliases, tags or duplicate keys.

    Examples
    --------
    >>> load_yaml(resolve("llm-serving", "models/graphs", "graph"), "graph")[0]["graph"]
    'llm-serving'
    """
    if path.stat().st_size > _MAX_BYTES:
        raise errors.unreadable(path, f"a {what} of more than 1 MiB", "write a smaller document")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise errors.unreadable(path, f"byte {fault.start} is not UTF-8", "save the file as UTF-8") from None
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        said = " ".join(str(fault).split())[:200]
        raise errors.unreadable(path, f"not a usable {what}: {said}", "correct the YAML") from None
