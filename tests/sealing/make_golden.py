"""Write a sealed object, a request and its shares of this version: python tests/sealing/make_golden.py NAME.

What is in tests/sealing/golden/ stays for ever and is never written again: it shows that later versions still open
what earlier ones sealed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sealing.world import ASKER, CONTEXT, WALLETS, bind

from medchain import sealing
from medchain.encoding import encode
from medchain.sealing import Part

GOLDEN = Path(__file__).with_name("golden")
TEXT = "treatment for TREAT: owner and 1 of (dr_wu, guardian)\nspare for TREAT: 2 of (owner, dr_wu, guardian), ungated"
PARTS = (b"hello", bytes(70_000))


def main(name: str) -> None:
    parts = [Part(PARTS[0], "text/plain", "greeting"), Part(PARTS[1], label="zeros")]
    sealed = sealing.seal(parts, bind(TEXT, "keeper"), context=CONTEXT)
    ask = sealing.request(sealed.header, "treatment", purpose="TREAT", context=CONTEXT, by=ASKER, parts=[1])
    shares = [
        sealing.approve(sealed.header, ask, to=ASKER.party, context=CONTEXT, by=WALLETS[holder])
        for holder in ("owner", "guardian", "keeper")
    ]
    data = encode(
        {"sealed": bytes(sealed), "request": bytes(ask), "shares": [bytes(share) for share in shares]}
    )
    with (GOLDEN / name).open("xb") as file:
        file.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
