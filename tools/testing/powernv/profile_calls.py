#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Counts the instructions of ioctls and hypercalls, by function.

Boots machines that run "spapr_bench profile" and "kvm_bench profile", has QEMU
log every instruction from when these programs say so, and adds up those between
two visits of user space or of the guest. Of several calls the cheapest counts:
no interrupt came in between.
"""
import argparse
import bisect
import collections
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import machine      # noqa: E402
from common import our_files    # noqa: E402

READY, DONE = 'profile: ready', 'profile: done'
# Functions that each call passes through.
LANDMARKS = {'spapr_bench': ('tce_iommu_ioctl', 'iommufd_ioas_map',
                             'iommufd_ioas_unmap'),
             'kvm_bench': ('kvmppc_rm_h_put_tce', 'kvmppc_h_put_tce',
                           'kvmppc_h_tce_early',
                           'kvmppc_rm_h_put_tce_indirect',
                           'kvmppc_h_put_tce_indirect',
                           # all others
                           'kvmppc_pseries_do_hcall')}
# In the order in which the program does them, and what their rows are called.
CALLS = {'spapr_bench': {'map one entry': 'one_map',
                         'unmap one entry': 'one_unmap',
                         'register 64 MiB of huge pages': 'register',
                         'unregister 64 MiB of huge pages': 'unregister',
                         'register one page': 'register_one',
                         'unregister one page': 'unregister_one',
                         'iommufd, map 256 pages of huge ones':
                             'iommufd_map',
                         'iommufd, unmap them': 'iommufd_unmap',
                         'iommufd, map 256 pages, fragmented':
                             'iommufd_map_frag',
                         'iommufd, unmap these': 'iommufd_unmap_frag'},
         'kvm_bench': {'H_PUT_TCE': 'h_put_tce',
                       'H_PUT_TCE_INDIRECT of 512, runs of 3': 'h_put_list',
                       'H_PROD': 'h_prod'}}
# Built to mitigate speculation, by a loop where the CPU has no instruction.
FLUSH = re.compile(r'(h?rfi|rfscv|entry|scv_entry|(do_)?uaccess)_flush(_fallback)?$')
# Named in the reasons of bench.py
KINDS = {'flushes': FLUSH, 'srcu': re.compile(r'__srcu_read_(un)?lock$'),
         'xarray': re.compile(r'(__)?xas?_')}
GUEST_END = 0x100           # its code lies below, and nothing of the kernel's
TRACE = re.compile(r'Trace \d+: \S+ \[[^/]*/([0-9a-f]+)/')
KERNEL, OPAL = 0xc000000000000000, range(0x30000000, 0x40000000)
REAL_MODE = 0x4000000       # the kernel's code lies below


def parser(text, timeout):
    """Of a tool that boots a machine and reads QEMU's log; shared_lines.py."""
    p = argparse.ArgumentParser(description=text.split('\n', maxsplit=1)[0])
    p.add_argument('machine', choices=('powernv9', 'powernv8'), nargs='?',
                   default='powernv9')
    p.add_argument('--kernel', default=os.path.join(machine.BUILD, 'k64',
                                                    'vmlinux'))
    p.add_argument('--tests-dir', default=os.path.join(machine.BUILD, 'tests'))
    p.add_argument('--timeout', type=int, default=timeout, help='seconds')
    return p


def arguments():
    p = parser(__doc__, 300)
    p.add_argument('--top', type=int, default=30, help='functions to show')
    p.add_argument('--rows', action='store_true',
                   help='print rows for bench in place of functions')
    return p.parse_args()


def code_of(path):
    """Addresses and names of the functions of an object."""
    text = subprocess.run([machine.CROSS + 'nm', path], check=True,
                          capture_output=True, text=True).stdout
    return sorted((int(a, 16), n) for a, t, n in
                  (l.split() for l in text.splitlines() if l[0] != ' ')
                  if t in 'tTwW')


def our_functions(vmlinux):
    """Names of those that stand in files of ours."""
    objects = (os.path.join(os.path.dirname(vmlinux), f[:-2] + '.o')
               for f in our_files('.c'))
    return {n for o in objects if os.path.exists(o) for _, n in code_of(o)}


class Symbols:
    """Names of the kernel's code; OPAL is one; user space, a guest have none."""

    def __init__(self, vmlinux):
        found = code_of(vmlinux)
        self.ours = our_functions(vmlinux)
        self.starts = [a for a, _ in found]
        self.names = [n for _, n in found]
        self.known = {}

    def name(self, pc):
        if pc not in self.known:
            self.known[pc] = self.find(pc)
        return self.known[pc]

    def find(self, pc):
        if pc in OPAL:
            return 'OPAL'
        if REAL_MODE <= pc < KERNEL or pc < GUEST_END:
            return ''
        pc |= KERNEL
        return self.names[bisect.bisect_right(self.starts, pc) - 1]


def record(args, program, folder):
    """Runs the machine; the path of the log of its instructions."""
    trace, console, monitor = (os.path.join(folder, n)
                               for n in ('trace', 'console', 'monitor'))
    boot = subprocess.Popen(
        [os.path.join(machine.HERE, 'boot.py'), args.machine, '--smp', '1',
         '--kernel', args.kernel, '--tests-dir', args.tests_dir,
         '--run', program, '--args', 'profile', '--log', console,
         '--timeout', str(args.timeout), '--quiet', str(args.timeout),
         '--extra-append', 'kunit.enable=0',
         '--extra-qemu',
         # A clock of instructions, lest logging brings ticks; that waits, though.
         f'-icount shift=0 -D {trace} '
         f'-monitor unix:{monitor},server=on,wait=off'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=machine.die_with_parent)

    def said(word):
        with open(console, 'rb') as f:
            return word.encode() in f.read()

    def wait_for(word):
        while not (os.path.exists(console) and said(word)):
            if boot.poll() is not None:
                raise machine.Missing(boot.stdout.read())
            time.sleep(0.1)

    wait_for(READY)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(monitor)
        s.sendall(b'one-insn-per-tb on\nlog exec,nochain\n')
        wait_for(DONE)
        s.sendall(b'log none\none-insn-per-tb off\n')
        boot.wait()
    return trace


def calls(trace, symbols, landmarks, of_guest):
    """Of each call, how often it was where.

    A guest's last hypercall of several ends in user space, and is none of them.
    """
    count = collections.Counter()
    with open(trace, encoding='utf-8', errors='replace') as f:
        for line in f:
            m = TRACE.match(line)
            if not m:
                continue
            pc = int(m[1], 16)
            name = symbols.name(pc)
            if name:
                count[name] += 1
                continue
            if (pc < GUEST_END) == of_guest and \
                    any(l in count for l in landmarks):
                yield count
            if count:
                count = collections.Counter()


def parts(count, ours):
    """Of what a call costs, what is whose."""
    return {'all': sum(count.values()),
            'ours': sum(n for f, n in count.items() if f in ours),
            'firmware': count['OPAL'],
            **{kind: sum(n for f, n in count.items() if functions.match(f))
               for kind, functions in KINDS.items()}}


def print_rows(row, found, ours):
    for part, n in parts(found, ours).items():
        print(f'bench profile_{row}/{part} {n} insn median {n} runs 1')


def show(what, count, top):
    total = sum(count.values())
    print(f'{what}: {total:,} instructions')
    for name, n in count.most_common(top):
        print(f'  {n:6,} {name}')
    rest = total - sum(n for _, n in count.most_common(top))
    print(f'  {rest:6,} in {max(0, len(count) - top)} other functions')


def profile(args, symbols, program):
    with tempfile.TemporaryDirectory(prefix='profile-') as folder:
        found = list(calls(record(args, program, folder), symbols,
                           LANDMARKS[program], program == 'kvm_bench'))
    # All calls of one kind, then as many of the next.
    each = len(found) // len(CALLS[program])
    if not each:
        raise machine.Missing(f'no call of {program} was logged')
    for i, (what, row) in enumerate(CALLS[program].items()):
        best = min(found[i * each:(i + 1) * each],
                   key=lambda c: sum(c.values()))
        if args.rows:
            print_rows(row, best, symbols.ours)
            continue
        show(f'{args.machine}: {what}', best, args.top)
        print('  of which ' + ', '.join(
            f'{p} {n:,}' for p, n in parts(best, symbols.ours).items()))


def main():
    args = arguments()
    try:
        symbols = Symbols(args.kernel)
        for program in CALLS:
            profile(args, symbols, program)
    except (machine.Missing, OSError, subprocess.CalledProcessError) as e:
        return machine.main_error(e)
    return 0


if __name__ == '__main__':
    sys.exit(main())
