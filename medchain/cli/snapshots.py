"""``medchain snapshot`` and ``medchain restore``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchain.cli.keys import wallet_of
from medchain.cli.output import counted, print_json, print_lines, require
from medchain.cli.parsing import EPILOG, PLACE, PLACES, Formatter
from medchain.storage.places import Place

if TYPE_CHECKING:
    from medchain.chain import Chain
    from medchain.ledger.trust import Trust

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the two to the subparsers of the command line."""
    snapshot = commands.add_parser(
        "snapshot",
        help="write the state of a chain into one signed file",
        description="Write rows, last header and checkpoint of a chain into a file, while its writer goes on: as of\n"
        "the last block that the writer has signed, one of the last 1,024. What was logged since is not in it; its\n"
        "leaves are counted. Equal states give equal files. It holds no history, no sealed data and no key.",
        epilog=f"{PLACES}\n{EPILOG}\nexample: medchain snapshot clinic.medchain clinic.snapshot",
        formatter_class=Formatter,
    )
    snapshot.add_argument("chain", metavar="CHAIN", help=PLACE)
    snapshot.add_argument("file", type=Path, metavar="FILE", help="where the snapshot goes")
    snapshot.set_defaults(run=_snapshot)

    restore = commands.add_parser(
        "restore",
        help="make a chain from a snapshot",
        description="Make a chain, for reading, from a snapshot that the trust file vouches for. Its authority opens\n"
        "it for writing if the mark says that nothing later was signed. If the mark is ahead or lost, what was\n"
        "logged in between is lost for this chain: --accept-loss founds a new one, with the same gate, that names\n"
        "it as its predecessor. If that breaks off, say it again: a chain that was restored is taken up. The password\n"
        "of the keystore is asked for, or read from standard input.",
        epilog=f"{PLACES}\n{EPILOG}\nexamples: medchain restore clinic.snapshot again --trust clinic.trust\n"
        "          medchain restore clinic.snapshot again --trust clinic.trust --accept-loss next \\\n"
        "              --origin clinic.example/ehr-2 --keystore hospital.keys --wallet hospital",
        formatter_class=Formatter,
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="the snapshot")
    restore.add_argument("chain", metavar="CHAIN", help="where the restored chain shall lie")
    restore.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="whom to believe: a trust file"
    )
    restore.add_argument(
        "--accept-loss",
        metavar="NEW",
        help="where a new chain shall lie that goes on from the restored one",
    )
    restore.add_argument(
        "--origin", metavar="NAME", help="origin of the new chain, another than the old one's"
    )
    restore.add_argument(
        "--keystore", type=Path, metavar="FILE", help="keystore with the authority of the new chain"
    )
    restore.add_argument("--wallet", metavar="NAME", help="the authority's name in the keystore")
    restore.add_argument(
        "--mark", type=Path, metavar="FILE", help="the new chain's mark, if not at its usual place"
    )
    restore.set_defaults(run=_restore)
    for command in (snapshot, restore):
        command.add_argument("--json", action="store_true", help="print one JSON object")


def _snapshot(options: argparse.Namespace) -> int:
    from medchain.chain import Chain

    require(Place.parse(options.chain).folder)
    with Chain.open(options.chain) as chain, counted("snapshot") as progress:
        head = chain.snapshot(options.file, progress=progress)
        taken = {"height": head.height, "size": head.log.size, "root": head.log.root.hex()}
        shown = {"snapshot": str(options.file), "rows": head.rows, **_described(chain), **taken}
        shown["left_out"] = max(0, chain.head.size - head.log.size)
    _show(shown, options.json)
    return 0


def _restore(options: argparse.Namespace) -> int:
    from medchain.chain import Chain
    from medchain.ledger.trust import Trust

    given = [
        each is not None for each in (options.accept_loss, options.origin, options.keystore, options.wallet)
    ]
    if any(given) and not all(given):
        raise ValueError("--accept-loss goes with --origin, --keystore and --wallet, and these with it")
    require(options.file)
    places = [Place.parse(each) for each in (options.chain, options.accept_loss) if each is not None]
    wallet = None if options.accept_loss is None else wallet_of(options.keystore, options.wallet)
    trust = Trust.load(options.trust)
    old = None if wallet is None else _taken_up(options, trust, *places)
    with (
        counted("restore") as progress,
        old or Chain.restore(options.chain, options.file, trust=trust, progress=progress) as chain,
    ):
        shown = {"restored": str(places[0]), **_described(chain)}
        if wallet is not None:
            with Chain.create(
                options.accept_loss,
                origin=options.origin,
                authority=wallet,
                gate=chain.gate,
                predecessor=chain.ended,
                mark=options.mark,
            ) as successor:
                shown["successor"] = {"chain": str(places[-1]), **_described(successor)}
    _show(shown, options.json)
    return 0


def _taken_up(options: argparse.Namespace, trust: Trust, old: Place, new: Place) -> Chain | None:
    """The chain that an attempt before has restored from this snapshot; None if it is still to be restored.

    Raises:
        ValueError, StorageError: its successor cannot have this name, or not this place. Nothing was restored then.
    """
    from medchain._opening import check_name, check_vacant
    from medchain._snapshots import open_snapshot
    from medchain.chain import Chain
    from medchain.errors import NotAChain
    from medchain.ledger.archive import Archive

    check_name(options.origin, trust.origin)
    if old.key == new.key or _nested(old.folder, new.folder):
        raise ValueError("the restored chain and the new one have places of their own, side by side")
    with open_snapshot(options.file, trust) as snapshot:
        with new.open(create=True) as store:
            check_vacant(Archive(store), new)
        try:
            chain = Chain.open(options.chain)
        except NotAChain:
            return None
        if (chain.id, chain.head, chain.begins) == (trust.chain, snapshot.log.head, snapshot.log.size):
            return chain
        chain.close()
        return None


def _nested(*folders: Path | None) -> bool:
    """Whether one of two folders lies in the other."""
    one, other = (None if each is None else each.resolve() for each in folders)
    return one is not None and other is not None and (one.is_relative_to(other) or other.is_relative_to(one))


def _described(chain: Chain) -> dict[str, Any]:
    return {
        "origin": chain.origin,
        "chain_id": chain.id.hex(),
        "height": chain.height,
        "size": chain.head.size,
        "root": chain.head.root.hex(),
    }


def _show(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        print_lines(shown, "")
