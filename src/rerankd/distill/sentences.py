"""Asks of single sentences: who, what, when, where, why and how many, as people type such questions.

A question of a whole passage tells what is about the same thing; a question of a sentence tells what answers. The
sentences are the candidates, so that one that answers stands beside others that share its words.
"""

import random
import re
from collections.abc import Sequence

from rerankd.distill.texts import Passage

__all__ = ["ask", "sentences_of"]

_SHORTEST, _LONGEST = 5, 32
"""Words of a sentence that is kept."""
_HEAD = 8
"""Among the first so many words an auxiliary is looked for."""
_TAIL = 9
"""At most so many words of a sentence's rest go into its question."""
_AUXILIARIES = frozenset(
    re.findall(r"\w+", "is are was were has have had can could will would may must should did does")
)
_COPULAS = frozenset(("is", "are", "was", "were"))
_PEOPLE = frozenset(re.findall(r"\w+", "i he she they we you who everyone someone nobody people"))
_WHEN = re.compile(
    r"\b(1\d{3}|20\d\d|century|year|month|week|day|today|yesterday|before|after|during|until|since|first"
    r"|Monday|Friday|summer|winter|March|morning)\b",
    re.IGNORECASE,
)
_WHERE = re.compile(r"\b(in|at|near|from|under|inside|on|into) (the |a |an )?\w+", re.IGNORECASE)
_WHY = re.compile(r"\b(because|so that|due to|since|in order to|therefore|to avoid)\b", re.IGNORECASE)
_COUNT = re.compile(r"\b(\d+|two|three|four|five|six|seven|eight|nine|ten|hundred|several) (\w{3,})")
_YEARS = re.compile(r"\((?:born in |c\. )?(\d{3,4})\b")
_TURN = re.compile(r"[A-Z]\w+: ")
_CLAUSE = re.compile(r"\b(who|that|which) ((?:\w+ )*\w+)")
_FOR = re.compile(r"\bused (?:to|for|in|as) ((?:\w+ )*\w+)")


def sentences_of(passages: Sequence[Passage], count: int, seed: int) -> list[Passage]:
    """So many short sentences of the passages, or all that there are; a turn of a talk stays whole."""
    found: dict[str, Passage] = {}
    for passage in passages:
        whole = _TURN.match(passage.text) or passage.text.startswith(f"{passage.title}: ")
        for part in [passage.text] if whole else re.split(r"(?<=[.!?])\s+(?=[A-Z])", passage.text):
            if _SHORTEST <= len(part.split()) <= _LONGEST:
                found.setdefault(part, Passage(passage.title, part))
    kept = list(found.values())
    random.Random(seed).shuffle(kept)
    return kept[:count]


def ask(sentences: Sequence[Passage], count: int, seed: int) -> list[str]:
    """So many different questions, each of some sentence; fewer where the sentences give no more."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    order = list(sentences)
    for _ in range(3):
        chance.shuffle(order)
        for sentence in order:
            question = _question(sentence, chance)
            if question and len(question) <= 200:
                made.setdefault(_typed(question, chance))
            if len(made) >= count:
                return list(made)
    return list(made)


def _question(sentence: Passage, chance: random.Random) -> str:
    title, text = sentence.title.strip(), sentence.text
    if title.endswith("?"):
        return title
    head, colon, gloss = text.partition(": ")
    if colon and head == title:
        return _of_a_gloss(title, gloss, chance)
    return _of_a_statement(_TURN.sub("", text).rstrip(".!?"), chance)


def _of_a_gloss(title: str, gloss: str, chance: random.Random) -> str:
    ways = [f"what is {title}"]
    if clause := _CLAUSE.search(gloss):
        rest = _short(clause[2])
        ways += [f"{'who' if clause[1] == 'who' else 'what'} {rest}"] * 4
    if use := _FOR.search(gloss):
        ways += [f"what is used for {_short(use[1])}", f"what is {title} used for"] * 2
    if _YEARS.search(gloss):
        ways += [
            f"when was {title} born",
            f"when did {title} die",
            f"how old was {title}",
            f"who was {title}",
        ] * 2
    elif _WHERE.search(gloss) and title[:1].isupper():
        ways += [f"where is {title}", f"where is {title} located", f"where was {title}"] * 2
    if count := _COUNT.search(gloss):
        ways += [f"how many {count[2]} does {title} have", f"how many {count[2]} in {title}"] * 2
    return chance.choice(ways)


def _of_a_statement(text: str, chance: random.Random) -> str:
    """Nothing where no auxiliary says how to turn it."""
    words = text.split()
    place = next((at for at, word in enumerate(words[:_HEAD]) if at and word.lower() in _AUXILIARIES), 0)
    if not place:
        return ""
    subject, verb, rest = words[:place], words[place].lower(), _short(" ".join(words[place + 1 :]))
    if not subject[0].isupper() or subject[0] == "A":
        subject[0] = subject[0].lower()
    whom = " ".join(subject)
    who = "who" if subject[0].lower() in _PEOPLE else "what"
    ways = [f"{who} {verb} {rest}"] * 2 + [f"{verb} {whom} {rest}", f"how {verb} {whom} {rest}"]
    if verb in _COPULAS and who == "what":
        ways += [f"what {verb} {whom}", f"{whom} {verb} what"]
    for pattern, asked in ((_WHEN, "when"), (_WHERE, "where"), (_WHY, "why")):
        if found := pattern.search(rest):
            ways += [f"{asked} {verb} {whom} {rest[: found.start()]}".strip()] * 3
    if count := _COUNT.search(text):
        ways += [f"how many {count[2]} {verb} {whom}", f"how many {count[2]} are {rest}"] * 2
    return chance.choice(ways)


def _short(text: str) -> str:
    """As much as a question would say: up to the next stop, and not all of it."""
    return " ".join(re.split(r"[,;:.()\"]", text.strip(), maxsplit=1)[0].split()[:_TAIL])


def _typed(question: str, chance: random.Random) -> str:
    """As people type: mostly in small letters, often without the mark."""
    bare = question.strip().rstrip("?")
    way = chance.random()
    if way < 0.5:
        return bare.lower()
    if way < 0.8:
        return f"{bare[:1].upper()}{bare[1:]}?"
    return bare
