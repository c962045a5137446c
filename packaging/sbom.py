#!/usr/bin/env python3
"""What is in a package, as SPDX 2.3 JSON: the program, the libraries that it links (and theirs), and those compiled into it.

Linked libraries are the package's own dependencies, followed through dpkg's records; compiled in is whatever package has a header that the
build read (`ninja -t deps`) and that is not one of a linked library. Versions are dpkg's, licences those of each package's copyright file.
The same input gives the same bytes.
"""
import argparse
import datetime
import glob
import hashlib
import json
import os
import re
import subprocess

# Debian's short names (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) where SPDX says it otherwise.
SPDX = {
    "expat": "MIT", "mit": "MIT", "x11": "X11", "isc": "ISC", "zlib": "Zlib", "apache-2.0": "Apache-2.0", "apache-2": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause", "bsd-2": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-3": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause", "bsl-1.0": "BSL-1.0", "boost-1.0": "BSL-1.0", "openssl": "OpenSSL", "curl": "curl", "cc0-1.0": "CC0-1.0", "0bsd": "0BSD",
    "gpl-1+": "GPL-1.0-or-later", "gpl-2": "GPL-2.0-only", "gpl-2.0": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later", "gpl-3": "GPL-3.0-only", "gpl-3+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only", "lgpl-2+": "LGPL-2.0-or-later", "lgpl-2.1": "LGPL-2.1-only", "lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later", "artistic": "Artistic-1.0-Perl", "unlicense": "Unlicense", "openldap-2.8": "OLDAP-2.8",
}


class Packages:
    """dpkg's records below a root."""

    def __init__(self, root):
        self.root, self.by_name, self.by_path, self.provider = root, {}, {}, {}
        with open(os.path.join(root, "var/lib/dpkg/status"), errors="replace") as file:
            for paragraph in file.read().split("\n\n"):
                fields = dict(re.findall(r"^([A-Za-z-]+): *(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE))
                if "Package" in fields and " installed" in fields.get("Status", ""):
                    self.by_name.setdefault(fields["Package"], fields)
                    for virtual in re.findall(r"([a-z0-9][a-z0-9+.-]+)", re.sub(r"\([^)]*\)", "", fields.get("Provides", ""))):
                        self.provider.setdefault(virtual, fields["Package"])

    def real(self, name):
        """The installed package of that name, or that provides it; None if there is none."""
        return name if name in self.by_name else self.provider.get(name)

    def source(self, name):
        return self.by_name[name].get("Source", name).split(" ")[0]

    def needs(self, name):
        fields = self.by_name[name]
        for alternatives in re.split(r",\s*", ", ".join(filter(None, (fields.get("Depends"), fields.get("Pre-Depends"))))):
            for one in alternatives.split("|"):
                needed = self.real(re.split(r"[ (:]", one.strip())[0])
                if needed:
                    yield needed
                    break

    def closure(self, names):
        found, todo = set(), list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.needs(name)
        return found

    def owner(self, path):
        if not self.by_path:
            for listing in glob.glob(os.path.join(self.root, "var/lib/dpkg/info/*.list")):
                name = os.path.basename(listing).removesuffix(".list").split(":")[0]
                with open(listing) as file:
                    self.by_path.update((line.rstrip("\n"), name) for line in file)
        return self.by_path.get(path)

    def copyright(self, name):
        try:
            with open(os.path.join(self.root, "usr/share/doc", name, "copyright"), errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def headers_of(build, root):
    """The headers below `root` that the objects in `build` were made from."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        return set()
    said = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    said = re.sub(r"^tests/.*\n(?: .*\n)*", "", said, flags=re.MULTILINE)  # the tests are not in the package
    prefix = os.path.realpath(root).rstrip("/") + "/usr/"
    paths = {os.path.normpath(os.path.join(build, line.strip())) for line in said.splitlines() if line.startswith(" ")}
    return {"/usr/" + path[len(prefix):] for path in map(os.path.abspath, paths) if path.startswith(prefix)}


def licence_of(name, text, extracted):
    """An SPDX expression of all the licences that a copyright file names; what SPDX does not know goes to `extracted`."""
    def identifier(short):
        known = SPDX.get(short.lower())
        if known:
            return known
        reference = "LicenseRef-Debian-" + re.sub(r"[^A-Za-z0-9.-]+", "-", short).strip("-")
        words = re.search(r"^License: *" + re.escape(short) + r"[ \t]*\n((?:[ \t].*\n)+)", text, re.MULTILINE)
        extracted.setdefault(reference, {"licenseId": reference, "name": short, "extractedText": words[1].strip() if words else f"see /usr/share/doc/{name}/copyright"})
        return reference
    named = re.findall(r"^License: *(\S.*?)[ \t]*$", text, re.MULTILINE)
    if not named:
        if not text:
            return "NOASSERTION"
        reference = "LicenseRef-Debian-copyright-of-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name)
        extracted.setdefault(reference, {"licenseId": reference, "name": f"the copyright file of {name}", "extractedText": text.strip()})
        return reference
    expressions = set()
    for one in named:
        choices = [" AND ".join(identifier(part.strip()) for part in re.split(r",? and ", choice)) for choice in re.split(r",? or ", one)]
        expressions.update(choices[0].split(" AND ") if len(choices) == 1 else [ f"({' OR '.join(f'({choice})' if ' AND ' in choice else choice for choice in choices)})"])
    return " AND ".join(sorted(expressions))


def document(options):
    packages, extracted = Packages(options.root), {}
    direct = [packages.real(re.split(r"[ (:]", one.strip())[0]) for one in options.depends.split(",") if one.strip()]
    assert all(direct), f"{options.root} has not all of {options.depends}"
    linked = packages.closure(direct)
    sources = {packages.source(name) for name in linked}
    compiled = {packages.owner(path) for path in headers_of(options.build, options.root)} - {None}
    compiled = {name for name in compiled if name in packages.by_name and packages.source(name) not in sources and name != "linux-libc-dev"}
    with open(options.binary, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)

    def package(name):
        fields = packages.by_name[name]
        purl = f"pkg:deb/debian/{name}@{fields['Version'].replace('+', '%2B').replace('~', '~').replace(':', '%3A')}?arch={fields['Architecture']}"
        return {"SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": fields["Version"], "supplier": "Organization: Debian",
                "sourceInfo": f"Debian source package {packages.source(name)}", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
                "licenseConcluded": "NOASSERTION", "licenseDeclared": licence_of(name, packages.copyright(name), extracted), "copyrightText": "NOASSERTION",
                "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}

    own = {"SPDXID": "SPDXRef-rivulet", "name": "rivulet", "versionInfo": options.version, "supplier": "NOASSERTION", "downloadLocation": "NOASSERTION",
           "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
           "primaryPackagePurpose": "APPLICATION", "checksums": [{"algorithm": "SHA256", "checksumValue": digest}]}
    all_of_them = [own] + [package(name) for name in sorted(linked | compiled)]
    identifier = {one["name"]: one["SPDXID"] for one in all_of_them}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-rivulet")]
    relations += [("SPDXRef-rivulet", "DYNAMIC_LINK", identifier[name]) for name in sorted(set(direct))]
    relations += [("SPDXRef-rivulet", "STATIC_LINK", identifier[name]) for name in sorted(compiled)]
    relations += [(identifier[name], "DEPENDS_ON", identifier[other]) for name in sorted(linked) for other in sorted(set(packages.needs(name)))]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"rivulet-{options.version}-{options.arch}",
            "documentNamespace": f"https://rivulet.invalid/spdx/rivulet-{options.version}-{options.arch}-{digest}",
            "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: rivulet-packaging-sbom"]},
            "packages": all_of_them, "hasExtractedLicensingInfos": [extracted[key] for key in sorted(extracted)],
            "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in relations]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("version", "arch", "root", "binary", "build", "depends"):
        parser.add_argument("--" + name, required=True)
    print(json.dumps(document(parser.parse_args()), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
