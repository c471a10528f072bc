from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel

from microworkflows import DomainEvent, IncomingEvent, schemas


class Line(BaseModel):
    sku: str
    quantity: int


class Sku(BaseModel):
    sku: str


class LineWithColour(Line):
    colour: str


class Category(BaseModel):
    """Recursive, directly and through a list."""

    name: str
    parent: "Category | None"
    children: "list[Category]"


class CategoryName(BaseModel):
    name: str
    children: "list[CategoryName]"


class CategoryNumber(BaseModel):
    name: int
    parent: "CategoryNumber | None"


class Card(BaseModel):
    kind: Literal["card"]
    digits: str


class Voucher(BaseModel):
    kind: Literal["voucher"]
    code: str


class CardAlone(BaseModel):
    kind: Literal["card"]


class CardDigits(BaseModel):
    kind: Literal["card"]
    digits: str
    expiry: str | None = None


class VoucherNumber(BaseModel):
    kind: Literal["voucher"]
    code: int


Short = Annotated[str, Field(max_length=5)]
Means = Annotated[Card | Voucher, Field(discriminator="kind")]
MeansRead = Annotated[Voucher | CardDigits, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("announced", "read"),
    [
        (str, str),
        (int, int),
        (int, float),
        (UUID, UUID),
        (UUID, str),
        (Decimal, Decimal),
        (str, str | None),
        (str | None, str | None),
        (list[Line], list[Sku]),
        (Line, Sku),
        (Line | None, Sku | None),
        (int, Any),
        (list[Line], list[Any]),
        (Category, Category),
        (Category, CategoryName),
        (Means, Means),
        (Means, MeansRead),
        (Means | None, MeansRead | None),
        (list[Means], list[Card | Voucher]),
        (Card, Means),
        (Literal["EUR"], Literal["EUR", "USD"]),
        (Literal["EUR"], str),
        (Literal[1, 2], Annotated[int, Field(ge=1)]),
        (Short, Annotated[str, Field(max_length=10)]),
        (Short, Short),
        (Annotated[str, Field(min_length=2)], Annotated[str, Field(min_length=1)]),
        (Annotated[int, Field(gt=0)], Annotated[int, Field(ge=0)]),
        (Annotated[int, Field(ge=0, lt=10)], Annotated[int, Field(ge=0, le=10)]),
        (Annotated[int, Field(multiple_of=10)], Annotated[int, Field(multiple_of=5)]),
        (Annotated[list[int], Field(min_length=1)], list[int]),
        (Annotated[Decimal, Field(gt=0)], Decimal),
    ],
)
def test_reading_that_asks_for_no_more_than_is_announced_fits(
    empty_registry: None, announced: Any, read: Any
) -> None:
    assert _misfits(announced, read) == []


@pytest.mark.parametrize(
    ("announced", "read", "problem"),
    [
        (str, int, "value may be string but is read as integer"),
        (str, UUID, "value may be string but is read as string (uuid)"),
        (float, int, "value may be number but is read as integer"),
        (str | None, str, "value may be null but is read as string"),
        (list[str], list[int], "value[] may be string but is read as integer"),
        (list[Line], list[LineWithColour], "value[].colour is required but not announced"),
        (Line, LineWithColour, "value.colour is required but not announced"),
        (Category, CategoryNumber, "value.name may be string but is read as integer"),
        (Means, CardAlone, "value.kind may be string ('voucher') but is read as string ('card')"),
        (Means, Card | VoucherNumber, "value.code may be string but is read as integer"),
        (
            Literal["EUR", "GBP"],
            Literal["EUR", "USD"],
            "value may be string ('EUR', 'GBP') but is read as string ('EUR', 'USD')",
        ),
        (str, Literal["EUR"], "value may be string but is read as string ('EUR')"),
        (str, Short, "value may be string but is read as string (maxLength 5)"),
        (str, Short | None, "value may be string but is read as string (maxLength 5)"),
        (
            Short,
            Annotated[str, Field(max_length=4)],
            "value may be string (maxLength 5) but is read as string (maxLength 4)",
        ),
        (
            str,
            Annotated[str, Field(min_length=1)],
            "value may be string but is read as string (minLength 1)",
        ),
        (str, Annotated[str, Field(pattern="^a")], "value may be string but is read as string (pattern ^a)"),
        (int, Annotated[int, Field(ge=0)], "value may be integer but is read as integer (minimum 0)"),
        (
            Annotated[int, Field(ge=0)],
            Annotated[int, Field(gt=0)],
            "value may be integer (minimum 0) but is read as integer (exclusiveMinimum 0)",
        ),
        (
            Annotated[int, Field(le=9)],
            Annotated[int, Field(lt=9)],
            "value may be integer (maximum 9) but is read as integer (exclusiveMaximum 9)",
        ),
        (
            int,
            Annotated[int, Field(multiple_of=5)],
            "value may be integer but is read as integer (multipleOf 5)",
        ),
        (list[int], set[int], "value may be array but is read as array (uniqueItems True)"),
        (
            list[Line],
            Annotated[list[Sku], Field(min_length=1)],
            "value may be array but is read as array (minItems 1)",
        ),
    ],
)
def test_reading_that_asks_for_more_is_told_which_field_and_why(
    empty_registry: None, announced: Any, read: Any, problem: str
) -> None:
    assert _misfits(announced, read) == [problem]


def test_optional_fields_of_the_reading_need_not_be_announced(empty_registry: None) -> None:
    class Announced(DomainEvent, type="a.b.v1"):
        kept: int

    class Read(IncomingEvent, type="a.b.v1"):
        kept: int
        extra: str = ""

    assert misfits(reading=Read, announced=Announced) == []


def test_event_that_contains_itself_is_compared_too(empty_registry: None) -> None:
    class Announced(DomainEvent, type="a.b.v1"):
        name: str
        inner: "Announced | None"

    class Read(IncomingEvent, type="a.b.v1"):
        name: int
        inner: "Read | None"

    assert misfits(reading=Read, announced=Announced) == ["name may be string but is read as integer"]


def test_names_on_the_wire_are_compared(empty_registry: None) -> None:
    class Announced(DomainEvent, type="a.b.v1", alias_generator=to_camel):
        order_id: int

    class Read(IncomingEvent, type="a.b.v1", alias_generator=to_camel):
        order_id: int

    class ReadBySnakes(IncomingEvent, type="a.b.v1"):
        order_id: int

    assert misfits(reading=Read, announced=Announced) == []
    assert misfits(reading=ReadBySnakes, announced=Announced) == ["order_id is required but not announced"]


def test_every_reading_of_the_shop_fits() -> None:
    from microworkflows import registry

    announced = registry.announced()

    assert registry.readings()
    for reading in registry.readings():
        assert misfits(reading=reading, announced=announced[reading.event_type]) == []


def _misfits(announced: Any, read: Any) -> list[str]:
    announcing = type(
        "Announced",
        (DomainEvent,),
        {"__annotations__": {"value": announced}, "__module__": __name__},
        type="a.b.v1",
    )
    reading = type(
        "Read", (IncomingEvent,), {"__annotations__": {"value": read}, "__module__": __name__}, type="a.b.v1"
    )
    return misfits(reading=reading, announced=announcing)


def misfits(*, reading: type[IncomingEvent], announced: type[DomainEvent]) -> list[str]:
    return [schemas.words(each) for each in schemas.misfits(reading=reading, announced=announced)]
