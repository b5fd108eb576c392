"""Personal data known from the conversation: what one turn requests, and what the next turns answer.

After "Can you tell me your account number, please?", digits are an account number; after "your full name, please?", a
short reply is a name, in whatever case it is typed; and so on. People answer late ("Oh wait, try 7402"), several
questions at once, or before they are asked, so digits keep the meaning of any question so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from inhouse.privacy.match import Match
from inhouse.privacy.recognizers import DATE

_ASKS = {
    kind: re.compile(pattern, re.IGNORECASE)
    for kind, pattern in {
        "PIN": r"\bpin\b|\bpass ?code\b|security code|\bcvv\b|access code",
        "ACCOUNT_NUMBER": r"\b(?:account|acct|routing)\b[^.?!]{0,12}"
        r"\b(?:numbers?|num|#|digits|no\b(?=\s*(?:[.:#?,\d]|$|please)))",
        "CARD_NUMBER": r"\bcard\b[^.?!]{0,20}(?:numbers?|digits)|last (?:four|4)",
        "DATE_OF_BIRTH": r"date (?:of|or) birth|birth ?da(?:y|te)|\bd\.?o\.?b\b|\bborn\b|how old",
        "SSN": r"\bssn\b|social security",
        "ORDER_NUMBER": r"\b(?:order|reference|confirmation|booking|tracking|ticket|case|claim|invoice|member\w*"
        r"|customer|policy) (?:numbers?|no|id|code|#)",
        "PHONE": r"(?:phone|mobile|cell|contact|telephone|call ?back) ?(?:number|no)?\b"
        r"|number (?:can|should|may) (?:we|i)",
        "ADDRESS": r"\byour (?:[\w-]+ ){0,2}(?:address|post ?code|zip)|where do you live"
        r"|\b(?:mailing|home|street|billing|shipping|delivery|current) address",
        "SECRET": r"maiden|\bpet'?s? name|name of (?:the|your) (?:\w+ )?pet|(?:childhood|first) pet|\bpet you had"
        r"|security (?:question|answer)|(?:what|tell|provide|give|confirm)[^.?!]{0,30}pass(?:word|phrase)"
        r"|favou?rite (?:colou?r|teacher|book|movie|sport|team|animal)"
        r"|first car\b|(?:street|town|city) (?:you |were )(?:born|grew)|elementary school"
        r"|secret (?:word|answer|question)",
        "PERSON": r"\b(?:your|full|first|last|legal|account holder'?s?|whose|what|sur|middle) ?names?\b"
        r"|\bnames? (?:please|on|of the account|and)\b"
        r"|\bthe name\?|who(?:m)? (?:am i|do i have)|\bnames?\?|may i have (?:the|a) name",
    }.items()
}  # fmt: skip
_NOT_A_PERSONS_NAME = re.compile(
    r"(?:business|company|bank|hotel|product|restaurant|user|place|store|branch|merchant|pet'?s?|maiden|file|attraction"
    r"|street|school|college) ?name|name of (?:the|your|that|this) (?!account|person|card)\w+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\d$£€.,:])\d(?:[ -]?\d)*(?!\d|[.,:/]\d|%)")
_OWN_WORDS = (
    (
        "PHONE",
        re.compile(r"\b(?:phone|mobile|cell|telephone|call me|reach me|text me)\b[^.,;:?!\n\d]{0,25}$", re.IGNORECASE),
    ),
    ("ORDER_NUMBER", re.compile(r"\border\b[^.,;:?!\n\d]{0,25}$", re.IGNORECASE)),
)
"""What a number is by the words before it, whatever was requested earlier."""
_NO_VALUE = re.compile(
    r"\s*(?:[%€£元円]|zł|pln\b|chf\b|eur\b|kr\b|percent|dollars?|bucks|usd|pounds?|euros?|gbp|am\b|pm\b|o'?clock|years?|days?|weeks?|months?|hours?"
    r"|min(?:ute)?s?\b|times?|people|persons|guests|nights?|stars?|items|cents)", re.IGNORECASE,
)  # fmt: skip
_SPELLED = r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple)"
_SPELLED_NUMBER = re.compile(rf"\b{_SPELLED}(?:[\s,-]+{_SPELLED}){{2,}}\b", re.IGNORECASE)
_DATE = re.compile(
    rf"\b{DATE}\b|(?<!\d)\d{{6}}(?!\d)|(?<!\d)\d{{8}}(?!\d)|\b(?:19|20)\d\d\b|\b\d{{1,2}}[/.-]\d{{1,2}}\b",
    re.IGNORECASE,
)
_AGE = re.compile(r"(?i)\b(?:i'?m|i am|age)\s+(\d{1,3})\b(?!\s*(?:%|dollars))")
_ADDRESS = re.compile(
    r"(?<![\w:.])\d{1,5}[a-z]? ([a-z][\w'.-]+)(?:,? [\w'.-]+){0,7}|\b\d{5}(?:-\d{4})?\b", re.IGNORECASE
)
WORD = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
_BREAK = re.compile(r"[.,;:!?\n/()\d\"]|\s-+\s|<")
_INTRODUCES = frozenset("is was named called be it's its name's names like try maybe think are were".split())  # noqa: SIM905
_SHORT_WORDS = 7
_LONGEST_NAME_WORDS = 4
_OWN_WORDS_CHARS = 40  # before a number
_NEAR = 40  # characters before a name in which the word before it ends

COMMON = frozenset(
    """aah account accounts actual actually ah all already also alright am answer answers anymore anything app april
    ask asked atm august awesome aww balance bank banking because been believe bill birth birthday boss brother but
    bye called came can't cannot cant card cards cash cat check checking cheque child childhood chip code color come
    comes correct could couldn't credit customer dad damn date daughter day days dear debit december did didn't didnt
    different dob doc doesn't dog don't dont egads email english er excuse family father favorite favourite february
    figure file fine fish first forget forgot forgotten found fraud friday friend from full funny gee get girl give
    go god good goodbye got gotta great guess had happy has hate have haven't he hell hello help hey hi his hm hmm
    hold holder hotel huh husband i'd i'll i'm i've id ids identity idea im info information internet isn't issue it
    it's january jeez july june just keep kid know last late leave let let's life like little ll loan lol long look
    looking lost love ma'am maam made maiden make man march may maybe mean middle mind minute miss mister mom moment
    monday money month more morning mother mother's mum my name named names na nah need never new no nobody none nope
    not nothing november now null number numbers october oh ok okay old on one online oops or order our pardon parent
    password pet pet's pets phone pin please police pretty probably problem question questions quick ready really
    recall record remember report right rob robbed said same saturday savings saw second security see september set
    she shoot should show sir sister so some somebody someone something sorry spell spelled spelling start statement
    still stole stolen stuff suddenly sunday sure surname suspicious take tell thank thanks that that's the their
    then there they thief thing things think this thought thursday time to today told tomorrow too took transaction
    transfer trouble true try trying tuesday two uh uhh um umm unsure update upset us use used user using valid verify
    very visa wait want wanted was wednesday week well went what what's whatever when where which who whoops why wife
    will wish with withdrew won't wonder work would wow wrong wth yea yeah year years yep yes yet yikes yo you your
    yours yup json shall covid howdy 've 're""".split()  # noqa: SIM905
)
"""Words in answers to "your name, please?" that are not names, in addition to a language's stop words."""

THINGS = frozenset(
    """academy airport apartment avenue bank bar bed bistro breakfast building cafe card centre center chapel church
    cinema city club coffee college company corp court credit curry fund gallery garden gardens grill group guest
    guesthouse guesthouses hall hospital hotel house inn kitchen lane library llc loan lodge ltd market mobile mortgage
    museum palace park pizza pizzeria place plaza plus pool pools pub restaurant rewards road room savings school square
    station street studio theater theatre tower train university wifi""".split()  # noqa: SIM905
)
"""Words in names of places, companies, and products."""
SURNAMES_TOO = frozenset("church court garden hall house kitchen lane lodge market park place street".split())  # noqa: SIM905
NOT_PEOPLE = THINGS | frozenset(
    """amex excel mastercard paypal venmo visa zelle american argentinian asian australian austrian belgian brazilian
    british canadian chinese colombian cuban danish dutch egyptian english european filipino finnish french german greek
    hungarian indian indonesian iranian irish israeli italian jamaican japanese kenyan korean mexican moroccan nigerian
    norwegian pakistani persian peruvian polish portuguese romanian russian scottish spanish swedish swiss thai turkish
    ukrainian vietnamese welsh catholic jewish muslim vegan vegetarian guten tag morgen hallo hola bonjour danke gracias
    merci buenos dias sie ich wir haben kredite kredit konto karte geld quiero necesito puedo tengo vous avez nous votre
    """.split()  # noqa: SIM905
)
"""A name of only these words is no person's: things, brands, nationalities, frequent words of other languages."""


def kinds_requested(text: str) -> set[str]:
    """The kinds of personal data that a turn asks for."""
    kinds = {kind for kind, pattern in _ASKS.items() if pattern.search(text)}
    if "PERSON" in kinds and not _ASKS["PERSON"].search(_NOT_A_PERSONS_NAME.sub(" ", text)):
        kinds.discard("PERSON")
    return kinds


def answers(text: str, now: Set[str], before: Set[str], words: Set[str]) -> Iterator[Match]:
    """Personal data that a user's turn contains because it was requested.

    Args:
        text: the turn.
        now: kinds requested in the turn before.
        before: kinds requested in any earlier turn, including `now`.
        words: words, in lower case, that are not names.
    """
    if before & {"DATE_OF_BIRTH"}:
        spans = [m.span() for m in _DATE.finditer(text)]
        if "DATE_OF_BIRTH" in now:
            spans += [m.span(1) for m in _AGE.finditer(text)]
        yield from (Match("DATE_OF_BIRTH", *span, sure=True) for span in spans if not _NO_VALUE.match(text, span[1]))
    for match in _NUMBER.finditer(text):
        kind = _kind_of_number(re.sub(r"\D", "", match[0]), now, before)
        if kind == "ACCOUNT_NUMBER":
            said = text[max(match.start() - _OWN_WORDS_CHARS, 0) : match.start()]
            kind = next((own for own, words in _OWN_WORDS if words.search(said)), kind)
        if kind and not _NO_VALUE.match(text, match.end()):
            yield Match(kind, *match.span(), sure=True)
    if spelled := _kind_of_number("", now, before):
        yield from (Match(spelled, *m.span(), sure=True) for m in _SPELLED_NUMBER.finditer(text))
    if "ADDRESS" in now:
        for match in _ADDRESS.finditer(text):
            if not match[1] or match[1].lower() not in words:
                yield Match("ADDRESS", *match.span(), sure=True)
    for kind in ("SECRET", "PERSON"):
        if kind in now:
            both = {"SECRET", "PERSON"} <= now
            yield from (
                Match(kind, *span, sure=True) for span in _names(text, words, first_only=both and kind == "PERSON")
            )


def late_secrets(text: str, words: Set[str]) -> Iterator[Match]:
    """Names in a user's turn when a security question was asked at any earlier time: "try Nemo"."""
    if len(WORD.findall(text)) <= _SHORT_WORDS:
        yield from (Match("SECRET", a, b, sure=True) for a, b in _names(text, words) if text[a].isupper())
    for match in re.finditer(
        r"(?i:\b(?:named|called|name was|name is|was|is|it'?s|or|try|maybe|used)) ([A-Z][\w'’-]+)", text
    ):
        if match[1].lower() not in words:
            yield Match("SECRET", *match.span(1), sure=True)


def _kind_of_number(digits: str, now: Set[str], before: Set[str]) -> str:
    """The kind of a number with that many digits after these questions; "" if it is more likely an amount."""
    size = len(digits)
    for kinds in (now, before):
        if "PIN" in kinds and size in (0, *((3, 4, 5, 6) if kinds is now else (4,))):
            return "PIN"
        for kind, least in (("ACCOUNT_NUMBER", 5), ("CARD_NUMBER", 4), ("SSN", 4), ("PHONE", 6), ("ORDER_NUMBER", 4)):
            if kind in kinds and (size == 0 or size >= least):
                return kind
    if {"ACCOUNT_NUMBER", "PIN"} & now and size >= 3:
        return "ACCOUNT_NUMBER" if size > 4 else "PIN"
    return "ACCOUNT_NUMBER" if {"ACCOUNT_NUMBER", "PIN"} & before and size >= 4 else ""


def _names(text: str, words: Set[str], first_only: bool = False) -> Iterator[tuple[int, int]]:
    """Spans of a reply that may be names: runs of words that are not in `words`.

    In a short reply names may be in lower case; in a longer one only capitalized words count, and what follows "is".
    """
    tokens = list(WORD.finditer(text))
    short = len(tokens) <= _SHORT_WORDS
    for run in _runs(text, tokens, words):
        before = text[max(run[0].start() - _NEAR, 0) : run[0].start()].split()
        introduced = bool(before) and before[-1].lower().strip(",:") in _INTRODUCES
        capital = run[0][0][0].isupper()
        if len(run) <= _LONGEST_NAME_WORDS and (short or capital or introduced):
            yield run[0].start(), run[-1].end()
            if first_only:
                return


def _runs(text: str, tokens: Sequence[re.Match[str]], words: Set[str]) -> Iterator[list[re.Match[str]]]:
    run: list[re.Match[str]] = []
    for token in tokens:
        low = token[0].lower().replace("’", "'")
        known = low in words or low.removesuffix("'s") in words
        if run and (known or _BREAK.search(text, run[-1].end(), token.start())):
            yield run
            run = []
        if not known and len(low) > 1:
            run.append(token)
    if run:
        yield run
