"""The tools of an after-hours desk, over after_hours.sqlite beside this file, which after_hours.sql makes if missing.

What time it is stands in the table `clock`, so that tests can be repeated. A write runs in one transaction with its key
in the table `writes`; a repeated key changes nothing and returns what the first call returned. Calls and e-mails are
rows of the table `outbox`, which a telephone system and a mail server would read.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from inhouse.tools import ToolError

HERE = Path(__file__).parent
DATABASE = HERE / "after_hours.sqlite"
SEVERITIES = ("emergency", "urgent", "routine")
CATEGORIES = ("emergency", "maintenance", "billing", "lease", "other")


def look_up_tenant(phone: str) -> dict[str, Any]:
    """The tenant with a phone number: an object with found, name, building, unit, and email.

    Args:
        phone: of the tenant.
    """
    with closing(_open()) as db:
        row = db.execute("SELECT * FROM tenants WHERE phone = ?", (_phone(phone),)).fetchone()
        if row is None:
            return {"found": False}
        return {"found": True, "name": row["name"], "building": row["building"], "unit": row["unit"],
                "email": row["email"]}  # fmt: skip


def open_ticket(phone: str, trade: str, description: str, severity: str, *, key: str) -> dict[str, Any]:
    """Opens a ticket for the apartment of a tenant.

    Args:
        phone: of the tenant.
        trade: plumbing, heating, electrical, locks, or elevator.
        description: what is wrong.
        severity: emergency, urgent, or routine.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        if not db.execute("SELECT 1 FROM tenants WHERE phone = ?", (_phone(phone),)).fetchone():
            raise ToolError("there is no tenant with this phone number")
        _on_call(db, trade, _now(db)[:10])
        row = (_phone(phone), trade, description, _one_of(severity, SEVERITIES), _now(db))
        put = "INSERT INTO tickets (phone, trade, description, severity, opened) VALUES (?, ?, ?, ?, ?)"
        return _ticket(db, db.execute(put, row).lastrowid or 0)

    return _once(key, "open_ticket", write)


def check_ticket(phone: str, trade: str, description: str) -> dict[str, Any]:
    """Whether a ticket was opened: an object with `happened` and the ticket as `result`.

    Args:
        phone: of the tenant.
        trade: of the ticket.
        description: of the ticket.
    """
    find = "SELECT id FROM tickets WHERE phone = ? AND trade = ? AND description = ? ORDER BY id DESC"
    with closing(_open()) as db:
        row = db.execute(find, (_phone(phone), trade, description)).fetchone()
        return {"happened": row is not None, "result": _ticket(db, row["id"]) if row else None}


def find_tickets(phone: str = "", code: str = "") -> dict[str, Any]:
    """Open tickets of a tenant, or the one with a code.

    Args:
        phone: of the tenant; empty for anybody's, with a code.
        code: such as "AH-301"; empty for all of the tenant.

    Returns:
        An object with `count`, `words`, and `tickets`, each with code, label (in words), trade, severity, status,
        where, name, and phone.
    """
    if not phone and not code:
        raise ToolError("a phone number or the code of a ticket is needed")
    with closing(_open()) as db:
        rows = db.execute("SELECT id, phone FROM tickets WHERE status = 'open' ORDER BY id").fetchall()
        rows = [row for row in rows if not phone or row["phone"] == _phone(phone)]
        found = [_ticket(db, row["id"]) for row in rows if not code or row["id"] == _number(code)]
        return {"count": len(found), "words": "; ".join(t["label"] for t in found) or "none", "tickets": found}


def set_severity(code: str, severity: str, *, key: str) -> dict[str, Any]:
    """Sets how urgent an open ticket is.

    Args:
        code: of the ticket.
        severity: emergency, urgent, or routine.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        number = _with_status(db, code, "open")
        level = _one_of(severity, SEVERITIES)
        db.execute("UPDATE tickets SET severity = ? WHERE id = ?", (level, number))
        return _ticket(db, number)

    return _once(key, "set_severity", write)


def on_call_contact(trade: str, day: str = "") -> dict[str, Any]:
    """Who is on call for a trade: an object with company, person, phone, and callout_usd.

    Args:
        trade: plumbing, heating, electrical, locks, or elevator.
        day: ISO 8601; empty for today.
    """
    with closing(_open()) as db:
        return dict(_on_call(db, trade, day or _now(db)[:10]))


def page_contractor(code: str, company: str, phone: str, cost_usd: float, *, key: str) -> dict[str, Any]:
    """Pages a contractor for a ticket. Above $300 the property manager approves it.

    Args:
        code: of the ticket.
        company: of the contractor.
        phone: of the contractor.
        cost_usd: of the call-out.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        number = _with_status(db, code, "open")
        find = "SELECT callout_usd FROM rota WHERE company = ? AND phone = ?"
        row = db.execute(find, (company, _phone(phone))).fetchone()
        if row is None or row["callout_usd"] != cost_usd:
            raise ToolError(f"{company} is not on the rota with this phone number and cost")
        put = "INSERT INTO pages (ticket, company, phone, cost_usd, at) VALUES (?, ?, ?, ?, ?)"
        db.execute(put, (number, company, _phone(phone), cost_usd, _now(db)))
        return {"code": f"AH-{number}", "company": company, "cost_usd": cost_usd}

    return _once(key, "page_contractor", write)


def place_call(phone: str, about: str, *, key: str) -> dict[str, Any]:
    """Has the telephone system call somebody and connect the desk.

    Args:
        phone: to call.
        about: what the call is about.
        key: of the call.
    """
    return _send(key, "place_call", ("call", phone, "", about))


def send_email(to: str, subject: str, body: str, *, key: str) -> dict[str, Any]:
    """Sends an e-mail.

    Args:
        to: address.
        subject: of the e-mail.
        body: its text.
        key: of the call.
    """
    return _send(key, "send_email", ("email", to, subject, body))


def file_email(sender: str, category: str, summary: str, *, key: str) -> dict[str, Any]:
    """Files an e-mail that came in under a category.

    Args:
        sender: its address.
        category: emergency, maintenance, billing, lease, or other.
        summary: what it says, in a sentence.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        row = (sender, _one_of(category, CATEGORIES), summary, _now(db))
        done = db.execute("INSERT INTO filed (sender, category, summary, at) VALUES (?, ?, ?, ?)", row)
        return {"number": done.lastrowid, "category": category}

    return _once(key, "file_email", write)


def add_note(code: str, note: str, *, key: str) -> dict[str, Any]:
    """Adds a note to an open ticket.

    Args:
        code: of the ticket.
        note: its text.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        number = _with_status(db, code, "open")
        db.execute("INSERT INTO notes (ticket, note, at) VALUES (?, ?, ?)", (number, note, _now(db)))
        return {"code": f"AH-{number}", "note": note}

    return _once(key, "add_note", write)


def close_ticket(code: str, *, key: str) -> dict[str, Any]:
    """Closes a ticket.

    Args:
        code: of the ticket.
        key: of the call.
    """
    return _set_status(code, "open", "closed", key, "close_ticket")


def reopen_ticket(code: str, *, key: str) -> dict[str, Any]:
    """Opens a closed ticket again.

    Args:
        code: of the ticket.
        key: of the call.
    """
    return _set_status(code, "closed", "open", key, "reopen_ticket")


# --- the database ---------------------------------------------------------------------------------------------------


def create() -> None:
    """Makes the database if it is missing, whole or not at all."""
    if DATABASE.exists():
        return
    handle, name = tempfile.mkstemp(dir=HERE, suffix=".new")
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as db:
            db.executescript((HERE / "after_hours.sql").read_text(encoding="utf-8"))
        os.link(name, DATABASE)
    except FileExistsError:  # another process was faster
        pass
    finally:
        os.unlink(name)


def _open() -> sqlite3.Connection:
    create()
    db = sqlite3.connect(DATABASE, isolation_level=None, timeout=10)
    db.row_factory = sqlite3.Row
    return db


def _once(key: str, tool: str, write: Callable[[sqlite3.Connection], dict[str, Any]]) -> dict[str, Any]:
    if not key:
        raise ToolError(f"{tool} needs a key")
    with closing(_open()) as db, db:
        db.execute("BEGIN IMMEDIATE")
        if done := db.execute("SELECT result FROM writes WHERE key = ?", (key,)).fetchone():
            result: dict[str, Any] = json.loads(done["result"])
            return result
        result = write(db)
        db.execute("INSERT INTO writes VALUES (?, ?, ?)", (key, tool, json.dumps(result)))
        return result


def _send(key: str, tool: str, row: tuple[str, str, str, str]) -> dict[str, Any]:
    def write(db: sqlite3.Connection) -> dict[str, Any]:
        kind, to, subject, body = row
        to = _phone(to) if kind == "call" else to
        put = "INSERT INTO outbox (kind, recipient, subject, body, at) VALUES (?, ?, ?, ?, ?)"
        db.execute(put, (kind, to, subject, body, _now(db)))
        return {"to": to}

    return _once(key, tool, write)


def _set_status(code: str, before: str, after: str, key: str, tool: str) -> dict[str, Any]:
    def write(db: sqlite3.Connection) -> dict[str, Any]:
        number = _with_status(db, code, before)
        db.execute("UPDATE tickets SET status = ? WHERE id = ?", (after, number))
        return {"code": f"AH-{number}", "status": after}

    return _once(key, tool, write)


def _now(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT now FROM clock").fetchone()["now"])


def _on_call(db: sqlite3.Connection, trade: str, day: str) -> sqlite3.Row:
    find = "SELECT company, person, phone, callout_usd FROM rota WHERE trade = ? AND ? BETWEEN starts AND ends"
    row: sqlite3.Row | None = db.execute(find, (trade, day)).fetchone()
    if row is None:
        raise ToolError(f"nobody is on call for {trade!r} that day")
    return row


def _ticket(db: sqlite3.Connection, number: int) -> dict[str, Any]:
    find = "SELECT * FROM tickets JOIN tenants ON tenants.phone = tickets.phone WHERE id = ?"
    row = db.execute(find, (number,)).fetchone()
    where = f"{row['building']} {row['unit']}"
    return {
        "code": f"AH-{number}",
        "label": f"AH-{number}: {row['description']} ({row['trade']}, {row['severity']}) at {where}",
        "trade": row["trade"],
        "severity": row["severity"],
        "status": row["status"],
        "where": where,
        "name": row["name"],
        "phone": row["phone"],
    }


def _with_status(db: sqlite3.Connection, code: str, status: str) -> int:
    number = _number(code)
    if not db.execute("SELECT 1 FROM tickets WHERE id = ? AND status = ?", (number, status)).fetchone():
        raise ToolError(f"there is no {status} ticket {code}")
    return number


def _one_of(value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise ToolError(f"{value!r} is none of {', '.join(values)}")
    return value


def _number(code: str) -> int:
    number = code.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _phone(phone: str) -> str:
    """The number as the database has it: 555-0211."""
    digits = "".join(c for c in phone if c.isdigit())[-7:]
    if len(digits) < 7:
        raise ToolError("a phone number has at least 7 digits")
    return f"{digits[:3]}-{digits[3:]}"


create()  # a query of inhouse.toml may be the first to read it
