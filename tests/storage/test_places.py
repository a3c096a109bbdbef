"""One text says where a chain lies: what it finds and makes, what it says when nothing is there, and no password."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import stores

import medchain as mc
from medchain.errors import Locked, NotAChain, StorageError
from medchain.storage import LmdbStore, MemoryBlobs, SqliteStore, copy_store
from medchain.storage.places import FolderPlace, Place, ServerPlace, without_passwords
from medchain.testing import wallets

[HOSPITAL] = wallets("hospital")
SECRET = "hunter2"


def create(place: str | Path, mark: Path, **options: Any) -> mc.Chain:
    return mc.Chain.create(
        place, origin="clinic.example/ehr", authority=HOSPITAL, gate=None, mark=mark, **options
    )


@pytest.fixture(params=stores.LASTING)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> stores.Place:
    return stores.Place(request.param, tmp_path / "c")


class TestEveryStore:
    def test_a_chain_is_made_opened_and_written_by_its_text(
        self, place: stores.Place, tmp_path: Path
    ) -> None:
        with create(place.text, tmp_path / "mark") as chain:
            identity = chain.id
        with mc.Chain.open(place.text) as reader:
            assert reader.id == identity
            assert type(reader._archive.store).__name__.lower() == f"{place.kind}store"
        with mc.Chain.open(place.text, authority=HOSPITAL, mark=tmp_path / "mark") as writer:
            assert not writer.read_only
        with pytest.raises(StorageError, match="holds a chain already"):
            create(place.text, tmp_path / "mark")

    def test_one_process_opens_it_once_for_writing(self, place: stores.Place, tmp_path: Path) -> None:
        with (
            create(place.text, tmp_path / "mark") as chain,
            create(place.text, tmp_path / "mark") as again,
            mc.Chain.open(place.text, authority=HOSPITAL, mark=tmp_path / "mark") as third,
        ):
            assert chain._writer is again._writer is third._writer

    def test_a_second_writer_reads_what_to_do(self, place: stores.Place) -> None:
        with place.open(), pytest.raises(Locked, match="several-web-workers") as caught:
            place.open()
        assert str(caught.value).count("several-web-workers") == 1

    def test_nothing_there_is_said_with_what_to_do(self, place: stores.Place) -> None:
        with pytest.raises(NotAChain, match=r"no medchain chain.*Chain\.create founds one"):
            mc.Chain.open(place.text)
        with pytest.raises(NotAChain, match="no medchain chain"):
            mc.Chain.open(place.text, authority=HOSPITAL)
        assert not place.path.exists()


class TestFolders:
    @pytest.mark.parametrize("kind", stores.FILES)
    def test_what_lies_in_a_folder_is_found_out(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with create(f"{kind}:{tmp_path / 'c'}", tmp_path / "mark") as chain:
            identity = chain.id
        file = {"lmdb": "data.mdb", "sqlite": "data.sqlite"}[kind]
        monkeypatch.chdir(tmp_path / "c")
        for name in (
            tmp_path / "c",
            str(tmp_path / "c"),
            tmp_path / "c" / "store",
            tmp_path / "c" / "store" / file,
            ".",
            "store",
            f"store/{file}",
            f"{kind}:.",
        ):
            assert Place.parse(name).key == Place.parse(tmp_path / "c").key
            with mc.Chain.open(name) as chain:
                assert chain.id == identity
                assert "blobs" in repr(chain.blobs)
                assert "store/blobs" not in repr(chain.blobs)

    def test_founding_again_finds_a_store_of_another_kind(self, tmp_path: Path) -> None:
        create(f"sqlite:{tmp_path / 'c'}", tmp_path / "mark").close()
        with pytest.raises(StorageError, match="holds a chain already"):
            create(tmp_path / "c", tmp_path / "mark")
        with pytest.raises(NotAChain, match="a store on SQLite, none on LMDB: name it sqlite:"):
            create(f"lmdb:{tmp_path / 'c'}", tmp_path / "mark")
        with pytest.raises(NotAChain, match="none on LMDB"):
            mc.Chain.open(f"lmdb:{tmp_path / 'c'}")
        assert [each.name for each in (tmp_path / "c" / "store").glob("*.mdb")] == []

    def test_a_copied_store_alone_is_a_place(self, tmp_path: Path) -> None:
        create(tmp_path / "c", tmp_path / "mark").close()
        with (
            LmdbStore(tmp_path / "c" / "store", read_only=True) as old,
            SqliteStore(tmp_path / "moved") as new,
        ):
            copy_store(old, new)
        with mc.Chain.open(tmp_path / "moved", authority=HOSPITAL, mark=tmp_path / "mark") as chain:
            assert chain.audit().head == chain.head

    def test_two_stores_in_one_folder_are_told_apart_by_their_kind(self, tmp_path: Path) -> None:
        for kind in stores.FILES:
            create(f"{kind}:{tmp_path / kind}", tmp_path / f"mark-{kind}").close()
        for file in (tmp_path / "sqlite" / "store").iterdir():
            shutil.copy(file, tmp_path / "lmdb" / "store" / file.name)
        with pytest.raises(NotAChain, match=r"several stores; say which.*lmdb:.*sqlite:"):
            mc.Chain.open(tmp_path / "lmdb")
        found = set()
        for kind in stores.FILES:
            with mc.Chain.open(f"{kind}:{tmp_path / 'lmdb'}") as chain:
                found.add(chain.id)
        assert len(found) == 2

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ([], "it is empty"),
            (["blobs"], r"only sealed data in 'blobs'.*postgresql://"),
            (["a", "b"], r"but 'a', 'b'\..*data\.mdb \(LMDB\).*data\.sqlite \(SQLite\).*postgresql://"),
            (["a", "b", "c", "d", "e"], "but 'a', 'b', 'c' and 2 more"),
            (["store"], "but 'store'"),
        ],
    )
    def test_a_folder_without_chain_says_what_it_holds(
        self, tmp_path: Path, files: list[str], words: str
    ) -> None:
        for name in files:
            (tmp_path / name).mkdir()
        with pytest.raises(NotAChain, match=f"no medchain chain.*{words}"):
            mc.Chain.open(tmp_path)

    def test_a_file_is_no_place_for_a_chain(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(NotAChain, match="it is a file"):
            mc.Chain.open(tmp_path / "file")
        with pytest.raises(StorageError, match="is a file"):
            create(tmp_path / "file", tmp_path / "mark")

    def test_a_folder_that_may_not_be_looked_at(self, tmp_path: Path) -> None:
        name = "x" * 300  # longer than any name of a file: what looking at it raises is no FileNotFoundError
        with pytest.raises(StorageError, match="cannot look"):
            mc.Chain.open(tmp_path / name)
        with pytest.raises(StorageError, match="cannot look"):
            create(tmp_path / name, tmp_path / "mark")

    def test_a_path_object_is_a_folder_whatever_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert Place.parse(Path("sqlite:x")) == FolderPlace(Path("sqlite:x"))
        assert Place.parse("./sqlite:x") == FolderPlace(Path("sqlite:x"))
        assert Place.parse("sqlite:x") == FolderPlace(Path("x"), "sqlite")
        for text in ("c", "sqlite:c", "lmdb:./c/d"):
            assert Place.parse(str(Place.parse(text))) == Place.parse(text)
        assert Place.parse(Place.parse("c")) == Place.parse("c")

    @pytest.mark.parametrize(
        "text", ["mysql://host/db", "s3://bucket/c", "sqlite:///c", "file:///c", "LMDB://c"]
    )
    def test_other_schemes_are_refused_by_name(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"no chain lies at \w+://…; places are FOLDER"):
            mc.Chain.open(text.replace("://", f"://user:{SECRET}@"))


class TestServers:
    def test_the_schema_is_ours_and_the_rest_libpqs(self) -> None:
        pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
        place = Place.parse(
            f"postgresql://me:{SECRET}@a:1,[::1]:2/db?sslmode=require&schema=e%68r&host=%2Frun&password=x"
        )
        assert isinstance(place, ServerPlace)
        assert place.schema == "ehr"
        assert place.conninfo == (
            f"postgresql://me:{SECRET}@a:1,[::1]:2/db?sslmode=require&host=%2Frun&password=x"
        )
        assert str(place) == "postgresql://me@a:1,[::1]:2/db?host=%2Frun&schema=ehr"
        assert SECRET not in str(place) + repr(place) + place.key
        assert place.folder is None

    def test_two_names_of_one_place(self) -> None:
        pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
        one, *same = (
            Place.parse(text).key
            for text in (
                "postgresql://me@h:1/db?schema=ehr",
                "postgres://me@h:1/db?schema=ehr",
                f"postgresql://me:{SECRET}@h:1/db?schema=ehr",
                "postgresql://h/db?schema=ehr&port=1&user=me",
            )
        )
        assert set(same) == {one}
        for other in (
            "me@h:1/db?schema=eh",
            "me@h:2/db?schema=ehr",
            "me@h:1/d?schema=ehr",
            "me@g:1/db?schema=ehr",
        ):
            assert Place.parse(f"postgresql://{other}").key != one

    @pytest.mark.parametrize(
        "text",
        [
            f"postgresql://me:{SECRET}@h/db",
            f"postgresql://me:{SECRET}@h/db?schema=a&schema=b",
            f"postgresql://me:x@{SECRET}@h/db?schema=ehr",
            f"postgresql://me:x/{SECRET}@h/db?schema=ehr",
            f"postgresql://me:{SECRET}/db?schema=ehr",
            f"postgresql://me@h:1,g:{SECRET}/db?schema=ehr",
            f"postgresql://me:{SECRET}@h/db?schema=ehr&nonsense",
            f"postgresql://me:{SECRET}%zz@h/db?schema=ehr",
            f"postgresql://me:{SECRET}@h/db?schema=Robert'); DROP",
        ],
    )
    def test_a_malformed_one_is_not_repeated(self, text: str) -> None:
        pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
        for opening in (
            lambda: mc.Chain.open(text),
            lambda: mc.Chain.open(text, authority=HOSPITAL),
            lambda: Place.parse(text).open(create=True),
        ):
            with pytest.raises(ValueError, match=r"connection string|name of a schema") as caught:
                opening()
            assert SECRET not in str(caught.value)

    def test_a_server_that_does_not_answer_shows_no_password(self, tmp_path: Path) -> None:
        pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
        nowhere = str(tmp_path).replace("/", "%2F")
        with pytest.raises(StorageError, match="schema ehr fails") as caught:
            mc.Chain.open(f"postgresql://me:{SECRET}@/db?host={nowhere}&schema=ehr")
        assert SECRET not in str(caught.value)

    def test_without_psycopg_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr("medchain.storage._postgres_session", raising=False)
        monkeypatch.setitem(sys.modules, "medchain.storage._postgres_session", None)
        for opening in (
            lambda: mc.Chain.open("postgresql://h/db?schema=ehr"),
            lambda: mc.Chain.open("postgresql://h/db?schema=ehr", authority=HOSPITAL),
        ):
            with pytest.raises(ImportError, match=r"pip install 'medchain\[postgres\]'"):
                opening()

    def test_sealed_data_has_no_place_in_a_database(self, tmp_path: Path) -> None:
        place, blobs = stores.Place("postgres", tmp_path / "c"), MemoryBlobs()
        with (
            create(place.text, tmp_path / "mark") as chain,
            pytest.raises(StorageError, match=r"is no folder.*open the chain with blobs=…"),
        ):
            chain.blobs.put(bytes(32), b"sealed")
        assert not place.path.exists()
        with mc.Chain.open(place.text, authority=HOSPITAL, mark=tmp_path / "mark", blobs=blobs) as chain:
            assert chain.blobs is blobs


@pytest.mark.parametrize(
    "text",
    [
        f"unrecognized: postgresql://me:{SECRET}@h/db",
        f"postgresql://:{SECRET}@h/db?x=y",
        f"postgresql://me:a@{SECRET}@h/db",
        f"postgresql://me:a/{SECRET}@h/db",
        f"postgresql://h/db?user=me&password={SECRET}&schema=ehr",
        f"host=h PASSWORD='a {SECRET}' dbname=db",
        f"host=h sslpassword={SECRET} dbname=db",
    ],
)
def test_passwords_are_taken_out_of_any_text(text: str) -> None:
    assert SECRET not in without_passwords(text)
    assert "***" in without_passwords(text)


def test_text_without_passwords_stays() -> None:
    for text in (
        "https://c2sp.org/tlog-proof@v1",
        "postgresql://me@h/db?schema=ehr",
        "10:30 me@clinic.example",
    ):
        assert without_passwords(text) == text
