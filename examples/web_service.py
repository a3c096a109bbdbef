"""A web service whose users hold their own keys: FastAPI at the clinic, wallets on phones, only bytes between them.

The service makes drafts, takes signed transactions, tells people what concerns them, and hands out release kits. It has
the clinic's wallet and the gate's, and nobody else's. A user proves to be one by signing each call with the same key.

Run it: python examples/web_service.py, which also plays the phones, without a network. Serve it: with any ASGI server,
in one process (docs/how-to/several-web-workers.md), behind TLS.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import httpx
from attrs import define, field
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

import medchain as mc
from medchain.access import Draft, ReleaseKit
from medchain.encoding import encode
from medchain.errors import ConsensusError, MedchainError
from medchain.keys.signing import verify
from medchain.ledger import LoggedEvent
from medchain.merkle import Head
from medchain.sealing import Part

CALL_LABEL = b"example/web-service/call/v1"
CALL_MS = 60_000
"""For how long a signed call is good, in ms. Within that time, repeating it repeats the same question."""

BODY_LIMIT = 8 << 20
NEWS_SECONDS = 20.0
RECEIPT_SECONDS = 10.0
BYTES = "application/octet-stream"

STATUS: dict[str, int] = {
    "encoding": 400,
    "index": 400,
    "verification": 400,
    "refused": 403,
    "pending": 409,
    "erased": 410,
    "invalid-transaction": 422,
    "policy": 422,
    "too-many-drafts": 429,
}
"""How errors are answered, by their stable codes; whatever else goes wrong, the service cannot help it now: 503."""


def call_bytes(method: str, path: str, moment: int, body: bytes) -> bytes:
    """What the signature of a call covers."""
    return CALL_LABEL + encode([method, path, moment, hashlib.sha256(body).digest()])


# The service.


@define(eq=False)
class Clinic:
    """What the service works with.

    Attributes:
        access: the chain, open for writing, with the gate in reach.
        wallet: the clinic's own, which authors records.
        clock: the time now, ms since the epoch.
        end: ends this process in good order, for another one to begin anew.
        proposed: by party id, a record that waits for its patient's signature.
        bells: by party id, what wakes those who wait to hear what concerns this party.
    """

    access: mc.Access
    wallet: mc.Wallet
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    end: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM)
    proposed: dict[bytes, Draft] = field(factory=dict)
    bells: dict[bytes, asyncio.Event] = field(factory=dict)

    def propose(self, parts: list[Part], bound: mc.BoundPolicy, patient: mc.Party) -> None:
        """Seal a record and lay it before its patient."""
        by = [self.wallet.party, patient]
        self.proposed[patient.id] = self.access.draft.add(parts, bound, by=by, since=None)

    def countersigned(self, signed: mc.Signed) -> mc.Signed:
        """With the clinic's signature, if it is the record that the clinic has proposed itself; else as it came."""
        subject = signed.content.signers[-1].party
        draft = self.proposed.get(subject)
        if draft is None or signed.body != bytes(draft.body):
            return signed
        return signed.sign(self.wallet)

    def bell(self, subject: bytes) -> asyncio.Event:
        """Rings when the next entry stands on the list of `subject`. For the event loop's thread."""
        return self.bells.setdefault(subject, asyncio.Event())

    def ring(self, logged: LoggedEvent) -> None:
        """Tell those whom an entry concerns. For the event loop's thread."""
        for each in logged.subjects:
            if (bell := self.bells.pop(each.subject, None)) is not None:
                bell.set()


def clinic_of(request: Request) -> Clinic:
    clinic: Clinic = request.app.state.clinic
    return clinic


async def body_of(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise HTTPException(413, "the body is too large")
    return body


The = Annotated[Clinic, Depends(clinic_of)]
Body = Annotated[bytes, Depends(body_of)]


def caller(request: Request, clinic: The, body: Body) -> mc.Party:
    """The party whose key has signed this call."""
    try:
        scheme, id, moment, signature = request.headers.get("authorization", "").split(" ")
        party = clinic.access.chain.party(bytes.fromhex(id))
        path = b"?".join(filter(None, (request.scope["raw_path"], request.scope["query_string"])))
        signed = call_bytes(request.method, path.decode(), int(moment), body)
        if scheme != "Medchain" or party is None or abs(clinic.clock() - int(moment)) > CALL_MS:
            raise ValueError("another scheme, an unknown party, or a call of another time")
        verify(party.signing_key, signed, bytes.fromhex(signature))
    except (ValueError, MedchainError):
        raise HTTPException(401, "sign the call with your key", {"WWW-Authenticate": "Medchain"}) from None
    return party


def seen_of(request: Request) -> Head | None:
    """What the caller's device has seen of the log: drafts and kits prove that it has only grown since."""
    text = request.headers.get("seen")
    if text is None:
        return None
    try:
        size, root = text.split(":")
        return Head(int(size), bytes.fromhex(root))
    except ValueError:
        raise HTTPException(400, "seen: size and root of the log") from None


def id_of(id: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", id):
        raise HTTPException(404, "ids are 64 hexadecimal digits")
    return bytes.fromhex(id)


Caller = Annotated[mc.Party, Depends(caller)]
Seen = Annotated[Head | None, Depends(seen_of)]
Id = Annotated[bytes, Depends(id_of)]

calls = APIRouter()
"""What is ``def`` here runs on a worker thread, as must all that touches the chain, a blob or a key; ``async def`` runs
on the event loop and may only wait."""


# Drafts: what a device is asked to sign.


@calls.get("/proposed")
def proposed(clinic: The, by: Caller) -> Response:
    draft = clinic.proposed.get(by.id)
    if draft is None:
        raise HTTPException(404, "nothing waits for you")
    return Response(bytes(draft), media_type=BYTES)


@calls.post("/records/{id}/draft")
def request_draft(clinic: The, id: Id, clause: str, purpose: str, by: Caller, seen: Seen) -> Response:
    draft = clinic.access.draft.request(id, clause, purpose=purpose, by=by, since=seen)
    return Response(bytes(draft), media_type=BYTES)


@calls.get("/inbox")
def inbox(clinic: The, by: Caller) -> list[str]:
    return [request.id.hex() for request in clinic.access.pending(holder=by)]


@calls.post("/requests/{id}/draft")
def answer_draft(clinic: The, id: Id, by: Caller, seen: Seen, decline: bool = False) -> Response:
    make = clinic.access.draft.decline if decline else clinic.access.draft.approve
    return Response(bytes(make(id, by=by, since=seen)), media_type=BYTES)


# What comes back signed. The transaction's signatures say whose it is, so that the call needs none.


@calls.post("/signed")
async def submit(clinic: The, body: Body) -> dict[str, Any]:
    chain = clinic.access.chain

    def hand_in() -> mc.Submission:
        return chain.submit(clinic.countersigned(mc.Signed.from_bytes(body)))

    submission = await run_in_threadpool(hand_in)
    try:  # whoever hangs up, or waits too long, sends the same bytes again and gets the same receipt
        receipt = await asyncio.wait_for(submission, RECEIPT_SECONDS)
    except mc.Refused as refused:
        receipt = refused.receipt
    except TimeoutError:
        raise HTTPException(504, "not final yet: send the same bytes again") from None
    await run_in_threadpool(chain.checkpoint)  # so that processes that only read the chain can prove it, too
    return {"id": receipt.id.hex(), "entry": receipt.index, "code": receipt.code}


# What the answers come to.


@calls.get("/requests/{id}")
def status(clinic: The, id: Id, by: Caller) -> dict[str, Any]:
    found = clinic.access.status(id)
    if by.id not in (found.request.asker, clinic.access.record(found.request.record).subject):
        raise mc.Refused("there is no such request, or it is not for you", reason="denied")
    return {"state": found.state, "waiting_for": [each.hex() for each in found.waiting_for]}


@calls.get("/requests/{id}/kit")
def kit(clinic: The, id: Id, by: Caller, seen: Seen) -> Response:
    return Response(bytes(clinic.access.release(id, to=by, since=seen)), media_type=BYTES)


@calls.get("/news")
async def news(clinic: The, by: Caller, since: str = "0", wait: bool = False) -> dict[str, Any]:
    """What stands on the caller's list behind a cursor; with `wait`, as soon as there is something."""
    try:
        start = mc.Cursor.parse(since)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None

    def look() -> dict[str, Any]:
        events = clinic.access.chain.events(start, subject=by)
        found = [
            {"entry": each.entry, "time": each.time, "what": each.name, "code": each.code} for each in events
        ]
        return {"news": found, "cursor": str(events.cursor)}

    bell = clinic.bell(by.id)  # before looking, so that nothing slips in between
    found = await run_in_threadpool(look)
    if wait and not found["news"]:
        with suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), NEWS_SECONDS)
        found = await run_in_threadpool(look)
    return found


@calls.get("/proofs/{entry}")
def proof(clinic: The, entry: Annotated[int, Path(ge=0)], by: Caller) -> Response:
    chain = clinic.access.chain
    first = next(chain.events(entry, subject=by), None)
    if first is None or first.entry != entry:
        raise HTTPException(404, "no such entry concerns you")
    return Response(chain.prove(entry), media_type=BYTES)


async def failed(request: Request, error: Exception) -> JSONResponse:
    """An error of medchain by its stable code. Texts may name parties by the beginnings of their ids, nothing else."""
    code = error.code if isinstance(error, MedchainError) else "index"
    if code == ConsensusError.code:  # the engine has stopped, and this chain will take nothing any more
        clinic_of(request).end()
    reason = getattr(error, "reason", None)
    return JSONResponse({"code": code, "reason": reason, "says": str(error)}, STATUS.get(code, 503))


def service(clinic: Clinic) -> FastAPI:
    """The web application of a clinic."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        chain = clinic.access.chain
        following = chain.events(chain.head.size, every_entry=True, follow=True).each(
            lambda logged: loop.call_soon_threadsafe(clinic.ring, logged)
        )
        try:
            yield
        finally:
            await run_in_threadpool(following.stop)

    app = FastAPI(title="A clinic whose patients hold their own keys", lifespan=lifespan)
    app.state.clinic = clinic
    app.include_router(calls)
    app.add_exception_handler(MedchainError, failed)
    app.add_exception_handler(IndexError, failed)
    return app


# The other side of the wire.


@define(eq=False)
class Phone:
    """A wallet, the application's trust file, what was seen of the log, and a way to the service."""

    wallet: mc.Wallet
    trust: mc.Trust
    web: httpx.AsyncClient
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    seen: mc.Checkpoint | None = None

    async def call(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        """Call the service as this wallet's party."""
        request = self.web.build_request(method, path, content=body)
        moment = self.clock()
        signature = self.wallet.sign(call_bytes(method, request.url.raw_path.decode(), moment, body))
        request.headers["authorization"] = f"Medchain {self.wallet.party.id.hex()} {moment} {signature.hex()}"
        if self.seen is not None:
            request.headers["seen"] = str(self.seen.head)
        response = await self.web.send(request)
        response.raise_for_status()
        return response

    async def sign(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """Fetch a draft, review it under the own trust, sign it, send it: what was shown, and the receipt."""
        draft = Draft.from_bytes((await self.call(method, path)).content)
        review = draft.review(self.trust, since=self.seen)
        self.seen = review.seen  # a real phone keeps this, and asks its owner before it goes on
        answer = await self.web.post("/signed", content=bytes(review.sign(self.wallet)))
        answer.raise_for_status()
        receipt: dict[str, Any] = answer.json()
        return review.text, receipt

    async def open(self, request: str) -> bytes:
        """What the service releases to this wallet, checked and opened here."""
        kit = ReleaseKit.from_bytes((await self.call("GET", f"/requests/{request}/kit")).content)
        content: bytes = kit.open(self.wallet, trust=self.trust, since=self.seen).raw
        return content


POLICY = """
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    recovery lost for PATRQT: dr_wu and guardian, wait 14 days, ungated
"""
CONTENT = b'{"resourceType": "AllergyIntolerance"}'


async def play(clinic: Clinic, web: httpx.AsyncClient, wallets: dict[str, mc.Wallet]) -> None:
    """A record is added, asked for, approved and opened, every key on its own phone."""
    chain = clinic.access.chain
    trust = mc.Trust.parse(str(chain.trust))  # as a file that comes with the application
    patient, dr_wu, dr_lee = (Phone(wallets[name], trust, web) for name in ("patient", "dr_wu", "dr_lee"))

    parties = {name: wallets[name].party for name in ("dr_wu", "guardian")}
    bound = mc.Policy.parse(POLICY).bind(gate=chain.gate, owner=patient.wallet.party, **parties)
    clinic.propose([Part(CONTENT, "application/fhir+json")], bound, patient.wallet.party)
    _, added = await patient.sign("GET", "/proposed")
    print(f"added     entry {added['entry']}, signed on the patient's phone")

    record = (
        chain.entry(added["entry"]).outcome.events[0].value["record"].hex()
    )  # the doctor has it from the patient
    _, asked = await dr_lee.sign("POST", f"/records/{record}/draft?clause=treatment&purpose=TREAT")
    request = asked["id"]
    print(f"asked     request {request[:12]}…")

    cursor = (await patient.call("GET", "/news")).json()["cursor"]
    waiting = asyncio.create_task(patient.call("GET", f"/news?since={cursor}&wait=true"))
    for phone in (patient, dr_wu):
        assert (await phone.call("GET", "/inbox")).json() == [request]
        text, approved = await phone.sign("POST", f"/requests/{request}/draft")
        print(f"approved  {text.splitlines()[0]}: {approved['code']}")
    told = (await waiting).json()["news"][0]
    proof = (await patient.call("GET", f"/proofs/{told['entry']}")).content
    found = mc.verify(proof, mc.Entry, trust=trust)
    assert found.as_of.index == told["entry"]
    assert patient.wallet.party.id in [each.subject for each in found.value.outcome.subjects]
    print(f"told      entry {told['entry']} concerns the patient, {found.as_of}")

    assert await dr_lee.open(request) == CONTENT
    print("opened    byte for byte, on the doctor's phone")


async def serve_in_process() -> None:
    """Everything in one process: the client's calls go straight into the application."""
    names = ("hospital", "keeper", "phone", "dr_wu", "guardian", "dr_lee")
    wallets = {name: mc.Wallet.generate() for name in names}
    hospital = wallets["hospital"]
    with mc.Chain.in_memory(authority=hospital, gate=wallets["keeper"].party) as chain:
        wallets["patient"] = wallets["phone"].persona(toward=hospital.party, chain=chain.tag)
        users = (wallets[name] for name in ("patient", "dr_wu", "guardian", "dr_lee"))
        mc.Parties(chain).register(*users, by=hospital)  # at the desk, where they show their papers
        clinic = Clinic(mc.Access(chain, gate=mc.Gate(wallets["keeper"])), hospital)
        app = service(clinic)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://clinic.example") as web,
        ):
            await play(clinic, web, wallets)


if __name__ == "__main__":
    asyncio.run(serve_in_process())
