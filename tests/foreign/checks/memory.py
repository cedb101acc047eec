"""What the system sees of a node's memory."""

from kit import resident, weir
from . import check


@check
def what_is_resident_is_accounted(bench):
    wrong = []
    for number, (size, count) in enumerate(((1_000, 20_000), (40_000, 3_000))):
        toml = bench.toml().replace('memory = "64MiB"', 'memory = "512MiB"')
        node = weir.Node(bench.folder, f"resident-{number}", toml)
        resident.fetch(node, "warm", 20, 1_000)
        before = resident.Figures(node)
        odd = resident.fetch(node, "one", count, size)
        wrong += resident.judge(node, before, f"{count} of {size} bytes", odd, lambda *words: print("      ", *words, flush=True))
        node.end()
    assert not wrong, "; ".join(wrong)
