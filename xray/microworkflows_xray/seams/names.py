"""Names that a seam proposes: an event in the past tense, and ids that outlive a moved line. A person has the last word."""

from __future__ import annotations

import hashlib
import re


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split() for pair in text.split(","))


IRREGULAR = _pairs("""
    begin begun, bring brought, build built, buy bought, choose chosen, do done, draw drawn, find found, get got,
    give given, go gone, hold held, keep kept, leave left, lend lent, lose lost, make made, pay paid, put put,
    read read, rebuild rebuilt, repay repaid, reset reset, run run, sell sold, send sent, set set, shut shut,
    split split, take taken, undo undone, win won, withdraw withdrawn, withhold withheld, write written,
    cancel cancelled, commit committed, drop dropped, log logged, map mapped, permit permitted, plan planned,
    refer referred, scan scanned, ship shipped, stop stopped, submit submitted, tag tagged,
    transfer transferred, wrap wrapped
""")
"""Past participles that no rule makes."""

GENERIC = _pairs("""
    post submitted, put submitted, form_valid submitted, submit submitted, patch changed, perform_create created,
    create created, perform_update changed, update changed, partial_update changed, perform_destroy deleted,
    destroy deleted, delete deleted, save saved, save_model saved, perform_mutation changed, mutate changed,
    handle handled, run handled, execute handled, process handled, perform handled, dispatch handled,
    get handled, __call__ handled, do handled
""")
"""Methods that say how Django or a library calls a class, and not what happened: its name does."""

_ENDINGS = r"(View|ViewSet|APIView|Serializer|Form|Command|Mutation|Service|Handler|Manager|Mixin|UseCase|Creator|Task)+$"
_VERBS_IN_CLASSES = r"(Create|Update|Delete|Detail|List)+$"


def participle(verb: str) -> str:
    """Return a verb's past participle, such as ``placed`` of ``place``."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


def event(function: str, *, about: str = "") -> str:
    """Propose the name of the event that a function stands for.

    Args:
        function: Name inside its module, such as ``Creator.place_order``, ``Order.place`` or ``CheckoutView.post``.
        about: Thing that it is about, in place of the one that the name says.
    """
    owner, _, name = function.rpartition(".")
    owner = owner.rpartition(".")[2]
    verb, _, thing = name.strip("_").partition("_")
    if name in GENERIC and owner:
        verb_done, thing = GENERIC[name], re.sub(_VERBS_IN_CLASSES, "", stem(owner)) or owner
    else:
        verb_done = participle(verb or name)
        thing = thing or owner or "work"
    return camel(about or stem(thing)) + camel(verb_done)


def stem(owner: str) -> str:
    """Return a class's name without the words that say how it is used, such as ``StockRecord`` of ``AbstractStockRecord``."""
    return re.sub(_ENDINGS, "", re.sub(r"^(Abstract|Base)(?=[A-Z])", "", owner)) or owner


def camel(text: str) -> str:
    """Return ``OrderLine`` of ``order_line`` or ``OrderLine``."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", text) if part)


def snake(text: str) -> str:
    """Return ``order_line`` of ``OrderLine``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text).lower()


def identity(how: str, emitter: str, consumer: str) -> str:
    """Return the id of a seam: two names that a person recognises, and a fingerprint of what it joins."""
    fingerprint = hashlib.sha256(f"{how} {emitter} {consumer}".encode()).hexdigest()[:6]
    words = (snake(each.rpartition(".")[2]).strip("_").replace("_", "-") for each in (emitter, consumer))
    return "-".join((*words, fingerprint))
