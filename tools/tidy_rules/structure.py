"""Folders: who includes whom, through which door, and what every folder carries."""
import re

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
USES = re.compile(r"gantry_folder\(\s*(\w+)([^)]*)\)")


def includes(tree):
    """(file, line, folder, path) of every include of a file in another folder of src/."""
    known = set(tree.folders) | set(tree.layers)
    for file in tree.cpp("src/"):
        for match in INCLUDE.finditer(file.text):
            target = match.group(1)
            folder = target.split("/")[0]
            if "/" in target and folder in known and folder != file.folder:
                yield file, file.text.count("\n", 0, match.start(1)) + 1, folder, target


def may_use(tree, upper, lower):
    order = tree.layers
    return upper in order and lower in order and order.index(upper) < order.index(lower)


def layers(tree):
    """A folder includes only folders on a lower line of src/layers.txt."""
    for folder in tree.folders:
        if folder not in tree.layers:
            first = next(f for f in tree.files if f.folder == folder)
            yield first.at(1, "layers", f"folder '{folder}' is not in src/layers.txt (add it above what it includes)")
    for file, line, folder, target in includes(tree):
        if file.folder in tree.layers and not may_use(tree, file.folder, folder):
            yield file.at(line, "layers", f"'{file.folder}' is below '{folder}' and includes {target} "
                          "(move the code up, or pass what is needed as a value or an interface)")


def cycle(tree):
    """The folders form no cycle of includes."""
    graph, where = {}, {}
    for file, line, folder, _ in includes(tree):
        graph.setdefault(file.folder, set()).add(folder)
        where.setdefault((file.folder, folder), (file, line))
    done = set()

    def walk(folder, path):
        if folder in path:
            ring = path[path.index(folder):] + [folder]
            file, line = where[(ring[0], ring[1])]
            yield file.at(line, "cycle", f"folders include each other: {' > '.join(ring)} (cut one of these edges)")
        elif folder not in done:
            for following in sorted(graph.get(folder, ())):
                yield from walk(following, path + [folder])
            done.add(folder)

    for folder in sorted(graph):
        yield from walk(folder, [])


def door_only(tree):
    """Other folders are reached through x/x.h; tests also through x/x_fake.h, x/driver_suite.h and x/storage_testing.h."""
    for file, line, folder, target in includes(tree):
        allowed = [f"{folder}/{folder}.h"]
        if file.is_test or file.stem.endswith(("_fake", "_suite", "_testing")):
            allowed += [f"{folder}/{folder}_fake.h", f"{folder}/driver_suite.h", f"{folder}/storage_testing.h"]
        if target not in allowed:
            yield file.at(line, "door-only", f"includes {target} (include {' or '.join(allowed)}, "
                          "or let the door offer what is missing)")


def uses(tree):
    """In CMake, gantry_folder(name USES …) names its own folder, and uses folders further down only."""
    for file in tree.files:
        if not re.fullmatch(r"src/\w+/CMakeLists\.txt", file.path):
            continue
        own = file.path.split("/")[1]
        for match in USES.finditer(file.text):
            line = file.text.count("\n", 0, match.start()) + 1
            if match.group(1) != own:
                yield file.at(line, "uses", f"names the folder '{match.group(1)}' (name it '{own}')")
            words = re.sub(r"#[^\n]*", "", match.group(2)).split()
            used = words[words.index("USES") + 1:] if "USES" in words else []
            for folder in used[:used.index("LIBS")] if "LIBS" in used else used:
                if own in tree.layers and not may_use(tree, own, folder):
                    yield file.at(line, "uses", f"USES {folder}, which is not below '{own}' in src/layers.txt "
                                  "(remove it, or move the line in layers.txt)")


def furniture(tree):
    """Every folder of src/ has its door, a README.md of at most 80 lines and a CMakeLists.txt."""
    for folder in tree.folders:
        first = next(f for f in tree.files if f.folder == folder)
        for name in (f"{folder}.h", "README.md", "CMakeLists.txt"):
            if f"src/{folder}/{name}" not in tree.by_path:
                yield first.at(1, "furniture", f"src/{folder}/{name} is missing (add it)")
        readme = tree.by_path.get(f"src/{folder}/README.md")
        if readme and len(readme.lines) > 80:
            yield readme.at(81, "furniture", f"{len(readme.lines)} lines, at most 80 (move detail to docs/internals)")
