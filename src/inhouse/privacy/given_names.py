"""First names without a surname: "I'm mark", "under the name angela", "Ben's party".

spaCy's model rarely finds them, especially in lower case, so common first names are listed. A name that is also a word
needs words before it that introduce a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

GIVEN = frozenset(
    """aaron abby abdul abigail adam adrian ahmed aidan aisha alan albert alejandro alex alexa alexandra alexis alfred
    ali alice alicia alison allison alyssa amanda amelia amir amy ana andre andrea andreas andrew andy angela
    anita anna anne annie anthony antonio arthur ashley audrey barbara beatrice becky ben benjamin bernard beth
    betty beverly bob bobby bonnie brad bradley brandon brenda brian bridget bruce bryan caleb cameron carl
    carla carlos carmen carol caroline catherine cathy cecilia charles charlie chloe chris christian christina
    christine christopher cindy claire clara claudia colin connor craig cynthia daniel daniela danielle danny
    darren dave david deborah debra denise dennis derek diana diane diego dmitri donald donna doris dorothy doug
    douglas dylan eddie edgar edith eduardo edward eileen elaine eleanor elena elias elizabeth ella ellen emily
    emma eric erica erik erin ernest ethan eugene eva evan evelyn fatima felix fernando fiona francis francisco
    frederick gabriel gabriela gary george gerald gina giovanni gloria gordon greg gregory hannah harold harry
    hassan heather hector heidi helen henry howard hugo ian ibrahim irene isaac isabel isabella ivan jackie
    jacob jacqueline jake james jamie jane janet janice jason javier jean jeff jeffrey jennifer jenny jeremy
    jerry jesse jessica jill jim jimmy joan joanna joe joel john johnny jonathan jorge jose joseph joshua juan
    judith judy julia julian julie justin karen karl kate katherine kathleen kathy katie keith kelly ken kenneth
    kevin kim kimberly kristen kyle larry laura lauren leah leo leon leonard leslie liam linda lisa logan lois
    louis louise lucas lucia lucy luis luke maggie marcus margaret maria marie marilyn mario martha martin
    marvin mary mateo matthew maureen megan melanie melissa michael michelle miguel mike mohammed monica nancy
    natalie natasha nathan nicholas nicole nina noah nora norman oliver olivia omar oscar pamela patricia
    patrick paul paula pedro peggy peter philip phyllis priya rachel rafael ralph ramon raymond rebecca ricardo
    richard rita robert roberto robin rodrigo roger ronald rosa rosemary roy russell ruth ryan sabrina sally
    samantha samuel sandra santiago sara sarah scott sean sergei shane shannon sharon sheila shirley simon sofia
    sonia sophia sophie stacy stanley stella stephanie stephen steve steven stuart susan suzanne sylvia tamara
    tammy tanya teresa terry theodore theresa thomas tiffany tim timothy todd tom tommy tony tracy tyler valerie
    vanessa vera veronica vicky victor vincent virginia vivian vladimir walter wanda wayne wendy wesley william
    yolanda yusuf yvonne zachary zoe""".split()  # noqa: SIM905
)
ALSO_WORDS = frozenset(
    """amber angel april art autumn bill carter chase chip crystal daisy dale dean dick don drew faith frank gene grace
    grant guy harmony hope hunter iris ivy jack jade jasmine jay jewel joy june lily major mark mason max may
    melody miles miranda misty nick olive pat pearl penny pierce ray rich rob rose ruby rusty sandy sky stew sue
    summer taylor ted trip violet ward will woody""".split()  # noqa: SIM905
)
_WORD = r"[^\W\d_]{2,20}"
_AFTER = re.compile(
    r"\b(?:i'?m|i’m|i am|name(?:['’]?s)? is|name(?:['’]?s)?|name ?[:=-]|it'?s|this is|called|speaking with)"
    r"\s+(?P<name>" + _WORD + r")\b(?!['’-]\w)",
    re.IGNORECASE,
)
_UNDER = re.compile(r"\b(?:under|in|by|for|on) the name(?: of)?:? +(?P<name>" + _WORD + r")\b", re.IGNORECASE)
_OWNED = re.compile(r"\b(?P<name>" + _WORD + r")(?:['’]s?)? (?:party|birthday|wedding|house|account|booking)\b", re.I)
_CAPITALIZED = re.compile(r"(?<![\w@./-])(?P<name>[A-Z][a-z]{1,19})\b(?![@/-]|\.\w)")
_NOT_AFTER_UNDER = frozenset(
    """a an another company business bank account card my our your his her their its the that this same one guest owner
    customer husband wife mother father brother sister daughter son friend boss and or of on""".split()  # noqa: SIM905
)
_STREET = re.compile(r"\s+(?:street|st|avenue|ave|road|rd|lane|drive|way|place|square|college|county|hotel)\b", re.I)


def given_names(text: str) -> Iterator[tuple[int, int]]:
    """Spans of first names in the text; they may overlap."""
    for pattern, also_words in ((_AFTER, True), (_OWNED, False), (_CAPITALIZED, False)):
        for match in pattern.finditer(text):
            name = match["name"].lower()
            if (name in GIVEN or (also_words and name in ALSO_WORDS)) and not _STREET.match(text, match.end("name")):
                yield match.span("name")
    for match in _UNDER.finditer(text):
        if match["name"].lower() not in _NOT_AFTER_UNDER:
            yield match.span("name")
