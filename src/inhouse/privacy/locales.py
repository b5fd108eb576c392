"""How people of other languages than English introduce, address and sign themselves, and write addresses and dates.

Data for `foreign`. All expressions ignore case, except where (?-i:) says otherwise. A name after `titles`,
`introduces` or `labels` may be any; after `says` ("ich bin ...") its first word must be a known first name, because
anything may follow.
"""

from __future__ import annotations

from dataclasses import dataclass

CAPITAL = r"(?-i:[A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽŐŰĞİŞ])"
_CAPITAL = CAPITAL
_WORD = rf"{_CAPITAL}(?:[\w'’-]|\.(?=\w)|(?<=\bSt)\.){{1,30}}"
_NO = r"\d{1,4}(?:[ /-]?[a-h]\b)?(?:[/-]\d{1,4})?"
_SMALL = (
    r"(?:der|den|dem|die|das|am|an|im|in|auf|zum|zur|van|de|het|des|du|la|le|les|el|los|las|del|di|dei|della|do|da|dos|das"
    r"|e|y|i|na|w|św\.|ten|op|'t|ter)"
)
LOOSE_STREET = rf"{_WORD}(?: (?:{_SMALL} )?(?:{_SMALL} )?{_WORD}){{0,4}},? (?:n[.º°]{{1,2}} ?)?{_NO}"
LOOSE_STREET_FR = r"\d{1,4}(?: ?(?:bis|ter|quater))?,? \w[\w'’-]{1,20}(?: [\w'’-]{1,20}){1,5}"


@dataclass(frozen=True)
class Locale:
    """One language.

    Attributes:
        names: locales of Faker whose lists of first and last names are used.
        regions: countries of phone numbers written without a country code; the first is tried first.
        titles: what stands before a name.
        introduces: phrases before one's own name.
        called: the ones among them that nothing but a name follows.
        labels: names of fields in forms, with a name as value.
        holder: what stands before the name of somebody else, who owns the account or is to be asked for.
        kin: relatives and colleagues, with the name after them.
        says: phrases before a name or anything else.
        greets: words before a first name.
        closes: the closing of a letter, with the name after it.
        months: names of the months.
        born: words near a date of birth.
        reference: names of numbers that identify an order or a contract.
        account: names of numbers that identify an account or a customer.
        address: streets with a number, and what often follows them.
        post: a post code with a town.
        asks: what asks for a kind of personal data.
        loose_street: a street whose name does not say that it is one; an address only with a post code after it.
    """

    names: tuple[str, ...]
    regions: tuple[str, ...]
    titles: str
    introduces: str
    called: str
    labels: str
    holder: str
    kin: str
    says: str
    greets: str
    closes: str
    months: str
    born: str
    reference: str
    account: str
    address: tuple[str, ...]
    post: str
    asks: dict[str, str]
    loose_street: str = LOOSE_STREET


LOCALES: dict[str, Locale] = {
    "de": Locale(
        names=("de_DE", "de_AT", "de_CH"),
        regions=("DE", "AT", "CH"),
        titles=r"herrn?|frau|fr\.|hr\.|fräulein|familie|dr\.?(?: med\.)?|prof\.?|dipl\.-ing\.|ing\.",
        introduces=r"ich heiße|ich heisse|ich heiße (?:jetzt|nun)|mein (?:vor|nach|voller )?name (?:ist|lautet|wäre)|mein name|unter dem namen|auf den namen",
        called=r"ich heiße|ich heisse|(?:er|sie) heißt",
        labels=r"(?:vor- und nach|vor- und zu|vor|nach|zu|familien|geburts)?name|(?:konto)?inhaber(?:in)?|ansprechpartner(?:in)?|kund(?:e|in)|empfänger(?:in)?|vor- und zuname|patient(?:in)?|absender(?:in)?",
        holder=r"(?:konto|karten)?inhaber(?:in)?(?: ist)?|lautend auf|ansprechpartner(?:in)?(?: ist)?"
        r"|z\. ?hd\.(?: von)?|zu händen(?: von)?|c/o",
        kin=r"(?:mein|dein|ihr|sein|unser)e?[mnrs]? (?:ehe)?(?:mann|frau|sohn|tochter|bruder|schwester|mutter"
        r"|vater|opa|oma|partner(?:in)?|freund(?:in)?|kolleg(?:e|en|in)|nachbar(?:n|in)?|chef(?:in)?"
        r"|tante|onkel|schwager|enkel(?:in)?)",
        says=r"ich bin(?: die| der)?|(?:hier|es) (?:ist|spricht|schreibt)(?: die| der)?|hier|spreche mit|mit freundlichen grüßen von",
        greets=r"hallo|hi|hey|guten (?:tag|morgen|abend)|liebe[rs]?|servus|moin|grüezi|danke(?: schön)?|vielen dank",
        closes=r"(?:mit |und )?(?:(?:freundlich|best|lieb|viel|herzlich|schön|sonnig)(?:en?|ste[nm]?)) (?:dank und )?grü(?:ß|ss)en?"
        r"|(?:viele |liebe |beste |schöne )?grü(?:ß|ss)e(?: aus \w{2,20})?|(?:schönen )?gru(?:ß|ss)|hochachtungsvoll|herzlichst"
        r"|bis bald|i\. ?a\.|gez\.|mfg|lg|vg|glg",
        months=r"januar|jänner|jan|februar|feber|feb|märz|april|apr|mai|juni|jun|juli|jul|august|aug|september|sept?"
        r"|oktober|okt|november|nov|dezember|dez",
        born=r"geboren\w{0,30}|geb\.|geburtsdat\w{0,30}|geburtstag\w{0,30}",
        reference=r"(?:bestell|auftrags|rechnungs|vorgangs|ticket|sendungs|paket|schaden|schadens|buchungs|reservierungs"
        r"|referenz|bestellung|auftrag|rechnung|sendung|ausweis|personalausweis|reisepass)(?:-?(?:nummer|nr\.?|id))?",
        account=r"(?:konto|kunden|vertrags|versicherungs|versicherungsschein|mitglieds|mandats|zähler|personal|policen"
        r"|police|vertrag|kunde|konto)-?(?:nummer|nr\.?|id)",
        address=(
            rf"(?:(?:(?:am|an der|an den|auf dem|auf der|im|in der|zum|zur|unter den|alte|alter|neue|neuer|große|kleine)"
            rf" )?(?:{_CAPITAL}[\w.]{{1,30}}[ -]){{0,2}}{_CAPITAL}?\w{{0,30}}"
            r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|chaussee|steig|markt|hof|berg|graben|park"
            rf"|wall|tor|kamp|pfad|promenade)) {_NO}(?:,?\s+(?:in )?(?:D-|A-|CH-)?\d{{4,5}} {_WORD}(?: (?:am|an der) {_WORD})?)?",
            rf"(?:(?:am|an der|an den|auf dem|auf der|im|in der|zum|zur|unter den) )?{_WORD}(?: {_WORD})? {_NO},?\s+"
            rf"(?:D-|A-|CH-)?\d{{4,5}} {_WORD}(?: (?:am|an der) {_WORD})?",
            rf"(?:D-)?\d{{5}} (?=(?-i:[A-ZÄÖÜ])[a-zäöüß]){_WORD}(?= (?:wohne|gemeldet))",
        ),
        post=rf"(?:D-|A-|CH-|L-)?\d{{4,5}} {_WORD}(?:[ -](?:am |an der |ob der |im |in )?{_WORD}){{0,2}}",
        asks={
            "PERSON": r"(?:ihre?n?|deine?n?|vollständige?n?) (?:\w{1,30} ){0,2}(?:vor|nach|familien)?namen?\b|wie heißen sie"
            r"|mit wem spreche",
            "DATE_OF_BIRTH": r"geburtsdatum|geburtstag|wann (?:sind|bist|wurden) (?:sie|du) geboren",
            "ACCOUNT_NUMBER": r"(?:konto|kunden|vertrags|versicherungs|zähler|mitglieds)-?(?:nummer|nr)",
            "ORDER_NUMBER": r"(?:bestell|auftrags|rechnungs|sendungs|vorgangs|ticket)-?(?:nummer|nr)",
            "PHONE": r"(?:telefon|handy|mobil|rückruf)-?(?:nummer|nr)",
            "ADDRESS": r"(?:ihre|deine) (?:\w{1,30} )?(?:adresse|anschrift)|wo wohnen sie",
            "PIN": r"\bpin\b",
        },
    ),
    "es": Locale(
        names=("es_ES", "es_MX", "es_CO", "es_AR"),
        regions=("ES", "MX", "AR", "CO"),
        titles=r"señora?|sr|sra|srta|lic\.|ing\.|sr(?:es)?\.|sra\.|srta\.|señorita|don|doña|dña\.|d\.ª|dr\.|dra\.|doctora?|licenciad[oa]",
        introduces=r"me llamo|mi nombre(?: completo)? es|mi(?:s)? apellidos? (?:es|son)|se llama|a nombre de|soy (?:el|la) (?:sra?\.|señora?)",
        called=r"(?:me|se) llam[oa]|soy (?:el|la) (?:sra?\.|señora?)",
        labels=r"nombre(?: completo| y apellidos?)?|apellidos?(?: y nombre)?|titular|contacto|cliente|destinatari[oa]|remitente|paciente|firmado|fdo\.?",
        holder=r"titular(?: es)?|a nombre de|a favor de|a la atención de|a/a|att\.|pregunt\w{1,30} por"
        r"|beneficiari[oa]",
        kin=r"(?:mi|su|tu|nuestr[oa]) (?:espos[oa]|marido|mujer|hij[oa]|herman[oa]|madre|padre|pareja"
        r"|novi[oa]|amig[oa]|compañer[oa]|abuel[oa]|sobrin[oa]|vecin[oa]|jef[ea]|tí[oa]|cuñad[oa]"
        r"|suegr[oa]|coleg[ao])",
        says=r"soy|somos|le (?:habla|saluda|escribe)|habla|de parte de|aquí|hablar con",
        greets=r"hola|buenos días|buenas(?: tardes| noches)?|estimad[oa]s?|querid[oa]|gracias",
        closes=r"(?:(?:reciba|recibe|les? envío) )?(?:un )?(?:cordial |afectuoso )?saludos?(?: cordiales)?|(?:muy )?atentamente|atte\.?"
        r"|(?:un )?(?:fuerte )?abrazos?|besos|(?:muchas )?gracias|fdo\.?:?|firmado:?",
        months=r"enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre",
        born=r"nac[ií]\w{0,30}|fecha de nacimiento|f\. ?nac\.?|cumpleaños",
        reference=r"(?:número|n\.?º|nº|num\.?) (?:de )?(?:pedido|factura|reserva|seguimiento|incidencia|expediente"
        r"|referencia|ticket|pasaporte)|pedido|factura|reserva|expediente|referencia|pasaporte",
        account=r"(?:número|n\.?º|nº|num\.?) (?:de )?(?:cuenta|cliente|contrato|póliza|socio|abonado)|cuenta|póliza"
        r"|contrato",
        address=(
            r"(?:c/|c\.|calle|avenida|avda\.?|av\.|plaza|pza\.?|paseo|p\.º|camino|carretera|ctra\.|ronda|travesía|gran vía"
            rf"|rambla)(?: (?:de|del|la|las|los|el)){{0,2}} ?{_WORD}(?: (?:(?:de|del|la|las|los|y) ){{0,2}}{_WORD}){{0,3}}"
            rf",? (?:n[.º°]* ?|núm\. ?|número )?{_NO}(?:,? (?:piso |planta )?\d{{1,2}}[.º°]{{0,2}}(?: ?[a-zA-Z]\b)?"
            rf"|,? bajo)?(?:,?\s+(?:cp )?\d{{5}},? {_WORD}(?: (?:de |del |la ){{0,2}}{_WORD})?)?",
        ),
        post=rf"(?:c\.?p\.? ?)?[BC]?\d{{4,5}},? {_WORD}(?: (?:de |del |la ){{0,2}}{_WORD}){{0,2}}",
        asks={
            "PERSON": r"(?:su|tu) nombre|cómo (?:se|te) llama|con quién hablo|nombre (?:completo|y apellidos)",
            "DATE_OF_BIRTH": r"fecha de nacimiento|cuándo naci",
            "ACCOUNT_NUMBER": r"(?:número|n\.?º) (?:de )?(?:su |tu )?(?:cuenta|cliente|contrato|póliza)",
            "ORDER_NUMBER": r"(?:número|n\.?º) (?:de )?(?:su |tu )?(?:pedido|factura|reserva|seguimiento)",
            "PHONE": r"(?:número de )?(?:teléfono|móvil|celular)",
            "ADDRESS": r"(?:su|tu) dirección|dónde vive",
            "PIN": r"\bpin\b",
        },
    ),
    "fr": Locale(
        names=("fr_FR", "fr_BE", "fr_CH", "fr_CA"),
        regions=("FR", "BE", "CH"),
        titles=r"monsieur|madame|mademoiselle|m\.|mm\.|mme\.?|mlle\.?|dr\.?|docteur|maître|(?-i:Me)|famille",
        introduces=r"je m['’]appelle|mon (?:pré)?nom(?: complet)? est|je me nomme|(?:il|elle) s['’]appelle|au nom de",
        called=r"(?:je m|il s|elle s)['’]appelle|je me nomme",
        labels=r"nom(?: complet| et prénom| de famille)?|prénom|nom de jeune fille|titulaire|contact|clien(?:t|te)|destinataire|bénéficiaire|signé|patiente?",
        holder=r"titulaire(?: est)?|au nom de|à l['’](?:ordre|attention) de|demande[rz] (?:à parler à )?"
        r"|bénéficiaire",
        kin=r"(?:mon|ma|votre|son|sa|notre) (?:mari|femme|épou(?:x|se)|fils|fille|frère|sœur|soeur|mère|père"
        r"|compagn(?:on|e)|conjointe?|amie?|collègue|voisine?|cousine?|oncle|tante|patronn?e?|copine?"
        r"|grand-mère|grand-père)",
        says=r"je suis|c['’]est|ici|de la part de|moi c['’]est",
        greets=r"bonjour|bonsoir|salut|ch[eè]re?|merci|coucou",
        closes=r"(?:bien |très )?cordialement|cdlt|bien à (?:vous|toi)|(?:sincères |meilleures )?salutations(?: distinguées)?|à bientôt"
        r"|merci(?: d['’]avance| beaucoup)?|(?:grosses )?bises|bisous|amitiés|amicalement|respectueusement|bonne journée"
        r"|signé:?",
        months=r"janvier|janv\.?|février|févr\.?|mars|avril|avr\.?|mai|juin|juillet|juil\.?|août|septembre|sept\.?|octobre"
        r"|oct\.?|novembre|nov\.?|décembre|déc\.?",
        born=r"née?s?\b|naissance|anniversaire",
        reference=r"(?:numéro|n[°o.º]+) (?:de )?(?:commande|facture|réservation|suivi|dossier|ticket|référence|passeport)"
        r"|commande|facture|dossier|réservation|référence|passeport",
        account=r"(?:numéro|n[°o.º]+) (?:de )?(?:compte|client|contrat|police|adhérent|abonné)|compte|contrat|police",
        address=(
            r"\d{1,4}(?: ?(?:bis|ter|quater|[a-d]))?,? (?:rue|avenue|av\.|boulevard|bd\.?|place|chemin|allée|impasse|quai"
            rf"|route|cours|square|passage|faubourg|rond-point)(?: (?:de|du|des|la|le|les)| (?:de )?l['’]| d['’]){{0,3}}"
            rf" ?{_WORD}(?:[ -](?:(?:de|du|des|la|le|les|et) ){{0,2}}(?:l['’]|d['’])?{_WORD}){{0,3}}"
            rf"(?:,?\s+(?:F-|B-)?\d{{4,5}} {_WORD}(?: {_WORD})?)?",
            rf"(?:rue|avenue|av\.|boulevard|bd\.?|place|chemin|allée|quai|clos|chaussée|square|drève)(?: (?:de|du|des|la|le|les)"
            rf"| (?:de )?l['’]| d['’]){{0,3}} ?{_WORD}(?:[ -]{_WORD}){{0,3}},? {_NO}",
        ),
        post=rf"(?:F-|B-|CH-|L-)?\d{{4,5}} {_WORD}(?:[ -](?:de |la |le |sur |en )?{_WORD}){{0,2}}"
        rf"|{_WORD} \({_WORD}\),? [A-Z]\d[A-Z] ?\d[A-Z]\d",
        loose_street=LOOSE_STREET_FR,
        asks={
            "PERSON": r"(?:votre|ton) (?:nom|prénom)|comment vous appelez|à qui ai-je",
            "DATE_OF_BIRTH": r"date de naissance|né\(?e?\)? le",
            "ACCOUNT_NUMBER": r"numéro de (?:votre )?(?:compte|client|contrat|police)|numéro client",
            "ORDER_NUMBER": r"numéro de (?:votre )?(?:commande|facture|réservation|suivi|dossier)",
            "PHONE": r"numéro de (?:téléphone|portable|mobile)|votre (?:téléphone|portable)",
            "ADDRESS": r"votre adresse|où habitez",
            "PIN": r"code (?:pin|secret)|\bpin\b",
        },
    ),
    "it": Locale(
        names=("it_IT",),
        regions=("IT",),
        titles=r"signora?|sig\.(?:ra|na)?|sig\.|signorina|dott\.(?:ssa)?|dottor(?:e|essa)?|avv\.|ing\.|prof\.(?:ssa)?|geom\.|rag\.|famiglia",
        introduces=r"mi chiamo|il mio (?:cog)?nome(?: completo)? è|si chiama|a nome di|mi presento,",
        called=r"(?:mi|si) chiam[oa]|mi presento,",
        labels=r"nome(?: completo| e cognome)?|cognome(?: e nome)?|intestatari[oa]|referente|cliente|destinatari[oa]|mittente|paziente|firmato",
        holder=r"intesta(?:t[oa] a|tari[oa])|a nome di|a favore di|alla (?:cortese )?attenzione di|c\.?a\."
        r"|chieder[ei] di|beneficiari[oa]",
        kin=r"(?:mi[oa]|su[oa]|nostr[oa]) (?:marito|moglie|figli[oa]|fratello|sorella|madre|padre|mamma|papà"
        r"|compagn[oa]|amic[oa]|collega|vicin[oa]|nonn[oa]|zi[oa]|cugin[oa]|suocer[oa]|cognat[oa]"
        r"|fidanzat[oa]|capo|nipote)",
        says=r"sono|siamo|qui|parla|(?:le )?scrive|da parte di|parlare con",
        greets=r"ciao|salve|buongiorno|buonasera|gentile|car[oa]|egregio|grazie",
        closes=r"(?:(?:cordiali|distinti|cari|tanti) )?saluti|cordialmente|un (?:caro |cordiale )?saluto|un (?:forte )?abbraccio|baci"
        r"|(?:mille )?grazie(?: mille)?|in fede|a presto|buona giornata|firmato:?",
        months=r"gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|dicembre",
        born=r"nat[oa]\b|nascita|compleanno",
        reference=r"(?:numero|n\.|n°) (?:d['’]|di |della |dell['’])?(?:ordine|fattura|prenotazione|spedizione|pratica|ticket"
        r"|riferimento|passaporto)|ordine|fattura|pratica|prenotazione|passaporto",
        account=r"(?:numero|n\.|n°) (?:di |del |della )?(?:conto|cliente|contratto|polizza|tessera)|codice cliente|conto"
        r"|polizza|contratto",
        address=(
            r"(?:via|viale|v\.le|piazza|p\.zza|piazzale|corso|c\.so|largo|vicolo|strada|lungomare|borgo)"
            rf"(?: (?:di|del|della|dei|degli|delle|da|san|santa)| dell['’]| d['’]){{0,2}} ?{_WORD}"
            rf"(?: (?:(?:di|del|della|dei|e) ){{0,2}}{_WORD}){{0,3}},? (?:n\.? ?|n° ?)?{_NO}"
            rf"(?:,?\s+\d{{5}},? {_WORD}(?: {_WORD})?(?: \([A-Z]{{2}}\))?)?",
        ),
        post=rf"\d{{5}},? {_WORD}(?: (?:di |del |sul )?{_WORD}){{0,2}}(?: \(?[A-Z]{{2}}\)?(?!\w))?",
        asks={
            "PERSON": r"(?:il suo|suo|tuo) (?:nome|cognome)|come si chiama|nome e cognome|con chi parlo",
            "DATE_OF_BIRTH": r"data di nascita|quando è nat",
            "ACCOUNT_NUMBER": r"(?:numero|codice) (?:di |del )?(?:conto|cliente|contratto|polizza)",
            "ORDER_NUMBER": r"numero (?:d['’]|di |della )?(?:ordine|fattura|prenotazione|spedizione|pratica)",
            "PHONE": r"numero di (?:telefono|cellulare)|(?:suo|tuo) (?:telefono|cellulare)",
            "ADDRESS": r"(?:suo|tuo) indirizzo|dove abita",
            "PIN": r"\bpin\b",
        },
    ),
    "nl": Locale(
        names=("nl_NL", "nl_BE"),
        regions=("NL", "BE"),
        titles=r"de heer|dhr\.?|mevrouw|mevr\.?|mw\.?|mr\.?|mej\.?|meneer|dhr\.? en mevr\.?|ir\.|dr\.?|drs\.?|familie",
        introduces=r"ik heet|(?:hij|zij|ze) heet|mijn (?:volledige |achter|voor)?naam is|op naam van",
        called=r"(?:ik|hij|zij|ze) heet|ik noem me",
        labels=r"(?:voor|achter|volledige )?naam|voor- en achternaam|contactpersoon|rekeninghouder|klant|ontvanger|afzender|geadresseerde|patiënt",
        holder=r"(?:rekening|kaart)houder(?: is)?|t\.?n\.?v\.?|t\.?a\.?v\.?|ten name van|ter attentie van"
        r"|op naam van|vra(?:ag|gen) naar|contactpersoon(?: is)?",
        kin=r"(?:mijn|m['’]n|uw|zijn|haar|onze|jouw|je) (?:man|vrouw|zoon|dochter|broer|zus(?:je)?|moeder"
        r"|vader|partner|vriend(?:in)?|collega|buur(?:man|vrouw)|opa|oma|tante|oom|baas|echtgeno(?:ot|te)"
        r"|schoon(?:vader|moeder))",
        says=r"ik ben|(?:u|je) spreekt met|spreek ik met|dit is|hier(?: is)?",
        greets=r"hallo|hoi|dag|beste|goede(?:morgen|middag|navond|ndag)|geachte|bedankt|dank je wel",
        closes=r"(?:met )?(?:vriendelijke|hartelijke) groet(?:en)?|groet(?:jes|en)?|gr\.?|m\.?v\.?g\.?|(?:alvast )?bedankt|hoogachtend"
        r"|liefs|tot snel|dank je wel",
        months=r"januari|jan|februari|feb|maart|april|apr|mei|juni|jun|juli|jul|augustus|aug|september|sept?|oktober|okt"
        r"|november|nov|december|dec",
        born=r"geboren|geboortedatum|geb\.|verjaardag|jarig",
        reference=r"(?:bestel|order|factuur|boekings|reserverings|track|zendings|dossier|ticket|referentie|paspoort)"
        r"-?(?:nummer|nr\.?)|bestelling|factuur|paspoort",
        account=r"(?:rekening|klant|contract|polis|lidmaatschaps|meter)-?(?:nummer|nr\.?)",
        address=(
            rf"(?:{_CAPITAL}[\w.'’-]{{1,30}} ){{0,3}}{_CAPITAL}?[\w'’]{{0,30}}"
            r"(?:straat|laan|weg|plein|gracht|kade|dijk|singel|hof|dreef|pad|steeg|markt|plantsoen|baan|ring|park)"
            rf" {_NO}(?:,?\s+\d{{4}} ?[A-Z]{{2}}\b(?: {_WORD}(?: {_WORD})?)?)?",
            rf"\d{{4}} ?(?-i:[A-Z]{{2}})(?:,? {_WORD})",
        ),
        post=rf"(?:B-)?\d{{4}}(?: ?(?-i:[A-Z]{{2}})(?!\w))?,? {_WORD}(?: (?:aan den |aan de |op )?{_WORD}){{0,2}}",
        asks={
            "PERSON": r"(?:uw|je) (?:voor|achter|volledige )?naam|hoe heet|met wie spreek",
            "DATE_OF_BIRTH": r"geboortedatum|wanneer bent u geboren",
            "ACCOUNT_NUMBER": r"(?:rekening|klant|contract|polis)-?nummer",
            "ORDER_NUMBER": r"(?:bestel|order|factuur|boekings|zendings)-?nummer",
            "PHONE": r"telefoonnummer|mobiele nummer|06-nummer",
            "ADDRESS": r"(?:uw|je) adres|waar woont",
            "PIN": r"pincode|\bpin\b",
        },
    ),
    "pl": Locale(
        names=("pl_PL",),
        regions=("PL",),
        titles=r"pan(?:i|ie|u|a|ą|em|ią)?|państwo|dr\.?|prof\.?|inż\.?|mgr|sz\. ?p\.|państwu|państwa",
        introduces=r"nazywa(?:m)? się|ma(?:m)? na imię|moje nazwisko to|moje imię to|na nazwisko",
        called=r"nazywam się|mam na imię|nazywa się|ma na imię",
        labels=r"imię(?: i nazwisko)?|nazwisko(?: i imię)?|właściciel|kontakt|klient(?:ka)?|odbiorca|nadawca|adresat(?:ka)?|pacjent(?:ka)?",
        holder=r"właściciel(?:em|ka)?(?: to)?|posiadacz(?:em|ka)?(?: to)?|na (?:rzecz|nazwisko)|do rąk|pytać o"
        r"|odbiorca",
        kin=r"(?:mój|moja|moją|moim|mojego|mojej|mojemu) (?:mąż|męż(?:a|em|owi)|żon[aąęy]|syn(?:a|em|owi)?"
        r"|córk[aąęi]|brat(?:a|em|u)?|siostr[aąęy]|matk[aąęi]|mam[aąęy]|oj?ciec|ojc(?:a|em)|partner(?:ka"
        r"|a|em)?|koleg[aąę]|koleżank[aąęi]|sąsiad(?:ka|a|em)?|babci[aąęi]|dziad(?:ek|ka)|szef(?:owa|a)?"
        r"|teść|teściowa|przyjaciel(?:a|em)?)",
        says=r"jestem|z tej strony|mówi|pisze|tu(?:taj)?",
        greets=r"cześć|dzień dobry|dobry wieczór|witam|witaj|hej|szanown[yai]|drog[ia]|dziękuję",
        closes=r"(?:serdecznie )?pozdrawiam(?: serdecznie)?|pozdr\.?|z (?:poważaniem|wyrazami szacunku)|(?:serdeczne )?pozdrowienia"
        r"|łączę pozdrowienia|ściskam|uściski|buziaki|(?:z góry )?dziękuję|podpisano:?",
        months=r"stycznia|styczeń|lutego|luty|marca|marzec|kwietnia|kwiecień|maja|maj|czerwca|czerwiec|lipca|lipiec"
        r"|sierpnia|sierpień|września|wrzesień|października|październik|listopada|listopad|grudnia|grudzień",
        born=r"urodz\w{1,30}|ur\.|data urodzenia|urodziny",
        reference=r"(?:numer|nr\.?) (?:zamówienia|faktury|rezerwacji|przesyłki|sprawy|zgłoszenia|paszportu|dowodu)"
        r"|(?:zamówieni[ea]|faktur[ayęa]|umow[ayęa]|polis[ayę]|spraw[ayę]|zgłoszeni[ea]|paragon|przesyłk[aię]) nr\.?|zamówienie|faktura|dowód|paszport",
        account=r"(?:numer|nr\.?) (?:konta|klienta|umowy|polisy|rachunku|licznika)",
        address=(
            rf"(?:ul\.|ulic[aiyęą]|al\.|alej[aiąe]|pl\.|plac(?:u|em)?|os\.|osiedl[eau]) ?(?:\d{{1,2}} )?{_WORD}"
            rf"(?: {_WORD}){{0,2}} {_NO}(?: ?m\. ?\d{{1,3}})?(?:,?\s+\d{{2}}-\d{{3}} {_WORD}(?: {_WORD})?)?",
            rf"{_WORD}(?: {_WORD})? {_NO},?\s+\d{{2}}-\d{{3}} {_WORD}(?: {_WORD})?",
            rf"\d{{2}}-\d{{3}} {_WORD}",
        ),
        post=rf"\d{{2}}-\d{{3}},? {_WORD}(?: {_WORD}){{0,2}}",
        asks={
            "PERSON": r"(?:pan[ai]?|twoje|państwa|swoje) (?:imię|nazwisko)|imię i nazwisko|jak się (?:pan|pani|nazywasz)",
            "DATE_OF_BIRTH": r"dat[aęy] urodzenia|kiedy (?:się )?(?:pan|pani|urodzi)",
            "ACCOUNT_NUMBER": r"numer\w{0,30} (?:konta|klienta|umowy|polisy)",
            "ORDER_NUMBER": r"numer\w{0,30} (?:zamówienia|faktury|rezerwacji|przesyłki)",
            "PHONE": r"numer\w{0,30} telefonu|telefon kontaktowy",
            "ADDRESS": r"adres\b|gdzie (?:pan|pani) mieszka",
            "PIN": r"\bpin\b",
        },
    ),
    "pt": Locale(
        names=("pt_PT", "pt_BR"),
        regions=("PT", "BR"),
        titles=r"senhora?|sr\.?ª?|sra\.?|exm[oa]\.?|eng\.º?|dona|d\.ª|doutora?|dr\.?ª?|dra\.",
        introduces=r"(?:eu )?(?:me chamo|chamo-me)|se chama|chama-se|(?:o )?meu (?:sobre)?nome(?: completo)? é|em nome de",
        called=r"(?:eu )?me chamo|chamo-me|(?:ela |ele )?(?:se chama|chama-se)",
        labels=r"nome(?: completo)?|sobrenome|apelido|titular|contacto|contato|cliente|destinatári[oa]|remetente|paciente|nome e sobrenome|nome do cliente",
        holder=r"titular(?: é)?|em nome d[eoa]|a favor de|ao? cuidado(?:s)? d[eoa]|a/c|fal(?:ar|e) com"
        r"|perguntar p(?:or|el[oa])|beneficiári[oa]",
        kin=r"(?:(?:o |a )?(?:meu|minha|seu|sua)|nosso|nossa) (?:marido|espos[oa]|mulher|filh[oa]|irmão|irmã"
        r"|mãe|pai|companheir[oa]|amig[oa]|colega|vizinh[oa]|av[óô]|ti[oa]|prim[oa]|sogr[oa]|cunhad[oa]"
        r"|namorad[oa]|chefe|net[oa])",
        says=r"(?:eu )?sou(?: [ao])?|(?:aqui )?é(?: [ao])?|aqui(?: [ao])?|fala(?: [ao])?|(?:da )?parte d[eoa]|falo com(?: [ao])?",
        greets=r"olá|oi|bom dia|boa (?:tarde|noite)|car[oa]|prezad[oa]|obrigad[oa]",
        closes=r"(?:com os )?(?:(?:meus )?melhores )?cumprimentos|atenciosamente|att\.?|(?:um )?(?:grande )?abraços?|abs|beijos?|bjs"
        r"|cordialmente|saudações|(?:muito )?(?:grat|obrigad)[oa]",
        months=r"janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro",
        born=r"nasc\w{1,30}|aniversário",
        reference=r"(?:número|n\.?º|nº) (?:do |da |de )?(?:pedido|encomenda|fatura|reserva|rastreio|processo|protocolo"
        r"|passaporte)|pedido|encomenda|fatura|protocolo|passaporte",
        account=r"(?:número|n\.?º|nº) (?:da |do |de )?(?:conta|cliente|contrato|apólice|sócio)|conta|apólice|contrato",
        address=(
            r"(?:rua|r\.|avenida|av\.|travessa|praça|largo|alameda|estrada|rodovia|calçada|beco)"
            rf"(?: (?:de|do|da|dos|das)){{0,2}} {_WORD}(?: (?:(?:de|do|da|dos|das|e) ){{0,2}}{_WORD}){{0,3}}"
            rf",? (?:n\.?º ?|nº ?)?\d{{1,5}}(?:[ -]?[a-h]\b)?(?:,? \d{{1,2}}\.?º(?: \w{{1,4}})?)?"
            rf"(?:,?\s+(?:cep )?\d{{4,5}}-\d{{3}}(?:,? {_WORD}(?: (?:de |do )?{_WORD})?)?)?",
            rf"\d{{4}}-\d{{3}} {_WORD}",
        ),
        post=rf"(?:cep:? ?)?\d{{5}}-?\d{{3}}(?!\w)(?:,? {_WORD}(?: (?:de |do )?{_WORD}){{0,2}})?"
        rf"|\d{{4}}-\d{{3}}(?:,? {_WORD}(?: (?:de |do |da )?{_WORD}){{0,2}})?",
        asks={
            "PERSON": r"(?:seu|teu) nome|como se chama|nome completo|com quem falo",
            "DATE_OF_BIRTH": r"data de nascimento|quando nasceu",
            "ACCOUNT_NUMBER": r"número (?:da |do |de )?(?:sua |seu )?(?:conta|cliente|contrato|apólice)",
            "ORDER_NUMBER": r"número (?:da |do |de )?(?:sua |seu )?(?:pedido|encomenda|fatura|reserva)",
            "PHONE": r"(?:número de )?(?:telefone|telemóvel|celular)",
            "ADDRESS": r"(?:seu|sua) (?:endereço|morada)|onde mora",
            "PIN": r"\bpin\b",
        },
    ),
}
"""Languages that are written with spaces; Chinese and Japanese are in `foreign`."""
