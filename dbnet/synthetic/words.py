"""What synthetic signs say: words, numbers, prices and codes."""

import numpy as np

SIGN_TEXT = """
    a an and at by for from in is it no not of off on only or our out per the to up we with you
    bar bank book books bread bus cafe car cash cheap city clean closed coffee cold cool cut daily
    deal deals dental diner dogs door down drink drive east entry exit fast fire first fish floor
    food free fresh fruit fuel garden gas gate gifts gold golf good grand green grill hall hand
    happy help here high home hot hotel hours house ice inn iron island jazz juice keep key king
    kitchen lane large law left level library life light line lions liquor live loan local long
    lounge love lucky lunch mail main mall market max meals meat menu metro milk mini mobile money
    moon motor movie museum music nails new next night north office oil old open orange order
    organic paint palace paper park parking pay pet phone photo pizza place plan plaza police pool
    post power press price private pub public push quick quiet radio rail red rent repair rest
    restaurant right ring river road room royal safe sale salad salon save school sea seafood
    service shoes shop silver slow smart smoking snack south space special sport staff star station
    stop store street studio style sugar sun super sushi tax taxi tea tickets time today toilets
    tours tower town toys track trade traffic train travel tube turn under union unit upper use
    value van video village vision visit vote wait walk warning wash watch water way week welcome
    west white wild wine wood work world yard year yellow your zone zoo Amsterdam Berlin Boston
    Chicago Delhi Dublin Hong Kong Lima London Madrid Milano Oslo Paris Roma Singapore Sydney Tokyo
    café crème Müller straße größe señor garçon à piñata fête später schön König
"""
SYLLABLE_TEXT = """
    ba be bo ca co da de di do fa fi ga go ha he ja jo ka ki ko la le li lo ma me mi mo na ne ni no
    pa pe pi po ra re ri ro sa se si so ta te ti to va vi vo wa we ya yo za zo an en in on ar er or
    st tr ch sh br gr pl
"""
SIGN_WORDS = tuple(SIGN_TEXT.split())
SYLLABLES = tuple(SYLLABLE_TEXT.split())
DOMAINS = (".com", ".net", ".org", ".de", ".co.uk", ".sg")
CURRENCIES = ("$", "€", "£", "")
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def sample_word(rng: np.random.Generator, characters: frozenset[str]) -> str:
    """Sample a word, number, price or code of a font's characters: capitals and digits at least."""
    kinds = (_sign_word, _invented_word, _number, _price, _code)
    kind = kinds[rng.choice(len(kinds), p=(0.55, 0.15, 0.14, 0.08, 0.08))]
    word = kind(rng)
    for written in (word, word.upper()):
        if set(written) <= characters:
            return written
    return str(rng.integers(10, 1000))


def _sign_word(rng: np.random.Generator) -> str:
    word = SIGN_WORDS[rng.integers(len(SIGN_WORDS))]
    if rng.random() < 0.06:
        word += "!?:,."[rng.integers(5)]
    return _in_case(word, rng)


def _invented_word(rng: np.random.Generator) -> str:
    syllables = rng.integers(len(SYLLABLES), size=rng.integers(2, 5))
    word = "".join(SYLLABLES[index] for index in syllables)
    if rng.random() < 0.1:
        return "www." + word + DOMAINS[rng.integers(len(DOMAINS))]
    return _in_case(word, rng)


def _in_case(word: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.45:
        return word.upper()
    return word.capitalize() if draw < 0.8 else word


def _number(rng: np.random.Generator) -> str:
    number = int(10 ** rng.uniform(0, 4.3))
    forms = (f"{number}", f"{number}%", f"No.{number}", f"{number:04d}", f"{1900 + number % 130}")
    return forms[rng.integers(len(forms))]


def _price(rng: np.random.Generator) -> str:
    cents = int(10 ** rng.uniform(1.5, 4.5))
    return f"{CURRENCIES[rng.integers(len(CURRENCIES))]}{cents // 100}.{cents % 100:02d}"


def _code(rng: np.random.Generator) -> str:
    a, b, c = (int(value) for value in rng.integers(10, 100, size=3))
    capital = CAPITALS[a % 26] + CAPITALS[b % 26]
    forms = (f"{a % 24:02d}:{b % 60:02d}", f"{capital}-{c}", f"{capital[0]}{a}", f"{a}-{b}-{c}")
    return forms[rng.integers(len(forms))]
