#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Days in the life of clients of VFIO, on the emulated host (see client).

client_plays.py PLAY[:TIMES]...   runs them in this order; "play ok NAME" or "play
FAILED NAME: WHY" is printed for each. Guests are driven by their console, QEMU by QMP.
"""
import ctypes
import glob
import json
import os
import re
import resource
import select
import selectors
import signal
import socket
import subprocess
import sys
import time

TESTS = '/tests'
SYS_PCI = '/sys/bus/pci/devices'
KVM_DEBUG = '/sys/kernel/debug/kvm'
QEMU = '/usr/bin/qemu-system-ppc64'
MACHINE = ['-M', 'pseries,accel=kvm,cap-cfpc=broken,cap-sbbc=broken,'
           'cap-ibs=broken,cap-ccf-assist=off', '-cpu', 'host']
GATEWAYS = ['10.0.2.2', '10.0.3.2', '10.0.4.2']     # see client, DEVICES
ADDRESSES = ['10.0.2.15', '10.0.3.15', '10.0.4.15']
CAP_IPC_LOCK = 14
PR_CAPBSET_DROP = 24
PR_SET_PDEATHSIG = 1
MIB = 1 << 20
GIB = 1 << 30
# What must never be said.
REFUSED = re.compile(r'Failed to create TCE64 table|vfio.*(fail|error)|'
                     r'Cannot allocate memory|spapr_iommu|Resource busy')


class Failed(Exception):
    """The play has not gone as it should."""


def check(condition, what):
    if not condition:
        raise Failed(what)


def say(text):
    print(text, flush=True)


def log(who, line):
    with open('/dev/kmsg', 'w', encoding='utf-8') as f:
        f.write(f'<5>{who}: {line[:900]}\n')


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read().strip()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


# --- The host ----------------------------------------------------------------

def pci(pattern):
    """Addresses of the devices whose class begins like this, in order."""
    return sorted(os.path.basename(d) for d in glob.glob(SYS_PCI + '/*')
                  if read(d + '/class').startswith(pattern))


def cards():
    return pci('0x0200')


def driver_of(device):
    path = f'{SYS_PCI}/{device}/driver'
    return os.path.basename(os.readlink(path)) if os.path.exists(path) else ''


def bind(device, driver):
    """Gives the device to vfio-pci, or with '' to the host's own driver."""
    path = f'{SYS_PCI}/{device}'
    if driver_of(device):
        write(path + '/driver/unbind', device)
    write(path + '/driver_override', driver or '\n')
    write('/sys/bus/pci/drivers_probe', device)
    check(driver_of(device) == driver if driver else driver_of(device),
          f'{driver or "no driver"} does not take {device}')


def pinned():
    """Pages that are pinned for long, by the host's own count."""
    # CPUs count by themselves, and add it up now and then.
    write('/proc/sys/vm/stat_refresh', '1')
    words = dict(l.split() for l in read('/proc/vmstat').split('\n'))
    return int(words['nr_foll_pin_acquired']) - \
        int(words['nr_foll_pin_released'])


def locked_kib(pid):
    m = re.search(r'^VmLck:\s+(\d+) kB', read(f'/proc/{pid}/status'), re.M)
    return int(m.group(1))


def early():
    """TCE hypercalls that were finished early, of the guests that live."""
    return int(read(KVM_DEBUG + '/tce_early'))


def run_tool(*words):
    """What the guest's tool does, here."""
    run = subprocess.run([f'{TESTS}/client-traffic', *map(str, words)],
                         capture_output=True, text=True, timeout=120,
                         check=False)
    log('tool', run.stdout + run.stderr)
    return run.returncode, (run.stdout + run.stderr).strip()


# --- QEMU --------------------------------------------------------------------

class Guest:
    """An unmodified QEMU with a guest that does what it is told."""

    alive = set()

    def __init__(self, devices, memory='512M', words='', extra=(), limit=0,
                 kernel='guest'):
        self.console, theirs = socket.socketpair()
        self.monitor, theirs_qmp = socket.socketpair()
        fds = theirs.fileno(), theirs_qmp.fileno()
        line = [QEMU, *MACHINE, '-m', memory, '-nodefaults', '-nographic',
                '-vga', 'none', '-chardev', f'socket,id=con,fd={fds[0]}',
                '-serial', 'chardev:con',
                '-chardev', f'socket,id=qmp,fd={fds[1]}',
                '-mon', 'chardev=qmp,mode=control',
                '-kernel', kernel_of(kernel), '-initrd', f'{TESTS}/plays.cpio',
                '-append', 'console=hvc0 kunit.enable=0 panic=1 loglevel=5 '
                f'printk.devkmsg=on {words}', *extra]
        for d in devices:
            line += ['-device', d]
        self.process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=fds,
            preexec_fn=lambda: confine(limit))
        theirs.close()
        theirs_qmp.close()
        self.alive.add(self)
        self.number = 0
        self.said = []          # by the guest, of the present command
        self.status = None
        self.ready = 0
        self.refused = []
        self.last_word = ''
        self.events = []
        self.answer = None
        self.rest = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.console, selectors.EVENT_READ,
                               self.console_line)
        self.selector.register(self.monitor, selectors.EVENT_READ,
                               self.monitor_line)
        self.selector.register(self.process.stdout, selectors.EVENT_READ,
                               self.qemu_line)
        self.qmp('qmp_capabilities')
        self.wait_ready(1)

    def console_line(self, line):
        log('guest', line)
        m = re.search(r'client: (.*)', line)
        if not m:
            return
        text = m.group(1).rstrip('\r')
        done = re.match(r'done (\d+) (\d+)$', text)
        if text == 'ready':
            self.ready += 1
        elif done:
            if int(done.group(1)) == self.number:
                self.status = int(done.group(2))
        else:
            self.said.append(text)

    def monitor_line(self, line):
        message = json.loads(line)
        if 'event' in message:
            log('qemu', line)
            self.events.append(message)
        elif 'QMP' not in message:
            self.answer = message

    def qemu_line(self, line):
        log('qemu', line)
        self.last_word = line
        if REFUSED.search(line):
            self.refused.append(line)

    def pump(self, seconds):
        for key, _ in self.selector.select(seconds):
            fd = key.fileobj.fileno()
            try:
                data = os.read(fd, 65536)
            except ConnectionError:
                data = b''          # QEMU has ended, unread words or not
            if not data:
                self.selector.unregister(key.fileobj)
                continue
            *lines, self.rest[fd] = \
                (self.rest.get(fd, b'') + data).split(b'\n')
            for line in lines:
                key.data(line.decode(errors='replace'))

    def wait(self, what, condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            check(self.process.poll() is None,
                  f'QEMU ended ({self.process.returncode}) while {what}: '
                  f'{self.last_word}')
            check(time.monotonic() < end, f'not in {seconds} s: {what}')
            self.pump(0.5)

    def wait_ready(self, times, seconds=300):
        self.wait('the guest starts', lambda: self.ready >= times, seconds)

    def qmp(self, command, seconds=60, **words):
        self.answer = None
        words = {k.replace('_', '-') if k != 'node_name' else k: v
                 for k, v in words.items()}
        text = json.dumps({'execute': command, 'arguments': words})
        self.monitor.sendall(text.encode() + b'\n')
        self.wait(f'QEMU does {command}', lambda: self.answer is not None,
                  seconds)
        check('return' in self.answer, f'{command}: {self.answer}')
        return self.answer['return']

    def try_run(self, command, seconds=60):
        """The guest's status, and what it said."""
        self.number += 1
        self.status, self.said = None, []
        self.console.sendall(f'{self.number} {command}\n'.encode())
        self.wait(f'the guest does {command}',
                  lambda: self.status is not None, seconds)
        return self.status, ' / '.join(self.said)

    def run(self, command, seconds=60):
        status, said = self.try_run(command, seconds)
        check(status == 0, f'guest, {command}: status {status}, {said}')
        return said

    def up(self, *which):
        for device, n in which:
            self.run(f'up {device} {ADDRESSES[n]}')

    def flood(self, device, n, seconds=1, size=1000):
        status, said = self.try_run(
            f'flood {device} {GATEWAYS[n]} {seconds} {size}', seconds + 60)
        if status:
            # For the log: does it send, do interrupts come?
            self.try_run('ifconfig; cat /proc/interrupts')
        check(status == 0, f'guest, {device}: {said}')
        return said

    def flood_on(self, name, device, n, size=1000):
        self.run(f'flood_on {name} {device} {GATEWAYS[n]} {size}')

    def flood_off(self, name):
        return self.run(f'flood_off {name}')

    def reset(self):
        before = self.ready
        self.qmp('system_reset')
        self.wait_ready(before + 1)

    def reboot(self):
        before = self.ready
        self.console.sendall(b'0 reboot -f\n')
        self.wait_ready(before + 1)

    def locked(self):
        return locked_kib(self.process.pid)

    def gone(self, device):
        """QEMU says so when the guest has let the device go."""
        return any(e['event'] == 'DEVICE_DELETED' and
                   e['data'].get('device') == device for e in self.events)

    def plug(self, name, address, slot, phb=0, card=None):
        bus = 'pci.0' if phb == 0 else f'phb{phb}.0'
        self.qmp('device_add', driver='vfio-pci', id=name, bus=bus,
                 host=card, addr=f'{slot:x}')
        self.run(f'plug {drc(phb, slot)}')
        self.run(f'netdev {address}')

    def unplug(self, name, address, slot, phb=0):
        self.events = []
        self.qmp('device_del', id=name)
        self.run(f'unplug {address} {drc(phb, slot)}')
        self.wait(f'{name} goes', lambda: self.gone(name), 60)

    def no_refusal(self):
        check(not self.refused, f'QEMU: {self.refused[:1]}')

    def end(self):
        """By the guest's own will. Everything is given back."""
        self.console.sendall(b'0 poweroff -f\n')
        self.finish('power off')

    def finish(self, what):
        end = time.monotonic() + 60
        while self.process.poll() is None:
            check(time.monotonic() < end, f'QEMU stays after {what}')
            self.pump(0.5)
        self.close()
        check(self.process.returncode == 0,
              f'QEMU ended with {self.process.returncode}')
        self.no_refusal()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        while self.selector.get_map() and self.selector.select(0):
            self.pump(0)
        self.console.close()
        self.monitor.close()
        self.alive.discard(self)


def kernel_of(name):
    """The guest's kernel; the host's when there is no other."""
    path = f'{TESTS}/{name}'
    return path if os.path.exists(path) else f'{TESTS}/vmlinux'


def confine(limit):
    """In the child: ends with us; with a limit, and no privilege over it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if limit:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)


def drc(phb, slot):
    """PAPR's index of a PCI slot, as QEMU numbers them."""
    return f'{0x40000000 | phb << 16 | slot << 3:#x}'


def vfio(n, slot, bus='pci.0'):
    return f'vfio-pci,host={cards()[n]},id=card{n},bus={bus},addr={slot:x}'


PHB1 = 'spapr-pci-host-bridge,index=1,id=phb1'


def libvirt_limit(memory, phbs, most=0):
    """What libvirt lets a ppc64 guest lock: qemuDomainGetMemLockLimitBytes()."""
    most = most or memory
    return most // 128 + phbs * 4 * MIB + 8 * MIB + \
        max(phbs * 2 * GIB, memory + memory // 512 * phbs + 8 * MIB)


# --- DPDK ---------------------------------------------------------------------

PROMPT = 'testpmd> '
EAL = ['-l', '0,1', '-n', '1']
# Not the counters TX-errors and RX-errors.
COMPLAINT = re.compile(r'\b(?<!X-)[Ee]rror|[Ff]ail|Bad arguments|[Cc]annot|'
                       r'Invalid')
MBUFS = ['--total-num-mbufs=16384', '--forward-mode=txonly']


class Testpmd:
    """DPDK's own test program, which does what it is told."""

    alive = set()

    def __init__(self, eal, words=(), interactive=True):
        line = ['/usr/bin/dpdk-testpmd', *EAL, *eal, '--',
                *(['-i'] if interactive else []), *MBUFS, *words]
        log('dpdk', ' '.join(line))
        # A terminal, since into a pipe its words come after its prompt.
        self.terminal, theirs = open_terminal()
        self.process = subprocess.Popen(
            line, stdin=theirs, stdout=theirs, stderr=theirs,
            preexec_fn=lambda: confine(0))
        os.close(theirs)
        self.alive.add(self)
        self.text = ''
        self.until(PROMPT, 180)

    def until(self, word, seconds):
        """What it says up to that word."""
        end = time.monotonic() + seconds
        while word not in self.text:
            check(time.monotonic() < end,
                  f'testpmd: no "{word}" in {seconds} s: {self.text[-200:]}')
            if not select.select([self.terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b''          # the other end is closed
            check(data, f'testpmd ended: {self.text[-300:]}')
            self.text += data.decode(errors='replace').replace('\r', '')
        said, self.text = self.text.split(word, 1)
        for line in said.split('\n'):
            if line.strip():
                log('dpdk', line)
        return said

    def run(self, command, seconds=60):
        os.write(self.terminal, command.encode() + b'\n')
        # It repeats the command, and then answers.
        self.until(command, seconds)
        said = self.until(PROMPT, seconds)
        check(not COMPLAINT.search(said), f'testpmd, {command}: {said[-300:]}')
        return said

    def sent(self, port):
        """Packets that the card has fetched."""
        said = self.run(f'show port stats {port}')
        found = re.search(r'TX-packets: (\d+)', said)
        check(found, f'testpmd: {said[-200:]}')
        return int(found.group(1))

    def sends(self, *ports):
        before = [self.sent(p) for p in ports]
        time.sleep(2)
        for port, old in zip(ports, before):
            new = self.sent(port)
            check(new > old, f'port {port} stays at {new} packets')

    def end(self):
        os.write(self.terminal, b'quit\n')
        self.until('Bye...', 60)
        self.finish()

    def finish(self):
        status = self.process.wait(60)
        self.alive.discard(self)
        check(status == 0, f'testpmd ended with {status}')

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.alive.discard(self)


def open_terminal():
    if not os.path.ismount('/dev/pts'):
        os.makedirs('/dev/pts', exist_ok=True)
        subprocess.run([f'{TESTS}/busybox', 'mount', '-t', 'devpts', 'none',
                        '/dev/pts'], check=True)
    return os.openpty()


def allow(*which):
    return [w for n in which for w in ('-a', cards()[n])]


def play_testpmd(_, eal=(), words=()):
    """Both cards send."""
    dpdk_memory()
    pmd = Testpmd(allow(0, 1) + list(eal), words)
    pmd.run('start')
    pmd.sends(0, 1)
    pmd.run('stop')
    sent = pmd.sent(0), pmd.sent(1)
    pmd.end()
    return f'{sent[0]} and {sent[1]} packets'


def play_detach(times):
    """One sends while the other goes and comes."""
    dpdk_memory()
    pmd = Testpmd(allow(0, 1))
    for _ in range(times):
        pmd.run('set portlist 0')
        pmd.run('start')
        pmd.sends(0)
        pmd.run('port stop 1')
        pmd.run('port detach 1')
        pmd.sends(0)
        pmd.run(f'port attach {cards()[1]}')
        pmd.run('port start 1')
        pmd.sends(0)
        pmd.run('stop')
        pmd.run('set portlist 0,1')
        pmd.run('start')
        pmd.sends(0, 1)
        pmd.run('stop')
    sent = pmd.sent(0), pmd.sent(1)
    pmd.end()
    return f'{times} times, {sent[0]} and {sent[1]} packets'


def play_secondary(_):
    """A secondary process sends, and goes on when its primary is killed."""
    dpdk_memory()
    first = Testpmd(allow(0) + ['--proc-type=primary'],
                    ['--num-procs=2', '--proc-id=0', '--txq=2', '--rxq=2'])
    second = Testpmd(allow(0) + ['--proc-type=secondary'],
                     ['--num-procs=2', '--proc-id=1', '--txq=2', '--rxq=2'])
    second.run('start')
    time.sleep(1)
    first.kill()
    time.sleep(2)
    check(second.process.poll() is None, 'the secondary process has ended')
    second.run('stop')
    second.kill()
    return 'outlived it'


def dpdk_memory():
    huge_memory('', 512 * MIB)
    for path in glob.glob(HUGE_PATH + '/rtemap_*'):
        os.remove(path)


# --- Plays -------------------------------------------------------------------

def resets(guest, how, times, which):
    """Again and again, with all cards busy; the same is locked each time."""
    locked, counted = None, 0
    for n in range(times + 1):
        guest.up(*which)
        for device, card in which:
            guest.flood(device, card)
        guest.no_refusal()
        before = locked
        locked = guest.locked()
        check(before in (None, locked),
              f'{before} kB were locked, {locked} kB after {n} times')
        old, counted = counted, early()
        check(counted > old, f'no hypercall was finished early after {n}')
        say(f'{n}: {locked} kB locked, {counted} hypercalls finished early')
        if n < times:
            for device, card in which:
                guest.flood_on(f'f{card}', device, card)
            how(guest)
    return locked


TWO_CARDS = [('0000:00:01.0', 0), ('0000:00:02.0', 1)]


def two_cards(**words):
    return Guest([vfio(0, 1), vfio(1, 2)], **words)


def play_resets(times, how=Guest.reset, words=''):
    guest = two_cards(words=words)
    locked = resets(guest, how, times, TWO_CARDS)
    guest.end()
    return f'{times} times, {locked} kB locked each time'


def play_limit(times, phbs, page, memory=GIB, spare=0):
    limit = libvirt_limit(memory, phbs) - spare
    which, devices = TWO_CARDS, [vfio(0, 1), vfio(1, 2)]
    extra = ['-global', f'spapr-pci-host-bridge.pgsz={page:#x}']
    if phbs == 2:
        which = [('0000:00:01.0', 0), ('0001:00:01.0', 1)]
        devices = [PHB1, vfio(0, 1), vfio(1, 1, 'phb1.0')]
    guest = Guest(devices, memory=f'{memory // MIB}M', limit=limit,
                  extra=extra)
    locked = resets(guest, Guest.reset, times, which)
    guest.end()
    return f'{locked} kB of {limit // 1024} kB locked, {times} resets'


def play_hotplug(times, phb=0):
    """The first card never loses a packet while the second one comes and goes.
    """
    second = f'{phb:04x}:00:02.0'
    guest = Guest(([PHB1] if phb else []) + [vfio(0, 1)])
    guest.up(TWO_CARDS[0])
    idle = guest.locked()
    guest.flood_on('stays', TWO_CARDS[0][0], 0)
    busy = None
    for n in range(times):
        guest.plug('card1', second, 2, phb, cards()[1])
        guest.up((second, 1))
        guest.flood(second, 1)
        before, busy = busy, guest.locked()
        check(before in (None, busy), f'{before} kB were locked, now {busy}')
        guest.unplug('card1', second, 2, phb)
        now = guest.locked()
        # The second PHB keeps its window until it is reset.
        if not phb:
            check(now == idle, f'{idle} kB were locked at first, now {now}')
        guest.no_refusal()
        say(f'{n}: {busy} kB locked with the card, {now} without')
    stayed = guest.flood_off('stays')
    guest.end()
    return f'{times} times, {stayed}'


def play_emulated(times, seconds=30):
    """An emulated card beside the real one, both busy."""
    extra = ['-netdev', 'user,id=em0,net=10.0.4.0/24',
             '-device', 'e1000e,netdev=em0,romfile=,bus=pci.0,addr=2']
    said = ''
    for n in range(times):
        guest = Guest([vfio(0, 1)], extra=extra)
        guest.up(('0000:00:01.0', 0), ('0000:00:02.0', 2))
        guest.flood_on('real', '0000:00:01.0', 0)
        status, emulated = guest.try_run(
            f'flood 0000:00:02.0 {GATEWAYS[2]} {seconds}', seconds + 60)
        real = guest.try_run('flood_off real')
        said = f'{emulated}; real: {real[1]}'
        say(f'{n}: {said}')
        if status or real[0]:
            guest.try_run('ifconfig; cat /proc/interrupts')
        check(status == 0 and real[0] == 0, f'try {n}: {said}')
        guest.end()
    return f'{times} guests, {said}'


def play_handback(times):
    """The card is the host's again, after power off and after a kill."""
    card = cards()[0]
    for n in range(times):
        for how in ('end', 'kill'):
            bind(card, 'vfio-pci')
            guest = Guest([vfio(0, 1)])
            guest.up(TWO_CARDS[0])
            guest.flood_on('f', TWO_CARDS[0][0], 0)
            getattr(guest, how)()
            bind(card, '')
            dev = os.listdir(f'{SYS_PCI}/{card}/net')[0]
            subprocess.run([f'{TESTS}/busybox', 'ifconfig', dev, ADDRESSES[0],
                            'netmask', '255.255.255.0', 'up'], check=True)
            end = time.monotonic() + 20
            while read(f'/sys/class/net/{dev}/carrier') != '1':
                check(time.monotonic() < end, f'{dev} has no link')
                time.sleep(0.1)
            status, said = run_tool('flood', dev, GATEWAYS[0], 3, 9000)
            check(status == 0, f'after {how}: {said}')
            say(f'after {how}: {said}')
            subprocess.run([f'{TESTS}/busybox', 'ifconfig', dev, 'down'],
                           check=True)
    bind(card, 'vfio-pci')
    return said


def play_dimm(times, huge=False):
    """A DIMM comes, a card reads from it, it goes; by the same ids.

    In the default window, into which the guest maps what it sends, by hypercall.
    A kernel without NUMA makes a 64-bit window for what it has at first only.
    """
    extra = huge_memory('512M') if huge else []
    guest = Guest([vfio(0, 1)], memory='512M,slots=2,maxmem=2G', extra=extra,
                  words='disable_ddw memory_hotplug.online_policy=auto-movable')
    guest.up(TWO_CARDS[0])
    guest.flood_on('stays', TWO_CARDS[0][0], 0)
    idle, busy, said = guest.locked(), None, ''
    for n in range(times):
        memory = {'qom_type': 'memory-backend-ram'}
        if huge:
            memory = {'qom_type': 'memory-backend-file', 'mem_path': HUGE_PATH}
        guest.qmp('object-add', id='mem1', size=256 * MIB, **memory)
        guest.qmp('device_add', driver='pc-dimm', id='dimm1', memdev='mem1')
        guest.run('has_memory 768')
        before, busy = busy, guest.locked()
        check(busy >= idle + 256 * 1024, f'{idle} kB locked, then {busy}')
        check(before in (None, busy), f'{before} kB locked, then {busy}')
        said = guest.run('use_movable 64')
        said += ', ' + guest.run('$TOOL stream /tmp/big 10.0.2.100 7', 120)
        guest.run('rm /tmp/big')
        guest.events = []
        guest.qmp('device_del', id='dimm1')
        guest.wait('the DIMM goes', lambda: guest.gone('dimm1'), 120)
        guest.qmp('object-del', id='mem1')
        guest.run('has_memory 512')
        now = guest.locked()
        check(now == idle, f'{idle} kB were locked at first, now {now}')
        guest.no_refusal()
        say(f'{n}: {busy} kB locked with it, {now} without')
    stayed = guest.flood_off('stays')
    guest.end()
    return f'{times} times, {idle} and {busy} kB locked, {said}; {stayed}'


def play_phb(times):
    """A host bridge comes, then its card, and goes together with it."""
    second = '0001:00:02.0'
    guest = Guest([vfio(0, 1)])
    guest.up(TWO_CARDS[0])
    guest.flood_on('stays', TWO_CARDS[0][0], 0)
    idle, busy = guest.locked(), None
    for n in range(times):
        guest.qmp('device_add', driver='spapr-pci-host-bridge', index=1,
                  id='phb1')
        guest.run('plug_phb 1')
        guest.plug('card1', second, 2, 1, cards()[1])
        guest.up((second, 1))
        guest.flood(second, 1)
        before, busy = busy, guest.locked()
        check(before in (None, busy), f'{before} kB locked, then {busy}')
        guest.events = []
        guest.qmp('device_del', id='phb1')
        guest.run(f'unplug_phb 1 {second}')
        guest.wait('the host bridge goes', lambda: guest.gone('phb1'), 60)
        now = guest.locked()
        check(now == idle, f'{idle} kB were locked at first, now {now}')
        guest.no_refusal()
        say(f'{n}: {busy} kB locked with it, {now} without')
    stayed = guest.flood_off('stays')
    guest.end()
    return f'{times} times, {idle} and {busy} kB locked; {stayed}'


HUGE_PATH = '/dev/hugepages'


def huge_memory(size, pages=1024 * MIB):
    """Words for QEMU that put the guest into huge pages."""
    folder = sorted(glob.glob('/sys/kernel/mm/hugepages/hugepages-*'),
                    key=lambda d: int(re.search(r'(\d+)kB', d).group(1)))
    folder = [d for d in folder if d.endswith(('-2048kB', '-16384kB'))]
    check(folder, 'no huge pages here')
    kib = int(re.search(r'(\d+)kB', folder[0]).group(1))
    if not os.path.ismount(HUGE_PATH):
        os.makedirs(HUGE_PATH, exist_ok=True)
        subprocess.run([f'{TESTS}/busybox', 'mount', '-t', 'hugetlbfs', '-o',
                        f'pagesize={kib}K', 'none', HUGE_PATH], check=True)
    write(folder[0] + '/nr_hugepages', str(pages // 1024 // kib))
    had = int(read(folder[0] + '/nr_hugepages')) * kib // 1024
    check(had >= pages // MIB, f'only {had} MiB of huge pages')
    return ['-mem-path', HUGE_PATH]


PAGE_MASKS = {'4k': 0x1000, '64k': 0x10000, '2m': 0x200000, '16m': 0x1000000}


def play_pages(_, huge=False):
    """Windows of all page sizes that QEMU offers to the guest."""
    said = []
    for name, mask in PAGE_MASKS.items():
        extra = ['-global', f'spapr-pci-host-bridge.pgsz={mask | 0x1000:#x}']
        if huge:
            extra += huge_memory('512M', 512 * MIB)
        guest = Guest([vfio(0, 1)], extra=extra)
        guest.up(TWO_CARDS[0])
        flood = guest.flood(TWO_CARDS[0][0], 0, 1, 9000)
        shift = int(guest.run('page_shift'), 16)
        check(1 << shift == mask, f'{name}: the window has 1 << {shift}')
        locked = guest.locked()
        guest.end()
        say(f'{name} pages: {locked} kB locked, {flood}')
        said.append(f'{name} {locked} kB')
    return ', '.join(said)


# By name, and how many times each does what it does unless told: NAME:TIMES.
def play_handback_disk(times):
    """The same of a disk, and both find what the other one wrote."""
    disk = [d for d in pci('0x0108') if not is_root(d)]
    check(disk, 'no disk to give away')
    bind(disk[0], '')
    seed = 1
    for n in range(times):
        for how in ('end', 'kill'):
            write_disk(disk[0], seed)
            bind(disk[0], 'vfio-pci')
            guest = Guest([f'vfio-pci,host={disk[0]},bus=pci.0,addr=1'])
            guest.run(f'$TOOL blocks /dev/nvme0n1 8 {seed} read', 120)
            guest.run(f'$TOOL blocks /dev/nvme0n1 8 {seed + 100}', 120)
            getattr(guest, how)()
            bind(disk[0], '')
            status, said = run_tool('blocks', disk_file(disk[0]), 8,
                                    seed + 100, 'read')
            check(status == 0, f'after {how}: {said}')
            seed += 10
    write_disk(disk[0], seed)
    return said


def disk_file(device):
    end = time.monotonic() + 30
    while True:
        found = glob.glob(f'{SYS_PCI}/{device}/nvme/nvme*/nvme*n1')
        if found and os.path.exists('/dev/' + os.path.basename(found[0])):
            return '/dev/' + os.path.basename(found[0])
        check(time.monotonic() < end, f'{device} is no disk')
        time.sleep(0.1)


def write_disk(device, seed):
    status, said = run_tool('blocks', disk_file(device), 8, seed)
    check(status == 0, said)


def is_root(device):
    """Is it the disk that this program came from?"""
    used = [l.split()[0] for l in read('/proc/mounts').split('\n')]
    return any('/dev/' + os.path.basename(d) in used for d in
               glob.glob(f'{SYS_PCI}/{device}/nvme/nvme*/nvme*n1'))


PLAYS = {
    'reset': (3, play_resets),
    'reset-no-ddw': (3, lambda n: play_resets(n, words='disable_ddw')),
    'reboot': (3, lambda n: play_resets(n, Guest.reboot)),
    'reboot-no-ddw': (3, lambda n: play_resets(n, Guest.reboot, 'disable_ddw')),
    'limit': (5, lambda n: play_limit(n, 1, 0x10000)),
    'limit-4k': (5, lambda n: play_limit(n, 1, 0x1000)),
    'limit-two-phbs': (5, lambda n: play_limit(n, 2, 0x10000)),
    'limit-two-phbs-4k': (5, lambda n: play_limit(n, 2, 0x1000)),
    'hotplug': (3, play_hotplug),
    'hotplug-two-phbs': (3, lambda n: play_hotplug(n, 1)),
    'phb': (2, play_phb),
    'dimm': (2, play_dimm),
    'dimm-huge': (2, lambda n: play_dimm(n, True)),
    'pages': (1, play_pages),
    'pages-huge': (1, lambda n: play_pages(n, True)),
    'emulated': (2, play_emulated),
    'handback': (1, play_handback),
    'handback-disk': (1, play_handback_disk),
    'ports': (1, play_testpmd),
    'legacy': (1, lambda n: play_testpmd(n, ['--legacy-mem', '-m', '256'])),
    'physical': (1, lambda n: play_testpmd(n, ['--iova-mode=pa'])),
    'high': (1, lambda n: play_testpmd(n, ['--base-virtaddr=0x7c0000000000'])),
    'external': (1, lambda n: play_testpmd(n, [], ['--mp-alloc=xmem'])),
    'external-huge': (1, lambda n: play_testpmd(n, [],
                                                ['--mp-alloc=xmemhuge'])),
    'detach': (3, play_detach),
    'secondary': (1, play_secondary),
}


def begin(word):
    name, _, times = word.partition(':')
    usual, function = PLAYS[name]
    return function(int(times or usual)) or ''


def play(name):
    start = time.monotonic()
    before = pinned()
    try:
        said = begin(name)
        after = pinned()
        check(after == before, f'{after - before} pages stay pinned')
        same, clocks = run_tool('clocks')
        check(same == 0, f'{clocks} (see CLOCK of client.py); {said}')
    except (Failed, OSError, subprocess.SubprocessError) as e:
        say(f'play FAILED {name}: {e}; {run_tool("clocks")[1]}')
        for client in list(Guest.alive | Testpmd.alive):
            client.kill()
        return False
    say(f'play ok {name}: {said}, {time.monotonic() - start:.0f} s')
    return True


def main():
    unknown = [n for n in sys.argv[1:] if n.split(':')[0] not in PLAYS]
    if unknown or not sys.argv[1:]:
        say(f'no play {" ".join(unknown)}; there are: {" ".join(PLAYS)}')
        return 2
    for card in cards():
        bind(card, 'vfio-pci')
    good = [play(n) for n in sys.argv[1:]]
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
