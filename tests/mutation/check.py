"""Every change to `policies/` that no test noticed must be listed, with the reason why nobody can notice it.

Reads what mutmut left in `mutants/` and the list in docs/reference/mutation.md, whose lines look like

    - `function`: ``before`` → ``after``. Why it changes no answer.

under a heading that names the file. One line excuses one change. `--write` renews the figures on that page.
"""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

PAGE = Path("docs/reference/mutation.md")
NOTICED = {"killed", "timeout"}

LISTED = re.compile(r"^- `(?P<function>\w+)`: ``(?P<before>.+?)`` → ``(?P<after>.+?)``\. ", re.MULTILINE)
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- /figures -->)", re.DOTALL)


class Change(NamedTuple):
    """What mutmut did to one function. A number of its own would change with every edit of the file."""

    file: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}\n- `{self.function}`: ``{self.before}`` → ``{self.after}``. "


def change(file: str, mutant: str) -> Change:
    """The change by that name, its lines joined."""
    lines = get_diff_for_mutant(mutant, path=file).splitlines()[2:]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) or "nothing" for sign in "-+"
    )
    function = re.split("[ǁ.]", mutant.rpartition("__mutmut_")[0])[-1].removeprefix("x_")
    return Change(file, function, before, after)


def listed(page: str) -> Counter[Change]:
    """The changes that the page gives a reason for."""
    found: Counter[Change] = Counter()
    for section in page.split("\n### ")[1:]:
        file, _, text = section.partition("\n")
        found.update(Change(file.strip("`"), *entry) for entry in LISTED.findall(text))
    return found


def main() -> int:
    page = PAGE.read_text()
    unnoticed: Counter[Change] = Counter()
    rows = []
    for path in walk_mutatable_files():
        if not config().should_mutate(path):
            continue
        data = SourceFileMutationData(path=path)
        data.load()
        names = [
            name for name, code in data.exit_code_by_key.items() if status_by_exit_code[code] not in NOTICED
        ]
        unnoticed.update(change(str(path), name) for name in names)
        total = len(data.exit_code_by_key)
        rows.append(f"| `{path}` | {total} | {total - len(names)} | {len(names)} |\n")
    table = "| file | changes | noticed | not noticed |\n|---|---|---|---|\n" + "".join(sorted(rows))
    if "--write" in sys.argv:
        PAGE.write_text(FIGURES.sub(lambda _: table, page))
    sys.stdout.write(table)
    excused = listed(page)
    for title, changes in (
        ("No test notices these, and docs/reference/mutation.md does not say why", unnoticed - excused),
        ("Noticed now, or gone: take these off docs/reference/mutation.md", excused - unnoticed),
    ):
        if changes:
            sys.stdout.write(f"\n{title}:\n\n" + "\n".join(map(str, changes.elements())) + "\n")
    return 1 if unnoticed - excused else 0


if __name__ == "__main__":
    sys.exit(main())
