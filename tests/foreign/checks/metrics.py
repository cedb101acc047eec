"""Prometheus judges what is supplied for it: a node's own scrape, rules and alerts, and every query of every board."""

import json
import pathlib
import re
import shutil
import subprocess

from kit.processes import run
from kit.weir import ROOT
from . import check

RULES = sorted((ROOT / "docs/prometheus").glob("*.yml"))
BOARDS = sorted((ROOT / "docs/grafana").glob("*.json"))
TESTS = sorted((ROOT / "tests/promtool").glob("*.yml"))

# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$__range": "6h", "$instance": ".*", "$stream": ".*"}


def promtool(*arguments, **options):
    ended = run(["promtool", *map(str, arguments)], **options)
    assert ended.returncode == 0, f"promtool {arguments[:2]}: {ended.stdout[-1500:]} {ended.stderr[-1500:]}"
    return ended.stdout.decode(errors="replace")


def targets(panels):
    """Every query of the panels of a board, with the title of its panel."""
    for panel in panels:
        yield from targets(panel.get("panels", []))
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def queries(board):
    yield from targets(board["panels"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"])
            assert asked, variable["definition"]
            yield f"variable {variable['name']}", asked[1]


@check
def prometheus_takes_the_rules_and_alerts_do_what_they_say(bench):
    assert len(RULES) >= 2 and TESTS, "rules and their tests are there"
    promtool("check", "rules", *RULES)
    folder = pathlib.Path(bench.folder) / "promtool"
    folder.mkdir()
    for file in [*RULES, *TESTS]:
        shutil.copy(file, folder)
    promtool("test", "rules", *[test.name for test in TESTS], cwd=folder, seconds=60)
    return f"{len(RULES)} files of rules, {len(TESTS)} of tests"


@check
def prometheus_takes_every_query_of_every_board(bench):
    folder = pathlib.Path(bench.folder) / "boards"
    folder.mkdir()
    count = 0
    assert len(BOARDS) >= 4, "overview, experience, origins and node"
    for file in BOARDS:
        lines = ["groups:", f"  - name: {file.stem}", "    rules:"]
        for title, expression in queries(json.loads(file.read_text())):
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, f"{file.name}: {title}: {expression}"
            count += 1
            lines += [f"      - record: board:query:{count}", f"        expr: {json.dumps(expression)}"]
        rules = folder / f"{file.stem}.yml"
        rules.write_text("\n".join(lines) + "\n")
    promtool("check", "rules", "--lint=none", *sorted(folder.glob("*.yml")))
    return f"{count} queries of {len(BOARDS)} boards"


@check
def prometheus_takes_a_scrape_of_a_node(bench):
    node = bench.serve("scraped")
    from kit.curl import curl
    curl(node.http("/live/master.m3u8"))
    page = node.admin_text("/metrics")
    # promtool reads the older text form: without the end mark, counters' families named as their samples are.
    counters = set(re.findall(r"^# TYPE (\w+) counter$", page, re.MULTILINE))
    page = re.sub(r"^# (HELP|TYPE) (\w+)", lambda line: f"# {line[1]} {line[2]}{'_total' * (line[2] in counters)}", page, flags=re.MULTILINE)
    ended = subprocess.run(["promtool", "check", "metrics"], input=page.replace("# EOF\n", ""), capture_output=True, text=True, timeout=30)
    assert "error while linting" not in ended.stderr and "parse" not in ended.stderr.lower(), ended.stderr[:1500]
    return f"{page.count('# TYPE')} families"
