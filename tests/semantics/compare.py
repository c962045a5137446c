"""Is what rivulet gives right? Equal to Kafka Streams where no listed difference can apply to the case; else equal to the model of rivulet's
own semantics, and to the brute-force definition, and to Kafka Streams in all that the difference leaves alone."""
import math

import brute
import differences
import model


def judge(case, oracle, rivulet):
    """What is wrong with rivulet's result, one sentence each, with where it begins; and with the referee, so that no one trusts a wrong one."""
    return [f"the referee itself: {problem}" for problem in validate(case, oracle)] + _judge(case, oracle, rivulet)


def _judge(case, oracle, rivulet):
    if "config_error" in rivulet:
        return [f"rivulet refuses it: {rivulet['config_error']}"]
    wrong = [f"failed: {rivulet['failed']}"] if "failed" in rivulet else []
    possible = differences.possible(case)
    crashed = "error" in oracle or "build_error" in oracle
    if not possible:
        if crashed:
            return wrong + [f"Kafka Streams failed, and no listed difference says so: {oracle.get('error') or oracle.get('build_error')}"]
        return wrong + _differ("Kafka Streams", oracle, rivulet, case)
    if "D9" in possible and not crashed and not _differ("", differences.neutral(case, oracle), rivulet, case):
        return wrong  # Kafka Streams' own way is tolerated
    expected = differences.neutral(case, model.run(case))
    actual = differences.neutral(case, rivulet)
    wrong += _differ("the model", expected, actual, case)
    wrong += [f"brute force: {problem}" for problem in brute.problems(case, rivulet)]
    if not crashed and possible <= differences.COMPARABLE:
        wrong += _differ("Kafka Streams, the difference taken away", differences.comparable(case, oracle), differences.comparable(case, rivulet), case, drops=False)
    return wrong


def validate(case, oracle):
    """The referee's own proof: what is wrong with the model, measured by Kafka Streams and by brute force."""
    wrong = []
    mine = model.run(case)
    if "error" not in oracle and "build_error" not in oracle:
        possible = differences.possible(case)
        if "D5" not in possible:
            wrong += _differ("Kafka Streams and the model without differences", oracle, model.run(case, kafka=True), case)
        if not possible:
            wrong += _differ("Kafka Streams", oracle, mine, case)
        elif possible <= differences.COMPARABLE:
            wrong += _differ("Kafka Streams, the difference taken away", differences.comparable(case, oracle), differences.comparable(case, mine), case, drops=False)
    elif not differences.possible(case):
        wrong.append(f"Kafka Streams failed, and no listed difference says so: {oracle.get('error') or oracle.get('build_error')}")
    return wrong + [f"brute force: {problem}" for problem in brute.problems(case, mine)]


def _differ(other, expected, actual, case, drops=True):
    def first(name, same):
        left, right = expected[name], actual[name]
        for index in range(max(len(left), len(right))):
            one, two = (side[index] if index < len(side) else None for side in (left, right))
            if one is None or two is None or not same(one, two):
                return [f"not as {other}: {name}[{index}] is {two}, expected {one}"]
        return []

    found = first("outputs", same_output)
    if not drops:
        return found
    if case["op"]["kind"] == "window_agg" and case["op"]["window"]["type"] == "sliding":  # R4: counting a late record once is enough
        return found + first("drops", lambda one, two: one["after_input"] == two["after_input"] and 1 <= two["n"] <= max(one["n"], 1))
    return found + first("drops", lambda one, two: one == two)


def same_output(expected, actual):
    """`or_ts`: a second timestamp that would be right, too."""
    if set(expected) - {"or_ts"} != set(actual) - {"or_ts"}:
        return False
    return actual["ts"] in (expected["ts"], expected.get("or_ts")) and all(same(expected[name], actual[name]) for name in actual if name not in ("ts", "or_ts"))


def same(one, two):
    """Numbers by value: 5 is 5.0, and the last digit of a quotient may differ."""
    if isinstance(one, bool) or isinstance(two, bool) or one is None or two is None:
        return one is two
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return one == two or (isinstance(one, float) or isinstance(two, float)) and math.isclose(one, two, rel_tol=1e-12, abs_tol=0)
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two
