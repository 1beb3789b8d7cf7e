# SPDX-License-Identifier: GPL-2.0
"""A test machine: its initramfs, its QEMU, its console."""
import ctypes
import gzip
import os
import re
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import ktap
from common import BE_CROSS, BUILD, CROSS, HERE, TOP, main_error

QEMU = os.environ.get('QEMU', 'qemu-system-ppc64')
EDU = 'edu,dma_mask=0xffffffffffffffff'

# name: (QEMU's machine, devices, words for the kernel)
# Two test devices, each behind a host bridge of its own: two IOMMU groups.
POWERNV_DEVICES = [f'{EDU},bus=pcie.0', f'{EDU},bus=pcie.1']
# A PHB is a group. The other device of each has a driver that does DMA by the
# kernel's window, so that has to be back when a process has had the group.
PSERIES_DEVICES = ['spapr-pci-host-bridge,index=1,id=phb1',
                   f'{EDU},bus=pci.0', f'{EDU},bus=phb1.0',
                   'nvme,serial=0,bus=pci.0', 'nvme,serial=1,bus=phb1.0']
# With default windows like those of powernv
PSERIES8_DEVICES = [
    'spapr-pci-host-bridge,index=1,id=phb1,dma_win_size=0x80000000',
    'spapr-pci-host-bridge,index=2,id=phb2,dma_win_size=0x80000000',
    f'{EDU},bus=phb1.0', f'{EDU},bus=phb2.0']
PSERIES = ('pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,'
           'cap-ccf-assist=off')
MACHINES = {
    'powernv9': ('powernv9', POWERNV_DEVICES, ''),
    'powernv9-hash': ('powernv9', POWERNV_DEVICES, 'disable_radix'),
    'powernv8': ('powernv8', POWERNV_DEVICES, ''),
    'powernv10': ('powernv10', POWERNV_DEVICES, ''),
    'pseries': (PSERIES, PSERIES_DEVICES, 'disable_ddw'),
    # Its hypervisor has the default window of each PHB, and no other one.
    'pseries-no-ddw': (f'{PSERIES} -global spapr-pci-host-bridge.ddw=off',
                       PSERIES_DEVICES, ''),
    # Partitions that are KVM hosts, by the first and the second nested API.
    'pseries9': ('pseries,cap-nested-hv=on,cap-cfpc=broken,cap-sbbc=broken,'
                 'cap-ibs=broken,cap-ccf-assist=off -cpu POWER9',
                 PSERIES8_DEVICES, ''),
    'pseries10': ('pseries,cap-nested-papr=on,cap-ccf-assist=off -cpu POWER10',
                  PSERIES8_DEVICES, ''),
    # KVM can have guests there, in problem state.
    'pseries8': ('pseries -cpu POWER8', PSERIES8_DEVICES, ''),
}


class Missing(Exception):
    """Something that a machine is made of is not there."""


@dataclass
class Spec:
    """One boot."""
    machine: str = 'powernv9'
    kernel: str = os.path.join(BUILD, 'k64', 'vmlinux')
    tree: str = os.path.join(BUILD, 'linux')
    tests_dir: str = os.path.join(BUILD, 'tests')
    smp: int = 4
    icount: bool = False
    clock: str = ''             # another way of -icount, with all CPUs
    mem: str = '4G'
    tests: list = field(default_factory=list)       # empty: all
    filters: list = field(default_factory=list)     # globs of case names
    skip: list = field(default_factory=list)        # (program, glob of cases)
    need: list = field(default_factory=list)        # see init.c
    suites: list = field(default_factory=list)      # KUnit's, not to be missed
    args: str = ''
    append: str = ''
    test_devices: bool = True   # those of MACHINES
    kinds: list = field(default_factory=list)       # (name, ID), see init.c
    devices: list = field(default_factory=list)     # of these kinds, QEMU's words
    extra_qemu: list = field(default_factory=list)
    demo: str = ''
    timeout: int = 600          # of the boot, seconds
    quiet: int = 150            # of silence on the console, seconds
    test_timeout: int = 180     # of silence of one program, guest's seconds
    log: str = ''
    label: str = ''
    verbose: bool = False

    def name(self):
        return self.label or self.machine


# --- initramfs ---------------------------------------------------------------

def cpio_entry(name, mode, data=b''):
    """One file in the format that Documentation/driver-api/early-userspace
    calls newc."""
    raw = name.encode() + b'\0'
    header = '070701' + ''.join(f'{n:08x}' for n in (
        0, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data),
        0, 0, 0, 0, len(raw), 0))
    out = header.encode() + raw
    out += b'\0' * (-len(out) % 4)
    return out + data + b'\0' * (-len(data) % 4)


def is_big_endian(kernel):
    """Asks the sixth byte of the ELF header."""
    with open(kernel, 'rb') as f:
        return f.read(6)[5:] == b'\2'


def build_init(big_endian=False):
    source = os.path.join(HERE, 'init.c')
    target = os.path.join(BUILD, 'init-be' if big_endian else 'init')
    if os.path.exists(target) and \
            os.path.getmtime(target) >= os.path.getmtime(source):
        return target
    compiler = (BE_CROSS if big_endian else CROSS) + 'gcc'
    if not shutil.which(compiler):
        raise Missing(f'{compiler}: run tools/testing/powernv/setup')
    os.makedirs(BUILD, exist_ok=True)
    new = f'{target}.{os.getpid()}'
    subprocess.run([compiler, '-O2', '-Wall', '-Wextra', '-static',
                    '-o', new, source], check=True)
    os.replace(new, target)
    return target


def executables(folder):
    names = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            names.append(name)
    return sorted(names)


def test_names(folder):
    """The test programs; .list, where there is one, tells them from others."""
    names = executables(folder)
    path = os.path.join(folder, '.list')
    if not os.path.exists(path):
        return names
    with open(path, encoding='utf-8') as f:
        listed = set(f.read().split())
    lost = sorted(listed - set(names))
    if lost:
        raise Missing(f'not built: {", ".join(lost)}; run make tests')
    return sorted(listed)


def programs(spec):
    """What this boot runs, in order."""
    if not os.path.isdir(spec.tests_dir):
        raise Missing(f'no test programs in {spec.tests_dir}: run make tests')
    if spec.demo:
        wanted, known = [spec.demo], executables(spec.tests_dir)
    else:
        known = test_names(spec.tests_dir)
        wanted = spec.tests or known
    unknown = [n for n in wanted if n.split(':')[0] not in known]
    if unknown or not wanted:
        raise Missing(f'no test program {", ".join(unknown)}; there are: ' +
                      (', '.join(known) or 'none'))
    return wanted


def plan_text(spec, names):
    """See init.c for the format."""
    lines = ['mode run' if spec.demo else 'mode test']
    lines += [f'program {n} {spec.test_timeout} {spec.args}'.rstrip()
              for n in names]
    lines += [f'only {g}' for g in spec.filters]
    lines += [f'skip {p} {c}' for p, c in spec.skip]
    lines += [f'device {name} {ids}' for name, ids in spec.kinds]
    if spec.test_devices:
        devices = [d for d in MACHINES[spec.machine][1] if d.startswith('edu')]
        lines.append(f'need devices {len(devices + spec.devices)}')
    lines += [f'need {n}' for n in spec.need]
    return '\n'.join(lines) + '\n'


def make_initramfs(spec, path):
    names = programs(spec)
    with gzip.open(path, 'wb', compresslevel=1) as out:
        for d in ('dev', 'proc', 'sys', 'tmp', 'tests'):
            out.write(cpio_entry(d, 0o40755))
        with open(build_init(is_big_endian(spec.kernel)), 'rb') as f:
            out.write(cpio_entry('init', 0o100755, f.read()))
        out.write(cpio_entry('plan', 0o100644,
                             plan_text(spec, names).encode()))
        # A test may need a helper beside it, so all of the directory goes in.
        for name in executables(spec.tests_dir):
            with open(os.path.join(spec.tests_dir, name), 'rb') as f:
                out.write(cpio_entry('tests/' + name, 0o100755, f.read()))
        out.write(cpio_entry('TRAILER!!!', 0))
    return names


# --- QEMU --------------------------------------------------------------------

def host(spec, initrd):
    """All that the host's device tree tells of."""
    machine, _, words = MACHINES[spec.machine]
    append = ' '.join(w for w in (
        'console=hvc0 printk.devkmsg=on', words, spec.append) if w)
    cmd = [QEMU, '-M', *machine.split(), '-m', spec.mem, '-net', 'none',
           '-no-reboot', '-kernel', spec.kernel, '-initrd', initrd,
           '-append', append]
    if spec.icount:
        # One virtual nanosecond is one instruction; needs a single CPU.
        return cmd + ['-icount', 'shift=0,sleep=off', '-smp', '1']
    return cmd + ['-icount', spec.clock] * bool(spec.clock) + \
        ['-smp', str(spec.smp)]


# Page sizes as firmware of real hosts tells them: log2, and above it what
# tlbie calls them. QEMU's does not, and Linux has no huge pages without it.
RADIX_PAGES = ['c', 'a0000010', '20000015', '4000001e']


def has_radix(spec):
    return MACHINES[spec.machine][0] in ('powernv9', 'powernv10')


def device_tree(spec, initrd, path):
    """The device tree that QEMU makes for a host, completed."""
    for tool in ('fdtget', 'fdtput'):
        if not shutil.which(tool):
            raise Missing(f'{tool}: run tools/testing/powernv/setup')
    run = subprocess.run(
        host(spec, initrd) + ['-S', '-display', 'none', '-serial', 'null',
                              '-monitor', 'stdio'],
        input=f'dumpdtb {path}\nquit\n', text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent)
    if not os.path.exists(path):
        raise Missing(f'no device tree from QEMU: {run.stdout.strip()[-200:]}')
    cpus = subprocess.run(['fdtget', '-l', path, '/cpus'], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.split()
    for cpu in cpus:
        if cpu.startswith('PowerPC,'):
            subprocess.run(['fdtput', '-t', 'x', path, f'/cpus/{cpu}',
                            'ibm,processor-radix-AP-encodings',
                            *RADIX_PAGES], check=True)


def command(spec, initrd, dtb=''):
    cmd = host(spec, initrd) + ['-nographic']
    if dtb:
        # which has the kernel's words
        at = cmd.index('-append')
        cmd[at:at + 2] = ['-dtb', dtb]
    if spec.machine.startswith('pseries'):
        cmd += ['-vga', 'none']     # its firmware image is another package
    for d in MACHINES[spec.machine][1] if spec.test_devices else []:
        cmd += device(spec, d)
    for d in spec.devices:
        cmd += ['-device', d]
    return cmd + spec.extra_qemu


def device(spec, words):
    """A device; in real time one with a second function beside it.

    A bus with two functions is not reset when a process opens or closes one of
    them, which takes firmware seconds.
    """
    if spec.icount or spec.machine.startswith('pseries'):
        return ['-device', words]
    bus = re.search(r'bus=[\w.]+', words).group(0)
    return ['-device', f'{words},addr=0.0,multifunction=on',
            '-device', f'pci-testdev,{bus},addr=0.1']


def die_with_parent():
    """No emulator outlives the program that waits for it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


class Console:
    """Follows the lines of a machine while it runs."""

    def __init__(self, spec):
        self.spec = spec
        self.start = time.monotonic()
        self.rest = b''
        self.text = []
        self.case = ''
        self.ended = False

    def say(self, line):
        print(f'{self.spec.name()} {time.monotonic() - self.start:5.0f}s  '
              f'{line}', flush=True)

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b'\n')
        for raw in lines:
            self.line(raw.decode(errors='replace').rstrip('\r'))

    def line(self, line):
        self.text.append(line)
        line = ktap.STAMP.sub('', line)
        if line.startswith(ktap.MARKER) and 'status' not in line:
            self.ended = True
        if self.spec.verbose:
            print(f'{self.spec.name()}| {line}', flush=True)
        elif line.startswith('run| '):
            print(line[5:], flush=True)
        elif not self.spec.demo:
            self.progress(line)

    def progress(self, line):
        m = ktap.CASE.match(line)
        if m:
            self.say(line.strip())
        elif ktap.BOOTED.match(line):
            self.say('kernel started')
        elif line.startswith('not ok ') or (
                not line.startswith('    ') and ktap.TROUBLE.search(line)):
            self.say(line.strip()[:160])


def watch(proc, console, log):
    """Passes on the console until the machine ends.

    Returns None when QEMU has ended by itself, '' when it was to be helped
    after its last word, else what went wrong.
    """
    spec = console.spec
    selector = selectors.DefaultSelector()
    selector.register(proc.stdout, selectors.EVENT_READ)
    last = time.monotonic()
    ended = 0
    while True:
        now = time.monotonic()
        if now - console.start > spec.timeout:
            return f'time limit of {spec.timeout} s'
        if now - last > spec.quiet:
            return f'nothing on the console for {spec.quiet} s'
        # The last word is said; a machine that does not go is helped.
        if console.ended and not ended:
            ended = now
        if ended and now - ended > 20:
            return ''
        if not selector.select(1):
            continue
        data = os.read(proc.stdout.fileno(), 65536)
        if not data:
            return None
        last = now
        log.write(data)
        log.flush()
        console.feed(data)


# The firmware's last word before the kernel's first.
HANDED_OVER = re.compile(r'INIT: Starting kernel at')
LOST_CONSOLE = 'machine: the console was lost in the firmware'
BOOTS = 3


def lost_console(text, why, status):
    """Did the machine run to its end with nobody hearing it?

    Seen once in many boots, on a busy computer: the console falls silent in the
    firmware's first second, and a minute later QEMU has switched off as after a
    whole run. A kernel that does not start is different: the firmware tells
    that it starts it, or there is no such end.
    """
    return why is None and status == 0 and not HANDED_OVER.search(text) and \
        not ktap.BOOTED.search(text)


EMULATOR_CRASHED = 'machine: the emulator crashed'
CRASHES = (-signal.SIGSEGV, -signal.SIGBUS)
CRASHED_BOOTS = 2


def only_crashed(result):
    """Is a crash of the emulator all that went wrong?

    No guest may crash it: seen once, after 57 s of guests on four CPUs. What the
    kernel or a test said before the crash counts, and so does a second crash.
    """
    if not any(n.startswith(EMULATOR_CRASHED) for n in result.failed):
        return False
    return all(n.startswith(('machine: ', 'KUnit: ')) or
               n.endswith(': no result') for n in result.failed)


def boot(spec):
    """Runs one machine to its end and judges it.

    Again when its console was lost, once more when the emulator crashed, and
    never for any other reason.
    """
    crashes = 0
    for nr in range(1, BOOTS + 1):
        result = boot_once(spec)
        crashed = only_crashed(result)
        crashes += crashed
        again = LOST_CONSOLE in result.failed or \
            (crashed and crashes < CRASHED_BOOTS)
        if not again or nr == BOOTS:
            break
        for name in result.failed:
            print(f'{spec.name()}: {name}; another boot', flush=True)
    return result


def boot_once(spec):
    for what in (spec.kernel,):
        if not os.path.exists(what):
            raise Missing(f'no kernel {what}: run make kernel')
    if not shutil.which(QEMU):
        raise Missing(f'{QEMU}: run tools/testing/powernv/setup')
    log_path = spec.log or os.path.join(BUILD, 'log', spec.name() + '.log')
    os.makedirs(os.path.dirname(os.path.abspath(log_path)), exist_ok=True)
    console = Console(spec)
    with tempfile.TemporaryDirectory(prefix='powernv-') as tmp, \
            open(log_path, 'wb') as log:
        initrd = os.path.join(tmp, 'initrd.gz')
        make_initramfs(spec, initrd)
        dtb = os.path.join(tmp, 'host.dtb') if has_radix(spec) else ''
        if dtb:
            device_tree(spec, initrd, dtb)
        proc = subprocess.Popen(
            command(spec, initrd, dtb), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent)
        try:
            why = watch(proc, console, log)
            if why is None:
                proc.wait(10)
        except subprocess.TimeoutExpired:
            why = 'QEMU closed its output and stays'
        finally:
            proc.kill()
            proc.wait()
        console.feed(b'\n')
    text = '\n'.join(console.text)
    result = ktap.judge(text, spec.tree, bool(spec.demo), spec.suites)
    if lost_console(text, why, proc.returncode):
        result.failed.append(LOST_CONSOLE)
    if why:
        result.failed.append(f'machine: {why}')
    if why is None and proc.returncode:
        tail = ' / '.join([l for l in console.text if l.strip()][-3:])
        what = EMULATOR_CRASHED if proc.returncode in CRASHES else \
            'machine: QEMU ended'
        result.failed.append(f'{what}: exit status {proc.returncode}: {tail}')
    return result


def resume(spec, most=60):
    """Boots again for the cases that a crash or a hang has kept from running.

    Returns the sum. A case without a result in one boot is not tried again.
    """
    total = ktap.Result()
    log = spec.log or os.path.join(BUILD, 'log', spec.name() + '.log')
    names = programs(spec)
    for nr in range(1, most + 1):
        spec.log = log if nr == 1 else f'{log}.{nr}'
        spec.tests = names
        result = boot(spec)
        total.add(result)
        spec.skip += result.done + result.lost
        names = unfinished(names, result)
        if not names:
            break
        lost = ', '.join('.'.join(l) for l in result.lost) or result.program
        print(f'{spec.name()}: {lost} did not end; another boot for the rest',
              flush=True)
    spec.log = log
    return total


def unfinished(names, result):
    """The programs that still have cases to run."""
    left = {program for program, _ in result.lost}
    if result.marker != 'end':
        if result.program not in names:
            return []           # it did not get as far as a test
        at = names.index(result.program)
        left.update(names[at + 1:])
        # Try it again only if that leads further than this time.
        if result.done and result.done[-1][0] == result.program:
            left.add(result.program)
    return [n for n in names if n in left]
