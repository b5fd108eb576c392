"""Names of people, and words that are none, by language: Faker's lists of names, and spaCy's lists of stop words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules

from inhouse.errors import BackendError
from inhouse.privacy.locales import LOCALES
from inhouse.text.hidden import hidden

BY_CHARACTERS = ("zh", "ja")
PARTICLES = frozenset("von van der den de del della di da do dos das du la le el y zu zum zur ten ter af av".split())  # noqa: SIM905
"""Words inside names."""
NOT_FIRST = frozenset(
    """aimable allen berlin bien bon bonne buena bueno clair constant content contenta contento dag désiré feliz
    felice fleur fresco frisch gut hola jolie leider lieb libre lista listo moe nuevo nueva nuova nuovo
    paris prima prince pure quand ravi real reine roma serena sereno single sola solo soleil star sunny
    sure titular tous vrai welcome""".split()  # noqa: SIM905
)
"""Common words and cities among the first names."""
MORE_FIRST = frozenset(
    """kees wim henk joop sjaak teun bram adrián ahmet ajay aleksandr ali amina andriy ania anja asia ayşe
    bartek basia beto bogdan bui chema chico conchi dang dmytro duc emre fatma fatoumata gosia hakan
    halyna hans hoang huong ibrahim ihor inma iryna ivana javi jola jussara kasia kateryna krzysiek lena
    linh lola ludmila liudmila magda maja mamadou maricarmen mehmet merche mikołaj moussa mustafa mykola
    nacho nadia natalia nguyen nguyễn olena oleksandr oleksiy oksana ola olga ousmane paco paqui pepe
    petro pham phuong piotrek quang rafał renata serhii svitlana tadek tetiana thanh tomek tran trang
    tuan uli vasyl viktoriia volodymyr willemijn wojtek yulia yusuf yuliia zé zuzia""".split()  # noqa: SIM905
)
"""Common first names, and family names written first, that Faker's lists lack: of immigrants, and short forms."""
ROLES = frozenset(
    """ober doktor professor präsident präsidentin direktor direktorin minister ministerin richter richterin
    pfarrer bürgermeister bürgermeisterin kanzler kollege kollegin doctor doctora profesor profesora
    director directora presidente presidenta ministro ministra juez jueza alcalde alcaldesa gerente
    président présidente directeur directrice ministre maire juge professeur docteur dottore dottoressa
    direttore direttrice sindaco giudice avvocato professore professoressa voorzitter burgemeester
    rechter dokter dyrektor dyrektorze dyrektorem prezes prezesie prezesem kierownik kierowniku doktorze
    profesorze mecenasie sędzia ministrze diretor diretora juiz juíza prefeito prefeita doutor doutora
    engenheiro cliente client cliente kunde kundin klant klient klientka kunden clientes clients clienti
    klanten klienci team support service servicio servizio serviço kundenservice equipo équipe equipe
    zespół banco banca banque bank caixa crédit monsieur madame señor señora senhor senhora signora
    signor mevrouw meneer damen herren damas caballeros""".split()  # noqa: SIM905
)
"""What people are called instead of by their names, and who is not a person."""


def stop_words(language: str) -> frozenset[str]:
    """Words of the language that are no names."""
    return _stop_words(language) if language in LOCALES or language in BY_CHARACTERS else frozenset()


@lru_cache(maxsize=16)
def _stop_words(language: str) -> frozenset[str]:
    with hidden("spacy", "torch", "transformers"):
        package = find_spec("spacy.lang")
    folder = Path(((package and package.submodule_search_locations) or [""])[0])
    # Loaded by its path: the package of some languages takes two seconds to import.
    spec = spec_from_file_location(f"stop_words_{language}", folder / language / "stop_words.py")
    if spec is None or spec.loader is None:
        raise BackendError(f"spaCy has no stop words for {language}", "install inhouse again")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(w.casefold() for w in module.STOP_WORDS) - PARTICLES


@lru_cache(maxsize=16)
def known_names(language: str, kind: str) -> frozenset[str]:
    """First or last names ("first_names", "last_names") in lower case, from Faker's lists."""
    places = LOCALES[language].names if language in LOCALES else {"zh": ("zh_CN", "zh_TW"), "ja": ("ja_JP",)}[language]
    names: set[str] = set()
    for place in places:
        provider = import_module(f"faker.providers.person.{place}").Provider
        fields = [f for f in dir(provider) if f.startswith(kind)]
        for name in (n for f in fields for n in _strings(getattr(provider, f))):
            names.update(part.casefold() for part in name.split() if len(part) > 1 or language in BY_CHARACTERS)
    return frozenset(names)


@lru_cache(maxsize=1)
def first_names_anywhere() -> frozenset[str]:
    """First names of all countries in Faker's lists that are written with Latin letters, in lower case."""
    people = import_module("faker.providers.person")
    names = set(MORE_FIRST)
    for place in iter_modules(people.__path__):
        provider = import_module(f"{people.__name__}.{place.name}").Provider
        for name in (n for f in dir(provider) if f.startswith("first_names") for n in _strings(getattr(provider, f))):
            names.update(part.casefold() for part in name.split() if len(part) > 2 and part[0] < "\u0250")
    return frozenset(names) - NOT_FIRST


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for item in value:  # lists, dicts by weight, and pairs of two spellings
            yield from _strings(item)
