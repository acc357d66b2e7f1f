#!/usr/bin/env python3
"""What the documents say is true: links lead somewhere; commands, flags, targets and paths exist.

`gantry` commands are looked up in docs/reference/cli.md, which the binary prints. With GANTRY_BIN set
to a binary, the resource files in the documents are validated by it.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLI = "docs/reference/cli.md"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def documents():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "*.md"],
                            capture_output=True, text=True, check=True).stdout.split()
    return {path: read(path) for path in sorted(set(listed)) if os.path.exists(os.path.join(ROOT, path))}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return stream.read()


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text):
    """The fragments of a page, as the usual renderers make them from headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


def commands(text):
    """(line, words) of every `gantry …` in code: fenced blocks and spans."""
    for match in re.finditer(r"^(?: {4}|\$ )?(?:sudo )?gantry( +.*)?$", text, re.MULTILINE):
        before = text[:match.start()]
        if before.count("\n```") % 2 == 1 or match.group(0).startswith("    "):
            yield before.count("\n") + 1, (match.group(1) or "").split("#")[0].split()
    for match in re.finditer(r"`gantry( [^`]*)?`", text):
        yield text.count("\n", 0, match.start()) + 1, (match.group(1) or "").split()


class Links(unittest.TestCase):
    def test_every_relative_link_leads_to_a_file_and_a_heading(self):
        pages = documents()
        broken = []
        for path, text in pages.items():
            for target in LINK.findall(without_code(text)):
                if re.match(r"[a-z]+:", target):
                    continue
                name, _, fragment = target.partition("#")
                full = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
                if not os.path.exists(os.path.join(ROOT, full)):
                    broken.append(f"{path}: {target}")
                elif fragment and full.endswith(".md") and fragment not in anchors(read(full)):
                    broken.append(f"{path}: {target} (no such heading)")
        self.assertEqual(broken, [])

    def test_a_missing_file_and_a_missing_heading_would_be_seen(self):
        self.assertEqual(LINK.findall(without_code("[a](b.md) `[c](d.md)`")), ["b.md"])
        self.assertEqual(anchors("## 10. API and `command` line\n```\n# no\n```\n"), {"10-api-and-command-line"})


class Commands(unittest.TestCase):
    def reference(self):
        if not os.path.exists(os.path.join(ROOT, CLI)):
            self.skipTest(f"{CLI} does not exist")
        text = read(CLI)
        names = set(re.findall(r"^#+ +`?gantry ([a-z][a-z ]*)", text, re.MULTILINE))
        names |= set(re.findall(r"`gantry ([a-z]+(?: [a-z]+)?)`", text))
        self.assertIn("deploy", {name.strip() for name in names})
        return {name.strip() for name in names}, set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))

    def test_every_command_and_flag_exists(self):
        names, flags = self.reference()
        groups = {name.split()[0] for name in names if " " in name}
        wrong = []
        for path, text in documents().items():
            if path == CLI:
                continue
            for line, words in commands(text):
                if not words or not re.match(r"[a-z_]+$", words[0]):
                    continue
                plain = " ".join(words[:2] if words[0] in groups and len(words) > 1 else words[:1])
                if not (plain in names or words[0] in names and words[0] not in groups) and words[0] != "__reference":
                    wrong.append(f"{path}:{line}: gantry {plain}")
                used = [word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
                wrong += [f"{path}:{line}: gantry {plain} {flag}" for flag in used if flag not in flags]
        self.assertEqual(wrong, [])

    def test_commands_are_found_in_blocks_and_spans(self):
        text = "x\n```sh\ngantry up --detach  # c\n$ gantry list\n```\nSee `gantry logs NAME`.\ngantry is a word\n"
        self.assertEqual([words for _, words in commands(text)], [["up", "--detach"], ["list"], ["logs", "NAME"]])


class Places(unittest.TestCase):
    def test_every_make_target_exists(self):
        targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
        wrong = []
        for path, text in documents().items():
            for match in re.finditer(r"(?:^(?: {4}|\$ )?|`)(?:sudo )?make ([a-z]+)(?: ([a-z]+))?(?=[`\s])", text, re.MULTILINE):
                wrong += [f"{path}: make {word}" for word in match.groups() if word and word not in targets]
        self.assertEqual(wrong, [])

    def test_every_path_of_the_repository_exists(self):
        wrong = []
        for path, text in documents().items():
            for name in re.findall(r"`((?:src|scripts|tools|docs|cmake|deploy|shim|tests|bench|\.ci)/[\w./-]+)", text):
                if not os.path.exists(os.path.join(ROOT, name.rstrip("."))) and "/x" not in name:
                    wrong.append(f"{path}: {name}")
        self.assertEqual(wrong, [])

    def test_the_index_of_errors_is_what_the_table_says(self):
        subprocess.run([sys.executable, os.path.join(ROOT, "tools/error_index.py"), "--check"], check=True)


class Resources(unittest.TestCase):
    def test_every_resource_file_in_the_documents_is_valid(self):
        binary = os.environ.get("GANTRY_BIN")
        if not binary:
            self.skipTest("GANTRY_BIN names no binary")
        environment = {**os.environ, "API_KEY": "x", "PDF_API_KEY": "x"}
        for path, text in documents().items():
            for _, language, block in FENCE.findall(text):
                if language == "yaml" and "kind: Agent" in block:
                    with self.subTest(path), tempfile.TemporaryDirectory() as folder:
                        # The directories that it names are the reader's.
                        for workdir in re.findall(r"\bworkdir: *([\w./-]+)", block):
                            os.makedirs(os.path.join(folder, workdir), exist_ok=True)
                        done = subprocess.run([binary, "validate", "-f", "-"], input=block, capture_output=True, text=True,
                                              env=environment, timeout=30, cwd=folder)
                        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)


class Diagnostics(unittest.TestCase):
    def test_every_diagnostic_in_the_documents_is_one_of_the_golden_files(self):
        folder = os.path.join(ROOT, "tests/golden/spec")
        golden = "".join(read(os.path.join(folder, name)) for name in sorted(os.listdir(folder)))
        for path, text in documents().items():
            for _, _, block in FENCE.findall(text):
                if block.startswith("error[GS"):
                    self.assertIn(block, golden, path)


if __name__ == "__main__":
    unittest.main()
