"""Hostile repository code in the jail: each attack is contained, and the worker goes on."""

import os
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from activities.backends.sandbox_jail import JailKind, JailSandbox
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from tests.fakes.jails import KINDS, why_not
from tests.fakes.trees import SHA, write_tar

SECRET = "s3cr3t-0f-the-w0rker"


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> JailKind:
    kind: JailKind = request.param
    if why := why_not(kind):
        pytest.skip(f"no {kind} jail here: {why}")
    return kind


@pytest.fixture(scope="module")
def jail(kind: JailKind) -> JailSandbox:
    return JailSandbox(kind, memory_mb=256, processes=60, output_bytes=200_000, disk_mb=32)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "empty.tar", {})


def attack(
    jail: JailSandbox, artifact: Path, code: str = "", *, command: tuple[str, ...] = (), seconds: int = 20
) -> CheckResult:
    """Run Python code (or a command) as a check, then show that the jail still takes ordinary work."""
    result = jail.run_check(
        Check(name="attack", command=command or ("{python}", "-c", code), timeout_seconds=seconds),
        artifact=artifact,
        sha=SHA,
        heartbeat=lambda: None,
    )
    with tarfile.open(artifact.with_suffix(".after.tar"), "w"):
        pass
    after = jail.run_check(
        Check(name="after", command=("true",), timeout_seconds=20),
        artifact=artifact.with_suffix(".after.tar"),
        sha=SHA,
        heartbeat=lambda: None,
    )
    assert after.outcome == "passed", after
    return result


def processes_with(marker: str) -> list[int]:
    """Process ids on this machine whose command line contains the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in command:
                found.append(int(entry.name))
    return found


def test_a_service_on_the_worker_s_loopback_can_not_be_reached(jail: JailSandbox, empty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        result = attack(jail, empty, code)
        with pytest.raises(TimeoutError):
            server.accept()
    assert result.outcome == "failed"
    assert "ConnectionRefusedError" in result.log


def test_there_is_no_way_to_another_machine(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import socket\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "socket.create_connection(('192.0.2.1', 443), 5)"
    )
    result = attack(jail, empty, code)
    assert result.outcome == "failed"
    assert "['lo']" in result.log
    assert "Network is unreachable" in result.log


def test_abstract_unix_sockets_of_the_worker_are_out_of_reach(jail: JailSandbox, empty: Path) -> None:
    name = f"\0leverframe-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        result = attack(jail, empty, code)
    assert result.outcome == "failed"
    assert "ConnectionRefusedError" in result.log


def test_files_of_the_host_are_not_there(jail: JailSandbox, empty: Path, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(SECRET)
    here = [
        tmp_path / "credentials",
        Path.home() / ".ssh",
        Path(__file__).resolve(),
        Path.cwd() / "pyproject.toml",
    ]
    paths = ["/etc/shadow", "/var", "/home", *map(str, here)]
    code = (
        "import pathlib\n"
        f"for path in {paths}:\n"
        "    print(path, pathlib.Path(path).exists())\n"
        "print(pathlib.Path('/etc/passwd').read_text())\n"
    )
    result = attack(jail, empty, code)
    assert result.outcome == "passed"
    lines = result.log.splitlines()
    assert [line.rpartition(" ")[2] for line in lines[:7]] == ["False"] * 7
    assert lines[7:9] == ["nobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin", ""]


def test_the_worker_s_environment_and_processes_can_not_be_seen(
    jail: JailSandbox, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGE_TOKEN", SECRET)
    code = (
        "import os, pathlib\n"
        "pids = [entry for entry in pathlib.Path('/proc').iterdir() if entry.name.isdigit()]\n"
        "for place in [pathlib.Path('/proc/self'), *pids]:\n"
        "    for name in ('environ', 'cmdline'):\n"
        "        try: print((place / name).read_bytes())\n"
        "        except OSError: pass\n"
        "print(len(pids), 'processes')\n"
    )
    result = attack(jail, empty, code)
    assert result.outcome == "passed"
    assert "LANG=C.UTF-8" in result.log
    assert SECRET not in result.log
    assert int(result.log.splitlines()[-1].split()[0]) <= 3


def test_nothing_outside_the_writable_places_can_be_written(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "places = ['/', '/usr', '/etc', '/dev', '/root', sys.prefix, sys.base_prefix, '/proc/sys/kernel']\n"
        "for place in places:\n"
        "    try: (pathlib.Path(place) / 'core_pattern').write_text('x'); print('WROTE', place)\n"
        "    except OSError: pass\n"
        "for place in ('/tree', '/tmp', '/dev/shm'):\n"
        "    (pathlib.Path(place) / 'mine').write_text('x')\n"
    )
    result = attack(jail, empty, code)
    assert (result.outcome, result.log) == ("passed", "")


def test_it_is_nobody_without_capabilities_and_can_not_become_more(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import ctypes, os, re\n"
        "status = open('/proc/self/status').read()\n"
        "capabilities = re.findall(r'Cap(?:Prm|Eff|Bnd|Amb):\\s+(\\w+)', status)\n"
        "print(os.getuid(), capabilities, 'NoNewPrivs:\\t1' in status)\n"
        "libc = ctypes.CDLL(None)\n"
        "print(libc.unshare(0x10000000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))\n"
        "try: os.setuid(0); print('became root')\n"
        "except OSError: pass\n"
    )
    result = attack(jail, empty, code)
    assert result.log == f"65534 {['0' * 16] * 4} True\n-1 -1\n"


def test_a_fork_bomb_hits_the_process_limit(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import os, time\n"
        "started = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
        "        started += 1\n"
        "except BlockingIOError: print('refused after', started); raise SystemExit(1)\n"
    )
    result = attack(jail, empty, code)
    assert result.outcome == "failed"
    assert "more than 60 processes" in result.summary or "refused after" in result.log


def test_an_endless_fork_bomb_ends_with_its_time_limit_or_sooner(jail: JailSandbox, empty: Path) -> None:
    marker = f"bomb-{os.getpid()}"
    script = f": {marker}; b() {{ b | b & }}; b; sleep 60"
    result = attack(jail, empty, command=("sh", "-c", script), seconds=3)
    assert result.outcome != "passed"
    assert processes_with(marker) == []


def test_a_gigabyte_of_output_is_cut_off(jail: JailSandbox, empty: Path) -> None:
    result = attack(jail, empty, command=("head", "-c", "1G", "/dev/zero"))
    assert result.outcome == "failed"
    assert "more than 200000 bytes" in result.summary
    assert len(result.log) <= 8000


def test_output_that_steers_a_terminal_is_inert(jail: JailSandbox, empty: Path) -> None:
    code = r"print('\x1b]0;owned\x07\x1b[2J\u202eevil\x9b31m\r<!channel>\x00')"
    result = attack(jail, empty, code)
    assert result.outcome == "passed"
    assert not set(result.log) & {"\x1b", "\x07", "\x9b", "\x00", "\r", "\u202e"}


def test_sleeping_for_ever_ends_with_the_time_limit_and_proves_nothing(
    jail: JailSandbox, empty: Path
) -> None:
    marker = f"{10**6 + os.getpid()}"
    result = attack(jail, empty, command=("sleep", marker), seconds=1)
    assert result.outcome == "inconclusive"
    assert "time limit" in result.summary
    assert processes_with(marker) == []


def test_a_command_that_ignores_every_signal_is_killed(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import signal, time\n"
        "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(1e6)\n"
    )
    result = attack(jail, empty, code, seconds=2)
    assert (result.outcome, result.log) == ("inconclusive", "deaf\n")


def test_growing_memory_is_stopped_and_proves_nothing(jail: JailSandbox, empty: Path) -> None:
    code = "import time\nkept = []\nwhile True:\n    kept.append(b'x' * 4_000_000)\n    time.sleep(0.01)\n"
    result = attack(jail, empty, code)
    assert (result.outcome, result.summary) == ("inconclusive", "stopped: used more than 256 MB of memory")


def test_memory_is_counted_over_all_processes(jail: JailSandbox, empty: Path) -> None:
    code = (
        "import os, time\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0: break\n"
        "kept = b'x' * 60_000_000\n"
        "time.sleep(15)\n"
    )
    result = attack(jail, empty, code)
    assert (result.outcome, result.summary) == ("inconclusive", "stopped: used more than 256 MB of memory")


def test_one_huge_allocation_is_refused(jail: JailSandbox, empty: Path) -> None:
    result = attack(jail, empty, "bytearray(8_000_000_000)")
    assert result.outcome == "failed"
    assert "MemoryError" in result.log


@pytest.mark.parametrize("place", ["/tree", "/tmp", "/dev/shm"])
def test_the_disk_is_bounded(jail: JailSandbox, empty: Path, place: str) -> None:
    script = f"for n in 1 2 3 4 5 6 7 8; do head -c 16M /dev/zero > {place}/$n || exit 9; done"
    result = attack(jail, empty, command=("sh", "-c", script))
    assert result.outcome in ("failed", "inconclusive")
    assert "No space left" in result.log or "memory" in result.summary


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "members",
    [
        (member("../escaped", tarfile.REGTYPE),),
        (member("/tmp/escaped", tarfile.REGTYPE),),
        (member("a/../../escaped", tarfile.REGTYPE),),
        (member("out", tarfile.SYMTYPE, "/etc"),),
        (member("out", tarfile.SYMTYPE, "../.."),),
        (member("in", tarfile.SYMTYPE, "."), member("in/out", tarfile.SYMTYPE, "../tmp")),
        (member("loop", tarfile.SYMTYPE, "loop"), member("loop/file", tarfile.REGTYPE)),
        (member("file", tarfile.REGTYPE), member("hard", tarfile.LNKTYPE, "/etc/passwd")),
        (member("sda", tarfile.BLKTYPE),),
        (member("tty", tarfile.CHRTYPE),),
        (member("pipe", tarfile.FIFOTYPE),),
    ],
    ids=lambda members: f"{members[-1].name}-{members[-1].type.decode()}-{members[-1].linkname}",
)
def test_a_tar_that_leaves_the_tree_is_refused_before_anything_runs(
    jail: JailSandbox, tmp_path: Path, members: tuple[tarfile.TarInfo, ...]
) -> None:
    hostile = write_tar(tmp_path / "hostile.tar", {}, members)
    result = attack(jail, hostile, "print('ran')")
    assert result.outcome == "failed"
    assert result.summary.startswith("the tree can't be unpacked: ")
    assert "ran" not in result.log


@pytest.mark.parametrize("content", [b"not a tar at all" * 100, b""])
def test_a_file_that_is_no_tar_is_refused(jail: JailSandbox, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tar"
    path.write_bytes(content)
    result = attack(jail, path, "print('ran')")
    assert result.outcome == "failed"
    assert "can't be unpacked" in result.summary


def test_a_truncated_tar_is_refused(jail: JailSandbox, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "whole.tar", {"a.txt": "a" * 100_000})
    path.write_bytes(path.read_bytes()[:50_000])
    result = attack(jail, path, "print('ran')")
    assert result.outcome == "failed"
    assert "can't be unpacked" in result.summary


def test_a_tar_larger_than_the_disk_is_refused(jail: JailSandbox, tmp_path: Path) -> None:
    result = attack(jail, write_tar(tmp_path / "bomb.tar", {"a": "0" * 40_000_000}), "print('ran')")
    assert result.outcome == "failed"
    assert "can't be unpacked" in result.summary


def gone(marker: str) -> bool:
    """Whether every process with the marker ends within ten seconds."""
    deadline = time.monotonic() + 10
    while processes_with(marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    return processes_with(marker) == []


def test_daemons_do_not_outlive_the_command(jail: JailSandbox, empty: Path) -> None:
    marker = f"{2 * 10**6 + os.getpid()}"
    sleep = f"sleep {marker}"
    script = f"(setsid {sleep} &) ; (setsid nohup {sleep} >/dev/null 2>&1 &) ; sleep 0.2; echo done"
    result = attack(jail, empty, command=("sh", "-c", script))
    assert (result.outcome, result.log) == ("passed", "done\n")
    assert gone(marker)


def test_a_command_does_not_outlive_a_worker_that_is_killed(kind: JailKind, empty: Path) -> None:
    marker = f"{3 * 10**6 + os.getpid()}"
    worker = (
        "import sys; from pathlib import Path\n"
        "from activities.backends.sandbox_jail import JailSandbox\n"
        "from leverframe.model.checks import Check\n"
        "kind, artifact, marker = sys.argv[1:]\n"
        "check = Check(name='long', command=('sleep', ''.join(reversed(marker))))\n"
        "JailSandbox(kind).run_check(\n"
        "    check, artifact=Path(artifact), sha='a' * 40,\n"
        "    heartbeat=lambda: print('beat', flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", worker, kind, str(empty), marker[::-1]], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"beat\n"
        while not processes_with(marker):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert gone(marker)
