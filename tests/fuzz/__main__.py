"""``make fuzz``: fuzz every decoder of the registry, guided by coverage, for a bounded time.

Exit status: 0 nothing was found, 1 something was (or a kept input is still wrong), 2 the call is wrong, or there is no
coverage guided fuzzing here.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from fuzz import guided

SECONDS = 240
"""How long all of it takes unless said otherwise."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    options = _parser().parse_args(arguments)
    if options.repeat is not None:
        return _repeat(options.repeat)
    reason = guided.unavailable()
    if reason is not None:
        print(f"fuzz: {reason}", file=sys.stderr)
        return 2
    decoders = {name: each for name, each in guided.instrumented().items() if options.k in name}
    if not decoders:
        print(f"fuzz: no decoder has {options.k!r} in its name", file=sys.stderr)
        return 2
    wrong = 0
    print(f"{len(decoders)} decoders, {_duration(options, len(decoders))} each", flush=True)
    for decoder in decoders.values():
        wrong += _fuzz(decoder, options, len(decoders))
    print(f"{wrong} of {len(decoders)} decoders are wrong" if wrong else "nothing was found")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("-k", default="", metavar="TEXT", help="only decoders with TEXT in their names")
    parser.add_argument(
        "--time", type=int, default=SECONDS, metavar="SECONDS", help=f"for all decoders together ({SECONDS})"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="inputs for each decoder, in place of a time")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of all choices; 0, the default: another each time"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where corpora, logs and findings lie (build/fuzz)"
    )
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="try one kept input again")
    return parser


def _duration(options: argparse.Namespace, decoders: int) -> str:
    return f"{options.runs} inputs" if options.runs else f"{_seconds(options, decoders)} s"


def _seconds(options: argparse.Namespace, decoders: int) -> int:
    return max(1, int(options.time) // decoders)


def _fuzz(decoder: guided.Decoder, options: argparse.Namespace, decoders: int) -> bool:
    """Fuzz one decoder and print a line about it; whether something is wrong."""
    from fuzz.judging import KEPT, again, folder

    place = folder(decoder) if options.out is None else options.out / folder(decoder).relative_to(KEPT)
    limit = f"-runs={options.runs}" if options.runs else f"-max_total_time={_seconds(options, decoders)}"
    outcome = guided.fuzz(decoder, place, [limit, f"-seed={options.seed}"])
    print(f"  {decoder.name:<46} {outcome.runs:>8,} inputs {outcome.edges:>6,} places", flush=True)
    for finding in outcome.findings:
        print(f"\n{finding.text}\n\nagain: {again(finding.path)}\n", flush=True)
    if outcome.failure is not None:
        print(f"\n{outcome.failure}\n", flush=True)
    return bool(outcome.findings) or outcome.failure is not None


def _repeat(path: Path) -> int:
    """Judge one kept input; the folder that it lies in names the decoder."""
    from fuzz.decoders import DECODERS
    from fuzz.judging import Wrong, folder, judge

    names = {folder(decoder).name: decoder for decoder in DECODERS.values()}
    decoder = names.get(path.resolve().parent.parent.name)
    if decoder is None or not path.is_file():
        print(f"fuzz: {path} is no file in the folder of a decoder: FOLDER/wrong/FILE", file=sys.stderr)
        return 2
    try:
        value = judge(decoder, path.read_bytes())
    except Wrong:
        traceback.print_exc()
        return 1
    print(f"{decoder.name}: nothing is wrong with it; it is {'refused' if value is None else 'taken'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
