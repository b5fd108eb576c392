"""The 14 functions of Larkfield Clinics, over one SQLite file that `clinic.sql` fills.

`CLINIC_TODAY` (YYYY-MM-DD) sets the day, so that tests can be repeated; without it, it is the machine's day.
`CLINIC_DATABASE` names another file than clinic.sqlite in this folder.

Functions that write get the `key` of the call. What a key has done is kept in the table `calls`, in the same
transaction as the change: the same key again changes nothing and returns the same result. `caller` says who asks: a
user whose name is a patient number acts for that patient and for that patient's children, and for nobody else.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from inhouse.tools import Caller, ToolError

HERE = Path(__file__).parent
AHEAD = 60
"""Days for which visits can be booked."""
FREE_UNTIL, LATE_FEE_USD = 2, 35
"""Canceling costs nothing up to so many days before the visit, and this fee after that."""
SELF_PAY = 0.8
"""Share of the price that a patient pays without a plan that is accepted."""
SHOTS = ("flu shot", "vaccination")
"""Services that every accepted plan pays in full."""

ANYBODY = Caller()
Result = dict[str, Any]
Service = Literal[
    "check-up", "sick visit", "child visit", "skin check", "heart check", "women's health visit", "physical therapy",
    "flu shot", "vaccination", "blood test", "video visit",
]  # fmt: skip
Plan = Literal[
    "Bluewater PPO", "Bluewater HMO", "Cedar Gold", "Cedar Silver", "Medistate", "Unionwell", "Northline", "uninsured"
]
Place = Literal["", "Center", "Harbor", "Hilltop"]


# --- patients -----------------------------------------------------------------------------------------------------


def find_patient(patient_number: str, name: str, caller: Caller = ANYBODY) -> Result:
    """Finds a patient whose number and full name both match.

    Args:
        patient_number: as on the patient card, such as "P1001".
        name: full name.
    """
    with _reading() as db:
        row = db.execute("SELECT * FROM patients WHERE number = ?", (patient_number.strip().upper(),)).fetchone()
        if row is None or _plain(row["name"]) != _plain(name) or not _may(db, row, caller):
            return {"found": False}
        rows = db.execute("SELECT * FROM medications WHERE patient = ? ORDER BY name", (row["number"],)).fetchall()
        return {
            "found": True,
            "number": row["number"],
            "name": row["name"],
            "age": _age(row["birth_date"]),
            "plan": row["plan"],
            "medications": [m["name"] for m in rows],
            "refillable": [m["name"] for m in rows if m["refills"] and not m["controlled"]],
        }


def update_contact(
    patient_number: str,
    field: Literal["phone", "email", "address"],
    value: str,
    caller: Caller = ANYBODY,
    key: str = "",
) -> Result:
    """Changes a patient's phone number, e-mail address, or postal address.

    Args:
        patient_number: such as "P1001".
        field: what is changed.
        value: the new phone number, e-mail address, or postal address.
    """
    value = value.strip()
    fits = {
        "phone": sum(c.isdigit() for c in value) >= 7,
        "email": "@" in value.strip("@") and " " not in value,
        "address": len(value) >= 5,
    }
    if not fits.get(field):
        raise ToolError(f"{value!r} is no {field}")

    def change(db: sqlite3.Connection) -> Result:
        patient = _patient(db, patient_number, caller)
        statement = {
            "phone": "UPDATE patients SET phone = ? WHERE number = ?",
            "email": "UPDATE patients SET email = ? WHERE number = ?",
            "address": "UPDATE patients SET address = ? WHERE number = ?",
        }[field]
        db.execute(statement, (value, patient["number"]))
        return {"patient_number": patient["number"], "field": field, "value": value}

    return _once(key, "update_contact", change)


# --- doctors and visits -------------------------------------------------------------------------------------------


def find_doctors(service: Service, location: Place = "", doctor: str = "") -> Result:
    """Doctors who do a service, with their locations and the price.

    Args:
        service: what the visit is for.
        location: only at this location.
        doctor: only this one, if the doctor does the service there; else all, and `other` is true.
    """
    with _reading() as db:
        found = _named(db, "service", service)
        rows = db.execute(
            "SELECT * FROM doctors WHERE specialty = ? AND ? IN ('', location) ORDER BY name",
            (found["specialty"], location),
        ).fetchall()
        own = [r for r in rows if doctor and _plain(r["name"]) == _plain(doctor)]
        return {
            "count": len(own or rows),
            "names": [r["name"] for r in own or rows],
            "other": bool(doctor and not own),
            "offers": [f"{r['name']} ({r['location']})" for r in own or rows],
            "price_usd": found["price_usd"],
            "preparation": found["preparation"],
        }


def free_slots(doctor: str, day: str) -> Result:
    """The free times of a doctor on a day, and the next day with free times.

    Args:
        doctor: name, such as "Dr. Ines Okafor".
        day: YYYY-MM-DD, up to 60 days from today.
    """
    with _reading() as db:
        who, when = _doctor(db, doctor), _day(day)
        times = _free(db, who["name"], when)
        days = (when + timedelta(n) for n in range(1, AHEAD) if _today() < when + timedelta(n))
        later = next((d for d in days if _free(db, who["name"], d)), None)
        return {
            "doctor": who["name"],
            "location": who["location"],
            "day": when.isoformat(),
            "times": times,
            "next_day": later.isoformat() if later else "",
        }


def book_visit(
    patient_number: str,
    doctor: str,
    service: Service,
    day: str,
    time: str,
    caller: Caller = ANYBODY,
    key: str = "",
) -> Result:
    """Books a visit.

    Args:
        patient_number: such as "P1001".
        doctor: name, such as "Dr. Ines Okafor".
        service: what the visit is for.
        day: YYYY-MM-DD.
        time: HH:MM, one of the doctor's free times.
    """

    def change(db: sqlite3.Connection) -> Result:
        patient, who, what = _patient(db, patient_number, caller), _doctor(db, doctor), _named(db, "service", service)
        if who["specialty"] != what["specialty"]:
            raise ToolError(f"{who['name']} does not do a {service}")
        _take(db, patient["number"], who["name"], _day(day), time)
        number = _next_number(db, "visits", "V", 1000)
        db.execute(
            "INSERT INTO visits (number, patient, doctor, service, day, time) VALUES (?, ?, ?, ?, ?, ?)",
            (number, patient["number"], who["name"], service, _day(day).isoformat(), time),
        )
        return _visit(db, number)

    return _once(key, "book_visit", change)


def check_visit(patient_number: str, doctor: str, day: str, time: str, caller: Caller = ANYBODY) -> Result:
    """Whether a patient has a visit with a doctor at a day and time.

    Args:
        patient_number: such as "P1001".
        doctor: name of the doctor.
        day: YYYY-MM-DD.
        time: HH:MM.
    """
    with _reading() as db:
        patient = _patient(db, patient_number, caller)
        row = db.execute(
            "SELECT number FROM visits WHERE patient = ? AND doctor = ? AND day = ? AND time = ? AND status = 'booked'",
            (patient["number"], _doctor(db, doctor)["name"], _day(day).isoformat(), time),
        ).fetchone()
        return {"happened": row is not None, "result": _visit(db, row["number"]) if row else None}


def find_visits(patient_number: str, visit: str = "", caller: Caller = ANYBODY) -> Result:
    """The coming visits of a patient, with the fee that canceling each would cost now.

    Args:
        patient_number: such as "P1001".
        visit: number of one visit, such as "V1001", or its label; empty for all.
    """
    with _reading() as db:
        patient = _patient(db, patient_number, caller)
        rows = db.execute(
            "SELECT number FROM visits WHERE patient = ? AND status = 'booked' AND day >= ? ORDER BY day, time",
            (patient["number"], _today().isoformat()),
        ).fetchall()
        found = [_visit(db, r["number"]) for r in rows]
        found = [v for v in found if not visit or visit.strip().upper() == v["number"] or visit == v["label"]]
        told = [{k: v[k] for k in ("number", "service", "doctor", "day", "time")} for v in found]
        return {"count": len(found), "visits": found, "labels": [v["label"] for v in found], "told": told}


def reschedule_visit(
    patient_number: str, visit: str, day: str, time: str, caller: Caller = ANYBODY, key: str = ""
) -> Result:
    """Moves a visit to another day and time with the same doctor.

    Args:
        patient_number: such as "P1001".
        visit: number of the visit, such as "V1001".
        day: the new day, YYYY-MM-DD.
        time: the new time, HH:MM.
    """

    def change(db: sqlite3.Connection) -> Result:
        row = _coming(db, patient_number, visit, caller)
        _take(db, row["patient"], row["doctor"], _day(day), time, row["number"])
        db.execute("UPDATE visits SET day = ?, time = ? WHERE number = ?", (_day(day).isoformat(), time, row["number"]))
        return _visit(db, row["number"])

    return _once(key, "reschedule_visit", change)


def cancel_visit(patient_number: str, visit: str, caller: Caller = ANYBODY, key: str = "") -> Result:
    """Cancels a visit. Less than 2 days before the visit it costs 35 dollars.

    Args:
        patient_number: such as "P1001".
        visit: number of the visit, such as "V1001".
    """

    def change(db: sqlite3.Connection) -> Result:
        row = _coming(db, patient_number, visit, caller)
        fee = _visit(db, row["number"])["fee_usd"]
        db.execute("UPDATE visits SET status = 'canceled', fee_usd = ? WHERE number = ?", (fee, row["number"]))
        return {"number": row["number"], "status": "canceled", "fee_usd": fee}

    return _once(key, "cancel_visit", change)


def nearest_location(zip_code: str) -> Result:
    """The nearest location for a ZIP code, with address, phone number, and hours.

    Args:
        zip_code: five digits.
    """
    with _reading() as db:
        row = db.execute(
            "SELECT l.*, z.miles FROM zips z JOIN locations l ON l.name = z.location WHERE z.zip = ?",
            (zip_code.strip(),),
        ).fetchone()
        return {"found": True, **dict(row)} if row else {"found": False}


# --- money --------------------------------------------------------------------------------------------------------


def check_insurance(plan: Plan) -> Result:
    """Whether a plan is accepted, where, and on which terms.

    Args:
        plan: name of the plan.
    """
    with _reading() as db:
        row = _named(db, "plan", plan)
        return {
            "plan": plan,
            "accepted": bool(row["accepted"]),
            "where": f"at {row['location']} only" if row["location"] else "at all three locations",
            "referral": bool(row["referral"]),
            "share_percent": None if row["share"] is None else round(row["share"] * 100),
            "copay_usd": row["copay_usd"],
            "specialist_copay_usd": row["specialist_copay_usd"],
        }


def estimate_cost(service: Service, plan: Plan) -> Result:
    """What a patient with a plan pays for a service.

    Args:
        service: what the visit is for.
        plan: name of the plan, or "uninsured".
    """
    with _reading() as db:
        what, row = _named(db, "service", service), _named(db, "plan", plan)
        price = what["price_usd"]
        if not row["accepted"]:
            pays = price * SELF_PAY
        elif service in SHOTS:
            pays = 0.0
        elif row["share"] is not None:
            pays = price * row["share"]
        else:
            pays = min(price, row["specialist_copay_usd"] if what["specialist"] else row["copay_usd"])
        return {
            "service": service,
            "plan": plan,
            "accepted": bool(row["accepted"]),
            "price_usd": price,
            "you_pay_usd": round(float(pays), 2),
        }


# --- records and refills ------------------------------------------------------------------------------------------


def request_records(
    patient_number: str,
    records: Literal["doctor's notes", "lab results", "vaccination record", "full chart"],
    delivery: Literal["portal", "mail", "pick up"],
    caller: Caller = ANYBODY,
    key: str = "",
) -> Result:
    """Requests a copy of a patient's records for the patient, or for the parent of a child.

    Args:
        patient_number: such as "P1001".
        records: which records.
        delivery: how the copy is delivered.
    """

    def change(db: sqlite3.Connection) -> Result:
        patient = _patient(db, patient_number, caller)
        number = _next_number(db, "record_requests", "R", 500)
        db.execute("INSERT INTO record_requests VALUES (?, ?, ?, ?)", (number, patient["number"], records, delivery))
        return {"number": number, "records": records, "delivery": delivery}

    return _once(key, "request_records", change)


def refill_request(
    patient_number: str,
    medication: str,
    pharmacy: Literal["Corner Pharmacy", "Dockside Pharmacy", "home delivery"],
    caller: Caller = ANYBODY,
    key: str = "",
) -> Result:
    """Requests a refill of a medication that the patient already takes.

    Args:
        patient_number: such as "P1001".
        medication: name of the medication.
        pharmacy: where the patient picks it up.
    """

    def change(db: sqlite3.Connection) -> Result:
        patient = _patient(db, patient_number, caller)
        row = db.execute(
            "SELECT * FROM medications WHERE patient = ? AND name = ?", (patient["number"], medication.strip().lower())
        ).fetchone()
        if row is None:
            raise ToolError(f"{patient['name']} has no prescription for {medication}")
        if row["controlled"] or not row["refills"]:
            raise ToolError(f"{row['name']} needs a new prescription from the doctor")
        number = _next_number(db, "refill_requests", "F", 700)
        db.execute(
            "INSERT INTO refill_requests VALUES (?, ?, ?, ?)", (number, patient["number"], row["name"], pharmacy)
        )
        db.execute(
            "UPDATE medications SET refills = refills - 1 WHERE patient = ? AND name = ?",
            (patient["number"], row["name"]),
        )
        return {"number": number, "medication": row["name"], "pharmacy": pharmacy, "refills_left": row["refills"] - 1}

    return _once(key, "refill_request", change)


# --- what they share ----------------------------------------------------------------------------------------------


def _today() -> date:
    today = os.environ.get("CLINIC_TODAY") or os.environ.get("INHOUSE_TODAY")  # the second while tasks are tried
    return date.fromisoformat(today) if today else date.today()


def _open() -> sqlite3.Connection:
    db = sqlite3.connect(os.environ.get("CLINIC_DATABASE") or HERE / "clinic.sqlite", timeout=20, isolation_level=None)
    db.row_factory = sqlite3.Row
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'one_call_a_key'").fetchone() is None:
        db.create_function("today", 0, lambda: _today().isoformat())
        db.executescript((HERE / "clinic.sql").read_text(encoding="utf-8"))
    db.execute("PRAGMA foreign_keys = ON")
    return db


@contextmanager
def _reading() -> Iterator[sqlite3.Connection]:
    with closing(_open()) as db:
        yield db


def _once(key: str, tool: str, change: Callable[[sqlite3.Connection], Result]) -> Result:
    """Makes the change in one transaction, unless this key has made it already."""
    with closing(_open()) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            done = db.execute("SELECT tool, result FROM calls WHERE key = ?", (key,)).fetchone() if key else None
            if done and done["tool"] != tool:
                raise ToolError(f"the key is one of {done['tool']}")
            result: Result = json.loads(done["result"]) if done else change(db)
            if not done:
                db.execute("INSERT INTO calls VALUES (?, ?, ?)", (key or None, tool, json.dumps(result)))
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        return result


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace(".", " ").split())


def _age(birth_date: str) -> int:
    born, now = date.fromisoformat(birth_date), _today()
    return now.year - born.year - ((now.month, now.day) < (born.month, born.day))


def _may(db: sqlite3.Connection, patient: sqlite3.Row, caller: Caller) -> bool:
    """Whether the caller may act for the patient."""
    user = caller.user.upper()
    signed_in = db.execute("SELECT 1 FROM patients WHERE number = ?", (user,)).fetchone()
    return not signed_in or user in (patient["number"], patient["guardian"])


def _patient(db: sqlite3.Connection, number: str, caller: Caller) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM patients WHERE number = ?", (number.strip().upper(),)
    ).fetchone()
    if row is None or not _may(db, row, caller):
        raise ToolError(f"there is no patient {number} for this caller")
    return row


def _doctor(db: sqlite3.Connection, name: str) -> sqlite3.Row:
    rows = db.execute("SELECT * FROM doctors").fetchall()
    found: sqlite3.Row | None = next((r for r in rows if _plain(r["name"]) == _plain(name)), None)
    if found is None:
        raise ToolError(f"there is no doctor {name!r}")
    return found


_NAMED = {"service": "SELECT * FROM services WHERE name = ?", "plan": "SELECT * FROM plans WHERE name = ?"}


def _named(db: sqlite3.Connection, what: Literal["service", "plan"], name: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(_NAMED[what], (name,)).fetchone()
    if row is None:
        raise ToolError(f"there is no {what} {name!r}")
    return row


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ToolError(f"{text!r} is no day (YYYY-MM-DD)") from error


def _said(day: date) -> str:
    return f"{day:%A, %B} {day.day}"


def _free(db: sqlite3.Connection, doctor: str, day: date, moved: str = "") -> list[str]:
    """The free times of a doctor. The visit `moved` does not count as taken."""
    if not _today() < day <= _today() + timedelta(AHEAD):
        return []
    hours = db.execute(
        "SELECT start, stop FROM hours WHERE doctor = ?1 AND weekday = ?2"
        " AND NOT EXISTS (SELECT 1 FROM away WHERE doctor = ?1 AND day = ?3)",
        (doctor, day.isoweekday(), day.isoformat()),
    ).fetchone()
    if hours is None:
        return []
    taken = db.execute(
        "SELECT time FROM visits WHERE doctor = ? AND day = ? AND status = 'booked' AND number != ?",
        (doctor, day.isoformat(), moved),
    )
    no = {row["time"] for row in taken}
    start, stop = (int(hours[end][:2]) * 60 + int(hours[end][3:]) for end in ("start", "stop"))
    return [t for at in range(start, stop, 30) if (t := f"{at // 60:02}:{at % 60:02}") not in no]


def _take(db: sqlite3.Connection, patient: str, doctor: str, day: date, time: str, moved: str = "") -> None:
    """
    Raises:
        ToolError: the time is not free, for the doctor or the patient.
    """
    if time not in _free(db, doctor, day, moved):
        raise ToolError(f"{doctor} is not free on {_said(day)} at {time}")
    other = db.execute(
        "SELECT 1 FROM visits WHERE patient = ? AND day = ? AND time = ? AND status = 'booked' AND number != ?",
        (patient, day.isoformat(), time, moved),
    ).fetchone()
    if other:
        raise ToolError(f"the patient has another visit on {_said(day)} at {time}")


def _visit(db: sqlite3.Connection, number: str) -> Result:
    row = db.execute(
        "SELECT v.*, d.location, s.price_usd, s.preparation FROM visits v JOIN doctors d ON d.name = v.doctor"
        " JOIN services s ON s.name = v.service WHERE v.number = ?",
        (number,),
    ).fetchone()
    day = date.fromisoformat(row["day"])
    return {
        "number": number,
        "label": f"{row['service']}, {day:%B} {day.day}",
        "doctor": row["doctor"],
        "service": row["service"],
        "location": row["location"],
        "day": row["day"],
        "time": row["time"],
        "price_usd": row["price_usd"],
        "fee_usd": LATE_FEE_USD if day < _today() + timedelta(FREE_UNTIL) else 0,
        "preparation": row["preparation"],
    }


def _coming(db: sqlite3.Connection, number: str, visit: str, caller: Caller) -> sqlite3.Row:
    """The patient's visit that is booked and not over."""
    patient = _patient(db, number, caller)
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM visits WHERE number = ? AND patient = ? AND status = 'booked' AND day >= ?",
        (visit.strip().upper(), patient["number"], _today().isoformat()),
    ).fetchone()
    if row is None:
        raise ToolError(f"{patient['name']} has no coming visit {visit}")
    return row


def _next_number(db: sqlite3.Connection, table: str, letter: str, base: int) -> str:
    """The number of the next row: rows are never deleted."""
    count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 (one of this file's tables)
    return f"{letter}{base + count + 1}"


if "INHOUSE_TODAY" in os.environ:  # a task's database is compared also where no tool was called
    _open().close()
