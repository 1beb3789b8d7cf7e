#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds a kernel for the test machines, out of its tree.

The configuration is allnoconfig plus kernel.config, or a whole one (--config),
plus fragments; a later fragment overrules an earlier one. An option that the
tree does not take is an error, because the tests would silently lack it;
--lenient makes it a note, for kernels that do not have our options yet.
"""
import argparse
import lzma
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from common import HERE, make_words     # noqa: E402

OPTION = re.compile(r'^(?:(CONFIG_\w+)=(\S.*)|# (CONFIG_\w+) is not set)$')
INTERVAL = 10       # seconds between two lines of progress
# What Linux 6.12 has not yet, and does without asking.
NEWER = ('CONFIG_KUNIT_AUTORUN_ENABLED',)


def read_options(path):
    options = {}
    with (lzma.open if path.endswith('.xz') else open)(
            path, 'rt', encoding='utf-8') as f:
        for line in f:
            m = OPTION.match(line.rstrip())
            if m:
                options[m.group(1) or m.group(3)] = m.group(2) or 'n'
    return options


def make(args, *targets):
    return make_words(args.tree, args.out, *args.make, *targets,
                      cross=args.cross, jobs=args.jobs)


def write_options(path, options):
    with open(path, 'w', encoding='utf-8') as f:
        for option, value in options.items():
            f.write(f'{option}={value}\n' if value != 'n' else
                    f'# {option} is not set\n')


def configure(args):
    wanted = {}
    fragments = args.fragment if args.config else \
        ['kernel.config'] + args.fragment
    for name in fragments:
        path = name if os.path.exists(name) else os.path.join(HERE, name)
        wanted.update(read_options(path))
    merged = os.path.join(args.out, 'fragment')
    target = 'allnoconfig'
    if args.config:
        target, merged = 'olddefconfig', os.path.join(args.out, '.config')
        write_options(merged, read_options(args.config) | wanted)
    else:
        write_options(merged, wanted)
    run = subprocess.run(
        make(args, target), capture_output=True, text=True,
        check=False, env=dict(os.environ, KCONFIG_ALLCONFIG=merged))
    if run.returncode:
        print(run.stdout + run.stderr, file=sys.stderr)
        return False
    return check_options(args, wanted)


def check_options(args, wanted):
    have = read_options(os.path.join(args.out, '.config'))
    ignored = args.ignore + [o for o in NEWER if o not in have]
    lost = [f'{o}={v}' for o, v in wanted.items()
            if have.get(o, 'n') != v and o not in ignored]
    if not lost:
        return True
    print(f'{args.label}: the tree does not take ' + ' '.join(lost),
          flush=True)
    return args.lenient


def follow(proc, args, log):
    """Counts what is built; a line now and then shows that it goes on."""
    start = last = time.monotonic()
    built = 0
    for line in proc.stdout:
        log.write(line)
        built += bool(re.match(r'^  (CC|AS|LD|AR|VDSO)', line))
        now = time.monotonic()
        if now - last >= INTERVAL:
            last = now
            what = line.split()[-1] if line.split() else ''
            print(f'{args.label}: {now - start:4.0f}s, {built} objects, {what}',
                  flush=True)
    proc.wait()
    return built, time.monotonic() - start


def report_failure(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        lines = f.read().split('\n')
    errors = [l for l in lines if re.search(
        r'error:|undefined reference|multiple definition|No rule to make|'
        r'\*\*\* ', l)]
    print('\n'.join(errors[:40] or lines[-20:]), file=sys.stderr)
    print(f'the whole log: {path}', file=sys.stderr)


def warnings(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return [l.strip() for l in f if ' warning: ' in l]


def build(args):
    os.makedirs(args.out, exist_ok=True)
    path = args.out + '.log'
    if not configure(args):
        return 1
    with open(path, 'w', encoding='utf-8') as log:
        proc = subprocess.Popen(
            make(args, *args.target), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace')
        built, seconds = follow(proc, args, log)
    for line in warnings(path)[:20]:
        print(line)
    if proc.returncode:
        print(f'{args.label}: the build failed', file=sys.stderr)
        report_failure(path)
        return 1
    print(f'{args.label}: built in {seconds:.0f} s, {built} objects', flush=True)
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--tree', required=True)
    p.add_argument('--out', required=True)
    p.add_argument('--config', default='', metavar='FILE',
                   help='a whole configuration, instead of kernel.config')
    p.add_argument('--fragment', action='append', default=[],
                   help='laid over the configuration')
    p.add_argument('--ignore', action='append', default=[], metavar='OPTION',
                   help='do not mind that this one is not taken')
    p.add_argument('--lenient', action='store_true')
    p.add_argument('--jobs', default=os.cpu_count())
    p.add_argument('--cross', default='powerpc64le-linux-gnu-')
    p.add_argument('--label', default='kernel')
    p.add_argument('--make', action='append', default=[], metavar='VAR=VALUE',
                   help='for make, as W=1')
    p.add_argument('target', nargs='*', default=['vmlinux'])
    args = p.parse_args()
    args.out = os.path.abspath(args.out)
    return build(args)


if __name__ == '__main__':
    sys.exit(main())
