"""A NeMo Guardrails configuration as one rail, where that package is installed. It calls the models that its own
configuration names."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inhouse.errors import ConfigError
from inhouse.guardrails.rail import Finding, Side, Turn, question_of


class Nemo:
    """The rail: the configuration's input rails check the question, its output rails the whole answer.

    Raises:
        ConfigError: the package or the folder is missing, or the configuration is invalid.
    """

    name = "nemo"
    sides: frozenset[Side] = frozenset({"input", "answer"})

    def __init__(self, folder: Path) -> None:
        try:
            from nemoguardrails import LLMRails, RailsConfig  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            hint = "`pip install nemoguardrails`, or remove nemo from guardrails.rails"
            raise ConfigError("the rail nemo needs the package nemoguardrails, which is not installed", hint) from error
        if not folder.is_dir():
            raise ConfigError(f"guardrails.nemo_path: {folder} is not a folder", "it holds config.yml and .co files")
        try:
            self._rails = LLMRails(RailsConfig.from_path(str(folder)))
        except Exception as error:
            hint = "NeMo Guardrails rejected the configuration"
            raise ConfigError(f"guardrails.nemo_path: {folder}: {error}", hint) from error

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        messages = [{"role": "user", "content": question_of(turn.request)}]
        if side == "answer":
            messages.append({"role": "assistant", "content": text})
        options = {"rails": ["input" if side == "input" else "output"], "log": {"activated_rails": True}}
        reply = asyncio.run(self._rails.generate_async(messages=messages, options=options))
        stopped = [r.name for r in reply.log.activated_rails if r.stop]
        return Finding(score=1, reason=f"NeMo rail {stopped[0]}") if stopped else None
