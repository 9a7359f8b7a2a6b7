"""The claims whose rules were amended: the old verdict, the new one, and which came first, the rule or the run."""

from collections.abc import Mapping

from press.page.answers import badge, verdict_of
from press.page.columns import line

# how well a verdict speaks of the paper; one that takes a failure back speaks better of it than the failure did
RANK = {"not reproduced": 0, "not testable": 1, "undecided": 1, "partly": 2, "reproduced": 3}


def counts(claims: list[dict]) -> dict[str, int]:
    """How many claims there are, how many were amended, how many of these had a verdict before, and which way it moved."""
    amended = [claim for claim in claims if "amended" in claim]
    moves = [moved(claim) for claim in amended if "was" in claim["amended"]]
    return {
        "claims": len(claims), "amended": len(amended), "before": len(moves), "toward": sum(move > 0 for move in moves),
        "away": sum(move < 0 for move in moves), "same": sum(move == 0 for move in moves),
        "after": sum(not rule_first(claim["amended"]) for claim in amended),
    }  # fmt: skip


def moved(claim: dict) -> int:
    """Above 0 where the published edition's verdict speaks better of the paper than the one before the rule was amended."""
    return RANK.get(verdict_of(claim, edition="published"), 0) - RANK[claim["amended"]["was"]]


def rule_first(amended: Mapping[str, str]) -> bool:
    """Whether the rule is older than the first numbers that it judges, by the dates behind the two commits.

    >>> rule_first({"rule": "aaaaaaa 2026-11-22 08:00", "record": "bbbbbbb 2026-11-23 07:00"})
    True
    """
    return amended["rule"].split(" ", 1)[1] < amended["record"].split(" ", 1)[1]


def table(claims: list[dict]) -> str:
    """All amended claims as a Markdown table, those whose verdict moved first."""
    rows = [claim for claim in claims if "amended" in claim]
    rows.sort(key=lambda claim: ("was" not in claim["amended"], "was" in claim["amended"] and moved(claim) == 0))
    lines = [line("Claim", "What was amended", "Verdict before", "Verdict now", "Rule", "First numbers", "Came first")]
    lines.append(line(*["---"] * 7))
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def _row(claim: dict) -> str:
    amended = claim["amended"]
    before = badge(amended["was"]) if "was" in amended else "none"
    commits = (f"`{name}` {date}" for name, _, date in (amended[key].partition(" ") for key in ("rule", "record")))
    return line(
        f"[{claim['claim']}](claim-{claim['id']})", claim["corrected"], before,
        badge(verdict_of(claim, edition="published")), *commits, "rule" if rule_first(amended) else "numbers",
    )  # fmt: skip
