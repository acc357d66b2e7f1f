"""Pages that people rely on: one for each error, the first screen of README, line 10 of CONTRIBUTING."""
import re

TABLE = "src/base/error_table.inc"


def error_page(tree):
    """Every id of the error table has docs/errors/<ID>.md, and every page has its id."""
    table = tree.by_path.get(TABLE)
    ids = {}
    for number, line in enumerate(table.lines if table else [], 1):
        match = re.match(r"GANTRY_ERROR\((\w+),", line)
        if match:
            if match.group(1) in ids:
                yield table.at(number, "error-page", f"{match.group(1)} is listed twice (take a new id)")
            ids[match.group(1)] = number
    pages = {f.stem: f for f in tree.files if re.fullmatch(r"docs/errors/[A-Z]{2}\d{4}\.md", f.path)}
    for name, number in ids.items():
        if name not in pages:
            yield table.at(number, "error-page", f"{name} has no page (write docs/errors/{name}.md: cause, "
                           "what Gantry does, what to do)")
    for name, page in pages.items():
        if name not in ids and not any(name in file.text for file in tree.cpp("src/")):
            yield page.at(1, "error-page", f"no error has the id {name} (remove the page, or list the id)")
        if page.lines and not page.lines[0].startswith(f"# {name}"):
            yield page.at(1, "error-page", f"the page does not start with its id (start with `# {name}: title`)")


def readme(tree):
    """README: the first sentence on line 3, the first command before line 20."""
    file = tree.by_path.get("README.md")
    if not file:
        return
    third = file.lines[2].lstrip("*_ ") if len(file.lines) > 2 else ""
    if not re.match(r"[A-Z]", third):
        yield file.at(3, "readme", "the first sentence is not on line 3 (title, blank line, sentence)")
    fenced, command = False, False
    for line in file.lines[:19]:
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and re.match(r"(?:\$ )?(?:git|make|gantry|sudo|cd|curl)\b", line):
            command = True
    if not command:
        yield file.at(20, "readme", "no command before line 20 (show how to start first)")


def contributing(tree):
    """CONTRIBUTING line 10 says how to run one test."""
    file = tree.by_path.get("CONTRIBUTING.md")
    if file and not (len(file.lines) >= 10 and re.search(r"--gtest_filter|ctest|pytest", file.lines[9])):
        yield file.at(10, "contributing", "line 10 does not say how to run one test (show the command there)")
