"""Faults of the machine: killed, full, closed, short of memory, interrupted, elsewhere, twice at once."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from bad_inputs import SLO, table

import causalrel as cr

ROOT = Path(__file__).parents[1]
NAMES = ["caf\u00e9 \u0130stanbul", "plain"] * 100
KILLED = (
    "import os, sys; os.fsync = lambda _: os.kill(os.getpid(), 9); from causalrel.cli import main; sys.exit(main())"
)
#: A limit on files would cut short what Python keeps of its own.
ALWAYS = {"POLARS_MAX_THREADS": "2", "PYTHONDONTWRITEBYTECODE": "1"}
WRITE = "import sys, causalrel as cr\nfrom causalrel.telemetry.writers import write_telemetry\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with requests of two services and an SLO."""
    (tmp_path / "slo.yaml").write_text(SLO)
    table({"service": NAMES, "ttft_s": [0.1, 2.0, 0.3, 0.4] * 50}).write_parquet(tmp_path / "requests.parquet")
    return tmp_path


def budget(folder: Path, *more: str) -> list[str]:
    data = str(folder / "requests.parquet"), "--slo", str(folder / "slo.yaml"), "--every", "1m", *more
    return ["-m", "causalrel", "budget", *data]


def run(
    arguments: list[str],
    *,
    limit: Callable[[], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a process of its own."""
    around = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **ALWAYS, **(env or {})}
    return subprocess.run(
        [sys.executable, *arguments], env=around, cwd=cwd, preexec_fn=limit, stdout=stdout, stderr=subprocess.PIPE,
        timeout=120, check=False,
    )  # fmt: skip


def one_sentence(made: subprocess.CompletedProcess[bytes], says: str) -> None:
    lines = [line for line in made.stderr.decode().splitlines() if not line.startswith("note: ")]
    assert made.returncode == 2, lines
    assert len(lines) == 1, lines
    assert says in lines[0]
    assert not made.stdout


def small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))


def test_killed_while_writing_an_answer_leaves_the_old_one(data: Path) -> None:
    old = data / "out.json"
    old.write_text("old")
    for _ in range(2):
        made = run(["-c", KILLED, *budget(data, "-o", str(old))[2:]])
        assert made.returncode == -signal.SIGKILL
        assert old.read_text() == "old"
    left = [path.name for path in data.iterdir() if path.suffix == ".part"]
    assert len(set(left)) == 2
    assert all(name.startswith(".out.json.") for name in left)
    assert cr.read(data).frame().height == 200
    assert run(budget(data, "-o", str(old))).returncode == 0
    assert json.loads(old.read_text())["verdict"] == "answered"


def test_killed_while_writing_telemetry_leaves_the_old_files(data: Path) -> None:
    script = WRITE + (
        "import os\nfrom pathlib import Path\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "write_telemetry(cr.load_dataset('llm-canary'), sys.argv[1])\n"
    )
    before = (data / "requests.parquet").read_bytes()
    assert run(["-c", script, str(data)]).returncode == -signal.SIGKILL
    assert (data / "requests.parquet").read_bytes() == before
    assert cr.read(data).samples is None
    assert cr.read(data).frame().height == 200


@pytest.mark.slow
def test_killed_at_any_time_leaves_the_old_answer_or_the_new_one(data: Path) -> None:
    target = data / "out.json"
    target.write_text("old")
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    for wait in (0.3, 0.6, 0.9, 1.2):
        with subprocess.Popen(
            [sys.executable, *budget(data, "-o", str(target))], env=around, stderr=subprocess.DEVNULL
        ) as one:
            time.sleep(wait)
            one.kill()
        text = target.read_text()
        assert text == "old" or json.loads(text)["verdict"] == "answered"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_device(data: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        one_sentence(run(budget(data), stdout=full.fileno()), "cannot write to stdout: No space left on device")
    one_sentence(run(budget(data, "-o", "/dev/full")), "cannot write '/dev/full': it is a link or a device")
    assert not Path("/dev/full").is_file()


def test_a_limit_on_the_size_of_files(data: Path) -> None:
    (data / "out.json").write_text("old")
    made = run(budget(data, "-o", str(data / "out.json")), limit=small_files)
    one_sentence(made, "File too large; check the directory's rights and space")
    assert (data / "out.json").read_text() == "old"
    script = WRITE + (
        "for form in ('parquet', 'otlp', 'prometheus'):\n"
        "    try:\n        write_telemetry(cr.load_dataset('llm-canary'), sys.argv[1], form=form)\n"
        "    except cr.CausalrelError as fault:\n        print(fault.message)\n"
    )
    made = run(["-c", script, str(data / "made")], limit=small_files)
    assert made.stdout.decode().count("File too large") == 3, made.stderr.decode()
    assert sorted(path.name for path in data.iterdir()) == ["out.json", "requests.parquet", "slo.yaml"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=16k", "none", str(where)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_full_disk(data: Path, small_disk: Path) -> None:
    (small_disk / "out.json").write_text("old")
    (small_disk / "rest").write_bytes(b"x" * 8192)
    made = run(budget(data, "-o", str(small_disk / "out.json"), "--format", "html"))
    one_sentence(made, "cannot write")
    assert "No space left on device" in made.stderr.decode()
    assert sorted(path.name for path in small_disk.iterdir()) == ["out.json", "rest"]
    assert (small_disk / "out.json").read_text() == "old"


def test_a_reader_that_went_away(data: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    made = run(budget(data), stdout=writer)
    os.close(writer)
    assert made.returncode == 141
    assert b"Traceback" not in made.stderr


def test_a_limit_on_memory(data: Path) -> None:
    wide = {f"x{at}": [float(at)] * 20_000 for at in range(150)}
    table(wide, rows=20_000).write_csv(data / "wide.csv")
    made = run([*budget(data)[:3], str(data / "wide.csv"), *budget(data)[4:]], limit=little_memory)
    # Where memory ends as a thread is started, Rust writes its own lines before the answer comes back to us.
    told = b"\n".join(line for line in made.stderr.splitlines() if line.startswith((b"causalrel: ", b"Traceback")))
    one_sentence(
        subprocess.CompletedProcess(made.args, made.returncode, made.stdout, told),
        "the question needs more memory than this process may take; write wider windows",
    )


def test_a_thread_that_memory_does_not_allow_is_a_limit_on_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from causalrel import cli

    class PanicException(BaseException):
        pass

    def app(*_: object, **__: object) -> None:
        raise PanicException('Os { code: 11, kind: WouldBlock, message: "Resource temporarily unavailable" }')

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["causalrel", "show"])
    assert cli.main() == 2
    assert "needs more memory than this process may take" in capsys.readouterr().err


@pytest.mark.slow
def test_a_limit_on_memory_that_is_enough_changes_nothing(data: Path) -> None:
    most = 16 << 30
    made = run(budget(data), limit=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)))
    assert (made.returncode, made.stdout) == (0, run(budget(data)).stdout)
    made = run(
        ["-m", "causalrel", "budget", "nosuch"], limit=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))
    )
    one_sentence(made, "it is neither a path nor a shipped data set")


def test_interrupted(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    asked = ["-m", "causalrel", "report", "llm-canary", "--format", "json", "-o", str(target)]
    with subprocess.Popen(
        [sys.executable, *asked], env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as one:
        time.sleep(2)
        os.killpg(one.pid, signal.SIGINT)
        out, err = one.communicate(timeout=60)
    assert one.returncode == 130, err
    assert out == b""
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(one.pid, 0)


WAITS = {
    "in text that runs": "exec('print(1, flush=True); time.sleep(30)')",
    "in a callback of a library": (
        "ctypes.CFUNCTYPE(None)(lambda: print(1, flush=True) or time.sleep(30))(); time.sleep(30)"
    ),
}


@pytest.mark.parametrize("where", WAITS)
def test_interrupted_where_an_interrupt_is_lost(tmp_path: Path, where: str) -> None:
    (tmp_path / "asked.py").write_text(
        f"""
import ctypes, time
from causalrel import __main__, cli

def main():
    try:
        {WAITS[where]}
    except KeyboardInterrupt:
        return 130
    return 0

cli.main = main
__main__.main()
"""
    )
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "asked"], env=around, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"1\n"
        one.send_signal(signal.SIGINT)
        _, err = one.communicate(timeout=20)
    assert one.returncode == 130, err


def test_nowhere_to_write_and_no_home(data: Path) -> None:
    usual = run(budget(data))
    made = run(budget(data), cwd="/proc", env={"TMPDIR": "/proc"})
    assert (made.returncode, made.stdout) == (0, usual.stdout), made.stderr.decode()


def test_two_runs_at_once_on_one_file(data: Path) -> None:
    target = data / "out.json"
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    asked = [sys.executable, *budget(data, "-o", str(target))]
    both = [subprocess.Popen(asked, env=around, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    assert json.loads(target.read_text())["verdict"] == "answered"
    assert sorted(path.name for path in data.iterdir()) == ["out.json", "requests.parquet", "slo.yaml"]


PLACES = {
    "ascii, samoa": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Apia"},
    "latin 1, other hashes": {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1", "PYTHONHASHSEED": "12345"},
    "turkish, one thread": {"LC_ALL": "tr_TR.UTF-8", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
}


def test_identical_bytes_in_any_locale_zone_and_number_of_threads(data: Path) -> None:
    asked = budget(data, "--by", "service")
    usual = run(asked).stdout
    assert NAMES[0] in usual.decode()
    for place, env in PLACES.items():
        assert run(asked, env=env).stdout == usual, place
