"""Single bits of a store's files flip: an audit fails, dies, or proves what was there. It never proves anything else.

What was there may be an earlier moment: a damaged log or root page makes a database go back to the commit before, which
was whole, and holds. Who has the mark, or a later checkpoint, sees that it is old.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from processes import LONG, Start, hear, tell

FLIPS = 1_500 if LONG else 40
CRASHES = {f"died {-number}" for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE)}

SETUP = """
sys.path.insert(0, sys.argv[1])
import hashlib, resource
from ledger.test_stores import chain_in, opened
from stores import Place
def digest(store):
    hashed = hashlib.sha256()
    for key, value in store.scan():
        hashed.update(b'%d %d ' % (len(key), len(value)) + key + value)
    return hashed.hexdigest()
"""

BUILD = """
kind, folder, how = sys.argv[2], Path(sys.argv[3]), sys.argv[4]
store = Place(kind, folder / 'store').open()
commit = store.commit
def committed(batch):
    commit(batch)
    say(digest(store))
store.commit = committed
chain = chain_in(store, folder).chain
if how == 'killed':
    say('end')
    os._exit(0)
chain.close()
say('end')
"""

AUDIT = """
kind, last = sys.argv[2], sys.argv[3]
def judge(folder):
    place = Place(kind, folder / 'store')
    with opened(place.open(read_only=True), folder, write=False) as chain:
        size = chain.audit().head.size
        found = digest(chain._archive.store)
    if found == last:
        return f'proved {found}'
    try:
        with opened(place.open(), folder) as chain:
            return f'proved {found} {chain.head.size - size}'
    except StorageError as error:
        return f'proved {found} old' if 'old copy' in str(error) else f'proved {found} {error!r}'
while folder := hear():
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            said = judge(Path(folder))
        except MedchainError as error:
            said = f'failed {type(error).__name__}'
        except BaseException as error:
            said = f'raised {error!r}'
        say(said)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        say('died', status)
"""


def flip(file: Path, bit: int) -> None:
    with file.open("r+b") as data:
        data.seek(bit // 8)
        byte = data.read(1)[0]
        data.seek(bit // 8)
        data.write(bytes([byte ^ 1 << bit % 8]))


def used(file: Path) -> int:
    """Bytes of a file up to the last that is not zero: a file of LMDB is longer than what it holds."""
    return len(file.read_bytes().rstrip(b"\0"))


@pytest.mark.parametrize(
    ("kind", "how", "file"),
    [
        ("lmdb", "closed", "data.mdb"),
        ("sqlite", "closed", "data.sqlite"),
        ("sqlite", "killed", "data.sqlite-wal"),
    ],
)
def test_an_audit_never_proves_what_was_not_there(
    tmp_path: Path, start: Start, kind: str, how: str, file: str
) -> None:
    tests = Path(__file__).parents[1]
    builder = start(SETUP + BUILD, tests, kind, tmp_path / "good", how)
    states = []
    while (line := hear(builder)) != "end":
        assert len(line) == 64, line
        states.append(line)
    builder.wait()
    auditor = start(SETUP + AUDIT, tests, kind, states[-1])
    chance = random.Random(f"{kind} {how} {file}")
    counts: Counter[str] = Counter()
    bits = 8 * used(tmp_path / "good" / "store" / file)
    for number in range(-1, FLIPS):
        folder = shutil.copytree(tmp_path / "good", tmp_path / "bad")
        if number >= 0:
            flip(folder / "store" / file, chance.randrange(bits))
        tell(auditor, str(folder))
        said = hear(auditor)
        verdict, _, rest = said.partition(" ")
        if number < 0:
            assert said == f"proved {states[-1]}"
        elif verdict == "proved":
            state, _, behind = rest.partition(" ")
            assert state in states
            if state == states[-1]:
                assert behind == ""
                counts["proved"] += 1
            else:
                # Whoever opens an earlier moment for writing is told, unless it only lacks the last signed note.
                assert behind in ("0", "old"), said
                counts["proved an earlier moment"] += 1
        else:
            assert verdict == "failed" or said in CRASHES, said
            counts[said] += 1
        shutil.rmtree(folder)
    print(kind, how, file, dict(counts))
    assert counts.total() == FLIPS
    assert counts["proved"] < FLIPS  # flips do reach what is read
