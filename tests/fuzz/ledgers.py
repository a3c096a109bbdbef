"""Doors of the ledger and of what stands on it: notes, proofs, transactions, stores, drafts, kits, the command line."""

from __future__ import annotations

from fuzz import cosigned, logs, seeds
from fuzz.decoder import Decoder, as_text, by_file, callers_text, fixed, text
from fuzz.followers import FOLLOWERS
from fuzz.logs import paper
from fuzz.mutations import Form
from fuzz.stores import STORED
from fuzz.witnesses import WITNESSES

import medchain as mc
from medchain.access.draft import Draft
from medchain.access.gate import Warrant
from medchain.access.kit import ReleaseKit
from medchain.errors import (
    EncodingError,
    Erased,
    InvalidBlock,
    InvalidTransaction,
    MalformedProof,
    Refused,
    SealingError,
    VerificationError,
)
from medchain.ledger.draft import Signed
from medchain.ledger.entry import Kind, entry_content, parse_leaf
from medchain.ledger.events import Cursor
from medchain.ledger.note import Note, VerifierKey
from medchain.ledger.proof import LogProof, extra_bytes, read_extra
from medchain.ledger.transaction import Body

__all__ = ["LEDGERS"]


LEDGER = (
    Decoder(
        "ledger.Note",
        Note.parse,
        (MalformedProof,),
        paper("checkpoint"),
        Form.TEXT,
        reaches=(
            "medchain.ledger.note:Note.parse",
            "medchain.ledger.note:_signature",
            "medchain.ledger.note:utf8_text",
        ),
    ),
    Decoder(
        "ledger.VerifierKey",
        text(VerifierKey.parse),
        (MalformedProof,),
        lambda: [str(key).encode() for key in seeds.chained().trust.log_keys],
        Form.TEXT,
        write=as_text,
        reaches=("medchain.ledger.note:VerifierKey.parse", "medchain.ledger.note:decode_base64"),
    ),
    Decoder(
        "ledger.Checkpoint",
        mc.Checkpoint.parse,
        (MalformedProof,),
        paper("checkpoint"),
        Form.TEXT,
        reaches=("medchain.ledger.checkpoint:Checkpoint.parse",),
    ),
    Decoder(
        "ledger.Checkpoint, cosigned",
        cosigned.read_cosigned,
        (VerificationError,),
        cosigned.cosigned,
        Form.TEXT,
        write=None,
        reaches=(
            "medchain.ledger.cosignature:Kind.time",
            "medchain.ledger.cosignature:_time",
            "medchain.ledger.cosignature:mldsa44_message",
        ),
    ),
    Decoder(
        "ledger.Trust",
        mc.Trust.parse,
        (MalformedProof,),
        lambda: [*paper("trust")(), *cosigned.policies()],
        Form.TEXT,
        write=as_text,
        canonical=False,
        reaches=("medchain.ledger.trust:Trust.parse", "medchain.ledger.trust:_Reader._pin"),
    ),
    Decoder(
        "ledger.Trust.load",
        by_file(mc.Trust.load),
        (MalformedProof,),
        paper("trust"),
        Form.TEXT,
        write=None,
        reaches=("medchain.ledger.trust:Trust.load",),
    ),
    Decoder(
        "ledger.LogProof",
        LogProof.parse,
        (MalformedProof,),
        paper("proof", "state", "growth"),
        Form.TEXT,
        reaches=("medchain.ledger.proof:LogProof.parse",),
    ),
    Decoder(
        "ledger.proof.read_extra",
        read_extra,
        (MalformedProof,),
        lambda: [LogProof.parse(each).extra for each in paper("state", "proof", "growth")()],
        write=extra_bytes,
        reaches=("medchain.ledger.proof:read_extra",),
    ),
    Decoder(
        "ledger.verify",
        logs.proof,
        (VerificationError,),
        lambda: seeds.chained().papers["proof"][:1],
        Form.TEXT,
        write=None,
        reaches=("medchain.ledger.verify:verify", "medchain.ledger.verify:_sent_to"),
    ),
    Decoder(
        "ledger.verify of growth",
        logs.growth,
        (VerificationError,),
        paper("growth"),
        Form.TEXT,
        write=None,
        reaches=("medchain.ledger.verify:_consistency",),
    ),
    Decoder(
        "ledger.verify of a signed leaf",
        logs.logged_leaf,
        (VerificationError,),
        paper("leaf"),
        Form.BINARY,
        write=None,
        reaches=("medchain.ledger.verify:_leaf", "medchain.ledger.contract:Event.read"),
    ),
    Decoder(
        "ledger.verify_state",
        logs.state_proof,
        (VerificationError,),
        lambda: seeds.chained().papers["state"][1:],
        Form.TEXT,
        write=None,
        reaches=("medchain.ledger.verify:_state",),
    ),
    Decoder(
        "ledger.verify_state of a signed row",
        logs.logged_row,
        (EncodingError, VerificationError),
        logs.row_seeds,
        write=None,
        reaches=(
            "medchain.ledger.verify:verify_state",
            "medchain.ledger.verify:_present",
            "medchain.ledger.verify:_row",
            "medchain.ledger.tables:read_key",
        ),
    ),
    Decoder(
        "ledger.Body",
        Body.from_bytes,
        (EncodingError,),
        lambda: [mc.Transaction.from_bytes(each).body_bytes for each in paper("transaction")()],
        reaches=(
            "medchain.ledger.transaction:Body.from_bytes",
            "medchain.ledger.transaction:SignerRef.__from_value__",
        ),
    ),
    Decoder(
        "ledger.Transaction",
        mc.Transaction.from_bytes,
        (InvalidTransaction,),
        paper("transaction"),
        reaches=("medchain.ledger.transaction:Transaction.from_bytes",),
    ),
    Decoder(
        "ledger.Signed",
        Signed.from_bytes,
        (EncodingError,),
        paper("signed"),
        reaches=("medchain.ledger.draft:Signed.from_bytes", "medchain.ledger.draft:Signed.content"),
    ),
    Decoder(
        "ledger.entry.parse_leaf",
        parse_leaf,
        (EncodingError,),
        paper("leaf"),
        Form.BINARY,
        write=lambda leaf: leaf.leaf,
        reaches=("medchain.ledger.entry:parse_leaf",),
    ),
    Decoder(
        "ledger.entry.entry_content",
        entry_content,
        (EncodingError,),
        lambda: [leaf for leaf in paper("leaf")() if leaf[0] != Kind.HEADER],
        Form.BINARY,
        write=None,
        reaches=("medchain.ledger.entry:entry_content",),
    ),
    Decoder(
        "ledger.Cursor",
        callers_text(Cursor.parse),
        (EncodingError,),
        fixed("17.2", "0", "9223372036854775807.99999"),
        Form.TEXT,
        write=as_text,
        reaches=("medchain.ledger.events:Cursor.parse",),
    ),
    Decoder(
        "ledger.events",
        logs.logged_events,
        (InvalidBlock,),
        paper("leaf"),
        Form.BINARY,
        write=None,
        reaches=("medchain.ledger.events:EventReader._typed", "medchain.ledger.events:_contract_of"),
    ),
    Decoder(
        "ledger.transition of signed messages",
        logs.signed_message,
        (EncodingError, InvalidTransaction),
        logs.message_seeds,
        write=None,
        reaches=(
            "medchain.ledger.transition:_call",
            "medchain.ledger.governance.contract:activated_by",
            "medchain.ledger.governance.contract:Governance.approve",
            "medchain.ledger.governance.rows:ProposalRow.message",
            "medchain.ledger.keys:_brought_key",
            "medchain.access.rules:load_policy",
        ),
    ),
)

ACCESS = (
    Decoder(
        "access.Draft",
        Draft.from_bytes,
        (EncodingError, SealingError),
        paper("draft"),
        reaches=("medchain.access.draft:Draft.from_bytes",),
    ),
    Decoder(
        "access.Draft.review",
        logs.review,
        (EncodingError, SealingError, VerificationError),
        lambda: seeds.chained().papers["draft"][:2],
        write=None,
        reaches=("medchain.access.review:_message",),
    ),
    Decoder(
        "access.Draft.review of answers",
        logs.review,
        (EncodingError, SealingError, VerificationError),
        lambda: seeds.chained().papers["draft"][2:],
        write=None,
        reaches=(
            "medchain.access.evidence:Examination.__init__",
            "medchain.access.evidence:_header",
            "medchain.access.evidence:_added",
            "medchain.access.proved:proved_request",
        ),
    ),
    Decoder(
        "access.ReleaseKit",
        ReleaseKit.from_bytes,
        (EncodingError, SealingError),
        paper("kit"),
        reaches=("medchain.access.kit:ReleaseKit.from_bytes",),
    ),
    Decoder(
        "access.ReleaseKit.open",
        logs.open_kit,
        (EncodingError, Erased, SealingError, VerificationError),
        paper("kit"),
        write=None,
        reaches=("medchain.access.kit:ReleaseKit.open",),
    ),
    Decoder(
        "access.Warrant",
        Warrant.from_bytes,
        (EncodingError,),
        paper("warrant"),
        reaches=("medchain.access.gate:Warrant.from_bytes",),
    ),
    Decoder(
        "access.judge",
        logs.release,
        (EncodingError, Refused, SealingError, VerificationError),
        paper("warrant"),
        write=None,
        reaches=("medchain.access.gate:judge",),
    ),
)

COMMAND_LINE = (
    Decoder(
        "cli inspect",
        logs.command("inspect", "FILE"),
        (),
        paper("proof", "state", "checkpoint", "trust"),
        Form.TEXT,
        write=None,
        room=5 << 20,
        reaches=("medchain.cli.inspecting:_inspect_file",),
    ),
    Decoder(
        "cli verify",
        logs.command("verify", "FILE", "--trust", "TRUST"),
        (),
        paper("proof", "state", "growth"),
        Form.TEXT,
        write=None,
        room=5 << 20,
        reaches=("medchain.cli.verifying:_verify", "medchain.cli.leaves:described"),
    ),
)

LEDGERS = (*LEDGER, *STORED, *ACCESS, *WITNESSES, *FOLLOWERS, *COMMAND_LINE)
