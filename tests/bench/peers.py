"""rsyslog with omkafka beside the agent: the same lines by TCP, to the same Kafka. Twice: with its queue in memory, as it is set up
most often (a crash loses what is in it), and with a disk queue whose files are synced, the nearest it has to what the agent does."""
import json
import os
import shutil
import socket
import subprocess
import time

from measure import field, process_us
from kafka_broker import free_port
from rig import port_open, wait_for

QUEUES = {
    "rsyslog, queue in memory": 'queue.type="LinkedList" queue.size="200000" queue.dequeuebatchsize="1024" queue.workerthreads="1"',
    "rsyslog, synced disk queue": 'queue.type="Disk" queue.filename="forward" queue.syncqueuefiles="on" queue.checkpointinterval="100" queue.maxdiskspace="4g" queue.dequeuebatchsize="1024"',
}
CONFIG = """global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imptcp")
module(load="omkafka")
template(name="raw" type="string" string="%rawmsg%")
input(type="imptcp" address="127.0.0.1" port="{port}" ruleset="forward")
ruleset(name="forward") {{
  action(type="omkafka" broker=["127.0.0.1:{kafka}"] topic="{topic}" template="raw" confParam=["compression.codec=zstd", "linger.ms=5", "enable.idempotence=true"]
         resubmitOnFailure="on" action.resumeRetryCount="-1" {queue})
}}
"""


def installed():
    return shutil.which("rsyslogd") is not None and any(os.path.exists(os.path.join(folder, "rsyslog", "omkafka.so")) for folder in ("/usr/lib/" + os.uname().machine + "-linux-gnu", "/usr/lib/arm-linux-gnueabihf"))


def end_offset(broker, topic):
    done = subprocess.run(["kcat", "-b", f"127.0.0.1:{broker.port}", "-Q", *sum((["-t", f"{topic}:{p}:-1"] for p in range(6)), [])], capture_output=True, text=True)
    return sum(int(text.split()[-1]) for text in done.stdout.splitlines() if text.split()[-1].isdigit())


def run_rsyslog(name, broker, lines_file, records, number, parent):
    topic, port, folder = f"rsyslog-{number}", free_port(), os.path.join(parent, f"rsyslog-{number}")
    os.makedirs(folder)
    broker.create_topic(topic, 6, {})
    config = os.path.join(folder, "rsyslog.conf")
    with open(config, "w") as file:
        file.write(CONFIG.format(folder=folder, port=port, kafka=broker.port, topic=topic, queue=QUEUES[name]))
    process = subprocess.Popen(["rsyslogd", "-n", "-f", config, "-i", os.path.join(folder, "pid")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("rsyslog to listen", lambda: port_open(port), 20)
        time.sleep(1)
        cpu, written, begin = process_us(process.pid), field(f"/proc/{process.pid}/io", "write_bytes:"), time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as client, open(lines_file, "rb") as file:
            left = records
            for block in iter(lambda: file.readlines(1 << 16), []):
                client.sendall(b"".join(block[:left]))
                left -= min(left, len(block))
                if left == 0:
                    break
        wait_for("rsyslog's records in Kafka", lambda: end_offset(broker, topic) >= records, 600, every=0.25)
        seconds = time.monotonic() - begin
        return {"cpu_us": (process_us(process.pid) - cpu) / records, "rate": records / seconds, "peak_kib": field(f"/proc/{process.pid}/status", "VmHWM:"),
                "written": field(f"/proc/{process.pid}/io", "write_bytes:") - written, "records": records}
    finally:
        process.kill()
        process.wait(10)
