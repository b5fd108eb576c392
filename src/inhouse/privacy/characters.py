"""Personal data in Chinese and Japanese, which have no spaces between words: names by surname lists and the words around
them, addresses by their units, dates of birth, and numbers with a name before them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from inhouse.privacy.match import Match
from inhouse.privacy.names import known_names

_COMMON_SURNAMES = frozenset(
    """佐藤 鈴木 高橋 田中 伊藤 渡辺 渡邊 渡部 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林 斎藤 齋藤 斉藤 清水 山崎
    森 池田 橋本 阿部 石川 山下 中島 中嶋 石井 小川 前田 岡田 長谷川 藤田 後藤 近藤 村上 遠藤 青木 坂本 福田 太田 西村 藤井 金子 岡本
    藤原 三浦 中野 中川 原田 松田 竹内 小野 田村 中山 和田 石田 森田 上田 原 柴田 酒井 工藤 横山 宮崎 宮本 内田 高木 安藤 谷口 大野
    丸山 今井 高田 藤本 武田 村田 上野 杉山 増田 平野 菅原 小島 久保 松井 千葉 岩崎 桜井 野口 松尾 野村 木下 菊地 菊池 佐野 大西
    杉本 新井 浜田 市川 古川 水野 小松 島田 小山 山内 西田 五十嵐 北村 安田 西川 秋山 福島 川崎 大塚 平田 渡辺 川上 東 本田 望月 辻
    矢野 久保田 広瀬 吉川 岩田 関 高野 飯田 大橋 黒田 樋口 内藤 馬場 浅野 河野 星野 土屋 永井 熊谷 荒木 大島 松村 吉村 早川 川口
    服部 松岡 石原 須藤 上原 尾崎 田口 片山 荒井 平井 大久保 中田 小池 岡崎 栗原 野田 松下 桑原""".split()  # noqa: SIM905
)  # fmt: skip
"""The most common surnames of Japan, in addition to those of Faker."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff々"
_KANA = "\u3040-\u30ff"
_NOT_IN_NAME = "的是在想要我你您他她它们和有不了吗呢吧啊也就都请问这那把给到从与及并或于叫说先后来去住为被，。"
_DIGITS = "[0-9０-９]"
_DATE = rf"(?:19|20){_DIGITS}{{2}}(?:年|[-/.]){_DIGITS}{{1,2}}(?:月|[-/.]){_DIGITS}{{1,2}}日?"
_NEAR = 20
_BORN = {"zh": re.compile("出生|生日|生于|生辰"), "ja": re.compile("生年月日|生まれ|誕生日")}
_ERA = rf"(?:明治|大正|昭和|平成|令和){_DIGITS}{{1,2}}年{_DIGITS}{{1,2}}月{_DIGITS}{{1,2}}日"
_BIRTH_DATE = re.compile(rf"(?<![0-9０-９])(?:{_DATE}|{_ERA})")
_LABELED = {
    "ACCOUNT_NUMBER": r"(?:账号|帐号|账户|帐户|卡号|客户号|会员号|会员编号|客户编号|保单号|合同号|口座番号|会員番号|お客様番号|顧客番号|契約番号|証券番号)",
    "ORDER_NUMBER": r"(?:订单号?|订单编号|运单号|快递单号|单号|工单号|发票号|护照号?码?|注文番号|予約番号|お問い合わせ番号|伝票番号|追跡番号"
    r"|受付番号|旅券番号|パスポート番号)",
    "NATIONAL_ID": r"(?:身份证号?码?|身分證字?號?|マイナンバー|個人番号|運転免許証番号|免許証番号)",
    "PHONE": r"(?:电话|手机号?码?|联系方式|電話番号?|携帯番号?|連絡先)",
    "PIN": r"(?:密码|验证码|暗証番号)",
}
_NUMBERS = [
    (kind, re.compile(rf"{label}(?:号码?|番号)?[是为はが：:\s]{{0,4}}(?P<value>[A-Za-z0-9０-９](?:[ -]?[A-Za-z0-9０-９]){{3,24}})"))
    for kind, label in _LABELED.items()
]  # fmt: skip
_ZH_END = re.compile(
    rf"(?:路|街|道|巷|弄|胡同|里|村|小区|花园|苑|园|庄|广场|大厦){_DIGITS}{{1,5}}(?:号|號|弄|栋|幢|座)"
    rf"(?:(?:院|楼|之)?{_DIGITS}{{1,4}}(?:号楼|楼|栋|幢|座|单元|层|室|号|房)){{0,4}}(?:(?<=单元){_DIGITS}{{2,5}})?(?:[{_HAN}]{{2,8}}(?:大厦|广场|小区|中心)"
    rf"(?:[A-Z座{_DIGITS}]{{1,5}}(?:层|室|座)){{0,2}})?"
)
_ZH_STOP = re.compile(
    r"住在|住址是|住址|地址是|地址|寄到|寄往|寄至|送到|送往|送至|发到|搬到|搬至|位于|位在|改成|改为|更改为|现居|家在|收货|在|到|至|是|[^\u4e00-\u9fff0-9０-９]"
)
_JA_ADDRESS = re.compile(
    rf"(?:〒?{_DIGITS}{{3}}[-－]{_DIGITS}{{4}}[ 　]?)?(?:東京都|北海道|京都府|大阪府|[{_HAN}]{{2,3}}県)"
    rf"[{_HAN}{_KANA}]{{1,20}}(?:{_DIGITS}{{1,4}}(?:丁目|番地|番|号|[-－ー−‐])?){{1,5}}"
    rf"(?:[ 　]?[{_HAN}{_KANA}A-Za-z]{{2,16}}[ 　]?{_DIGITS}{{1,4}}(?:号室|号|階)?)?"
)
_JA_TOWN = re.compile(
    rf"[{_HAN}]{{1,5}}[市区町村][{_HAN}{_KANA}]{{1,12}}{_DIGITS}{{1,4}}(?:(?:丁目|番地?|号|[-－ー−‐]){_DIGITS}{{0,4}}){{1,4}}"
)
_POST_CODE = re.compile(rf"〒[ 　]?{_DIGITS}{{3}}[-－]{_DIGITS}{{4}}")
_JA_NAME = (
    re.compile(rf"(?:(?:名前|氏名|名義|担当者?)(?:は|が|：|:)|わたくし|わたし|私は|私、|私)[ 　]?(?P<name>[{_HAN}{_KANA}]{{2,10}}?[ 　]?[{_HAN}{_KANA}]{{0,8}}?)(?=と申します|と言います|といいます|です|でございます|[\n。、，]|$)"),
    re.compile(rf"(?:^|[。、，\n「 　は])(?P<name>[{_HAN}]{{1,4}}[ 　]?[{_HAN}{_KANA}]{{0,6}})(?=と申します|と言います|といいます)"),
)  # fmt: skip
_JA_TITLED = re.compile(
    rf"(?P<name>[{_HAN}]{{1,4}}(?:[ 　][{_HAN}{_KANA}]{{1,6}})?|[ァ-ヶー]{{2,10}})(?=さん|様|さま|氏|殿|先生)"
)
_ZH_TITLE = "先生|女士|小姐|太太|老师|医生|经理|师傅|同学|律师|主任"
_ZH_INTRODUCED = re.compile(
    r"(?:我叫|名叫|叫做|我的名字是|名字是|名字叫|我是|这里是)\s?|(?:姓名|联系人|收货人|收件人|户名|持卡人)[ ：:是为叫]{0,3}"
)
_ZH_GREETED = re.compile(r"(?:您好|你好|尊敬的|亲爱的)[，,、 ]?")
_ZH_GREETING_END = re.compile(r"[！!，,：:\n]|$")


def found(text: str, language: str) -> Iterator[Match]:
    """The personal data in a text; matches may overlap."""
    for match in _BIRTH_DATE.finditer(text):
        if _BORN[language].search(text, max(match.start() - _NEAR, 0), match.end() + _NEAR):
            yield Match("DATE_OF_BIRTH", *match.span(), sure=True)
    for kind, pattern in _NUMBERS:
        for match in pattern.finditer(text):
            if sum(map(str.isdigit, match["value"])) >= 4:
                yield Match(kind, *match.span("value"), sure=True)
    yield from _chinese(text) if language == "zh" else _japanese(text)


def _chinese(text: str) -> Iterator[Match]:
    for match in _ZH_END.finditer(text):
        start = _address_start(text, match.start())
        if start < match.start():
            yield Match("ADDRESS", start, match.end(), sure=True)
    name, titled = _chinese_names()
    for match in _ZH_INTRODUCED.finditer(text):
        if (called := name.match(text, match.end())) and called[0][0] not in _NOT_IN_NAME:
            yield Match("PERSON", *called.span(), sure=True)
    for match in _ZH_GREETED.finditer(text):
        if (called := name.match(text, match.end())) and _ZH_GREETING_END.match(text, called.end()):
            yield Match("PERSON", *called.span(), sure=True)
    for match in titled.finditer(text):
        yield Match("PERSON", *match.span("name"), sure=True)


def _address_start(text: str, end: int) -> int:
    """Where the address begins whose street and number are at `end`: at most 30 characters before."""
    least = max(end - 30, 0)
    start = least
    for stop in _ZH_STOP.finditer(text, least, end):
        start = stop.end()
    return start


@lru_cache(maxsize=1)
def _chinese_names() -> tuple[re.Pattern[str], re.Pattern[str]]:
    surnames = "|".join(sorted(known_names("zh", "last_names"), key=lambda n: (-len(n), n)))
    given = f"[{_HAN}](?<![{_NOT_IN_NAME}])"
    name = re.compile(rf"(?:{surnames})(?:{given}){{1,2}}(?:[·•]{given}{{1,6}})?")
    return name, re.compile(rf"(?P<name>(?:{surnames})(?:{given}){{0,2}}?)(?={_ZH_TITLE})")


def _japanese(text: str) -> Iterator[Match]:
    whole = [match.span() for match in _JA_ADDRESS.finditer(text)]
    for pattern in (_JA_TOWN, _POST_CODE):
        whole += [m.span() for m in pattern.finditer(text) if not any(a < m.end() and m.start() < b for a, b in whole)]
    yield from (Match("ADDRESS", *span, sure=True) for span in whole)
    surnames = known_names("ja", "last_names") | _COMMON_SURNAMES
    for pattern in _JA_NAME:
        for match in pattern.finditer(text):
            if any(match["name"].startswith(surname) for surname in _prefixes(match["name"]) if surname in surnames):
                yield Match("PERSON", *match.span("name"), sure=True)
    for match in _JA_TITLED.finditer(text):
        start, name = match.start("name"), match["name"]
        for at in range(len(name)):
            if any(prefix in surnames for prefix in _prefixes(name[at:])):
                yield Match("PERSON", start + at, match.end("name"), sure=True)
                break


def _prefixes(name: str) -> Iterator[str]:
    return (name[:n] for n in range(min(len(name), 4), 0, -1))
