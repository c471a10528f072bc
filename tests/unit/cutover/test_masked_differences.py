from microworkflows import DomainEvent, Sensitive
from microworkflows.cutover import comparing
from microworkflows.cutover.comparing import Row
from microworkflows.sensitive import MASK


def test_difference_of_two_runs_is_told_without_the_sensitive_values(empty_registry: None) -> None:
    class Paid(DomainEvent, type="tills.paid.v1"):
        amount: int
        token: Sensitive[str]
        place: Sensitive[dict[str, str]]

    one = {"amount": 1, "token": "tok_one", "place": {"city": "Nowhere"}}
    other = {"amount": 2, "token": "tok_other", "place": {"city": "Elsewhere"}}

    def seen(payload: Row) -> comparing.Seen:
        return comparing.Seen(events={"tills.paid.v1": [payload]}, changes={}, unobserved=frozenset())

    found = comparing.differences(seen(one), seen(other), noise=[])
    alone = comparing.differences(
        seen(one), comparing.Seen(events={}, changes={}, unobserved=frozenset()), noise=[]
    )

    assert [(each["what"].rpartition(" ")[2], each["legacy"], each["shadow"]) for each in found] == [
        ("amount", 1, 2),
        ("place.city", MASK, MASK),
        ("token", MASK, MASK),
    ]
    assert alone[0]["legacy"] == {"amount": 1, "token": MASK, "place.city": MASK}
