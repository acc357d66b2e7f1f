"""Words: those that say nothing, and those that the glossary retired."""
import re

BANNED = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}
TYPE = re.compile(r"\b(?:class|struct|enum|union|namespace|using)\s+(?:class\s+|struct\s+)?([A-Za-z_]\w*)")
PYTHON_TYPE = re.compile(r"^\s*class\s+(\w+)")
RETIRED_ROW = re.compile(r"^\|\s*`([^`]+)`\s*\|\s*([^|]+?)\s*\|")


def words(name):
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def banned_name(tree):
    """No utils, helpers, common, misc or manager in the name of a file, folder or type."""
    cure = "name what it does"
    for file in tree.files:
        bad = words(file.path) & BANNED
        if bad:
            yield file.at(1, "banned-name", f"the path says '{sorted(bad)[0]}' ({cure})")
        pattern = TYPE if file.is_cpp else PYTHON_TYPE if file.ending == ".py" else None
        lines = file.bare_lines if file.is_cpp else file.lines
        for number, line in enumerate(lines if pattern else [], 1):
            for name in pattern.findall(line):
                if words(name) & BANNED:
                    yield file.at(number, "banned-name", f"the type '{name}' ({cure})")


def retired_words(tree):
    """{word: what to say instead} of the table under "Retired words" in docs/glossary.md."""
    glossary = tree.by_path.get("docs/glossary.md")
    if not glossary:
        return {}
    section = glossary.text.partition("## Retired words")[2].partition("\n## ")[0]
    rows = (RETIRED_ROW.match(line) for line in section.splitlines())
    return {row.group(1): row.group(2) for row in rows if row}


def retired_word(tree):
    """No word that docs/glossary.md retired."""
    retired = retired_words(tree)
    patterns = [(re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}s?(?![A-Za-z0-9])", re.IGNORECASE), word, instead)
                for word, instead in retired.items()]
    for file in tree.files:
        if file.path in ("docs/glossary.md", "LICENSE") or file.is_of_tidy:
            continue
        for number, line in enumerate(file.lines, 1):
            for pattern, word, instead in patterns:
                if pattern.search(line):
                    yield file.at(number, "retired-word", f"'{word}' is retired (say {instead})")
