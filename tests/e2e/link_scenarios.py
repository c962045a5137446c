#!/usr/bin/env python3
"""Links that are dead, slow or were never there. One fact a function, against a real Kafka; link_scenarios.py --rivulet PROGRAM NAME."""
import inspect
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import free_port, wait_for  # noqa: E402
from scenarios import TO, file_source  # noqa: E402
from stage import Stage  # noqa: E402

STOP_SECONDS = 5.0


def sigterm_ends_in_time_with_a_dead_link(program):
    """Black hole, refused connections, no broker ever: exit code 0 in under 5 s, and what was accepted is forwarded later."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO)
        stage.make_topics()
        sent = 0
        for trouble in (stage.proxy.black_hole, stage.proxy.cut):
            stage.agent.start()
            stage.lines("in.log", range(sent, sent + 200))
            wait_for("a record in Kafka", lambda: stage.agent.forwarded() > 0)
            trouble()
            stage.lines("in.log", range(sent + 200, sent + 400))
            sent += 400
            wait_for("a backlog", lambda: (stage.agent.status() or {"store": {"outbox_records": 0}})["store"]["outbox_records"] >= 200)
            code, seconds = stage.agent.terminate()
            assert code == 0 and seconds < STOP_SECONDS, f"{trouble.__name__}: exit code {code} after {seconds:.1f} s"
            print(f"{trouble.__name__}: exit code 0 after {seconds:.1f} s")
            if trouble == stage.proxy.black_hole:
                stage.proxy.black_hole(False)
        stage.agent.start()  # refused from the start
        wait_for("the agent to be up", lambda: stage.agent.status() is not None)
        code, seconds = stage.agent.terminate()
        assert code == 0 and seconds < STOP_SECONDS, f"offline from the start: exit code {code} after {seconds:.1f} s"
        stage.proxy.restore()
        stage.agent.start()
        wait_for("the outbox to drain", lambda: stage.agent.drained() and stage.agent.status_now()["forward"]["link"] == "up", 60)
        stage.expect_exactly("t", range(sent))


def starts_offline_and_drains_in_order(program):
    """No broker at the start: everything is stored; when the link is there it drains, in order."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO)
        stage.make_topics()
        stage.proxy.cut()
        stage.agent.start()
        stage.lines("in.log", range(20_000))
        stage.wait_stored(20_000)
        stage.agent.kill()  # the backlog outlives the process
        stage.agent.start()
        stage.wait_stored(20_000)
        stage.proxy.restore()
        stage.wait_forwarded(20_000)
        stage.expect_exactly("t", range(20_000))


def a_round_trip_of_more_than_a_second_holds_up_nothing(program):
    """By satellite, or in a crowded cell: an agent that was killed with a transaction under way finds out about it and goes on."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO)
        stage.make_topics()
        stage.agent.start(RIVULET_KILL_AT="forward.after_commit")
        stage.lines("in.log", range(200))
        wait_for("the kill", lambda: not stage.agent.running())
        stage.proxy.delay(1.2)
        stage.agent.start()
        stage.lines("in.log", range(200, 400))
        stage.wait_forwarded(400, 120)
        stage.proxy.restore()
        stage.expect_exactly("t", range(400))


def a_broker_that_never_answered_is_named(program):
    """A wrong port, a wrong name: one warning with the reason after the first attempt, and the status and /healthz say that there never was one."""
    for brokers, reason in ((f"127.0.0.1:{free_port()}", "refused"), (f"{'x' * 64}.invalid:9092", "cannot be resolved")):  # too long for DNS: nobody is asked
        with Stage(program, kafka=False) as stage:
            stage.configure(file_source(stage), TO)
            with open(stage.agent.config) as file:
                text = file.read()
            with open(stage.agent.config, "w") as file:
                file.write(text.replace(f"127.0.0.1:{stage.port}", brokers))
            stage.agent.start()
            wait_for("the warning", lambda: "no broker can be reached" in stage.agent.log_tail(100), 15)
            warned = [line for line in stage.agent.log_tail(100).splitlines() if "no broker can be reached" in line]
            assert brokers in warned[0] and reason in warned[0], warned
            problems = stage.agent.status_now()["problems"]
            assert any("never was a connection" in problem and reason in problem for problem in problems), problems
            stage.lines("in.log", range(100))
            stage.wait_stored(100)
            time.sleep(3)  # some more attempts
            assert stage.agent.log_tail(200).count("no broker can be reached") == 1, "once an outage"
            assert stage.agent.terminate()[0] == 0
            print(warned[0])


SCENARIOS = {name: fact for name, fact in globals().items() if inspect.isfunction(fact) and list(inspect.signature(fact).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
