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

_TWO_CHARACTERS = frozenset(
    """欧阳 歐陽 司马 司馬 上官 诸葛 諸葛 司徒 东方 東方 独孤 南宫 夏侯 皇甫 尉迟 公孙 公孫 慕容 长孙 宇文 轩辕 令狐 端木 呼延 申屠 太史 钟离 澹台
    公冶 宗政 濮阳 淳于 单于 赫连 闻人""".split()  # noqa: SIM905
)
"""Chinese surnames of two characters."""
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
    "ACCOUNT_NUMBER": r"(?:账号|帐号|账户|帐户|卡号|客户号|会员号|会员编号|客户编号|保单号|(?:合同|保单|订户|用户|账户|学|工|客户|会员|卡|積分|積立|帳|合約)(?:编号?码?|編號|号码?|號碼?)|帳號|帳戶|口座番号|会員番号|お客様番号|顧客番号|契約番号|証券番号)",
    "ORDER_NUMBER": r"(?:订单号?|订单编号|(?:订|运|工|发票|预约|预订|单据|申请|案件|訂|運)单?單?(?:编号|編號|号码?|號碼?)|運單號|订单号码|流水号|运单号|快递单号|单号|工单号|发票号|护照号?码?|注文番号|予約番号|お問い合わせ番号|伝票番号|追跡番号"
    r"|受付番号|旅券番号|パスポート番号)",
    "NATIONAL_ID": r"(?:身份证号?码?|身分證字?號?|マイナンバー|個人番号|運転免許証番号|免許証番号)",
    "PHONE": r"(?:电话|電話|手機號?碼?|手机号?码?|联系方式|電話番号?|携帯番号?|連絡先)",
    "PIN": r"(?:密码|验证码|暗証番号)",
}
_NUMBERS = [
    (kind, re.compile(rf"{label}(?:号码?|番号)?[是为はが：:\s]{{0,4}}(?P<value>[A-Za-z0-9０-９](?:[ －-]?[A-Za-z0-9０-９]){{3,24}})"))
    for kind, label in _LABELED.items()
]  # fmt: skip
_HANDLE = re.compile(
    r"(?:微信号?|微信號|QQ号?|支付宝(?:账号)?|LINE ?ID|ラインID|淘宝ID)[：:是为は ]{0,2}(?P<value>[A-Za-z0-9][\w-]{4,19})",
    re.ASCII,
)
_ZH_END = re.compile(
    rf"(?:路|街|道|巷|弄|胡同|里|村|小区|花园|苑|园|庄|广场|大厦){_DIGITS}{{1,5}}(?:号|號|弄|栋|幢|座|棟)"
    rf"(?:(?:院|楼|樓|之)?{_DIGITS}{{1,4}}(?:号楼|號樓|楼|樓|栋|棟|幢|座|单元|單元|层|層|室|号|號|房)){{0,4}}(?:(?<=单元){_DIGITS}{{2,5}})?(?:[{_HAN}]{{2,8}}(?:大厦|广场|小区|中心)"
    rf"(?:[A-Z座{_DIGITS}]{{1,5}}(?:层|室|座)){{0,2}})?"
)
_ZH_STOP = re.compile(
    r"住在|住址是|住址|地址是|地址|寄到|寄往|寄至|送到|送往|送至|发到|搬到了?|搬至|住到|位于|位在|改成|改为|更改为|现居|家在|收货|在|到|至|是|[^\u4e00-\u9fff0-9０-９]"
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
    re.compile(rf"(?:(?:名前|氏名|名義人?|担当者?)(?:は|が|：|:)|わたくし|わたし|私は|私、|私|僕は|俺は)[ 　]?(?P<name>[{_HAN}{_KANA}]{{2,10}}?[ 　]?[{_HAN}{_KANA}]{{0,8}}?)(?=と申します|と言います|といいます|です|でございます|[\n。、，]|$)"),
    re.compile(rf"(?:^|[。、，\n「 　はの])(?P<name>[{_HAN}{_KANA}]{{1,6}}[ 　]?[{_HAN}{_KANA}]{{0,6}})(?=と申します|と言います|といいます|と申す)"),
)  # fmt: skip
_JA_LABEL = re.compile(
    r"(?:氏名|お?名前|フリガナ|ふりがな|カナ|名義人?|受取人|宛名|届け?先名|契約者名?|担当者?|ご?担当者名|会員名|差出人|患者名|署名)(?:（[^）\n]{1,6}）)?[ 　]?[：:][ 　]?"
    rf"(?P<name>[{_HAN}{_KANA}]{{1,10}}(?:[・ 　][{_HAN}{_KANA}]{{1,10}}){{0,3}})[ 　]?(?=様|さま|さん|[（(\n。、，]|$)"
)
_JA_KATAKANA = re.compile(
    r"(?:私の名前|氏名|名義人?|本名|私|夫|妻)(?:は|が)[ 　]?(?P<name>[ァ-ヶー]{2,10}(?:[・ 　][ァ-ヶー]{1,10}){0,3})(?=です|と[申言い]|でござ|[。、]|$)"
)
_JA_SPACED = re.compile(
    rf"(?:^|(?<=[\n、。：「（のは　 ]))(?P<last>[{_HAN}]{{1,4}})[ 　](?P<first>[{_HAN}]{{1,3}}|[ぁ-ん]{{2,4}}|[ァ-ヶー]{{2,5}})"
    rf"(?![{_HAN}])"
)
_JA_NAME_END = re.compile(r"[ 　]?(?:[\n。、（）」(]|様|さん|さま|氏|です|と申|と言|$)")
_JA_READING = re.compile(rf"[ 　]?[（(](?P<name>[{_KANA}]{{2,8}}(?:[ 　・][{_KANA}]{{2,8}})?)[）)]")
_JA_SELF = re.compile(
    rf"(?:^|(?<=[\n。、！の]))[ 　]?(?P<name>[{_HAN}{_KANA}]{{2,8}}?)(?=です[。、が！\n]|です$|でございます)"
)
_JA_CLOSE = re.compile(
    rf"(?:お願い[^\n]{{0,14}}|敬具|草々|以上|かしこ|ありがとうございま[すし]た?)[。！]?[ 　]*\n+[ 　]*(?P<name>[{_HAN}]{{2,6}}|[{_HAN}]{{1,4}}[ 　][{_HAN}{_KANA}]{{1,5}})[ 　]*(?=\n|$)"
)
_JA_KIN = re.compile(
    rf"(?:主人|旦那|夫|妻|家内|息子|長男|次男|娘|長女|次女|母|父|兄|弟|姉|妹|祖母|祖父|友人|同僚|上司|部下|担当)の(?P<name>[{_HAN}{_KANA}]{{1,6}}?)(?=[のはがともをに、。]|です|さん|様)"
)
_JA_PLACES = frozenset(
    [
        "千葉",
        "福島",
        "宮崎",
        "山口",
        "石川",
        "上野",
        "中野",
        "川崎",
        "福岡",
        "福井",
        "長野",
        "大阪",
        "秋田",
        "和田",
        "大島",
        "宮城",
        "岡山",
        "高松",
        "松山",
        "徳島",
        "富山",
        "小松",
    ]
)
_JA_FIRST = frozenset(
    """さくら ひなた はな あかり ゆい めい みお りん ゆうこ ようこ けんじ たろう はなこ みさき あい まい ゆき めぐみ ひろし たかし 愛 葵 彩 結衣 陽菜 美咲
    美穂 美香 美紀 恵 恵子 恵美 舞 麻衣 由美 由美子 由香 裕子 優子 洋子 陽子 京子 幸子 和子 明美 直美 真由美 智子 久美子 香織 沙織 千尋 七海 彩香 愛美 翔太 大輔
    健太 健一 健 拓也 拓海 達也 直樹 哲也 和也 雄太 翔 蓮 大翔 悠斗 陽翔 太郎 一郎 次郎 誠 浩 博 隆 修 剛 茂 学 徹 亮 純 淳 亮太 大介 雄一 浩二 浩一
    健二 正 進 聡 豊 勇 清 実 隼人 海斗 優 優太 優斗 颯太 美優 美月 莉子 花 花子""".split()  # noqa: SIM905
)
"""Common first names of Japan that Faker's short list lacks."""
_JA_TITLED = re.compile(
    rf"(?P<name>[{_HAN}]{{1,4}}(?:[ 　][{_HAN}{_KANA}]{{1,6}})?|[ァ-ヶー]{{2,10}})(?=[ 　]?(?:さん|様|さま|氏|殿|先生))"
)
_ZH_TITLE = "先生|女士|小姐|太太|老师|医生|经理|师傅|同学|律师|主任"
_ZH_KIN = "先生|老公|老婆|太太|爱人|愛人|丈夫|妻子|儿子|兒子|女儿|女兒|爸爸|妈妈|媽媽|父亲|父親|母亲|母親|哥哥|姐姐|弟弟|妹妹|同事|朋友|室友|邻居|男友|女友|爷爷|奶奶"
_ZH_INTRODUCED = re.compile(
    r"(?:我叫|名叫|叫做|我的名字是|名字是|名字叫|我是|这里是|這裡是|我姓名是|名字為)\s?|[，,]叫"
    r"|(?:姓名|联系人|聯絡人|收货人|收件人|收款人|付款人|寄件人|户名|戶名|持卡人|开户人|投保人|被保险人|申请人|乘客|患者|签名|署名|经办人)(?:叫|[ ：:是为為]){0,3}"
)
_ZH_SELF = re.compile(rf"本人|我(?:的)?(?:{_ZH_KIN})(?:叫|是|，|、)?")
_ZH_SELF_END = re.compile(r"[，,的是在也和。、（(：:\s]|电话|電話|身份|手机|$")
_ZH_NICKNAME = re.compile(rf"(?:我是|我叫|叫我)(?P<name>[小阿老](?![白号编時时伙心学區区])[{_HAN}])(?=[，,。！!\s]|$)")
_ZH_SURNAME = re.compile(rf"我姓(?P<name>[{_HAN}])(?=[，,。、])")
_ZH_WORDS = frozenset(
    """高兴 方便 经常 常常 曾经 时常 时候 时间 安全 安装 平时 平常 从来 向来 于是 明天 明年 明白 任何 全部 全家 单独 水平
    万一 成功 相信 查询 应该 空闲 通过 程序 方法 方式 方案 管理 符合 关于 关心 常用 高级 高度 包括 包装 周末 周一 周二 周三
    周四 周五 周六 周日 计划 易于 能够 向贵 和贵 党员 金额 金卡 钱包 商家 商户 路过 连续 家人 项目 强烈 幸好""".split()  # noqa: SIM905
)
"""Words that begin like a name."""
_ZH_CLOSES = "敬礼|敬上|敬禮|祝好|谢谢[！!。]?|謝謝[！!。]?|顺祝商祺[！!。]?|順頌商祺[！!。]?|商祺[！!。]?|祝您?[^\n，。]{1,8}[！!。]?|感谢[！!。]?|您的朋友"
_ZH_SIGNED = re.compile(rf"(?:^|\n)[ \t　]*(?:{_ZH_CLOSES})[，,]?[ \t　]*\n[ \t　]*")
_ZH_SIGNED_BY = re.compile(
    rf"(?:\n|——|—|[。！] ?)[ \t　]*(?P<name>[{_HAN}]{{2,4}})[ 　]?(?=(?:敬上|谨上|謹上|上|敬启)(?:[\n。]|$))"
)
_ZH_LINE_END = re.compile(r"[ \t　。]{0,3}(?:\n|$)")
_ZH_GREETED = re.compile(r"(?:您好|你好|尊敬的|亲爱的|親愛的|致)[，,、 ]?")
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
    yield from (Match("ACCOUNT_NUMBER", *match.span("value"), sure=True) for match in _HANDLE.finditer(text))
    yield from _chinese(text) if language == "zh" else _japanese(text)


def _chinese(text: str) -> Iterator[Match]:
    for match in _ZH_END.finditer(text):
        start = _address_start(text, match.start())
        if start < match.start():
            yield Match("ADDRESS", start, match.end(), sure=True)
    for start, end in _chinese_people(text):
        if text[start : start + 2] not in _ZH_WORDS and text[start] not in _NOT_IN_NAME:
            yield Match("PERSON", start, end, sure=True)


def _chinese_people(text: str) -> Iterator[tuple[int, int]]:
    name, titled = _chinese_names()
    for pattern, ends in (
        (_ZH_INTRODUCED, None), (_ZH_SELF, _ZH_SELF_END), (_ZH_GREETED, _ZH_GREETING_END), (_ZH_SIGNED, _ZH_LINE_END)
    ):  # fmt: skip
        for match in pattern.finditer(text):
            called = name.match(text, match.end())
            if called and (ends is None or ends.match(text, called.end())):
                yield called.span()
    yield from (m.span("name") for m in _ZH_SIGNED_BY.finditer(text) if name.fullmatch(m["name"]))
    for pattern in (titled, _ZH_NICKNAME, _ZH_SURNAME):
        yield from (match.span("name") for match in pattern.finditer(text))


def _address_start(text: str, end: int) -> int:
    """Where the address begins whose street and number are at `end`: at most 30 characters before."""
    least = max(end - 30, 0)
    start = least
    for stop in _ZH_STOP.finditer(text, least, end):
        start = stop.end()
    return start


@lru_cache(maxsize=1)
def _chinese_names() -> tuple[re.Pattern[str], re.Pattern[str]]:
    surnames = "|".join(sorted(known_names("zh", "last_names") | _TWO_CHARACTERS, key=lambda n: (-len(n), n)))
    given = f"(?!{_ZH_TITLE}|电话|電話|手机|身份|地址|邮箱)[{_HAN}](?<![{_NOT_IN_NAME}])"
    name = re.compile(rf"(?:{surnames})(?:{given}){{1,2}}(?:[·•]{given}{{1,6}})?")
    return name, re.compile(rf"(?P<name>(?:{surnames})(?:{given}){{0,2}}?)(?={_ZH_TITLE})")


def _japanese(text: str) -> Iterator[Match]:
    whole = [match.span() for match in _JA_ADDRESS.finditer(text)]
    for pattern in (_JA_TOWN, _POST_CODE):
        whole += [m.span() for m in pattern.finditer(text) if not any(a < m.end() and m.start() < b for a, b in whole)]
    yield from (Match("ADDRESS", *span, sure=True) for span in whole)
    yield from (Match("PERSON", *span, sure=True) for span in _japanese_names(text))


def _japanese_names(text: str) -> Iterator[tuple[int, int]]:
    surnames, first = _japanese_lists()
    for pattern in (*_JA_NAME, _JA_CLOSE):
        for match in pattern.finditer(text):
            if any(prefix in surnames for prefix in _prefixes(match["name"])):
                yield match.span("name")
    for pattern in (_JA_LABEL, _JA_KATAKANA):
        yield from (match.span("name") for match in pattern.finditer(text))
    for match in _JA_TITLED.finditer(text):
        start, name = match.start("name"), match["name"]
        for at in range(len(name)):
            if any(prefix in surnames for prefix in _prefixes(name[at:])):
                yield start + at, match.end("name")
                break
    for match in _JA_SPACED.finditer(text):
        ends = len(match["last"]) > 1 and _JA_NAME_END.match(text, match.end())
        if match["last"] in surnames and (ends or match["first"] in first):
            yield match.start("last"), match.end("first")
            if reading := _JA_READING.match(text, match.end()):
                yield reading.span("name")
    yield from _japanese_words(text)


def _japanese_words(text: str) -> Iterator[tuple[int, int]]:
    """Known names before "desu" and after relatives."""
    surnames, first = _japanese_lists()
    for match in _JA_SELF.finditer(text):
        if _is_japanese_name(match["name"]) or (match["name"] in surnames - _JA_PLACES and len(match["name"]) > 1):
            yield match.span("name")
    for match in _JA_KIN.finditer(text):
        if _is_japanese_name(match["name"]) or match["name"] in first:
            yield match.span("name")


@lru_cache(maxsize=1)
def _japanese_lists() -> tuple[frozenset[str], frozenset[str]]:
    return known_names("ja", "last_names") | _COMMON_SURNAMES, known_names("ja", "first_names") | _JA_FIRST


def _is_japanese_name(name: str) -> bool:
    """A surname and a first name, or a first name that is no common word."""
    surnames, first = _japanese_lists()
    return (name in first and len(name) > 1) or any(
        prefix in surnames and name[len(prefix) :].strip(" 　") in first for prefix in _prefixes(name)
    )


def _prefixes(name: str) -> Iterator[str]:
    return (name[:n] for n in range(min(len(name), 4), 0, -1))
