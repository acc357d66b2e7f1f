#!/usr/bin/env python3
"""Each rule of tools/tidy fails on a bad sample and is silent on a good one."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tidy_rules import ALL_RULES, names, pages, size, source, structure  # noqa: E402
from tidy_rules.tree import File, Tree, strip_cpp  # noqa: E402

LAYERS = "# top to bottom\nproxy\njournal\nbase\n"
DOOR = "// a\n// b\n// c\n// d\n// e\n#pragma once\n"


def run_on(rule, files):
    """The findings of a rule over {path: text}."""
    tree = Tree([File(path, text) for path, text in files.items()])
    return sorted(rule(tree))


def places(findings):
    return [f"{finding.path}:{finding.line}" for finding in findings]


class RuleTest(unittest.TestCase):
    def assert_finds(self, rule, files, *expected):
        findings = run_on(rule, files)
        self.assertEqual(places(findings), list(expected))
        for finding in findings:
            self.assertEqual(finding.rule, rule.__name__.replace("_", "-"))
            self.assertRegex(str(finding), r"^[^:]+:\d+: [a-z-]+: .+ \(.+\)$", "a finding says what to do")

    def assert_silent(self, rule, files):
        self.assert_finds(rule, files)


class Structure(RuleTest):
    def test_an_include_of_a_higher_folder_is_found(self):
        self.assert_finds(structure.layers, {"src/layers.txt": LAYERS, "src/journal/a.cc": '#include "proxy/proxy.h"\n'},
                          "src/journal/a.cc:1")

    def test_an_include_of_a_lower_folder_is_fine(self):
        self.assert_silent(structure.layers, {"src/layers.txt": LAYERS, "src/proxy/a.cc": '#include "base/base.h"\n'})

    def test_a_folder_that_is_not_listed_is_found(self):
        self.assert_finds(structure.layers, {"src/layers.txt": LAYERS, "src/extra/extra.h": DOOR}, "src/extra/extra.h:1")

    def test_a_cycle_of_folders_is_found_with_its_ring(self):
        findings = run_on(structure.cycle, {"src/layers.txt": LAYERS, "src/proxy/a.cc": '#include "journal/journal.h"\n',
                                            "src/journal/b.cc": '\n#include "proxy/proxy.h"\n'})
        self.assertEqual(len(findings), 1)
        self.assertIn("journal > proxy > journal", findings[0].message)

    def test_a_chain_of_folders_is_no_cycle(self):
        self.assert_silent(structure.cycle, {"src/layers.txt": LAYERS, "src/proxy/a.cc": '#include "journal/journal.h"\n',
                                             "src/journal/b.cc": '#include "base/base.h"\n'})

    def test_a_private_header_of_another_folder_is_found(self):
        self.assert_finds(structure.door_only, {"src/layers.txt": LAYERS, "src/proxy/a.cc": '#include "journal/segment.h"\n'},
                          "src/proxy/a.cc:1")

    def test_doors_own_headers_and_system_headers_are_fine(self):
        self.assert_silent(structure.door_only, {
            "src/layers.txt": LAYERS,
            "src/proxy/a.cc": '#include "journal/journal.h"\n#include "proxy/private.h"\n#include <vector>\n'})

    def test_fakes_and_suites_are_for_tests_only(self):
        text = '#include "journal/journal_fake.h"\n#include "journal/driver_suite.h"\n#include "journal/storage_testing.h"\n'
        self.assert_silent(structure.door_only, {"src/layers.txt": LAYERS, "src/proxy/a_test.cc": text})
        self.assert_finds(structure.door_only, {"src/layers.txt": LAYERS, "src/proxy/a.cc": text},
                          "src/proxy/a.cc:1", "src/proxy/a.cc:2", "src/proxy/a.cc:3")

    def test_cmake_uses_follow_the_layers(self):
        path = "src/journal/CMakeLists.txt"
        good = "gantry_folder(journal USES base LIBS proxy::lib)\n"
        self.assert_silent(structure.uses, {"src/layers.txt": LAYERS, path: good})
        self.assert_finds(structure.uses, {"src/layers.txt": LAYERS, path: "gantry_folder(journal USES base proxy)\n"}, f"{path}:1")
        self.assert_finds(structure.uses, {"src/layers.txt": LAYERS, path: "\ngantry_folder(journl USES base)\n"}, f"{path}:2")

    def test_a_folder_without_its_furniture_is_found(self):
        files = {"src/base/base.h": DOOR, "src/base/README.md": "# base\n", "src/base/CMakeLists.txt": "x\n"}
        self.assert_silent(structure.furniture, files)
        for path in ("src/base/README.md", "src/base/CMakeLists.txt"):
            rest = {key: value for key, value in files.items() if key != path}
            self.assert_finds(structure.furniture, rest, "src/base/base.h:1")
        self.assert_finds(structure.furniture, {**files, "src/base/README.md": "line\n" * 81}, "src/base/README.md:81")

    def test_a_folder_without_a_door_is_found(self):
        files = {"src/base/id.cc": "", "src/base/README.md": "# base\n", "src/base/CMakeLists.txt": "x\n"}
        self.assert_finds(structure.furniture, files, "src/base/id.cc:1")


class Size(RuleTest):
    def test_a_file_above_800_lines_is_found(self):
        self.assert_finds(size.file_size, {"src/base/a.cc": "int a;\n" * 801}, "src/base/a.cc:801")
        self.assert_silent(size.file_size, {"src/base/a.cc": "int a;\n" * 400, "docs/long.md": "line\n" * 900})

    def test_a_file_above_400_lines_is_a_warning(self):
        findings = run_on(size.file_size, {"src/base/a.cc": "int a;\n" * 401})
        self.assertEqual([finding.is_warning for finding in findings], [True])

    def test_tables_may_be_long(self):
        self.assert_silent(size.file_size, {"src/base/a.cc": "// tidy: table\n" + "int a;\n" * 900})

    def test_a_door_above_250_lines_is_found(self):
        self.assert_finds(size.door_size, {"src/base/base.h": "//\n" * 251}, "src/base/base.h:251")
        self.assert_silent(size.door_size, {"src/base/base.h": "//\n" * 250, "src/base/other.h": "//\n" * 300})

    def test_a_function_above_70_lines_is_found(self):
        body = "  work();\n" * 69
        self.assert_silent(size.function_size, {"src/base/a.cc": "int f(int x) {\n" + "  work();\n" * 68 + "}\n"})
        self.assert_finds(size.function_size, {"src/base/a.cc": "\nint f(int x) {\n" + body + "}\n"}, "src/base/a.cc:2")
        self.assert_finds(size.function_size, {"tools/a.py": "def f():\n" + "    work()\n" * 70}, "tools/a.py:1")

    def test_functions_are_found_in_every_shape(self):
        long = "  work();\n" * 70 + "}\n"
        shapes = {
            "method": "struct A : B<int> {\n  int f() const noexcept override {\n" + long + "};\n",
            "constructor": "A::A(int x) : a_(x), b_{y, {}}, c_(z) {\n" + long,
            "template": "template <class T, class U = std::vector<T>>\nResult<T> f(T value) {\n" + long,
            "nested": "namespace a {\nnamespace {\nTask<void> f() {\n  if (x) {\n  }\n" + long + "}\n}\n",
            "test": "TEST(Journal, KeepsRecords) {\n" + long,
            "trailing": "auto f(int x) -> Result<int> {\n" + long,
            "split": "Result<int> f(int a,\n              int b) {\n" + long,
            "default": "int f(Options options = {}) {\n" + long,
        }
        for name, text in shapes.items():
            with self.subTest(name):
                self.assertEqual(len(run_on(size.function_size, {"src/base/a.cc": text})), 1)

    def test_scopes_and_tables_are_no_functions(self):
        for text in ("namespace a {\n" + "int f();\n" * 90 + "}\n", "class A {\n" + "int f();\n" * 90 + "};\n",
                     "constexpr Row rows[] = {\n" + "{f(1), 2},\n" * 90 + "};\n", "enum class E {\n" + "a,\n" * 90 + "};\n"):
            self.assert_silent(size.function_size, {"src/base/a.cc": text})

    def test_braces_in_literals_and_comments_do_not_count(self):
        text = 'void f() {\n  // }\n  g("}", \'}\', R"(}})");\n' + "  work();\n" * 70 + "}\n"
        self.assert_finds(size.function_size, {"src/base/a.cc": text}, "src/base/a.cc:1")


class Source(RuleTest):
    def test_a_door_without_its_opening_comment_is_found(self):
        self.assert_finds(source.door_comment, {"src/base/base.h": "// short\n#pragma once\n"}, "src/base/base.h:1")
        self.assert_finds(source.door_comment, {"src/base/base.h": "// long\n" * 26}, "src/base/base.h:1")
        self.assert_silent(source.door_comment, {"src/base/base.h": DOOR, "src/base/other.h": "#pragma once\n"})

    def test_public_declarations_without_comment_are_found(self):
        for text in ("class A {\n};\n", "enum class E { a, b };\n", "struct S final {\n};\n", "Result<int> f(int x);\n",
                     "template <class T>\nT f(T x) {\n}\n", "[[nodiscard]] std::string g();\n"):
            with self.subTest(text):
                header = DOOR + "namespace gantry {\n\n"
                self.assert_finds(source.doc_comment, {"src/base/base.h": header + text + "}\n"}, "src/base/base.h:9")
                self.assert_silent(source.doc_comment, {"src/base/base.h": header + "/// What it is.\n" + text + "}\n"})

    def test_forward_declarations_aliases_and_members_need_no_comment(self):
        text = ("namespace gantry {\n\nclass Later;\n\nusing A = int;\n\n/// B.\nclass B {\n\n  int f();\n};\n\n"
                "GANTRY_ID(AgentId);\n\n}\n\ntemplate <>\nstruct std::hash<gantry::B> {\n};\n")
        self.assert_silent(source.doc_comment, {"src/base/base.h": DOOR + text})

    def test_a_family_shares_the_comment_of_its_first(self):
        text = "/// Both spellings.\nint f(int x);\nint f(long x);\n\n// The getters.\n\nint g();\n"
        self.assert_silent(source.doc_comment, {"src/base/base.h": DOOR + text})

    def test_headers_that_a_door_consists_of_are_doors_too(self):
        files = {"src/base/base.h": DOOR + '#include "base/id.h"\n#include "base/detail.h"\n',
                 "src/base/id.h": "\nint f();\n", "src/base/detail.h": "\nint g();\n"}
        self.assert_finds(source.doc_comment, files, "src/base/id.h:2")

    def test_the_machines_clock_and_randomness_are_found(self):
        for text in ("auto t = std::chrono::system_clock::now();", "auto t = steady_clock::now();", "std::random_device d;",
                     "int x = rand();", "int x = std::rand ();", "srand(1);", "long t = time(nullptr);", "::time(NULL);",
                     "std::time(0);", "clock_gettime(CLOCK_MONOTONIC, &t);"):
            with self.subTest(text):
                self.assert_finds(source.clock, {"src/core/a.cc": text + "\n"}, "src/core/a.cc:1")
                self.assert_silent(source.clock, {"src/base/clock.cc": text + "\n"})

    def test_other_words_with_time_in_them_are_fine(self):
        text = "wait_time(nullptr); operand(x); clock.time(0); // system_clock::now()\nlog(\"rand()\");\n"
        self.assert_silent(source.clock, {"src/core/a.cc": text})

    def test_a_todo_without_an_issue_is_found(self):
        for text in ("// TO" + "DO: later", "// FIX" + "ME", "# TO" + "DO(me) x"):
            self.assert_finds(source.todo, {"src/core/a.cc": "\n" + text + "\n"}, "src/core/a.cc:2")
        self.assert_silent(source.todo, {"src/core/a.cc": "// TODO(#12): later\nmkstemp(\"XXXXXX\");\n"})

    def test_a_path_of_one_machine_is_found(self):
        for text in ("cd /work/gantry", "/root/.gantry", "ls /home/anna/bin"):
            self.assert_finds(source.machine_path, {"docs/a.md": text + "\n"}, "docs/a.md:1")
        self.assert_silent(source.machine_path, {"docs/a.md": "/workspace/a ~/.gantry $HOME/work/x https://a.dev/work/x\n"})

    def test_tests_may_try_foreign_homes(self):
        self.assert_silent(source.machine_path, {"tests/escape/a.py": "open('/root/.ssh/id')\n"})
        self.assert_finds(source.machine_path, {"tests/escape/a.py": "open('/work/x')\n"}, "tests/escape/a.py:1")


class Names(RuleTest):
    def test_names_that_say_nothing_are_found(self):
        for path in ("src/utils/a.cc", "src/base/string_helpers.cc", "src/base/JsonUtil.h", "tests/e2e/common.py"):
            self.assert_finds(names.banned_name, {path: ""}, f"{path}:1")
        for text in ("class ProcessManager {", "struct HelperState;", "using MiscMap = int;", "namespace common {"):
            self.assert_finds(names.banned_name, {"src/base/a.h": text + "\n"}, "src/base/a.h:1")
        self.assert_finds(names.banned_name, {"tests/a.py": "class TestHelper:\n"}, "tests/a.py:1")

    def test_words_that_only_contain_one_are_fine(self):
        self.assert_silent(names.banned_name, {"src/base/uncommon.cc": "class Commonality {};\n// a manager class Manager\n"})

    def test_retired_words_are_found(self):
        glossary = "# Glossary\n## Retired words\n| word | say |\n|---|---|\n| `dlq` | dead letter |\n"
        self.assert_finds(names.retired_word, {"docs/glossary.md": glossary, "src/base/a.cc": "\nint dlq_size; // DLQs\n"},
                          "src/base/a.cc:2")
        self.assert_silent(names.retired_word, {"docs/glossary.md": glossary, "src/base/a.cc": "int dlqx;\n"})


class Pages(RuleTest):
    table = 'GANTRY_ERROR(GR0001, invalid, "title")\n'

    def test_an_error_without_its_page_is_found(self):
        self.assert_finds(pages.error_page, {pages.TABLE: self.table}, f"{pages.TABLE}:1")
        self.assert_silent(pages.error_page, {pages.TABLE: self.table, "docs/errors/GR0001.md": "# GR0001: title\n"})

    def test_a_page_without_its_error_is_found(self):
        self.assert_finds(pages.error_page, {pages.TABLE: "", "docs/errors/GR0001.md": "# GR0001: title\n"},
                          "docs/errors/GR0001.md:1")

    def test_an_id_listed_twice_is_found(self):
        files = {pages.TABLE: self.table * 2, "docs/errors/GR0001.md": "# GR0001: title\n"}
        self.assert_finds(pages.error_page, files, f"{pages.TABLE}:2")

    def test_a_page_must_start_with_its_id(self):
        files = {pages.TABLE: self.table, "docs/errors/GR0001.md": "# Another title\n"}
        self.assert_finds(pages.error_page, files, "docs/errors/GR0001.md:1")

    def test_the_readme_starts_with_its_sentence_and_a_command(self):
        good = "# Gantry\n\nGantry runs agents.\n\n```\n$ make demo\n```\n"
        self.assert_silent(pages.readme, {"README.md": good})
        self.assert_finds(pages.readme, {"README.md": good.replace("\n\nG", "\n\n\nG", 1)}, "README.md:3")
        self.assert_finds(pages.readme, {"README.md": "# Gantry\n\nGantry runs.\n" + "\n" * 17 + "```\nmake demo\n```\n"},
                          "README.md:20")

    def test_contributing_says_on_line_10_how_to_run_one_test(self):
        self.assert_silent(pages.contributing, {"CONTRIBUTING.md": "x\n" * 9 + "`ctest -R base`\n"})
        self.assert_finds(pages.contributing, {"CONTRIBUTING.md": "x\n" * 12}, "CONTRIBUTING.md:10")


class Reading(unittest.TestCase):
    def test_stripping_keeps_the_number_of_lines(self):
        text = 'a /* 1\n2 */ b\n#define X \\\n  {\nint y = 1\'000; char c = \'{\'; // {\nauto s = R"x({\n)x";\n'
        bare = strip_cpp(text)
        self.assertEqual(bare.count("\n"), text.count("\n"))
        self.assertNotIn("{", bare)
        self.assertIn("1'000", bare)

    def test_every_rule_says_in_one_line_what_it_wants(self):
        for rule in ALL_RULES:
            self.assertRegex(rule.__doc__.splitlines()[0], r"^[A-Z].*\.$")


if __name__ == "__main__":
    unittest.main()
