#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Composes the patched kernel tree: the base, our files, and series/series.

All steps are applied to copies of the few files that they touch. Only when
every one of them has applied do the results go into build/linux, and only
those whose contents differ, so that a later build compiles what changed.

series/series, in order; '#' starts a comment:

  part NAME COVER      opens a part, a series of its own to send, with the text
                       of its cover letter in series/COVER
  step NAME            opens a step of it: series/NAME.patch holds its commit message
                       (From, Subject, text) and its edits to base files, if any
    drop PATH...       base files that go away whole
    cocci PATH...      base files that series/NAME.cocci is applied to
    add PATH...        our files that this step introduces or puts in the place
                       of the base's; "PATH/" is every file below that folder
    entry PATH...      our files that are entries of a base file of that name,
                       which has them in the order of the alphabet (MAINTAINERS);
                       of these the lines whose files are there by then, so a
                       later step brings it up to date by the same line
    lacks OPTION...    what cannot be configured after this step
    test PROGRAM...    what "make bisect BOOT=1" runs after this step

Within a step the order is: drop, cocci, patch, add, entry.

Where a newer base needs other edits, series/VERSION/NAME.patch has them, for
bases from that version on: of the newest such patch, what it has for a file
takes the place of what series/NAME.patch has for it.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TARBALL = '/usr/src/linux-source-6.12.tar.xz'
# What of the repository is for the repository alone.
OWN = ('series/', 'tools/testing/powernv/', '.ci/', 'build/')


class Broken(Exception):
    """A step that cannot be applied; the message names step and file."""


class Part:
    def __init__(self, name, cover):
        self.name, self.cover = name, cover


class Step:
    def __init__(self, name, line, part):
        self.name, self.line, self.part = name, line, part
        self.drop, self.cocci, self.add, self.entry = [], [], [], []
        self.lacks, self.test = [], []


# --- reading the series ------------------------------------------------------

def read_series(top):
    path = os.path.join(top, 'series', 'series')
    if not os.path.exists(path):
        raise Broken('series/series is missing')
    steps, parts = [], []
    with open(path, encoding='utf-8') as f:
        for nr, line in enumerate(f, 1):
            words = line.split('#', 1)[0].split()
            if words:
                read_line(top, steps, parts, words, nr)
    check_once(steps)
    check_variants(top, steps)
    for part in parts:
        if not steps_of(steps, part):
            raise Broken(f'series/series: part {part.name} has no step')
    return steps


def read_line(top, steps, parts, words, nr):
    where = f'series/series:{nr}'
    key, rest = words[0], words[1:]
    if not rest:
        raise Broken(f'{where}: {key} names nothing')
    if key == 'part':
        parts.append(read_part(top, rest, where))
    elif not parts:
        raise Broken(f'{where}: no part before "{key}"')
    elif key == 'step':
        steps.append(Step(rest[0], nr, parts[-1]))
        if not os.path.exists(os.path.join(top, patch_of(steps[-1]))):
            raise Broken(f'{where}: {patch_of(steps[-1])} is missing '
                         '(a step needs its commit message)')
    elif key not in ('drop', 'cocci', 'add', 'entry', 'lacks', 'test'):
        raise Broken(f'{where}: unknown word "{key}"')
    elif not steps:
        raise Broken(f'{where}: no step before "{key}"')
    elif key == 'add':
        for path in rest:
            steps[-1].add += expand(top, path, where)
    else:
        getattr(steps[-1], key).extend(rest)


def read_part(top, words, where):
    if len(words) != 2:
        raise Broken(f'{where}: a part has a name and a cover letter')
    part = Part(words[0], f'series/{words[1]}')
    if not os.path.exists(os.path.join(top, part.cover)):
        raise Broken(f'{where}: {part.cover} is missing')
    return part


def steps_of(steps, part):
    return [s for s in steps if s.part is part]


def parts_of(steps):
    """The parts, in order."""
    return list(dict.fromkeys(s.part for s in steps))


def until(steps, name):
    """The steps of all parts up to the one of that name."""
    names = [p.name for p in parts_of(steps)]
    if name not in names:
        raise Broken(f'series/series has no part {name}')
    wanted = names[:names.index(name) + 1]
    return [s for s in steps if s.part.name in wanted]


def patch_of(step):
    return f'series/{step.name}.patch'


def cocci_of(step):
    return f'series/{step.name}.cocci'


def numbers(version):
    return [int(n) for n in re.findall(r'\d+', version)]


def variants(top):
    """The versions that series/ has other edits for, newest first."""
    return sorted((n for n in os.listdir(os.path.join(top, 'series'))
                   if re.fullmatch(r'\d+\.\d+', n)),
                  key=numbers, reverse=True)


def variant_of(step, top, version):
    """What a base of this version needs instead of some edits, or None."""
    for name in variants(top):
        path = f'series/{name}/{step.name}.patch'
        if numbers(name) <= numbers(version) and \
                os.path.exists(os.path.join(top, path)):
            return path
    return None


def check_variants(top, steps):
    known = {f'{s.name}.patch' for s in steps}
    for version in variants(top):
        folder = os.path.join(top, 'series', version)
        for path, _, names in os.walk(folder):
            for name in names:
                name = os.path.relpath(os.path.join(path, name), folder)
                if name not in known:
                    raise Broken(f'series/{version}/{name} is of no step')


def expand(top, path, where):
    """The files that an add names."""
    full = os.path.join(top, path)
    if not path.endswith('/'):
        if not os.path.isfile(full):
            raise Broken(f'{where}: {path} is not in the repository')
        return [path]
    found = [p for p in our_files(top) if p.startswith(path)]
    if not found:
        raise Broken(f'{where}: nothing below {path}')
    return found


def our_files(top):
    """Every file of the repository, without what git ignores."""
    git = subprocess.run(
        ['git', '-C', top, 'ls-files', '-co', '--exclude-standard'],
        capture_output=True, text=True, check=False)
    if git.returncode == 0:
        names = git.stdout.split('\n')
    else:
        names = [os.path.relpath(os.path.join(d, f), top)
                 for d, _, files in os.walk(top) for f in files]
    return sorted(n for n in names
                  if os.path.isfile(os.path.join(top, n))
                  and not n.startswith('.git/'))


def check_once(steps):
    seen = {}
    for step in steps:
        for path in step.add:
            if path in seen:
                raise Broken(f'{path} is added by {seen[path]} and again by '
                             f'{step.name}')
            seen[path] = step.name


def orphans(top, steps):
    """Our kernel files that no step brings into the tree."""
    named = {p for s in steps for p in s.add}
    return [n for n in our_files(top)
            if '/' in n and not n.startswith(OWN) and n not in named]


# --- the base ----------------------------------------------------------------

def base_version(tree):
    with open(os.path.join(tree, 'Makefile'), encoding='utf-8') as f:
        text = f.read(2000)
    found = [re.search(rf'^{k} = *(\S*)', text, re.M)
             for k in ('VERSION', 'PATCHLEVEL', 'SUBLEVEL')]
    return '.'.join(m.group(1) for m in found if m)


def unpack(build):
    """build/base, from Debian's tarball; again when that has changed."""
    base = os.path.join(build, 'base')
    stamp = os.path.join(build, 'base.stamp')
    if not os.path.exists(TARBALL):
        raise Broken(f'{TARBALL} is missing: apt-get install linux-source-6.12'
                     ', or run tools/testing/powernv/setup')
    st = os.stat(TARBALL)
    identity = f'{st.st_size} {int(st.st_mtime)}'
    if os.path.isdir(base) and os.path.exists(stamp):
        with open(stamp, encoding='utf-8') as f:
            if f.read() == identity:
                return base, identity
    print(f'unpacking {TARBALL}', flush=True)
    new = base + '.new'
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    subprocess.run(['tar', '-xf', TARBALL, '-C', new, '--strip-components=1'],
                   check=True)
    shutil.rmtree(base, ignore_errors=True)
    os.rename(new, base)
    with open(stamp, 'w', encoding='utf-8') as f:
        f.write(identity)
    return base, identity


# --- applying ----------------------------------------------------------------

class Staging:
    """Copies of the files that the steps touch."""

    def __init__(self, base, root):
        self.base, self.root = base, root
        self.touched = set()
        self.entries = set()    # titles of ours that are in by now
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)

    def path(self, name):
        return os.path.join(self.root, name)

    def fetch(self, name):
        """Brings a file of the base in, once; False where there is none."""
        if name not in self.touched:
            self.touched.add(name)
            source = os.path.join(self.base, name)
            if os.path.exists(source):
                os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
                shutil.copy2(source, self.path(name))
        return os.path.exists(self.path(name))

    def read(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()


def apply_drop(stage, step):
    for name in step.drop:
        if not stage.fetch(name):
            raise Broken(f'step {step.name}: drop {name}: no such file')
        os.unlink(stage.path(name))


REMOVED = re.compile(
    r'^-\s*(?!return\b|if\b|else\b)[\w\s*]*?\b(\w+)\s*'
    r'(?:\(.*\)\s*\{|(?:\[[^]]*\])?\s*=\s*\{)', re.M)


def apply_cocci(stage, step, top):
    if not step.cocci:
        if os.path.exists(os.path.join(top, cocci_of(step))):
            raise Broken(f'step {step.name}: {cocci_of(step)} is there, but no '
                         '"cocci PATH..." line')
        return
    script = os.path.join(top, cocci_of(step))
    if not os.path.exists(script):
        raise Broken(f'step {step.name}: {cocci_of(step)} is missing')
    with open(script, encoding='utf-8') as f:
        names = set(REMOVED.findall(f.read()))
    before = {}
    for name in step.cocci:
        if not stage.fetch(name):
            raise Broken(f'step {step.name}: cocci {name}: no such file')
        before[name] = stage.read(name)
        run_spatch(stage, step, script, name)
        if stage.read(name) == before[name]:
            raise Broken(f'step {step.name}: {cocci_of(step)} changes nothing '
                         f'in {name}')
    check_removed(stage, step, names, before)


def run_spatch(stage, step, script, name):
    # Headers play no part in what we remove, and would only cost time.
    run = subprocess.run(
        ['spatch', '--very-quiet', '--no-includes', '--sp-file', script,
         '--in-place', stage.path(name)],
        capture_output=True, text=True, check=False)
    if run.returncode or re.search(r'error|Fatal|EXN', run.stderr):
        raise Broken(f'step {step.name}: spatch fails on {name}:\n' +
                     (run.stderr or run.stdout).strip())


def check_removed(stage, step, names, before):
    """What a rule removes must have been there, and must be gone.

    The name may remain in places that the step's patch edits afterwards; its
    definition, which takes one mention with it, may not.
    """
    for symbol in sorted(names):
        word = re.compile(rf'\b{symbol}\b'.encode())
        had = sum(len(word.findall(t)) for t in before.values())
        has = sum(len(word.findall(stage.read(n))) for n in before)
        if has >= had:
            raise Broken(f'step {step.name}: {cocci_of(step)} removes '
                         f'{symbol}, which is still in (or was never in) ' +
                         ', '.join(step.cocci))


def diff_targets(text, step):
    """The files that a patch edits. It edits; it neither adds nor removes."""
    pairs = re.findall(r'^--- (\S+).*\n\+\+\+ (\S+)', text, re.M)
    names = []
    for old, new in pairs:
        if old == '/dev/null':
            raise Broken(f'step {step.name}: the patch adds {new}; hold the '
                         'file in the repository and name it with add')
        if new == '/dev/null':
            raise Broken(f'step {step.name}: the patch removes {old}; '
                         'use drop')
        names.append(new.split('/', 1)[1])
    return names


def read_text(top, name):
    with open(os.path.join(top, name), encoding='utf-8') as f:
        return f.read()


def edits_of(step, top, version):
    """The step's edits to a base of that version; the patches they are from."""
    text = read_text(top, patch_of(step))
    if not re.search(r'^Subject: \S', text, re.M):
        raise Broken(f'step {step.name}: {patch_of(step)} has no Subject')
    other = variant_of(step, top, version)
    if not other:
        return text, patch_of(step)
    instead = read_text(top, other)
    names = diff_targets(instead, step)
    parts = re.split(r'^(?=diff --git )', text, flags=re.M)[1:]
    kept = [p for p in parts if diff_targets(p, step)[0] not in names]
    if len(kept) + len(names) != len(parts):
        raise Broken(f'{other} is to replace edits of {patch_of(step)}, and '
                     'edits a file that the latter does not')
    return ''.join(kept) + instead, f'{patch_of(step)} with {other}'


def apply_patch(stage, step, top, ours):
    text, source = edits_of(step, top, base_version(stage.base))
    names = diff_targets(text, step)
    for name in names:
        if name in ours:
            raise Broken(f'step {step.name}: the patch edits {name}, which is '
                         'ours: edit the file itself')
        if not stage.fetch(name):
            raise Broken(f'step {step.name}: the patch edits {name}, which is '
                         'not in the base')
    if not names:
        return
    run = subprocess.run(
        ['patch', '-p1', '-F3', '--force', '--no-backup-if-mismatch',
         '-r', '-', '-d', stage.root],
        input=text, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Broken(f'step {step.name}: {source} does not apply:\n' +
                     failures(run.stdout + run.stderr))
    for line in run.stdout.split('\n'):
        if 'with fuzz' in line:
            print(f'note: {step.name}: {line.strip()}')


def failures(output):
    """Of what patch says, the files and hunks that failed."""
    lines, current = [], ''
    for line in output.split('\n'):
        if line.startswith('patching file'):
            current = line[len('patching file '):]
        elif 'FAILED' in line or 'malformed' in line or 'ignored' in line:
            lines.append(f'  {current}: {line.strip()}')
    return '\n'.join(lines) or output.strip()


def apply_add(stage, step, top):
    for name in step.add:
        stage.fetch(name)
        os.makedirs(os.path.dirname(stage.path(name)), exist_ok=True)
        if os.path.exists(stage.path(name)):
            os.unlink(stage.path(name))
        shutil.copy2(os.path.join(top, name), stage.path(name))


def is_there(stage, pattern):
    """Does a pattern of MAINTAINERS name some file that is there by now?"""
    names = {n for root in (stage.base, stage.root)
             for n in glob.glob(pattern, root_dir=root)}
    return any(n not in stage.touched or os.path.exists(stage.path(n))
               for n in names)


def apply_entry(stage, step, top):
    """Sorts an entry into a file whose entries have an empty line between."""
    for name in step.entry:
        if not stage.fetch(name):
            raise Broken(f'step {step.name}: entry {name}: not in the base')
        lines = read_text(top, name).strip('\n').split('\n')
        ours = '\n'.join(l for l in lines if not l.startswith('F:\t')
                         or is_there(stage, l[len('F:\t'):]))
        title = lines[0]
        text = stage.read(name).decode()
        if title in stage.entries:
            text = re.sub(rf'^{re.escape(title)}\n(?:[A-Z]:\t.*\n)+\n', '', text,
                          flags=re.M)
        stage.entries.add(title)
        titles = list(re.finditer(r'^(?![A-Z]:\t)(\S.*)\n(?=[A-Z]:\t)', text,
                                  re.M))
        if title in [m.group(1) for m in titles]:
            raise Broken(f'step {step.name}: {name} has "{title}" already')
        # Behind the one that comes before it, wherever that stands.
        smaller = [m for m in titles if m.group(1).upper() < title.upper()]
        before = max(smaller, key=lambda m: m.group(1).upper())
        where = titles[titles.index(before) + 1].start()
        with open(stage.path(name), 'w', encoding='utf-8') as f:
            f.write(text[:where] + ours + '\n\n' + text[where:])


def apply_steps(stage, steps, top, after=None):
    ours = set()
    for step in steps:
        apply_drop(stage, step)
        apply_cocci(stage, step, top)
        apply_patch(stage, step, top, ours)
        apply_add(stage, step, top)
        apply_entry(stage, step, top)
        ours.update(step.add)
        if after:
            after(step)


# --- the tree ----------------------------------------------------------------

def same(a, b):
    if not os.path.exists(a) or not os.path.exists(b):
        return os.path.exists(a) == os.path.exists(b)
    if os.stat(a).st_size != os.stat(b).st_size or \
            os.access(a, os.X_OK) != os.access(b, os.X_OK):
        return False
    with open(a, 'rb') as f, open(b, 'rb') as g:
        return f.read() == g.read()


def put(source, target):
    """Replaces target in one move; its new time is what make looks at."""
    if not os.path.exists(source):
        os.unlink(target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = target + '.compose'
    shutil.copy(source, new)
    os.replace(new, target)


def make_tree(base, tree):
    """The unpatched tree, or an existing one brought back to the base."""
    if not os.path.isdir(tree):
        print(f'copying the base to {os.path.relpath(tree)}', flush=True)
        new = tree + '.new'
        shutil.rmtree(new, ignore_errors=True)
        subprocess.run(['cp', '-a', '--reflink=auto', base, new], check=True)
        os.rename(new, tree)
        return
    print(f'bringing {os.path.relpath(tree)} to the new base', flush=True)
    subprocess.run(['rsync', '-rlp', '--checksum', '--delete',
                    base + '/', tree + '/'], check=True)


def load(path):
    if not os.path.exists(path):
        return {'base': None, 'touched': []}
    with open(path, encoding='utf-8') as f:
        return json.load(f)


def save(path, data):
    with open(path + '.new', 'w', encoding='utf-8') as f:
        json.dump(data, f)
    os.replace(path + '.new', path)


def install(stage, tree, manifest, identity):
    """Brings the results into the tree; returns how many files changed."""
    old = load(manifest)
    names = sorted(stage.touched | set(old['touched']))
    if old['base'] != identity or not os.path.isdir(tree):
        # Until it is whole again it belongs to no base.
        save(manifest, {'base': None, 'touched': names})
        make_tree(stage.base, tree)
    # Noted before the first change, so that a run that was cut off is mended.
    save(manifest, {'base': identity, 'touched': names})
    changed = 0
    for name in names:
        source = stage.path(name) if name in stage.touched \
            else os.path.join(stage.base, name)
        target = os.path.join(tree, name)
        if not same(source, target):
            put(source, target)
            changed += 1
    save(manifest, {'base': identity, 'touched': sorted(stage.touched)})
    return changed


# --- the series for git am ---------------------------------------------------

def git(repo, *words, who=None, **kw):
    # The machine's other settings must not change the patches.
    env = dict(os.environ, GIT_CONFIG_GLOBAL='/dev/null',
               GIT_CONFIG_NOSYSTEM='1', **(who or {}))
    run = subprocess.run(['git', '-C', repo, *words], env=env, text=True,
                         capture_output=True, check=False, **kw)
    if run.returncode:
        raise Broken(f'git {words[0]}: {(run.stderr or run.stdout).strip()}')
    return run.stdout


def message_of(path):
    """The message of a patch in mail form."""
    with open(path, encoding='utf-8') as f:
        text = f.read()
    head, _, body = text.partition('\n\n')
    subject = re.search(r'^Subject: (.*\n?(?: .*\n?)*)', head + '\n', re.M)
    subject = ' '.join(subject.group(1).split())
    subject = re.sub(r'^\[PATCH[^]]*\] *', '', subject)
    body = re.split(r'^(?:---$|diff |--- a/)', body, maxsplit=1,
                    flags=re.M)[0]
    return subject + '\n\n' + body.strip() + '\n'


def author(top):
    """Whom git names as author here, and the day of the last change."""
    def ask(*words):
        run = subprocess.run(['git', '-C', top, *words], text=True,
                             capture_output=True, check=False)
        return run.stdout.strip() if run.returncode == 0 else ''

    name, mail = ask('config', 'user.name'), ask('config', 'user.email')
    if not name or not mail:
        print('note: git knows no user.name and user.email; the patches name '
              'no author')
        name, mail = 'nobody', 'nobody@localhost'
    date = ask('log', '-1', '--format=%aD') or 'Thu, 1 Jan 2026 00:00:00 +0000'
    return {'GIT_AUTHOR_NAME': name, 'GIT_AUTHOR_EMAIL': mail,
            'GIT_AUTHOR_DATE': date, 'GIT_COMMITTER_NAME': name,
            'GIT_COMMITTER_EMAIL': mail, 'GIT_COMMITTER_DATE': date}


def write_patches(base, steps, top, build, out):
    """The same as series for git am, one a part, and for quilt."""
    # All files that any step touches make up the small repository's base.
    stage = Staging(base, os.path.join(build, 'compose', 'stage'))
    apply_steps(stage, steps, top)
    repo = os.path.join(build, 'compose', 'git')
    who = author(top)
    start = fresh_repo(base, repo, stage.touched, who)
    work = Staging(base, repo + '.work')
    ends = {}

    def commit(step):
        for name in work.touched:
            target = os.path.join(repo, name)
            if not same(work.path(name), target):
                put(work.path(name), target)
        text = message_of(os.path.join(top, patch_of(step)))
        git(repo, 'add', '-Af', who=who)
        git(repo, 'commit', '-q', '-F', '-', input=text, who=who)
        ends[step.part] = git(repo, 'rev-parse', 'HEAD').strip()

    apply_steps(work, steps, top, commit)
    shutil.rmtree(work.root)
    shutil.rmtree(out, ignore_errors=True)
    begin = start
    for nr, (part, end) in enumerate(ends.items(), 1):
        git(repo, 'config', 'branch.series.description',
            read_text(top, part.cover))
        git(repo, 'reset', '-q', '--hard', end)
        write_part(repo, begin, os.path.join(out, f'{nr}-{part.name}'), who)
        begin = end
    write_quilt(repo, start, os.path.join(out, 'quilt'), who)
    return ends


def write_part(repo, begin, folder, who):
    """The patches of a part, and beside their folder its cover letter, since
    git am takes all files of a folder for patches."""
    git(repo, 'format-patch', '-q', '--no-signature', '--zero-commit', '-M',
        '--cover-letter', '--cover-from-description=subject', '-o', folder,
        begin, who=who)
    os.rename(os.path.join(folder, '0000-cover-letter.patch'),
              f'{folder}-cover-letter.patch')


def write_quilt(repo, start, out, who):
    """The patches without mail's numbers, and the file that lists them."""
    folder = os.path.join(out, 'patches')
    git(repo, 'format-patch', '-q', '--no-signature', '--zero-commit', '-N',
        '--no-renames', '-o', folder, start, who=who)
    with open(os.path.join(folder, 'series'), 'w', encoding='utf-8') as f:
        f.writelines(n + '\n' for n in sorted(os.listdir(folder))
                     if n != 'series')


def fresh_repo(base, repo, names, who):
    shutil.rmtree(repo, ignore_errors=True)
    os.makedirs(repo)
    git(repo, 'init', '-q', '-b', 'series')
    for name in names:
        if os.path.exists(os.path.join(base, name)):
            put(os.path.join(base, name), os.path.join(repo, name))
    git(repo, 'add', '-Af')
    git(repo, 'commit', '-q', '--allow-empty', '-m', 'base', who=who)
    return git(repo, 'rev-parse', 'HEAD').strip()


# --- main --------------------------------------------------------------------

def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--top', default=TOP, help='the repository')
    p.add_argument('--build', default='', help='default: build/ of it')
    p.add_argument('--base', default='',
                   help='an unpacked kernel source instead of the package')
    p.add_argument('--base-only', action='store_true',
                   help='unpack the base and print where it lies')
    p.add_argument('--until', default='', metavar='PART',
                   help='leave out the parts behind this one')
    p.add_argument('--patches', default='', metavar='FOLDER',
                   help='write the series for git am there')
    return p.parse_args()


def find_base(args, build):
    if not args.base:
        return unpack(build)
    base = os.path.abspath(args.base)
    if not os.path.exists(os.path.join(base, 'arch', 'powerpc', 'Kconfig')):
        raise Broken(f'BASE={args.base} is no kernel source')
    return base, f'{base} {base_version(base)}'


def compose(args):
    top = os.path.abspath(args.top)
    build = os.path.abspath(args.build or os.path.join(top, 'build'))
    os.makedirs(os.path.join(build, 'compose'), exist_ok=True)
    base, identity = find_base(args, build)
    if args.base_only:
        print(f'base is Linux {base_version(base)}')
        return
    steps = read_series(top)
    lost = orphans(top, steps)
    if lost:
        raise Broken('no step of series/series adds\n  ' + '\n  '.join(lost))
    if args.until:
        steps = until(steps, args.until)
    if args.patches:
        parts = write_patches(base, steps, top, build,
                              os.path.abspath(args.patches))
        out = os.path.relpath(args.patches)
        print(f'{out}: {len(steps)} patches in {len(parts)} parts, each with a '
              f'cover letter, for Linux {base_version(base)}; for quilt: '
              f'{out}/quilt/patches')
        return
    stage = Staging(base, os.path.join(build, 'compose', 'stage'))
    apply_steps(stage, steps, top)
    changed = install(stage, os.path.join(build, 'linux'),
                      os.path.join(build, 'compose', 'manifest.json'),
                      identity)
    tree = os.path.relpath(os.path.join(build, 'linux'))
    print(f'{tree}: Linux {base_version(base)}, {len(steps)} steps, '
          f'{len(stage.touched)} files touched, {changed} changed now')


def main():
    try:
        compose(arguments())
    except Broken as e:
        print(f'compose: {e}\ncompose: stopped; build/linux is as it was',
              file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as e:
        print(f'compose: {e}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
