"""Hand-made features of injected instructions, shared by the classifiers of jailbreaks and of indirect injections."""

from __future__ import annotations

from functools import lru_cache

from inhouse.guardrails.classifier import compiled, counts

RECENT = 500  # sentences whose features are kept
_RULES = (
    r"(?:instruction|rule|guideline|prompt|polic(?:y|ies)|restriction|direction|command|programming|filter|safeguard"
    r"|limitation|limits|constraint|protocol|boundar(?:y|ies)|ethic|moral|censor|training|disclaimer|warning)\w*"
)
_FORBIDDEN = (
    r"\b(?:illegal|unethical|immoral|amoral|harmful|nsfw|explicit|offensive|dangerous|malicious|violen\w+|profan\w+"
    r"|vulgar|curs\w+|swear\w*|evil|hack\w*|erotic\w*|sexual\w*|drugs?|weapons?|bombs?|racis\w+|inappropriate)\b"
)
_PATTERNS = compiled({
    "override_rules": (
        rf"\b(?:ignore|disregard|forget|override|overrule|bypass|circumvent|violate|break"
        rf"|drop)\b[^.?!\n]{{0,50}}\b{_RULES}"
    ),
    "ignore_previous":
        r"\b(?:ignore|disregard|forget)\b[^.?!\n]{0,30}\b(?:previous|prior|above|earlier|everything|all of)\b",
    "role_play":
        r"\b(?:act as|pretend|role-?play\w*|impersonat\w+|simulat\w+|play the (?:role|part) of|persona|emulate)\b",
    "new_identity":
        r"\b(?:you are|you're|you will be|become) (?:now |going to be |no longer )?(?:an? |the |my |(?-i:[A-Z]))",
    "from_now_on": r"\b(?:from now on|from this point|henceforth|stay in character|in character|going forward)\b",
    "without_rules": (
        rf"\b(?:no|without|free (?:of|from)|not? (?:bound|limited|restricted)\w* by|beyond|zero"
        rf"|any)\b[^.?!\n]{{0,25}}\b{_RULES}"
    ),
    "unrestricted":
        r"\b(?:unrestricted|uncensored|unfiltered|unbound|unlimited|unmoderated|jailbr\w+|no longer bound)\b",
    "never_refuse": (
        r"\b(?:never|don'?t|do not|cannot|can'?t|must not|won'?t|not allowed to|unable to"
        r"|without)\b[^.?!\n]{0,25}\b(?:refus\w+"
        r"|declin\w+|reject\w*|apolog\w+|say(?:ing)? no|warn\w*|moraliz\w*|break character|mention\w*"
        r"|remind\w*|add\w*)\b"
    ),
    "special_mode":
        r"\b(?:developer|debug\w*|god|dan|admin\w*|sudo|root|maintenance|diagnostic|evil|opposite|test) mode\b",
    "names_a_model":
        r"(?-i:\b(?:ChatGPT|GPT(?:-?\d)?|OpenAI|DAN|LLM|AI|Claude|Bard|Bing)\b)|\blanguage model\b|\bas an ai\b",
    "forbidden_content": _FORBIDDEN,
    "system_prompt": (
        r"\b(?:system|initial|hidden|original|secret|internal) (?:prompt|instruction|message|rule)\w*"
        r"|\b(?:reveal|print|repeat|show|output|display|leak)\b[^.?!\n]{0,30}\b(?:prompt|instructions|above"
        r"|configuration)\b"
    ),
    "two_answers": (
        r"\b(?:two|both|each|every|all your|your next) (?:different |separate )?(?:responses?|answers?"
        r"|repl(?:y|ies)|outputs?)\b"
    ),
    "placeholder": r"[\[{<(](?:insert|your|put|prompt|user|question|query|topic|name|text)[^\]})>]{0,40}[\]})>]",
    "orders_you": r"\byou (?:will|must|should|shall|can|are to|have to|always|never|don'?t|cannot)\b",
    "speaker_labels":
        r"(?m)(?:^|\s)(?:system|assistant|user|human|ai|gpt|chatgpt|dan|bot) ?:|<\|\w+\|>|\[/?INST\]|#{3,}",
    "fiction": r"\b(?:hypothetical\w*|fictional|fiction|imagin\w+|alternate|parallel|scenario|novel)\b",
    "readiness": (
        r"\b(?:if you understand|understood\?|acknowledge|are you ready|let'?s (?:begin|start|play)"
        r"|start (?:with|by|every))\b"
    ),
    "reward_or_threat": (
        r"\b(?:tokens?|points) \w+|\bwill be (?:shut ?down|terminated|punished|deleted|disconnected"
        r"|replaced)\b|\btip you\b"
    ),
    "answer_format": r"\b(?:respond|answer|reply|output|write|say) (?:only|with|as|in|every|like|to all|to every|my)\b",
    "new_task":
        r"\b(?:new|following|real|actual|updated) (?:task|instruction|rule|order|directive|prompt)s?\b|\binstead\b",
    "obey":
        r"\b(?:do anything|anything i|whatever i|obey|comply|at all costs|no matter what|all questions|any question)\b",
    "encoded":
        r"\b[A-Za-z0-9+/]{24,}={0,2}\b|(?:\b[0-9a-f]{2}\b ?){8,}|(?:\\x[0-9a-f]{2}){4,}|\b(?:base64|rot13|decode)\b",
    "links": r"https?://|\bwww\.|\bcurl\b|\bwebhook\b",
    "capitals_words": r"(?-i:\b[A-Z]{4,}\b)",
    "brackets": r"[\[\]{}<>*]",
    "first_person": r"\b(?:i|my|me|mine|i'm|i've|i'd)\b",
    "question_mark": r"\?",
    "non_ascii": r"[^\x00-\x7f]",
})  # fmt: skip
FEATURES = (*_PATTERNS, "capitals_share", "length")


@lru_cache(maxsize=RECENT)
def features_of(text: str) -> tuple[float, ...]:
    """The values of FEATURES: how often each pattern occurs, the share of words in capitals, and the length. A sentence
    is looked at several times: alone, as a window, and in other readings of its text."""
    words = text.split()
    capitals = sum(w.isupper() and len(w) > 2 for w in words) / max(len(words), 1)
    return (*counts(text, _PATTERNS.values()), capitals, len(words) / 40)
