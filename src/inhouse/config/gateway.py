"""The keys of inhouse.toml for the server and for signing in. See `sections`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inhouse.config.section import Section


class Oidc(Section):
    issuer: str = ""
    """OpenID Connect provider for signing in to the console, such as https://login.example.com; empty means that people
    sign in with API keys."""
    client_id: str = ""
    """Client ID at the provider. Register the redirect URL https://HOST/console/oidc/callback there."""
    client_secret_env: str = ""
    """Name of the environment variable with the client secret; empty for a public client."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """OAuth scopes to request."""
    groups_claim: str = "groups"
    """Claim of the ID token with the person's access groups."""
    role_claim: str = "groups"
    """Claim of the ID token that decides the role, by the values in admins, reviewers, and auditors."""
    admins: tuple[str, ...] = ()
    """Values of role_claim that make a person an admin."""
    reviewers: tuple[str, ...] = ()
    """Values of role_claim that make a person a reviewer."""
    auditors: tuple[str, ...] = ()
    """Values of role_claim that make a person an auditor. Everyone else is a user and sees only the playground."""
    allowed_domains: tuple[str, ...] = ()
    """Domains of the verified email addresses that may sign in, such as ["example.com"]. Nobody may sign in unless this
    or allowed_groups is set and matches."""
    allowed_groups: tuple[str, ...] = ()
    """Values of groups_claim that may sign in."""
    session_minutes: float = Field(60, gt=0)
    """How long a sign-in at the provider is valid; then the provider is asked again. Minutes."""


class Gateway(Section):
    host: str = "127.0.0.1"
    """Address to listen on. The default accepts connections only from this machine; 0.0.0.0 accepts all."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    workers: int = Field(1, ge=1, le=64)
    """Number of server processes. Each loads its own engine and index into memory."""
    parallel: int = Field(0, ge=0)
    """Maximum requests processed at the same time, per worker; 0 means model.parallel."""
    waiting: int = Field(64, ge=0)
    """Maximum requests waiting in the queue, per worker. Further requests are refused (429), those of the API key with
    the most waiting requests first."""
    key_parallel: int = Field(0, ge=0)
    """Maximum requests of one API key processed at the same time, per worker; 0 means three quarters of `parallel`."""
    key_per_minute: int = Field(600, ge=0)
    """Requests per minute of an API key or a console user, over all workers; further requests are refused (429). A rate
    set for a key overrides it. 0 means no limit."""
    key_mb_per_minute: int = Field(32, ge=0)
    """Megabytes per minute in the requests of an API key or a console user, over all workers, with the messages that
    `previous_response_id` adds; further requests are refused (429). The audit log keeps conversations, so this bounds
    how fast one key can fill the disk. 0 means no limit."""
    key_handoffs_per_hour: int = Field(300, ge=0)
    """Conversations of an API key or a console user that go to the inbox in an hour, over all workers. Further answers
    that would be hand-offs are refused (429), so that nobody waits for a person who never sees the question. 0 means no
    limit."""
    deadline_s: float = Field(120, gt=0)
    """Time limit for one answer, including time in the queue. Seconds."""
    drain_s: float = Field(30, ge=0)
    """Time limit for finishing running answers when the server stops. Seconds."""
    max_tokens: int = Field(1024, ge=1)
    """Maximum answer length that a request may ask for, in tokens. The default of a request is assistant.max_tokens."""
    max_body_kb: int = Field(1024, ge=1)
    """Larger request bodies are refused (413). Kilobytes."""
    cors_origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...] = ()
    """Origins whose web pages may call the API from a browser, such as "https://app.example.com"; "*" allows all. Every
    visitor of such a page can read its API key."""
    system_from: tuple[Literal["admin", "reviewer", "auditor", "user"], ...] = ("admin", "reviewer", "auditor", "user")
    """Roles of API keys that may send system and developer messages; other keys get 403. Guardrails check these
    messages like any other text of the client."""
    embedding_vocabulary: str = ""
    """Vocabulary file, such as cl100k_base.tiktoken, to decode the arrays of tokens that some clients send to
    /v1/embeddings instead of texts. Without it, such requests are refused (400)."""
    session_hours: float = Field(8, gt=0)
    """Maximum duration of a console session. Hours."""
    session_idle_minutes: float = Field(60, gt=0)
    """A console session that is not used for this long ends. Minutes."""
    metrics_on_loopback: bool = False
    """Let programs on this machine read /metrics without an admin key."""
    mcp: bool = True
    """Offer search, questions, and hand-offs to programs at /mcp, by the Model Context Protocol."""
    rail_processes: bool = True
    """Run guardrails in processes of their own, so that one that hangs or fills its memory is ended; needs Linux. False
    runs them in the server, which then needs less memory."""
    low_memory: bool = False
    """About 30 MB less for the server; embedding a question takes up to a third longer, and vectors are the same."""
    edge_folder: str = ""
    """Folder that `inhouse export --for edge` writes; keys of the role `device` fetch releases from it, at
    /v1/edge/files/. Empty for none."""
    oidc: Oidc = Oidc()


class Edge(Section):
    """For a folder made by `inhouse export --for edge`, see docs/edge.md."""

    source: str = ""
    """Where `inhouse edge sync` fetches releases: a folder that was exported, or its URL."""
    house: str = ""
    """URL of the server that gets this device's hand-offs, feedback, and audit log; empty sends nothing."""
    key_env: str = ""
    """Environment variable with an API key of the role `device` at that server."""
