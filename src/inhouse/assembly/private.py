"""Models elsewhere behind the policy of their [[private]] tables."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.assembly.wrappers import BASE, CUSTOM
from inhouse.chat import ChatModel, Egress
from inhouse.config.private import Private as Table
from inhouse.config.sections import Documents, Project
from inhouse.errors import BackendError, ConfigError
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import DEFAULT_KINDS, ORDER, Pii
from inhouse.models.fallback import Breaker, InTime
from inhouse.privacy.tagger import read_tagger
from inhouse.routing.private import STRICTEST, Find, Policy, Private, Rules
from inhouse.routing.surrogates import Conversation, Surrogates
from inhouse.store.audit import Audit
from inhouse.types import Message, Span

KEY_FILE = "surrogates.key"  # in the store: the key of the HMAC that surrogates are drawn with
SECRET_BYTES = 32
HOSTED = "hosted"  # the service that trained the custom model and kept its weights, in place of an [[upstream]]
EXAMPLE = "I am Mary Sample, born on 3 May 1970, of 12 High Street, 555 012 3456, mary@example.com."


class Outbox:
    """Records what leaves in the audit log, which is opened by the first record."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._audit: Audit | None = None
        self._opening = Lock()

    async def __call__(self, egress: Egress) -> None:
        """
        Raises:
            BackendError: it could not be written.
        """
        audit = self._audit
        if audit is None:
            audit = await asyncio.to_thread(self._opened)
        await audit.left(egress)

    def _opened(self) -> Audit:
        with self._opening:
            if self._audit is None:
                self._audit = Audit(self._workspace.open_ledger())
            return self._audit


@dataclass(frozen=True)
class Border:
    """What stands between this machine and models elsewhere.

    Attributes:
        tables: the policies.
        find: finds personal data.
        secret: of the surrogates.
        outbox: records what leaves.
        leaving: the groups whose documents may leave.
        fallback: whether a model here answers where the service of `hosted` fails; not where it is measured.
    """

    tables: Sequence[Table]
    find: Find
    secret: bytes
    outbox: Outbox
    leaving: frozenset[str]
    fallback: bool = True

    def has(self, upstream: str) -> bool:
        return any(t.upstream == upstream for t in self.tables)

    def around(
        self, upstream: str, remote: ChatModel, local: ChatModel | None, policy: Policy | None = None
    ) -> ChatModel:
        """The model behind its policy, or behind `policy` for all users; the model itself where it has none."""
        table = next((t for t in self.tables if t.upstream == upstream), None)
        if table is None:
            return remote
        groups = table.groups if policy is None else {}
        rules = Rules(policy or table.default, groups, frozenset(table.never))
        remote = InTime(remote, table.timeout_s)
        if self.fallback:
            remote = Breaker(remote)  # a server that hangs is not waited for by every request
        return Private(upstream, remote, local if table.local else None, self.find, rules, self.secret, self.outbox)

    def hosted(self, remote: ChatModel, base: ChatModel | None) -> ChatModel:
        """The custom model at the service that kept its weights, behind the policy of its table. Without a table all
        leaves as it is, to which the project has consented, and is recorded like the rest."""
        if self.has(HOSTED):
            return self.around(HOSTED, remote, base if self.fallback else None)
        return self.recorded(HOSTED, remote)

    def recorded(self, name: str, remote: ChatModel) -> ChatModel:
        """The model without a policy: it gets requests as they are, and each is recorded."""
        return Private(name, remote, None, _nothing, Rules("clear"), b"", self.outbox)

    def measured(self, upstream: str) -> Policy:
        """The policy that a model elsewhere is measured with: the strictest with which anything leaves."""
        table = next(t for t in self.tables if t.upstream == upstream)
        return min(leaving_policies(table), key=STRICTEST.index)

    def local(self, upstream: str) -> str:
        """The name of the model that answers in place of an upstream; "" for none."""
        return next((t.local for t in self.tables if t.upstream == upstream), "")


def border_of(parts: Parts, fallback: bool = True) -> Border:
    """The border of a project, by its project file as it is now, not as a release has it.

    Raises:
        ConfigError: a table names no upstream, a kind, or a local model that there is not.
        InputError: the model that finds names is missing.
        BackendError: the secret cannot be written.
    """
    workspace = parts.workspace
    tables, leaving = workspace.project.private, leaving_groups(workspace.project.documents)
    check_private(workspace.project)
    if not tables:
        return Border((), _nothing, b"", Outbox(workspace), leaving, fallback)
    pii = Pii(parts.finder(), read_tagger(TAGGER), (*DEFAULT_KINDS, "ORDER_NUMBER"))
    secret = _secret(workspace.project.path(workspace.project.store.path) / KEY_FILE)
    _warm(pii.spans, secret)
    return Border(tables, pii.spans, secret, Outbox(workspace), leaving, fallback)


def _warm(find: Find, secret: bytes) -> None:
    """Reads the lists of names and opens the recognizers: seconds that the first request would wait for."""
    (found,) = find([Message(role="user", content=EXAMPLE)])
    surrogates = Surrogates(Conversation(secret, ""), [EXAMPLE])
    surrogates.learn(EXAMPLE, found)
    surrogates(EXAMPLE, found)


def check_private(project: Project) -> None:
    """
    Raises:
        ConfigError: a [[private]] table is wrong; says which and why.
    """
    upstreams, seen = {t.name for t in project.upstream}, set[str]()
    hosted = project.training.backend == HOSTED and project.training.hosted.endpoint
    if hosted and HOSTED in upstreams:
        what = f"[[upstream]] {HOSTED}: this is the name of the service of [training.hosted]"
        raise ConfigError(what, "give the [[upstream]] another name")
    if hosted:
        upstreams.add(HOSTED)
    for table in project.private:
        at = f"[[private]] {table.upstream}"
        if hosted and table.upstream == HOSTED and table.default == "local-only":
            what = f"{at}: the verdict asks the service, so its default policy cannot be local-only"
            raise ConfigError(what, 'set default = "surrogates", and local-only for some groups')
        if table.upstream not in upstreams:
            raise ConfigError(f"{at}: there is no [[upstream]] of this name", "add the table, or correct the name")
        if table.upstream in seen:
            raise ConfigError(f"{at}: has two tables", "keep one of them")
        if hosted and table.local == CUSTOM:
            what = f"{at}: local = custom answers at the service of [training.hosted], not on this machine"
            raise ConfigError(what, 'set local = "base", or "" for none')
        if unknown := [kind for kind in table.never if kind not in ORDER]:
            raise ConfigError(f"{at}: there is no kind {unknown[0]!r} of personal data", f"kinds: {', '.join(ORDER)}")
        if table.local not in ("", CUSTOM, BASE):
            raise ConfigError(f"{at}: local = {table.local!r} is not a model of this machine", "set custom or base")
        seen.add(table.upstream)


def leaving_policies(table: Table) -> set[Policy]:
    """The policies of a table with which anything leaves."""
    return {table.default, *table.groups.values()} - {"local-only"}


def _nothing(messages: Sequence[Message]) -> list[list[Span]]:
    """Finds no personal data."""
    return [[] for _ in messages]


def check_oracle(project: Project) -> None:
    """
    Raises:
        ConfigError: the arm `oracle` would show passages that may not leave to the service that keeps the model.
    """
    if "oracle" in project.evaluation.arms and any(not rule.remote for rule in project.documents.access):
        what = "evaluation.arms: oracle would send passages to the service that no rule lets leave"
        raise ConfigError(what, "remove oracle, or set remote = true in each [[documents.access]]")


def leaving_groups(documents: Documents) -> frozenset[str]:
    """The groups whose documents may leave: every rule that names them says `remote = true`. Documents without a rule
    are for everyone, and may leave."""
    allowed = {g for rule in documents.access if rule.remote for g in rule.groups}
    return frozenset(allowed - {g for rule in documents.access if not rule.remote for g in rule.groups})


def _secret(file: Path) -> bytes:
    """The secret of a store, made when it is first needed; readable by its owner alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        if not file.exists():
            partial.touch(0o600)
            partial.write_bytes(secrets.token_bytes(SECRET_BYTES))
            with suppress(FileExistsError):
                os.link(partial, file)  # the first of several processes wins
            partial.unlink()
        secret = file.read_bytes()
    except OSError as error:
        raise BackendError(f"{file}: cannot be written or read ({error.strerror})", "check its permissions") from error
    if len(secret) != SECRET_BYTES:
        raise BackendError(f"{file}: is damaged", "delete it; surrogates are then drawn anew")
    return secret
