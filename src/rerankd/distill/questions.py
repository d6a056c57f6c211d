"""Makes questions from texts, where the user's own are few: from titles, headwords and sentences.

They need not be good questions. They need to be varied, and to be asked of texts some of which answer them and
some of which only share words: the teacher says which.
"""

import random
import re
from collections.abc import Sequence

from rerankd.distill.texts import Passage

__all__ = ["make_questions"]

_LONGEST = 600
"""Characters of a question; a few are whole paragraphs, as people paste them."""
_OF_A_NAME = (
    "what is {}",
    "what is {}",
    "{}",
    "{} meaning",
    "define {}",
    "what does {} mean",
    "what is {} used for",
    "definition of {}",
    "who or what was {}",
    "tell me about {}",
    "{} example",
)
_OF_A_HEADING = (
    "{}",
    "how to {}",
    "how do i {}",
    "{} not working",
    "help with {}",
    "what should i know about {}",
    "can you explain {}",
    "where do i find {}",
)
_OF_A_DESCRIPTION = (
    "what do you call {}",
    "what is the word for {}",
    "{}",
    "which one is {}",
    "name of {}",
)
_OF_A_SENTENCE = (
    "{}",
    "{}",
    "why {}",
    "when {}",
    "is it true that {}",
    "how come {}",
    "{} ?",
)
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have how i if in into is it"
        " its may more most must no not of on one or our should so some such than that the their them then"
        " there these they this to up was we were what when where which who will with would you your",
    )
)


def make_questions(passages: Sequence[Passage], count: int, seed: int) -> list[str]:
    """So many different questions, or fewer where the texts give no more."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    order = list(range(len(passages)))
    while len(made) < count and order:
        before = len(made)
        chance.shuffle(order)
        for place in order:
            question = _question(passages[place], chance)
            if 2 <= len(question) <= _LONGEST:
                made.setdefault(question)
            if len(made) >= count:
                break
        if len(made) == before:
            break
    return list(made)


def _question(passage: Passage, chance: random.Random) -> str:
    title, text = passage.title.strip(), passage.text
    way = chance.random()
    if title.endswith("?"):
        return title if way < 0.8 else title.lower().rstrip("?")
    if title and way < 0.5:
        name = len(title.split()) <= 2
        return chance.choice(_OF_A_NAME if name else _OF_A_HEADING).format(
            title.lower() if way < 0.35 else title
        )
    if way < 0.68 and ":" in text[:60]:
        described = _sentence(text.partition(":")[2], chance, longest=14)
        if described:
            return chance.choice(_OF_A_DESCRIPTION).format(described)
    sentence = _sentence(text, chance, longest=16)
    if way < 0.85:
        asked = chance.choice(_OF_A_SENTENCE)  # drawn in any case: what is made of other texts stays the same
        return asked.format(sentence) if sentence else ""
    if way < 0.97:
        return _keywords(sentence or text, chance)
    return _part(text, chance)


def _sentence(text: str, chance: random.Random, *, longest: int) -> str:
    sentences = [part for part in re.split(r"(?<=[.!?;])\s+", text.strip()) if len(part.split()) >= 4]
    if not sentences:
        return ""
    words = chance.choice(sentences).split()
    first = 0 if len(words) <= longest else chance.randrange(len(words) - longest // 2)
    part = " ".join(words[first : first + chance.randint(5, longest)]).strip(" .,;:!?()\"'")
    return part[:1].lower() + part[1:]


def _part(text: str, chance: random.Random) -> str:
    """Some sentences of it: 20 to 70 words."""
    words = text.split()
    wanted = chance.randint(20, 70)
    first = chance.randrange(max(1, len(words) - wanted))
    return " ".join(words[first : first + wanted])


def _keywords(text: str, chance: random.Random) -> str:
    """A few telling words in their order, as people type them."""
    words = [word.strip(".,;:!?()\"'").lower() for word in text.split()]
    telling = [word for word in words if len(word) > 2 and word not in _STOP]
    if not telling:
        return ""
    kept = sorted(chance.sample(range(len(telling)), min(len(telling), chance.randint(2, 5))))
    return " ".join(telling[place] for place in kept)
