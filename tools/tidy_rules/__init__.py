"""The rules of tools/tidy. A rule is a function from a Tree to its findings."""
from tidy_rules import names, pages, size, source, structure

ALL_RULES = [
    structure.layers,
    structure.cycle,
    structure.door_only,
    structure.uses,
    structure.furniture,
    size.file_size,
    size.function_size,
    size.door_size,
    source.door_comment,
    source.doc_comment,
    source.clock,
    source.todo,
    source.machine_path,
    names.banned_name,
    names.retired_word,
    pages.error_page,
    pages.readme,
    pages.contributing,
]
