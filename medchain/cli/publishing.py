"""``medchain publish`` and ``medchain vkey``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from medchain.cli.keys import add_wallet, wallet_of
from medchain.cli.output import counted, keep_evidence, print_json, print_lines, require
from medchain.cli.parsing import EPILOG, PLACE, PLACES, Formatter
from medchain.errors import Forked
from medchain.storage.places import Place

if TYPE_CHECKING:
    from medchain.chain import Chain
    from medchain.ledger.trust import Trust

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add the two to the subparsers of the command line."""
    publish = commands.add_parser(
        "publish",
        help="write the log of a chain as static files that any tlog-tiles client reads",
        description="Bring a published log (C2SP tlog-tiles) up to the last block that the chain's writer has signed:\n"
        "entry bundles and tiles first, the checkpoint last. Nothing that was published changes. It publishes\n"
        "what the log holds: signed transactions, outcomes, headers; no sealed data.\n"
        "With --keystore the chain is opened for writing, signed as it is now, also by the log's ML-DSA-44 key.\n"
        "With --policy the witnesses named there are asked first, and without their quorum nothing new is\n"
        "published: a trust file whose witness lines have URLs.\n"
        "With --trust the trust file for readers is written: log keys, witnesses, chain id and tag.",
        epilog=f"{PLACES}\n{EPILOG}\nexamples: medchain publish clinic.medchain /var/www/log\n"
        "          medchain publish clinic.medchain s3://bucket/log --policy witnesses.trust --trust clinic.trust\n"
        "serve the directory with any static web server. On a timer: medchain publish from cron, or a Publisher\n"
        "in the program that writes. keys for a bucket come from the environment (AWS_ACCESS_KEY_ID, …)",
        formatter_class=Formatter,
    )
    publish.add_argument("chain", metavar="CHAIN", help=PLACE)
    publish.add_argument("target", metavar="TARGET", help="a directory, or a bucket: s3://bucket/prefix")
    publish.add_argument(
        "--policy", type=Path, metavar="FILE", help="trust file that names the witnesses to ask"
    )
    publish.add_argument(
        "--unwitnessed",
        action="store_true",
        help="go on without witnesses, although what is published is cosigned",
    )
    publish.add_argument(
        "--check",
        action="store_true",
        help="read what is published already; write what is missing or wrong",
    )
    publish.add_argument("--trust", type=Path, metavar="FILE", help="write the readers' trust file here")
    publish.add_argument("--url", metavar="URL", help="where readers will find the log, for the trust file")
    publish.add_argument(
        "--mark", type=Path, metavar="FILE", help="the chain's mark, if not at its usual place"
    )
    add_wallet(publish, "the chain's authority", required=False)
    publish.set_defaults(run=_publish)

    vkey = commands.add_parser(
        "vkey",
        help="show the public keys of a log or a witness",
        description="Show verifier keys (C2SP signed-note) for the policies of others: those of a chain's log, those\n"
        "in a trust file, or with --witness those of the witness of that name whose wallet is in the keystore.",
        epilog=f"{PLACES}\n{EPILOG}\nexamples: medchain vkey clinic.medchain\n"
        "          medchain vkey --witness witness.uni.example/1 --keystore uni.keys --wallet uni",
        formatter_class=Formatter,
    )
    vkey.add_argument("place", nargs="?", metavar="PLACE", help="a chain, or a trust file")
    vkey.add_argument("--witness", metavar="NAME", help="name of a witness")
    add_wallet(vkey, "the witness", required=False)
    vkey.set_defaults(run=_vkey)
    for command in (publish, vkey):
        command.add_argument("--json", action="store_true", help="print one JSON object")


def _publish(options: argparse.Namespace) -> int:
    from medchain.ledger.trust import Trust
    from medchain.transparency import publish

    if (options.keystore is None) != (options.wallet is None):
        raise ValueError("--keystore goes with --wallet")
    _check_apart(Place.parse(options.chain).folder, options.target)
    policy = Trust.load(options.policy) if options.policy else None
    with _opened(options) as chain, counted("publish") as progress:
        trust = _readers_trust(chain, policy, options.url)
        try:
            done = publish(
                chain,
                _target(options.target),
                cosign=_cosign(chain, policy),
                unwitnessed=options.unwitnessed,
                check=options.check,
                progress=progress,
            )
        except Forked as error:
            try:
                print(f"the evidence is kept in {keep_evidence(error.evidence)}", file=sys.stderr)
            except OSError as trouble:  # the fork is the news, whatever else fails
                print(f"the evidence cannot be kept here, try in another folder: {trouble}", file=sys.stderr)
            raise
        if options.trust:
            trust.save(options.trust)
    shown = {
        "published": options.target,
        "origin": done.checkpoint.origin,
        "size": done.size,
        "root": done.checkpoint.root.hex(),
        "files": done.files,
        "bytes": done.bytes,
        "signed_by": [line.name for line in done.checkpoint.note.signatures],
    }
    if options.json:
        print_json(shown)
    else:
        print_lines(shown, "")
    return 0


def _check_apart(chain: Path | None, target: str) -> None:
    """What is published is for everybody, and the folder of a chain for nobody."""
    if chain is not None and "://" not in target and Path(target).resolve().is_relative_to(chain.resolve()):
        raise ValueError(f"{target} lies in the chain's own folder: publish into another one")


def _opened(options: argparse.Namespace) -> Chain:
    from medchain.chain import Chain

    require(Place.parse(options.chain).folder)
    if options.keystore is None:
        return Chain.open(options.chain)
    authority = wallet_of(options.keystore, options.wallet)
    return Chain.open(options.chain, authority=authority, mark=options.mark)


def _target(place: str) -> Any:
    if "://" not in place:
        return place
    from medchain.storage.objects import connect

    return connect(place, {})


def _readers_trust(chain: Chain, policy: Trust | None, url: str | None) -> Trust:
    """What readers need, with all that the policy says: its witnesses, names, URLs and further keys of the log."""
    from medchain.transparency import publication_trust

    trust: Trust = publication_trust(chain, quorum=policy.quorum if policy else None, url=url)
    if policy is None:
        return trust
    if (policy.chain, policy.origin) != (trust.chain, trust.origin):
        raise ValueError(f"the policy is for another chain, {policy.origin}, and the chain is {trust.origin}")
    told = dict(zip(policy.log_keys, policy.urls, strict=True))
    urls = {key: own or told.get(key) for key, own in zip(trust.log_keys, trust.urls, strict=True)}
    urls = {**urls, **{key: place for key, place in told.items() if key not in urls}}
    whole: Trust = evolve(trust, log_keys=tuple(urls), urls=tuple(urls.values()), names=policy.names)
    return whole


def _cosign(chain: Chain, policy: Trust | None) -> Any:
    """Asks the witnesses of a policy; None if it names none."""
    from medchain.transparency import cosign

    if policy is None or not policy.quorum.asks:
        return None
    return lambda checkpoint: cosign(checkpoint, policy.quorum, chain.prove_consistency)


def _vkey(options: argparse.Namespace) -> int:
    if (options.place is None) == (options.witness is None):
        raise ValueError("name a chain or a trust file, or a witness with --witness, --keystore and --wallet")
    keys = _log_keys(options.place) if options.witness is None else _witness_keys(options)
    if options.json:
        print_json({"keys": [{"vkey": str(key), "name": key.name, "kind": key.kind.name} for key in keys]})
    else:
        for key in keys:
            print(key)
            print(f"  {key.kind.name}", file=sys.stderr)
    return 0


def _witness_keys(options: argparse.Namespace) -> list[Any]:
    from medchain.transparency import witness_signers

    if options.keystore is None or options.wallet is None:
        raise ValueError("--witness goes with --keystore and --wallet")
    wallet = wallet_of(options.keystore, options.wallet)
    return [signer.key for signer in witness_signers(wallet, options.witness)]


def _log_keys(text: str) -> list[Any]:
    from medchain.chain import Chain
    from medchain.ledger.trust import Trust

    path = Place.parse(text).folder
    require(path)
    if path is not None and path.is_file():
        return list(Trust.load(path).log_keys)
    with Chain.open(text) as chain:
        return list(chain.trust.log_keys)
