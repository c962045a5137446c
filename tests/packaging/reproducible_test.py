#!/usr/bin/env python3
"""The same sources give the same bytes: in another folder, at another time, with another umask and locale.

reproducible_test.py --rivulet BINARY: two copies of the tree in two folders compile a room each without a compiler cache, and pack BINARY.
reproducible_test.py --full [ARCH]: both build and pack everything (minutes). Every result must have the same SHA-256 in both.
"""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EPOCH = "1800000000"
# What differs between the two: where, who says the time, how many jobs, what new files may be read by.
PLACES = ({"folder": "a", "umask": 0o022, "jobs": "1", "LC_ALL": "C", "TZ": "UTC"},
          {"folder": "another/and/longer/place", "umask": 0o077, "jobs": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"})


def copy_tree(folder):
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if os.path.isfile(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), os.path.join(folder, name))


def digests(folder, names):
    found = {}
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, env={**os.environ, "CCACHE_DISABLE": "1", "SOURCE_DATE_EPOCH": EPOCH, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def made_in(place, above, options):
    """SHA-256 of each result of one copy of the tree."""
    folder = os.path.join(above, place["folder"], "rivulet")
    os.umask(place["umask"])
    os.makedirs(folder)
    copy_tree(folder)
    environment = {"LC_ALL": place["LC_ALL"], "TZ": place["TZ"], "CMAKE_BUILD_PARALLEL_LEVEL": place["jobs"]}
    found = {}
    if options.rivulet:
        run(["cmake", "--preset", "package"], folder, **environment)
        run(["cmake", "--build", "build/package", "--target", "rivulet_base"], folder, **environment)
        # What the link optimises from is compared too, but for the section that names the source: what is linked does not depend on it (--full).
        run(["objcopy", "--wildcard", "--remove-section=.gnu.lto_.decls.*", "--enable-deterministic-archives", "build/package/librivulet_base.a", "librivulet_base.a"], folder)
        found = digests(folder, ["librivulet_base.a"])
        environment["RIVULET_BINARY"] = os.path.abspath(options.rivulet)
    run(["packaging/deb", *([options.full] if options.full else [])], folder, **environment)
    packages = os.path.join(folder, "build", "packages")
    for name in os.listdir(packages):
        if name.endswith(".spdx.json"):
            whole(os.path.join(packages, name))
    return {**found, **digests(packages, sorted(os.listdir(packages)))}


def whole(path):
    """A bill of materials names each linked library with version and licence, and relates only what it has."""
    with open(path) as file:
        bill = json.load(file)
    known = {one["SPDXID"] for one in bill["packages"]} | {"SPDXRef-DOCUMENT"}
    references = {one["licenseId"] for one in bill["hasExtractedLicensingInfos"]}
    assert all(one["versionInfo"] and one["licenseDeclared"] for one in bill["packages"])
    assert all(one["spdxElementId"] in known and one["relatedSpdxElement"] in known for one in bill["relationships"])
    for one in bill["packages"]:
        used = {word.strip("()") for word in one["licenseDeclared"].split() if word.strip("()").startswith("LicenseRef-")}
        assert used <= references, (one["name"], used - references)
    linked = {one["relatedSpdxElement"] for one in bill["relationships"] if one["relationshipType"] == "DYNAMIC_LINK"}
    for library in ("SPDXRef-librdkafka1", "SPDXRef-libsqlite3-0"):
        assert library in linked, f"{path}: does not name {library}"
    unknown = [one["name"] for one in bill["packages"] if one["licenseDeclared"] == "NOASSERTION"]
    assert not unknown, f"{path}: no licence of {unknown}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet")
    parser.add_argument("--full", nargs="?", const=subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip())
    options = parser.parse_args()
    if bool(options.rivulet) == bool(options.full):
        parser.error("give --rivulet BINARY or --full [ARCH]")
    with tempfile.TemporaryDirectory() as above:
        first, second = (made_in(place, above, options) for place in PLACES)
    for name in sorted(first.keys() | second.keys()):
        print(f"{first.get(name)} {os.path.basename(name)}{'' if first.get(name) == second.get(name) else f'  DIFFERS: {second.get(name)}'}")
    return 0 if first == second and len(first) >= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
