#!/usr/bin/python3
"""tests/support/failures against a real ctest run: what failed is printed, its end only, and nothing of what passed; the last line is that of ctest's summary."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CTEST = """add_test("it passes" sh -c "echo all is well")
add_test("it: fails, Testing: oddly" sh -c "seq 1000; echo the reason; exit 3")
add_test("it takes too long" sh -c "echo slow so far; sleep 60")
set_tests_properties("it takes too long" PROPERTIES TIMEOUT 1)
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "CTestTestfile.cmake"), "w") as file:
            file.write(CTEST)
        with open(os.path.join(folder, "ctest.log"), "w") as log:
            assert subprocess.run(["ctest", "-j3"], cwd=folder, stdout=log, stderr=subprocess.STDOUT).returncode != 0
        with open(os.path.join(folder, "ctest.log")) as log:
            summary = log.read().splitlines()
        summary = summary[summary.index("33% tests passed, 2 tests failed out of 3"):]
        said = subprocess.run([os.path.join(HERE, "failures"), folder], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "=== it: fails, Testing: oddly" in said and "the reason" in said and "1000" in said, said
    assert "1" not in said and len(said) < 100, "only the end of a long output"
    assert "=== it takes too long" in said and "slow so far" in said, said
    assert len(summary) > 4 and said[-len(summary):] == summary, said
    assert not any("passes" in line or "all is well" in line for line in said), said


sys.exit(main())
