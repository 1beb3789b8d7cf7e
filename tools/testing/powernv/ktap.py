# SPDX-License-Identifier: GPL-2.0
"""Turns the console of a test machine into results.

The KTAP documents are read by the kernel's own parser (tools/testing/kunit of
the kernel tree). The kernel's own messages are read here: any sign of trouble
counts as a failed test, whatever the programs report.
"""
import io
import os
import re
import sys
from dataclasses import dataclass, field

# The kernel's own words for trouble. Lines of test programs are indented and
# are not looked at, so that a test may quote any of them.
TROUBLE = re.compile(
    r'WARNING: |BUG: |kernel BUG|Oops|Kernel panic|soft lockup|hard LOCKUP|'
    r'detected stall|rcu: INFO: .*stall|rcu_sched kthread|Watchdog .* detected|'
    r'possible recursive locking|possible circular locking|'
    r'possible deadlock|inconsistent lock state|suspicious RCU usage|'
    r'suspicious rcu|lock held when returning|held lock freed|'
    r'invalid wait context|bad unlock balance|MAX_LOCK\w+ too low|'
    r'sleeping function called|scheduling while atomic|UBSAN: |KASAN: |KCSAN: |KFENCE: |'
    r'blocked for more than|kmemleak: .*new suspected|refcount_t:|'
    r'list_add corruption|list_del corruption|Bad page|Bad rss|'
    # All of memory; that of a cgroup is called by its name
    r'^Out of memory: Killed process|'
    r'messages dropped|Unrecoverable|Machine Check|general protection|'
    r'Unable to handle kernel|Kernel access of bad area|'
    r'unreferenced object|(?<!/)use-after-free|ODEBUG: |'
    # SLUB's, lockdep's and page poisoning's own words, and checkers that give up
    r'^BUG \S+ \(|^FIX \S+: |register non-static key|lockdep is turned off|'
    r'locking correctness validator|pagealloc: |leak detector disabled')
# A trace without one of the words above; with one, it belongs to that.
TRACE = re.compile(r'Call Trace:')
# Reports about the base, which makes them without our series too, each by a line
# that follows its first. As POWER8 hosts boot, with DEBUG_PREEMPT:
# set_subcores_per_core() asks for its CPU where it may move, before it could.
KNOWN = re.compile(r'caller is set_subcores_per_core\+')
# Where a test has an allocation fail, vmalloc() says so, with a trace; where it
# has the limit of a cgroup reached, the OOM killer.
WANTED = re.compile(r'^(spapr|kvm)_fail_nth: vmalloc error: |'
                    r'^spapr_oom invoked oom-killer: ')
KNOWN_LINES = 20
# So much of what a case has said before it failed is shown.
SAID_LINES = 20
# Lines that one report spreads over; a second match inside it is the same.
REPORT_LINES = 80
STAMP = re.compile(r'^(<\d+>)?\[ *\d+\.\d+\](\[[^]]*\])? ?')

BOOTED = re.compile(r'Linux version ')
MARKER = 'powernv-init: '
RUNNING = re.compile(r'^ {4}# +RUN +(\S+)')
PROGRAM = re.compile(r'^ {4}# powernv-init: program (\S+)')
ENDED = re.compile(r'^(ok|not ok) \d+ (\S+)')
CASE = re.compile(r'^ {4}(ok|not ok) \d+ (?:- )?(\S+)')
DOCUMENT = re.compile(r'^KTAP version \d+$')
PLAN = re.compile(r'^1\.\.(\d+)')
IDLE = re.compile(r'^(ok) \d+ (\S+) # SKIP no case selected')


@dataclass
class Result:
    """What one boot, or several added up, has shown."""
    passed: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    marker: str = ''        # the last word of the machine's first process
    running: str = ''       # the case that ran when the console ended
    program: str = ''
    done: list = field(default_factory=list)     # (program, case) that ended
    lost: list = field(default_factory=list)     # (program, case) that did not
    status: int = -1        # of the demonstration
    said: dict = field(default_factory=dict)    # by cases that failed, in the end

    def add(self, other, prefix=''):
        for name in ('passed', 'failed', 'skipped'):
            getattr(self, name).extend(
                prefix + n for n in getattr(other, name))

    def good(self):
        return bool(self.passed) and not self.failed

    def summary(self):
        return f'{len(self.passed)} passed, {len(self.failed)} failed'


def clean(text):
    """The console's lines, without carriage returns and time stamps."""
    lines = []
    for line in text.replace('\r', '').split('\n'):
        lines.append(STAMP.sub('', line))
    return lines


def kernel_lines(lines):
    """Leaves out the firmware, whose words are not the kernel's."""
    for i, line in enumerate(lines):
        if BOOTED.search(line):
            return lines[i:]
    return []


def trouble(lines):
    """One entry for each report of the kernel: (line number, line)."""
    found = []
    last = known = -REPORT_LINES
    for i, line in enumerate(lines):
        if line.startswith('    '):
            continue
        if WANTED.match(line):
            known = i
        hit = TROUBLE.search(line)
        if not hit and not TRACE.search(line):
            continue
        if hit and i + 1 < len(lines) and KNOWN.match(lines[i + 1]):
            known = i
            continue
        if not hit and i - known < KNOWN_LINES:
            continue
        if i - last >= REPORT_LINES or (hit and DISTINCT.search(line)):
            found.append((i, line.strip()))
            last = i
    return found


# The first line of a report; another one starts another report.
DISTINCT = re.compile(r'^(WARNING: |BUG: |BUG \S+ \(|kernel BUG|UBSAN: |'
                      r'INFO: task)')


def documents(lines):
    """Splits at each KTAP header that is not indented."""
    docs = []
    for line in lines:
        if DOCUMENT.match(line):
            docs.append([])
        if docs:
            docs[-1].append(line)
    # A kernel with KUnit and no suites prints an empty document.
    return [d for d in docs if not (len(d) > 1 and d[1] == '1..0')]


def load_parser(kernel_tree):
    path = os.path.join(kernel_tree, 'tools', 'testing', 'kunit')
    if not os.path.exists(os.path.join(path, 'kunit_parser.py')):
        raise FileNotFoundError(f'no kunit_parser.py in {path}')
    if path not in sys.path:
        sys.path.insert(0, path)
    sys.dont_write_bytecode = True
    import kunit_parser
    # It prints while it parses; what is printed here is ours to choose. Newer
    # kernels' parsers are told where to.
    if hasattr(kunit_parser, 'stdout'):
        kunit_parser.stdout._output = io.StringIO()
    return kunit_parser


def parse(parser, doc):
    if hasattr(parser, 'stdout'):
        return parser.parse_run_tests(doc)
    return parser.parse_run_tests(doc, parser.Printer(output=io.StringIO()))


def walk(parser, test, path, result):
    """Sorts the leaves below test; returns how many of them failed."""
    state = parser.TestStatus
    name = '.'.join(path) or 'main'
    failed = 0
    if test.subtests:
        for sub in test.subtests:
            # The parser makes up a nameless one for what is missing.
            if sub.name:
                failed += walk(parser, sub, path + [sub.name], result)
        bad = test.status not in (state.SUCCESS, state.SKIPPED)
        # A program can fail after its last case has passed.
        if path and bad and not failed:
            result.failed.append(name + ': failed as a whole')
            failed = 1
    elif test.status == state.SUCCESS and len(path) > 1:
        result.passed.append(name)
    elif test.status == state.SKIPPED:
        result.skipped.append(name)
    else:
        # A program or suite is none itself.
        none = test.status in (state.NO_TESTS, state.SUCCESS)
        why = ': ran no test' if none else ''
        result.failed.append(name + why)
        failed = 1
    return failed


def parse_document(parser, doc, result):
    mine = Result()
    test = parse(parser, doc)
    walk(parser, test, [], mine)
    # The parser notes broken plans and numbers as errors. Where a case has
    # failed already they are its echo; where none has, they are the failure.
    if test.counts.errors and not mine.failed:
        mine.failed.append('KTAP: output does not match its plan')
    if not any(PLAN.match(line) for line in doc):
        mine.failed.append('KTAP: no plan')
    # A program that a filter left without cases is not a skipped test.
    idle = {m.group(2) for m in map(IDLE.match, doc) if m}
    mine.skipped = [n for n in mine.skipped if n not in idle]
    result.add(mine)


def follow(lines, result):
    """Finds out which cases have ended, and which one had not."""
    said = []
    for line in lines:
        m = PROGRAM.match(line)
        if m:
            result.program, result.running = m.group(1), ''
        m = ENDED.match(line)
        if m and result.running:
            result.lost.append((result.program, result.running))
            result.running = ''
        m = RUNNING.match(line)
        if m:
            result.running, said = m.group(1), []
        said.append(line)
        m = CASE.match(line)
        if m:
            if m.group(1) != 'ok':
                result.said[f'{result.program}.{m.group(2)}'] = \
                    said[-SAID_LINES:]
            result.done.append((result.program, m.group(2)))
            result.running = ''
        if line.startswith(MARKER):
            word = line[len(MARKER):]
            if word.startswith('status '):
                result.status = int(word.split()[1])
            else:
                result.marker = word
    if result.running:
        result.lost.append((result.program, result.running))


def where(lines, upto):
    """The case that ran at this line of the console."""
    seen = Result()
    follow(lines[:upto], seen)
    if seen.running or seen.program:
        return f' (near {seen.program} {seen.running})'.replace(' )', ')')
    return ''


def lost_suites(suites, result):
    """KUnit's, of which nothing is heard: a kernel without them is silent."""
    heard = {n.split('.')[0] for n in result.passed + result.failed}
    return [f'KUnit: {s} did not run' for s in suites if s not in heard]


def judge(text, kernel_tree, demo=False, suites=()):
    """The result of one boot, from its console."""
    lines = kernel_lines(clean(text))
    result = Result()
    follow(lines, result)
    if not demo:
        parser = load_parser(kernel_tree)
        for doc in documents(lines):
            parse_document(parser, doc, result)
        for program, case in result.lost:
            name = f'{program}.{case}: no result'
            # The parser has seen the program fail, which is not the point.
            whole = f'{program}: failed as a whole'
            result.failed = [n for n in result.failed if n != whole] + [name]
        result.failed += lost_suites(suites, result)
    for i, line in trouble(lines):
        result.failed.append('kernel: ' + line[:160] + where(lines, i))
    if not lines:
        result.failed.append('machine: the kernel did not start')
    elif result.marker != 'end':
        at = where(lines, len(lines))
        what = result.marker or 'no end marker'
        result.failed.append(f'machine: {what}{at}')
    if not demo and not result.passed and not result.failed:
        result.failed.append('no test ran')
    return result
