"""The keys of inhouse.toml for agents, their routing, and their tools. See `sections`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from inhouse.config.section import Section


class Above(Section):
    above: str
    """Condition over the arguments under which a call needs an approval, such as "amount_usd > 100"."""


class Rules(Section):
    """What holds for a tool wherever it comes from."""

    effect: Literal["", "read", "write"] = ""
    """Whether the tool may change something; empty takes what its source says, or else `write`."""
    idempotent: bool = False
    """Whether repeating a call with the same key changes nothing more, so that it may be repeated after a crash."""
    approval: Literal["never", "always"] | Above = "never"
    """When a person must approve a call: "never", "always", or { above = "amount_usd > 100" }."""
    check: str = ""
    """Read tool that tells whether a call happened. It is asked after a crash or a time-out, and the call is not
    repeated. It gets the same arguments, as far as it declares them, and returns an object whose member `happened` is
    true or false, and `result` what the call returned."""
    undo: str = ""
    """Tool that takes a call back, shown to people."""
    groups: tuple[str, ...] = ()
    """Groups whose members may cause a call; empty means everybody."""
    roles: tuple[Literal["admin", "reviewer", "auditor", "user"], ...] = ()
    """Roles of API keys that may cause a call; empty means every role."""
    timeout_s: float = Field(30, gt=0)
    """Time limit of a call. After it, the outcome is unknown. Seconds."""


class ToolTable(Rules):
    name: str
    """Name of the tool."""
    description: str = ""
    """What the tool does, for models and people; empty takes the docstring of a Python function."""
    python: str = ""
    """Python function: FILE.py:FUNCTION in the project's folder, MODULE:FUNCTION, or the name of an entry point in the
    group inhouse.tools. Its parameters and docstring are the tool's, unless `parameters` is set."""
    sql: str = ""
    """Query for a read tool, with named parameters, such as "SELECT start FROM slots WHERE day = :day"."""
    database: str = ""
    """SQLite file of the query, opened read-only, or the name of an environment variable with a database URL."""
    most_rows: int = Field(50, ge=1)
    """Largest number of rows that the query returns."""
    parameters: dict[str, Any] = {}
    """JSON schema of the arguments, or its properties: { day = { type = "string", format = "date" } }."""


class OpenApi(Section):
    name: str
    """Prefix of the names of its tools."""
    description: str
    """OpenAPI description (3.x, JSON or YAML): a file in the project's folder."""
    url: str = ""
    """Base URL of the service; empty takes the first server of the description."""
    key_env: str = ""
    """Environment variable with a bearer token for the service."""
    operations: tuple[str, ...] = ()
    """IDs of the operations that are tools; empty means all."""
    rules: dict[str, Rules] = {}
    """Rules by operation, such as { createBooking = { approval = "always" } }. GET and HEAD read, all others write."""


class McpServer(Section):
    name: str
    """Prefix of the names of its tools."""
    command: tuple[str, ...] = ()
    """Program that runs the server and speaks over its standard input and output."""
    env: tuple[str, ...] = ()
    """Names of environment variables that the program gets, besides HOME, LOGNAME, PATH, SHELL, TERM, and USER."""
    url: str = ""
    """URL of a server that speaks over HTTP."""
    key_env: str = ""
    """Environment variable with a bearer token for the server."""
    client_id: str = ""
    """OAuth client ID; empty for servers without OAuth."""
    client_secret_env: str = ""
    """Environment variable with the OAuth client secret."""
    issuer: str = ""
    """Issuer of the OAuth client, exactly as its metadata names it. The client ID and secret are sent to no other."""
    scopes: tuple[str, ...] = ()
    """OAuth scopes to request."""
    tools: tuple[str, ...] = ()
    """Tools that agents may call; empty means all that were approved with `inhouse tools approve`."""
    rules: dict[str, Rules] = {}
    """Rules by tool, such as { refund = { approval = "always" } }. What the server says of its tools can only make the
    rules stricter."""


class Agent(Section):
    name: str
    """Name of the specialist."""
    description: str = ""
    """What it is for, in a sentence."""
    examples: tuple[str, ...] = ()
    """Messages that belong to it, for the router, in addition to the examples of its procedures."""
    instructions: str = ""
    """System prompt when it answers from documents; empty takes assistant.instructions."""
    procedures: tuple[str, ...] = ()
    """Files of its procedures, or patterns of files, in the project's folder."""
    tools: tuple[str, ...] = ()
    """Tools that it may call, or patterns of names, such as "crm_*"; empty means those of its procedures."""
    tuned: bool = False
    """Train an adapter of the base model that understands messages for this agent, from the conversations with calls of
    its tools under curation.conversations and from the examples of its procedures; see "Learning commands" in
    docs/agents.md."""
    documents: tuple[str, ...] = ()
    """Patterns of the documents that it answers from, such as "services/**"; empty means all."""
    groups: tuple[str, ...] = ()
    """Groups whose members may talk to it; empty means everybody."""


class Routing(Section):
    fallback: str = ""
    """Who answers messages that belong to no specialist: the name of an agent, "documents", or "person"; empty means
    the documents."""
    max_false_rejects: float = Field(0.05, gt=0, lt=1)
    """Share of messages that belong to a specialist, and that the router may send to the fallback."""
    today: str = ""
    """Day that "tomorrow" is relative to, for tests and demonstrations, such as "2027-03-09"; empty for the current
    day."""
    conversations: bool = True
    """Learn from the field `agent` of past conversations too, where they have it."""
