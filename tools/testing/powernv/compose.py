#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Composes the patched kernel tree: the base, our files, and series/series.

A small git repository (build/compose/git) has the few files that the series
touches: as they are in the base, and then a commit for each step. Only when all
steps have applied does build/linux get the files that differ from the last
commit, so that a later build compiles what changed.

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
from common import TOP, base_version, our_files, read     # noqa: E402

TARBALL = '/usr/src/linux-source-6.12.tar.xz'
# Files that are for the repository alone.
OWN = ('series/', 'tools/testing/powernv/', '.ci/', 'build/')
WORDS = ('drop', 'cocci', 'add', 'entry', 'test', 'without')


class Broken(Exception):
    """A step that cannot be applied; the message names step and file."""


class Part:
    def __init__(self, name, cover):
        self.name, self.cover = name, cover


class Step:
    def __init__(self, name, part):
        self.name, self.part = name, part
        self.patch, self.script = f'series/{name}.patch', f'series/{name}.cocci'
        self.drop, self.cocci, self.add, self.entry = [], [], [], []
        self.test, self.without = [], []


# --- reading the series ------------------------------------------------------

def read_series(top=TOP):
    path = os.path.join(top, 'series', 'series')
    if not os.path.exists(path):
        raise Broken('series/series is missing')
    steps, parts = [], []
    for nr, line in enumerate(read(path).split('\n'), 1):
        words = line.split('#', 1)[0].split()
        if words:
            read_line(top, steps, parts, words, f'series/series:{nr}')
    check_once(steps)
    check_variants(top, steps)
    for part in parts:
        if part not in parts_of(steps):
            raise Broken(f'series/series: part {part.name} has no step')
    return steps


def read_line(top, steps, parts, words, where):
    key, rest = words[0], words[1:]
    if not rest:
        raise Broken(f'{where}: {key} names nothing')
    if key == 'part':
        parts.append(read_part(top, rest, where))
    elif not parts:
        raise Broken(f'{where}: no part before "{key}"')
    elif key == 'step':
        steps.append(Step(rest[0], parts[-1]))
        if not os.path.exists(os.path.join(top, steps[-1].patch)):
            raise Broken(f'{where}: {steps[-1].patch} is missing '
                         '(a step needs its commit message)')
    elif key not in WORDS:
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


def parts_of(steps):
    """The parts, in order."""
    return list(dict.fromkeys(s.part for s in steps))


def end_of(repo, part):
    """The commit of the last step of a part."""
    return [c for s, c in repo.ends.items() if s.part is part][-1]


def until(steps, name):
    """The steps of all parts up to the one of that name."""
    names = [p.name for p in parts_of(steps)]
    if name not in names:
        raise Broken(f'series/series has no part {name}')
    wanted = names[:names.index(name) + 1]
    return [s for s in steps if s.part.name in wanted]


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
        for path in glob.glob('**/*.patch', root_dir=folder, recursive=True):
            if path not in known:
                raise Broken(f'series/{version}/{path} is of no step')


def expand(top, path, where):
    """The files that an add names."""
    if not path.endswith('/'):
        if not os.path.isfile(os.path.join(top, path)):
            raise Broken(f'{where}: {path} is not in the repository')
        return [path]
    found = [p for p in our_files(top=top) if p.startswith(path)]
    if not found:
        raise Broken(f'{where}: nothing below {path}')
    return found


def check_once(steps):
    seen = {}
    for step in steps:
        for path in step.add:
            if path in seen:
                raise Broken(f'{path} is added by {seen[path]} and again by '
                             f'{step.name}')
            seen[path] = step.name


def check_orphans(top, steps):
    """Each of our kernel files is brought into the tree by some step."""
    named = {p for s in steps for p in s.add}
    lost = [n for n in our_files(top=top)
            if '/' in n and not n.startswith(OWN) and n not in named]
    if lost:
        raise Broken('no step of series/series adds\n  ' + '\n  '.join(lost))


# --- the base ----------------------------------------------------------------

def unpack(build):
    """build/base, from Debian's tarball; again when that has changed."""
    base = os.path.join(build, 'base')
    stamp = os.path.join(build, 'base.stamp')
    if not os.path.exists(TARBALL):
        raise Broken(f'{TARBALL} is missing: apt-get install linux-source-6.12'
                     ', or run tools/testing/powernv/setup')
    st = os.stat(TARBALL)
    identity = f'{st.st_size} {int(st.st_mtime)}'
    if os.path.isdir(base) and os.path.exists(stamp) and \
            read(stamp) == identity:
        return base, identity
    print(f'unpacking {TARBALL}', flush=True)
    new = base + '.new'
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    subprocess.run(['tar', '-xf', TARBALL, '-C', new, '--strip-components=1'],
                   check=True)
    shutil.rmtree(base, ignore_errors=True)
    os.rename(new, base)
    write(stamp, identity)
    return base, identity


def find_base(given, build):
    if not given:
        return unpack(build)
    base = os.path.abspath(given)
    if not os.path.exists(os.path.join(base, 'arch', 'powerpc', 'Kconfig')):
        raise Broken(f'BASE={given} is no kernel source')
    return base, f'{base} {base_version(base)}'


def write(path, text):
    with open(path + '.new', 'w', encoding='utf-8') as f:
        f.write(text)
    os.replace(path + '.new', path)


# --- commits of the files that are touched -----------------------------------

class Repo:
    """The files that some steps touch: the base's, and a commit for each step.

    @ends has the commit of each step.
    """

    def __init__(self, base, folder, top=TOP):
        self.base, self.folder, self.top = base, folder, top
        self.version = base_version(base)
        self.names = set()      # of all files that are touched
        self.titles = set()     # of the entries that are in by now
        self.start, self.ends = '', {}

    def git(self, *words, **kw):
        """Git, without the settings of the machine."""
        env = dict(os.environ, GIT_CONFIG_GLOBAL='/dev/null',
                   GIT_CONFIG_NOSYSTEM='1', **kw.pop('env', {}))
        run = subprocess.run(['git', '-C', self.folder, *words], env=env,
                             text=True, capture_output=True, check=False, **kw)
        if run.returncode:
            raise Broken(f'git {words[0]}: '
                         f'{(run.stderr or run.stdout).strip()}')
        return run.stdout

    def path(self, name):
        return os.path.join(self.folder, name)

    def has(self, name):
        return os.path.exists(self.path(name))

    def bring(self, root, name):
        """Copies a file in."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        shutil.copy(os.path.join(root, name), self.path(name))

    def make(self, steps, others=()):
        """Applies the steps. @others are files that are to be there besides."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.names = set(others).union(*(touched(s, self) for s in steps))
        for name in self.names:
            if os.path.exists(os.path.join(self.base, name)):
                self.bring(self.base, name)
        self.git('init', '-q', '-b', 'series')
        who = author(self.top)
        self.start = self.commit('base', who)
        ours = set()
        for step in steps:
            apply_step(self, step, ours)
            self.ends[step] = self.commit(
                message_of(os.path.join(self.top, step.patch)), who)
            ours.update(step.add)
        return self

    def commit(self, text, who):
        self.git('add', '-Af')
        self.git('commit', '-q', '--allow-empty', '-F', '-', input=text,
                 env=who)
        return self.git('rev-parse', 'HEAD').strip()

    def changed(self, tree, commit, install=False):
        """In which files a whole tree is not what a commit has.

        With @install it is, when this returns.
        """
        env = {'GIT_DIR': self.path('.git'), 'GIT_WORK_TREE': tree,
               'GIT_INDEX_FILE': self.path('.git/tree')}
        self.git('read-tree', commit, env=env)
        self.git('-C', tree, 'update-index', '-q', '--refresh', env=env)
        differ = self.git('-C', tree, 'diff-files', '--name-only', env=env)
        have = self.git('ls-files', env=env).split()
        gone = [n for n in self.names.difference(have)
                if os.path.exists(os.path.join(tree, n))]
        if install:
            self.git('-C', tree, 'checkout-index', '-f', '--stdin', env=env,
                     input=differ)
            for name in gone:
                os.unlink(os.path.join(tree, name))
        return differ.split() + gone


def author(top):
    """Whom git names as author here, and the day of the last change."""
    def ask(*words):
        run = subprocess.run(['git', '-C', top, *words], text=True,
                             capture_output=True, check=False)
        return run.stdout.strip() if run.returncode == 0 else ''

    name, mail = ask('config', 'user.name'), ask('config', 'user.email')
    if not name or not mail:
        name, mail = 'nobody', 'nobody@localhost'
    date = ask('log', '-1', '--format=%aD') or 'Thu, 1 Jan 2026 00:00:00 +0000'
    return {f'GIT_{who}_{what}': value for who in ('AUTHOR', 'COMMITTER')
            for what, value in (('NAME', name), ('EMAIL', mail),
                                ('DATE', date))}


def message_of(path):
    """The message of a patch in mail form."""
    head, _, body = read(path).partition('\n\n')
    subject = re.search(r'^Subject: (.*\n?(?: .*\n?)*)', head + '\n', re.M)
    if not subject:
        raise Broken(f'{path} has no Subject')
    subject = re.sub(r'^\[PATCH[^]]*\] *', '',
                     ' '.join(subject.group(1).split()))
    body = re.split(r'^(?:---$|diff |--- a/)', body, maxsplit=1,
                    flags=re.M)[0]
    return subject + '\n\n' + body.strip() + '\n'


# --- a step ------------------------------------------------------------------

def edits_of(step, repo):
    """The step's edits to the base, and the patches they are from."""
    text = read(os.path.join(repo.top, step.patch))
    other = variant_of(step, repo.top, repo.version)
    if not other:
        return text, step.patch
    instead = read(os.path.join(repo.top, other))
    names = diff_targets(instead, step)
    parts = re.split(r'^(?=diff --git )', text, flags=re.M)[1:]
    kept = [p for p in parts if diff_targets(p, step)[0] not in names]
    if len(kept) + len(names) != len(parts):
        raise Broken(f'{other} is to replace edits of {step.patch}, and edits '
                     'a file that the latter does not')
    return ''.join(kept) + instead, f'{step.patch} with {other}'


def diff_targets(text, step):
    """The files that a patch edits. It edits; it neither adds nor removes."""
    names = []
    for old, new in re.findall(r'^--- (\S+).*\n\+\+\+ (\S+)', text, re.M):
        if old == '/dev/null':
            raise Broken(f'step {step.name}: the patch adds {new}; hold the '
                         'file in the repository and name it with add')
        if new == '/dev/null':
            raise Broken(f'step {step.name}: the patch removes {old}; '
                         'use drop')
        names.append(new.split('/', 1)[1])
    return names


def touched(step, repo):
    return {*step.drop, *step.cocci, *step.add, *step.entry,
            *diff_targets(edits_of(step, repo)[0], step)}


def apply_step(repo, step, ours):
    for name in step.drop:
        if not repo.has(name):
            raise Broken(f'step {step.name}: drop {name}: no such file')
        os.unlink(repo.path(name))
    apply_cocci(repo, step)
    apply_patch(repo, step, ours)
    for name in step.add:
        repo.bring(repo.top, name)
    for name in step.entry:
        apply_entry(repo, step, name)


# The name of what a rule removes: a function or its declaration, a variable.
REMOVED = re.compile(
    r'^-\s*(?!return\b|if\b|else\b)[\w\s*]*?\b(\w+)\s*'
    r'(?:\(.*\)\s*[{;]|(?:\[[^]]*\])?\s*=\s*\{)', re.M)


def apply_cocci(repo, step):
    script = os.path.join(repo.top, step.script)
    if not step.cocci:
        if os.path.exists(script):
            raise Broken(f'step {step.name}: {step.script} is there, but no '
                         '"cocci PATH..." line')
        return
    if not os.path.exists(script):
        raise Broken(f'step {step.name}: {step.script} is missing')
    before, after = {}, {}
    for name in step.cocci:
        if not repo.has(name):
            raise Broken(f'step {step.name}: cocci {name}: no such file')
        before[name] = read(repo.path(name))
        run_spatch(step, script, repo.path(name), name)
        after[name] = read(repo.path(name))
        if before[name] == after[name]:
            raise Broken(f'step {step.name}: {step.script} changes nothing '
                         f'in {name}')
    check_removed(step, set(REMOVED.findall(read(script))),
                  '\n'.join(before.values()), '\n'.join(after.values()))


def run_spatch(step, script, path, name):
    # Headers play no part in what we remove, and would only cost time.
    run = subprocess.run(
        ['spatch', '--very-quiet', '--no-includes', '--sp-file', script,
         '--in-place', path], capture_output=True, text=True, check=False)
    if run.returncode or re.search(r'error|Fatal|EXN', run.stderr):
        raise Broken(f'step {step.name}: spatch fails on {name}:\n' +
                     (run.stderr or run.stdout).strip())


def check_removed(step, names, before, after):
    """What a rule removes must have been there, and must be gone.

    The name may remain in places that the step's patch edits afterwards; its
    definition, which takes one mention with it, may not.
    """
    for symbol in sorted(names):
        word = re.compile(rf'\b{symbol}\b')
        if len(word.findall(after)) >= len(word.findall(before)):
            raise Broken(f'step {step.name}: {step.script} removes {symbol}, '
                         'which is still in (or was never in) ' +
                         ', '.join(step.cocci))


def apply_patch(repo, step, ours):
    text, source = edits_of(step, repo)
    names = diff_targets(text, step)
    for name in names:
        if name in ours:
            raise Broken(f'step {step.name}: the patch edits {name}, which is '
                         'ours: edit the file itself')
        if not repo.has(name):
            raise Broken(f'step {step.name}: the patch edits {name}, which is '
                         'not in the base')
    if not names:
        return
    run = subprocess.run(
        ['patch', '-p1', '-F3', '--force', '--no-backup-if-mismatch',
         '-r', '-', '-d', repo.folder],
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


def is_there(repo, pattern):
    """Does a pattern of MAINTAINERS name some file that is there by now?"""
    names = {n for root in (repo.base, repo.folder)
             for n in glob.glob(pattern, root_dir=root)}
    return any(n not in repo.names or repo.has(n) for n in names)


def apply_entry(repo, step, name):
    """Sorts an entry into a file whose entries have an empty line between."""
    if not repo.has(name):
        raise Broken(f'step {step.name}: entry {name}: not in the base')
    lines = read(os.path.join(repo.top, name)).strip('\n').split('\n')
    ours = '\n'.join(l for l in lines if not l.startswith('F:\t')
                     or is_there(repo, l[len('F:\t'):]))
    title, text = lines[0], read(repo.path(name))
    if title in repo.titles:
        text = re.sub(rf'^{re.escape(title)}\n(?:[A-Z]:\t.*\n)+\n', '', text,
                      flags=re.M)
    repo.titles.add(title)
    titles = list(re.finditer(r'^(?![A-Z]:\t)(\S.*)\n(?=[A-Z]:\t)', text, re.M))
    if title in [m.group(1) for m in titles]:
        raise Broken(f'step {step.name}: {name} has "{title}" already')
    # Behind the one that comes before it, wherever that stands.
    before = max((m for m in titles if m.group(1).upper() < title.upper()),
                 key=lambda m: m.group(1).upper())
    where = titles[titles.index(before) + 1].start()
    write(repo.path(name), text[:where] + ours + '\n\n' + text[where:])


# --- the tree ----------------------------------------------------------------

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


def tree_record(path):
    """Of which base a tree is, and what steps have touched in it."""
    if not os.path.exists(path):
        return {'base': None, 'touched': []}
    return json.loads(read(path))


def bring_tree(base, identity, tree, record, names):
    """Has a tree of this base, in which only these names may differ from it.

    Noted before the first change, so that a run that was cut off is mended.
    """
    made = {'base': identity, 'touched': sorted(names)}
    if tree_record(record)['base'] != identity or not os.path.isdir(tree):
        # Until it is whole again it belongs to no base.
        write(record, json.dumps(dict(made, base=None)))
        make_tree(base, tree)
    write(record, json.dumps(made))


# --- the series for git am ---------------------------------------------------

def write_patches(repo, out):
    """A folder for git am for each part, and one for quilt of all."""
    if repo.git('log', '-1', '--format=%an') == 'nobody\n':
        print('note: git knows no user.name and user.email; the patches name '
              'no author')
    shutil.rmtree(out, ignore_errors=True)
    begin = repo.start
    for nr, part in enumerate(parts_of(repo.ends), 1):
        end = end_of(repo, part)
        write_part(repo, part, begin, end,
                   os.path.join(out, f'{nr}-{part.name}'))
        begin = end
    folder = os.path.join(out, 'quilt', 'patches')
    # Without mail's numbers, and with the file that lists them.
    repo.git('format-patch', '-q', '--no-signature', '--zero-commit', '-N',
             '--no-renames', '-o', folder, repo.start)
    names = sorted(os.listdir(folder))
    write(os.path.join(folder, 'series'), '\n'.join([*names, '']))


def write_part(repo, part, begin, end, folder):
    """The patches of a part, and beside their folder its cover letter, since
    git am takes all files of a folder for patches. Files that are written anew
    are not shown as changes of the old ones (-B)."""
    repo.git('config', 'branch.series.description',
             read(os.path.join(repo.top, part.cover)))
    repo.git('reset', '-q', '--hard', end)
    repo.git('format-patch', '-q', '--no-signature', '--zero-commit', '-B',
             '-M', '--cover-letter', '--cover-from-description=subject', '-o',
             folder, begin, env=author(repo.top))
    os.rename(os.path.join(folder, '0000-cover-letter.patch'),
              f'{folder}-cover-letter.patch')


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


def compose(args):
    top = os.path.abspath(args.top)
    build = os.path.abspath(args.build or os.path.join(top, 'build'))
    folder = os.path.join(build, 'compose')
    os.makedirs(folder, exist_ok=True)
    base, identity = find_base(args.base, build)
    version = f'Linux {base_version(base)}'
    if args.base_only:
        print(f'base is {version}')
        return
    steps = read_series(top)
    check_orphans(top, steps)
    if args.until:
        steps = until(steps, args.until)
    repo = Repo(base, os.path.join(folder, 'git'), top)
    if args.patches:
        out = os.path.relpath(args.patches)
        write_patches(repo.make(steps), os.path.abspath(args.patches))
        print(f'{out}: {len(steps)} patches in {len(parts_of(steps))} parts, '
              f'each with a cover letter, for {version}; for quilt: '
              f'{out}/quilt/patches')
        return
    tree = os.path.join(build, 'linux')
    record = os.path.join(folder, 'manifest.json')
    repo.make(steps, tree_record(record)['touched'])
    bring_tree(base, identity, tree, record, repo.names)
    changed = repo.changed(tree, 'HEAD', install=True)
    print(f'{os.path.relpath(tree)}: {version}, {len(steps)} steps, '
          f'{len(repo.names)} files touched, {len(changed)} changed now')


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
