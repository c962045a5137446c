#!/usr/bin/env python3
"""rivulet.yaml(5) from config/README.md, whose table is what `rivulet check --reference` prints (a unit test compares them).

reference.py VERSION < config/README.md > rivulet.yaml.5; the table alone, from the program, gives the same settings.
"""
import re
import sys

HEAD = r""".TH RIVULET.YAML 5 "" "rivulet {version}" "File formats"
.SH NAME
rivulet.yaml \- configuration of the edge streaming agent rivulet
.SH SYNOPSIS
.I /etc/rivulet/rivulet.yaml
.br
.I /etc/rivulet/pipelines.d/*.yaml
.SH DESCRIPTION
What
.BR rivulet (1)
reads when it starts: where records come from, what is done with them, and which Kafka takes them. YAML. The files of
.I pipelines.d
add sources, tables and pipelines, and nothing else; the same name twice is an error. A file is one YAML document.
.PP
.B rivulet check
reports every problem in one pass as file:line:col: path: what is wrong, what was expected. Unknown and repeated keys are errors.
.PP
Durations: 250ms, 10s, 5m, 2h, 7d. Sizes: 64KiB, 8MiB, 2GiB. Rates: 50/s. ${{env:NAME}} and ${{file:PATH}} (trailing newline cut, at most
64 KiB) are substituted inside values; $${{ is a literal ${{. Secrets come that way and are never printed.
One that cannot be read is an error where it is needed; check only warns of one below
.IR /run/credentials ,
which systemd puts there while the service runs.
.SH EXAMPLE
.nf
agent: {{id: gateway\-1, state: /var/lib/rivulet}}
kafka: {{brokers: [kafka\-1:9092, kafka\-2:9092]}}
status: {{listen: "127.0.0.1:8686"}}
sources:
  machines:
    mqtt: {{url: mqtt://localhost:1883, topics: ["plant/+/temperature"], qos: 1}}
    key: device
pipelines:
  hot:
    from: machines
    steps:
      \- where: temperature > 80
    to: hot\-machines
.fi
.SH SETTINGS
.I NAME
stands for a name that you give, [] for each of a list.
"""
FOOT = r""".SH FILES
.I /usr/share/doc/rivulet/examples
has configurations of whole jobs.
.SH SEE ALSO
.BR rivulet (1),
.BR systemd.exec (5)
"""


def roff(text):
    text = text.replace("\\|", "|").replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = text.replace("**", "")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return "\\&" + text if text[0] in ".'" else text


def settings_of(text):
    """(setting, default, form, meaning) of each row of the table."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1]
        if len(cells) == 4 and cells[0].startswith("`"):
            yield cells


def page_of(text, version):
    lines = [HEAD.format(version=version).rstrip("\n")]
    for setting, default, form, meaning in settings_of(text):
        name = setting.strip("`").replace("-", "\\-")
        lines += [".TP", f"\\fB{name}\\fR"]
        about = meaning
        if form:
            about += f". Takes {form}"
        if default == "*needed*":
            about += "; needed" if form else ". Needed"
        elif default:
            about += f"; default {default}" if form else f". Default {default}"
        lines.append(roff(about) + ".")
    return "\n".join(lines) + "\n" + FOOT


def main():
    text = sys.stdin.read()
    if len(list(settings_of(text))) < 50:
        sys.exit("reference.py: the input has no table of settings; give it config/README.md")
    sys.stdout.write(page_of(text, sys.argv[1] if len(sys.argv) > 1 else ""))


if __name__ == "__main__":
    main()
