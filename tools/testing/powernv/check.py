#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the tests on every kind of machine and adds the results up.

Without words it is what CI runs, and real clients of VFIO run as well (see
client.py), and count as a test each; as skipped, if they cannot be had here. --long
is all there is. The last line is "N passed, N failed". The exit status is 0 when
tests ran and none failed. With --base it is the unpatched kernel that is tested:
it is started again after each crash, and the exit status is 0 when tests ran.
With --fixes it is that with the first part of the series, and without words the
cases are those of series/fixes/tests, none of which may fail.
"""
import argparse
import concurrent.futures
import dataclasses
import fnmatch
import json
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import ktap         # noqa: E402
import machine      # noqa: E402

# Host, and the kernel. Every test runs on each of them, but see CI_ONCE.
BOOTS = [('powernv9', '64k'), ('powernv8', '64k'), ('powernv9-hash', '64k'),
         ('powernv9', '4k'), ('powernv8', '4k'), ('pseries', '64k'),
         ('pseries-no-ddw', '64k'), ('pseries8', '64k')]
# CI's hour has no room for these.
LONG_BOOTS = [('powernv10', '64k'), ('pseries9', '64k'), ('pseries10', '64k'),
              ('powernv9', '64k-be'), ('powernv8', '64k-be')]
DEBUG_BOOTS = [('powernv9', 'debug'), ('powernv8', 'debug'),
               ('powernv9-hash', 'debug'), ('powernv9', 'kasan'),
               ('powernv9', 'kcsan'), ('powernv9-hash', 'preempt'),
               ('powernv9', 'preempt')]
BASE_BOOTS = [('powernv9', '64k'), ('powernv8', '64k')]
KERNELS = {'64k': 'k64', '4k': 'k4', '64k-be': 'k64-be', 'debug': 'k64-debug',
           'kasan': 'k64-kasan', 'kcsan': 'k64-kcsan',
           'preempt': 'k64-preempt'}

# Big-endian kernels run programs of their own.
BE_KERNELS = ('64k-be',)

# Kernels that check themselves take several times as long for everything.
SLOW_KERNELS = {'debug': 4, 'kasan': 12, 'kcsan': 4}

# spapr_fuzz compares all memory and entries at each step. Its 2,500 steps take
# more than 80 minutes with KASAN, which is there for what goes wrong in few.
FUZZ_STEPS = {'kasan': 250}

# Takes two minutes on each machine, and is about code that is the same on all:
# CI's hour has it on one.
CI_ONCE = {'spapr_oom': ('powernv9', '4k')}

# Only these can make allocations fail.
FAIL_PROGRAMS = ('_fail_nth',)
FAIL_KERNELS = ('debug', 'kasan')
# One CPU has no races; and on these kernels all else is as on 64k or debug.
ONLY_PROGRAMS = {'kcsan': ('_race', '_death'), 'preempt': ('_race',)}

# Debian's programs, their host, and words for them. A guest maps all its memory
# at once, into a window of its own. With disable_ddw it has the default window,
# and maps what it needs with hypercalls as it goes. nvme and type1 speak type1,
# to /dev/iommu.
CLIENTS = [('qemu', 'powernv9', ''), ('qemu', 'powernv8', ''),
           ('qemu', 'powernv8', 'disable_ddw'), ('dpdk', 'powernv9', ''),
           ('dpdk', 'powernv9', 'hugepages'), ('qemu', 'powernv9', 'nvme'),
           ('dpdk', 'powernv9', 'hugepages type1')]
# CI's hour has no room for these.
LONG_CLIENTS = [('qemu', 'powernv8', 'nvme'), ('qemu', 'powernv10', 'nvme'),
                ('dpdk', 'powernv9', 'type1')]
FIXED = os.path.join(machine.TOP, 'series', 'fixes', 'tests')
# Days of their lives, several on one host, each a test; client_plays.py has
# them. The kernel of DPDK's pages, so that it has huge ones.
PLAYS = [('qemu', 'powernv9', '', 'reset:2,hotplug:2,limit:2'),
         ('qemu', 'powernv8', '', 'reset-no-ddw:2')]
LONG_PLAYS = [
    ('qemu', 'powernv9', '', 'reset:20,reboot:20,hotplug:20,phb:10'),
    ('qemu', 'powernv9', '', 'dimm:10,pages,emulated:10,'
     'handback,handback-disk'),
    ('qemu', 'powernv9', '', 'limit,limit-4k,limit-two-phbs,'
     'limit-two-phbs-4k'),
    ('qemu', 'powernv8', '', 'reset:20,reset-no-ddw:20,reboot-no-ddw:20,limit'),
]
CLIENT = os.path.join(machine.HERE, 'client.py')
SETUP = os.path.join(machine.HERE, 'setup')

# Outside judges of iommufd: the VFIO selftests of Linux 7.2, each with the devices
# that it has something to say about. Their build is JUDGES. With pages of 4 KiB
# the gigabyte that vfio_pci_driver_test maps for each case takes minutes.
JUDGES = os.path.join(machine.HERE, 'judges')
JUDGED = [('powernv9', '64k'), ('powernv8', '64k'), ('powernv9', '4k')]
LONG_JUDGED = [('powernv9-hash', '64k'), ('powernv10', '64k'),
               ('powernv8', '4k'), ('powernv9', 'debug')]
JUDGE_PROGRAMS = {
    'vfio_dma_mapping_test': ('edu', 'nvme', 'e1000e'),
    'vfio_dma_mapping_mmio_test': ('edu', 'nvme', 'e1000e'),
    'vfio_iommufd_setup_test': ('edu', 'nvme', 'e1000e'),
    'vfio_pci_device_test': ('edu', 'nvme', 'e1000e'),
    'vfio_pci_device_init_perf_test': ('edu', 'nvme', 'e1000e'),
    'vfio_pci_driver_test': ('edu',),
    'vfio_pci_sriov_uapi_test': ('edu',),
}
KINDS = [('edu', '1234:11e8'), ('nvme', '1b36:0010'), ('e1000e', '8086:10d3')]
# Behind one host bridge, so that a group has two devices.
JUDGE_DEVICES = ['nvme,serial=1,bus=pcie.2,addr=0.0,multifunction=on',
                 'e1000e,romfile=,bus=pcie.2,addr=0.1']
HUGE_WORDS = 'default_hugepagesz=2M sysctl.vm.nr_overcommit_hugepages=2'

# What KUnit has to run; and where the option for the last is set.
SUITES = ['mm_iommu_index', 'mm_iommu', 'tce_owner', 'tce_view', 'pnv_tce',
          'pnv_windows']
CHECKED_KERNELS = ('4k', 'debug', 'kasan')
CHECKED_SUITES = ['tce_check']

# What tests skip without, and no host here is without. See init.c.
DEBUGFS = '/sys/kernel/debug/powerpc/tce'
KVM_HOSTS = ('powernv10', 'powernv9', 'powernv9-hash', 'powernv8', 'pseries8',
             'pseries9', 'pseries10')
HUGE_PAGES = '/sys/kernel/mm/hugepages/hugepages-2048kB'

# Tests of kinds of memory and of limits need these. Other kernels lack them.
MEMORY_KERNELS = ('4k', 'debug', 'kasan')
MEMORY = ['/proc/self/cgroup', '/proc/sys/vm/unprivileged_userfaultfd',
          '/sys/kernel/mm/ksm/run', '/dev/ram0',
          '/sys/devices/system/memory/block_size_bytes']

# All else has to run on some machine of a whole run.
NOWHERE = (
    # Devices alone need registered memory, and there is none.
    'kvm_tce.tce.*_no_table.list_with_unregistered_end',
    # Problem state needs host pages of 64 KiB; the guest's are no larger then.
    'kvm_tce.large.pr_64k_of_4k.half_*',
    # Only in check-long: pseries9 and pseries10 have nested guests.
    'spapr_partition.partition_guest.radix.*',
    # Where lists are read early; in virtual mode *_late and pr have it.
    'kvm_tce.device.hash.list_is_what_the_guest_sees',
    'kvm_tce.device.radix.list_is_what_the_guest_sees',
    # What powerpc does not offer to the judges. Their edu has no SR-IOV and one
    # kind of interrupts, QEMU's NVMe the other.
    'vfio_*.vfio_type1*',
    'vfio_pci_sriov_uapi_test:edu',
    'vfio_pci_device_test:edu.vfio_pci_irq_test.msix.*',
    'vfio_pci_device_test:nvme.vfio_pci_irq_test.msi.*',
    # The base does not survive to have a page of 1 GiB, if pages are of 64 KiB
    # and struct pages of a huge one are not contiguous (SPARSEMEM_VMEMMAP).
    'vfio_dma_mapping_test:*_hugetlb_1gb.*',
    # No huge IOMMU pages, or no real mode; hash_16m has both, on POWER8.
    'kvm_tce.large.*_of_4k.real_mode',
    'kvm_tce.large.*_of_64k.real_mode',
    'kvm_tce.large.radix_2m.real_mode',
)

# Programs whose threads have to run at the same time. They get four CPUs; all
# others run on one that counts instructions, where time spent waiting, such as
# the seconds that each reset of a device takes, passes at once.
SMP_PROGRAMS = ('_race',)
# Only in real time a group has two functions, see device() in machine.py. Of this
# program, cases that want two run there as well, and no others; in CI on one.
SMP_TOO = 'spapr_eeh'
SMP_TOO_ONCE = ('powernv9', '4k')
NOT_SMP = [(SMP_TOO, '[!e]*'), (SMP_TOO, 'eeh.[!o]*')]

# A partition has windows of one level, and the hypervisor keeps them: no second
# group joins, and windows have other places and sizes. pseries9 and pseries10
# have guests, nested; pseries8 has the hash MMU, so guests in problem state.
PARTITION = ('spapr_ioctl', 'spapr_map', 'spapr_memory', 'spapr_v1',
             'spapr_two_containers', 'spapr_partition', 'spapr_cgroup',
             'spapr_kinds')
PROGRAMS = {
    'pseries': PARTITION,
    'pseries-no-ddw': ('spapr_v1', 'spapr_map'),
    'pseries8': ('kvm_tce', 'spapr_partition'),
    'pseries9': PARTITION + ('kvm_tce',),
    'pseries10': PARTITION + ('kvm_tce',),
}
CASES = {'pseries8': ['create.*', '*.pr.*', '*.pr_*'],
         'pseries-no-ddw': ['v1.*', 'map.default_window.*']}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--machine', default='', choices=[''] +
                   sorted(machine.MACHINES))
    p.add_argument('--kernels', default='',
                   help='these only: ' + ', '.join(KERNELS))
    p.add_argument('--long', action='store_true')
    p.add_argument('--tests', default='')
    p.add_argument('--filter', default='')
    p.add_argument('--base', action='store_true')
    p.add_argument('--fixes', action='store_true')
    p.add_argument('--judges', action='store_true',
                   help='nothing but the VFIO selftests of Linux 7.2')
    p.add_argument('--results', default='', metavar='FILE',
                   help='lines "ok NAME" and "not ok NAME" that count as well')
    # Two machines share two CPUs well: much of a run is single-threaded.
    p.add_argument('--jobs', type=int, default=2)
    p.add_argument('--timeout', type=int, default=1200)
    p.add_argument('--verbose', action='store_true')
    return p.parse_args()


def is_old(args):
    """Is it a kernel without what the tests and KUnit know besides?"""
    return args.base or args.fixes


def read_fixed(path, args):
    """What the fixes mend: each line is a program and a glob of its cases."""
    with open(path, encoding='utf-8') as f:
        lines = [l.split('#')[0].split() for l in f]
    pairs = [l for l in lines if l]
    args.tests = ','.join(dict.fromkeys(p for p, _ in pairs))
    args.filter = ','.join(g for _, g in pairs)


def split(text):
    return [t for t in text.split(',') if t]


def needs_smp(program):
    return program.endswith(SMP_PROGRAMS)


def runs_on(args, program, name, kernel):
    """Is this program of any use on this machine with this kernel?"""
    if program not in PROGRAMS.get(name, [program]):
        return False
    if args.tests:
        return True
    if is_ci(args) and CI_ONCE.get(program, (name, kernel)) != (name, kernel):
        return False
    if program.endswith(FAIL_PROGRAMS) and kernel not in FAIL_KERNELS:
        return False
    return program.endswith(ONLY_PROGRAMS.get(kernel, ''))


def is_ci(args):
    return not (args.long or args.kernels or args.machine or args.judges or
                is_old(args))


def is_whole(args):
    return not (is_old(args) or args.machine or args.kernels or args.tests or
                args.filter or args.judges)


def make_specs(args, name, kernel):
    """The boots of one machine: with one CPU, and with four."""
    found = machine.programs(make_spec(args, name, kernel))
    specs = []
    for smp in (False, True):
        tests = [t for t in found
                 if ((needs_smp(t) or kernel == 'kcsan') == smp or
                     (smp and t == SMP_TOO and not (
                         is_ci(args) and SMP_TOO_ONCE != (name, kernel)))) and
                 runs_on(args, t, name, kernel)]
        if not tests:
            continue
        spec = make_spec(args, name, kernel)
        spec.tests, spec.icount = tests, not smp
        spec.log = spec.log.replace('.log', '-smp.log' if smp else '.log')
        spec.label += '-smp' if smp else ''
        if not smp and kernel in FUZZ_STEPS:
            # The kernel hands it on to the programs.
            spec.append += f' STEPS={FUZZ_STEPS[kernel]}'
        if smp:
            # Little on the console: printing while another CPU resets a device
            # has ended in a machine check in the emulated firmware.
            spec.append = 'kunit.enable=0 loglevel=6'
            spec.skip = [] if kernel == 'kcsan' else NOT_SMP.copy()
            spec.suites = []
            if kernel in SLOW_KERNELS:
                # Four CPUs of a machine that this one has no time for.
                spec.append += ' watchdog_thresh=60'
            spec.args = race_settings(args, name, kernel)
        specs.append(spec)
    return specs


def race_settings(args, name, kernel):
    """How long races take: longest on the two machines that matter most.

    CI has less time for them than the programs take by themselves.
    """
    main = kernel == '64k' and name in ('powernv9', 'powernv8')
    if is_ci(args):
        return 'SECONDS=30 SPAPR_RACE_SECONDS=2' if main else \
            'SPAPR_RACE_SECONDS=1'
    return 'SECONDS=60' if main else ''


def judge_programs(args, kernel):
    return [f'{p}:{k}' for p, kinds in JUDGE_PROGRAMS.items() for k in kinds
            if not (is_ci(args) and kernel == '4k' and
                    p == 'vfio_pci_driver_test')]


def judge_spec(args, name, kernel):
    """The boot of a machine with the judges, and with more devices."""
    spec = make_spec(args, name, kernel)
    spec.tests_dir = os.path.join(machine.BUILD, 'judges', 'tests')
    spec.tests = spec.tests or judge_programs(args, kernel)
    spec.label += '-judges'
    spec.log = spec.log.replace('.log', '-judges.log')
    spec.kinds, spec.devices, spec.icount = KINDS, JUDGE_DEVICES, True
    spec.append, spec.suites = 'kunit.enable=0', []
    if HUGE_PAGES in spec.need:
        spec.append += ' ' + HUGE_WORDS
    return spec


def judges(args):
    if not (is_whole(args) or args.judges):
        return []
    status = subprocess.run([JUDGES], check=False).returncode
    if status:
        return [Absent('judges', status == 2)]
    boots = wanted(args) if args.machine or args.kernels else \
        JUDGED + (LONG_JUDGED if args.long else [])
    return [judge_spec(args, *b) for b in boots]


def make_spec(args, name, kernel):
    folder = 'kbase' if args.base else \
        'fixes/k64' if args.fixes else KERNELS[kernel]
    slow = SLOW_KERNELS.get(kernel, 1)
    spec = machine.Spec(
        machine=name, label=f'{name}-{kernel}',
        kernel=os.path.join(machine.BUILD, folder, 'vmlinux'),
        tests=split(args.tests), filters=split(args.filter),
        timeout=args.timeout * slow, verbose=args.verbose)
    if kernel in BE_KERNELS:
        spec.tests_dir = os.path.join(machine.BUILD, 'tests-be')
    spec.quiet *= slow
    spec.test_timeout *= slow
    spec.log = os.path.join(machine.BUILD, 'log',
                            f'{folder.replace("/", "-")}-{name}.log')
    if args.base:
        # Tests are expected to hang there; do not wait long for them.
        spec.quiet, spec.test_timeout = 75, 45
    if is_old(args):
        spec.label = f'{"fixes" if args.fixes else "base"}-{name}'
    if spec.tests or spec.filters:
        # Asked for one thing, do that thing.
        spec.append = 'kunit.enable=0'
    spec.filters = spec.filters or CASES.get(name, [])
    spec.need = needs(args, name, kernel)
    if not is_old(args) and not spec.append:
        spec.suites = SUITES + CHECKED_SUITES * (kernel in CHECKED_KERNELS)
    return spec


def needs(args, name, kernel):
    need = ['/dev/kvm'] * (name in KVM_HOSTS)
    need += [HUGE_PAGES] * (name == 'powernv9')
    if is_old(args):
        return need
    need += [DEBUGFS, '/dev/iommu']
    need += [DEBUGFS + '/check'] * (kernel in CHECKED_KERNELS)
    need += ['/proc/self/fail-nth'] * (kernel in FAIL_KERNELS)
    need += MEMORY * (kernel in MEMORY_KERNELS)
    return need


def wanted(args):
    kernels = split(args.kernels)
    if args.machine:
        return [(args.machine, k) for k in kernels or ['64k']]
    if args.base:
        return BASE_BOOTS
    if args.fixes:
        return BASE_BOOTS + [('pseries', '64k')]
    if is_ci(args):
        return BOOTS
    return [b for b in BOOTS + LONG_BOOTS + DEBUG_BOOTS
            if not kernels or b[1] in kernels]


PLAYED = re.compile(r'play ok (\S+): ')


class Client:
    """A run of the program beside this one, in the place of a boot."""

    def __init__(self, what, host, words, plays='', host_words=''):
        self.plays = split(plays)
        self.words = [what, host]
        for option, value in (('--words', words), ('--plays', plays),
                              ('--host-words', host_words)):
            self.words += [option, value] if value else []
        self.label = ' '.join(w for w in ('client', what, host, words,
                                          host_words, plays) if w)
        if plays:
            self.label = ' '.join(w for w in (
                'plays', what, host, host_words, self.plays[0]) if w)
        self.log = os.path.join(machine.BUILD, 'log',
                                self.label.replace(' ', '-') + '.out')

    def name(self):
        return self.label

    def run(self):
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, 'w', encoding='utf-8') as log:
            status = subprocess.run(
                [CLIENT] + self.words, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, check=False).returncode
        with open(self.log, encoding='utf-8', errors='replace') as log:
            lines = log.read().split('\n')
        return self.judge(status, [l for l in lines if l.strip()])

    def judge(self, status, lines):
        """Status 2 says that there is nothing to be run, and the last line why.
        """
        last = lines[-1] if lines else ''
        played = [m.group(1) for m in map(PLAYED.match, lines) if m]
        lost = [f'play {n} did not end well' for n in self.plays
                if n not in played]
        for name in played:
            print(f'ok {self.label}: {name}', flush=True)
        if status == 0 and not lost:
            print(f'ok {self.label}', flush=True)
            return ktap.Result(passed=['works'] + played)
        if status == 2:
            print(f'ok {self.label} # SKIP {last}', flush=True)
            return ktap.Result(skipped=[last])
        print('\n'.join(lines[-30:] + [f'not ok {self.label}']), flush=True)
        said = [l for l in lines if l.startswith('play FAILED')]
        return ktap.Result(passed=played, failed=said or lost or
                           [f'exit status {status}: ' +
                            ' / '.join(lines[-2:])])


class Absent(Client):
    """What was to be fetched and built, and is not there."""

    def __init__(self, what, lacks):
        self.label, self.log = what, machine.BUILD
        self.lacks = lacks

    def run(self):
        if self.lacks:
            return ktap.Result(skipped=['cannot be had here'])
        return ktap.Result(failed=['does not build'])


def clients(args):
    """Only when everything is to be tested."""
    if not is_whole(args):
        return []
    # Says itself what is wrong; the clients will not get far then.
    subprocess.run([SETUP, '--client'], check=False)
    return [Client(*c) for c in CLIENTS + LONG_CLIENTS * bool(args.long)] + \
        [Client(what, host, '', names, words) for what, host, words, names in
         (LONG_PLAYS if args.long else PLAYS)]


def never_met(spec, result):
    """Of the machine's own choice of cases, what chooses nothing."""
    if spec.filters != CASES.get(spec.machine):
        return []
    names = [case for _, case in result.done]
    return [f'no case is {g}' for g in spec.filters
            if not fnmatch.filter(names, g)]


def one(args, spec):
    start = time.monotonic()
    try:
        if isinstance(spec, Client):
            result = spec.run()
        else:
            result = machine.resume(spec) if is_old(args) \
                else machine.boot(spec)
            result.failed += never_met(spec, result)
    except (machine.Missing, OSError, subprocess.SubprocessError) as e:
        result = ktap.Result(failed=[f'machine: {e}'])
    return spec, result, time.monotonic() - start


def read_results(path):
    """What ran elsewhere; a list that is not there is a failure."""
    result = ktap.Result()
    try:
        with open(path, encoding='utf-8') as f:
            lines = f.read().split('\n')
    except OSError:
        lines = []
    for line in lines:
        if line.startswith('ok ') and ' # SKIP' in line:
            result.skipped.append(line[len('ok '):])
        elif line.startswith('ok '):
            result.passed.append(line[len('ok '):])
        elif line.startswith('not ok '):
            result.failed.append(line[len('not ok '):])
    if not result.passed and not result.failed:
        result.failed.append(f'no results in {path}')
    return result


def ran_nowhere(done):
    """What was skipped wherever it could have run."""
    boots = [r for s, r, _ in done if not isinstance(s, Client)]
    ran = {n for r in boots for n in r.passed + r.failed}
    skipped = {n for r in boots for n in r.skipped}
    return [n for n in sorted(skipped - ran)
            if not any(fnmatch.fnmatch(n, g) for g in NOWHERE)]


def report(done, results='', whole=False):
    total = ktap.Result()
    if results:
        other = read_results(results)
        total.add(other)
        for name in other.failed:
            print(f'FAILED {name}')
        print(f'{os.path.basename(results):20} {len(other.passed):5} passed '
              f'{len(other.failed):5} failed')
    for spec, result, seconds in done:
        total.add(result, spec.name() + ': ')
        for name in result.failed:
            print(f'FAILED {spec.name()}: {name}')
            for line in result.said.get(name, []):
                print(f'    {line.strip()}')
    for name in ran_nowhere(done) if whole else []:
        total.failed.append(f'{name}: ran nowhere')
        print(f'FAILED {total.failed[-1]}')
    for spec, result, seconds in done:
        print(f'{spec.name():32} {len(result.passed):5} passed '
              f'{len(result.failed):5} failed {len(result.skipped):5} skipped '
              f'{seconds:6.0f} s   {os.path.relpath(spec.log)}')
    for name in total.skipped:
        print(f'skipped {name}')
    path = os.path.join(machine.BUILD, 'results.json')
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({s.name(): dataclasses.asdict(r) for s, r, _ in done}, f,
                  indent=1)
    return total


def main():
    args = arguments()
    if args.fixes and not args.tests and not args.filter:
        read_fixed(FIXED, args)
    try:
        # Once, before two machines want it at the same time.
        for big_endian in {k in BE_KERNELS for _, k in wanted(args)}:
            machine.build_init(big_endian)
        specs = clients(args) + judges(args)
        if not args.judges:
            specs += [s for b in wanted(args) for s in make_specs(args, *b)]
    except (machine.Missing, OSError, subprocess.SubprocessError) as e:
        machine.main_error(e)
        print('0 passed, 1 failed')
        return 2
    with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as pool:
        done = list(pool.map(lambda s: one(args, s), specs))
    total = report(done, args.results, is_whole(args))
    print(total.summary())
    if args.base:
        return 0 if total.passed or total.done else 1
    return 0 if total.good() else 1


if __name__ == '__main__':
    sys.exit(main())
