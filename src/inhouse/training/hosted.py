"""Training through a fine-tuning API: upload, submit once, look, download the weights.

A request whose answer is lost may still have made a job. So no request that makes one is repeated before the list of
jobs was searched for the idempotency key, which every job carries.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from inhouse.config.sections import Training
from inhouse.config.training_backend import BackendName
from inhouse.errors import BackendError, ConfigError, RefusedError
from inhouse.files import replacing, write_text
from inhouse.training.api import TIMEOUT_S, TRIES, Api, LostError, check_url, field_of, key_of, pause_s
from inhouse.training.job import ENDPOINT, TrainingJob
from inhouse.training.providers import PROVIDERS, Provider
from inhouse.training.rows import Row
from inhouse.training.trainer import HONORED, Estimate, Status, refuse_keys, token_count
from inhouse.types import Json, without_tools

SETTLE_S = 15.0  # after an interrupted submission, until a job that it made is certainly listed
MOST_PAGES = 100
ZSTD = b"\x28\xb5\x2f\xfd"  # how such a file begins
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def check_hosted(settings: Training, start: Path | None = None) -> None:
    """Raises:
    ConfigError: the service cannot honor a setting, or a setting of its own or its key is missing.
    """
    place, provider = settings.hosted, PROVIDERS[settings.hosted.provider]
    refuse_keys(settings, start, f"hosted ({place.provider})", {**HONORED["hosted"], **provider.takes})
    for key, value in (("url", place.url or provider.url), ("model", place.model)):
        if not value:
            raise ConfigError(f'training.backend = "hosted" needs training.hosted.{key}', "set it")
    if "{account}" in provider.jobs and not place.account:
        raise ConfigError("fireworks needs training.hosted.account", "set it to the name of your account")
    if provider.weights == "none" and not place.endpoint:
        raise ConfigError(
            f"training.hosted.provider = {place.provider!r} gives no weights: the service itself would have to "
            "answer, and every question would be sent there with its passages",
            "set training.hosted.endpoint = true if they may leave; or choose a provider that gives weights "
            "(together, fireworks, compatible)",
        )
    if provider.weights != "none" and place.endpoint:
        what = f"training.hosted.endpoint = true: {place.provider} gives weights, which are served here"
        raise ConfigError(what, "remove it")
    check_url("training.hosted.url", place.url or provider.url)
    key_of(place.api_key_env)


class Hosted:
    """A fine-tuning API, described by an entry of PROVIDERS."""

    name: BackendName = "hosted"
    lasting = True

    def __init__(self, job: TrainingJob, work: Path) -> None:
        self._settings, self._place, self._examples = job.settings, job.settings.hosted, len(job.rows)
        self._base = job.name
        self._provider: Provider = PROVIDERS[self._place.provider]
        self._url = (self._place.url or self._provider.url).rstrip("/")
        self._api = Api(self._url, self._place.api_key_env)

    # --- before

    def estimate(self, job: TrainingJob) -> Estimate:
        place = self._place
        check_hosted(job.settings, job.start)
        tokens = token_count(job)
        usd = round(tokens / 1e6 * place.usd_per_million_tokens, 4) if place.usd_per_million_tokens else None
        if place.max_usd and (usd is None or usd > place.max_usd):
            what = "cannot be estimated" if usd is None else f"is estimated to cost ${usd}"
            hint = "raise it, train less, or set training.hosted.usd_per_million_tokens"
            raise ConfigError(f"the job {what}, and training.hosted.max_usd is {place.max_usd}", hint)
        return Estimate(tokens=tokens, usd=usd)

    # --- submitting

    def find(self, key: str, interrupted: bool) -> str | None:
        if interrupted:
            time.sleep(SETTLE_S)
        found = [job for job in self._listed() if self._has_key(job, key)]
        return self._id(found[0]) if found else None

    def submit(self, job: TrainingJob, key: str, work: Path) -> str:
        file, renewed = self._file(job, key, fresh=False), False
        for attempt in range(TRIES):
            try:
                path = self._fill(self._provider.jobs, key=key)
                made = self._api.once("POST", path, json=self._body(job, key, file))
                return self._id(made)
            except RefusedError as error:
                if renewed or not _says_file_is_gone(str(error)):
                    raise
                file, renewed = self._file(job, key, fresh=True), True
            except BackendError as error:
                time.sleep(pause_s(attempt))
                if found := self.find(key, interrupted=isinstance(error, LostError)):
                    return found
                if attempt == TRIES - 1:
                    raise
        raise BackendError(f"job {key} could not be submitted", "run the same command again")

    def _file(self, job: TrainingJob, key: str, fresh: bool) -> str:
        """The id of the uploaded rows; those of an earlier try are used again unless they are gone."""
        name = f"inhouse-{key}"
        rows = "".join(json.dumps(_row(row), ensure_ascii=False) + "\n" for row in job.rows).encode()
        if self._provider.upload == "dataset":
            return self._data_set(name + ("-again" if fresh else ""), rows, len(job.rows))
        if not fresh:
            for file in self._api.repeated("GET", self._provider.files).get("data", []):
                usable = file.get("status") not in ("error", "deleted", "expired")
                if file.get("filename") == f"{name}.jsonl" and usable:
                    return str(file["id"])
        data, path = {"purpose": "fine-tune"}, self._provider.files
        if self._provider.upload_to:
            data, path = data | {"file_name": f"{name}.jsonl"}, self._provider.upload_to
        form: dict[str, Any] = {"files": {"file": (f"{name}.jsonl", rows, "application/jsonl")}, "data": data}
        return str(self._api.repeated("POST", path, **form)["id"])

    def _data_set(self, name: str, rows: bytes, count: int) -> str:
        files = self._fill(self._provider.files)
        full = f"accounts/{self._place.account}/datasets/{name}"
        try:
            if self._api.repeated("GET", f"{files}/{name}").get("state") == "READY":
                return full
        except RefusedError:
            made = {"datasetId": name, "dataset": {"userUploaded": {}, "exampleCount": str(count)}}
            self._api.repeated("POST", files, json=made)
        form = {"file": (f"{name}.jsonl", rows, "application/jsonl")}
        self._api.repeated("POST", f"{files}/{name}:upload", files=form)
        return full

    def _body(self, job: TrainingJob, key: str, file: str) -> dict[str, Json]:
        """The request, from the provider's table; settings that have their default are left to the provider."""
        values: dict[str, Json] = {
            "file": file, "model": self._place.model, "key": key, "seed": job.seed, "output": _model_name(key),
            "epochs": max(1, round(job.settings.epochs)), "batch_size": job.settings.batch_size,
            "rank": job.settings.rank, "alpha": job.settings.alpha, "learning_rate": job.settings.learning_rate,
        }  # fmt: skip
        if not job.settings.learning_rate:
            del values["learning_rate"]
        body: dict[str, Json] = {}
        for path, value in self._provider.fixed.items():
            _put(body, path, value)
        for name, path in self._provider.body.items():
            if name in values:
                _put(body, path, values[name])
        return body

    def _listed(self) -> Iterator[dict[str, Any]]:
        """All jobs of the account, the newest first."""
        path, after = self._provider.jobs.partition("?")[0], ""
        for _ in range(MOST_PAGES):
            query = f"?{self._provider.page}={quote(after)}" if after else ""
            page = self._api.repeated("GET", self._fill(path) + query)
            entries = page.get(self._provider.listed) or []
            yield from entries
            more = page.get("nextPageToken") or (entries and page.get("has_more") and self._id(entries[-1]))
            if not more or not self._provider.page:
                return
            after = str(more)
        raise BackendError("the list of jobs does not end", "look for the job at the provider")

    def _has_key(self, job: dict[str, Any], key: str) -> bool:
        value = str(field_of(job, self._provider.key_field) or "")
        return key == value or (self._provider.contains and key in value)

    def _id(self, job: dict[str, Any]) -> str:
        return str(job[self._provider.id_field]).rpartition("/")[2]

    # --- afterwards

    def poll(self, job_id: str, work: Path) -> Status:
        job = self._api.repeated("GET", self._fill(self._provider.job, job_id))
        word = str(job.get("status") if isinstance(job.get("status"), str) else job.get("state"))
        state = self._provider.states.get(word)
        if state is None:
            hint = "this version does not know it; look at the job there"
            raise RefusedError(f"{self._url} says that job {job_id} is {word!r}", hint)
        note = str(field_of(job, self._provider.error) or word) if state == "failed" else self._event(job_id) or word
        return Status.model_validate({"state": state, "note": note})

    def _event(self, job_id: str) -> str:
        """The newest message about a job, or why there is none: it is only shown, so its failure is no failure."""
        if not self._provider.events:
            return ""
        try:
            events = self._api.once("GET", self._fill(self._provider.events, job_id)).get("data") or []
        except BackendError as error:
            return f"no events: {error}"[:100]
        newest: dict[str, Any] = max(events, key=lambda e: str(e.get("created_at", "")), default={})
        return str(newest.get("message") or "")[:100]

    def cancel(self, job_id: str) -> None:
        """Cancels the job."""
        self._api.repeated("POST", self._fill(self._provider.cancel, job_id))

    def fetch(self, job_id: str, work: Path) -> dict[str, Json]:
        job = self._api.repeated("GET", self._fill(self._provider.job, job_id))
        if self._provider.weights == "none":
            return self._facts(job) | {"endpoint": self._endpoint(job, job_id, work)}
        got = work / "out" / "download"
        shutil.rmtree(got, ignore_errors=True)
        got.mkdir(parents=True)
        for name, link in self._weights(job, job_id):
            self._download(link, got / name)
        for archive in [f for f in got.iterdir() if f.name not in ADAPTER_FILES]:
            _unpack(archive, got)
        missing = [name for name in ADAPTER_FILES if not (got / name).is_file()]
        if missing:
            hint = "download the weights by hand, and use backend = command or local"
            raise BackendError(f"the weights of job {job_id} lack {', '.join(missing)}", hint)
        adapter = work / "adapter"
        shutil.rmtree(adapter, ignore_errors=True)
        adapter.mkdir()
        for name in ADAPTER_FILES:
            shutil.move(got / name, adapter / name)
        _name_base(adapter / ADAPTER_FILES[0], self._base)
        return self._facts(job)

    def _endpoint(self, job: dict[str, Any], job_id: str, work: Path) -> dict[str, Json]:
        """Where the trained model answers, also written to endpoint.json; the key itself is not in it."""
        model = str(job.get(self._provider.served) or "")
        if not model:
            hint = "look at the job there; run the same command again once it names its model"
            raise BackendError(f"{self._url}: job {job_id} has ended without the name of its model", hint)
        place: dict[str, Json] = {"url": self._url, "model": model, "api_key_env": self._place.api_key_env}
        write_text(work / ENDPOINT, json.dumps(place, indent=1))
        return place

    def _weights(self, job: dict[str, Any], job_id: str) -> Iterator[tuple[str, str]]:
        """Names and addresses of the files to download."""
        provider, key = self._provider, str(field_of(job, self._provider.key_field) or "")
        if provider.weights == "archive":
            yield "weights.tar", self._url + self._fill(provider.download, job_id)
        elif provider.weights == "files":
            for file in job.get("result_files") or []:
                about = self._api.repeated("GET", f"{provider.files}/{quote(str(file))}")
                name = Path(str(about.get("filename") or file)).name
                if name in ADAPTER_FILES or ".tar" in name:
                    yield name, self._url + self._fill(provider.download, str(file))
        elif provider.weights == "links":
            answer = self._api.repeated("GET", self._fill(provider.download, job_id, _model_name(key)))
            for name, link in (answer.get("filenameToSignedUrls") or {}).items():
                if Path(name).name in ADAPTER_FILES:
                    yield Path(name).name, str(link)

    def _facts(self, job: dict[str, Any]) -> dict[str, Json]:
        tokens = int(job.get(self._provider.tokens) or 0) if self._provider.tokens else 0
        price = self._place.usd_per_million_tokens
        begun, end = job.get("created_at"), job.get("finished_at")
        seconds = end - begun if isinstance(begun, int) and isinstance(end, int) else None
        return {
            "method": self._settings.method, "examples": self._examples, "steps": int(job.get("steps") or 0),
            "tokens": tokens,
            "processes": 0, "precision": "unknown", "stopped": "epochs", "hardly_trained": "", "seconds": seconds,
            "usd": round(tokens / 1e6 * price, 4) if tokens and price else None, "too_long": 0,
        }  # fmt: skip

    def close(self) -> None:
        self._api.close()

    # --- addresses

    def _fill(self, path: str, job_id: str = "", key: str = "") -> str:
        values = {"{id}": job_id, "{key}": key, "{account}": self._place.account}
        for name, value in values.items():
            path = path.replace(name, quote(value, safe=""))
        return path

    def _download(self, link: str, file: Path) -> None:
        """Streams a file to disk, whole or not at all. Only the API's own host sees the API key."""
        own = urlsplit(link).netloc == urlsplit(self._url).netloc
        for attempt in range(TRIES):
            try:
                with (
                    httpx.stream("GET", link, headers=self._api.headers if own else {}, timeout=TIMEOUT_S,
                                 follow_redirects=True) as answer,
                    replacing(file) as partial,
                ):  # fmt: skip
                    answer.raise_for_status()
                    with partial.open("wb") as out:
                        for block in answer.iter_bytes(2**20):
                            out.write(block)
                return
            except httpx.HTTPError as error:
                if attempt == TRIES - 1:
                    where = f"{urlsplit(link).netloc}{urlsplit(link).path}"
                    raise BackendError(f"{where}: the weights cannot be downloaded ({error!s:.100})") from error
                time.sleep(pause_s(attempt))


def _row(row: Row) -> dict[str, Json]:
    """A row in the shape of OpenAI's fine-tuning files."""
    turns = [m.to_openai() for m in without_tools(row.messages)]
    return {"messages": [*turns, {"role": "assistant", "content": row.target}]}


def _model_name(key: str) -> str:
    return f"inhouse-{key}" if key else ""


def _put(body: dict[str, Json], path: str, value: Json) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def _says_file_is_gone(message: str) -> bool:
    lower = message.lower()
    return ("file" in lower or "dataset" in lower) and any(
        word in lower for word in ("expired", "not found", "no such", "deleted", "does not exist")
    )


def _unpack(archive: Path, into: Path) -> None:
    """Takes the adapter's two files out of a tar archive, whatever folders it has; nothing else is written.

    Raises:
        BackendError: it is no archive that this Python reads.
    """
    with ExitStack() as stack:
        try:
            file: Any = stack.enter_context(archive.open("rb"))
            if file.read(len(ZSTD)) == ZSTD:  # Python 3.11 does not read it
                child = stack.enter_context(subprocess.Popen(["zstd", "-dcq", str(archive)], stdout=subprocess.PIPE))
                tar = stack.enter_context(tarfile.open(fileobj=child.stdout, mode="r|"))
            else:
                tar = stack.enter_context(tarfile.open(archive, "r:*"))
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and name in ADAPTER_FILES and (content := tar.extractfile(member)):
                    with replacing(into / name) as partial, partial.open("wb") as out:
                        shutil.copyfileobj(content, out)
        except FileNotFoundError as error:
            hint = "install the program zstd, then run the same command again"
            raise BackendError("the weights are compressed with zstd, which is not installed", hint) from error
        except tarfile.TarError as error:
            hint = "run the same command again; if that does not help, look at the job at the provider"
            raise BackendError(f"the weights are not a tar archive ({error!s:.80})", hint) from error


def _name_base(config: Path, name: str) -> None:
    """Names the base model in the adapter's configuration, as a local training does."""
    data = json.loads(config.read_text(encoding="utf-8"))
    write_text(config, json.dumps(data | {"base_model_name_or_path": name}, indent=1))
