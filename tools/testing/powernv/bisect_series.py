#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compiles what each step of the series touches, in order.

The steps are applied one by one to a tree of their own. After each, the objects
of all files that any step touches, and of the files beside those that include
a header that any step touches, are brought up to date for a host with pages of
64 KiB and of 4 KiB, for a guest, and for a kernel without TCE tables for VFIO. A
warning is a failure, and so is a host whose VFIO driver or KVM cannot be
configured. Then every symbol that these objects want has to be in one of them
or in the rest of the kernel, and what the rest wants has to stay: a step that
takes away what is still called does not link. The rest is what the finished
kernel has besides, and what these objects of the base want of others: in another
configuration that is more.

Each configuration has one build directory, so an object is compiled once unless
a step changes it. --from and --to choose a range of steps; the one before the
first of them is built as well, for comparison.

With --boot, after those steps that series/series has a "test" for, the whole
kernel is linked for a host, and runs these programs on powernv9 and powernv8.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import compose      # noqa: E402
import machine      # noqa: E402
from common import (CROSS, HERE, base_version, built_objects,   # noqa: E402
                    make_words)

HOSTS = ('powernv-host', '4k-pages')
CONFIGS = (*HOSTS, 'pseries-guest', 'no-tce')
# What a host is to have at each step
WANTED = ('VFIO_IOMMU_SPAPR_TCE', 'KVM_BOOK3S_64_HV', 'SPAPR_TCE_IOMMU')
MACHINES = ('powernv9', 'powernv8')
ROOTS = ('arch/powerpc/', 'drivers/', 'virt/')
DEFINED = 'BDRTVWSGiu'          # what nm calls a symbol that is there
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


class Bad(Exception):
    """A step that does not build; the message says where."""


class Config:
    """A configuration, its build directory, and what was compiled there."""

    def __init__(self, name, args):
        self.name, self.args = name, args
        self.out = os.path.join(args.work, name)
        self.rest = set()       # symbols of the other objects
        self.called = set()     # what these want of ours

    def make(self, *words):
        return subprocess.run(
            make_words(self.args.tree, self.out, *words, jobs=self.args.jobs),
            text=True, stdout=subprocess.PIPE, check=False,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            errors='replace')

    def configure(self):
        run = subprocess.run(
            [os.path.join(HERE, 'kernel.py'), '--tree', self.args.tree, '--out',
             self.out, '--fragment', f'{self.name}.config', '--lenient',
             '--cross', CROSS, 'prepare'],
            text=True, capture_output=True, check=False)
        if run.returncode:
            raise Bad(run.stdout + run.stderr)
        with open(os.path.join(self.out, '.config'), encoding='utf-8') as f:
            lines = f.read().split('\n')
        lost = [o for o in WANTED if f'CONFIG_{o}=y' not in lines]
        if self.name in HOSTS and lost:
            raise Bad('cannot be configured: ' + ' '.join(lost))

    def compile(self, objects):
        """How many were compiled."""
        run = self.make(*objects)
        lines = run.stdout.split('\n')
        wrong = [l for l in lines if re.search(
            r'error:| warning: |undefined|\] Error \d', l)]
        if wrong or run.returncode:
            raise Bad('\n'.join(wrong[:20] or lines[-20:]))
        return sum(bool(re.match(r'^  (CC|AS) ', l)) for l in lines)

    def symbols(self, objects, kinds):
        return symbols([os.path.join(self.out, o) for o in objects], kinds)

    def wanted(self, objects):
        """The symbols that are wanted and nobody has."""
        return (self.symbols(objects, 'U') - self.rest | self.called) - \
            self.symbols(objects, DEFINED) - {'.TOC.'}


def symbols(files, kinds):
    run = subprocess.run([f'{CROSS}nm', '-g', *files], text=True,
                         capture_output=True, check=True)
    return {m.group(2) for m in re.finditer(
        r'^(?:[0-9a-f]{16}| {16}) (\S) (\S+)$', run.stdout, re.M)
        if m.group(1) in kinds or (kinds != 'U' and m.group(1) == 'A')}


def objects_below(folder):
    """What was compiled for the kernel, but for what was linked of it."""
    for path, folders, names in os.walk(folder):
        if path == folder:
            folders[:] = [f for f in folders
                          if f not in ('scripts', 'tools', 'usr')]
            continue
        yield from (os.path.relpath(os.path.join(path, n), folder)
                    for n in names if n.endswith('.o'))


def has_source(name, tree):
    return any(os.path.exists(os.path.join(tree, name[:-2] + end))
               for end in ('.c', '.S'))


def sources_below(tree, folder):
    full = os.path.join(tree, folder)
    return [os.path.join(folder, n) for n in os.listdir(full)
            if n.endswith(('.c', '.S', '.h'))] if os.path.isdir(full) else []


def includers(headers, folders, tree):
    """The files of the folders that include one of the headers."""
    found, new = set(), set(headers)
    text = {}
    for name in {n for f in folders for n in sources_below(tree, f)}:
        with open(os.path.join(tree, name), encoding='utf-8') as f:
            text[name] = {os.path.basename(i) if i.startswith('../') else i
                          for i in INCLUDE.findall(f.read())}
    while new:
        tails = {h.split('/include/')[-1] for h in new} | \
            {os.path.basename(h) for h in new if '/include/' not in h}
        more = {n for n, names in text.items() if tails & names}
        new = {n for n in more - found if n.endswith('.h')}
        found |= more
    return found


def objects_of(names, folders, tree):
    headers = [n for n in names if n.endswith('.h')]
    files = set(names) | includers(headers, folders, tree)
    return {os.path.splitext(n)[0] + '.o' for n in files
            if n.startswith(ROOTS) and n.endswith(('.c', '.S')) and
            os.path.exists(os.path.join(tree, n))}


class Walk:
    """Goes from step to step."""

    def __init__(self, args, repo):
        self.args, self.repo = args, repo
        self.configs = [Config(n, args) for n in args.config or CONFIGS]
        self.every, self.built = set(), set()
        self.total = 0

    def begin(self):
        """The objects before the first step, and what they want of the rest."""
        code = [n for n in self.repo.names if n.startswith(ROOTS)]
        folders = {os.path.dirname(n) for n in code if '/include/' not in n}
        for tree in (self.args.tree, self.args.final):
            self.every |= objects_of(self.repo.names, folders, tree)
        finished = os.path.join(self.args.build, 'k64')
        ours, others = set(), set()
        for name in objects_below(finished):
            if has_source(name, self.args.final):
                (ours if name in self.every else others).add(
                    os.path.join(finished, name))
        rest = symbols([os.path.join(finished, 'vmlinux')], DEFINED) - \
            symbols(ours, DEFINED)
        called = symbols(others, 'U')

        def first(config):
            config.configure()
            nr, chosen = self.compile(config)
            config.rest = rest
            config.rest = rest | config.wanted(chosen)
            config.called = called & config.symbols(chosen, DEFINED)
            return nr

        self.each('before', first)

    def step(self, where, step):
        changed = [n for n in self.repo.changed(
            self.args.tree, self.repo.ends[step], install=True)
            if n.startswith(ROOTS)]
        if not changed:
            print(f'{where}: no code of the kernel', flush=True)
            return
        self.each(where, lambda config: self.build(config, changed))
        if self.args.boot and step.test:
            self.boot(where, step)

    def boot(self, where, step):
        """Runs the step's programs on the first host."""
        host = self.configs[0]
        run = host.make('vmlinux')
        if run.returncode:
            raise Bad(f'{where}, vmlinux:\n' + run.stdout[-2000:])
        for name in MACHINES:
            log = f'{step.name.replace("/", "-")}-{name}.log'
            result = machine.boot(machine.Spec(
                machine=name, kernel=os.path.join(host.out, 'vmlinux'),
                tree=self.args.final, tests=step.test, smp=1, icount=True,
                skip=list(zip(step.without[::2], step.without[1::2])),
                append='kunit.enable=0', label=f'{where}, {name}',
                log=os.path.join(self.args.work, log)))
            if not result.good():
                raise Bad(f'{where}, {name}: ' + ', '.join(
                    result.failed[:20] or ['nothing ran']))
            print(f'{where}, {name}: {result.summary()}', flush=True)

    def each(self, where, function):
        """Does something with each configuration that compiles objects."""
        counts = []
        start = time.monotonic()
        for config in self.configs:
            try:
                counts.append(function(config))
            except Bad as e:
                raise Bad(f'{where}, {config.name}:\n{e}') from e
        self.total += sum(counts)
        print(f'{where}: {" + ".join(map(str, counts))} objects, '
              f'{time.monotonic() - start:.0f} s', flush=True)

    def compile(self, config):
        objects = {o for o in self.every if has_source(o, self.args.tree)}
        chosen = built_objects(self.args.tree, config.out, objects)
        nr = config.compile(chosen)
        self.built |= set(chosen)
        return nr, chosen

    def build(self, config, changed):
        if any('Kconfig' in n for n in changed):
            config.configure()
        nr, chosen = self.compile(config)
        lost = config.wanted(chosen)
        if lost:
            raise Bad('no definition of ' + ' '.join(sorted(lost)))
        return nr


def chosen_steps(args, steps):
    """From which step on, and those to build: where they are, and they."""
    names = [s.name for s in steps]
    for name in (args.first, args.last):
        if name and name not in names:
            raise Bad(f'series/series has no step {name}')
    first = names.index(args.first) if args.first else 0
    last = names.index(args.last) if args.last else len(names) - 1
    return first, [(f'{i + 1:2}/{len(steps)} {s.name}', s)
                   for i, s in enumerate(steps) if first <= i <= last]


def walk(args):
    steps = compose.read_series()
    first, chosen = chosen_steps(args, steps)
    record = os.path.join(args.work, 'manifest.json')
    repo = compose.Repo(args.base, os.path.join(args.work, 'git')).make(
        steps, compose.tree_record(record)['touched'])
    compose.bring_tree(args.base, f'{args.base} {base_version(args.base)}',
                       args.tree, record, repo.names)
    repo.changed(args.tree, repo.ends[steps[first - 1]] if first else
                 repo.start, install=True)
    w = Walk(args, repo)
    w.begin()
    for where, step in chosen:
        w.step(where, step)
    never = {n for n in repo.names if n.startswith(ROOTS) and n.endswith('.c')
             and n[:-2] + '.o' not in w.built}
    if never and not args.config and chosen[-1][1] is steps[-1] and not first:
        raise Bad('compiled by no configuration: ' + ' '.join(sorted(never)))
    return len(chosen), w.total


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--base', required=True, help='the pristine base')
    p.add_argument('--build', required=True,
                   help='where linux and k64 lie, the finished kernel')
    p.add_argument('--config', action='append', choices=CONFIGS,
                   help='this one only')
    p.add_argument('--from', dest='first', default='', metavar='STEP')
    p.add_argument('--to', dest='last', default='', metavar='STEP')
    p.add_argument('--boot', action='store_true',
                   help='run the programs that series/series names')
    p.add_argument('--jobs', default=os.cpu_count())
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    args.base = os.path.abspath(args.base)
    args.work = os.path.join(args.build, 'bisect')
    args.tree = os.path.join(args.work, 'linux')
    args.final = os.path.join(args.build, 'linux')
    os.makedirs(args.work, exist_ok=True)
    start = time.monotonic()
    try:
        nr, total = walk(args)
    except (Bad, compose.Broken) as e:
        print(f'bisect: {e}', file=sys.stderr)
        return 1
    print(f'bisect: {nr} steps build, {total} objects, '
          f'{time.monotonic() - start:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
