"""Single calls of a process to its disk fail, tear or take their time: what was acknowledged is there, and holds.

`test_fault_store` spoils whole commits; here the libraries below meet the fault, inside a commit, while they open or
close, or when the mark is moved. A small library (`faulty_disk.c`) stands before the C library's calls in a process
that forks a child for each fault.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, wallet
from processes import LONG, PRELUDE, Process, hear, tell
from stores import FILES, Place

from medchain.chain import Chain
from medchain.storage import MemoryBlobs

HERE = Path(__file__).parent
AUTHORITY = wallet("authority")
SENDS = 8
GROUPS = {"write": 1, "sync": 2, "length": 3}
KINDS = {"fail": 1, "tear": 2, "delay": 3}
FOR_EVER = 1 << 30
STEPS = None if LONG else 3
"""At how many calls of a life there are faults, evenly spread; None is all."""

LIVES = """
sys.path.insert(0, sys.argv[1])
import ctypes
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, wallet
from medchain.chain import Chain
from medchain.storage import MemoryBlobs
from stores import Place
disk = ctypes.CDLL(sys.argv[2])
disk.faulty_disk_calls.restype = ctypes.c_long
authority = wallet('authority')

def told(error):
    cause = f'<-{error.__cause__.code}' if isinstance(error.__cause__, MedchainError) else ''
    say('failed' if isinstance(error, MedchainError) else f'wrong {error!r}', getattr(error, 'code', '') + cause)

def live(kind, folder, sends):
    chain = Chain.open(
        folder / 'chain', authority=authority, contracts=CONTRACTS, store=Place(kind, folder / 'store').open(),
        blobs=MemoryBlobs(), mark=folder / 'mark',
    )
    try:
        for number in range(sends):
            receipt = chain.send(Counting, Add(1), by=[authority])
            say('acknowledged', receipt.index, receipt.id.hex())
            if number % 3 == 0:
                chain.checkpoint()
    except BaseException as error:
        told(error)
    chain.close()

say('ready')
while words := hear().split():
    kind, folder, sends, group, how, first, times, code = words
    child = os.fork()
    if child == 0:
        disk.faulty_disk_arm(
            folder.encode(), int(group), int(how), ctypes.c_long(int(first)), ctypes.c_long(int(times)), int(code)
        )
        try:
            live(kind, Path(folder), int(sends))
        except BaseException as error:
            told(error)
        say('calls', disk.faulty_disk_calls())
        os._exit(0)
    say('ended', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@frozen
class Fault:
    """Which calls go wrong, and how."""

    group: str
    kind: str
    first: int
    times: int = 1
    code: int = errno.EIO

    @property
    def words(self) -> str:
        return f"{GROUPS[self.group]} {KINDS[self.kind]} {self.first} {self.times} {self.code}"


@frozen
class Life:
    """What the process said: what was acknowledged, index and id, the codes of errors, and how many calls it made."""

    acknowledged: dict[int, str]
    failures: list[str]
    calls: int


class Lives:
    """A process over a disk that fails."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def live(self, kind: str, folder: Path, fault: Fault) -> Life:
        tell(self._process, f"{kind} {folder} {SENDS} {fault.words}")
        acknowledged: dict[int, str] = {}
        failures: list[str] = []
        calls = 0
        while True:
            match hear(self._process).split():
                case ["acknowledged", index, id]:
                    acknowledged[int(index)] = id
                case ["failed", code]:
                    failures.append(code)
                case ["calls", number]:
                    calls = int(number)
                case ["ended", "0"]:
                    return Life(acknowledged, failures, calls)
                case words:
                    raise AssertionError(f"{fault}: {' '.join(words)}")


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no disk that fails: it needs a C compiler")
    if sys.platform != "linux":
        pytest.skip("no disk that fails: it needs LD_PRELOAD and /proc of Linux")
    library = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    subprocess.run(
        [compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
         "-o", str(library), str(HERE / "faulty_disk.c"), "-ldl"],
        check=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [
            "env",
            f"LD_PRELOAD={library}",
            sys.executable,
            "-c",
            PRELUDE + LIVES,
            str(HERE.parent),
            str(library),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if hear(process) != "ready":
            pytest.skip("no disk that fails: LD_PRELOAD does not work here")
        yield Lives(process)
    finally:
        process.kill()
        process.communicate()


def founded(kind: str, folder: Path) -> Path:
    """A folder with a short chain, of which each life gets a copy."""
    Chain.create(
        folder / "chain", origin="faulty.example", authority=AUTHORITY, gate=None, contracts=CONTRACTS,
        store=Place(kind, folder / "store").open(), blobs=MemoryBlobs(), mark=folder / "mark",
    ).close()  # fmt: skip
    return folder


def check(kind: str, folder: Path, life: Life, fault: Fault) -> None:
    """All that was acknowledged is there, nothing is half there, and the chain goes on."""
    with Chain.open(
        folder / "chain", authority=AUTHORITY, contracts=CONTRACTS, store=Place(kind, folder / "store").open(),
        blobs=MemoryBlobs(), mark=folder / "mark",
    ) as chain:  # fmt: skip
        for index, id in life.acknowledged.items():
            assert chain._archive.find(bytes.fromhex(id)) == index, fault
        entries = sum(1 for _ in chain.entries())
        assert len(life.acknowledged) <= entries <= len(life.acknowledged) + 1, fault
        assert chain.send(Counting, Add(1), by=[AUTHORITY]).ok
        assert chain.table(Counting.totals)[AUTHORITY.party.id].total == entries + 1
        assert chain.audit().head == chain.head


def steps(calls: int) -> range:
    """The numbers of the calls that go wrong, beginning with the first."""
    return range(1, calls + 1, 1 if STEPS is None else max(1, calls // STEPS))


KINDS_OF_FAULTS = [
    ("write", "fail", errno.EIO),
    ("write", "fail", errno.ENOSPC),
    ("write", "tear", errno.EIO),
    ("write", "delay", 0),
    ("sync", "fail", errno.EIO),
    ("sync", "delay", 0),
    ("length", "fail", errno.ENOSPC),
]


@pytest.mark.parametrize(
    ("group", "how", "code"),
    KINDS_OF_FAULTS,
    ids=[f"{group} {how} {errno.errorcode.get(code, '')}".strip() for group, how, code in KINDS_OF_FAULTS],
)
@pytest.mark.parametrize("kind", FILES)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(
    tmp_path: Path, lives: Lives, kind: str, group: str, how: str, code: int
) -> None:
    base = founded(kind, tmp_path / "base")
    sound = Fault(group, how, 0, 0, code)
    whole = lives.live(kind, shutil.copytree(base, tmp_path / "sound"), sound)
    assert (len(whole.acknowledged), whole.failures) == (SENDS, [])
    check(kind, tmp_path / "sound", whole, sound)
    assert whole.calls > SENDS or group == "length"
    heard: list[str] = []
    for first in steps(whole.calls):
        for times in (1, 5) if how == "delay" else (1, FOR_EVER):
            fault = Fault(group, how, first, times, code)
            folder = shutil.copytree(base, tmp_path / "life")
            life = lives.live(kind, folder, fault)
            check(kind, folder, life, fault)
            assert len(life.acknowledged) == SENDS or life.failures, fault
            heard += life.failures
            shutil.rmtree(folder)
    if how == "delay":
        assert not heard
    elif group != "length":  # which may fail without harm
        assert heard
        assert code != errno.ENOSPC or any("storage-full" in failure for failure in heard)
