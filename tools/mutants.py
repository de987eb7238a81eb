#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds the mutants of tests/model/mutant_list.py and sees whether their tests notice them.

usage: tools/mutants.py; `make unit` does the same as part of its tests.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

FLAGS = ["-std=gnu17", "-O0", "-w", "-fno-builtin", "-Iinclude", "-DSOCLE_UNIT_TEST"]
SECONDS = 120
TREES = ("arch", "drivers", "include", "kernel", "lib", "mm", "platform", "tests/model", "tests/unit")

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests/model"))
from mutant_list import MUTANTS, Mutant  # pylint: disable=wrong-import-position


def link(source, target):
    os.symlink(os.path.abspath(source), target)


def plant(mutant, directory):
    """A tree of links to the sources in @directory, with one of them changed; '' or what is wrong."""
    for tree in TREES:
        shutil.copytree(tree, os.path.join(directory, tree), copy_function=link)
    if not mutant.file:
        return ""
    with open(mutant.file, encoding="utf-8") as file:
        text = file.read()
    if text.count(mutant.old) != 1:
        return f"{mutant.file} has its text {text.count(mutant.old)} times: {mutant.old!r}"
    changed = os.path.join(directory, mutant.file)
    os.unlink(changed)
    with open(changed, "w", encoding="utf-8") as file:
        file.write(text.replace(mutant.old, mutant.new))
    return ""


def try_one(mutant):
    """'' if the mutant's test fails, or passes if nothing is changed; else what happened."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        wrong = plant(mutant, directory)
        if wrong:
            return wrong
        program = os.path.join(directory, mutant.test)
        source = f"tests/model/{mutant.test}.c"
        if not os.path.exists(source):
            source = f"tests/unit/{mutant.test}.c"
        build = subprocess.run(["gcc", *FLAGS, source, "-o", program, "-lcmocka"], cwd=directory,
                               capture_output=True, check=False)
        if build.returncode:
            return build.stderr.decode(errors="replace")[-2000:]
        try:
            run = subprocess.run([program], capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"no end within {SECONDS} s"
        if mutant.file:
            return "" if run.returncode else f"{mutant.test} does not notice it"
        return run.stderr.decode(errors="replace")[-2000:] if run.returncode else ""


def run_mutants():
    """Tries all, and one without a change for each test; yields (name, '' or what went wrong) in the order of the table."""
    unchanged = [Mutant(f"{test}-unchanged", test, None, None, None)
                 for test in sorted({m.test for m in MUTANTS})]
    with ThreadPoolExecutor(2) as pool:
        for mutant, wrong in zip(unchanged + MUTANTS, pool.map(try_one, unchanged + MUTANTS)):
            yield mutant.name, wrong


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    for mutant_name, problem in run_mutants():
        print(f"{'FAIL' if problem else 'PASS'}: mutant/{mutant_name}{': ' if problem else ''}{problem}")
