"""Makes up chat turns, so that the student has seen talk: who said what, when, and what came of it."""

import random
from collections.abc import Iterator

__all__ = ["conversations"]

NAMES = [
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Elif",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kenji",
    "Lena",
    "Marta",
    "Nico",
    "Olga",
    "Pavel",
    "Rosa",
    "Samir",
    "Tilda",
    "Victor",
]
WHO = [
    "my sister",
    "my brother",
    "a colleague",
    "my neighbour",
    "my mum",
    "my dad",
    "an old friend",
    "my daughter",
    "my son",
    "my partner",
    "our team",
]
WHEN = [
    "yesterday",
    "last Friday",
    "two weeks ago",
    "last month",
    "on Monday",
    "this morning",
    "in March",
    "last summer",
    "over the weekend",
    "in 2021",
]
PLACE = [
    "Lisbon",
    "the lake",
    "the library",
    "a small café",
    "Vienna",
    "the climbing hall",
    "the garden",
    "Toronto",
    "the museum",
    "the mountains",
    "the office",
    "a farm",
]
THING = [
    "a second-hand bicycle",
    "a sewing machine",
    "an electric piano",
    "a tent",
    "a bread oven",
    "a telescope",
    "a camera",
    "a puppy",
    "a pottery kit",
    "a standing desk",
    "a coffee grinder",
    "a kayak",
    "a violin",
    "tomato plants",
    "a board game",
    "a rug",
]
DOING = [
    "running a half marathon",
    "learning Portuguese",
    "painting with watercolours",
    "baking sourdough",
    "volunteering at the shelter",
    "writing a short story",
    "growing herbs",
    "playing chess",
    "restoring old chairs",
    "teaching kids to swim",
    "hiking",
    "birdwatching",
    "taking a first-aid course",
    "cooking Thai food",
    "photographing the night sky",
    "building a shed",
]
FEELING = [
    "nervous",
    "really proud",
    "exhausted",
    "relieved",
    "curious",
    "a bit sad",
    "excited",
    "grateful",
    "worried",
    "calm",
]
PLAN = [
    "move to a bigger flat",
    "apply for a new job",
    "start a family",
    "open a small shop",
    "adopt a cat",
    "visit my parents",
    "go vegetarian",
    "take a year off",
    "study nursing",
    "repaint the kitchen",
    "sell the car",
    "run for the council",
]
REASON = [
    "the commute takes too long",
    "it helps me to relax",
    "my doctor told me to",
    "I always wanted to as a child",
    "the rent went up",
    "a friend talked me into it",
    "I need a change",
    "it is better for the planet",
    "we are expecting a baby",
]
TURNS = (
    "I went to {place} with {who} {when}, and we had a great time.",
    "{when} I finally bought {thing}. I had saved for it for months!",
    "I have started {doing} because {reason}.",
    "I am thinking about it: maybe I will {plan}. What do you think, {name}?",
    "To be honest I feel {feeling} about it. {Reason}.",
    "{who} gave me {thing} for my birthday {when}.",
    "We met at {place} {when}, that is how I got into {doing}.",
    "My goal for this year is {doing}, and then I want to {plan}.",
    "Sorry for the late answer, I was at {place} {when} and had no signal.",
    "That sounds wonderful, {name}! How did you get into {doing}?",
    "I lost my keys at {place} {when}, and {who} had to let me in.",
    "I cannot eat nuts, so I always cook for myself when I am at {place}.",
    "The appointment is {when}... no, wait, it was moved; I will tell you when I know.",
    "After {doing} I usually sit with {who} and talk about the day.",
    "I decided to {plan}, since {reason}.",
    "Thanks, {name}. {who} said the same thing {when}.",
)
QUESTIONS = {
    0: "When did {speaker} go to {place}?|Who went to {place} with {speaker}?",
    1: "What did {speaker} buy?|When did {speaker} buy {thing}?",
    2: "Why did {speaker} start {doing}?|What new hobby does {speaker} have?",
    3: "What is {speaker} thinking about doing?|What might {speaker} do next?",
    4: "How does {speaker} feel?",
    5: "What did {speaker} get for the birthday?|Who gave {speaker} {thing}?",
    6: "How did {speaker} get into {doing}?|Where did {speaker} meet the others?",
    7: "What is {speaker}'s goal for this year?|What are {speaker}'s plans after {doing}?",
    8: "Why did {speaker} answer late?|Where was {speaker} {when}?",
    10: "What did {speaker} lose, and where?",
    11: "What can {speaker} not eat?|Does {speaker} have an allergy?",
    13: "What does {speaker} do after {doing}?",
    14: "Why did {speaker} decide to {plan}?|What did {speaker} decide?",
    15: "Who agreed with {name}?",
}


def conversations(turns: int, seed: int) -> Iterator[tuple[str, str]]:
    """A question that a turn answers (or nothing), and the turn with its speaker."""
    chance = random.Random(seed)
    for _ in range(turns):
        words = {
            "speaker": chance.choice(NAMES),
            "name": chance.choice(NAMES),
            "who": chance.choice(WHO),
            "when": chance.choice(WHEN),
            "place": chance.choice(PLACE),
            "thing": chance.choice(THING),
            "doing": chance.choice(DOING),
            "feeling": chance.choice(FEELING),
            "plan": chance.choice(PLAN),
            "reason": chance.choice(REASON),
        }
        words["Reason"] = words["reason"][0].upper() + words["reason"][1:]
        kind = chance.randrange(len(TURNS))
        said = TURNS[kind].format(**words)
        if chance.random() < 0.35:
            said += " " + TURNS[chance.randrange(len(TURNS))].format(**words)
        question = chance.choice(QUESTIONS[kind].split("|")).format(**words) if kind in QUESTIONS else ""
        yield question, f"{words['speaker']}: {said[0].upper()}{said[1:]}"
