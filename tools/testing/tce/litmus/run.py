#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Has herd7 judge the litmus tests, and compares them with the source.

    run.py [--tree TREE] [--command HERD7] [--source] [TEST...]

A test shows what several CPUs, or a PHB, do in one lock-free protocol of the
kernel. Its comment has, by processes,

    P0: FUNCTION() in FILE: PRIMITIVE, ...

which names all primitives of that function in the order in which they are
written; those that the process does not model are in parentheses. A process that
is not code of ours is described in words.

    Fault: P0 OLD -> NEW and P1 OLD #2 -> none

is a fault to plant: a piece of a process is replaced, or its statement removed;
#2 is the second such piece. "( *x)" stands for "(*x)", which would be a comment
in the comment.

Each test is one result: its outcome must not be found, and no data race; it must
be found with each of the faults; and the primitives are those of the source. The
last result is that each function with a primitive that orders is named by a test.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# Where the functions are that have to be named.
SOURCES = ['arch/powerpc/kernel/tce/*.[ch]', 'arch/powerpc/kvm/book3s_64_vio*',
           'arch/powerpc/include/asm/mm_iommu.h',
           'arch/powerpc/include/asm/tce_*.h',
           'arch/powerpc/mm/book3s64/mm_iommu*',
           'arch/powerpc/platforms/powernv/pci-ioda-dma.c',
           'arch/powerpc/platforms/powernv/pci-ioda-tce*.c',
           'arch/powerpc/platforms/pseries/tce-owned.c']
# What is not about memory that others read without a lock.
NOT_NAMED = {
    'tce_debugfs_add': 'a number for a name',
    'mm_iommu_next_registry': 'under registries_lock',
    'yield_to_holder': 'hints, of whom to give the processor to',
    'get_registered': 'under the registry\'s lock, which let_go() takes as well',
}

# What each primitive is in a test, if it is not called the same.
IS_IN_TEST = [
    (r'mb', 'smp_mb'),
    (r'atomic64_(\w+)', r'atomic_\1'),
    (r'test_and_set_bit_lock', 'atomic_fetch_or_acquire'),
    (r'clear_bit_unlock', 'atomic_fetch_andnot_release'),
    (r'atomic_dec_return_release', 'atomic_sub_return_release'),
    (r'atomic_inc_unless_negative', 'atomic_cmpxchg'),
    (r'atomic_read_acquire', 'smp_load_acquire'),
    (r'kref_get_unless_zero', 'atomic_add_unless'),
    (r'kref_put', 'atomic_sub_return'),
    (r'(?:mutex_lock\w*|guard\(mutex\))', 'spin_lock'),
    (r'mutex_unlock', 'spin_unlock'),
    (r'guard\((s?rcu)\)', r'\1_read_lock'),
    (r'(?:rcu_replace_pointer|list_add_rcu)', 'rcu_assign_pointer'),
    (r'rcu_dereference_raw_check', 'rcu_dereference'),
    (r'list_for_each_entry_(?:rcu|lockless)', 'READ_ONCE'),
    (r'list_del_rcu', 'WRITE_ONCE'),
    (r'call_srcu', 'synchronize_srcu'),
    (r'(?:call_rcu|kfree_rcu)', 'synchronize_rcu'),
    (r'(?:wq_has_sleeper|wait_event\w*)', 'smp_mb'),
    (r'(?:__raw_(?:rm_)?writeq_be|opal_\w+)', '__raw_writeq'),
]
PRIMITIVE = re.compile(r'''\b(
    (?:smp_)?[rw]?mb | smp_store_release | smp_load_acquire | READ_ONCE |
    WRITE_ONCE | (?:cmp)?xchg\w* | test_and_set_bit\w* | clear_bit_unlock |
    atomic(?:64)?_(?!long|set\b)\w+ | refcount_inc\w* | kref_(?:get|put)\w* |
    (?:call|synchronize)_s?rcu\w* | kfree_rcu\w* | srcu_read_(?:un)?lock |
    rcu_read_(?:un)?lock | rcu_assign_pointer | rcu_replace_pointer |
    rcu_dereference(?!_protected)\w* | list_(?:add|del|replace)\w*_rcu |
    list_for_each_entry_(?:rcu|lockless) | (?:spin|mutex)_(?:un)?lock(?!_init)\w* |
    guard\((?:mutex|s?rcu|spinlock)\w*\) | wq_has_sleeper | wake_up_all |
    wait_event\w* | __raw_(?:rm_)?writeq_be | tce_free_deferred |
    opal_pci_map_pe_dma_window | mm_iommu_free_deferred)(?=\()''', re.X)
# Those that order; who has one is to be named. Locks are not: they are enough.
ORDERS = re.compile(r'''mb|smp_\w+|(?:cmp)?xchg\w*|test_and_set_bit\w*|
    clear_bit_unlock|atomic(?:64)?_\w+(?<!_read)|(?:call|synchronize)_s?rcu\w*|
    kfree_rcu\w*|rcu_assign_pointer|rcu_replace_pointer|list_\w+(?<!each_entry)_rcu|
    wq_has_sleeper''', re.X)
IN_TEST_ORDERS = re.compile(r'''\b(smp_mb|smp_store_release|smp_load_acquire|
    (?:atomic_)?(?:cmp)?xchg\w*|atomic_\w+_(?:acquire|release)|spin_lock|
    atomic_add_unless|synchronize_\w+|srcu_read_lock|rcu_read_lock|
    rcu_assign_pointer|__raw_writeq)(?=\()''', re.X)


# --- the model ----------------------------------------------------------------

def more_atomics(have):
    """Of the model's atomic operations, those that a version of it lacks."""
    bit = {'or': '|', 'andnot': '&~'}
    order = {'': 'mb', '_relaxed': 'once', '_acquire': 'acquire',
             '_release': 'release'}
    lines = ['atomic_add_unless(X,V,W) __atomic_add_unless{mb}(X,V,W)']
    lines += [f'atomic_fetch_{op}{end}(V,X) __atomic_fetch_op{{{o}}}(X,{sign},V)'
              for op, sign in bit.items() for end, o in order.items()]
    return [l for l in lines if l.split('(')[0] + '(' not in have]


def substitute(text, *pairs):
    for old, new in pairs:
        text, n = re.subn(old, new, text, flags=re.M)
        if not n:
            sys.exit(f'run.py: this memory model has no "{old}"')
    return text


def make_model(tree, folder):
    """The kernel's model, with stores to devices.

    __raw_writeq() is ordered with memory by smp_mb() and by what it depends on,
    but neither by release, acquire, smp_wmb nor smp_rmb: on POWER these are
    lwsync and isync, which do not order stores to cache-inhibited memory.
    """
    model = os.path.join(tree, 'tools/memory-model')
    for name in ('cfg', 'def', 'bell', 'cat'):
        shutil.copy(os.path.join(model, 'linux-kernel.' + name), folder)
    shutil.copy(os.path.join(model, 'lock.cat'), folder)

    def edit(name, change):
        path = os.path.join(folder, 'linux-kernel.' + name)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        with open(path, 'w', encoding='utf-8') as f:
            f.write(change(text))

    def bell(text):
        text = substitute(text, (r"^enum Accesses = ", r"\g<0>'mmio || "),
                          (r'^let Marked = \(~M\)', r'\g<0> | Mmio'))
        return re.sub(r"^instructions W\[\{", r"\g<0>'mmio,", text, flags=re.M)

    edit('bell', bell)
    edit('cat', lambda text: substitute(
        text,
        (r'^let acq-po = .*', r'let Mem = M \\ Mmio\n'
         r'let acq-po = [Acquire] ; po ; [Mem]'),
        (r'^let po-rel = .*', r'let po-rel = [Mem] ; po ; [Release]'),
        (r'^let wmb = .*', r'let wmb = [W \\ Mmio] ; fencerel(Wmb) ; '
         r'[W \\ Mmio]')))
    edit('def', lambda text: '\n'.join(
        [text, *more_atomics(text),
         '__raw_writeq(V,X) { __store{mmio}(*X,V); }', '']))


# --- a test -------------------------------------------------------------------

IS_FUNCTION = r'(\w+)\(\) in (\S+\.[ch]): (.*)$'


class Test:
    """A file, and what its comment says."""

    def __init__(self, path):
        self.name = os.path.basename(path)[:-len('.litmus')]
        with open(path, encoding='utf-8') as f:
            self.text = f.read()
        comment = self.text.split('*)', 1)[0]
        said = re.sub(r'\n \*(?:     ?)(?=\S)', ' ', comment)
        self.roles = [(int(p), words.strip()) for p, words in
                      re.findall(r'^ \* P(\d+): (.*)$', said, re.M)]
        self.faults = re.findall(r'^ \* Fault: (.*)$', said, re.M)
        self.bodies = {int(m.group(1)): m.span(2) for m in re.finditer(
            r'^P(\d+)\([^{]*\)\n\{\n(.*?)^\}', self.text, re.M | re.S)}

    def body(self, p):
        first, end = self.bodies[p]
        return self.text[first:end]

    def functions(self):
        """(process, function, file, primitives) for each that is named."""
        for p, words in self.roles:
            m = re.match(IS_FUNCTION, words)
            if m:
                yield p, m.group(1), m.group(2), m.group(3).split(', ')

    def with_fault(self, fault):
        text = {p: self.body(p) for p in self.bodies}
        for piece in fault.split(' and P'):
            m = re.fullmatch(r'P?(\d+) (.*?)(?: #(\d+))? -> (.*)', piece)
            if not m:
                raise ValueError(f'cannot read "{piece}"')
            p, old, new = (w.replace('( *', '(*') for w in m.group(1, 2, 4))
            p, old = int(p), re.escape(old)
            if new == 'none':
                old, new = rf'(?:if [^\n{{]*\n)?[^\n;{{]*{old};', ''
            else:
                old = rf'(?<![\w*]){old}(?!\w)'
            found = list(re.finditer(old, text[p]))
            if len(found) != 1 and not m.group(3):
                raise ValueError(f'{len(found)} pieces in P{p}: "{piece}"')
            at = found[int(m.group(3) or 1) - 1]
            text[p] = text[p][:at.start()] + new + text[p][at.end():]
        whole = self.text
        for p in sorted(self.bodies, reverse=True):
            first, end = self.bodies[p]
            whole = whole[:first] + text[p] + whole[end:]
        return whole


def ask(herd, model, text):
    """What herd7 says: Never, Sometimes or Always; and whether there are races."""
    with tempfile.NamedTemporaryFile('w', suffix='.litmus') as f:
        f.write(text)
        f.flush()
        try:
            said = subprocess.run([*herd, '-conf', 'linux-kernel.cfg', f.name],
                                  cwd=model, check=False, text=True, timeout=120,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT).stdout
        except subprocess.TimeoutExpired:
            return 'nothing for two minutes', []
    m = re.search(r'^Observation \S+ (\w+)', said, re.M)
    return m.group(1) if m else 'nothing but ' + said[:200].strip(), \
        re.findall(r'^Flag (.*)', said, re.M)


def judge(herd, model, test):
    """What is wrong with a test, as herd7 sees it."""
    says, flags = ask(herd, model, test.text)
    if says != 'Never' or flags:
        yield ' '.join([says, *flags]) + ', not Never'
    if not test.faults:
        yield 'has no fault'
    for fault in test.faults:
        try:
            says, _ = ask(herd, model, test.with_fault(fault))
        except ValueError as error:
            says = str(error)
        if says not in ('Sometimes', 'Always'):
            yield f'with {fault}: {says}, not Sometimes'


# --- the source ---------------------------------------------------------------

FUNCTION = (r'^(?!#|typedef\b)(?:[\w \t*]+[ \t*\n])?(%s)\((?:[^;{}#]|\n)*?\)'
            r'[^;{}#=]*\n\{\n(.*?)^\}')


def read(tree, name):
    path = os.path.join(tree, name)
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8', errors='replace') as f:
        text = f.read()
    return re.sub(r'/\*.*?\*/|//[^\n]*', '', text, flags=re.S)


def primitives(text, function):
    """Of a function, in order; None if it is not there."""
    m = re.search(FUNCTION % function, text or '', re.M | re.S)
    return PRIMITIVE.findall(m.group(2)) if m else None


def in_test(primitive):
    for source, test in IS_IN_TEST:
        m = re.fullmatch(source, primitive)
        if m:
            return in_test(m.expand(test))
    return primitive


def compare(tree, test):
    """Where a test parts from the source."""
    modelled, words = {}, {p for p, _ in test.roles}
    ours = words - {p for p, w in test.roles if not re.match(IS_FUNCTION, w)}
    for p, function, name, named in test.functions():
        has = primitives(read(tree, name), function)
        bare = [n.strip('()') if n.startswith('(') else n for n in named]
        bare = [n + ')' if n.count('(') > n.count(')') else n for n in bare]
        if has is None:
            yield f'there is no {function}() in {name}'
        elif has != bare:
            yield f'{function}() in {name} has {", ".join(has) or "none"}; ' \
                f'the test names {", ".join(bare)}'
        for n in named:
            if not n.startswith('('):
                modelled.setdefault(p, set()).add(in_test(n))
    for p in sorted(words ^ set(test.bodies)):
        yield f'P{p} is missing, or not said what it is'
    for p in ours & set(test.bodies):
        does = set(re.findall(r'\b(\w+)(?=\()', test.body(p)))
        for n in sorted(modelled.get(p, set()) - does):
            yield f'P{p} has no {n}()'
        for n in sorted(set(IN_TEST_ORDERS.findall(test.body(p))) -
                        modelled.get(p, set())):
            yield f'P{p} has {n}(), which no function is said to have'


def not_named(tree, tests):
    """Functions with a primitive that orders, that no test is about."""
    named = {(f, n) for t in tests for _, f, n, _ in t.functions()}
    for name in sorted({os.path.relpath(p, tree) for s in SOURCES
                        for p in glob.glob(os.path.join(tree, s))}):
        if name.endswith('_test.c') or not name.endswith(('.c', '.h')):
            continue
        for m in re.finditer(FUNCTION % r'\w+', read(tree, name), re.M | re.S):
            orders = [p for p in PRIMITIVE.findall(m.group(2))
                      if ORDERS.fullmatch(p)]
            if orders and (m.group(1), name) not in named and \
                    m.group(1) not in NOT_NAMED:
                yield f'no test names {m.group(1)}() in {name}: ' + \
                    ', '.join(orders)


# --- all ----------------------------------------------------------------------

def results(args, tests, model):
    """(name, what is wrong) for each test, as they end."""
    def one(test):
        bad = list(compare(args.tree, test))
        return bad if args.source else bad + list(judge(args.command, model, test))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {test.name: pool.submit(one, test) for test in tests}
        for name, future in done.items():
            yield name, future.result()
    if not args.test:
        yield 'all-named', list(not_named(args.tree, tests))


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tree', default=os.path.join(HERE, '../../../..'),
                   help='the kernel tree, with its memory model')
    p.add_argument('--command', default='herd7', type=shlex.split,
                   help='herd7, with options if it needs some')
    p.add_argument('--source', action='store_true',
                   help='only compare with the source')
    p.add_argument('test', nargs='*', help='default: all')
    args = p.parse_args()

    tests = [Test(f) for f in sorted(glob.glob(os.path.join(HERE, '*.litmus')))
             if not args.test or os.path.basename(f)[:-7] in args.test]
    failed = 0
    with tempfile.TemporaryDirectory() as model:
        if not args.source:
            make_model(args.tree, model)
        for name, bad in results(args, tests, model):
            for line in bad:
                print(f'{name}: {line}')
            print(('not ok ' if bad else 'ok ') + name, flush=True)
            failed += bool(bad)
    faults = 0 if args.source else sum(len(t.faults) for t in tests)
    print(f'{len(tests)} tests, {faults} faults; {failed} failed')
    return 1 if failed or not tests else 0


if __name__ == '__main__':
    sys.exit(main())
