#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel on an emulated POWER8 or POWER9 host and reads the results.

Prints each result as it comes and, last, "N passed, N failed". The exit status
is 0 when tests ran and none failed, 1 when one failed, 2 when the machine
could not be started. With --run it is the exit status of that program.
"""
import argparse
import dataclasses
import json
import sys

sys.dont_write_bytecode = True
import machine      # noqa: E402


def arguments():
    spec = machine.Spec()
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('machine', choices=sorted(machine.MACHINES), nargs='?',
                   default=spec.machine)
    p.add_argument('--kernel', default=spec.kernel, help='vmlinux')
    p.add_argument('--tree', default=spec.tree,
                   help='kernel source, for its KTAP parser')
    p.add_argument('--tests-dir', default=spec.tests_dir)
    p.add_argument('--smp', type=int, default=spec.smp)
    p.add_argument('--icount', action='store_true',
                   help='count instructions, on one CPU')
    p.add_argument('--mem', default=spec.mem)
    p.add_argument('--tests', default='', help='programs, comma separated')
    p.add_argument('--filter', default='',
                   help='globs of case names, comma separated')
    p.add_argument('--args', default='', help='arguments for the programs')
    p.add_argument('--run', default='', dest='demo',
                   help='run this one program and show its output')
    p.add_argument('--extra-append', default='', dest='append')
    p.add_argument('--extra-qemu', default='', help='more words for QEMU')
    p.add_argument('--timeout', type=int, default=spec.timeout)
    p.add_argument('--quiet', type=int, default=spec.quiet,
                   help='seconds of silence that mean a hang')
    p.add_argument('--test-timeout', type=int, default=spec.test_timeout,
                   help='the same, of one program, in guest time')
    p.add_argument('--log', default='')
    p.add_argument('--json', default='', help='write the result here')
    p.add_argument('--resume', action='store_true',
                   help='after a crash boot again for what is left')
    p.add_argument('--verbose', action='store_true')
    return p.parse_args()


def make_spec(args):
    spec = machine.Spec()
    for f in dataclasses.fields(spec):
        if hasattr(args, f.name):
            setattr(spec, f.name, getattr(args, f.name))
    spec.tests = [t for t in args.tests.split(',') if t]
    spec.filters = [t for t in args.filter.split(',') if t]
    spec.extra_qemu = args.extra_qemu.split()
    return spec


def main():
    args = arguments()
    spec = make_spec(args)
    try:
        result = machine.resume(spec) if args.resume else machine.boot(spec)
    except (machine.Missing, FileNotFoundError) as e:
        return machine.main_error(e)
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as f:
            json.dump(dataclasses.asdict(result), f, indent=1)
    for name in result.failed:
        print(f'FAILED {name}')
    if spec.demo:
        if result.failed:
            return 1
        return result.status if result.status >= 0 else 1
    if result.skipped:
        print(f'skipped: {", ".join(result.skipped)}')
    print(result.summary())
    return 0 if result.good() else 1


if __name__ == '__main__':
    sys.exit(main())
