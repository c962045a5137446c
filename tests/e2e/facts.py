"""The command line of a file of facts, one function each."""
import argparse


def run(facts, about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rivulet")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="?", choices=sorted(facts))
    given = parser.parse_args()
    if given.list:
        print("\n".join(facts))
        return
    if given.name is None or given.rivulet is None:
        parser.error("--rivulet and the name of a fact are needed")
    facts[given.name](given.rivulet)
    print("ok")
