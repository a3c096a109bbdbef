"""The four verbs without a ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sealing.world import ALONE, ASKER, CONTEXT, TREATMENT, WALLETS, approve, ask, bind, open_, party, seal

from medchain import sealing
from medchain.errors import InvalidSignature, Pending, PolicyError, Refused, SealingError
from medchain.keys import Wallet
from medchain.policy import Clause, Policy, Tree, k_of
from medchain.sealing import Approval, Part, Sealed, SealedHeader, ShareRequest, holding
from medchain.sealing.limits import BLOCK
from medchain.sealing.openings import Opened


def test_the_sketch_of_the_design() -> None:
    ann, dr_wu, dr_lee, guardian = (WALLETS[name] for name in ("owner", "dr_wu", "dr_lee", "guardian"))
    policy = Policy.parse(TREATMENT)
    bound = policy.bind(gate=None, owner=ann.party, dr_wu=dr_wu.party, guardian=guardian.party)
    data = b"five gigabytes, in a manner of speaking"
    sealed = sealing.seal(data, bound, context=b"acme/17")
    ask = sealing.request(sealed.header, "treatment", purpose="TREAT", context=b"acme/17", by=dr_lee)
    shares = [
        sealing.approve(sealed.header, ask, to=dr_lee.party, context=b"acme/17", by=holder)
        for holder in (ann, dr_wu)
    ]
    assert sealing.open(sealed, ask, shares, context=b"acme/17", by=dr_lee) == data


@pytest.mark.parametrize("gate", [None, "keeper"])
def test_everything_survives_its_wire(gate: str | None) -> None:
    sealed = Sealed.from_bytes(bytes(seal(b"x" * 200_000, gate=gate)))
    request = ShareRequest.from_bytes(bytes(ask(sealed)))
    bundle = Sealed(SealedHeader.from_bytes(bytes(sealed.header)), b"")
    names = ["owner", "guardian", *([gate] if gate else [])]
    shares = [Approval.from_bytes(bytes(share)) for share in approve(bundle, request, *names)]
    assert open_(sealed, request, shares) == b"x" * 200_000
    assert SealedHeader.from_bytes(bytes(sealed.header)) == sealed.header


@pytest.mark.parametrize(
    "size", [0, 1, 65_535, 65_536, 65_537, (1 << 19) - 1, 1 << 19, (1 << 19) + 1, 1 << 20]
)
def test_any_length(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    sealed = seal(data, ALONE)
    request = ask(sealed, purpose="PATRQT")
    assert open_(sealed, request, approve(sealed, request, "owner")) == data
    assert sealed.header.header.parts[1].segments == max(1, -(-size // 65_536))


def test_nobody_opens_with_too_few_shares_and_the_error_says_who_is_missing() -> None:
    sealed = seal(gate="keeper")
    request = ask(sealed)
    with pytest.raises(Pending, match="still waiting for owner, dr_wu, guardian, gate") as caught:
        open_(sealed, request, [])
    assert caught.value.waiting_for == tuple(
        party(name).id for name in ("owner", "dr_wu", "guardian", "keeper")
    )
    with pytest.raises(Pending, match="still waiting for gate"):
        open_(sealed, request, approve(sealed, request, "owner", "dr_wu"))
    with pytest.raises(Pending, match=r"still waiting for owner$"):
        open_(sealed, request, approve(sealed, request, "guardian", "keeper"))


def test_more_shares_than_needed_are_all_checked_and_do_no_harm() -> None:
    sealed = seal()
    request = ask(sealed)
    assert open_(sealed, request, approve(sealed, request, "owner", "dr_wu", "guardian")) == b"the record"


def test_parts_open_apart_and_labels_come_from_the_manifest() -> None:
    parts = [
        Part(b"ann", "text/plain", "name"),
        Part(b"", label="empty"),
        Part([b"1", b"2" * 70_000], label="big"),
    ]
    sealed = seal(parts)
    request = ask(sealed, parts=[3, 1])
    shares = approve(sealed, request, "owner", "dr_wu")
    opened = sealing.open_parts(sealed, request, shares, context=CONTEXT, by=ASKER)
    assert [(part.index, part.label, part.media_type) for part in opened] == [
        (1, "name", "text/plain"),
        (3, "big", "application/octet-stream"),
    ]
    assert [part.data for part in opened] == [b"ann", b"1" + b"2" * 70_000]
    assert opened[1].read(65_530, 65_545) == (b"1" + b"2" * 70_000)[65_530:65_545]
    assert opened[1].read(-1, opened[1].length) == b"2"
    assert opened[1].read(5, 5) == b""
    with pytest.raises(ValueError, match="use open_parts"):
        open_(sealed, request, shares)
    single = ask(sealed, parts=[1])
    assert open_(sealed, single, approve(sealed, single, "owner", "dr_wu")) == b"ann"


def test_shares_of_different_parts_are_no_quorum() -> None:
    sealed = seal([Part(b"one"), Part(b"two")])
    request = ask(sealed)
    shares = approve(sealed, request, "owner", parts=[1]) + approve(sealed, request, "dr_wu", parts=[2])
    with pytest.raises(Pending, match="for parts 1, 2"):
        sealing.open_parts(sealed, request, shares, context=CONTEXT, by=ASKER)


def test_a_holder_of_several_positions_counts_in_each() -> None:
    sealed = seal(text="t for T: 2 of (owner and a, a, owner and dr_wu)")
    request = ask(sealed)
    assert open_(sealed, request, approve(sealed, request, "a", "owner")) == b"the record"
    with pytest.raises(Pending):
        open_(sealed, request, approve(sealed, request, "a"))


def test_a_gate_member_in_the_tree_gives_its_two_shares_apart() -> None:
    sealed = seal(text="t for T: owner and keeper", gate="keeper")
    request = ask(sealed)
    tree = approve(sealed, request, "owner", "keeper")
    with pytest.raises(Pending, match="waiting for keeper"):
        open_(sealed, request, tree)
    gate = approve(sealed, request, "keeper", gate=True)
    assert open_(sealed, request, tree + gate) == b"the record"


def test_a_gate_of_several_needs_its_threshold() -> None:
    bound = bind("t for T: owner", ["keeper", "second", "third"], threshold=2)
    sealed = sealing.seal(b"x", bound, context=CONTEXT)
    request = ask(sealed)
    with pytest.raises(Pending, match="gate_2, gate_3"):
        open_(sealed, request, approve(sealed, request, "owner", "keeper"))
    assert open_(sealed, request, approve(sealed, request, "owner", "keeper", "third")) == b"x"


@pytest.mark.parametrize(
    ("reason", "text", "by"),
    [
        ("asker", "t for T: owner, asked by guardian", "dr_lee"),
        ("separate-asker", "t for T: owner, separate asker", "owner"),
        ("period", "t for T: owner, until 2001-01-01", "dr_lee"),
    ],
)
def test_rules_that_an_approver_keeps(reason: str, text: str, by: str) -> None:
    sealed = seal(text=text)
    request = ask(sealed, by=WALLETS[by])
    with pytest.raises(Refused) as caught:
        approve(sealed, request, "owner", to=WALLETS[by])
    assert caught.value.reason == reason


def test_an_expired_request_is_not_approved() -> None:
    sealed = seal()
    now = time.time_ns() // 1_000_000
    with pytest.raises(Refused, match="expired"):
        approve(sealed, ask(sealed, expires=now - 1), "owner")
    approve(sealed, ask(sealed, expires=now + 60_000), "owner")


def test_an_approver_means_one_asker() -> None:
    sealed = seal()
    request = ask(sealed)
    with pytest.raises(SealingError, match="another asker"):
        approve(sealed, request, "owner", to=WALLETS["auditor"])


def test_a_server_cannot_put_its_own_key_into_a_request() -> None:
    from attrs import evolve

    sealed = seal()
    thief = Wallet.generate()
    request = evolve(ask(sealed), recipient_key=thief.party.recipient_key)
    with pytest.raises(InvalidSignature):
        approve(sealed, request, "owner")


def test_the_context_belongs_to_everything() -> None:
    sealed = seal()
    request = ask(sealed)
    with pytest.raises(InvalidSignature):
        sealing.approve(sealed.header, request, to=ASKER.party, context=b"acme/18", by=WALLETS["owner"])
    other = sealing.request(sealed.header, "treatment", purpose="TREAT", context=b"acme/18", by=ASKER)
    with pytest.raises(SealingError, match="another context"):
        sealing.approve(sealed.header, other, to=ASKER.party, context=b"acme/18", by=WALLETS["owner"])
    shares = approve(sealed, request, "owner", "dr_wu")
    with pytest.raises(SealingError, match="another request"):
        sealing.open(sealed, request, shares, context=b"acme/18", by=ASKER)


def test_callers_mistakes() -> None:
    sealed = seal()
    with pytest.raises(PolicyError):
        ask(sealed, clause="nothing", purpose="TREAT")
    with pytest.raises(ValueError, match="is for TREAT"):
        ask(sealed, purpose="HPAYMT")
    with pytest.raises(ValueError, match="numbered from 1 to 1"):
        ask(sealed, parts=[2])
    with pytest.raises(ValueError, match="not asked for"):
        _approve_more_than_asked()
    with pytest.raises(SealingError, match="holds no share"):
        approve(sealed, ask(sealed), "auditor")
    with pytest.raises(TypeError):
        Part("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="media type"):
        seal([Part(b"", "")])
    with pytest.raises(ValueError, match="1 to"):
        seal([])
    bound = bind(TREATMENT)
    with pytest.raises(ValueError, match=r"keys of .* are not known"):
        sealing.seal(b"", type(bound).from_bytes(bytes(bound)), context=CONTEXT)


@pytest.mark.parametrize("context", ["acme/17", None, 17, bytearray(b"acme/17")])
def test_a_context_of_another_type_is_refused_by_every_verb(context: Any, tmp_path: Path) -> None:
    """What is sealed under text could never be opened by whoever names the bytes."""
    sealed = seal()
    request = ask(sealed)
    shares = approve(sealed, request, "owner", "dr_wu")
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "sealed").write_bytes(bytes(sealed))
    written: list[bytes] = []
    calls: list[Callable[[], object]] = [
        lambda: sealing.seal(b"x", bind(TREATMENT), context=context),
        lambda: sealing.seal_file(tmp_path / "plain", tmp_path / "out", bind(TREATMENT), context=context),
        lambda: sealing.seal_to(
            [Part(b"x")],
            bind(TREATMENT),
            context=context,
            write=lambda id, chunks: written.extend(chunks),  # type: ignore[func-returns-value]
        ),
        lambda: sealing.request(sealed.header, "treatment", purpose="TREAT", context=context, by=ASKER),
        lambda: sealing.approve(sealed.header, request, to=ASKER.party, context=context, by=WALLETS["owner"]),
        lambda: sealing.open_envelope(sealed.header, "treatment", WALLETS["owner"], context=context),
        lambda: sealing.open(sealed, request, shares, context=context, by=ASKER),
        lambda: sealing.open_parts(sealed, request, shares, context=context, by=ASKER),
        lambda: sealing.open_file(
            tmp_path / "sealed", tmp_path / "out", request, shares, context=context, by=ASKER
        ),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="a context is bytes"):
            call()
    assert written == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plain", "sealed"]


def test_a_chain_leaves_no_room_for_a_context() -> None:
    for context, error in ((b"acme/17", ValueError), ("acme/17", TypeError), (None, TypeError)):
        with pytest.raises(error):
            sealing.seal_to(
                [Part(b"x")],
                bind(TREATMENT),
                context=context,  # type: ignore[arg-type]
                chain=bytes(32),
                write=lambda id, chunks: None,
            )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text", "a part is bytes or chunks of bytes, not str"),
        ("", "a part is bytes or chunks of bytes, not str"),
        ([b"x"], r"list of Part, not of bytes: Part\(data\)"),
        (["text"], "list of Part, not of str"),
        ([Part(b"x"), (b"y", "text/plain")], "list of Part, not of tuple"),
        (None, "not iterable"),
        (17, "not iterable"),
    ],
)
def test_what_is_no_data_is_told(data: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        sealing.seal(data, bind(TREATMENT), context=CONTEXT)


@pytest.mark.parametrize("policy", [Policy.parse(TREATMENT), TREATMENT, None])
def test_a_policy_must_be_bound_first(policy: Any) -> None:
    with pytest.raises(TypeError, match="bind the policy first"):
        sealing.seal(b"x", policy, context=CONTEXT)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"media_type": "é"}, ValueError),
        ({"media_type": ""}, ValueError),
        ({"media_type": "x" * 128}, ValueError),
        ({"media_type": 5}, TypeError),
        ({"media_type": None}, TypeError),
        ({"label": 5}, TypeError),
        ({"label": None}, TypeError),
        ({"label": "é" * 128}, ValueError),
        ({"label": "\ud800"}, ValueError),
    ],
)
def test_a_part_is_checked_when_it_is_made(options: dict[str, Any], error: type[Exception]) -> None:
    """Not when those before it have been written already."""
    with pytest.raises(error):
        Part(b"", **options)


def positions(count: int) -> Tree[str]:
    """A tree in which the owner stands `count` times, 254 at most under one threshold."""
    rows = [k_of(1, *["owner"] * min(254, count - at)) for at in range(0, count, 254)]
    return k_of(1, *rows)


def refused_before_writing(parts: int, *trees: Tree[str]) -> str:
    bound = bind(Policy(tuple(Clause(f"c{at}", "T", tree) for at, tree in enumerate(trees))))

    def write(object_id: bytes, chunks: Iterable[bytes]) -> None:
        raise AssertionError("nothing may be written")

    with pytest.raises(ValueError, match="can be read: seal fewer parts") as caught:
        sealing.seal_to([Part(b"")] * parts, bound, context=CONTEXT, write=write)
    return str(caught.value)


def test_no_envelope_is_written_that_nobody_could_read() -> None:
    """1,050 parts in 1,016 positions of one holder: an envelope of 65 MiB."""
    message = refused_before_writing(1_050, positions(1_016))
    assert message.startswith("the shares of owner under clause c0 would take 65.2 MiB")
    assert "1051 parts in 1016 positions" in message


def test_no_bundle_is_written_that_nobody_could_read() -> None:
    message = refused_before_writing(4_000, *[positions(250)] * 4)
    assert "would take 244.2 MiB in all clauses, at most 192.0 MiB" in message


def test_documents_take_what_their_limits_allow_for() -> None:
    """Re-sealed shares with their siblings are never longer than the envelope, whatever parts are chosen."""
    count = 40
    sealed = seal([Part(b"", "x" * 127)] * count, text="t for T: 2 of (owner and a, a, owner and dr_wu)")
    bundle = sealed.header
    for seat, envelope in zip(bundle.dealing.layout("t").seats, bundle.envelopes, strict=True):
        blocks = BLOCK * (count + 1) * len(seat.positions)
        assert len(bytes(envelope)) < blocks + 1_300
        for chosen in (range(1, count + 1), range(1, count + 1, 2), range(1, count + 1, 3), [count]):
            request = ask(sealed, parts=chosen)
            name = bundle.policy.name(seat.holder)
            (share,) = approve(sealed, request, name)
            assert len(share.share) < blocks + 5 * (count + 1) + 1_300
    assert len(bytes(bundle.header)) < 260 * (count + 1)
    assert len(bytes(bundle.dealing)) < len(bytes(bundle.policy)) + 160 * len(bundle.envelopes) + 200


def test_shares_that_nobody_could_read_are_not_sealed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another implementation may have sealed the object; the asker would blame the holder."""
    sealed = seal([Part(b"")] * 20)
    monkeypatch.setattr(holding, "SEAT_LIMIT", 21 * BLOCK - 1)
    with pytest.raises(SealingError, match="approve fewer parts"):
        approve(sealed, ask(sealed), "owner")
    request = ask(sealed, parts=[1, 2])
    shares = approve(sealed, request, "owner", "dr_wu")
    assert len(sealing.open_parts(sealed, request, shares, context=CONTEXT, by=ASKER)) == 2


def _approve_more_than_asked() -> None:
    sealed = seal([Part(b""), Part(b"")])
    approve(sealed, ask(sealed, parts=[1]), "owner", parts=[2])


def test_reprs_show_no_content() -> None:
    sealed = seal([Part(b"plaintext", label="a label")])
    request = ask(sealed)
    shares = approve(sealed, request, "owner", "dr_wu")
    (part,) = sealing.open_parts(sealed, request, shares, context=CONTEXT, by=ASKER)
    held = sealing.open_envelope(sealed.header, "treatment", WALLETS["owner"], context=CONTEXT)
    unsealed = Opened(held.seat, (0, 1), held.blocks)
    shown = repr(
        [sealed, sealed.header, request, shares, part, held, unsealed, Part(b"plaintext", label="a label")]
    )
    assert "plaintext" not in shown
    assert "a label" not in shown
    assert held.blocks.hex()[:16] not in shown
    assert repr(held.blocks)[2:20] not in shown
    assert len(repr(held)) < 400
    assert (
        repr(sealed)
        == f"<Sealed {sealed.header.object_id.hex()[:12]}…: 1 part, {len(sealed.payload)} bytes, under treatment>"
    )
