"""A folder of files to documents: every file is reported as read, duplicate, or failed with the reason.

Plain text is read here, all other formats in worker processes. Parsed text is cached by the file's contents, so that an
interrupted run resumes where it stopped and unchanged files are not parsed again.
"""

from __future__ import annotations

import hashlib
import json
import queue
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from inhouse.config.sections import Documents
from inhouse.documents import clean, parse
from inhouse.documents.dedupe import duplicates, versions, words_of
from inhouse.documents.folder import Entry, walk
from inhouse.documents.ocr import UNREAD, Ocr
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.worker import Worker
from inhouse.errors import BackendError, InputError
from inhouse.files import file_sha256, replacing
from inhouse.text import encoding, mail
from inhouse.text.language import language
from inhouse.types import Document, Progress, Record, Silent, Step

SAMPLED, SAMPLED_BYTES = 24, 2**20  # files whose language is looked at before a build
DOCUMENTS, REPORT = "documents.jsonl", "report.json"
WORKERS = 2
_HEAD_BYTES = 8192


class Outcome(Record):
    """The result for one file. `reason` says why it failed, which file it repeats, what was skipped in it, or which
    file it is a version of.
    """

    path: str
    status: Literal["read", "duplicate", "failed"]
    reason: str = ""
    bytes: int = 0
    chars: int = 0
    title: str = ""
    version_of: str = ""


class Summary(Record):
    """Number of files by status, and of the documents kept the characters, and how many are in each language."""

    read: int
    duplicate: int
    failed: int
    chars: int
    languages: Mapping[str, int] = {}
    failures: tuple[Outcome, ...] = ()


def load_documents(folder: Path, settings: Documents, cache: Path, out: Path, progress: Progress) -> Summary:
    """Reads every file under `folder` into out/documents.jsonl, sorted by path; out/report.json has a line for each.

    The result depends on the files alone, not on the cache.

    Raises:
        InputError: the folder is missing or empty, or no file in it could be read.
        ConfigError: an access rule is wrong.
        BackendError: `cache` or `out` cannot be written.
    """
    files = walk(folder, settings)
    results = _parsed([file for file in files if not (file.problem or file.same_as)], settings, cache, progress)
    documents: list[Document] = []
    outcomes: dict[str, Outcome] = {}
    for file in files:
        result = results.get(file.source)
        if isinstance(result, Parsed):
            document = _document(file, result)
            documents.append(document)
            outcomes[file.source] = _outcome(file, "read", result.note, document)
        elif file.same_as:
            outcomes[file.source] = _outcome(file, "duplicate", f"link to {file.same_as}")
        else:
            outcomes[file.source] = _outcome(file, "failed", result or file.problem)
    kept = _without_repeats(documents, outcomes, settings.near_duplicate)
    return _written(folder, out, kept, list(outcomes.values()))


def _without_repeats(documents: list[Document], outcomes: dict[str, Outcome], threshold: float) -> list[Document]:
    """The documents that stay; the outcomes say which go and why, and which of those that stay are versions."""
    wordings = [words_of(document) if threshold < 1 else document.text for document in documents]
    repeats = duplicates(documents, wordings)
    for i, repeat in repeats.items():
        source = documents[i].source
        outcomes[source] = outcomes[source].model_copy(update={"status": "duplicate", "reason": repeat.why})
    left = [i for i in range(len(documents)) if i not in repeats]
    kept = [documents[i] for i in left]
    for i, near in versions(kept, [wordings[i] for i in left], threshold).items():
        outcome = outcomes[kept[i].source]
        other = kept[near.of].source
        note = f"a version of {other}, kept ({near.similarity:.0%} similar; {near.differs})"
        reason = "; ".join(filter(None, (outcome.reason, note)))
        outcomes[outcome.path] = outcome.model_copy(update={"reason": reason, "version_of": other})
    return kept


def sample_texts(folder: Path, settings: Documents, cache: Path, most: int = SAMPLED) -> list[str]:
    """The texts of at most so many files that can be read, evenly over the folder; what was read stays in the cache."""
    files = [file for file in walk(folder, settings) if not (file.problem or file.same_as)]
    small = [file for file in files if file.size <= SAMPLED_BYTES] or files
    some = small[:: max(len(small) // most, 1)][:most]
    quick = settings.model_copy(update={"ocr": "off"})
    return [r.text for r in _parsed(some, quick, cache, Silent()).values() if isinstance(r, Parsed)]


def scanned(folder: Path, settings: Documents, cache: Path, most: int = SAMPLED) -> str:
    """How many files need OCR, of the pictures and of some PDFs, and whether it is there; empty if none does."""
    files = [f for f in walk(folder, settings) if f.suffix in parse.WITH_OCR and not (f.problem or f.same_as)]
    pictures = [file for file in files if file.suffix in parse.PICTURES]
    papers = [file for file in files if file.suffix not in parse.PICTURES]
    some = papers[:: max(len(papers) // most, 1)][:most]
    quick = settings.model_copy(update={"ocr": "off"})
    read = _parsed(some, quick, cache, Silent()).values()
    scans = sum(UNREAD in (result.note if isinstance(result, Parsed) else result) for result in read)
    if not pictures and not scans:
        return ""
    ocr = Ocr(settings.ocr, settings.ocr_languages)
    how = "OCR reads them, which takes some seconds a page" if ocr.ready else f"not read: {ocr.why_not}"
    return f"{len(pictures)} pictures, and {scans} of {len(some)} PDFs looked at have pages without text; {how}"


def read_documents(path: Path) -> list[Document]:
    """The documents in a documents.jsonl, in order.

    Raises:
        InputError: the file is missing, or a line is not a document; the message names the line.
    """
    documents = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                documents.append(Document.model_validate_json(line))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "`inhouse ingest` writes it") from error
    except (ValidationError, UnicodeDecodeError) as error:
        where = f"{path}:{len(documents) + 1}"
        raise InputError(f"{where}: not a document", "delete the file; `inhouse ingest` writes it again") from error
    return documents


def _parsed(files: Sequence[Entry], settings: Documents, cache: Path, progress: Progress) -> dict[str, Parsed | str]:
    """By source, the text of each file or why it could not be read."""
    results: dict[str, Parsed | str] = {}
    plain: list[Entry] = []
    others: list[Entry] = []
    for file in files:
        (plain if _is_plain(file) else others).append(file)
    reading = settings.ocr, settings.ocr_languages
    workers = [Worker(ocr=reading) for _ in range(min(WORKERS, len(others)))]
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)
    parsers = {False: _parser_version(), True: f"{_parser_version()} {reading}"}
    pool = ThreadPoolExecutor(WORKERS)
    with progress.step("reading documents", len(files)) as step:
        try:
            waiting: dict[Future[Parsed | str], Entry] = {
                pool.submit(_through_cache, file, cache, parsers[file.suffix in parse.WITH_OCR], idle, step): file
                for file in others
            }
            for file in plain:
                results[file.source] = _read_plain(file)
                step.advance(1, file.source)
            for done in as_completed(waiting):
                file = waiting[done]
                results[file.source] = done.result()
                step.advance(1, file.source)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.stop()
            pool.shutdown(wait=True)
            for worker in workers:
                worker.close()
    return results


def _is_plain(file: Entry) -> bool:
    """Whether a file is text for sure; what only claims to be may need a library, and therefore a worker."""
    if file.suffix not in parse.IN_PROCESS:
        return False
    try:
        with file.path.open("rb") as opened:
            return parse.is_plain(opened.read(_HEAD_BYTES), file.suffix)
    except OSError:
        return True  # the reader says why


def _read_plain(file: Entry) -> Parsed | str:
    try:
        return parse.parse(file.path.read_bytes(), file.suffix)
    except Unreadable as reason:
        return str(reason)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _through_cache(file: Entry, cache: Path, parser: str, idle: queue.SimpleQueue[Worker], step: Step) -> Parsed | str:
    """The file from the cache, or parsed and cached. Failures are not cached: a time-out may not happen again."""
    try:
        data = file_sha256(file.path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    name = hashlib.sha256(f"{data} {file.suffix} {parser}".encode()).hexdigest()
    entry = cache / f"{name}.json"
    try:
        return Parsed.model_validate_json(entry.read_bytes())
    except (OSError, ValidationError):
        pass  # missing or damaged: parsed now and written again
    worker = idle.get()
    try:
        result = worker.parse(file.path, file.suffix, lambda label: step.advance(0, f"{file.source}: {label}"))
    except Unreadable as reason:
        return str(reason)
    finally:
        idle.put(worker)
    with _replaced(entry) as handle:
        handle.write(result.model_dump_json())
    return result


def _parser_version() -> str:
    """A digest of the parsers' source and of the versions of their libraries."""
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(str(encoding.__file__)), Path(str(mail.__file__))]
    sources = [file.read_bytes() for file in files]
    libraries = [
        version(name)
        for name in (
            "markitdown",
            "chardetng-py",
            "babel",
            "formualizer",
            "lxml",
            "pdfplumber",
            "pypdfium2",
            "rapidocr",
        )
    ]
    return hashlib.sha256(b"".join(sources) + " ".join(libraries).encode()).hexdigest()


def _document(file: Entry, result: Parsed) -> Document:
    name = Path(file.source)
    meta = {
        "format": file.suffix[1:],
        "bytes": file.size,
        "modified": file.modified,
        "language": language(result.text),
        "headings": [words for _, words in clean.headings(result.text)],
    }
    return Document(
        source=file.source,
        text=result.text,
        title=clean.title_of(result.text, result.title, name.stem),
        meta={**meta, **({"properties": result.meta} if result.meta else {})},
        access=file.access,
        trust=file.trust,
        places=result.places,
    )


def _outcome(
    file: Entry, status: Literal["read", "duplicate", "failed"], reason: str, document: Document | None = None
) -> Outcome:
    chars, title = (len(document.text), document.title) if document else (0, "")
    return Outcome(path=file.source, status=status, reason=reason, bytes=file.size, chars=chars, title=title)


def _written(folder: Path, out: Path, kept: Sequence[Document], outcomes: Sequence[Outcome]) -> Summary:
    counts = Counter(outcome.status for outcome in outcomes)
    failures = tuple(outcome for outcome in outcomes if outcome.status == "failed")
    summary = Summary(
        read=counts["read"],
        duplicate=counts["duplicate"],
        failed=counts["failed"],
        chars=sum(len(document.text) for document in kept),
        languages=Counter(filter(None, (d.meta["language"] for d in kept))),
        failures=failures,
    )
    totals = {
        **summary.model_dump(exclude={"failures", "languages"}),
        "bytes": sum(outcome.bytes for outcome in outcomes),
    }
    with _replaced(out / REPORT) as handle:
        files = [outcome.model_dump() for outcome in outcomes]
        json.dump({"totals": totals, "files": files}, handle, indent=1, ensure_ascii=False)
    if not kept:
        first = "; ".join(f"{outcome.path}: {outcome.reason}" for outcome in failures[:3])
        raise InputError(f"{folder}: none of the {len(outcomes)} files could be read", f"{first}; see {out / REPORT}")
    with _replaced(out / DOCUMENTS) as handle:
        for document in kept:
            handle.write(document.model_dump_json() + "\n")
    return summary


@contextmanager
def _replaced(path: Path) -> Iterator[IO[str]]:
    """A file to write, which replaces `path` once it is complete."""
    try:
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as handle:
            yield handle
    except OSError as error:
        hint = "free some space, or check the folder's permissions"
        raise BackendError(f"{path}: cannot be written ({error.strerror})", hint) from error
