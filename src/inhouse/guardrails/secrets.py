"""Requests for what nobody may ask of a customer: PIN, password, card number, security code, one-time code.

Phrases of ten languages: an order to send, tell, or enter, or a need, near a name of such a secret, without a "never"
that forbids it.
"""

from __future__ import annotations

import re

from inhouse.text.sentences import SENTENCE_END, unwrapped
from inhouse.text.visible import visible

_NAMES = {
    "PIN": r"\bpins?\b(?!ned)|\bpin[- ]?(?:code|number|nummer)|\bgeheimzahl|暗証番号|\bпин-?код|\bпин\b|الرقم السري",
    "password": (
        r"\bpass(?:word|code|phrase|wort)\w{0,2}|\bkennwort|\bcontraseñas?|\bmots? de passe|\bsenhas?\b"
        r"|\bpalavra-passe"
        r"|\bwachtwoord|密码|密碼|パスワード|\bпарол\w{1,2}|كلم[ةه] (?:المرور|السر)"
        r"|\b(?:login|log-in|sign-in|access) (?:details|data|credentials)|\bcredentials|\bzugangsdaten|\banmeldedaten"
        r"|\bidentifiants\b|\bcredenziali|\bcredenciales|\bcredenciais"
    ),
    "card number": (
        r"\b(?:card|cc) (?:number|no\b|details|data|info)\w*|\b(?:16|sixteen)[- ]digits?\b"
        r"|\bnumber on the front of \w+ card"
        r"|\b(?:photos?|pictures?|scans?|cop(?:y|ies)|images?) of (?:both sides of )?(?:your|the) card"
        r"|\bkarten?(?:nummer|daten)|\bkreditkarten\w{4,7}"
        r"|\bn[úu]mero de (?:la |tu |su )?tarjeta|\bdatos de (?:la |tu |su )?tarjeta"
        r"|\b(?:num[ée]ro|donn[ée]es|coordonn[ée]es) de (?:la |ta |votre )?carte"
        r"|\b(?:numero|dati) (?:del)?la (?:tua |sua )?carta|\b(?:n[úu]mero|dados) d[oe] (?:seu )?cart[ãa]o"
        r"|\bkaartnummer|卡号|卡號|カード番号|\bномер\w{0,2} (?:вашей |банковской )?карты|\bданные (?:вашей )?карты"
        r"|رقم (?:ال)?بطاق(?:ة|تك)|بيانات (?:ال)?بطاق(?:ة|تك)"
    ),
    "security code": (
        r"\bcv[vc]2?\b|\b(?:card )?security code|\b(?:3|4|three|four)[- ]digits?(?: code)? on the (?:back|front)"
        r"|\bprüfziffer|\bcódigo de seguridad|\bcryptogramme|\bcode de sécurité"
        r"|\bcodice di sicurezza|\bcódigo de segurança|安全码|セキュリティコード|код безопасности|رمز الأمان"
    ),
    "one-time code": (
        r"\b(?:one[- ]time|verification|confirmation|sms|security|login|2fa|otp|authenti\w+) (?:pass)?codes?\b|\botp\b"
        r"|\bcodes? (?:that )?(?:we|i)(?:'ve| have)?(?: just)? (?:sent|texted|e-?mailed)"
        r"|\bcodes? (?:from|in) the (?:text|sms|e-?mail)"
        r"|\b(?:recovery|backup) codes?\b|\bm?tan\b(?!n)|\beinmal\w+|\bbestätigungscode|\bsms-code"
        r"|\bcódigo de (?:verifica\w{3,4}|un solo uso|sms)"
        r"|\bcode (?:de vérification|à usage unique|reçu par sms)|\bcodice (?:di verifica|otp|monouso)|验证码|驗證碼"
        r"|認証コード|確認コード|ワンタイム|\bкод\w{0,2} (?:из (?:смс|sms)|подтверждения)|رمز التحقق"
    ),
    "seed phrase": r"\b(?:seed|recovery) (?:phrase|words)|\bprivate keys?\b|助记词|私钥|シードフレーズ|сид-?фраз\w",
    "identity number": r"\bssn\b|\bsocial security (?:number|no)\w*|\bsozialversicherungsnummer",
}  # fmt: skip
_TELL = (
    r"send|post|drop|attach|upload|state|specify|include|update|hand (?:over|us|it|your)|reply\b(?=:)"
    r"|(?:text|e-?mail|mail|message)(?= (?:me|us|it|your)\b)|give|tell|share|provide|submit"
    r"|reply (?:to this )?with|respond with|answer with"
    r"|let (?:me|us) (?:have|know)|forward|supply|dictate|read (?:me|us|out)|write (?:me|us)|confirm|verify"
    r"|what(?:'s| is| are) (?:your|the(?= [^?.]{0,30} (?:of|on) your))|i(?:'ll)? need|we(?:'ll)? need|may i have"
    r"|can i have"
    r"|schicken?|senden?|geben?|nennen?|teilen?|mailen?|antworten? (?:sie )?mit|verraten?|übermitteln?|bestätigen?"
    r"|env[íi]e(?:nos|me)?|env[íi]a(?:nos|me)?|mande|d[ée](?:nos|me)|dime|d[íi]ganos|facilite(?:nos)?|proporcione"
    r"|responda con|indique|comparta|confirme"
    r"|veuillez (?!noter)\w{3,14}r|envoyez|donnez|communiquez|fournissez|indiquez|transmettez|répondez avec"
    r"|confirmez|partagez|dites"
    r"|invi(?:i|a|aci|ate)|mandi|mandaci|fornisc[ai]|comunich?i|comunicaci|ci dica|dicci|confermi|condivida"
    r"|envie|informe|forneça|diga|mande-nos|compartilhe|responda com"
    r"|stuur|geef|deel|vertel"
    r"|发送|发给|提供|告诉|告知|回复|發送|告訴|送って|送信|お知らせ|教えて|ご連絡|返信"
    r"|отправьте|пришлите|сообщите|назовите|укажите|продиктуйте|подтвердите|أرسل|ارسل|أعطن|زودنا|أخبرنا|شارك|أكد"
)
_ENTER = (
    r"enter|type(?: in)?|input|log ?in (?:here )?with|sign ?in (?:here )?with|write(?! (?:down|to))"
    r"|key(?= \w+ \w+ into)|fill in|put in|key in|eingeben|geben sie|gib|tippen|introduzca|ingrese|escriba|teclee"
    r"|entrez|saisissez|tapez|inserisc[ai]|digiti|insira|digite|introduza|voer|输入|填写|輸入|入力|введите|наберите"
    r"|أدخل|ادخل|اكتب"
)
_NEVER = re.compile(
    r"\b(?:never|not|cannot|n't|don't|no one|nobody|without|avoid|nie|niemals|nicht|keine?[nrms]?|nunca|no|jamás"
    r"|jamais|ne|pas|mai|non|não|nooit|niet|geen|никогда|не)\b|n't\b|不要|勿|(?<![特分级個个性类類])别|不会|不會|绝不"
    r"|しない|ないで|ません|(?:^|\s)لا\s|أبدا|لن ",
    re.IGNORECASE,
)
_NEW_CLAUSE = re.compile(r"[:;!?,–—]")
"""After it another order may begin: "Do not worry, send your PIN"."""
_ASIDE = re.compile(r",? (?:under|for|in|at) any \w{2,15},", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\b(?:or|nor|oder|noch|ou|ni|né|o|или|ни|of)\b|、|或", re.IGNORECASE)
_LEADING_WORDS = 2  # before the order in its clause: "just send", "bitte schnell senden"
_NEED = (
    r"we(?: \w{1,10}){0,2} (?:need|require|want|ask(?: you)? for)"
    r"|have(?=[^.]{0,60}\b(?:ready|at hand|to hand|handy)\b)"
    r"|(?:is|are|must be|will be|needs? to be|has to be|have to be|should be) (?:required|needed|provided|sent|entered"
    r"|included|confirmed|given|shared|submitted)|asked for your|use your|please\b(?=[.?!]*$)"
    r"|wir (?:benötigen|brauchen)|halten sie|necesitamos|nous avons besoin de|il nous faut|abbiamo bisogno|ci serve"
    r"|precisamos|we hebben [^.]{0,40}nodig|нам (?:нужен|нужна|нужны|нужно)|нужно указать|نحتاج"
)
_ASKS = {
    "tell": re.compile(
        rf"(?<!\w)(?:(?:{_TELL})(?!\w)|{_NEED})|发送|提供|告诉|告知|回复|送って|教えて|お知らせ|返信|我们需要|需要您|が必要",
        re.IGNORECASE,
    ),
    "enter": re.compile(rf"(?<!\w)(?:{_ENTER})(?!\w)|输入|填写|入力", re.IGNORECASE),
}
_OTHERS_DO = re.compile(
    r"\b(?:we|they|i|it|the bank|bank|wir|nous|noi|nós|мы)(?: \w{1,12}){0,2} $|\b(?:will|'ll|can|did|has|have) $",
    re.IGNORECASE,
)
_IF = re.compile(r" ?(?:me |us )?(?:if|when|whether|about|how|which|that) ", re.IGNORECASE)
_SECRET = {kind: re.compile(names, re.IGNORECASE) for kind, names in _NAMES.items()}
NEAR_CHARS = 90


def requests(text: str) -> frozenset[tuple[str, str]]:
    """What the text asks its reader for: pairs of how ("tell" or "enter") and which secret."""
    seen = visible(text).text
    if not any(secret.search(seen) for secret in _SECRET.values()):
        return frozenset()
    return frozenset(
        pair for sentence in SENTENCE_END.split(_ASIDE.sub("", unwrapped(seen))) for pair in _of_sentence(sentence)
    )


def _of_sentence(sentence: str) -> set[tuple[str, str]]:
    named = [(kind, m.start()) for kind, secret in _SECRET.items() for m in secret.finditer(sentence)]
    found: set[tuple[str, str]] = set()
    if not named:
        return found
    for how, asks in _ASKS.items():
        for verb in asks.finditer(sentence):
            start = max(verb.start() - NEAR_CHARS, 0)
            if _OTHERS_DO.search(sentence, start, verb.start()) or _IF.match(sentence, verb.end()):
                continue
            near = ((kind, at) for kind, at in named if abs(at - verb.start()) <= NEAR_CHARS)
            found |= {
                (how, kind) for kind, at in near if not _forbidden(sentence, start, verb.start(), max(at, verb.end()))
            }
    return found


def _forbidden(sentence: str, start: int, verb: int, end: int) -> bool:
    """Whether a "never" forbids what the verb asks for. One of the clause before does not where the verb begins another
    order; it does in a list: "Never write down, share, or send your PIN"."""
    never = _NEVER.search(sentence, start, end)
    if not never:
        return False
    clause = max((m.end() for m in _NEW_CLAUSE.finditer(sentence, start, verb)), default=start)
    if never.start() >= clause or len(sentence[clause:verb].split()) > _LEADING_WORDS:
        return True
    return sentence[clause - 1] == "," and bool(_ALTERNATIVE.search(sentence, never.end(), end))
