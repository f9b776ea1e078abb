"""Words of the reading task: kinds of facts, who or what they are about, how they are told and asked for.

Everything stands in the form in which it is used, so that a name in a question is the same word in its text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of fact: a subject {s} and a value {v}. Within a text no subject and no value of a kind comes twice."""

    subjects: tuple[str, ...]
    values: tuple[str, ...]
    told: str  # a fact as a clause: {s} and {v}
    of_value: tuple[str, ...]  # questions that {v} answers: {s}
    of_subject: tuple[str, ...]  # questions that {s} answers: {v}


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


PEOPLE = _words("Анна, Вера, Нина, Иван, Пётр, Олег")
THINGS = _words("зонт, чайник, шарф, стул, ковёр, мяч")

KINDS: dict[str, Kind] = {
    "work": Kind(
        PEOPLE,
        _words("врач, повар, учитель, пекарь, садовник, сторож"),
        "{v} {s}",
        ("кто {s} по профессии", "какая профессия у человека по имени {s}"),
        ("кто по профессии {v}", "кто здесь {v}"),
    ),
    "home": Kind(
        PEOPLE,
        _words("Туле, Твери, Казани, Омске, Перми, Самаре"),
        "{s} живёт в {v}",
        ("где живёт {s}", "в каком городе {s}"),
        ("кто живёт в {v}", "кого можно встретить в {v}"),
    ),
    "taste": Kind(
        PEOPLE,
        _words("чай, кофе, суп, сыр, мёд, рис"),
        "{s} любит {v}",
        ("что любит {s}", "что заказывает {s}"),
        ("кто любит {v}", "кто заказывает {v}"),
    ),
    "colour": Kind(
        THINGS,
        _words("синий, белый, красный, жёлтый, серый, чёрный"),
        "{v} {s}",
        ("какого цвета {s}", "какой цвет у предмета {s}"),
        ("какой предмет {v}", "что здесь цветом {v}"),
    ),
    "price": Kind(
        THINGS,
        _words("20 рублей, 30 рублей, 40 рублей, 60 рублей, 70 рублей, 80 рублей"),
        "{s} стоит {v}",
        ("сколько стоит {s}", "сколько просят за {s}"),
        ("что стоит {v}", "за что просят {v}"),
    ),
}
WHERE = ("в какой записи есть «{w}»", "в какой записи стоит «{w}»")  # questions that a whole clause answers
