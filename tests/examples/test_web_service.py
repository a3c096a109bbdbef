"""The web service: it runs, and strangers, other users, repeats and gone clients get no further than they should."""

from __future__ import annotations

import asyncio
import importlib.util
import runpy
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import medchain as mc
from medchain.access import Draft
from medchain.errors import StorageFull
from medchain.ledger.draft import Signed, signer_ref
from medchain.sealing import Part

WANTED = "the extra medchain[examples] is not installed"
pytest.importorskip("fastapi", reason=WANTED)
httpx = pytest.importorskip("httpx", reason=WANTED)

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "web_service.py"
NAMES = ("hospital", "keeper", "phone", "dr_wu", "guardian", "dr_lee", "mallory")


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("web_service", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


web_service: Any = loaded()


class House:
    """The service, and a phone for each of its users."""

    def __init__(self, chain: mc.Chain, wallets: dict[str, mc.Wallet], web: Any, clinic: Any) -> None:
        self.chain, self.wallets, self.web, self.clinic = chain, wallets, web, clinic
        self.now = 1_800_000_000_000

    def phone(self, name: str) -> Any:
        trust = mc.Trust.parse(str(self.chain.trust))
        return web_service.Phone(self.wallets[name], trust, self.web, clock=lambda: self.now)

    def bound(self) -> mc.BoundPolicy:
        parties = {name: self.wallets[name].party for name in ("dr_wu", "guardian")}
        owner = self.wallets["patient"].party
        return mc.Policy.parse(web_service.POLICY).bind(gate=self.chain.gate, owner=owner, **parties)

    async def add(self) -> str:
        """The id of a record, added by the patient's phone."""
        patient = self.phone("patient")
        self.clinic.propose([Part(web_service.CONTENT)], self.bound(), patient.wallet.party)
        _, receipt = await patient.sign("GET", "/proposed")
        [event] = self.chain.events(receipt["entry"], contract="access")
        return event.event.record.hex()

    async def ask(self, record: str) -> str:
        """The id of a request by dr_lee."""
        path = f"/records/{record}/draft?clause=treatment&purpose=TREAT"
        _, receipt = await self.phone("dr_lee").sign("POST", path)
        assert receipt["code"] == "ok"
        return receipt["id"]

    async def decide(self, request: str) -> None:
        for name in ("patient", "dr_wu"):
            await self.phone(name).sign("POST", f"/requests/{request}/draft")


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    wallets = {name: mc.Wallet.generate() for name in NAMES}
    hospital = wallets["hospital"]
    made: list[House] = []

    def clock() -> int:
        return made[0].now if made else 1_800_000_000_000

    with mc.Chain.in_memory(authority=hospital, gate=wallets["keeper"].party, clock=clock) as chain:
        wallets["patient"] = wallets["phone"].persona(toward=hospital.party, chain=chain.tag)
        users = (wallets[name] for name in ("patient", "dr_wu", "guardian", "dr_lee", "mallory"))
        mc.Parties(chain).register(*users, by=hospital)
        access = mc.Access(chain, gate=mc.Gate(wallets["keeper"], clock=clock), clock=clock)
        clinic = web_service.Clinic(access, hospital, clock)
        app = web_service.service(clinic)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://clinic.example") as web,
        ):
            made.append(House(chain, wallets, web, clinic))
            yield made[0]


def in_house(test: Callable[[House], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in a house of its own."""

    async def run() -> None:
        async with house() as made:
            await test(made)

    def sync() -> None:
        asyncio.run(run())

    sync.__name__ = test.__name__  # type: ignore[attr-defined]
    return sync


async def refused(call: Awaitable[Any]) -> tuple[int, Any]:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await call
    return caught.value.response.status_code, caught.value.response.json()


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1].endswith("byte for byte, on the doctor's phone")


@in_house
async def test_a_record_is_added_asked_for_and_opened(house: House) -> None:
    request = await house.ask(await house.add())
    lee = house.phone("dr_lee")
    assert (await refused(lee.open(request)))[0] == 409, "not decided yet"
    status = (await lee.call("GET", f"/requests/{request}")).json()
    assert status["state"] == "open"
    assert house.wallets["patient"].party.id.hex() in status["waiting_for"]
    await house.decide(request)
    assert await lee.open(request) == web_service.CONTENT
    assert await lee.open(request) == web_service.CONTENT, (
        "one decision is one use, however often it is opened"
    )


@in_house
async def test_whoever_declines_is_heard(house: House) -> None:
    request = await house.ask(await house.add())
    text, receipt = await house.phone("patient").sign("POST", f"/requests/{request}/draft?decline=true")
    assert "Decline" in text
    assert receipt["code"] == "ok"
    code, answer = await refused(house.phone("dr_lee").open(request))
    assert (code, answer["code"]) == (403, "refused")


@in_house
async def test_nobody_is_let_in_without_the_key(house: House) -> None:
    paths = [
        "/inbox",
        "/proposed",
        "/news",
        f"/requests/{'00' * 32}",
        f"/requests/{'00' * 32}/kit",
        "/proofs/1",
    ]
    for path in paths:
        assert (await house.web.get(path)).status_code == 401
    for path in (f"/records/{'00' * 32}/draft?clause=c&purpose=TREAT", f"/requests/{'00' * 32}/draft"):
        assert (await house.web.post(path)).status_code == 401
    patient, mallory = house.phone("patient"), house.phone("mallory")
    id = patient.wallet.party.id.hex()
    good = web_service.call_bytes("GET", "/inbox", house.now, b"")

    async def status(header: str, path: str = "/inbox", method: str = "GET", body: bytes = b"") -> int:
        headers = {"authorization": header}
        return int((await house.web.request(method, path, headers=headers, content=body)).status_code)

    signature = patient.wallet.sign(good).hex()
    assert await status(f"Medchain {id} {house.now} {signature}") == 200, "this is how it is done"
    for header in (
        f"Medchain {id} {house.now} {mallory.wallet.sign(good).hex()}",
        f"Medchain {mallory.wallet.party.id.hex()} {house.now} {signature}",
        f"Medchain {id} {house.now + 1} {signature}",
        f"Bearer {id} {house.now} {signature}",
        f"Medchain {id} {house.now}",
        f"Medchain {id} now {signature}",
        f"Medchain {id[:-1]} {house.now} {signature}",
        f"Medchain {'ab' * 500} {house.now} {signature}",
        f"Medchain {id} {10**30} {signature}",
        f"Medchain {id} {house.now} {signature[:-2]}",
        f"Medchain {mc.Wallet.generate().party.id.hex()} {house.now} {signature}",
        "Medchain",
        "",
    ):
        assert await status(header) == 401, header
    header = f"Medchain {id} {house.now} {signature}"
    assert await status(header, "/inbox?more") == 401
    assert await status(header, "/news") == 401
    assert await status(header, body=b"something") == 401
    house.now += web_service.CALL_MS + 1
    assert await status(header) == 401, "it is of another time"


@in_house
async def test_users_see_what_concerns_them_only(house: House) -> None:
    request = await house.ask(await house.add())
    mallory = house.phone("mallory")
    assert (await mallory.call("GET", "/inbox")).json() == []
    assert (await mallory.call("GET", "/news")).json()["news"] == []
    assert (await refused(mallory.sign("POST", f"/requests/{request}/draft")))[0] == 403
    assert (await refused(mallory.call("GET", f"/requests/{request}")))[0] == 403
    news = (await house.phone("patient").call("GET", "/news")).json()["news"]
    assert [each["what"] for each in news] == ["record-added", None]
    for each in news:
        assert (await house.phone("patient").call("GET", f"/proofs/{each['entry']}")).status_code == 200
        assert (await refused(mallory.call("GET", f"/proofs/{each['entry']}")))[0] == 404
    await house.decide(request)
    code, answer = await refused(mallory.call("GET", f"/requests/{request}/kit"))
    assert (code, answer["reason"]) == (403, "denied")
    kit = (await house.phone("dr_lee").call("GET", f"/requests/{request}/kit")).content
    with pytest.raises(mc.VerificationError, match="another asker"):
        mc.access.ReleaseKit.from_bytes(kit).open(mallory.wallet, trust=house.chain.trust)
    assert web_service.CONTENT not in kit


@in_house
async def test_what_makes_no_sense_is_answered(house: House) -> None:
    record = await house.add()
    patient = house.phone("patient")
    for path, code in (
        ("/news?since=x", 400),
        ("/news?since=-1", 400),
        ("/news?since=99999", 400),
        ("/proofs/x", 422),
        ("/proofs/-1", 422),
        ("/proofs/99999", 400),
        ("/requests/xyz", 404),
        ("/requests/00", 404),
        (f"/requests/{'00' * 32}", 403),
        (f"/requests/{'00' * 32}/kit", 403),
    ):
        assert (await refused(patient.call("GET", path)))[0] == code, path
    for path, code in (
        (f"/records/{record}/draft?clause=treatment&purpose=SOMETHING", 422),
        (f"/records/{'00' * 32}/draft?clause=treatment&purpose=TREAT", 403),
        (f"/records/{record}/draft", 422),
        (f"/requests/{'00' * 32}/draft", 403),
    ):
        assert (await refused(patient.call("POST", path)))[0] == code, path
    for seen in ("x", "1", "-1:00", "1:zz", "99999:" + "00" * 32):
        request = house.web.build_request("POST", f"/records/{record}/draft?clause=treatment&purpose=TREAT")
        patient.seen = None
        signature = patient.wallet.sign(
            web_service.call_bytes("POST", request.url.raw_path.decode(), house.now, b"")
        )
        request.headers["authorization"] = (
            f"Medchain {patient.wallet.party.id.hex()} {house.now} {signature.hex()}"
        )
        request.headers["seen"] = seen
        assert (await house.web.send(request)).status_code == 400, seen
    for body in (b"", b"\x00", b"x" * 100, bytes(100)):
        assert (await house.web.post("/signed", content=body)).status_code == 400
    assert (await house.web.post("/signed", content=bytes(web_service.BODY_LIMIT + 1))).status_code == 413


@in_house
async def test_the_same_bytes_again_give_the_first_receipt(house: House) -> None:
    record = await house.add()
    patient, lee = house.phone("patient"), house.phone("dr_lee")
    again = Draft.from_bytes((await patient.call("GET", "/proposed")).content)
    wire = bytes(Signed.start(again.body).sign(patient.wallet))  # what the patient's phone has sent
    receipt = (await house.web.post("/signed", content=wire)).json()
    [first] = house.chain.events(contract="access")
    assert (receipt["entry"], receipt["code"]) == (first.entry, "ok")
    path = f"/records/{record}/draft?clause=treatment&purpose=TREAT"
    draft = Draft.from_bytes((await lee.call("POST", path)).content)
    wire = bytes(draft.review(lee.trust).sign(lee.wallet))
    size = house.chain.head.size
    answers = await asyncio.gather(*(house.web.post("/signed", content=wire) for _ in range(5)))
    assert [each.status_code for each in answers] == [200] * 5
    assert len({each.json()["entry"] for each in answers}) == 1
    assert house.chain.head.size == size + 2


@in_house
async def test_a_service_whose_engine_has_stopped_ends(house: House) -> None:
    ended: list[bool] = []
    house.clinic.end = lambda: ended.append(True)
    patient = house.phone("patient")
    house.clinic.propose([Part(web_service.CONTENT)], house.bound(), patient.wallet.party)

    def fail() -> None:
        raise StorageFull("no room")

    status, _ = await refused(patient.call("GET", "/news?since=x"))
    assert (status, ended) == (400, [])
    with pytest.raises(StorageFull):
        house.chain._writer.engine.run(fail)  # type: ignore[union-attr]
    status, said = await refused(patient.sign("GET", "/proposed"))
    assert (status, said["code"], ended) == (503, "consensus", [True])


@in_house
async def test_a_client_that_has_gone_takes_nothing_back(house: House) -> None:
    record = await house.add()
    lee = house.phone("dr_lee")
    path = f"/records/{record}/draft?clause=treatment&purpose=TREAT"
    wire = bytes(Draft.from_bytes((await lee.call("POST", path)).content).review(lee.trust).sign(lee.wallet))
    engine, held = house.chain._writer.engine, asyncio.Event()  # type: ignore[union-attr]
    loop = asyncio.get_running_loop()
    go_on = threading.Event()
    threading.Thread(
        target=lambda: engine.run(lambda: (loop.call_soon_threadsafe(held.set), go_on.wait(20)))
    ).start()
    await held.wait()
    client = asyncio.create_task(house.web.post("/signed", content=wire))
    while not engine._waiting:  # it has been handed in
        await asyncio.sleep(0.005)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    go_on.set()
    receipt = (await house.web.post("/signed", content=wire)).json()
    assert receipt["code"] == "ok"
    entries = [
        index
        for index, entry in house.chain.entries()
        if entry.content == bytes(mc.Signed.from_bytes(wire).transaction)
    ]
    assert entries == [receipt["entry"]]


@in_house
async def test_who_waits_for_news_is_told(house: House) -> None:
    record = await house.add()
    patient, wu = house.phone("patient"), house.phone("dr_wu")
    cursor = (await patient.call("GET", "/news")).json()["cursor"]
    waiting = asyncio.create_task(patient.call("GET", f"/news?since={cursor}&wait=true"))
    others = asyncio.create_task(wu.call("GET", "/news?wait=true"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await house.ask(record)
    news = (await asyncio.wait_for(waiting, 20)).json()
    assert [each["what"] for each in news["news"]] == [None], (
        "a request has no event and concerns the patient"
    )
    assert (await patient.call("GET", f"/news?since={news['cursor']}")).json()["news"] == []
    assert not others.done()
    others.cancel()


@in_house
async def test_nothing_new_is_an_answer_too(house: House) -> None:
    web_service.NEWS_SECONDS, before = 0.05, web_service.NEWS_SECONDS
    try:
        answer = (await house.phone("dr_wu").call("GET", "/news?wait=true")).json()
    finally:
        web_service.NEWS_SECONDS = before
    assert answer["news"] == []


@in_house
async def test_the_clinic_signs_nothing_that_it_has_not_proposed(house: House) -> None:
    patient, hospital = house.wallets["patient"], house.wallets["hospital"]
    by = [hospital.party, patient.party]
    house.clinic.propose([Part(b"proposed")], house.bound(), patient.party)
    foreign = house.clinic.access.draft.add([Part(b"foreign")], house.bound(), by=by, since=None)
    signed = foreign.review(house.chain.trust).sign(patient)
    assert [ref.party for ref in signed.missing] == [signer_ref(hospital.party).party]
    answer = await house.web.post("/signed", content=bytes(signed))
    assert answer.status_code == 422
    assert answer.json()["reason"] == "unsigned"
    half = house.clinic.proposed[patient.party.id].review(house.chain.trust).sign(hospital)
    answer = await house.web.post("/signed", content=bytes(half))
    assert answer.status_code == 422, "the patient has not signed"
    _, receipt = await house.phone("patient").sign("GET", "/proposed")
    assert receipt["code"] == "ok"


@in_house
async def test_a_revoked_user_is_a_stranger(house: House) -> None:
    lee = house.phone("dr_lee")
    assert (await lee.call("GET", "/inbox")).status_code == 200
    mc.Parties(house.chain).revoke(lee.wallet.party, by=house.wallets["hospital"])
    assert (await refused(lee.call("GET", "/inbox")))[0] == 401
