"""What the rules look at: the text files of the checkout, and C++ text without comments."""
import dataclasses
import functools
import os
import re
import subprocess

CPP = (".cc", ".h", ".c", ".inc")
CODE = CPP + (".py", ".sh", ".js", ".mjs", ".ts", ".svelte", ".sql")
TEXT = CODE + (".md", ".txt", ".cmake", ".yaml", ".yml", ".json", ".service", ".html", ".css", "")


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str
    is_warning: bool = False

    def __str__(self):
        grade = "warning: " if self.is_warning else ""
        return f"{self.path}:{self.line}: {self.rule}: {grade}{self.message}"


class File:
    """One text file, by its path from the root of the checkout."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.splitlines()
        self.name = os.path.basename(path)
        self.stem, self.ending = os.path.splitext(self.name)

    @property
    def is_cpp(self):
        return self.ending in CPP

    @property
    def is_test(self):
        return self.path.startswith("tests/") or self.stem.endswith("_test") or self.stem.startswith("test_")

    @property
    def is_of_tidy(self):
        """The rules and their bad samples spell out what they look for."""
        return self.path.startswith("tools/tidy")

    @property
    def folder(self):
        """`journal` for src/journal/drivers/x.cc, `main` for src/main.cc, None outside src."""
        parts = self.path.split("/")
        if parts[0] != "src" or not self.is_cpp:
            return None
        return parts[1] if len(parts) > 2 else os.path.splitext(parts[1])[0]

    @property
    def is_door(self):
        return self.folder is not None and self.path == f"src/{self.folder}/{self.folder}.h"

    @functools.cached_property
    def bare(self):
        """C++ text without comments, literals and preprocessor lines; the line breaks stay."""
        return strip_cpp(self.text)

    @functools.cached_property
    def bare_lines(self):
        return self.bare.splitlines()

    def at(self, line, rule, message, is_warning=False):
        return Finding(self.path, line, rule, message, is_warning)


class Tree:
    def __init__(self, files):
        self.files = sorted(files, key=lambda file: file.path)
        self.by_path = {file.path: file for file in self.files}

    @staticmethod
    def load(root):
        return Tree(filter(None, (_read(root, path) for path in _paths(root))))

    @functools.cached_property
    def layers(self):
        """Folder names of src/layers.txt, top to bottom."""
        file = self.by_path.get("src/layers.txt")
        return [line.strip() for line in file.lines if re.match(r"[a-z]", line)] if file else []

    @functools.cached_property
    def folders(self):
        """Folders under src/ that hold C++ files."""
        return sorted({f.folder for f in self.files if f.folder and f.path.count("/") > 1})

    def cpp(self, under=""):
        return [file for file in self.files if file.is_cpp and file.path.startswith(under)]


def _paths(root):
    """Tracked and new files, without what .gitignore names; every file where there is no git."""
    git = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if git.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        return sorted(set(git.stdout.splitlines()))
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def _read(root, path):
    full = os.path.join(root, path)
    if os.path.splitext(path)[1] not in TEXT or os.path.islink(full) or not os.path.isfile(full):
        return None
    try:
        with open(full, encoding="utf-8") as stream:
            return File(path, stream.read())
    except UnicodeDecodeError:
        return None


_CPP_NOISE = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)")
      | (?P<text>"(?:\\.|[^"\\\n])*")
      | (?P<letter>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')
      | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def strip_cpp(text):
    def blank(match):
        breaks = "\n" * match.group(0).count("\n")
        return '""' + breaks if match.group("raw") or match.group("text") else breaks or " "

    return _CPP_NOISE.sub(blank, text)
