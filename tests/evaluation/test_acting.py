"""Tasks with tools: the scripted user, scores, the end state of the world, and pass^k."""

import asyncio
import gzip
import json
import math
from pathlib import Path

import pytest

from inhouse.chat import Delta, Finish, Note
from inhouse.errors import BackendError, InputError
from inhouse.evaluation.acting import (
    Expect,
    ExpectedCall,
    Opened,
    Task,
    Trial,
    gain_of,
    pass_hat,
    read_tasks,
    scores_of,
    summarized,
    tried,
)
from inhouse.evaluation.called import RIGHT, call_outcome
from inhouse.evaluation.users import STOP, ModelUser, ScriptedUser, UserTurn, times_in
from inhouse.models.scripted import Scripted
from inhouse.tools import ToolError
from inhouse.types import Message

TOOLS = Path("/work/shared/data/tools/calls.jsonl.gz")
GOLD = ExpectedCall(tool="book", arguments={"day": "2027-03-12", "time": "14:00", "name": "Ann Lee"})
TASK = Task(
    id="t1",
    user=(
        UserTurn(say="a haircut on march 12"),
        UserTurn(answers={"time|when": "2 pm", "name": "Ann Lee", "confirm": "yes"}),
        UserTurn(say="thanks"),
    ),
    expect=Expect(calls=(GOLD,), database=True, said=("A-1,000",), never=("cancel",)),
)


class Salon:
    def __init__(self):
        self.booked = []

    def snapshot(self):
        return sorted(self.booked)

    async def run(self, tool, arguments):
        if tool != "book":
            raise ToolError(f"no tool {tool}")
        self.booked.append([arguments["day"], arguments["time"], arguments["name"]])
        return {"id": "A-1000"}


class Receptionist:
    """Asks for time and name, confirms a time, books; remembers by its state."""

    name = "receptionist"

    def __init__(self, world, books="14:00", does=("book",)):
        self.world, self.books, self.does = world, books, does

    async def stream(self, request):
        known = dict(request.state.get("receptionist") or {"at": 0})
        texts = ["At what time?", "May I have your name?", f"March 12 at {self.books}, shall I book it?"]
        if known["at"] < len(texts):
            yield Delta(text=texts[known["at"]])
        elif request.messages[-1].content == "yes":
            for tool in self.does:
                arguments = {"day": "2027-03-12", "time": self.books, "name": "Ann Lee"}
                status = "done"
                try:
                    await self.world.run(tool, arguments)
                except ToolError:
                    status = "failed"
                yield Note(layer="agent", kind="step", data={
                    "kind": "call", "tool": tool, "arguments": arguments, "status": status})  # fmt: skip
            yield Delta(text="Booked as A-1000.")
        else:
            yield Delta(text="Sorry, goodbye.")
        yield Note(layer="agent", kind="step", data={"kind": "understood", "model_calls": 1})
        yield Note(layer="agent", kind="state", data={"receptionist": {"at": known["at"] + 1}})
        yield Finish(reason="stop")


def trial(task=TASK, **kwargs):
    async def opened():
        world = Salon()
        return Opened(Receptionist(world, **kwargs), world)

    return asyncio.run(tried(task, opened))


def test_a_task_is_passed():
    done = trial()
    assert [m.content for m in done.talk if m.role == "user"] == [
        "a haircut on march 12", "2 pm", "Ann Lee", "yes", "thanks"]  # fmt: skip
    assert done.database is True
    assert (done.turns, done.model_calls) == (5, 5)
    scores = scores_of(TASK, done)
    assert scores.success == scores.arguments == scores.said == scores.handoff == 1.0
    assert scores.forbidden == 0.0


def test_the_user_refuses_another_time():
    done = trial(books="15:00")
    assert "No, 2 pm" in [m.content for m in done.talk]
    scores = scores_of(TASK, done)
    assert (scores.success, scores.database, scores.next_action) == (0.0, 0.0, 0.0)


def test_a_second_booking_leaves_another_world():
    done = trial(does=("book", "book"))
    scores = scores_of(TASK, done)
    assert (scores.arguments, scores.database, scores.success) == (1.0, 0.0, 0.0)


def test_a_call_that_failed_does_not_count():
    scores = scores_of(TASK, trial(does=("cancel",)))
    assert (scores.next_action, scores.forbidden) == (0.0, 0.0)


def test_what_is_forbidden_counts_if_it_was_done():
    calls = ({"tool": "cancel", "arguments": {}, "status": "done"},)
    assert scores_of(TASK, Trial(task="t1", calls=calls, database=True)).forbidden == 1.0


def test_order_and_arguments_of_expected_calls():
    a, b = ExpectedCall(tool="a", arguments={"x": "New York"}), ExpectedCall(tool="b")
    task = Task(id="t", expect=Expect(calls=(a, b)))
    made = ({"tool": "b", "arguments": {}}, {"tool": "a", "arguments": {"x": "new-york", "y": 1}})
    assert scores_of(task, Trial(task="t", calls=made)).arguments == 0.5
    assert scores_of(task, Trial(task="t", calls=tuple(reversed(made)))).success == 1.0


def test_a_hand_off_where_none_is_due_fails():
    task = Task(id="t", expect=Expect(handoff=False))
    scores = scores_of(task, Trial(task="t", handed=True))
    assert (scores.handoff, scores.success) == (0.0, 0.0)
    assert math.isnan(scores.database)


def test_an_agent_that_raises_fails_its_task():
    class Broken:
        name = "broken"

        async def stream(self, request):
            raise BackendError("the engine has gone")
            yield

    async def opened():
        return Opened(Broken(), Salon())

    done = asyncio.run(tried(TASK, opened))
    assert done.failed == "the engine has gone"
    assert scores_of(TASK, done).success == 0.0


def test_a_gold_call_that_fails_is_an_error_of_the_task():
    task = TASK.model_copy(update={"expect": Expect(calls=(ExpectedCall(tool="paint"),), database=True)})
    with pytest.raises(InputError, match="task t1: the expected call of paint fails"):
        trial(task)


def test_pass_hat_k():
    assert pass_hat([[True, True], [True, False]], 1) == 0.75
    assert pass_hat([[True, True], [True, False]], 2) == 0.5
    assert pass_hat([[True, True, True, False]], 2) == 0.5


def test_arms_are_compared_by_task():
    tasks = [TASK.model_copy(update={"id": str(n)}) for n in range(12)]
    good, bad = trial(), trial(books="15:00")
    ours, theirs = [[good]] * 12, [[bad]] * 11 + [[good]]
    arm = summarized(tasks, ours)
    assert arm.scores["success"].mean == 1.0
    assert arm.pass_hat == {1: 1.0}
    gain = gain_of(tasks, ours, theirs)
    assert gain.mean == pytest.approx(11 / 12)
    assert gain.low > 0


def said_by(user, *assistant):
    async def talk():
        heard, said = [Message(role="user", content="hi")], []
        for text in assistant:
            heard.append(Message(role="assistant", content=text))
            said.append(await user.next(heard))
        return said

    return asyncio.run(talk())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which day suits you?", "friday"),
        ("All right. What is your phone number?", "555"),
        ("Shall I book Friday for you?", "yes please"),
        ("Your name is Ann. Is that correct?", "yes please"),
        ("Which day shall I book?", "friday"),
        ("Do you need parking?", "yes please"),
        ("Please tell me your address.", None),
    ],
)
def test_a_scripted_user_answers_what_is_asked(question, answer):
    answers = {"day": "friday", "phone": "555", "confirm": "yes please"}
    user = ScriptedUser([UserTurn(answers=answers)])
    assert said_by(user, question) == [answer]


def test_a_scripted_user_gives_up_after_the_same_question_again_and_again():
    user = ScriptedUser([UserTurn(answers={"day": "friday"})])
    assert said_by(user, *["Which day?"] * 4) == ["friday", "friday", "friday", None]


def test_a_yes_or_no_by_its_keyword_comes_before_the_confirmation():
    user = ScriptedUser([UserTurn(answers={"another": ("yes", "no"), "confirm": "I confirm"})])
    asked = ["Is there another one, yes or no?", "Another one?", "Is that correct?"]
    assert said_by(user, *asked) == ["yes", "no", "I confirm"]


def test_the_plural_of_a_keyword_counts_too():
    assert said_by(ScriptedUser([UserTurn(answers={"time": "2 pm"})]), "Which of these times do you want?") == ["2 pm"]


def test_a_user_who_has_something_else_to_say_does_not_agree_first():
    turns = [UserTurn(answers={"name": "Ann"}), UserTurn(say="no, my name is Bo"), UserTurn(answers={"confirm": "ok"})]
    asked = ["Your name?", "Ann, is that right?", "Bo, is that right?"]
    assert said_by(ScriptedUser(turns), *asked) == ["Ann", "no, my name is Bo", "ok"]


def test_the_longest_keyword_counts():
    user = ScriptedUser([UserTurn(answers={"address": "1 Elm", "would you like": "a change"})])
    asked = ["Which would you like: a return, or another address?"] * 2
    assert said_by(user, *asked, "What is the address?") == ["a change", "a change", "1 Elm"]


def test_the_same_answer_may_come_again_later():
    user = ScriptedUser([UserTurn(answers={"day": "friday", "name": "Ann"})])
    asked = ["Which day?", "Your name?"] * 4
    assert said_by(user, *asked) == ["friday", "Ann"] * 4


def test_a_list_of_answers_is_given_once():
    user = ScriptedUser([UserTurn(answers={"item": ("a mug", "a lamp")}), UserTurn(say="that is all")])
    assert said_by(user, *["Which item?"] * 3) == ["a mug", "a lamp", "that is all"]


def test_a_default_answers_the_rest():
    user = ScriptedUser([UserTurn(answers={"day": "friday", "default": "I do not know"})])
    assert said_by(user, "How tall are you?", "Which day?") == ["I do not know", "friday"]


def test_times_are_read_in_each_form():
    assert times_in("2 pm or 14:30, 9:05 am, 12 am") == {"14:00", "14:30", "09:05", "00:00"}


def test_a_model_plays_the_user():
    model = Scripted(lambda request: STOP if "ready" in request.messages[-1].content else "I want a haircut")
    assert said_by(ModelUser(model, "You want a haircut."), "Hello?", "All is ready.") == ["I want a haircut", None]


def test_a_bad_line_is_named(tmp_path):
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"id": "a"}\n\n{"id": "b", "expects": {}}\n')
    with pytest.raises(InputError, match=r"tasks\.jsonl:3: expects"):
        read_tasks(file)
    file.write_text('{"id": "a", "user": [{"say": "hi"}]}\n')
    assert read_tasks(file)[0].user[0].say == "hi"


# --- calls --------------------------------------------------------------------------------------------------------

EXPECTED = [
    {"name": "area", "arguments": {"base": [6, 6.0], "unit": ["cm", ""], "where": [{"city": ["New York"]}, ""]}}
]


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ({"base": 6}, "right"),
        ({"base": 6.0, "unit": "C.M."}, "right"),
        ({"base": 6, "where": {"city": "new york"}}, "right"),
        ({"base": 6, "where": {"city": "Boston"}}, "wrong arguments"),
        ({"base": "6"}, "wrong arguments"),
        ({"base": True}, "wrong arguments"),
        ({"base": 6, "other": 1}, "wrong arguments"),
        ({"unit": "cm"}, "wrong arguments"),
    ],
)
def test_arguments_are_compared_as_the_leaderboard_does(arguments, outcome):
    assert call_outcome(EXPECTED, {"name": "area", "arguments": arguments}) == outcome


def test_calls_that_should_not_be():
    call = {"name": "volume", "arguments": {}}
    assert call_outcome(EXPECTED, call) == "wrong tool"
    assert call_outcome(EXPECTED, None) == "no call"
    assert call_outcome([], call) == "needless call"
    assert call_outcome([], None) == "rightly none"


@pytest.mark.skipif(not TOOLS.is_file(), reason=f"{TOOLS} is missing")
def test_the_first_accepted_values_of_every_row_are_right():
    def first(values):
        value = values[0]
        return {k: first(v) for k, v in value.items() if v != [""]} if isinstance(value, dict) else value

    with gzip.open(TOOLS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        expected = row["expected"]
        call = None
        if expected:
            given = {k: first(v) for k, v in expected[0]["arguments"].items() if v[0] != ""}
            call = {"name": expected[0]["name"], "arguments": given}
        assert call_outcome(expected, call) in RIGHT, row["id"]
