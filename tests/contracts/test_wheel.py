"""The wheel holds the package and what ships with it, and works from where it is unpacked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("models", "datasets")
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import causalrel as cr
from causalrel import shipped
assert str(shipped.root()).startswith(sys.argv[1]), shipped.root()
print(cr.load_dataset("llm-canary").frame().height, cr.load_graph("llm-serving").name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; it is in the dev group")
    folder = tmp_path_factory.mktemp("wheel")
    arguments = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_wheel_content(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    own = {name for name in names if ".dist-info/" not in name}
    code = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "causalrel").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    data = {
        f"causalrel/_shipped/{path.relative_to(ROOT).as_posix()}"
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    assert own == code | data
    assert "causalrel/py.typed" in own
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 2_500_000


def test_wheel_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(tmp_path.resolve())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "llm-serving"
