#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compiles what each step of the series touches, in order.

The steps are applied one by one to a tree of their own. After each, the objects
of all files that any step touches, and of the files beside those that include
a header that any step touches, are brought up to date for a host with pages of
64 KiB and of 4 KiB, for a guest, and for a kernel without TCE tables for VFIO. A
warning is a failure, and so is a host whose VFIO driver or KVM cannot be
configured, unless series/series says so of the step. Then every
symbol that these objects want has to be in one of them or in the rest of the
kernel, and what the rest wants has to stay: a step that takes away what is still
called does not link. The rest is what the finished kernel has besides, and what
these objects of the base want of others: in another configuration that is more.

Each configuration has one build directory, so an object is compiled once unless
a step changes it.

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

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
CONFIGS = ('powernv-host', '4k-pages', 'pseries-guest', 'no-tce')
HOSTS = ('powernv-host', '4k-pages')
# What a host is to have at each step
WANTED = ('VFIO_IOMMU_SPAPR_TCE', 'KVM_BOOK3S_64_HV', 'SPAPR_TCE_IOMMU')
MACHINES = ('powernv9', 'powernv8')
ROOTS = ('arch/powerpc/', 'drivers/', 'virt/')
# Which objects a folder's Makefile names, in one configuration.
QUERY = '''all:;
include include/config/auto.conf
include $(srctree)/scripts/Kbuild.include
include $(srctree)/$(file)
objs := $(obj-y) $(obj-m) $(lib-y)
$(info $(objs) $(foreach o,$(objs:.o=),$($(o)-y) $($(o)-m) $($(o)-objs)))
'''
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
            ['make', '-C', self.args.tree, f'O={self.out}', 'ARCH=powerpc',
             f'CROSS_COMPILE={self.args.cross}', f'-j{self.args.jobs}', *words],
            text=True, stdout=subprocess.PIPE, check=False,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            errors='replace')

    def configure(self):
        run = subprocess.run(
            [os.path.join(HERE, 'kernel.py'), '--tree', self.args.tree, '--out',
             self.out, '--fragment', f'{self.name}.config', '--lenient',
             '--cross', self.args.cross, 'prepare'],
            text=True, capture_output=True, check=False)
        if run.returncode:
            raise Bad(run.stdout + run.stderr)

    def lacking(self):
        """Of what a host is to have, what was not configured."""
        if self.name not in HOSTS:
            return []
        with open(os.path.join(self.out, '.config'), encoding='utf-8') as f:
            lines = f.read().split('\n')
        return [o for o in WANTED if f'CONFIG_{o}=y' not in lines]

    def named(self, folder):
        """What the Makefile of a folder names in this configuration."""
        names = [os.path.join(folder, n) for n in ('Kbuild', 'Makefile')]
        names = [n for n in names
                 if os.path.exists(os.path.join(self.args.tree, n))]
        if not names:
            return set()
        run = subprocess.run(
            ['make', '-s', '-C', self.out, '-f', '-', f'file={names[0]}',
             f'obj={folder}', f'src={self.args.tree}/{folder}',
             'SRCARCH=powerpc', f'srctree={self.args.tree}'], text=True,
            input=QUERY, capture_output=True, check=False)
        if run.returncode:
            raise Bad(run.stderr)
        return set(run.stdout.split())

    def entered(self, folder):
        """Does the build come to this folder?"""
        parent, name = os.path.split(folder)
        return parent in ('', 'arch') or \
            (name + '/' in self.named(parent) and self.entered(parent))

    def configured(self, objects):
        """Those of the objects that this configuration has."""
        have = set()
        for folder in {os.path.dirname(o) for o in objects}:
            if self.entered(folder):
                # One Makefile names objects of virt/kvm, by ../../../.
                have |= {os.path.normpath(f'{folder}/{o}')
                         for o in self.named(folder)}
        return sorted(objects & have)

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
        return symbols([os.path.join(self.out, o) for o in objects], kinds,
                       self.args)

    def wanted(self, objects):
        """The symbols that are wanted and nobody has."""
        return (self.symbols(objects, 'U') - self.rest | self.called) - \
            self.symbols(objects, DEFINED) - {'.TOC.'}


def symbols(files, kinds, args):
    run = subprocess.run([f'{args.cross}nm', '-g', *files], text=True,
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
            text[name] = INCLUDE.findall(f.read())
    while new:
        tails = {h.split('/include/')[-1] for h in new} | \
            {os.path.basename(h) for h in new if '/include/' not in h}
        more = {n for n, names in text.items() if tails & set(names)}
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

    def __init__(self, args, steps, touched):
        self.args, self.steps, self.touched = args, steps, touched
        self.folders = {os.path.dirname(n) for n in touched
                        if n.startswith(ROOTS) and '/include/' not in n}
        self.configs = [Config(n, args) for n in args.config or CONFIGS]
        self.every, self.built = set(), set()
        self.nr, self.total = 0, 0

    def install(self, stage):
        """Brings a step's files into the tree; which ones it changed."""
        changed = []
        for name in sorted(stage.touched):
            target = os.path.join(self.args.tree, name)
            if not compose.same(stage.path(name), target):
                compose.put(stage.path(name), target)
                changed.append(name)
        return changed

    def objects(self):
        """Those of all steps whose source files are there at this one."""
        return {o for o in self.every if has_source(o, self.args.tree)}

    def begin(self, finished):
        """The base's objects, and what they want of the rest of the kernel."""
        for tree in (self.args.tree, self.args.final):
            self.every |= objects_of(self.touched, self.folders, tree)
        ours, others = set(), set()
        for name in objects_below(finished):
            if not has_source(name, self.args.final):
                continue
            (ours if name in self.every else others).add(
                os.path.join(finished, name))
        rest = symbols([os.path.join(finished, 'vmlinux')], DEFINED,
                       self.args) - symbols(ours, DEFINED, self.args)
        called = symbols(others, 'U', self.args)

        def base(config):
            config.configure()
            nr, chosen = self.compile(config)
            config.rest = rest
            config.rest = rest | config.wanted(chosen)
            config.called = called & config.symbols(chosen, DEFINED)
            return nr

        self.each('base', base)

    def step(self, step, stage):
        self.nr += 1
        changed = [n for n in self.install(stage) if n.startswith(ROOTS)]
        where = f'{self.nr:2}/{len(self.steps)} {step.name}'
        if not changed:
            print(f'{where}: no code of the kernel', flush=True)
            return
        self.each(where, lambda config: self.build(config, changed, step))
        if self.args.boot and step.test:
            self.boot(where, step)

    def boot(self, where, step):
        """Runs the step's programs on the first host."""
        host = self.configs[0]
        run = host.make('vmlinux')
        if run.returncode:
            raise Bad(f'{where}, vmlinux:\n' + run.stdout[-2000:])
        for name in MACHINES:
            spec = machine.Spec(
                machine=name, kernel=os.path.join(host.out, 'vmlinux'),
                tree=self.args.final, tests=step.test, smp=1, icount=True,
                append='kunit.enable=0', label=f'{where}, {name}',
                log=os.path.join(self.args.work, f'{step.name.replace("/", "-")}'
                                 f'-{name}.log'))
            result = machine.boot(spec)
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
        chosen = config.configured(self.objects())
        nr = config.compile(chosen)
        self.built |= set(chosen)
        return nr, chosen

    def build(self, config, changed, step):
        if any('Kconfig' in n for n in changed):
            config.configure()
        lacking = config.lacking()
        if config.name in HOSTS and lacking != step.lacks:
            raise Bad(f'cannot be configured: {" ".join(lacking) or "nothing"}; '
                      f'series/series says {" ".join(step.lacks) or "nothing"}')
        nr, chosen = self.compile(config)
        lost = config.wanted(chosen)
        if lost:
            raise Bad('no definition of ' + ' '.join(sorted(lost)))
        return nr


def prepare_tree(args, touched):
    """The base; of an old tree only what steps touch has to be put back."""
    noted = os.path.join(args.work, 'touched')
    names = set(touched)
    if os.path.exists(noted):
        with open(noted, encoding='utf-8') as f:
            identity, *old = f.read().split('\n')
        names |= set(old)
        if identity != args.identity:
            shutil.rmtree(args.tree, ignore_errors=True)
    if not os.path.isdir(args.tree):
        compose.make_tree(args.base, args.tree)
    with open(noted, 'w', encoding='utf-8') as f:
        f.write('\n'.join([args.identity, *sorted(names)]))
    for name in names - {''}:
        source = os.path.join(args.base, name)
        target = os.path.join(args.tree, name)
        if not compose.same(source, target):
            compose.put(source, target)


def walk(args):
    steps = compose.read_series(TOP)
    stage = compose.Staging(args.base, os.path.join(args.work, 'stage'))
    compose.apply_steps(stage, steps, TOP)
    touched = sorted(stage.touched)
    prepare_tree(args, touched)
    w = Walk(args, steps, touched)
    w.begin(os.path.join(args.build, 'k64'))
    stage = compose.Staging(args.base, stage.root)
    compose.apply_steps(stage, steps, TOP, lambda step: w.step(step, stage))
    never = {n for n in touched if n.startswith(ROOTS) and n.endswith('.c')
             and n[:-2] + '.o' not in w.built}
    if never and not args.config:
        raise Bad('compiled by no configuration: ' + ' '.join(sorted(never)))
    return w.total


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--base', required=True, help='the pristine base')
    p.add_argument('--build', required=True,
                   help='where linux and k64 lie, the finished kernel')
    p.add_argument('--config', action='append', choices=CONFIGS,
                   help='this one only')
    p.add_argument('--boot', action='store_true',
                   help='run the programs that series/series names')
    p.add_argument('--jobs', default=os.cpu_count())
    p.add_argument('--cross', default=os.environ.get(
        'CROSS_COMPILE', 'powerpc64le-linux-gnu-'))
    args = p.parse_args()
    args.work = os.path.join(os.path.abspath(args.build), 'bisect')
    args.tree = os.path.join(args.work, 'linux')
    args.final = os.path.join(os.path.abspath(args.build), 'linux')
    args.base = os.path.abspath(args.base)
    args.identity = f'{args.base} {compose.base_version(args.base)}'
    os.makedirs(args.work, exist_ok=True)
    start = time.monotonic()
    try:
        total = walk(args)
    except (Bad, compose.Broken) as e:
        print(f'bisect: {e}', file=sys.stderr)
        return 1
    print(f'bisect: every step builds, {total} objects, '
          f'{time.monotonic() - start:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
