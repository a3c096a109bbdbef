"""``medchain witness``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchain.cli.keys import add_wallet, wallet_of
from medchain.cli.output import print_json
from medchain.cli.parsing import EPILOG, Formatter, port
from medchain.errors import MalformedProof

if TYPE_CHECKING:
    from medchain.ledger.note import VerifierKey

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    witness = commands.add_parser(
        "witness",
        help="run a witness: cosign checkpoints of logs that only grow",
        description="Serve add-checkpoint (C2SP tlog-witness) on this machine until interrupted. A witness reads no\n"
        "entries and checks no state: it cosigns a checkpoint if the log has only grown since the one that it\n"
        "cosigned last, and remembers it first. Put a reverse proxy with TLS before it to serve others.\n"
        "Its memory is a folder; without it the witness must not go on. --new makes one, once in its life.",
        epilog=f"{EPILOG}\nexample: medchain witness uni.memory --name witness.uni.example/1 --log clinic.trust \\\n"
        "             --keystore uni.keys --wallet uni --port 8080\n"
        "its keys for the policies of others: medchain vkey --witness NAME --keystore FILE --wallet NAME",
        formatter_class=Formatter,
    )
    witness.add_argument("memory", type=Path, metavar="MEMORY", help="folder of what it has cosigned")
    witness.add_argument("--name", required=True, metavar="NAME", help="under which it cosigns")
    witness.add_argument(
        "--log",
        action="append",
        required=True,
        metavar="LOG",
        help="a log that it watches: a vkey, or a trust file; may be given several times",
    )
    witness.add_argument("--new", action="store_true", help="begin its memory; the folder must be empty")
    witness.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on [127.0.0.1]"
    )
    witness.add_argument(
        "--port", type=port, default=0, metavar="N", help="port to listen on [any that is free]"
    )
    witness.add_argument("--prefix", default="", metavar="PATH", help="path before add-checkpoint [none]")
    witness.add_argument("--quiet", action="store_true", help="no line for each request on standard error")
    witness.add_argument("--json", action="store_true", help="print one JSON object when it serves")
    add_wallet(witness, "the witness")
    witness.set_defaults(run=_witness)


def _witness(options: argparse.Namespace) -> int:
    from medchain.storage import MemoryStore, SqliteStore
    from medchain.transparency import Witness, serve_witness, witness_signers
    from medchain.transparency.serving import check_address

    logs = _logs(options.log)
    signers = witness_signers(wallet_of(options.keystore, options.wallet), options.name)
    with MemoryStore() as trial:  # whatever can be refused is, before a memory begins
        Witness.begin(trial, signers)
        Witness(signers, logs, trial)
    check_address(options.host, options.port, options.prefix)
    if not options.quiet:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    with SqliteStore(options.memory, create=options.new) as memory:
        if options.new:
            Witness.begin(memory, signers)
        witness = Witness(signers, logs, memory)

        def ready(url: str) -> None:
            if options.json:
                print_json(
                    {"url": url, "keys": [str(key) for key in witness.keys], "logs": list(witness.origins)}
                )
            else:
                print(f"{url} watches {', '.join(witness.origins)}")
            sys.stdout.flush()

        serve_witness(witness, host=options.host, port=options.port, prefix=options.prefix, ready=ready)
    return 0


def _logs(texts: list[str]) -> dict[str, list[VerifierKey]]:
    """Keys by origin, out of vkeys and trust files."""
    from medchain.ledger.note import VerifierKey
    from medchain.ledger.trust import Trust

    logs: dict[str, list[VerifierKey]] = {}
    for text in texts:
        path = Path(text)
        try:
            keys = Trust.load(path).log_keys if path.is_file() else (VerifierKey.parse(text),)
        except MalformedProof as error:
            if path.is_file():
                raise
            raise ValueError(f"there is no file {text}, and it is no vkey: {error}") from error
        for key in keys:
            logs.setdefault(key.name, []).append(key)
    return logs
