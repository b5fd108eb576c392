"""Rails that hang, crash, and grow, for a host process of test_pool.py."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import numpy as np

from inhouse.errors import ConfigError
from inhouse.guardrails import host
from inhouse.guardrails.rail import Finding, Guard


class Rail:
    name, sides = "hostile", frozenset({"input", "passages", "output", "answer"})

    def __init__(self, folder):
        self.folder = Path(folder)

    def check(self, side, text, turn):
        for word, act in ACTS.items():
            if word in text:
                return act(self, turn)
        return None

    def sleep(self, turn):
        time.sleep(60)

    def loop(self, turn):
        while True:
            pass

    def backtrack(self, turn):
        re.match("(a+)+$", "a" * 40 + "b")  # holds the interpreter's lock

    def grow(self, turn):
        kept = [np.zeros(64 << 20, dtype=np.uint8) for _ in range(64)]  # 4 GB
        assert kept

    def crash(self, turn):
        os.kill(os.getpid(), signal.SIGSEGV)

    def wait(self, turn):
        """Waits the first time that it is called."""
        if not (self.folder / "waiting").exists():
            (self.folder / "waiting").write_text(str(os.getpid()))
            time.sleep(60)

    def report(self, turn):
        return Finding(score=1, reason=str(os.getpid()))

    def remember(self, turn):
        """Says what it finds of what it kept: JSON, and an object."""
        found = f"{turn.state.get('json')} {turn.state.get('object') is not None}"
        turn.state |= {"json": turn.state.get("json", 0) + 1, "object": object()}
        turn.cited, turn.confidence = {"a": 1}, 0.5
        return Finding(score=1, reason=found, messages=turn.request.messages, passages=(0,))


ACTS = {name: getattr(Rail, name) for name in dir(Rail) if name not in ("check", "name", "sides") and name[0] != "_"}


def build(made_from):
    if made_from.get("wrong"):
        raise ConfigError("no such rail", "add it")
    if (Path(made_from["folder"]) / "damaged").exists():
        raise ConfigError("the rails are damaged")
    time.sleep(made_from.get("builds_s", 0))
    actions = dict.fromkeys(("input", "passages", "output", "answer"), "handoff")
    return [Guard(Rail(made_from["folder"]), actions, timeout_s=made_from["timeout_s"])] * made_from.get("rails", 1)


def work(job, progress):
    host.serve(socket.socket(fileno=job["control"]), build)
    return {}
