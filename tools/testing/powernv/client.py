#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs a real client of VFIO, as Debian builds it, on an emulated host.

qemu  a KVM guest with a passed-through network card takes a DHCP lease and
      pings its gateway; with the word nvme, qemu-img and qemu-io read and
      write a disk by QEMU's own driver
dpdk  testpmd sends packets through the same kind of card

With --plays they go through days of their lives instead, several on one host:
client_plays.py has the list.

The programs are unpacked from Debian's archive for ppc64el and kept in
build/client. The exit status is 0 when the card has worked and the kernel has
logged no trouble, host's or guest's; 1 when not, 2 when the programs cannot be
had here.
"""
import argparse
import contextlib
import fcntl
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import machine      # noqa: E402

# What of Debian's archive a client consists of; its kernel. With 64 KiB pages
# DPDK without huge pages fails: it registers memory in pieces of 4 KiB. With
# huge pages it runs where most run it.
PACKAGES = {
    'qemu': ['qemu-system-ppc', 'qemu-utils', 'busybox-static', 'python3'],
    'dpdk': ['dpdk', 'dpdk-dev', 'busybox-static', 'python3'],
}
KERNELS = {'qemu': 'k64', 'dpdk': 'k4'}
HUGE_PAGES = 'hugepages'
# These find /dev/iommu where a container's file should be, and use it by type1.
TYPE1 = 'type1'
NVME = 'nvme'
FOLDER = os.path.join(machine.BUILD, 'client')
TRIES = 4
# A card and a disk, each in an IOMMU group of its own.
DEVICES = ['-netdev', 'user,id=net0,guestfwd=tcp:10.0.2.100:7-cmd:cat',
           '-device', 'e1000e,netdev=net0,romfile=,bus=pcie.0',
           '-device', 'nvme,serial=1,drive=disk0,bus=pcie.1']
# Plays have a second card, whose group is another one, in a network of its own.
PLAY_DEVICES = ['-netdev', 'user,id=net1,net=10.0.3.0/24',
                '-device', 'e1000e,netdev=net1,romfile=,bus=pcie.2']
# And a second disk, to be given away, where there is a host bridge for it.
DISK_BYTES = 64 << 20
DISK_BUS = {'powernv9': 'pcie.3'}
# Where no play has its card there is room for one on each host. QEMU's driver
# finds these bytes, and writes others over a part of them.
NVME_BUS = 'pcie.2'
NVME_BYTES = 16 << 20
NVME_WRITES = (4096, b'\xa5' * (1 << 20))
# Time is counted in instructions, 4 ns each. Otherwise each CPU of an emulated
# host has a time base of its own: KVM writes its upper 40 bits as a guest is
# entered and left; when this computer is busy more than 33 ms pass meanwhile,
# and are lost. Then clocks of the host jump, and timers do not end.
CLOCK = 'shift=2'
# A guest that memory and host bridges are plugged into has a kernel for that.
GUEST_KERNEL = os.path.join(machine.BUILD, 'kguest', 'vmlinux')


class NotToBeHad(machine.Missing):
    """Nothing is wrong, but there is nothing to be run."""


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('client', choices=sorted(PACKAGES))
    p.add_argument('machine', nargs='?', default='powernv9',
                   choices=[m for m in sorted(machine.MACHINES)
                            if m.startswith('powernv')])
    p.add_argument('--kernel', default='', help='vmlinux, of host and guest')
    p.add_argument('--words', default='',
                   help="QEMU: words for the guest's kernel, as disable_ddw, "
                   f'or {NVME}; DPDK: {HUGE_PAGES}, to use some, {TYPE1}')
    p.add_argument('--plays', default='', help='names, comma separated')
    p.add_argument('--host-words', default='',
                   help="words for the host's kernel, as iommu=nobypass")
    p.add_argument('--clock', default=CLOCK, help='for QEMU, -icount')
    p.add_argument('--guest-kernel', default=GUEST_KERNEL)
    p.add_argument('--timeout', type=int, default=0)
    p.add_argument('--verbose', action='store_true')
    args = p.parse_args()
    args.plays = [n for n in args.plays.split(',') if n]
    args.timeout = args.timeout or (3600 if args.plays else 400)
    return args


# --- Debian's programs -------------------------------------------------------

def release():
    """The machine's own release, and the address that apt has for it."""
    with open('/etc/os-release', encoding='utf-8') as f:
        m = re.search(r'^VERSION_CODENAME=(\w+)', f.read(), re.M)
    name = m.group(1) if m else ''
    targets = subprocess.run(
        ['apt-get', 'indextargets', '--format',
         '$(CODENAME) $(COMPONENT) $(REPO_URI)', 'Created-By: Packages'],
        capture_output=True, text=True, check=True).stdout
    for line in targets.split('\n'):
        words = line.split()
        if words[:2] == [name, 'main']:
            return name, words[2]
    raise NotToBeHad(f'apt knows no address for {name or "this system"}')


def as_root():
    return [] if os.geteuid() == 0 else ['sudo', '-n']


def unpack(packages, folder):
    """Unpacks programs for ppc64el; nothing of them is run."""
    if not shutil.which('mmdebstrap'):
        raise NotToBeHad('mmdebstrap: run tools/testing/powernv/setup --client')
    name, address = release()
    words = as_root() + [
        'mmdebstrap', '--mode=root', '--arch=ppc64el', '--variant=extract',
        '--components=main',
        '--include=' + ','.join(packages), name, folder, address]
    for n in range(1, TRIES + 1):
        run = subprocess.run(words, capture_output=True, text=True,
                             check=False)
        if run.returncode == 0:
            return
        subprocess.run(as_root() + ['rm', '-rf', folder], check=True)
        if n < TRIES:
            print(f'mmdebstrap failed, once more in {n * 5} s', flush=True)
            time.sleep(n * 5)
    raise NotToBeHad('mmdebstrap: ' + run.stderr[-2000:])


def size_of(folder):
    total = 0
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            total += os.lstat(os.path.join(top, name)).st_size + 4096
    return total


def make_disk(folder, disk):
    """An ext4 file system with all of the folder, and some room."""
    kib = size_of(folder) * 5 // 4 // 1024 + 65536
    path = os.environ['PATH'] + ':/sbin:/usr/sbin'
    subprocess.run(as_root() + ['mke2fs', '-q', '-t', 'ext4', '-d', folder,
                                disk, f'{kib}k'],
                   check=True, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, PATH=path))


@contextlib.contextmanager
def locked(path):
    """Two runs of a client do not both unpack it."""
    with open(path, 'w', encoding='utf-8') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def disk_of(client):
    """Returns the client's disk and its busybox; made once."""
    os.makedirs(FOLDER, exist_ok=True)
    with locked(os.path.join(FOLDER, client + '.lock')):
        return make_disk_of(client)


def make_disk_of(client):
    packages = PACKAGES[client]
    disk = os.path.join(FOLDER, client + '.ext4')
    busybox = os.path.join(FOLDER, client + '.busybox')
    stamp = os.path.join(FOLDER, client + '.stamp')
    if os.path.exists(stamp):
        with open(stamp, encoding='utf-8') as f:
            if f.read().split() == packages:
                return disk, busybox
        os.remove(stamp)
    start = time.monotonic()
    print(f'unpacks {", ".join(packages)} for ppc64el', flush=True)
    folder = os.path.join(FOLDER, client + '.root')
    subprocess.run(as_root() + ['rm', '-rf', folder, disk], check=True)
    unpack(packages, folder)
    shutil.copy(os.path.join(folder, 'bin', 'busybox'), busybox)
    make_disk(folder, disk)
    subprocess.run(as_root() + ['rm', '-rf', folder], check=True)
    with open(stamp, 'w', encoding='utf-8') as f:
        f.write(' '.join(packages) + '\n')
    print(f'{os.path.relpath(disk)}: {time.monotonic() - start:.0f} s',
          flush=True)
    return disk, busybox


# --- the machine -------------------------------------------------------------

def copy_program(source, folder, name=''):
    target = os.path.join(folder, name or os.path.basename(source))
    shutil.copy(source, target)
    os.chmod(target, 0o755)


def make_guest(path, files):
    """A guest's initramfs: (name, source) of its programs."""
    with open(path, 'wb') as out:
        for d in ('bin', 'dev', 'proc', 'sys', 'tmp'):
            out.write(machine.cpio_entry(d, 0o40755))
        for name, source in files:
            with open(source, 'rb') as f:
                out.write(machine.cpio_entry(name, 0o100755, f.read()))
        out.write(machine.cpio_entry('TRAILER!!!', 0))
    os.chmod(path, 0o755)


def here(name):
    return os.path.join(machine.HERE, name)


def make_plays(args, busybox, folder):
    """The plays, and what their guests are."""
    copy_program(here('client_plays.py'), folder)
    tool = os.path.join(folder, 'client-traffic')
    subprocess.run([machine.CROSS + 'gcc', '-O2', '-Wall', '-Wextra', '-static',
                    '-o', tool, here('client-traffic.c')], check=True)
    make_guest(os.path.join(folder, 'plays.cpio'), [
        ('bin/busybox', busybox), ('bin/client-traffic', tool),
        ('init', here('client-commands.sh'))])
    if os.path.exists(args.guest_kernel):
        copy_program(args.guest_kernel, folder, 'guest')


def make_programs(args, kernel, busybox, folder):
    """What the machine finds in /tests."""
    copy_program(here('client-host.sh'), folder)
    copy_program(busybox, folder, 'busybox')
    if args.client == 'qemu' and args.words != NVME:
        copy_program(kernel, folder, 'vmlinux')
        make_guest(os.path.join(folder, 'guest.cpio'), [
            ('bin/busybox', busybox), ('init', here('client-guest.sh'))])
    if args.plays:
        make_plays(args, busybox, folder)


def label(args):
    words = args.words.split() + args.host_words.split() + args.plays
    return '-'.join([args.client, args.machine] + words)[:100]


def second_disk(args, file):
    bus = DISK_BUS.get(args.machine)
    if not bus:
        return []
    os.truncate(file.name, DISK_BYTES)
    return disk_on(bus, file)


def disk_on(bus, file):
    return ['-drive', f'if=none,id=disk1,file={file.name},format=raw',
            '-device', f'nvme,serial=2,drive=disk1,bus={bus}']


def fill(file):
    """Known contents; the sums of the disk as it is and as it will be."""
    data = bytearray(random.Random(1).randbytes(NVME_BYTES))
    file.write(data)
    file.flush()
    sums = [hashlib.sha256(data).hexdigest()]
    at, new = NVME_WRITES
    data[at:at + len(new)] = new
    return sums + [hashlib.sha256(data).hexdigest()]


def run(args):
    huge = HUGE_PAGES in args.words.split() or args.plays
    folder = 'k64' if huge else KERNELS[args.client]
    kernel = args.kernel or os.path.join(machine.BUILD, folder, 'vmlinux')
    if not os.path.exists(kernel):
        raise machine.Missing(f'no kernel {kernel}: run make kernel')
    disk, busybox = disk_of(args.client)
    drive = f'if=none,id=disk0,file={disk},format=raw,snapshot=on'
    extra = ['-drive', drive] + DEVICES
    words = f'{args.client} {args.words}'
    with tempfile.TemporaryDirectory(prefix='powernv-') as folder, \
            tempfile.NamedTemporaryFile(prefix='powernv-disk-') as second:
        if args.plays:
            extra += PLAY_DEVICES + second_disk(args, second)
            words = 'plays ' + ' '.join(args.plays)
        elif args.words == NVME:
            extra += disk_on(NVME_BUS, second)
            words = ' '.join([NVME] + fill(second))
        make_programs(args, kernel, busybox, folder)
        return machine.boot(machine.Spec(
            machine=args.machine, label=label(args),
            kernel=kernel, tests_dir=folder, smp=2, test_devices=False,
            clock=args.clock if args.plays else '',
            extra_qemu=extra, append=f'kunit.enable=0 {args.host_words}',
            demo='client-host.sh', args=words, test_timeout=900,
            timeout=args.timeout, verbose=args.verbose))


def main():
    args = arguments()
    start = time.monotonic()
    try:
        result = run(args)
    except NotToBeHad as e:
        return machine.main_error(e)
    except (machine.Missing, OSError, subprocess.SubprocessError) as e:
        machine.main_error(e)
        return 1
    for name in result.failed:
        print(f'FAILED {name}')
    good = not result.failed and result.status == 0
    print(f'{label(args)}: ' +
          ('works, nothing wrong in the kernel log' if good else 'FAILED') +
          f', {time.monotonic() - start:.0f} s')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
