"""Cases through `rivulet replay`, many in one process, two processes at a time."""
import concurrent.futures
import json
import os
import subprocess
import tempfile

from to_rivulet import Refused, Translated, configuration

BATCH = 40  # starting takes 10 ms and more; a batch that rivulet refuses is run again case by case, to find whom it refuses
TIMEOUT_S = 120


def run(rivulet, cases, options=(), changes="every-change"):
    """A result for each case, in order: what rivulet gives, or {"name", "config_error"}."""
    batches = [cases[first:first + BATCH] for first in range(0, len(cases), BATCH)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [result for results in pool.map(lambda batch: _batch(rivulet, batch, list(options), changes), batches) for result in results]


def _batch(rivulet, cases, options, changes):
    results, translated = {}, []
    for number, case in enumerate(cases):
        try:
            translated.append((number, Translated(case, number, changes)))
        except Refused as refused:
            results[number] = {"name": case["name"], "config_error": str(refused)}
    lines, error, failed = _replay(rivulet, [one for _, one in translated], options)
    if error and len(cases) > 1:
        return [result for case in cases for result in _batch(rivulet, [case], options, changes)]
    if error:
        return [{"name": cases[0]["name"], "config_error": error}]
    first = 0
    for number, one in translated:
        end = first + len(one.lines)
        # By topic: what an epoch holds back may come after another case's line, and what strays into one is a difference by its `after`.
        rows = [dict(line, after=line["after"] - first) for line in lines if line.get("topic") == one.name]
        drops = [{"after_input": line["after"] - first, "n": line["drop"]["n"]} for line in lines if "drop" in line and first <= line["after"] < end]
        result = one.result(rows, drops)
        if failed:
            result["failed"] = failed
        results[number] = result
        first = end
    if failed and len(cases) > 1:  # whose records were they?
        return [result for case in cases for result in _batch(rivulet, [case], options, changes)]
    return [results[number] for number in range(len(cases))]


def _replay(rivulet, cases, options):
    """(lines, why it refused, what it said about records that failed)."""
    if not cases:
        return [], None, None
    with tempfile.TemporaryDirectory(prefix="semantics-") as folder:
        config = os.path.join(folder, "rivulet.yaml")
        with open(config, "w") as file:
            file.write(configuration(cases))
        text = "".join(line + "\n" for case in cases for line in case.lines)
        try:
            done = subprocess.run([rivulet, "replay", config, "--drops", *options], input=text.encode(), capture_output=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return [], f"rivulet replay did not end within {TIMEOUT_S} s", None
    said = done.stderr.decode(errors="replace").replace(folder + os.sep, "").strip()
    if done.returncode != 0:
        errors = [line for line in said.splitlines() if ": warning: " not in line]
        return [], f"exit code {done.returncode}: " + "\n".join(errors)[:2000], None
    quarantined = [line for line in said.splitlines() if "quarantine" in line]
    return [json.loads(line) for line in done.stdout.decode().splitlines()], None, quarantined[:3] or None
