"""Values of cases: their numbers, the aggregate functions over them, and the order of keys."""


def number(value):
    """The value itself, or field v of an object; anything else is none."""
    found = value.get("v") if isinstance(value, dict) else value
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def key_bytes(key):
    return key.encode()


def aggregate(function, items):
    """`items`: (order of arrival, value), in any order. Nothing ignores nulls but count (R3); EMPTY: no value was seen."""
    values = [value for _, value in sorted(items, key=lambda item: item[0])]
    if function == "count":
        return len(values)
    values = [value for value in values if value is not None]
    if function == "collect":
        return values
    if function in ("first", "last"):
        return values[0 if function == "first" else -1] if values else "EMPTY"
    numbers = [number(value) for value in values if number(value) is not None]
    if function == "sum":
        return sum(numbers)
    if not numbers:
        return "EMPTY"
    return {"min": min, "max": max, "avg": lambda all: float(sum(all)) / len(all)}[function](numbers)


def pair(left, right):
    return {"left": left, "right": right}
