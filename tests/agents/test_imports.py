"""Procedures of STAR and of Rasa become pages that can be read and checked; what is lost is listed."""

import json
import tomllib
from pathlib import Path

import pytest

from inhouse.agents.check import problems
from inhouse.agents.page import page
from inhouse.agents.procedure import to_procedure
from inhouse.agents.rasa import rasa_procedures
from inhouse.agents.rasa_conditions import Untranslated, holding
from inhouse.agents.star import star_folders, star_procedure
from inhouse.errors import InputError

STAR = Path("/work/shared/data/star/procedures")
NAMES = [
    "apartment_schedule", "apartment_search", "bank_balance", "bank_fraud_report", "meeting_schedule", "party_plan",
    "party_rsvp", "plane_book", "plane_search", "restaurant_book", "restaurant_search", "ride_book", "ride_change",
    "ride_status", "spaceship_access_codes", "spaceship_life_support", "trip_directions", "trivia", "weather",
]  # fmt: skip
needs_star = pytest.mark.skipif(not STAR.is_dir(), reason=f"the data set STAR is not in {STAR}")


def read_again(imported):
    return to_procedure(tomllib.loads(page(imported.procedure, imported.notes)), "page")


@needs_star
@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_a_procedure_of_star(name):
    graph = json.loads((STAR / name / f"{name}.json").read_text())["graph"]
    imported = star_procedure(STAR / name)
    assert {*graph, *graph.values()} <= imported.procedure.by_name.keys()
    assert [p for p in problems(imported.procedure, imported.tools) if p.severity == "error"] == []
    assert read_again(imported).digest == imported.procedure.digest
    replies = json.loads((STAR / name / f"{name}.json").read_text())["replies"]
    lost = {
        label for label in replies if label not in imported.procedure.by_name and label not in " ".join(imported.notes)
    }
    optional = [slot for slot in imported.procedure.slots.values() if slot.optional]
    assert all("_ask_" in label for label in lost)  # those are optional slots
    assert len(lost) == len(optional)


@needs_star
@pytest.mark.data
def test_all_of_star_is_found():
    assert [f.name for f in star_folders(STAR)] == NAMES
    assert list(star_folders(STAR / "weather")) == [STAR / "weather"]


@pytest.fixture
def small_star(tmp_path):
    folder = tmp_path / "tea_order"
    folder.mkdir()
    replies = {
        "hello": "Hello!", "tea_ask_kind": "Which tea?", "query_check": "Check", "available": "Yes", "unavailable": "No",
        "tea_ask_confirm": "The {kind:s} costs {price:d}. Shall I order it?", "query_book": "Book", "tea_bye": "Bye.",
        "tea_inform_none": "There is none.", "out_of_scope": "What?", "tea_unused": "Never said.",
    }  # fmt: skip
    graph = {
        "hello": "tea_ask_kind", "tea_ask_kind": "query_check", "available": "tea_ask_confirm",
        "unavailable": "tea_inform_none", "tea_ask_confirm": "query_book", "query_book": "tea_bye",
    }  # fmt: skip
    tool = {
        "input": [
            {"Name": "TeaKind", "Type": "Categorical", "Categories": ["green", "black"], "ReadableName": "Kind"},
            {"Name": "Cups", "Type": "Integer", "Min": 1, "Max": 9},
            {"Name": "RequestType", "Type": "RequestType", "Categories": ["Check", "Book"]},
        ],
        "output": [{"Name": "TeaPrice", "Type": "Integer"}], "required": ["TeaKind", "Cups", "RequestType"],
    }  # fmt: skip
    for name, data in (("tea_order", {"task": "order_tea", "replies": replies, "graph": graph}), ("tool", tool)):
        (folder / f"{name}.json").write_text(json.dumps(data))
    return folder


def test_a_small_procedure_of_star(small_star):
    imported = star_procedure(small_star)
    procedure = imported.procedure
    assert list(procedure.slots) == ["kind"]
    assert procedure.slots["kind"].choices == ("green", "black")
    check = procedure.by_name["query_check"]
    assert check.call.tool == "tea_order_check"
    assert check.call.arguments == {"TeaKind": "{kind}"}
    assert [(n.when, n.go) for n in check.next] == [("check.available", "available"), ("", "unavailable")]
    assert procedure.by_name["tea_ask_confirm"].confirm == "The {kind} costs {check.TeaPrice}. Shall I order it?"
    assert procedure.by_name["tea_bye"].end
    assert imported.tools["tea_order_check"].effect == "read"
    assert imported.tools["tea_order_book"].effect == "write"
    told = " ".join(imported.notes)
    assert "tea_unused" in told
    assert "Cups" in told
    assert {p.kind for p in problems(procedure, imported.tools) if p.severity == "error"} == {"argument missing"}


def test_a_folder_that_is_no_procedure_of_star(tmp_path):
    with pytest.raises(InputError, match="no procedure of STAR"):
        star_procedure(tmp_path)


FLOWS = """
flows:
  send_parcel:
    name: send a parcel
    description: a courier fetches a parcel from the customer
    nlu_trigger:
      - intent: { name: send_parcel, confidence_threshold: 0.9 }
    steps:
      - id: begin
        collect: weight
        description: in kilograms
        rejections:
          - if: slots.weight <= 0 or slots.weight > 30
            utter: utter_weight_refused
      - collect: speed
        ask_before_filling: true
      - action: action_quote
        next:
          - if: not slots.served
            then:
              - action: utter_not_served
                next: END
          - if: slots.quote_status = 'later' and slots.speed is not null
            then: begin
          - else: address
      - id: address
        call: find_address
      - collect: parcel_confirmation
        next:
          - if: not slots.parcel_confirmation
            then:
              - set_slots:
                  - weight: null
                  - mood: sad
              - action: utter_cancelled
                next: END
          - else: order
      - id: order
        action: action_order
        next:
          - if: slots.return_value matches "ok.*"
            then: thanks
          - else:
              - link: complaint
      - id: thanks
        action: utter_thanks
        silence_timeout: 5
  find_address:
    description: the address of the customer
    if: false
    steps:
      - collect: street
      - noop: true
        next:
          - if: slots.street is null
            then:
              - link: pattern_human_handoff
          - else: END
  complaint:
    description: something went wrong
    persisted_slots: [complaint_text]
    steps:
      - collect: complaint_text
        utter: utter_what_happened
      - call: file_complaint
        mcp_server: desk
        mapping:
          input:
            - { param: text, slot: complaint_text }
          output:
            - { slot: ticket, value: result.id }
      - link: elsewhere
"""
DOMAIN = """
version: "3.1"
slots:
  weight: { type: float }
  speed: { type: categorical, values: [standard, express] }
  parcel_confirmation: { type: bool }
  street: { type: text }
  complaint_text: { type: list }
responses:
  utter_ask_weight: [{ text: "How heavy is the parcel?" }]
  utter_ask_speed: [{ text: "Standard or express?", buttons: [] }]
  utter_ask_parcel_confirmation: [{ text: "A parcel of {weight} kg, {speed}. Is that right?" }]
  utter_weight_refused: [{ text: "We take parcels of up to 30 kg." }]
  utter_not_served: [{ text: "We do not serve that place." }, { text: "Sorry!" }]
  utter_cancelled: [{ text: "All right." }]
  utter_thanks: [{ text: "The courier comes tomorrow." }]
nlu:
  - intent: send_parcel
    examples: |
      - I want to send a parcel
      - can somebody fetch a package
"""


@pytest.fixture
def parcel(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "flows.yml").write_text(FLOWS)
    (tmp_path / "domain.yaml").write_text(DOMAIN)
    found = rasa_procedures(tmp_path)
    assert [i.procedure.name for i in found] == ["send_parcel", "find_address", "complaint"]
    for imported in found:
        assert read_again(imported).digest == imported.procedure.digest
    return found[0]


def test_steps_of_rasa(parcel):
    procedure = parcel.procedure
    states = procedure.by_name
    assert procedure.title == "Send a parcel"
    assert procedure.examples == ("I want to send a parcel", "can somebody fetch a package")
    assert procedure.states[0].name == "begin"
    assert procedure.slots["weight"].type == "number"
    assert procedure.slots["speed"].choices == ("standard", "express")
    assert states["begin"].next[0].when == "weight <= 0 or weight > 30"
    assert states["begin_rejected"].forget == ("weight",)
    assert states["begin_rejected"].next[0].go == "begin"
    assert states["ask_speed"].forget == ("speed",)
    quote = states["action_quote"]
    assert quote.call.tool == "quote"
    assert quote.call.arguments == {"speed": "{speed}", "weight": "{weight}"}
    assert quote.next[0].when == "not quote_result.served"
    assert quote.next[1].when == "quote_result.quote_status == 'later' and speed != None"
    assert quote.next[1].go == "begin"
    assert states["utter_not_served"].say == "We do not serve that place."
    assert states["utter_not_served"].end


def test_a_yes_or_no_that_confirms_becomes_a_confirmation(parcel):
    state = parcel.procedure.by_name["ask_parcel_confirmation"]
    assert state.confirm == "A parcel of {weight} kg, {speed}. Is that right?"
    assert (state.otherwise, state.next[0].go) == ("set_slots", "order")
    assert parcel.procedure.by_name["set_slots"].forget == ("weight",)
    assert "parcel_confirmation" not in parcel.procedure.slots


def test_flows_that_are_called_or_linked_become_part_of_it(parcel):
    states = parcel.procedure.by_name
    assert states["find_address_ask_street"].collect == ("street",)
    assert states["find_address_noop"].next[1].go == "after_address"
    assert states["find_address_link_pattern_human_handoff"].hand_off
    call = states["complaint_call_file_complaint"].call
    assert (call.tool, call.arguments) == ("desk_file_complaint", {"text": "{complaint_text}"})


@pytest.mark.parametrize("part", [
    "buttons", "utter_not_served has 2 variants", "action_quote becomes a tool", "served is set by an action", "mood",
    "matches", "may begin only if False", "persisted_slots", "utter_what_happened", "leads to elsewhere", "result.id",
    "silence_timeout", "type list", "utter_ask_street",
])  # fmt: skip
def test_what_is_not_translated_is_listed(parcel, part):
    assert part in "\n".join(parcel.notes)


def test_a_condition_without_counterpart_is_an_error_until_it_is_filled_in(parcel):
    errors = [p for p in problems(parcel.procedure) if p.severity == "error"]
    assert [(p.kind, p.state) for p in errors] == [("unknown name", "order")]
    assert "fill_in" in errors[0].text


def test_flows_that_call_one_another_end(tmp_path):
    (tmp_path / "f.yml").write_text(
        "flows:\n  a: {description: x, steps: [{link: b}]}\n  b: {description: x, steps: [{call: a}, {link: a}]}\n"
    )
    found = rasa_procedures(tmp_path / "f.yml")
    assert [i.procedure.name for i in found] == ["a", "b"]
    assert all("calls itself" in " ".join(imported.notes) for imported in found)
    left = {p.kind for imported in found for p in problems(imported.procedure) if p.severity == "error"}
    assert left == {"unreachable"}  # what would come after


@pytest.mark.parametrize("text", ["", "flows: [", "- a\n- b", "flows: {}", "flows: 3"])
def test_files_without_flows(tmp_path, text):
    (tmp_path / "f.yml").write_text(text)
    with pytest.raises(InputError):
        rasa_procedures(tmp_path / "f.yml")


@pytest.mark.parametrize(
    "text", ["flows: {a: }", "flows: {a: 3}", "flows: {a: {steps: [x, {next: 3}, {collect: s, next: [x, {if: y}]}]}}"]
)
def test_odd_flows_do_not_crash(tmp_path, text):
    (tmp_path / "f.yml").write_text(text)
    (found,) = rasa_procedures(tmp_path / "f.yml")
    problems(found.procedure)
    read_again(found)


@pytest.mark.parametrize(("condition", "expression"), [
    ("slots.age < 18", "age < 18"),
    ("slots.a = 'x' and not (slots.b is null or c != true)", "a == 'x' and not (b == None or c != True)"),
    ('slots.a is not undefined', "a != None"),
    ("slots.list contains 'x' or slots.n >= -2.5", "'x' in list or n >= -2.5"),
])  # fmt: skip
def test_conditions(condition, expression):
    assert holding(condition, lambda slot: slot) == expression


@pytest.mark.parametrize(
    "condition", ["a matches 'x'", "context.x", "{1 2} contains a", "a ? b", "contains", "a b", ""]
)
def test_conditions_without_counterpart(condition):
    with pytest.raises(Untranslated):
        holding(condition, lambda slot: slot)
