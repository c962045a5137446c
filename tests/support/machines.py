"""What stands in for machines: a Modbus slave (pymodbus, not ours) and a serial cable (socat). Each is stopped by its process id."""
import contextlib
import os
import pathlib
import subprocess
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
SECONDS = 30


@contextlib.contextmanager
def running(command, **options):
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def modbus_slave(port, floats):
    """Unit 1 at 127.0.0.1:port. `floats`: by the address of the first of their two registers, input and holding."""
    python = subprocess.run([TESTS / "support" / "python"], check=True, capture_output=True, text=True).stdout.strip()
    values = [f"{address}={value}" for address, value in floats.items()]
    with running([python, TESTS / "integration" / "modbus" / "slaves.py", "floats", str(port), *values], stdout=subprocess.PIPE, text=True) as slave:
        assert slave.stdout.readline() == f"{port}\n", "the Modbus slave does not listen"
        yield


@contextlib.contextmanager
def serial_cable(folder):
    """Two ports: the path of the agent's, and what writes to the machine's."""
    near, far = os.path.join(folder, "port"), os.path.join(folder, "machine")
    with running(["socat", f"pty,raw,echo=0,link={near}", f"pty,raw,echo=0,link={far}"]):
        until = time.monotonic() + SECONDS
        while not (os.path.exists(near) and os.path.exists(far)):
            assert time.monotonic() < until, "socat makes no ports"
            time.sleep(0.01)
        with open(far, "wb", buffering=0) as machine:
            yield near, machine.write
