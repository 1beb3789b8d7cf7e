#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the tools that test: the judge of consoles, what is run again and what
is not, the clients, and the composition.

A harness that overlooks a failure is worse than none, so each kind of failure
is planted here once. No kernel is built or booted; it takes a second or two.
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
import bench        # noqa: E402
import check        # noqa: E402
import client       # noqa: E402
import client_plays # noqa: E402
import compose      # noqa: E402
import figures      # noqa: E402
import gates        # noqa: E402
import ktap         # noqa: E402
import machine      # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, '../tce/litmus'))
import run as litmus  # noqa: E402


def find_tree():
    """Any kernel tree that holds the KTAP parser."""
    for name in ('linux', 'base'):
        tree = os.path.join(machine.BUILD, name)
        if os.path.exists(os.path.join(tree, 'tools/testing/kunit')):
            return tree
    return ''


TREE = find_tree()

BOOT = ['OPAL starting', 'WARNING: the firmware says so', 'Linux version 6.12']
HEAD = ['KTAP version 1', '1..1', '    # powernv-init: program prog',
        '    KTAP version 1', '    # Subtest: prog']
END = ['powernv-init: end']


def case(nr, name, word='ok', tail=''):
    return [f'    #  RUN           {name} ...', f'    {word} {nr} {name}{tail}']


def console(body, head=None, end=None):
    lines = BOOT + (HEAD if head is None else head) + body
    return '\r\n'.join(lines + (END if end is None else end)) + '\r\n'


@unittest.skipUnless(TREE, 'needs build/linux or build/base')
class Judge(unittest.TestCase):
    def judge(self, *args, **kw):
        return ktap.judge(console(*args, **kw), TREE)

    def two(self, **second):
        return (['    1..2'] + case(1, 'f.a') + case(2, 'f.b', **second))

    def test_good(self):
        r = self.judge(self.two() + ['ok 1 prog'])
        self.assertEqual((r.passed, r.failed), (['prog.f.a', 'prog.f.b'], []))
        self.assertTrue(r.good())

    def test_time_stamps(self):
        text = console(self.two() + ['ok 1 prog'])
        lines = [f'[{i:5}.000001] {l}' for i, l in enumerate(text.split('\n'))]
        r = ktap.judge('\n'.join(lines), TREE)
        self.assertEqual((len(r.passed), r.failed), (2, []))

    def test_failing_case(self):
        r = self.judge(self.two(word='not ok') + ['not ok 1 prog'])
        self.assertEqual(r.failed, ['prog.f.b'])
        self.assertEqual(r.passed, ['prog.f.a'])

    def test_what_a_failing_case_said(self):
        long = [f'    # {i}' for i in range(100)]
        body = ['    1..2'] + case(1, 'f.a') + case(2, 'f.b', word='not ok')
        body[-1:-1] = long
        r = self.judge(body + ['not ok 1 prog'])
        self.assertEqual(r.said, {'prog.f.b': long[-19:] + body[-1:]})
        spec = types.SimpleNamespace(name=lambda: 'boot', log='log')
        self.addCleanup(setattr, machine, 'BUILD', machine.BUILD)
        with tempfile.TemporaryDirectory() as machine.BUILD, \
                contextlib.redirect_stdout(io.StringIO()) as out:
            check.report([(spec, r, 1)])
        self.assertIn('FAILED boot: prog.f.b\n    # 81\n', out.getvalue())

    def test_skip_is_no_pass(self):
        r = self.judge(self.two(tail=' # SKIP no device') + ['ok 1 prog'])
        self.assertEqual(r.passed, ['prog.f.a'])
        self.assertEqual(len(r.skipped), 1)

    def test_only_skips_is_failure(self):
        r = self.judge(['    1..1'] + case(1, 'f.a', tail=' # SKIP x') +
                       ['ok 1 prog'])
        self.assertFalse(r.good())

    def test_program_without_cases_is_failure(self):
        r = self.judge(['ok 1 prog'], head=['KTAP version 1', '1..1',
                       '    # powernv-init: program prog', '    # hello'])
        self.assertEqual((r.passed, r.failed), ([], ['prog: ran no test']))

    def test_program_that_lists_nothing_is_failure(self):
        head = ['KTAP version 1', '1..2'] + HEAD[2:]
        r = self.judge(self.two() + [
            'ok 1 prog', '    # powernv-init: program other',
            'not ok 2 other # does not list its cases'], head=head)
        self.assertEqual((len(r.passed), r.failed), (2, ['other']))

    def test_plan_not_met(self):
        r = self.judge(['    1..3'] + case(1, 'f.a') + case(2, 'f.b') +
                       ['ok 1 prog'])
        self.assertFalse(r.good())

    def test_outer_plan_not_met(self):
        head = ['KTAP version 1', '1..2'] + HEAD[2:]
        r = self.judge(self.two() + ['ok 1 prog'], head=head)
        self.assertFalse(r.good())

    def test_no_outer_plan(self):
        head = ['KTAP version 1'] + HEAD[2:]
        r = self.judge(self.two() + ['ok 1 prog'], head=head)
        self.assertFalse(r.good())

    def test_program_dies_in_a_case(self):
        r = self.judge(['    1..2'] + case(1, 'f.a') +
                       ['    #  RUN           f.b ...',
                        'not ok 1 prog # killed by signal 11'])
        self.assertIn('prog.f.b: no result', r.failed)
        self.assertEqual(r.lost, [('prog', 'f.b')])

    def test_program_fails_after_its_cases(self):
        r = self.judge(self.two() + ['not ok 1 prog # exit status 3'])
        self.assertEqual(r.failed, ['prog: failed as a whole'])

    def test_no_end_marker(self):
        r = self.judge(self.two() + ['ok 1 prog'], end=[])
        self.assertFalse(r.good())
        self.assertIn('no end marker', r.failed[0])

    def test_nothing_ran(self):
        r = self.judge([], head=[])
        self.assertFalse(r.good())

    def test_kernel_never_started(self):
        r = ktap.judge('OPAL starting\n', TREE)
        self.assertFalse(r.good())

    def test_trouble(self):
        for line in ('WARNING: CPU: 1 PID: 77 at mm/slub.c:1 f+0x0/0x1',
                     'BUG: Kernel NULL pointer dereference on read at 0x0',
                     'kernel BUG at mm/slab.c:12!', 'Oops: Kernel access',
                     'Kernel panic - not syncing: x',
                     'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!',
                     'rcu: INFO: rcu_sched detected stalls on CPUs/tasks:',
                     'rcu: INFO: rcu_sched self-detected stall on CPU',
                     'WARNING: possible recursive locking detected',
                     'WARNING: possible circular locking dependency detected',
                     'UBSAN: shift-out-of-bounds in x.c:1:2',
                     'BUG: KASAN: slab-use-after-free in f', 'Call Trace:',
                     'INFO: task x:1 blocked for more than 120 seconds.',
                     'kmemleak: 3 new suspected memory leaks (see ...)',
                     'unreferenced object 0xc000000012345678 (size 96):',
                     'Kernel memory leak detector disabled',
                     'BUG: KASAN: slab-out-of-bounds in f+0x1/0x2',
                     'BUG: KCSAN: data-race in f / g',
                     'BUG: KFENCE: use-after-free read in f+0x1/0x2',
                     'UBSAN: array-index-out-of-bounds in x.c:3:4',
                     'BUG kmalloc-64 (Not tainted): Poison overwritten',
                     'FIX kmalloc-64: Restoring 0x1-0x2=0x6b',
                     'pagealloc: memory corruption',
                     'ODEBUG: free active (active state 0) object: 1 object '
                     'type: rcu_head hint: 0x0', 'WARNING: bad unlock balance '
                     'detected!', 'WARNING: inconsistent lock state',
                     'WARNING: suspicious RCU usage',
                     'WARNING: lock held when returning to user space!',
                     'INFO: trying to register non-static key.',
                     'INFO: lockdep is turned off.',
                     'turning off the locking correctness validator.',
                     '[ BUG: Invalid wait context ]',
                     'BUG: MAX_LOCKDEP_CHAINS too low!',
                     'BUG: sleeping function called from invalid context at x',
                     'BUG: scheduling while atomic: x/1/0x2',
                     'BUG: using smp_processor_id() in preemptible [0] code',
                     'list_del corruption. prev->next should be x, but was y',
                     '** 12 printk messages dropped **'):
            r = self.judge(['    1..2'] + case(1, 'f.a') + [line] +
                           case(2, 'f.b') + ['ok 1 prog'])
            self.assertEqual(len(r.failed), 1, line)
            self.assertIn(line, r.failed[0])

    def test_checkers_may_introduce_themselves(self):
        r = self.judge(self.two() + [
            'KASAN init done', '... MAX_LOCKDEP_SUBCLASSES:  8',
            'KASAN not enabled as it requires radix!',
            'kfence: initialized - using 33554432 bytes for 255 objects',
            'rcu: \tRCU callback double-/use-after-free debug is enabled.',
            'kcsan: enabled early', 'ok 1 prog'])
        self.assertEqual(r.failed, [])

    def test_known_report_hides_nothing_else(self):
        bug = 'BUG: using smp_processor_id() in preemptible [0] code: swapper/0'
        known = [bug, 'caller is set_subcores_per_core+0x14c/0x218',
                 'Call Trace:', 'f+0x1']
        r = self.judge(known + self.two() + ['ok 1 prog'])
        self.assertEqual(r.failed, [])
        r = self.judge(known + ['WARNING: CPU: 1 PID: 1 at x'] + self.two() +
                       ['ok 1 prog'])
        self.assertEqual(len(r.failed), 1)
        r = self.judge([bug, 'caller is tce_map+0x1/0x2', 'Call Trace:'] +
                       self.two() + ['ok 1 prog'])
        self.assertEqual(len(r.failed), 1)

    def test_failed_vmalloc_is_wanted(self):
        for program, failed in (('spapr_fail_nth', 0), ('spapr_map', 1)):
            r = self.judge([f'{program}: vmalloc error: size 8192, vm_struct',
                            'CPU: 0 UID: 0 PID: 49 Comm: x', 'Call Trace:',
                            'f+0x1'] + self.two() + ['ok 1 prog'])
            self.assertEqual(len(r.failed), failed)

    def test_limit_of_a_cgroup_is_wanted(self):
        for program, ending, failed in (
                ('spapr_oom', 'Memory cgroup out of memory: Killed process', 0),
                ('spapr_oom', 'Out of memory: Killed process', 1),
                ('spapr_map', 'Memory cgroup out of memory: Killed process',
                 1)):
            r = self.judge([f'{program} invoked oom-killer: gfp_mask=0xcc0',
                            'CPU: 0 UID: 0 PID: 49 Comm: x', 'Call Trace:',
                            f'{ending} 49 (x)'] + self.two() + ['ok 1 prog'])
            self.assertEqual(len(r.failed), failed)

    def test_leak_fails_its_program(self):
        r = self.judge(self.two() + [
            'kmemleak: 1 new suspected memory leaks (see ...)',
            'unreferenced object 0xc000000012345678 (size 96):',
            '  comm "prog", pid 77, jiffies 4294937296',
            '  hex dump (first 32 bytes):',
            '    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ..........',
            'not ok 1 prog # memory is lost'])
        self.assertEqual(len(r.failed), 2)
        self.assertIn('prog: failed as a whole', r.failed)
        self.assertEqual(len(r.passed), 2)

    def test_one_report_counts_once(self):
        r = self.judge(self.two() + ['WARNING: CPU: 1 PID: 1 at x', 'NIP: 0',
                                     'Call Trace:', 'f+0x1', 'ok 1 prog'])
        self.assertEqual(len(r.failed), 1)

    def test_tests_may_quote_trouble(self):
        r = self.judge(['    # no WARNING: or BUG: so far'] + self.two() +
                       ['ok 1 prog'])
        self.assertTrue(r.good())

    def test_kunit_document_counts(self):
        kunit = ['KTAP version 1', '1..1', '    KTAP version 1',
                 '    # Subtest: suite', '    1..2', '    ok 1 one',
                 '    not ok 2 two', 'not ok 1 suite']
        r = self.judge(self.two() + ['ok 1 prog'], head=kunit + HEAD)
        self.assertEqual(r.failed, ['suite.two'])
        self.assertEqual(len(r.passed), 3)


    def test_lost_suite_is_failure(self):
        kunit = ['KTAP version 1', '1..1', '    KTAP version 1',
                 '    # Subtest: suite', '    1..1', '    ok 1 one',
                 'ok 1 suite']
        text = console(self.two() + ['ok 1 prog'], head=kunit + HEAD)
        none = console(self.two() + ['ok 1 prog'],
                       head=['KTAP version 1', '1..0'] + HEAD)
        for suites, console_text, failed in (
                (['suite'], text, 0), (['suite', 'sui'], text, 1),
                (['suite'], none, 1), ([], none, 0)):
            r = ktap.judge(console_text, TREE, suites=suites)
            self.assertEqual(len(r.failed), failed, r.failed)


class Nowhere(unittest.TestCase):
    """Boots whose results are known, and what is said of their skips."""

    def failed(self, *boots, whole=True):
        done = [(machine.Spec(label=str(i), log='x'), ktap.Result(**b), 1)
                for i, b in enumerate(boots)]
        done.append((check.Client('qemu', 'powernv8', ''),
                     ktap.Result(skipped=['no mmdebstrap']), 1))
        with tempfile.TemporaryDirectory() as folder:
            old, machine.BUILD = machine.BUILD, folder
            try:
                return check.report(done, whole=whole).failed
            finally:
                machine.BUILD = old

    def test_skipped_everywhere(self):
        skips = {'passed': ['p.a'], 'skipped': ['p.b']}
        self.assertEqual(self.failed(skips, skips), ['p.b: ran nowhere'])
        self.assertEqual(self.failed(skips, {'passed': ['p.b']}), [])
        self.assertEqual(len(self.failed(skips, {'failed': ['p.b']})), 1)

    def test_only_in_a_whole_run(self):
        skips = {'passed': ['p.a'], 'skipped': ['p.b']}
        self.assertEqual(self.failed(skips, whole=False), [])

    def test_what_cannot_run(self):
        name = 'kvm_tce.tce.pr_no_table.list_with_unregistered_end'
        self.assertEqual(self.failed({'skipped': [name]}), [])


class Choice(unittest.TestCase):
    """What a machine's own choice of cases has to find."""

    def missing(self, *names, filters=None):
        chosen = check.CASES['pseries8']
        spec = machine.Spec(machine='pseries8', filters=filters or chosen)
        result = ktap.Result(done=[('kvm_tce', n) for n in names])
        return len(check.never_met(spec, result))

    def test_each_glob_finds_some(self):
        self.assertEqual(self.missing('create.a', 'tce.pr.b', 'tce.pr_c.d'), 0)
        self.assertEqual(self.missing('create.a', 'tce.pr.b'), 1)
        self.assertEqual(self.missing(), len(check.CASES['pseries8']))

    def test_the_callers_is_the_callers(self):
        self.assertEqual(self.missing('create.a', filters=['create.a']), 0)


class Expected(unittest.TestCase):
    """What boots of check must not be without."""

    def spec(self, name, kernel, **chosen):
        args = dict(base=False, fixes=False, tests='', filter='', timeout=1,
                    verbose=False)
        return check.make_spec(types.SimpleNamespace(**dict(args, **chosen)),
                               name, kernel)

    def test_needs(self):
        plan = machine.plan_text(self.spec('powernv8', 'debug'), ['p'])
        for need in ('devices 2', '/dev/kvm', '/proc/self/fail-nth',
                     check.DEBUGFS + '/check'):
            self.assertIn(f'need {need}\n', plan)
        plan = machine.plan_text(self.spec('pseries', '64k'), ['p'])
        self.assertNotIn('/dev/kvm', plan)
        self.assertNotIn('/check', plan)

    def test_big_endian(self):
        little, big = (self.spec('powernv8', k).tests_dir
                       for k in ('64k', '64k-be'))
        self.assertEqual(big, little + '-be')

    def test_byte_order_of_a_kernel(self):
        for byte, big in ((b'\1', False), (b'\2', True), (b'', False)):
            with tempfile.NamedTemporaryFile() as f:
                f.write(b'\x7fELF\2' + byte)
                f.flush()
                self.assertEqual(machine.is_big_endian(f.name), big)

    def test_suites(self):
        self.assertNotIn('tce_check', self.spec('powernv8', '64k').suites)
        self.assertIn('tce_check', self.spec('powernv8', '4k').suites)
        for chosen in ('tests', 'filter', 'base', 'fixes'):
            spec = self.spec('powernv8', '4k', **{chosen: 'x'})
            self.assertEqual(spec.suites, [])


class Fixed(unittest.TestCase):
    """What the base with the fixes alone has to pass."""

    def test_list(self):
        args = types.SimpleNamespace(tests='', filter='')
        with tempfile.NamedTemporaryFile('w', suffix='.list') as f:
            f.write('# why\nprog a.*   # what\n\nprog b.c\nother d\n')
            f.flush()
            check.read_fixed(f.name, args)
        self.assertEqual(args.tests, 'prog,other')
        self.assertEqual(args.filter, 'a.*,b.c,d')

    def test_each_is_named_by_a_fix(self):
        """And each fix names some, or says that it was found by reading."""
        folder = os.path.dirname(check.FIXED)
        text = {}
        for name in os.listdir(folder):
            if name.endswith('.patch'):
                with open(os.path.join(folder, name), encoding='utf-8') as f:
                    text[name] = f.read().split('\n---\n')[0]
        with open(check.FIXED, encoding='utf-8') as f:
            pairs = [l.split('#')[0].split() for l in f]
        for program, glob in [p for p in pairs if p]:
            self.assertTrue(any(program in t and glob in t
                                for t in text.values()), (program, glob))
        for name, words in text.items():
            self.assertRegex(' '.join(words.split()),
                             'without this|ound by reading', name)


class Resume(unittest.TestCase):
    def left(self, **kw):
        return machine.unfinished(['a', 'b', 'c'], ktap.Result(**kw))

    def test_complete(self):
        self.assertEqual(self.left(marker='end', program='c'), [])

    def test_crash_in_a_case(self):
        self.assertEqual(self.left(program='b', lost=[('b', 'x')]), ['b', 'c'])

    def test_hang_that_was_killed(self):
        self.assertEqual(self.left(marker='end', program='c',
                                   lost=[('a', 'x')]), ['a'])

    def test_no_progress(self):
        self.assertEqual(self.left(program='b'), ['c'])


def write_program(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\n' + text)
    os.chmod(path, 0o755)


@unittest.skipUnless(TREE, 'needs build/linux or build/base')
class LostConsole(unittest.TestCase):
    """Boots of a QEMU that only prints: what it prints the 1st, 2nd... time."""

    FIRMWARE = 'OPAL starting\n'
    STARTS = FIRMWARE + 'INIT: Starting kernel at 0x20010000\n'
    GOOD = STARTS + console(['    1..1'] + case(1, 'f.a') + ['ok 1 prog'])

    def boots(self, *texts, status=0, ends=()):
        """ends: how the boots end, in the shell's words, but for the last."""
        with tempfile.TemporaryDirectory() as folder:
            for i, text in enumerate(texts):
                with open(f'{folder}/{i}', 'w', encoding='utf-8') as f:
                    f.write(text)
            write_program(f'{folder}/prog', '')
            write_program(f'{folder}/qemu', f'''cd {folder}
n=$(cat count 2>/dev/null || echo 0)
echo $((n + 1)) >count
cat $n
case $n in
{"".join(f"{i}) {end};;" for i, end in enumerate(ends))}
esac
exit {status}
''')
            qemu, machine.QEMU = machine.QEMU, f'{folder}/qemu'
            os.mkdir(f'{folder}/tests')
            write_program(f'{folder}/tests/prog', '')
            try:
                result = machine.boot(machine.Spec(
                    machine='powernv8',
                    kernel=f'{folder}/prog', tests_dir=f'{folder}/tests',
                    tree=TREE, log=f'{folder}/log'))
            finally:
                machine.QEMU = qemu
            with open(f'{folder}/count', encoding='utf-8') as f:
                return result, int(f.read())

    def test_good(self):
        result, boots = self.boots(self.GOOD)
        self.assertEqual((result.good(), boots), (True, 1))

    def test_lost_once_and_twice(self):
        result, boots = self.boots(self.FIRMWARE, self.GOOD)
        self.assertEqual((result.good(), boots), (True, 2))
        result, boots = self.boots(self.FIRMWARE, '', self.GOOD)
        self.assertEqual((result.good(), boots), (True, 3))

    def test_always_lost(self):
        result, boots = self.boots(*[self.FIRMWARE] * 9)
        self.assertEqual((result.good(), boots), (False, machine.BOOTS))

    def test_kernel_is_silent(self):
        result, boots = self.boots(self.STARTS, self.GOOD)
        self.assertEqual((result.good(), boots), (False, 1))

    def test_kernel_fails(self):
        for text in (self.STARTS + 'Linux version 6.12\nOops: x\n',
                     'Linux version 6.12\n'):
            result, boots = self.boots(text, self.GOOD)
            self.assertEqual((result.good(), boots), (False, 1))

    def test_qemu_fails(self):
        result, boots = self.boots(self.FIRMWARE, self.GOOD, status=1)
        self.assertEqual((result.good(), boots), (False, 1))

    BEGUN = STARTS + console(['    1..2'] + case(1, 'f.a') + case(2, 'f.b')[:1],
                             end=[])

    def test_emulator_crashes_once(self):
        for text in (self.BEGUN, self.FIRMWARE, self.GOOD):
            result, boots = self.boots(text, self.GOOD, ends=['kill -SEGV $$'])
            self.assertEqual((result.failed, boots), ([], 2), text)

    def test_emulator_crashes_twice(self):
        result, boots = self.boots(self.BEGUN, self.BEGUN, self.GOOD,
                                   ends=['kill -SEGV $$', 'kill -BUS $$'])
        self.assertEqual((result.good(), boots), (False, 2))
        self.assertIn('prog.f.b: no result', result.failed)

    def test_emulator_crashes_after_a_failure(self):
        """Another boot may not hide what this one has found."""
        for said in (case(1, 'f.a', 'not ok'),
                     case(1, 'f.a') + ['[    1.0] Oops: x']):
            text = self.STARTS + console(
                ['    1..2'] + said + case(2, 'f.b')[:1], end=[])
            result, boots = self.boots(text, self.GOOD, ends=['kill -SEGV $$'])
            self.assertEqual((result.good(), boots), (False, 1), said)

    def test_emulator_is_ended(self):
        for end in ('kill -ABRT $$', 'kill -KILL $$', 'exit 139'):
            result, boots = self.boots(self.BEGUN, self.GOOD, ends=[end])
            self.assertEqual((result.good(), boots), (False, 1), end)


class Clients(unittest.TestCase):
    """Clients of which is known how they end."""

    def ends(self, status, text):
        with tempfile.TemporaryDirectory() as folder:
            write_program(f'{folder}/client',
                          f'echo "$*"\necho {text}\nexit {status}\n')
            old = check.CLIENT, machine.BUILD
            check.CLIENT, machine.BUILD = f'{folder}/client', folder
            try:
                run = check.Client('qemu', 'powernv8', 'disable_ddw')
                done = [check.one(types.SimpleNamespace(
                    base=False, fixes=False), run)]
                total = check.report(done)
                with open(run.log, encoding='utf-8') as f:
                    said = f.read().split('\n')[0]
                with open(f'{folder}/results.json', encoding='utf-8') as f:
                    saved = json.load(f)['client qemu powernv8 disable_ddw']
            finally:
                check.CLIENT, machine.BUILD = old
        self.assertEqual(said, 'qemu powernv8 --words disable_ddw')
        for word in ('passed', 'failed', 'skipped'):
            self.assertEqual(len(saved[word]), len(getattr(total, word)))
        return total

    def test_works(self):
        total = self.ends(0, 'works')
        self.assertEqual(total.summary(), '1 passed, 0 failed')

    def test_fails(self):
        for status in (1, 3, 127):
            total = self.ends(status, 'FAILED no lease seen')
            self.assertEqual(total.summary(), '0 passed, 1 failed')
            self.assertIn('no lease seen', total.failed[0])

    def test_says_why(self):
        total = self.ends(1, '"no lease seen\nFAILED, 33 s"')
        self.assertIn('no lease seen', total.failed[0])

    def test_clock(self):
        """A host may start its client in the first second, at 0.98."""
        with tempfile.NamedTemporaryFile('w+') as uptime:
            for up, hundredths in (('0.08', 8), ('0.98', 98), ('7.09', 709),
                                   ('12.00', 1200)):
                uptime.truncate(0)
                uptime.seek(0)
                print(up, '1.50', file=uptime, flush=True)
                run = subprocess.run(
                    ['sh', '-c', "eval \"$(sed -n '/^clock()/,/^}/p;"
                     "/^seconds()/,/^}/p' $0)\"\nUPTIME=$1\nclock t\n"
                     'echo "$t"\nseconds since 0 $t',
                     machine.HERE + '/client-host.sh', uptime.name],
                    text=True, capture_output=True, check=False)
                seconds = f'since {hundredths / 100:.2f} s'
                self.assertEqual(run.stdout, f'{hundredths}\n{seconds}\n',
                                 run.stderr)

    def test_cannot_be_run(self):
        total = self.ends(2, 'error: no mmdebstrap')
        self.assertEqual(total.summary(), '0 passed, 0 failed')
        self.assertIn('no mmdebstrap', total.skipped[0])
        self.assertFalse(total.good())

    def test_plays(self):
        run = check.Client('qemu', 'powernv9', '', 'one,two', 'quiet')
        self.assertEqual(run.words, ['qemu', 'powernv9', '--plays', 'one,two',
                                     '--host-words', 'quiet'])
        one, two = 'play ok one: 3 times, 1 s', 'play ok two: , 1 s'
        bad = 'play FAILED two: not in 60 s: a card goes'
        for status, lines, passed, failed in (
                (0, [one, two], ['works', 'one', 'two'], 0),
                (0, [one], ['one'], 1), (0, [one, bad], ['one'], 1),
                (1, [one, bad], ['one'], 1), (1, [one, two], ['one', 'two'], 1),
                (1, [], [], 2)):
            result = run.judge(status, lines)
            self.assertEqual(result.passed, passed)
            self.assertEqual(len(result.failed), failed)

    def test_plays_are_known(self):
        named = {n.split(':')[0] for _, _, _, names in check.PLAYS + check.LONG_PLAYS
                 for n in names.split(',')}
        self.assertLessEqual(named, set(client_plays.PLAYS))

    def test_only_in_a_whole_run(self):
        setup, check.SETUP = check.SETUP, 'true'
        self.addCleanup(setattr, check, 'SETUP', setup)
        none = {'base': False, 'fixes': False, 'machine': '', 'kernels': '',
                'tests': '', 'filter': '', 'judges': False, 'long': False}
        found = check.clients(types.SimpleNamespace(**none))
        self.assertEqual(len(found), len(check.CLIENTS + check.PLAYS))
        long = check.clients(types.SimpleNamespace(**dict(none, long=True)))
        self.assertEqual(len(long), len(check.CLIENTS + check.LONG_CLIENTS +
                                        check.LONG_PLAYS))
        del none['long']
        for name in none:
            args = types.SimpleNamespace(**dict(none, **{name: 'x'}))
            self.assertEqual(check.clients(args), [])

    def test_only_what_cannot_be_had_is_a_skip(self):
        def raises(error):
            def run(_):
                raise error
            return run

        self.addCleanup(setattr, client, 'run', client.run)
        self.addCleanup(setattr, sys, 'argv', sys.argv)
        sys.argv = ['client', 'qemu']
        for error, status in ((client.NotToBeHad('no mmdebstrap'), 2),
                              (machine.Missing('no kernel'), 1),
                              (OSError('no space'), 1),
                              (subprocess.TimeoutExpired('qemu', 1), 1)):
            client.run = raises(error)
            with contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(client.main(), status, error)

    def guest(self, *lines):
        """What the host makes of these lines of QEMU's output."""
        run = subprocess.run(
            ['bash', '-c', 'eval "$(sed "/^.tests.busybox --install/,\\$d" '
             f'{HERE}/client-host.sh)"; log() {{ :; }}; '
             'show_counters() { :; }; watch_guest'],
            input=''.join(l + '\n' for l in lines), text=True, check=False,
            stdout=subprocess.PIPE)
        return run.returncode, run.stdout

    def test_guest(self):
        good = ['client: lease 10.0.2.15', 'client: pings answered',
                'client: end', 'client-status 0']
        self.assertEqual(self.guest(*good), (0, ''))
        for i, said in enumerate(['no lease', 'no answer', 'its end']):
            status, text = self.guest(*good[:i], *good[i + 1:])
            self.assertEqual(status, 1)
            self.assertIn(said, text)
        status, text = self.guest(*good[:3], 'client-status 139')
        self.assertEqual(status, 1)
        self.assertIn('139', text)

    def test_words_are_understood(self):
        """What the client does not understand would look like a skip."""
        argv = sys.argv
        self.addCleanup(setattr, sys, 'argv', argv)
        for words in check.CLIENTS + check.LONG_CLIENTS:
            sys.argv = ['client'] + check.Client(*words).words
            self.assertEqual(client.arguments().machine, words[1])


class Judges(unittest.TestCase):
    """The selftests of another kernel, which may not be had."""

    def specs(self, status=0, **words):
        self.addCleanup(setattr, check, 'JUDGES', check.JUDGES)
        with tempfile.TemporaryDirectory() as folder:
            check.JUDGES = f'{folder}/judges'
            write_program(check.JUDGES, f'exit {status}\n')
            args = {'base': False, 'fixes': False, 'machine': '', 'filter': '',
                    'kernels': '', 'tests': '', 'judges': False, 'long': False,
                    'timeout': 9, 'verbose': False}
            return check.judges(types.SimpleNamespace(**dict(args, **words)))

    def test_boots(self):
        self.assertEqual(len(self.specs()), len(check.JUDGED))
        self.assertEqual(len(self.specs(long=True)),
                         len(check.JUDGED + check.LONG_JUDGED))
        self.assertEqual(self.specs(machine='powernv8'), [])
        self.assertEqual([s.name() for s in self.specs(
            judges=True, machine='powernv8', kernels='64k')],
            ['powernv8-64k-judges'])

    def test_short_on_small_pages(self):
        for long in (False, True):
            for spec in self.specs(long=long):
                slow = 'vfio_pci_driver_test:edu' in spec.tests
                self.assertEqual(slow, long or '-4k-' not in spec.name())

    def test_not_there(self):
        for status, skipped in ((2, 1), (1, 0)):
            spec, = self.specs(status)
            _, result, _ = check.one(None, spec)
            self.assertEqual(len(result.skipped), skipped)
            self.assertEqual(len(result.failed), 1 - skipped)

    def test_plan(self):
        spec = self.specs()[0]
        lines = machine.plan_text(spec, spec.tests).split('\n')
        self.assertIn('device nvme 1b36:0010', lines)
        self.assertIn('need devices 4', lines)
        self.assertIn('program vfio_pci_driver_test:edu 180', lines)

    @unittest.skipUnless(TREE, 'needs build/linux or build/base')
    def test_whole_program_skips(self):
        head = ['KTAP version 1', '1..2'] + HEAD[2:]
        result = ktap.judge(console(
            ['    1..1'] + case(1, 'f.a') + ['ok 1 prog'] +
            ['    # powernv-init: program q:edu', 'ok 2 q:edu # SKIP'],
            head=head), TREE)
        self.assertEqual((result.failed, result.skipped), ([], ['q:edu']))
        self.assertEqual(result.passed, ['prog.f.a'])


class LastLine(unittest.TestCase):
    """What .ci/run makes of what make prints and returns."""

    def last(self, text, status):
        with tempfile.TemporaryDirectory() as folder:
            write_program(f'{folder}/make', f'{text}\nexit {status}\n')
            run = subprocess.run(
                [os.path.join(machine.TOP, '.ci', 'run')], check=False,
                env=dict(os.environ, PATH=f'{folder}:{os.environ["PATH"]}'),
                capture_output=True, text=True)
        return run.stdout.split('\n')[-2], run.returncode

    def test_last_line(self):
        for text, status, last in (
                ('echo 9 passed, 0 failed', 0, ('9 passed, 0 failed', 0)),
                ('echo 9 passed, 0 failed; echo Traceback', 1,
                 ('0 passed, 1 failed', 1)),
                ('echo 9 passed, 2 failed', 1, ('9 passed, 2 failed', 1)),
                ('echo 9 passed, 2 failed', 0, ('9 passed, 2 failed', 1)),
                ('echo 0 passed, 0 failed', 0, ('0 passed, 0 failed', 1)),
                ('echo error', 2, ('0 passed, 1 failed', 1))):
            with self.subTest(text):
                self.assertEqual(self.last(text, status), last)

    def test_broken_tool_is_a_failure(self):
        def breaks(_):
            raise subprocess.CalledProcessError(1, 'fdtput')

        self.addCleanup(setattr, machine, 'boot', machine.boot)
        machine.boot = breaks
        _, result, _ = check.one(types.SimpleNamespace(base=False, fixes=False),
                                 machine.Spec())
        self.assertIn('fdtput', result.failed[0])


MAIL = 'Subject: one\n\nText.\n'
DIFF = ('diff --git a/f.c b/f.c\n--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n'
        ' int a;\n-int b;\n+int B;\n int c;\n')


class Gates(unittest.TestCase):
    """Results of the static gates, and what counts as a finding."""

    def results(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'gates.txt')
            if text is not None:
                with open(path, 'w', encoding='utf-8') as f:
                    f.write(text)
            return check.read_results(path)

    def test_both_count(self):
        r = self.results('ok sparse\nnot ok fuzz\n')
        self.assertEqual((r.passed, r.failed), (['sparse'], ['fuzz']))

    def test_skipped(self):
        r = self.results('ok a\nok b # SKIP no herd7\n')
        self.assertEqual((r.passed, r.skipped), (['a'], ['b # SKIP no herd7']))

    def test_prover(self):
        """Each line is a result; what failed without one is one."""
        for text, command, want in (
                ('echo ok a; echo not ok b', ['p'],
                 {'t-a': [], 't-b': ['see above']}),
                ('echo ok a; echo not ok b', None,
                 {'t-a # SKIP no p': [], 't-b': ['see above']}),
                ('echo ok a; echo oops; exit 1', ['p'],
                 {'t-a': [], 't': ['ok a', 'oops']})):
            with self.subTest(text), contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(gates.prover_gate(
                    't', 'p', command, ['sh', '-c', text, 'sh'], []), want)

    def litmus(self, comment, body):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'f.litmus')
            with open(path, 'w', encoding='utf-8') as f:
                f.write(f'C f\n\n(*\n{comment} *)\n\n{{}}\n\n'
                        f'P0(int *x)\n{{\n{body}\n}}\n\nexists (x=1)\n')
            return litmus.Test(path)

    def test_litmus_source(self):
        """A test parts from its function, and from what it says itself."""
        good = ' * P0: f() in f.c: (READ_ONCE),\n *     smp_mb\n'
        source = 'static int\nf(int *x)\n{\n\tREAD_ONCE(*x);%s\n}\n'
        for comment, body, more, bad in (
                (good, 'smp_mb();', 'mb();', 1), (good, 'smp_mb();', '', 1),
                (good, 'smp_mb();', 'smp_mb();', 0),
                (good, 'smp_mb();', '/* mb(); */ smp_mb();', 0),
                (good, '', 'smp_mb();', 1),
                (good, 'smp_mb(); spin_lock(x);', 'smp_mb();', 1),
                (good.replace('f()', 'g()'), 'smp_mb();', 'smp_mb();', 1),
                ('', 'smp_mb();', 'smp_mb();', 1)):
            with self.subTest((comment, body, more)), \
                    tempfile.TemporaryDirectory() as tree:
                with open(tree + '/f.c', 'w', encoding='utf-8') as f:
                    f.write(source % more)
                self.assertEqual(len(list(litmus.compare(
                    tree, self.litmus(comment, body)))), bad)

    def test_litmus_fault(self):
        body = '\tif (*x)\n\t\tsmp_mb();\n\tr0 = *x;\n\tsmp_mb();\n'
        test = self.litmus('', body)
        for fault, want in (
                ('P0 smp_mb() #1 -> none', '\t\n\tr0 = *x;\n\tsmp_mb();\n'),
                ('P0 smp_mb() #2 -> smp_wmb() and P0 r0 = *x -> r0 = 1',
                 '\tif (*x)\n\t\tsmp_mb();\n\tr0 = 1;\n\tsmp_wmb();\n')):
            with self.subTest(fault):
                self.assertIn('{\n' + want, test.with_fault(fault))
        with self.assertRaises(ValueError):
            test.with_fault('P0 smp_mb() -> none')

    def test_none_is_a_failure(self):
        self.assertFalse(self.results(None).good())
        self.assertFalse(self.results('').good())

    def test_findings(self):
        text = ('/x/build/linux/arch/powerpc/kernel/iommu.c:7:3: warning: w\n'
                '../drivers/vfio/container.c:9: error: e\n'
                '  CC      drivers/vfio/container.o\n'
                'arch/powerpc/kvm/../../../virt/kvm/vfio.c:1:1: warning: v\n')
        self.assertEqual([f[:2] for f in gates.findings(text)],
                         [('arch/powerpc/kernel/iommu.c', 7),
                          ('drivers/vfio/container.c', 9),
                          ('virt/kvm/vfio.c', 1)])

    def test_undocumented(self):
        doc = '/**\n * f - g\n * Context: Any.\n */\n'
        for text, bad in (('void f(void)\n{\n', ['f() has no kernel-doc']),
                          (doc + 'void f(int a,\n       int b)\n{\n', []),
                          (doc + 'int *f(void)\n{\n',
                           ['f() has no Return:']),
                          ('static int f(void)\n{\n', []),
                          ('int f(void);\n', []),
                          (doc + '\nvoid f(void)\n{\n',
                           ['f() has no kernel-doc']),
                          ('static struct s {\n',
                           ['struct s has no kernel-doc']),
                          (doc + 'struct s {\n', [])):
            with self.subTest(text):
                self.assertEqual([w for _, w in gates.undocumented(text)], bad)


    def test_second_run_compiles_again(self):
        """What is up to date prints no warning, and the gate is green."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ('include/config/auto.conf', 'a/b.o', 'a/other.o', 'a/kvm/c.o',
                         'virt/kvm/vfio.o'):
                os.makedirs(os.path.dirname(f'{folder}/{name}'), exist_ok=True)
                write_program(f'{folder}/{name}', '')
            self.addCleanup(setattr, gates, 'objects', gates.objects)
            gates.objects = lambda _: ['a/b.o', 'a/kvm/']
            gates.forget(folder)
            gates.forget(folder + '/nothing')
            left = [n for _, _, names in os.walk(folder) for n in names]
        self.assertEqual(sorted(left), ['auto.conf', 'other.o'])


class FuzzFaults(unittest.TestCase):
    """Fuzzers that only end: without a fault, and with one."""

    def selftest(self, fuzzer, faulty):
        with tempfile.TemporaryDirectory() as folder:
            write_program(f'{folder}/table', fuzzer)
            write_program(f'{folder}/faulty', faulty)
            write_program(f'{folder}/cc', f'''
while [ "$1" != -o ]; do shift; done
cp {folder}/faulty "$2"
''')
            run = subprocess.run(
                ['./selftest.sh', 'table'], check=False, text=True,
                cwd=os.path.join(machine.TOP, 'tools/testing/tce'),
                env=dict(os.environ, OUTPUT=folder, CC=f'{folder}/cc',
                         CFLAGS='', RUN='', POWERPC=os.path.join(
                             machine.TOP, 'arch/powerpc')),
                stdout=subprocess.PIPE)
        return run.returncode, run.stdout

    def test_found(self):
        status, text = self.selftest('exit 0', 'echo does not hold: x; exit 1')
        self.assertEqual((status, 'not ok' in text), (0, False), text)

    def test_not_found(self):
        for fuzzer, faulty, said in (
                ('exit 0', 'exit 0', 'was not found'),
                ('exit 0', 'echo no such option; exit 1', 'without a reason'),
                ('exit 1', 'echo does not hold: x; exit 1',
                 'without a fault')):
            status, text = self.selftest(fuzzer, faulty)
            self.assertIn(said, text)
            self.assertNotEqual(status, 0)


class Bench(unittest.TestCase):
    """Reasons for a limit that is not met hold up to where they were given."""

    def verdict(self, insns):
        rows = {'h_put_tce': (insns,), 'h_put_tce_bare': (1012,)}
        rows.update((f'profile_h_put_tce/{p}', (1,))
                    for p in ('all', 'ours', 'flushes', 'firmware'))
        results = {k: {m: rows for m in bench.MACHINES} for k in bench.KERNELS}
        return [(l[5], bool(l[6])) for l in bench.judge(results)
                if l[0].text == 'H_PUT_TCE, table attached'][0]

    def test_reason(self):
        self.assertEqual(self.verdict(1300), ('met', False))
        self.assertEqual(self.verdict(1400), ('NOT MET', True))
        self.assertEqual(self.verdict(100000)[1], False)

    def test_reason_is_for_one_machine(self):
        """The one that was accepted to miss the limit, and no other."""
        text = 'another hypercall (H_PROD)'
        results = {k: {m: {'h_prod': (n,), 'profile_h_prod/all': (n,),
                           'profile_h_prod/srcu': (1,)}
                       for m in bench.MACHINES}
                   for k, n in (('ours', 4900), ('base', 4800))}
        self.assertEqual([(l[1], l[5], bool(l[6]))
                          for l in bench.judge(results) if l[0].text == text],
                         [('powernv9', 'NOT MET', False),
                          ('powernv8', 'NOT MET', True)])

    def test_each_reason_has_an_end(self):
        with self.assertRaises(ValueError):
            bench.Line('x', 'h_put_tce', limit=1, reason='why_put')
        for line in bench.LINES:
            self.assertEqual(bool(line.reason), bool(line.accepted), line.text)


class Figures(unittest.TestCase):
    """What was measured is written where it is shown, and nowhere else."""
    README = ('Costs:\n\n            POWER9        POWER8\n    old 1 2 3 4\n\n'
              'Hosts:\n\n    powernv9  PHB4  64 KiB  radix    12\n'
              '    powernv9  PHB4   4 KiB  radix     -\n'
              '    powernv9  big-endian  64 KiB  radix     -\n')

    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        for name, path in (('TOP', tmp.name), ('BUILD', tmp.name + '/build')):
            self.addCleanup(setattr, machine, name, getattr(machine, name))
            setattr(machine, name, path)
        os.makedirs(tmp.name + '/build/bench')
        os.makedirs(tmp.name + '/series')
        for path in ('README', 'series/cover'):
            self.write(path, self.README)

    @staticmethod
    def write(path, text):
        with open(os.path.join(machine.TOP, path), 'w', encoding='utf-8') as f:
            f.write(text)

    def run_it(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            lost = figures.costs() + figures.cases()
        return lost, figures.read('README'), out.getvalue()

    def measured(self, figure):
        rows = {l['figure']: [figure * l.get('per', 1)] for l in bench.SHOWN}
        self.write('build/bench/results.json', json.dumps(
            {k: {m: rows for m in bench.MACHINES} for k in bench.KERNELS}))

    def boot(self, **results):
        self.write('build/results.json', json.dumps(
            {n.replace('_', '-'): {'passed': ['x'] * r[0],
                                   'failed': ['y'] * r[1]}
             for n, r in results.items()}).replace('client-', 'client '))

    def test_costs(self):
        self.measured(1234567)
        _, text, _ = self.run_it()
        self.assertEqual(text.count('1.2 M'), 4 * len(bench.SHOWN))
        self.assertNotIn('old', text)
        self.assertIn('\n\nHosts:\n', text)
        self.assertNotIn('register memory', figures.read('series/cover'))

    def test_nothing_measured(self):
        lost, text, _ = self.run_it()
        self.assertEqual((len(lost), text), (2, self.README))

    def test_one_figure_lacks(self):
        self.write('build/bench/results.json', '{"ours": {}, "base": {}}')
        lost, text, _ = self.run_it()
        self.assertIn('old', text)
        self.assertIn('map, contiguous', lost[0])

    def test_cases(self):
        self.boot(powernv9_64k=(400, 0), powernv9_64k_smp=(60, 0),
                  powernv9_4k=(7, 1), powernv9_64k_be=(8, 0),
                  client_qemu=(1, 0))
        lost, text, _ = self.run_it()
        self.assertIn('PHB4  64 KiB  radix   460\n', text)
        self.assertIn('big-endian  64 KiB  radix     8\n', text)
        self.assertIn(' 4 KiB  radix     -\n', text)
        self.assertIn('powernv9-4k', lost[1])

    def test_plot(self):
        os.makedirs(os.path.join(machine.TOP, figures.DOC))
        self.write(figures.TEXT, 'x\n' + figures.HEADING + 'Mapping.\n')
        self.write('build/bench/cost.svg', '<?xml?>\n<svg> \n</svg>\n')
        for _ in range(2):
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(figures.plot(), [])
            text = figures.read(figures.TEXT)
            self.assertEqual(text.count(figures.FIGURE), 1)
            self.assertTrue(text.endswith('\nMapping.\n'))
            self.assertNotIn(' \n', figures.read(figures.SVG))

    def test_cases_of_a_part(self):
        self.boot(powernv9_64k=(4, 0))
        lost, text, _ = self.run_it()
        self.assertEqual((len(lost), text), (2, self.README))


class Compose(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.top = os.path.join(tmp.name, 'top')
        self.base = os.path.join(tmp.name, 'base')
        self.write(self.base, 'Makefile',
                   'VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n')
        self.write(self.base, 'arch/powerpc/Kconfig', '')
        self.write(self.base, 'f.c', 'int a;\nint b;\nint c;\n')
        self.write(self.base, 'g.c', 'int g(void)\n{\n\treturn 1;\n}\n\n'
                   'int h(void)\n{\n\treturn 2;\n}\n')
        self.write(self.base, 'gone.c', 'int gone;\n')
        self.write(self.top, 'drivers/x.c', 'int x;\n')
        self.series('part all cover\nstep one\ndrop gone.c\nadd drivers/x.c\n')
        self.write(self.top, 'series/one.patch', MAIL + DIFF)
        self.write(self.top, 'series/cover', 'A cover\n\nWhy it is.\n')
        self.write(self.top, '.gitignore', 'build/\n')

    @staticmethod
    def write(root, name, text):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)

    def series(self, text):
        self.write(self.top, 'series/series', text)

    def run_compose(self, *words):
        run = subprocess.run(
            [os.path.join(HERE, 'compose.py'), '--top', self.top, '--base',
             self.base, *words], capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + run.stderr

    def tree(self, name):
        path = os.path.join(self.top, 'build', 'linux', name)
        if not os.path.exists(path):
            return None
        with open(path, encoding='utf-8') as f:
            return f.read()

    def refused(self, *words):
        status, out = self.run_compose()
        self.assertEqual(status, 1, out)
        for word in words:
            self.assertIn(word, out)
        self.assertIsNone(self.tree('Makefile'))

    def test_composes(self):
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertEqual(self.tree('f.c'), 'int a;\nint B;\nint c;\n')
        self.assertEqual(self.tree('drivers/x.c'), 'int x;\n')
        self.assertIsNone(self.tree('gone.c'))

    def test_second_run_touches_nothing(self):
        self.run_compose()
        path = os.path.join(self.top, 'build/linux/f.c')
        before = os.stat(path).st_mtime_ns
        _, out = self.run_compose()
        self.assertIn('0 changed now', out)
        self.assertEqual(os.stat(path).st_mtime_ns, before)

    def test_step_taken_back(self):
        self.run_compose()
        self.series('part all cover\nstep one\nadd drivers/x.c\n')
        self.write(self.top, 'series/one.patch', MAIL)
        self.run_compose()
        self.assertEqual(self.tree('f.c'), 'int a;\nint b;\nint c;\n')
        self.assertEqual(self.tree('gone.c'), 'int gone;\n')

    def test_reject_names_step_and_file(self):
        self.write(self.base, 'f.c', 'int z;\nint y;\nint w;\n')
        self.refused('step one', 'f.c', 'FAILED')

    def test_failure_leaves_the_tree(self):
        self.run_compose()
        self.write(self.top, 'drivers/x.c', 'int changed;\n')
        self.series('part all cover\nstep one\ndrop gone.c nowhere.c\nadd drivers/x.c\n')
        status, out = self.run_compose()
        self.assertEqual(status, 1)
        self.assertIn('nowhere.c', out)
        self.assertEqual(self.tree('drivers/x.c'), 'int x;\n')

    def test_orphan(self):
        self.write(self.top, 'drivers/y.c', 'int y;\n')
        self.refused('drivers/y.c')

    def test_patch_adds_a_file(self):
        self.write(self.top, 'series/one.patch', MAIL +
                   'diff --git a/new.c b/new.c\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+int n;\n')
        self.refused('adds', 'new.c')

    def test_patch_edits_our_file(self):
        self.series('part all cover\nstep one\nadd drivers/x.c\nstep two\n')
        self.write(self.top, 'series/two.patch', MAIL + DIFF.replace(
            'f.c', 'drivers/x.c'))
        self.refused('step two', 'drivers/x.c', 'ours')

    def test_cocci(self):
        self.series('part all cover\nstep one\nadd drivers/x.c\ncocci g.c\n')
        self.write(self.top, 'series/one.cocci', '@@ @@\n- int g(...) { ... }\n')
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertNotIn('int g', self.tree('g.c'))
        self.assertIn('int h', self.tree('g.c'))

    def test_cocci_changes_nothing(self):
        self.series('part all cover\nstep one\nadd drivers/x.c\ncocci g.c\n')
        self.write(self.top, 'series/one.cocci', '@@ @@\n- int q(...) { ... }\n')
        self.refused('step one', 'g.c', 'changes nothing')

    def test_cocci_one_rule_misses(self):
        self.series('part all cover\nstep one\nadd drivers/x.c\ncocci g.c\n')
        self.write(self.top, 'series/one.cocci', '@@ @@\n- int g(...) { ... }\n'
                   '@@ @@\n- int q(...) { ... }\n')
        self.refused('step one', 'removes q')

    def test_cocci_declaration(self):
        self.write(self.base, 'g.h', 'int a(void);\nextern int g(int n);\n')
        self.series('part all cover\nstep one\nadd drivers/x.c\ncocci g.h\n')
        rule = '@@ type T; @@\n- T {}(...);\n'
        self.write(self.top, 'series/one.cocci', rule.format('g'))
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertEqual(self.tree('g.h').strip(), 'int a(void);')
        self.write(self.top, 'series/one.cocci',
                   rule.format('g') + rule.format('q'))
        status, out = self.run_compose()
        self.assertEqual(status, 1)
        self.assertIn('removes q', out)

    def test_cocci_broken(self):
        self.series('part all cover\nstep one\nadd drivers/x.c\ncocci g.c\n')
        self.write(self.top, 'series/one.cocci', '@@ @@\n- int g(\n')
        self.refused('step one', 'spatch')

    def test_patches(self):
        out = os.path.join(self.top, 'build', 'patches')
        status, text = self.run_compose('--patches', out)
        self.assertEqual(status, 0, text)
        self.assertEqual(sorted(os.listdir(out)), [
            '1-all', '1-all-cover-letter.patch', 'quilt'])
        self.assertEqual(os.listdir(os.path.join(out, '1-all')),
                         ['0001-one.patch'])
        self.assertEqual(sorted(os.listdir(os.path.join(out, 'quilt/patches'))),
                         ['0001-one.patch', 'series'])
        with open(os.path.join(out, '1-all-cover-letter.patch'),
                  encoding='utf-8') as f:
            self.assertIn('Why it is.', f.read())

    def two_parts(self):
        self.series('part first cover\nstep one\ndrop gone.c\nadd drivers/x.c\n'
                    'part second two/cover\nstep two/three\ndrop g.c\n')
        self.write(self.top, 'series/two/cover', 'Another\n\nOther words.\n')
        self.write(self.top, 'series/two/three.patch', MAIL)

    def test_parts(self):
        self.two_parts()
        out = os.path.join(self.top, 'build', 'patches')
        status, text = self.run_compose('--patches', out)
        self.assertEqual(status, 0, text)
        self.assertIn('2 patches in 2 parts', text)
        for name, words in (('1-first', 'Why it is.'),
                            ('2-second', 'Other words.')):
            self.assertEqual(len(os.listdir(os.path.join(out, name))), 1)
            with open(os.path.join(out, name + '-cover-letter.patch'),
                      encoding='utf-8') as f:
                self.assertIn(words, f.read())

    def test_until_a_part(self):
        self.two_parts()
        self.run_compose('--until', 'first')
        self.assertIsNotNone(self.tree('g.c'))
        self.run_compose()
        self.assertIsNone(self.tree('g.c'))

    def test_until_no_part(self):
        self.two_parts()
        status, out = self.run_compose('--until', 'third')
        self.assertEqual(status, 1)
        self.assertIn('no part third', out)

    def test_step_of_no_part(self):
        self.series('step one\nadd drivers/x.c\n')
        self.refused('no part before')

    def test_part_without_steps(self):
        self.series('part one cover\npart two cover\nstep one\nadd drivers/x.c\n')
        self.refused('part one has no step')

    def test_part_without_cover(self):
        self.series('part one nowhere\nstep one\nadd drivers/x.c\n')
        self.refused('series/nowhere is missing')

    def test_entry(self):
        self.write(self.base, 'LIST', 'Text\n----\n\nA\nL:\tx\nF:\ty\n\n'
                   'C\nM:\tz\n\nTHE REST\nF:\t*\n')
        self.write(self.top, 'LIST', 'B\nS:\tq\n')
        self.series('part all cover\nstep one\nadd drivers/x.c\nentry LIST\n')
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertIn('F:\ty\n\nB\nS:\tq\n\nC\nM:', self.tree('LIST'))

    def test_entry_grows(self):
        self.write(self.base, 'LIST', 'A\nL:\tx\n\nTHE REST\nF:\t*\n')
        self.write(self.top, 'LIST', 'B\nS:\tq\nF:\tf.c\nF:\tdrivers/\n')
        self.write(self.top, 'series/two.patch', MAIL)
        self.series('part all cover\nstep one\nentry LIST\n'
                    'step two\nadd drivers/x.c\nentry LIST\n')
        status, out = self.run_compose('--patches',
                                       os.path.join(self.top, 'build/patches'))
        self.assertEqual(status, 0, out)
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertIn('B\nS:\tq\nF:\tf.c\nF:\tdrivers/\n\nTHE',
                      self.tree('LIST'))
        with open(os.path.join(self.top, 'build/patches/1-all/0001-one.patch'),
                  encoding='utf-8') as f:
            self.assertNotIn('drivers/', f.read())

    def test_entry_is_there(self):
        self.write(self.base, 'LIST', 'A\nL:\tx\n\nTHE REST\nF:\t*\n')
        self.write(self.top, 'LIST', 'A\nS:\tq\n')
        self.series('part all cover\nstep one\nadd drivers/x.c\nentry LIST\n')
        self.refused('step one', 'LIST', 'already')

    def variant(self, version, text=None):
        self.write(self.base, 'f.c', 'int a;\nlong b;\nint c;\n')
        self.write(self.top, f'series/{version}/one.patch', text or
                   DIFF.replace('-int b', '-long b').replace('+int B',
                                                             '+long B'))

    def test_variant(self):
        self.variant('6.12')
        self.variant('6.13', DIFF.replace('f.c', 'h.c'))
        status, out = self.run_compose()
        self.assertEqual(status, 0, out)
        self.assertEqual(self.tree('f.c'), 'int a;\nlong B;\nint c;\n')

    def test_variant_of_newer(self):
        self.variant('6.13')
        self.refused('step one', 'f.c', 'FAILED')

    def test_variant_of_no_step(self):
        self.write(self.top, 'series/6.12/two.patch', DIFF)
        self.refused('series/6.12/two.patch')

    def test_variant_edits_another_file(self):
        self.variant('6.12', DIFF.replace('f.c', 'g.c'))
        self.refused('series/6.12/one.patch')


def main():
    out = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        result = unittest.main(exit=False, argv=sys.argv, testRunner=
                               unittest.TextTestRunner(stream=out)).result
    bad = len(result.failures) + len(result.errors)
    if bad:
        print(out.getvalue())
    print(f'harness: {result.testsRun - bad - len(result.skipped)} good, '
          f'{bad} bad, {len(result.skipped)} not run')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
