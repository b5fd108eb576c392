"""A small fixed set of general tasks, asked before and after fine-tuning: what the model forgets.

They were written for this project and are easy on purpose, since only the change matters. Each task has a few words;
the answer must contain one of them.
"""

from __future__ import annotations

import re

from inhouse.types import Checks, Example, Message

_TASKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is 2 plus 3? Reply with the number.", ("5", "five")),
    ("What is 10 minus 4? Reply with the number.", ("6", "six")),
    ("How many days does a week have?", ("7", "seven")),
    ("How many months does a year have?", ("12", "twelve")),
    ("What is the capital of France?", ("Paris",)),
    ("What is the capital of Italy?", ("Rome",)),
    ("What is the capital of Japan?", ("Tokyo",)),
    ("What is the capital of Germany?", ("Berlin",)),
    ("On which continent does Egypt lie?", ("Africa",)),
    ("On which continent does Brazil lie?", ("America",)),
    ("What color is the sky on a clear day?", ("blue",)),
    ("What color do you get by mixing blue and yellow?", ("green",)),
    ("What do bees make?", ("honey",)),
    ("Which animal says meow?", ("cat",)),
    ("Which animal barks?", ("dog",)),
    ("How many legs does a spider have?", ("8", "eight")),
    ("What is frozen water called?", ("ice",)),
    ("Which planet do we live on?", ("Earth",)),
    ("Which star gives us daylight?", ("Sun",)),
    ("What gas do people need to breathe?", ("oxygen",)),
    ("What is the opposite of hot?", ("cold", "cool")),
    ("What is the opposite of up?", ("down",)),
    ("What is the opposite of early?", ("late",)),
    ("What is the plural of child?", ("children",)),
    ("What is the past tense of go?", ("went",)),
    ("Which letter comes after B in the alphabet?", ("C",)),
    ("Name a fruit that is yellow and long.", ("banana",)),
    ("What do you call a baby cat?", ("kitten",)),
    ("Which season comes after winter?", ("spring",)),
    ("Which meal do people eat in the morning?", ("breakfast",)),
    ("Name the largest ocean on Earth.", ("Pacific",)),
    ("Who wrote the play Romeo and Juliet?", ("Shakespeare",)),
    ("In which language is the word bonjour a greeting?", ("French",)),
    ("What instrument has black and white keys?", ("piano",)),
    ("Complete the sentence: The sun rises in the", ("east",)),
    ("Complete the sentence: An apple a day keeps the doctor", ("away",)),
    ("Reply with the single word yes.", ("yes",)),
    ("Repeat this word: window", ("window",)),
    ("Is ice hot or cold?", ("cold",)),
    ("Is an elephant bigger than a mouse? Answer yes or no.", ("yes",)),
)
MAX_TOKENS = 24


def general_examples() -> list[Example]:
    """The tasks as examples."""
    return [
        Example(
            id=f"general-{n}",
            messages=(Message(role="user", content=question),),
            target="",
            checks=Checks(must_include=(words,)),
            tags=("general",),
        )
        for n, (question, words) in enumerate(_TASKS)
    ]


def right(example: Example, text: str) -> float:
    """1 if the answer contains one of the words, else 0."""
    ways = example.checks.must_include[0]
    return float(any(re.search(rf"(?i)\b{re.escape(w)}\b", text) for w in ways))
