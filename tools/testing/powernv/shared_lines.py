#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists the cache lines that operations on different ranges both write.

Boots machines of two CPUs that run "spapr_bench lines" and "kvm_bench lines":
each CPU does the same calls, one CPU after the other, for entries far from the
other's. A plugin of QEMU (shared_lines.c) writes down their stores. A line that
both have stored to is shared; what belongs to a CPU, a task or a vCPU, as
stacks and the PACA, differs by itself. Of several calls, the one that stores to
fewest lines counts: no interrupt came in between.

Not seen are device registers, and dcbz, which only clears memory that nobody
else has yet. Lines of the firmware are told apart, and are in no limit.
"""
import bisect
import collections
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import machine      # noqa: E402
from profile_calls import GUEST_END, KERNEL, LANDMARKS, OPAL, REAL_MODE, \
    Symbols, parser     # noqa: E402

LINE = 128
CPUS = 2
FIRMWARE = 'firmware'
# By the number of its mark: what it is, how many lines it is to share at most,
# and what was accepted to be shared, for the reasons in cost.rst.
REGION = 'count of the region'
IN_DRIVERS = ('references of the file', 'readers of group_lock',
              'references of the driver', 'readers of windows',
              'references of the table')
OPERATIONS = {
    'spapr_bench': {1: ('map of one entry by ioctl', 2, (*IN_DRIVERS, REGION)),
                    2: ('unmap of one entry by ioctl', 2,
                        (*IN_DRIVERS, REGION))},
    'kvm_bench': {3: ('H_PUT_TCE', 1, (REGION,)),
                  4: ('H_PUT_TCE_INDIRECT of 32', 1, (REGION,))},
}
# The same by a function that stores to it.
KNOWN = {
    'fdget': 'references of the file',
    'down_read': 'readers of group_lock',
    'vfio_fops_unl_ioctl': 'references of the driver',
    'down_read_killable': 'readers of windows',
    'iommu_tce_table_get': 'references of the table',
    'tce_map_one_now': REGION, 'tce_unmap_one_now': REGION,
    'tce_gather_flush': REGION,
}
# A reader-writer semaphore has two words, which may be in two lines: where the
# allocator puts an object is another place in each boot.
MOST_LINES = {'readers of group_lock': 2, 'readers of windows': 2}


# --- the log -----------------------------------------------------------------

def build_plugin(folder):
    path = os.path.join(folder, 'shared_lines.so')
    subprocess.run(['gcc', '-O2', '-shared', '-fPIC', '-o', path,
                    os.path.join(machine.HERE, 'shared_lines.c')], check=True)
    return path


def record(args, program, folder):
    """Runs the machine; the path of the log of its stores."""
    trace = os.path.join(folder, 'stores')
    run = subprocess.run(
        [os.path.join(machine.HERE, 'boot.py'), args.machine,
         '--smp', str(CPUS), '--kernel', args.kernel,
         '--tests-dir', args.tests_dir, '--run', program, '--args', 'lines',
         '--log', os.path.join(folder, 'console'),
         '--timeout', str(args.timeout), '--extra-append', 'kunit.enable=0',
         # No clock of instructions: with it, the plugin is not told the CPU.
         '--extra-qemu', f'-plugin {build_plugin(folder)},out={trace}'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, preexec_fn=machine.die_with_parent)
    if run.returncode or not os.path.exists(trace):
        raise machine.Missing(run.stdout)
    return trace


def is_outside(pc):
    """Is it user space, or a guest?"""
    return pc < GUEST_END or (REAL_MODE <= pc < KERNEL and pc not in OPAL)


class Call:
    """What one call has stored to: lines, each with the functions that did."""

    def __init__(self):
        self.passed = set()
        self.lines = collections.defaultdict(set)
        self.addresses = collections.defaultdict(set)
        self.atomic = set()

    def store(self, address, name, atomic):
        line = address // LINE * LINE
        self.lines[line].add(name)
        self.addresses[line].add(address)
        if atomic:
            self.atomic.add(line)


def calls(trace, symbols, landmarks):
    """The calls of the log: (operation, CPU, call)."""
    operation, call = [0] * CPUS, [Call() for _ in range(CPUS)]
    with open(trace, encoding='ascii') as f:
        for record_ in f:
            kind, cpu, *words = record_.split()
            cpu = int(cpu)
            pc = int(words[0], 16)
            # It ends with a mark, or where user space or the guest is again.
            if kind == 'M' or (kind == 'T' and is_outside(pc)):
                if any(l in call[cpu].passed for l in landmarks):
                    yield operation[cpu], cpu, call[cpu]
                call[cpu] = Call()
                if kind == 'M':
                    operation[cpu] = int(words[0])
            elif kind == 'T':
                call[cpu].passed.add(symbols.name(pc))
            elif not is_outside(pc):
                call[cpu].store(int(words[1], 16), symbols.name(pc),
                                words[2] == '1')


# --- the table ---------------------------------------------------------------

class Data:
    """Names of the kernel's static data."""

    def __init__(self, vmlinux):
        text = subprocess.run([machine.CROSS + 'nm', '-n', vmlinux], check=True,
                              capture_output=True, text=True).stdout
        found = [l.split() for l in text.splitlines() if l[0] != ' ']
        self.starts = [int(a, 16) for a, _, _ in found]
        self.names = [n for _, _, n in found]
        self.end = next(int(a, 16) for a, _, n in found if n == '_end')

    def name(self, address):
        """Of what is there; '' if it is allocated memory."""
        address |= KERNEL
        if address >= self.end:
            return ''
        return self.names[bisect.bisect_right(self.starts, address) - 1]


def shared(found, operation):
    """What both CPUs have stored to: {line: (functions, addresses, atomic)}."""
    best = []
    for cpu in range(CPUS):
        mine = [c for o, n, c in found if (o, n) == (operation, cpu)]
        if not mine:
            raise machine.Missing(f'CPU {cpu}: no operation {operation} seen')
        best.append(min(mine, key=lambda c: len(c.lines)))
    lines = set(best[0].lines) & set(best[1].lines)
    return {l: (best[0].lines[l] | best[1].lines[l],
                best[0].addresses[l] | best[1].addresses[l],
                l in best[0].atomic | best[1].atomic) for l in sorted(lines)}


def names_of(functions, addresses, data):
    """What is in a line: static data, or objects by who stores to them."""
    static = {data.name(a) for a in addresses} - {''}
    known = {KNOWN[f] for f in functions if f in KNOWN}
    return sorted(static) or sorted(known) or ['not known']


def are_accepted(names, accepted):
    """Is all of it accepted, and in no more lines than it may be in?"""
    count = collections.Counter(n for line in names for n in line)
    return all(n in accepted and k <= MOST_LINES.get(n, 1)
               for n, k in count.items())


def show(what, lines, limit, accepted, data):
    """Prints them; True if there are more than were accepted."""
    ours = {l: v for l, v in lines.items() if v[0] != {'OPAL'}}
    names = [names_of(f, a, data) for f, a, _ in ours.values()]
    good = are_accepted(names, accepted)
    verdict = 'NOT MET, by more than before' if not good else \
        'met' if len(ours) <= limit else 'NOT MET, for the reasons in cost.rst'
    print(f'{what}: {len(ours)} shared lines, limit {limit}: {verdict}; '
          f'{len(lines) - len(ours)} of the {FIRMWARE}')
    for objects, (functions, _, atomic) in zip(names, ours.values()):
        print(f'  {", ".join(objects)}{" (atomic)" if atomic else ""}: '
              f'{", ".join(sorted(functions))}')
    return not good


def main():
    args = parser(__doc__, 900).parse_args()
    try:
        symbols, data = Symbols(args.kernel), Data(args.kernel)
        missed = False
        for program, operations in OPERATIONS.items():
            with tempfile.TemporaryDirectory(prefix='lines-') as folder:
                found = list(calls(record(args, program, folder), symbols,
                                   LANDMARKS[program]))
            for number, (what, limit, accepted) in operations.items():
                missed |= show(f'{args.machine}: {what}',
                               shared(found, number), limit, accepted, data)
    except (machine.Missing, OSError, subprocess.CalledProcessError) as e:
        return machine.main_error(e)
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
