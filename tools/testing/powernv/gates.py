#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Static gates: each is one result, "ok NAME" or "not ok NAME", or several.

Gates look at our files, and at the files of the base that the series edits; of
those, what the base says as well is passed over. The last line is
"N passed, N failed", and build/gates.txt keeps the results for check.
"""
import argparse
import collections
import concurrent.futures
import difflib
import glob
import os
import re
import shlex
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from common import (BUILD, CROSS, HERE, TOP, built_objects,  # noqa: E402
                    make_words, our_files as ours, read)

TREE = os.path.join(BUILD, 'linux')
BASE = os.environ.get('BASE_TREE') or os.path.join(BUILD, 'base')
OUT = os.path.join(BUILD, 'gates')
JOBS = str(os.cpu_count())
# Much of a gate is single-threaded, so two run at a time; but one make of ours.
PAIR = 2
MAKE_LOCK = threading.Lock()

# What each configuration is, laid over kernel.config.
CONFIGS = {'4k-pages': [], 'big-endian': [], 'no-kvm': [], 'no-tce': [],
           'modules': [], 'pseries-only': []}
FINDING = re.compile(r'^(?:\.\./)*(?:.*?/build/(?:[\d.]+/)?(?:linux|base)/)?'
                     r'([\w./-]+?):(\d+)(?::\d+)?: (.*)$')


def run(words, **kw):
    return subprocess.run(words, cwd=TOP, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors='replace', **kw)


# --- which files -------------------------------------------------------------

def kernel_sources():
    return [n for n in ours('.c') if not n.startswith('tools/')]


def edited():
    """Files of the base that differ in the composed tree."""
    names = set()
    for folder in ('', 'fixes'):
        for path in glob.glob(os.path.join(TOP, 'series', folder, '*.patch')):
            with open(path, encoding='utf-8') as f:
                names.update(re.findall(r'^\+\+\+ b/(\S+)', f.read(), re.M))
    # What the fixes mend is replaced or removed later, most of it.
    return sorted(n for n in names - set(ours(''))
                  if os.path.exists(os.path.join(TREE, n)))


def our_lines(name):
    """Numbers of the lines of a file that the base does not have."""
    old, new = (read(os.path.join(t, name)).split('\n') for t in (BASE, TREE))
    lines = set()
    for op, _, _, first, end in difflib.SequenceMatcher(
            None, old, new, autojunk=False).get_opcodes():
        if op != 'equal':
            lines.update(range(first + 1, end + 1))
    return lines


def objects(out):
    """What of ours and of the edited is built. All of kvm/: it has vfio.o."""
    names = [n[:-2] + '.o' for n in
             kernel_sources() + [e for e in edited() if e.endswith('.c')]
             if not n.startswith(('virt/', 'arch/powerpc/kvm/'))]
    has_kvm = 'arch/powerpc/kvm/kvm.o'
    found = built_objects(TREE, out, [*names, has_kvm])
    return [n if n != has_kvm else 'arch/powerpc/kvm/' for n in found]


def findings(text):
    """(file, line, what) of a compiler's or a checker's output."""
    for line in text.split('\n'):
        m = FINDING.match(line)
        if m and re.search(r'warning|error', m.group(3)):
            yield os.path.normpath(m.group(1)), int(m.group(2)), m.group(3)


def that_are_ours(found):
    """Those in our files, and in our lines of edited files."""
    own, changed, seen = set(ours('.c', '.h')), {}, set()
    for name, line, what in found:
        if (name, line, what) in seen:
            continue
        seen.add((name, line, what))
        if name not in own and os.path.exists(os.path.join(BASE, name)) and \
                os.path.exists(os.path.join(TREE, name)):
            if name not in changed:
                changed[name] = our_lines(name) if name in edited() else set()
            if line not in changed[name]:
                continue
        yield f'{name}:{line}: {what}'


# --- the gates ---------------------------------------------------------------

# One step of the series brings the MAINTAINERS entry. CONST_STRUCT needs a list
# that lies in the kernel tree. Whoever sends the series signs it off. A file that
# takes the place of one of the base keeps what that says of its license.
IGNORE = ['FILE_PATH_CHANGES', 'CONST_STRUCT', 'MISSING_SIGN_OFF',
          'MODULE_LICENSE']
# Trace events are laid out as all of the kernel's are.
TRACE = 'arch/powerpc/include/asm/trace_'
IGNORE_TRACE = ['OPEN_ENDED_LINE', 'PARENTHESIS_ALIGNMENT']
# Fixes are written as the files are that they mend. An origin that is not known
# is not guessed.
IGNORE_FIXES = ['PARENTHESIS_ALIGNMENT', 'AVOID_EXTERNS', 'UNKNOWN_COMMIT_ID',
                'MISSING_FIXES_TAG']
# Of programs: names that only the kernel has; a kselftest's EXPECT is two
# statements, so that a lone one needs braces; memory that threads, guests and
# devices write is volatile to a program; types and macros that stand in for
# the kernel's look like them; declarations by a macro and enum mmu mmu are
# taken for something else; arguments of a main() and what separates words are
# no texts.
IGNORE_TOOLS = ['PREFER_DEFINED_ATTRIBUTE_MACRO', 'BIT_MACRO', 'BRACES',
                'VOLATILE', 'SPACING', 'CAMELCASE', 'AVOID_EXTERNS',
                'NEW_TYPEDEFS', 'MACRO_ARG_UNUSED', 'MACRO_ARG_REUSE',
                'MULTISTATEMENT_MACRO_USE_DO_WHILE', 'LINE_SPACING',
                'REPEATED_WORD', 'EMBEDDED_FUNCTION_NAME', 'STRCPY',
                'ARRAY_SIZE', 'STATIC_CONST_CHAR_ARRAY',
                'QUOTED_WHITESPACE_BEFORE_NEWLINE']


def checkpatch(ignore, words, **kw):
    return run(['perl', os.path.join(TREE, 'scripts/checkpatch.pl'),
                '--no-tree', '--quiet', '--no-summary', '--terse', '--strict',
                '--show-types', '--ignore', ','.join(ignore), *words],
               **kw).stdout.strip().split('\n')


def gate_checkpatch():
    """checkpatch --strict on our files"""
    names = ours('.c', '.h', '.rst', '.S')
    tools = [n for n in names if n.startswith('tools/')]
    trace = [n for n in names if n.startswith(TRACE)]
    kernel = [n for n in names if n not in tools + trace]
    return [t for t in checkpatch(IGNORE, ['-f'] + kernel) +
            checkpatch(IGNORE + IGNORE_TRACE, ['-f'] + trace) +
            checkpatch(IGNORE + IGNORE_TOOLS, ['-f'] + tools) if t]


def gate_checkpatch_series():
    """checkpatch --strict on the series as it is sent"""
    out = os.path.join(BUILD, 'patches')
    with MAKE_LOCK:
        made = run(['make', '-s', '--no-print-directory', 'patches'])
    if made.returncode:
        return made.stdout.strip().split('\n')
    bad = []
    for path in sorted(glob.glob(os.path.join(out, '[0-9]*', '*.patch'))):
        ignore, text = list(IGNORE), read(path)
        if '-fixes/' in path:
            ignore += IGNORE_FIXES
        if re.search(r'^\+\+\+ b/' + TRACE, text, re.M):
            ignore += IGNORE_TRACE
        if re.search(r'^\+\+\+ b/tools/', text, re.M):
            ignore += IGNORE_TOOLS
        bad += [t.replace(out + '/', '') for t in checkpatch(ignore, [path])
                if t]
    return bad


# A function that others can call, and a structure.
FUNCTION = re.compile(r'^(?!static\b|typedef\b)([a-z][\w \t*]*[ *])(\w+)'
                      r'\([^;{}#]*?\)\n\{', re.M)
STRUCTURE = re.compile(r'^(?:static )?((?:struct|union) \w+) \{', re.M)
KERNEL_DOC = re.compile(r'/\*\*\n((?:(?!\*/).)*)\*/\n\Z', re.S)


def undocumented(text):
    """(line, what) that has no kernel-doc, or one that lacks a section."""
    def missing(m, *sections):
        doc = KERNEL_DOC.search(text[:m.start()])
        if not doc:
            return ['kernel-doc']
        return [s for s in sections if f' * {s}' not in doc.group(1)]

    for m in FUNCTION.finditer(text):
        sections = ['Context:']
        if m.group(1).split()[-1] != 'void':
            sections.append('Return:')
        for what in missing(m, *sections):
            yield text.count('\n', 0, m.start()) + 1, \
                f'{m.group(2)}() has no {what}'
    for m in STRUCTURE.finditer(text):
        for what in missing(m):
            yield text.count('\n', 0, m.start()) + 1, \
                f'{m.group(1)} has no {what}'


def gate_kernel_doc():
    """kernel-doc -Wall, and who has none"""
    names = [n for n in ours('.c', '.h') if not n.startswith('tools/') and
             not n.endswith('_test.c')]
    said = run([os.path.join(TREE, 'scripts/kernel-doc'), '-none', '-Wall'] +
               names).stdout.strip()
    return said.split('\n') * bool(said) + [
        f'{n}:{line}: {what}' for n in names
        for line, what in undocumented(read(os.path.join(TOP, n)))]


def gate_sparse():
    """sparse, with its endian checks"""
    log = os.path.join(OUT, 'sparse')
    for old in glob.glob(log + '.*'):
        os.unlink(old)
    kernel = os.path.join(BUILD, 'k64')
    if not os.path.exists(os.path.join(kernel, '.config')):
        return ['no build/k64: make kernel']
    env = dict(os.environ, SPARSE_LOG=log, SPARSE_TREE=TREE, SPARSE_BASE=BASE)
    made = run(make_words(TREE, kernel, '-s', 'C=2',
                          'CHECK=' + os.path.join(HERE, 'sparse-twice'),
                          *objects(kernel)), env=env)
    if made.returncode:
        return made.stdout.strip().split('\n')[-20:]
    if not os.path.exists(log + '.ours'):
        return ['nothing was checked']
    base = collections.Counter(
        (n, w) for n, _, w in set(findings(read(log + '.base'))))
    own, bad = set(ours('.c', '.h')) | set(edited()), []
    for name, line, what in sorted(set(findings(read(log + '.ours')))):
        base[(name, what)] -= 1
        if name in own and base[(name, what)] < 0:
            bad.append(f'{name}:{line}: {what}')
    return bad


def gate_coccinelle():
    """the kernel's semantic patches, in report mode"""
    bad, names = [], kernel_sources()
    env = dict(os.environ, COCCI_FILES=' '.join(names))
    scripts = [s for s in glob.glob(os.path.join(
        TREE, 'scripts/coccinelle/**/*.cocci'), recursive=True)
        if re.search(r'^virtual.*\breport\b', read(s), re.M) and
        # Two need a compiler of OCaml: one for one driver, and one for
        # 0 in place of NULL, which sparse finds as well.
        ':ocaml' not in read(s)]
    made = run(['xargs', '-n', '1', '-P', JOBS, os.path.join(HERE, 'cocci-one'),
                TREE], input='\n'.join(sorted(scripts)), env=env)
    for line in made.stdout.strip().split('\n'):
        if line:
            bad.append(line.replace(TOP + '/', ''))
    if made.returncode and not bad:
        bad = ['spatch fails']
    return bad


def build_kernel(label, fragments, words, targets, variables=()):
    out = os.path.join(OUT, label)
    made = run([os.path.join(HERE, 'kernel.py'), '--tree', TREE, '--out', out,
                '--label', label, '--cross', CROSS] +
               [w for f in fragments for w in ('--fragment', f)] +
               [w for v in variables for w in ('--make', v)] + words + targets)
    log = out + '.log'
    text = made.stdout + (read(log) if os.path.exists(log) else '')
    return made.returncode, text


def compiled(out, names):
    """The objects that were, of these and of these folders; are they modular?"""
    for name in names:
        path = os.path.join(out, name)
        for o in glob.glob(path + '*.o') if name.endswith('/') else [path]:
            folder, base = os.path.split(o)
            cmd = os.path.join(folder, f'.{base}.cmd')
            text = read(cmd) if os.path.exists(cmd) else ''
            if ' -c -o ' in text:
                yield o, '-DMODULE' in text


def symbols(path, *words):
    return {l.split()[-1] for l in
            run([CROSS + 'nm', *words, path]).stdout.split('\n') if l}


def unexported(out, names):
    """What modules use of the kernel without its being exported.

    modpost would say so, of a whole kernel with all its modules.
    """
    used, theirs, kernels = set(), set(), set()
    for path, modular in compiled(out, names):
        if modular:
            used |= symbols(path, '-u')
            theirs |= symbols(path, '--defined-only')
        else:
            kernels |= symbols(path, '--defined-only')
    return [f'{s} is used by a module and not exported'
            for s in sorted((used - theirs) & kernels)
            if f'__export_symbol_{s}' not in kernels]


def forget(out):
    """Removes what was built of ours: what is up to date warns of nothing."""
    if not os.path.exists(os.path.join(out, 'include/config/auto.conf')):
        return
    for name in objects(out):
        names = [name]
        if name.endswith('/'):
            names = [os.path.join(d, '*.o') for d in (name, 'virt/kvm')]
        for path in (p for n in names for p in glob.glob(os.path.join(out, n))):
            os.unlink(path)


def build_objects(label, fragments, variables=()):
    """What is built of ours in a configuration; its findings."""
    out = os.path.join(OUT, label)
    code, text = build_kernel(label, fragments, [], ['prepare'], variables)
    if not code:
        forget(out)
        names = objects(out)
        code, text = build_kernel(label, fragments, [], names, variables)
    bad = list(that_are_ours(findings(text)))
    if not code:
        bad += unexported(out, names)
    if code and not bad:
        bad = text.strip().split('\n')[-20:]
    return bad


def gate_w1_gcc():
    """gcc with W=1"""
    return build_objects('w1-gcc', [], ['W=1'])


def gate_w1_clang():
    """clang with W=1"""
    return build_objects('w1-clang', [], ['W=1', 'CC=clang'])


def config_gate(name):
    def gate():
        return build_objects(name, [name + '.config'])
    gate.__doc__ = f'builds with {name}.config'
    return gate


def link_gate(name):
    def gate():
        forget(os.path.join(OUT, name + '-link'))
        code, text = build_kernel(name + '-link', [name + '.config'], [],
                                  ['vmlinux', 'modules'])
        bad = list(that_are_ours(findings(text)))
        return bad or (text.strip().split('\n')[-20:] if code else [])
    gate.__doc__ = f'a whole kernel, linked, with {name}.config'
    return gate


def unpacked(folder, program, *words):
    """A command of a package that is not of this machine; None without it."""
    usr = os.path.join(TOP, 'build', folder, 'usr')
    loader = glob.glob(os.path.join(usr, 'lib*', '**', 'ld-linux-*.so.*'),
                       recursive=True)
    path = os.path.join(usr, 'bin', program)
    if not loader or not os.path.exists(path):
        return None
    libs = ':'.join(sorted({os.path.dirname(p) for p in glob.glob(
        os.path.join(usr, 'lib', '**', '*.so*'), recursive=True)}))
    return [loader[0], '--library-path', libs, path,
            *(w.format(usr=usr) for w in words)]


def prover_gate(name, prover, command, words, without):
    """What says "ok NAME" and "not ok NAME", each a result of its own.

    Without the prover the rest is done, and what is ok counts as skipped.
    """
    made = run([*words, *(['--command', shlex.join(command)] if command
                         else without)])
    print(made.stdout, end='', flush=True)
    skip = '' if command else f' # SKIP no {prover}'
    results = {f'{name}-{test}' + skip * (ok == 'ok'):
               [] if ok == 'ok' else ['see above']
               for ok, test in re.findall(r'^(not ok|ok) (\S+)', made.stdout,
                                          re.M)}
    if made.returncode and not any(results.values()):
        results[name] = made.stdout.strip().split('\n')[-20:]
    return results


def make_gate(target, **variables):
    def gate():
        with MAKE_LOCK:
            made = run(['make', '-s', '--no-print-directory', target] +
                       [f'{k}={v}' for k, v in variables.items()])
        print(made.stdout, end='', flush=True)
        return ['see above'] if made.returncode else []
    gate.__doc__ = f'make {target}'
    return gate


def gate_litmus():
    """lock-free protocols against the memory model, by herd7"""
    herd = unpacked('herd', 'herd7', '-set-libdir',
                    '{usr}/share/herdtools7/herd')
    return prover_gate('litmus', 'herd7', herd,
                       [os.path.join(TOP, 'tools/testing/tce/litmus/run.py'),
                        '--tree', TREE], ['--source'])


def cbmc_gate(*words):
    def gate():
        return prover_gate('cbmc', 'cbmc', unpacked('cbmc', 'cbmc'),
                           [os.path.join(TOP,
                                         'tools/testing/tce/proofs/run.py'),
                            '--tree', TREE, *words], ['--list'])
    gate.__doc__ = 'bounded proofs, by cbmc'
    return gate


LINT = {'checkpatch': gate_checkpatch,
        'checkpatch-series': gate_checkpatch_series,
        'kernel-doc': gate_kernel_doc, 'sparse': gate_sparse,
        'coccinelle': gate_coccinelle, 'w1-gcc': gate_w1_gcc,
        'w1-clang': gate_w1_clang, 'docs': make_gate('docs')}
BUILDS = {'build-' + c: config_gate(c) for c in CONFIGS}
LINKS = {'link-' + c: link_gate(c) for c in CONFIGS}
FUZZ = {'fuzz': make_gate('fuzz')}
PROOFS = {'litmus': gate_litmus, 'cbmc': cbmc_gate()}
LONG = {'fuzz-long': make_gate('fuzz', TIME=600),
        'fuzz-selftest': make_gate('fuzz-selftest'),
        'cbmc-long': cbmc_gate('--long')}
GROUPS = {'lint': LINT, 'builds': BUILDS, 'links': LINKS,
          'proofs': PROOFS,
          'short': {**LINT, **BUILDS, **FUZZ, **PROOFS}, 'long': {**LINKS, **LONG}}
GATES = {n: g for group in GROUPS.values() for n, g in group.items()}


def wanted(words):
    names = []
    for word in words or ['short']:
        names += GROUPS.get(word, [word])
    unknown = [n for n in names if n not in GATES]
    if unknown:
        sys.exit('gates: there is no ' + ' '.join(unknown))
    return names


def one(name):
    """Runs a gate; its results, which it has printed."""
    start = time.monotonic()
    bad = GATES[name]()
    several = bad if isinstance(bad, dict) else {name: bad}
    results = []
    for result, lines in several.items():
        for line in lines[:60]:
            print(f'{result}: {line}')
        results.append(('not ok ' if lines else 'ok ') + result)
        print(results[-1] + (f'  # {time.monotonic() - start:.0f} s'
                             if several is not bad else ''), flush=True)
    if several is bad:
        print(f'# {name}: {time.monotonic() - start:.0f} s', flush=True)
    return results


def main():
    p = argparse.ArgumentParser(
        description=__doc__.split('\n', maxsplit=1)[0],
        epilog='gates: ' + ' '.join(GATES),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('gate', nargs='*',
                   help='gates, or of ' + ' '.join(GROUPS) + '; default short')
    names = wanted(p.parse_args().gate)
    os.makedirs(OUT, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(PAIR) as pool:
        results = [r for some in pool.map(one, names) for r in some]
    with open(os.path.join(BUILD, 'gates.txt'), 'w', encoding='utf-8') as f:
        f.write('\n'.join(results) + '\n')
    failed = sum(r.startswith('not') for r in results)
    skipped = sum(' # SKIP' in r for r in results)
    print(f'{len(results) - failed - skipped} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
