#!/usr/bin/env python3
"""packaging/demo --kafka: simulated sensors through config/demo.yaml into a real Apache Kafka, with kill -9 of the agent and cut
links in the middle; then the topic is read back read_committed and counted. Exit status 0 only if nothing is missing, doubled or
out of order."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import ROOT, Agent, Broker, Proxy  # noqa: E402

TOPIC = "machine-readings"


def configuration(folder, port, records):
    with open(os.path.join(ROOT, "config", "demo.yaml")) as file:
        text = file.read()
    for pattern, replacement in ((r"state: \S+", f"state: {folder}/state"), (r"brokers: \[.*\]", f"brokers: [127.0.0.1:{port}]"), (r"seed: 1\}", f"seed: 1, count: {records}}}")):
        text, found = re.subn(pattern, replacement, text)
        assert found == 1, f"config/demo.yaml no longer has {pattern}"
    return text + f'\nstatus: {{listen: "unix:{folder}/status.sock"}}\n'


def show(agent, note):
    status = agent.status()
    if status is None:
        return print(f"  {note}", flush=True)
    totals = status["totals"]
    print(f"  records in {totals['in']:7}  stored {totals['stored']:7}  forwarded {status['forward']['forwarded_records']:7}  backlog {status['store']['outbox_records']:6}  "
          f"link {status['forward']['link']:10} {note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", required=True)
    parser.add_argument("--records", type=int, default=16_000)
    parser.add_argument("--kills", type=int, default=4)
    given = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="rivulet-demo-")
    print("starting a real Apache Kafka", flush=True)
    proxy, broker, agent = Proxy(), Broker(os.path.join(folder, "kafka")), None
    try:
        broker.start(advertise=proxy.port)
        proxy.target = broker.port
        agent = Agent(given.rivulet, folder, configuration(folder, proxy.port, given.records))
        made = subprocess.run([given.rivulet, "topics", "--create", "-c", agent.config], capture_output=True, text=True)
        if made.returncode != 0:
            sys.exit("rivulet topics --create: " + made.stdout + made.stderr)
        print("records in, stored and forwarded count since the agent's last start", flush=True)
        for number in range(given.kills):
            agent.start()
            time.sleep(0.8)
            proxy.cut()
            show(agent, "-- link cut")
            time.sleep(0.4)
            proxy.restore()
            show(agent, "-- link restored")
            time.sleep(0.5)
            show(agent, f"-- kill -9 ({number + 1} of {given.kills})")
            agent.kill()
        agent.start()
        deadline = time.monotonic() + 60
        while agent.running() and time.monotonic() < deadline:
            show(agent, "")
            time.sleep(1)
        if agent.running() or agent.process.returncode != 0:
            sys.exit("the agent did not end by itself:\n" + agent.log_tail())
        done = subprocess.run(["kcat", "-b", f"127.0.0.1:{broker.port}", "-C", "-t", TOPIC, "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed", "-f", "%p %s\\n"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        numbers, last, disorder = [], {}, 0
        for line in done.stdout.splitlines():
            partition, value = line.split(" ", 1)
            number = json.loads(value)["n"]
            numbers.append(number)
            disorder += number < last.get(partition, -1)
            last[partition] = max(number, last.get(partition, -1))
        missing = given.records - len(set(numbers))
        duplicated = len(numbers) - len(set(numbers))
        print(f"\nrecords in     {given.records:9}\nrecords out    {len(numbers):9}\nmissing        {missing:9}\nduplicated     {duplicated:9}\nout of order   {disorder:9}\n")
        print(f"Read back read_committed by kcat from a real Apache Kafka, after {given.kills} kill -9 of the agent and {given.kills} cut links.")
        verified = subprocess.run([given.rivulet, "verify", "--brokers", f"127.0.0.1:{broker.port}", "--topic", TOPIC], capture_output=True, text=True)
        print(verified.stdout + verified.stderr)
        return 1 if missing or duplicated or disorder or verified.returncode else 0
    finally:
        if agent is not None and agent.running():
            agent.kill()
        broker.stop(kill=True)
        proxy.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
