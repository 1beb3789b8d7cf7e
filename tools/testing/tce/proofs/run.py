#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Has cbmc prove things about the kernel's source files, for all inputs.

    run.py [--tree TREE] [--command CBMC] [--long] [PROOF...]

A proof is a function of a C file here, which includes the source file that it is
about. The comment above it says

    Unwind: how often loops go round, at most; cbmc proves that as well
    Flags:  more flags of cbmc
    Long:   how long it takes: it runs with --long only
    With:   FILE: OLD -> NEW, an edit of the source, to make it small
    Fault:  the same, a fault: with it the proof has to fail

where files are below arch/powerpc. Each proof is one result.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKS = ['--no-standard-checks', '--bounds-check', '--pointer-check',
          '--signed-overflow-check', '--undefined-shift-check',
          '--div-by-zero-check', '--unwinding-assertions', '--slice-formula',
          '-DCONFIG_SPAPR_TCE_IOMMU', '-DCONFIG_DEBUG_FS', '-D_GNU_SOURCE']


class Proof:
    """A function and what its comment says."""

    def __init__(self, path, comment, name):
        self.path, self.function = path, name
        self.name = os.path.basename(path)[:-2] + '-' + name
        text = re.sub(r'^ \* ?', '', comment, flags=re.M)
        # What is indented goes on.
        text = re.sub(r'\n {4,}', ' ', text)
        self.unwind = re.search(r'^Unwind: (\d+)$', text, re.M).group(1)
        self.flags = ' '.join(re.findall(r'^Flags: (.*)', text, re.M)).split()
        self.long = bool(re.search('^Long:', text, re.M))
        self.edits = re.findall(r'^With: (\S+): (.*) -> (.*)$', text, re.M)
        self.faults = re.findall(r'^Fault: (\S+): (.*) -> (.*)$', text, re.M)


def proofs_of(path):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    return [Proof(path, m.group(1), m.group(2)) for m in re.finditer(
        r'^/\*\n((?: \*[^\n/]*(?:/[^\n]*)?\n)+?) \*/\nvoid (\w+)\(void\)\n',
        text, re.M)]


def edit(tree, folder, edits):
    """Puts copies of what is edited, and of what is beside it, in a folder."""
    for name, old, new in edits:
        there = os.path.join(folder, 'arch/powerpc', os.path.dirname(name))
        beside = os.path.join(tree, 'arch/powerpc', os.path.dirname(name))
        if not os.path.isdir(there):
            os.makedirs(there)
            for path in glob.glob(beside + '/*.[ch]'):
                with open(path, encoding='utf-8') as f, \
                        open(os.path.join(there, os.path.basename(path)), 'w',
                             encoding='utf-8') as to:
                    to.write(f.read())
        path = os.path.join(folder, 'arch/powerpc', name)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        if text.count(old) != 1:
            raise ValueError(f'{text.count(old)} of "{old}" in {name}')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace(old, new))


def prove(args, proof, edits):
    """Was it proved; and what cbmc says if it is neither that nor disproved."""
    tce = os.path.join(args.tree, 'tools/testing/tce')
    with tempfile.TemporaryDirectory() as folder:
        try:
            edit(args.tree, folder, edits)
        except ValueError as error:
            return None, str(error)
        # These headers name those of the kernel by where they are.
        if any(name.startswith('include/asm/') for name, _, _ in edits):
            shutil.copytree(tce + '/asm', folder + '/tools/testing/tce/asm')
        words = [*args.command, proof.path, '--function', proof.function,
                 '--unwind', proof.unwind, *CHECKS, *proof.flags,
                 *(w for d in (folder, folder + '/tools/testing/tce',
                               args.tree, HERE, tce,
                               args.tree + '/tools/include',
                               args.tree + '/arch/powerpc/platforms/powernv')
                   for w in ('-I', d))]
        try:
            made = subprocess.run(words, check=False, text=True,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT,
                                  timeout=3600 if args.long else 600)
        except subprocess.TimeoutExpired:
            return None, 'takes too long'
    if 'VERIFICATION SUCCESSFUL' in made.stdout:
        return True, ''
    bad = re.findall(r'^\[\S+\] .*: FAILURE$', made.stdout, re.M)
    if 'VERIFICATION FAILED' in made.stdout and bad:
        return False, '; '.join(bad[:3])
    return None, made.stdout[-400:].strip()


def judge(args, proof):
    """What is wrong with a proof."""
    proved, why = prove(args, proof, proof.edits)
    if not proved:
        yield why
    if not proof.faults:
        yield 'has no fault'
    for fault in proof.faults:
        proved, why = prove(args, proof, [*proof.edits, fault])
        if proved is not False or 'unwind' in why:
            yield f'with "{fault[2]}": {why or "is proved all the same"}'


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tree', default=os.path.join(HERE, '../../../..'),
                   help='the kernel tree')
    p.add_argument('--command', default='cbmc', type=shlex.split,
                   help='cbmc, with options if it needs some')
    p.add_argument('--list', action='store_true', help='only name them')
    p.add_argument('--long', action='store_true',
                   help='those too that take long')
    p.add_argument('proof', nargs='*', help='default: all')
    args = p.parse_args()

    proofs = [f for c in sorted(glob.glob(os.path.join(HERE, '*.c')))
              for f in proofs_of(c)]
    proofs = [f for f in proofs if f.name in args.proof or
              (not args.proof and (args.long or not f.long))]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = [(f, pool.submit(lambda f=f: [] if args.list else
                                list(judge(args, f)))) for f in proofs]
        for proof, future in done:
            for line in future.result():
                print(f'{proof.name}: {line}')
            print(('not ok ' if future.result() else 'ok ') + proof.name,
                  flush=True)
            failed += bool(future.result())
    faults = sum(len(f.faults) for f in proofs)
    print(f'{len(proofs)} proofs, {faults} faults; {failed} failed')
    return 1 if failed or not proofs else 0


if __name__ == '__main__':
    sys.exit(main())
