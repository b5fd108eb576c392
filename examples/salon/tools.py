"""The tools of Copper Lane Salon, over salon.sqlite beside this file, which salon.sql makes if it is missing.

What time it is stands in the table `clock`, so that tests can be repeated. A write runs in one transaction with its key
in the table `writes`; a repeated key changes nothing and returns what the first call returned.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from inhouse.tools import ToolError

HERE = Path(__file__).parent
DATABASE = HERE / "salon.sqlite"
STEP_MINUTES = 30
LEAST_USD, MOST_USD = 20, 300
FREE_HOURS = 24
"""Until so many hours before an appointment, moving and cancelling is free."""


def free_times(service: str, day: str, stylist: str = "") -> dict[str, Any]:
    """The free start times of a service on a day.

    Args:
        service: its name, such as "haircut".
        day: ISO 8601, such as "2027-03-12".
        stylist: a name; empty for anyone.

    Returns:
        An object with the `day`, `starts` (HH:MM), `closed` (whether the salon is closed that day), and `next_day` (the
        next day with a free time, or "none").
    """
    with closing(_open()) as db:
        _known(db, service, stylist)
        asked = _day(db, day)
        starts = _starts(db, service, asked, stylist)
        following = (asked + timedelta(days=n) for n in range(1, 22))
        later = next((d for d in following if _starts(db, service, d, stylist)), None)
        return {
            "day": day,
            "starts": list(starts),
            "closed": _hours(db, asked) is None,
            "next_day": later.isoformat() if later else "none",
        }


def quote(service: str, day: str = "", time: str = "", stylist: str = "", student: bool = False) -> dict[str, Any]:
    """What an appointment costs, how long it takes, when and with whom it would be. Books nothing.

    Args:
        service: its name.
        day: ISO 8601; empty if it is not known yet.
        time: HH:MM; empty if it is not known yet. With a day and a time, the time must be free.
        stylist: a name; empty for the first who is free.
        student: whether the client has a student card.
    """
    with closing(_open()) as db:
        minutes, price = _known(db, service, stylist)
        when, who = "a day of your choice", stylist
        if day:
            asked = _day(db, day)
            when = _day_words(asked)
            if student and asked.weekday() in (1, 2):
                price = round(price * 0.9, 2)
            if time:
                who = _free_stylist(db, service, asked, time, stylist)
                when = f"{when} at {_time_words(time)}"
        return {"service": service, "minutes": minutes, "price_usd": price, "when": when, "stylist": who}


def book(service: str, stylist: str, day: str, time: str, name: str, phone: str, *, key: str) -> dict[str, Any]:
    """Books an appointment.

    Args:
        service: its name.
        stylist: who does it.
        day: ISO 8601.
        time: HH:MM.
        name: of the client.
        phone: of the client.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        _known(db, service, stylist)
        _free_stylist(db, service, _day(db, day), time, stylist)
        row = (service, stylist, day, time, _name(name), _phone(phone))
        put = "INSERT INTO bookings (service, stylist, day, time, name, phone) VALUES (?, ?, ?, ?, ?, ?)"
        return _booking(db, db.execute(put, row).lastrowid or 0)

    return _once(key, "book", write)


def check_booking(service: str, day: str, time: str, phone: str) -> dict[str, Any]:
    """Whether an appointment is booked: an object with `happened` and the booking as `result`.

    Args:
        service: its name.
        day: ISO 8601.
        time: HH:MM.
        phone: of the client.
    """
    find = "SELECT id FROM bookings WHERE service = ? AND day = ? AND time = ? AND phone = ? AND status = 'booked'"
    with closing(_open()) as db:
        row = db.execute(find, (service, day, time, _phone(phone))).fetchone()
        return {"happened": row is not None, "result": _booking(db, row["id"]) if row else None}


def find_bookings(phone: str, code: str = "") -> dict[str, Any]:
    """The coming appointments of a client.

    Args:
        phone: of the client.
        code: booking code, such as "CL-1001"; empty for all.

    Returns:
        An object with `count`, `words`, and `bookings`, each with code, label (in words), service, stylist, day, time,
        when (day and time in words), price_usd, late (whether it is in less than 24 hours), and late_fee_usd (of
        cancelling now).
    """
    find = (
        "SELECT id FROM bookings WHERE phone = ? AND status = 'booked' AND day || ' ' || time >= ? ORDER BY day, time"
    )
    with closing(_open()) as db:
        now = f"{_now(db):%Y-%m-%d %H:%M}"
        found = [_booking(db, row["id"]) for row in db.execute(find, (_phone(phone), now)).fetchall()]
        found = [b for b in found if not code or b["code"] == code.upper()]
        words = "; ".join(b["label"] for b in found)
        return {"count": len(found), "words": words or "none", "bookings": found}


def reschedule(code: str, phone: str, day: str, time: str, *, key: str) -> dict[str, Any]:
    """Moves an appointment, with the same stylist.

    Args:
        code: booking code.
        phone: of the client, which must be the booking's.
        day: new day, ISO 8601.
        time: new time, HH:MM.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        booking = _owned(db, code, phone)
        if booking["late"]:
            raise ToolError(f"{code} is in less than {FREE_HOURS} hours, and only the front desk can move it")
        _free_stylist(db, booking["service"], _day(db, day), time, booking["stylist"], but=_number(code))
        db.execute("UPDATE bookings SET day = ?, time = ? WHERE id = ?", (day, time, _number(code)))
        return _booking(db, _number(code))

    return _once(key, "reschedule", write)


def cancel(code: str, phone: str, *, key: str) -> dict[str, Any]:
    """Cancels an appointment. In the last 24 hours it costs half of the price.

    Args:
        code: booking code.
        phone: of the client, which must be the booking's.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        booking = _owned(db, code, phone)
        fee = booking["late_fee_usd"]
        db.execute("UPDATE bookings SET status = 'cancelled', fee_usd = ? WHERE id = ?", (fee, _number(code)))
        return {"code": booking["code"], "when": booking["when"], "fee_usd": fee}

    return _once(key, "cancel", write)


def sell_gift_card(amount_usd: float, email: str, *, key: str) -> dict[str, Any]:
    """Sells a gift card and sends it by e-mail.

    Args:
        amount_usd: from 20 to 300.
        email: where it is sent.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        if not LEAST_USD <= amount_usd <= MOST_USD:
            raise ToolError(f"a gift card can be from ${LEAST_USD} to ${MOST_USD}")
        today = _now(db).date()
        until = today.replace(year=today.year + 3)
        put = "INSERT INTO gift_cards (amount_usd, email, sold, valid_until) VALUES (?, ?, ?, ?)"
        done = db.execute(put, (amount_usd, email, today.isoformat(), until.isoformat()))
        return {
            "number": f"GC-{done.lastrowid}",
            "amount_usd": amount_usd,
            "email": email,
            "valid_until": f"{until:%B} {until.day}, {until.year}",
        }

    return _once(key, "sell_gift_card", write)


def void_gift_card(number: str, *, key: str) -> dict[str, Any]:
    """Takes a gift card back, for staff.

    Args:
        number: such as "GC-501".
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        done = db.execute("UPDATE gift_cards SET void = 1 WHERE id = ? AND void = 0", (_number(number),))
        if not done.rowcount:
            raise ToolError(f"there is no valid gift card {number}")
        return {"number": number, "void": True}

    return _once(key, "void_gift_card", write)


def leave_message(name: str, phone: str, message: str, *, key: str) -> dict[str, Any]:
    """Leaves a message for the front desk, which calls back.

    Args:
        name: of the client.
        phone: of the client.
        message: what it is about.
        key: of the call.
    """

    def write(db: sqlite3.Connection) -> dict[str, Any]:
        put = "INSERT INTO messages (name, phone, message, at) VALUES (?, ?, ?, ?)"
        done = db.execute(put, (_name(name), _phone(phone), message, f"{_now(db):%Y-%m-%d %H:%M}"))
        return {"number": done.lastrowid}

    return _once(key, "leave_message", write)


# --- the database ---------------------------------------------------------------------------------------------------


def create() -> None:
    """Makes the database if it is missing, whole or not at all."""
    if DATABASE.exists():
        return
    handle, name = tempfile.mkstemp(dir=HERE, suffix=".new")
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as db:
            db.executescript((HERE / "salon.sql").read_text(encoding="utf-8"))
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


def _now(db: sqlite3.Connection) -> datetime:
    return datetime.fromisoformat(db.execute("SELECT now FROM clock").fetchone()["now"])


def _known(db: sqlite3.Connection, service: str, stylist: str) -> tuple[int, float]:
    """Minutes and price of a service, which the stylist, if there is one, must do."""
    row = db.execute("SELECT minutes, price_usd FROM services WHERE name = ?", (service,)).fetchone()
    if row is None:
        raise ToolError(f"there is no service {service!r}")
    find = "SELECT stylist FROM skills WHERE service = ? ORDER BY stylist"
    skilled = [r["stylist"] for r in db.execute(find, (service,))]
    if stylist and stylist not in skilled:
        raise ToolError(f"{stylist} does not do {service}; {' and '.join(skilled)} can")
    return row["minutes"], row["price_usd"]


def _day(db: sqlite3.Connection, day: str) -> date:
    try:
        found = date.fromisoformat(day)
    except ValueError as error:
        raise ToolError(f"{day!r} is not a day") from error
    if found < _now(db).date():
        raise ToolError(f"{_day_words(found)} is in the past")
    return found


def _hours(db: sqlite3.Connection, day: date) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT * FROM hours WHERE weekday = ?", (day.weekday(),)).fetchone()
    return row


def _starts(db: sqlite3.Connection, service: str, day: date, stylist: str, but: int = 0) -> dict[str, str]:
    """The free start times with the first stylist who is free then; the booking `but` counts as free."""
    if (hours := _hours(db, day)) is None:
        return {}
    length = db.execute("SELECT minutes FROM services WHERE name = ?", (service,)).fetchone()["minutes"]
    taken = _taken(db, day, but)
    working = "SELECT name FROM stylists JOIN skills ON stylist = name WHERE service = ? AND instr(weekdays, ?) AND \
               name NOT IN (SELECT stylist FROM days_off WHERE day = ?) ORDER BY name"
    names = [r["name"] for r in db.execute(working, (service, str(day.weekday()), day.isoformat()))]
    names = [name for name in names if stylist in ("", name)]
    earliest = _now(db)
    starts = {}
    for start in range(_minutes(hours["opens"]), _minutes(hours["closes"]) - length + 1, STEP_MINUTES):
        if datetime.combine(day, datetime.min.time()) + timedelta(minutes=start) <= earliest:
            continue
        free = (n for n in names if all(start + length <= a or start >= b for who, a, b in taken if who == n))
        if name := next(free, ""):
            starts[f"{start // 60:02}:{start % 60:02}"] = name
    return starts


def _taken(db: sqlite3.Connection, day: date, but: int) -> list[tuple[str, int, int]]:
    """Who is busy from which minute of the day to which."""
    find = "SELECT stylist, time, minutes FROM bookings JOIN services ON services.name = service WHERE day = ? AND \
            status = 'booked' AND id != ?"
    rows = db.execute(find, (day.isoformat(), but)).fetchall()
    return [(r["stylist"], _minutes(r["time"]), _minutes(r["time"]) + r["minutes"]) for r in rows]


def _free_stylist(db: sqlite3.Connection, service: str, day: date, time: str, stylist: str, but: int = 0) -> str:
    starts = _starts(db, service, day, stylist, but)
    if time not in starts:
        raise ToolError(f"{_day_words(day)} at {_time_words(time)} is not free")
    return starts[time]


def _booking(db: sqlite3.Connection, number: int) -> dict[str, Any]:
    find = "SELECT bookings.*, price_usd FROM bookings JOIN services ON services.name = service WHERE id = ?"
    row = db.execute(find, (number,)).fetchone()
    start = datetime.fromisoformat(f"{row['day']} {row['time']}")
    late = start - _now(db) < timedelta(hours=FREE_HOURS)
    when = f"{_day_words(start.date())} at {_time_words(row['time'])}"
    return {
        "code": f"CL-{number}",
        "label": f"CL-{number}: {row['service']} with {row['stylist']} on {when}",
        "service": row["service"],
        "stylist": row["stylist"],
        "day": row["day"],
        "time": row["time"],
        "when": when,
        "price_usd": row["price_usd"],
        "late": late,
        "late_fee_usd": row["price_usd"] / 2 if late else 0.0,
    }


def _owned(db: sqlite3.Connection, code: str, phone: str) -> dict[str, Any]:
    find = "SELECT id FROM bookings WHERE id = ? AND phone = ? AND status = 'booked'"
    row = db.execute(find, (_number(code), _phone(phone))).fetchone()
    if row is None:
        raise ToolError(f"there is no appointment {code} with this phone number")
    return _booking(db, row["id"])


def _number(code: str) -> int:
    number = code.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _phone(phone: str) -> str:
    """The number as the database has it: 555-0101."""
    digits = "".join(c for c in phone if c.isdigit())[-7:]
    if len(digits) < 7:
        raise ToolError("a phone number has at least 7 digits")
    return f"{digits[:3]}-{digits[3:]}"


def _name(name: str) -> str:
    return name.title() if name.islower() else name


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _day_words(day: date) -> str:
    return f"{day:%A, %B} {day.day}"


def _time_words(time: str) -> str:
    try:
        minutes = _minutes(time)
    except ValueError as error:
        raise ToolError(f"{time!r} is not a time") from error
    return f"{minutes // 60 % 12 or 12}:{minutes % 60:02} {'am' if minutes < 720 else 'pm'}"


create()  # a query of inhouse.toml may be the first to read it
