#!/usr/bin/env python3
"""The commands and options of rivulet(1) and of the completion, as the program itself gives them by --help.

commands.py RIVULET          writes them between the marks in man/rivulet.1 and completion/rivulet
commands.py RIVULET --check  writes nothing; exit status 1 if either says something else than the program
"""
import difflib
import os
import re
import subprocess
import sys

PACKAGING = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE, COMPLETION = os.path.join(PACKAGING, "man", "rivulet.1"), os.path.join(PACKAGING, "completion", "rivulet")


def entries_of(section):
    """(name column, meaning) of each entry: the meaning follows after two spaces, or on the next lines where the name is long."""
    found = []
    for line in section:
        if re.match(r"^  \S", line):
            name, _, meaning = line.strip().partition("  ")
            if not meaning and (split := re.match(r"^(.+?(?:REQUIRED|:[A-Z]+)) (?!in \[)(\S.*)$", line)):  # one space only, where the name just fits
                name, meaning = split[1].strip(), split[2]
            found.append([name, meaning.strip()])
        elif line.strip() and found:
            found[-1][1] = f"{found[-1][1]} {line.strip()}".strip()
    return found


def option_of(entry):
    """{names, value, default, meaning} from what CLI11 prints, such as `--seconds INT:INT in [1 - 3600]=10`."""
    name, meaning = entry
    names, _, rest = name.partition(" ")
    default = ""
    if "=" in names:  # a text without spaces: FILE=/etc/...
        names, _, default = names.partition("=")
    rest = re.sub(r"\s*Excludes: \S+", "", rest)
    if bracketed := re.search(r"(?<! in) \[([^\[\]]*)\]$", f" {rest}"):  # CLI11 2.4: FILE [/etc/...], INT:INT in [1 - 3600] [10]
        rest, default = f" {rest}"[:bracketed.start()].strip(), bracketed[1]
    elif "=" in rest:
        rest, _, default = rest.rpartition("=")
    required = rest.endswith("REQUIRED")
    value = rest.removesuffix("REQUIRED").strip()
    between = re.search(r"in \[(.*?) - (.*?)\]", value)
    value = value.split(":")[0].split(" ")[0]
    value = {"INT": "N", "UINT": "N", "TEXT": "TEXT", "FLOAT": "N"}.get(value, value)
    return {"names": names.split(","), "value": value, "default": default, "meaning": meaning, "required": required,
            "between": between and (between[1], between[2])}


def read(program, command=()):
    """The commands below `command`, depth first: [(words, meaning, positionals, options, footer)]."""
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"})
    head, *parts = re.split(r"^([A-Z][a-z]+):[ \t]*$", done.stdout, flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2]))
    footer = ""
    for title in ("Options", "Subcommands"):  # the footer follows the last section after an empty line
        if title in sections:
            body, _, after = sections[title].strip("\n").partition("\n\n")
            sections[title], footer = body, after.strip() or footer
    usage = re.search(r"^Usage: .*$", head, re.MULTILINE)
    meaning = head[:usage.start()].strip().replace("\n", " ")
    options = [option_of(entry) for entry in entries_of(sections.get("Options", "").splitlines())]
    positionals = [option_of(entry) for entry in entries_of(sections.get("Positionals", "").splitlines())]
    found = [(command, meaning, positionals, options, footer)]
    for name, _ in entries_of(sections.get("Subcommands", "").splitlines()):
        found += read(program, (*command, name))
    return found


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def option_text(option):
    names = ", ".join(f"\\fB{roff(name)}\\fR" for name in option["names"])
    value = f" \\fI{roff(option['value'])}\\fR" if option["value"] else ""
    about = option["meaning"]
    if option["between"]:
        about += f" ({option['between'][0]} to {option['between'][1]})"
    if option["default"]:
        about += f"; default {option['default']}"
    return [".TP", names + value, roff(about)]


def page_of(commands):
    lines = []
    for words, meaning, positionals, options, footer in commands:
        if not words:
            continue
        below = any(other[0][:-1] == words for other in commands)
        if below:
            continue  # its commands are listed, each whole
        usage = f"\\fBrivulet {roff(' '.join(words))}\\fR [\\fIOPTIONS\\fR]"
        for positional in positionals:
            name = f"\\fI{roff(positional['names'][0])}\\fR"
            usage += f" {name}" if positional["required"] else f" [{name}]"
        lines += [f".SS {usage}", roff(meaning)]
        for positional in positionals:
            lines += [".TP", f"\\fI{roff(positional['names'][0])}\\fR", roff(positional["meaning"])]
        for option in options:
            if option["names"] != ["-h", "--help"]:
                lines += option_text(option)
        if footer:
            lines += [".PP", roff(footer)]
    return "\n".join(lines) + "\n"


def completion_of(commands):
    lines = ["_rivulet_words() {", '  case "$1" in']
    for words, _, _, options, _ in commands:
        below = [other[0][-1] for other in commands if other[0] and other[0][:-1] == words]
        names = [name for option in options for name in option["names"]]
        lines.append(f'    "{" ".join(words)}") echo "{" ".join(below + names)}" ;;')
    return "\n".join(lines + ["  esac", "}"]) + "\n"


def put(path, begin, end, text, check):
    """Replaces what stands between the marks; answers whether it was the same."""
    with open(path) as file:
        old = file.read()
    before, mark, rest = old.partition(begin)
    _, last, after = rest.partition(end)
    if not mark or not last:
        sys.exit(f"{path}: has no marks {begin.strip()} and {end.strip()}")
    new = before + begin + text + end + after
    if check:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), path, "the program"))
    elif new != old:
        with open(path, "w") as file:
            file.write(new)
    return new == old


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--check"]):
        sys.exit(__doc__)
    commands, check = read(sys.argv[1]), len(sys.argv) == 3
    assert len(commands) > 10, "rivulet --help lists too few commands to be understood"
    same = put(PAGE, '.\\" begin: commands, by packaging/man/commands.py\n', '.\\" end: commands\n', page_of(commands), check)
    same = put(COMPLETION, "# begin: commands, by packaging/man/commands.py\n", "# end: commands\n", completion_of(commands), check) and same
    if check and not same:
        print("differs from `rivulet --help`; run: packaging/man/commands.py PATH/OF/rivulet")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
