"""What the text of a source file says: comments on doors, clocks, TODOs, paths."""
import re

CLOCK = [
    (re.compile(r"\b(?:system|steady|high_resolution|utc|file)_clock::now\b"), "take a Clock& (base/clock.h)"),
    (re.compile(r"(?<![\w.>])(?:::|std::)?time\s*\(\s*(?:nullptr|NULL|0)\s*\)"), "take a Clock& (base/clock.h)"),
    (re.compile(r"\b(?:clock_gettime|gettimeofday)\s*\("), "take a Clock& (base/clock.h)"),
    (re.compile(r"\brandom_device\b|\bgetrandom\s*\("), "take a Random& (base/clock.h)"),
    (re.compile(r"(?<![\w.>])(?:::|std::)?s?rand\s*\("), "take a Random& (base/clock.h)"),
]
# Ada is the user of our examples.
MACHINE = re.compile(r"(?<![\w.$}~*-])/(?:work/|root/|home/(?!ada/)[a-z][\w-]*/)")
TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!\(#(?:\d+|n)\))")
DOOR_COMMENT = (5, 25)


def door_comment(tree):
    """A door opens with 5-25 lines: what it is, why, who owns it, which threads, one example."""
    for file in tree.cpp("src/"):
        if not file.is_door:
            continue
        count = next((i for i, line in enumerate(file.lines) if not line.startswith("//")), len(file.lines))
        least, most = DOOR_COMMENT
        if not least <= count <= most:
            yield file.at(1, "door-comment", f"opens with {count} comment lines, not {least} to {most} "
                          "(say what, why, owner, threads, one example)")


def doc_comment(tree):
    """Every class, enum and free function of a door has a comment; so have headers that it consists of."""
    for file in tree.cpp("src/"):
        if not file.is_door:
            continue
        own = re.findall(rf'#include "({file.folder}/[^"]+\.h)"', file.text)
        parts = [tree.by_path.get("src/" + path) for path in own if "detail" not in path]
        for part in [file] + [part for part in parts if part]:
            yield from _undocumented(part)


def _undocumented(file):
    for line, text in declarations(file.bare):
        above = file.lines[line - 2].strip() if line > 1 else ""
        before = file.lines[line - 3].strip() if line > 2 else ""
        # A declaration right below another shares its comment: overloads and small families. So do
        # those under a paragraph that speaks of a whole group.
        if not above and before.startswith("//"):
            continue
        if not above or re.search(r"^#|^namespace\b.*\{$|^extern\b.*\{$", above):
            yield file.at(line, "doc-comment", f"`{text}` has no comment (say what it returns, units, failure, lifetime)")


def declarations(bare):
    """(line, text) of each type definition and function at namespace level; text needs no comments."""
    depth, namespaces, statement, start, line = 0, [], "", 1, 1
    for letter in bare:
        if letter == "\n":
            line += 1
        if letter in "{;" and depth == len(namespaces):
            text = " ".join(statement.split())
            if re.match(r"(?:inline )?namespace\b|extern \"\"$", text) and letter == "{":
                namespaces.append(depth)
            elif _is_declaration(text, letter):
                yield start, re.sub(r"^template ?<.*?> (?=\w)", "", text)[:60]
        if letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if namespaces and namespaces[-1] == depth:
                namespaces.pop()
        if letter in "{};":
            statement = ""
        elif depth == len(namespaces):
            if not statement.strip():
                start, statement = line, ""
            statement += letter


def _is_declaration(text, end):
    text = re.sub(r"^(?:template ?<.*?> (?=[a-zA-Z\[])|\[\[.*?\]\] )*", "", text)
    kind = re.match(r"(?:class|struct|enum(?: class)?|union)\b(?: \[\[.*?\]\])? ([\w:<>, ]+)", text)
    if kind:
        return end == "{" and "::" not in kind.group(1).split(" : ")[0]
    if re.match(r"(?:using|typedef|static_assert|friend|extern template|concept)\b|[A-Z][A-Z0-9_]*\(", text):
        return False
    return re.match(r"[^=(]*[\w>&*] ?[\w]+\(", text) is not None and "operator" not in text and "::operator" not in text


def clock(tree):
    """Time and randomness come from Clock and Random; only src/base/clock* reads the machine's."""
    for file in tree.cpp("src/"):
        if file.path.startswith("src/base/clock"):
            continue
        for number, line in enumerate(file.bare_lines, 1):
            for pattern, cure in CLOCK:
                match = pattern.search(line)
                if match:
                    yield file.at(number, "clock", f"`{match.group(0).strip()}` ({cure})")


def todo(tree):
    """TODO names an issue: TODO(#12)."""
    for file in tree.files:
        if file.is_of_tidy:
            continue
        for number, line in enumerate(file.lines, 1):
            if TODO.search(line):
                yield file.at(number, "todo", "a TODO without an issue (write TODO(#12), or do it)")


def machine_path(tree):
    """No absolute path of one machine; tests may name foreign homes that they try to reach."""
    for file in tree.files:
        if file.is_of_tidy:
            continue
        for number, line in enumerate(file.lines, 1):
            match = MACHINE.search(line)
            if match and not (file.is_test and not match.group(0).startswith("/work")):
                yield file.at(number, "machine-path", f"`{match.group(0)}` is a path of one machine "
                              "(derive it from the checkout, an argument or the environment)")
