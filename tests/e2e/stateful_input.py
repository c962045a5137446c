"""What the stateful campaign feeds and runs: numbered records of seven keys, out of order within and beyond grace, as a function of seed, source
and number; and the pipelines over them.

Results that must not depend on how the two sources interleave read one file, which `where` splits, or have ample grace.
"""
import functools
import json
import random

KEYS = ("k0", "k1", "k2", "k3", "k4", "k5", "\u00fc")
STEP_MS = 10       # event time from one record to the next
BURST = 40         # records in which the same four keys talk; the others are silent, so that sessions end
AMPLE_MS = 7_200_000  # more than a campaign lasts in event time


class Input:
    """`base_ms` is where event time begins: hours ago, since a broker refuses records more than one ahead of its clock. `totals`: set when a source has ended."""

    def __init__(self, seed, base_ms):
        self.seed, self.base_ms, self.totals = seed, base_ms, {}

    @functools.lru_cache(maxsize=64)
    def talking(self, burst):
        return random.Random(f"{self.seed} burst {burst}").sample(KEYS, 4)

    def fields(self, source, number):
        """A record; after the last one of a source come those that close everything."""
        total = self.totals.get(source)
        if total is not None and number >= total:
            return self.tail(source, total)[number - total]
        dice = random.Random(f"{self.seed} {source} {number}")
        keys = self.talking(number // BURST) if source == "file" else KEYS
        side = dice.choices("lrmt", (35, 35, 20, 10))[0]
        ts = self.base_ms + number * STEP_MS - self.lateness(dice)
        if dice.random() < 0.1:
            ts = ts // 500 * 500 - dice.randrange(2)  # on a window's edge, or one beside it
        return {"n": number, "k": None if dice.random() < 0.01 else dice.choice(keys), "ts": max(ts, self.base_ms), "v": dice.randrange(-50, 1000), "side": side, "g": f"g{dice.randrange(3)}"}

    @staticmethod
    def lateness(dice):
        kind = dice.random()
        if kind < 0.60:
            return 0
        if kind < 0.85:
            return dice.randrange(400)  # within every grace
        if kind < 0.95:
            return dice.randrange(400, 1600)  # about where grace ends
        return dice.randrange(1600, 6000) if kind < 0.99 else -dice.randrange(300)

    def tail(self, source, total):
        """First a mark that says that everything was taken in; then, hours later, what closes every window."""
        last = self.base_ms + total * STEP_MS
        over = last + AMPLE_MS * 5 // 4
        mark = {"n": total, "k": None, "ts": last, "v": 0, "side": "", "g": None, "mark": "read"}
        closing = [{"n": total + 1 + i, "k": "end", "ts": over, "v": 0, "side": side, "g": None} for i, side in enumerate("lrm")]
        closing[-1]["mark"] = "closed"
        return [mark, *closing] if source == "file" else [mark, closing[0]]

    def line(self, source, number):
        return json.dumps(self.fields(source, number)).encode()

    def records(self, source, tail=True):
        total = self.totals[source]
        return [self.fields(source, number) for number in range(total + (len(self.tail(source, total)) if tail else 0))]


def sources(folder, tcp_port):
    timed = "key: k, timestamp: {field: ts, unit: ms}"
    return (f"  file: {{file: {{path: {folder}/sensor.log, poll: 20ms}}, {timed}}}\n"
            f"  tcp: {{tcp: {{listen: \"127.0.0.1:{tcp_port}\", acknowledge: true}}, {timed}}}\n")


AVERAGES = {"size": 1000, "grace": 500}
HOPS = {"size": 2000, "advance": 500, "grace": 300}
SESSIONS = {"gap": 150, "grace": 200}
JOIN = {"before": 200, "after": 300, "grace": 400}
ASOF = {"history": AMPLE_MS, "grace": 300}
TCP = {"size": 500, "grace": 300}
ACROSS = {"before": 50, "after": 30, "grace": AMPLE_MS}
BOTH = {"size": 100, "grace": AMPLE_MS}

PIPELINES = f"""
  marks: {{from: file, steps: [{{where: mark IS NOT NULL}}, {{select: {{mark: mark}}}}], to: t-marks}}
  left: {{from: file, steps: [{{where: "side = 'l'"}}]}}
  right: {{from: file, steps: [{{where: "side = 'r'"}}]}}
  measured: {{from: file, steps: [{{where: "side = 'm'"}}]}}
  sites: {{from: file, steps: [{{where: "side = 't'"}}, {{table: {{}}}}]}}
  versions: {{from: file, steps: [{{where: "side = 't'"}}, {{table: {{history: {ASOF["history"]}ms}}}}]}}
  averages:
    from: file
    steps:
      - where: side <> 't'
      - aggregate: {{window: {{tumbling: {AVERAGES["size"]}ms, grace: {AVERAGES["grace"]}ms}}, select: {{mean: avg(v), n: count(*), first: first(n), last: last(n)}}, emit: closed, late: {{topic: t-late}}}}
    to: t-averages
  named: {{from: averages, steps: [{{join: {{with: sites, kind: left, select: {{mean: left.mean, n: left.n, w: right.v}}}}}}], to: t-named}}
  updates:
    from: file
    steps: [{{aggregate: {{window: {{tumbling: {AVERAGES["size"]}ms, grace: {AVERAGES["grace"]}ms}}, select: {{mean: avg(v), n: count(*)}}, emit: updates}}}}]
    to: t-updates
  hops:
    from: file
    steps: [{{aggregate: {{window: {{hopping: {{size: {HOPS["size"]}ms, advance: {HOPS["advance"]}ms}}, grace: {HOPS["grace"]}ms}}, select: {{n: count(*), s: sum(v), low: min(v)}}, emit: every-change}}}}]
    to: t-hops
  sessions:
    from: file
    steps: [{{aggregate: {{window: {{session: {SESSIONS["gap"]}ms, grace: {SESSIONS["grace"]}ms}}, select: {{n: count(*), s: sum(v)}}, emit: every-change}}}}]
    to: t-sessions
  joined:
    from: left
    steps: [{{join: {{with: right, kind: outer, within: {{before: {JOIN["before"]}ms, after: {JOIN["after"]}ms, grace: {JOIN["grace"]}ms}}, select: {{l: left.n, r: right.n}}, late: {{topic: t-joined-late}}}}}}]
    to: t-joined
  asof: {{from: measured, steps: [{{join: {{with: versions, kind: left, grace: {ASOF["grace"]}ms, select: {{n: left.n, w: right.v}}}}}}], to: t-asof}}
  groups: {{from: sites, steps: [{{aggregate: {{by: g, select: {{n: count(*), s: sum(v)}}, emit: every-change}}}}], to: t-groups}}
  totals: {{from: tcp, steps: [{{aggregate: {{select: {{n: count(*), s: sum(v)}}, emit: updates}}}}], to: t-totals}}
  tcp-averages:
    from: tcp
    steps: [{{aggregate: {{window: {{tumbling: {TCP["size"]}ms, grace: {TCP["grace"]}ms}}, select: {{mean: avg(v), n: count(*), first: first(n), last: last(n)}}, emit: closed}}}}]
    to: t-tcp
  across:
    from: measured
    steps: [{{join: {{with: tcp, within: {{before: {ACROSS["before"]}ms, after: {ACROSS["after"]}ms, grace: {ACROSS["grace"]}ms}}, select: {{l: left.n, r: right.n}}}}}}]
    to: t-across
  both:
    from: [left, tcp]
    steps: [{{aggregate: {{window: {{tumbling: {BOTH["size"]}ms, grace: {BOTH["grace"]}ms}}, select: {{mean: avg(v), n: count(*), high: max(v)}}, emit: closed}}}}]
    to: t-both
"""
