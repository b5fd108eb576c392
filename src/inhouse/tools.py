"""Tools that agents call, calls of them, and the ledger that keeps a call from running twice: values and Protocols.

A call is proposed, approved if its tool asks for that, started, and ends as done, failed, or unknown. Its key is the
digest of the conversation, the turn, the position in the turn, the tool, and the arguments, so that the same call of
the same turn is the same call after a crash, and an approval of a key is an approval of these arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from inhouse.errors import BackendError
from inhouse.types import Digest, Json, Record, digest_of

Effect = Literal["read", "write"]
Status = Literal["proposed", "approved", "started", "done", "failed", "unknown", "declined", "expired"]
ENDED: tuple[Status, ...] = ("done", "failed", "declined", "expired")
"""Nothing more happens with a call in one of these; "unknown" waits for a person."""
NEVER, ALWAYS = "never", "always"
CONTINUED = "continued"


class Tool(Record):
    """What a tool is, whoever runs it.

    Attributes:
        name: unique in the project; those of an MCP server begin with the server's name.
        description: for the model and for people.
        parameters: JSON schema of an object.
        effect: whether it may change something.
        idempotent: whether repeating it with the same key changes nothing more.
        approval: "never", "always", or a condition over the arguments, such as "amount_usd > 100".
        check: name of the read tool that tells whether a call happened; it gets the arguments that it declares.
        undo: name of the tool that takes a call back; for people, never called by itself.
        groups: the caller must be in one of them; empty for everybody.
        roles: the caller must have one of them; empty for every role.
        timeout_s: after which the outcome is unknown.
        origin: where it comes from, such as "python", "sql", "http", "mcp:NAME".
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Json] = {"type": "object", "properties": {}}
    effect: Effect = "write"
    idempotent: bool = False
    approval: str = NEVER
    check: str = ""
    undo: str = ""
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    timeout_s: float = 30.0
    origin: str = ""

    @property
    def repeatable(self) -> bool:
        """Whether a call without a known result may be made again."""
        return self.effect == "read" or self.idempotent


class Caller(Record):
    """For whom a tool runs."""

    user: str = ""
    key: str = ""  # ID of the API key
    groups: frozenset[str] = frozenset()
    role: str = "user"


class Proposal(Record):
    """A call that an agent wants to make: the `ordinal`-th of a turn of a conversation."""

    conversation: str
    turn: int
    ordinal: int
    tool: str
    arguments: dict[str, Json]

    @property
    def key(self) -> Digest:
        return digest_of([self.conversation, self.turn, self.ordinal, self.tool, self.arguments])


class Call(Record):
    """A row of the ledger. Times are milliseconds since 1970.

    Attributes:
        proposal: what is to be called.
        tool_digest: of the `Tool` as it was when proposed.
        caller: for whom.
        status: see the module.
        why: why it waits for a person, failed, is unknown, or was declined.
        by: who approved or declined it.
        until_ms: when its approval ends.
        lease_ms: until when the process that started it may still be running it.
        result: what the tool returned, as the model may read it.
        raw: digest of what the tool returned before it was screened; empty if it returned nothing.
        at_ms: when it was proposed.
        ended_ms: when it ended; 0 before.
    """

    proposal: Proposal
    tool_digest: Digest = ""
    caller: Caller = Caller()
    status: Status = "proposed"
    why: str = ""
    by: str = ""
    until_ms: int = 0
    lease_ms: int = 0
    result: Json = None
    raw: Digest = ""
    at_ms: int = 0
    ended_ms: int = 0

    @property
    def key(self) -> Digest:
        return self.proposal.key


class Calls(Protocol):
    """The ledger of calls. Every change is on disk, and an entry of the audit log, before the method returns.

    The methods block, and raise BackendError if the database fails; those that change a call raise GateError if its row
    was changed behind the audit log.
    """

    def propose(self, call: Call) -> Call:
        """Adds a call; returns the one that is there already if the same position of the same turn has one, whatever
        its tool and arguments, since a turn that is answered again must not act again."""
        ...

    def approve(self, key: Digest, by: str, until_ms: int) -> Call:
        """From "proposed" to "approved".

        Raises:
            InputError: there is no such call, or it is not waiting.
        """
        ...

    def decline(self, key: Digest, by: str, why: str) -> Call:
        """From "proposed" or "approved" to "declined".

        Raises:
            InputError: as for `approve`.
        """
        ...

    def start(self, key: Digest, lease_ms: int, needs_approval: bool) -> bool:
        """From "approved", or from "proposed" if it needs no approval, to "started"; False if someone else did, or if
        the approval has ended, which is "expired" then. For a call that is "started" after its lease, or "unknown":
        takes it over with a new lease."""
        ...

    def end(self, key: Digest, status: Status, result: Json = None, why: str = "", raw: Digest = "") -> Call:
        """From "started" to "done", "failed", or "unknown"; from "unknown" to "done" or "failed" by a person.

        Raises:
            InputError: there is no such call, or it has ended otherwise already.
        """
        ...

    def get(self, key: Digest) -> Call | None: ...

    def of(self, conversation: str) -> Sequence[Call]:
        """The calls of a conversation in order."""
        ...

    def waiting(self) -> Sequence[Call]:
        """Calls that need a person: proposed ones with a reason (`why`), and unknown ones. The oldest first."""
        ...

    def interrupted(self) -> Sequence[Call]:
        """Calls that are "started", and whose lease is over, and those that are "approved": whoever was to run them may
        be gone."""
        ...


class Turn(Record):
    """A turn of a conversation with an agent, as the ledger keeps it.

    `before` is the digest of the messages before it (see `prefix`), `asked` of the last message, `CONTINUED` if nothing
    was asked: then the agent went on after an approval. `plan` is what the
    models decided, written before anything acts on it, so that a turn that is answered again after a crash decides the
    same. `state` is what is remembered after the turn, and `reply` what was said; both are None until it is complete.
    """

    conversation: str
    number: int
    owner: str  # ID of the API key with the user, whose conversation it is
    before: Digest
    asked: Digest
    exchange: str = ""  # ID of the exchange that answers it; redacting one erases its turn and those after it
    after: Digest = ""  # the prefix of the next turn
    plan: Json = None
    state: dict[str, Json] | None = None
    reply: Json = None
    at_ms: int = 0


class Turns(Protocol):
    """The memory of conversations with agents."""

    def begin(self, turn: Turn, since_ms: int | None = None) -> Turn:
        """Adds a turn; returns the one with this conversation and number if there is one.

        With `since_ms`, it returns the latest turn of the owner, begun since then in any conversation, in which the
        same was asked after the same messages, if there is one; a first message only while it is not complete.

        Raises:
            InputError: the conversation belongs to another owner.
        """
        ...

    def plan(self, conversation: str, number: int, plan: dict[str, Json]) -> dict[str, Json]:
        """Writes what was decided, by agent, for agents of which nothing is written yet, unless the turn is complete;
        returns what is written now."""
        ...

    def complete(self, turn: Turn) -> None:
        """Writes state, reply, and `after`, unless the turn is complete.

        Raises:
            InputError: it was not begun, or was erased since.
        """
        ...

    def last(self, conversation: str) -> Turn | None:
        """The last complete turn of a conversation."""
        ...

    def of(self, conversation: str) -> Sequence[Turn]:
        """The turns of a conversation in order."""
        ...

    def after(self, owner: str, prefix: Digest) -> Turn | None:
        """The latest complete turn of an owner whose conversation continues with this prefix."""
        ...


class Runs(Protocol):
    """A tool that can be run."""

    tool: Tool

    async def run(self, arguments: Mapping[str, Json], key: Digest, caller: Caller) -> Json:
        """The result, a JSON value. `key` identifies the call for the system behind the tool.

        Raises:
            ToolError: it failed, and nothing was changed.
            BackendError: whether something was changed is not known.
        """
        ...


class ToolError(BackendError):
    """The tool says that the call failed and nothing was changed, such as a time that is taken."""


def prefix(messages: Sequence[tuple[str, str]], before: Digest = "") -> Digest:
    """The digest of the users' and assistants' messages, as (role, content), without white space at their ends; of
    those that follow others if `before` is the digest of these."""
    for role, content in messages:
        if role in ("user", "assistant"):
            before = digest_of([before, role, content.strip()])
    return before
