#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Applies the series to the pristine base, once with git am, part by part, and
once with quilt, and compares: after each part with what its steps compose, and
at the end with the composed tree, byte for byte. Then asks get_maintainer.pl for
every file of ours, which has to answer with our entry.

Only files that the series touches are copied; that it touches no others is
seen by comparing the composed tree with the base.
"""
import argparse
import filecmp
import glob
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import compose      # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


class Bad(Exception):
    """What is wrong with the series."""


def run(*words, cwd, **env):
    done = subprocess.run(words, cwd=cwd, text=True, capture_output=True,
                          env=dict(os.environ, **env), check=False)
    if done.returncode:
        raise Bad(f'{" ".join(words[:2])}: {done.stdout}{done.stderr}')
    return done.stdout


def touched(folder):
    """The files that the patches of a folder name."""
    names = set()
    for patch in os.listdir(folder):
        with open(os.path.join(folder, patch), encoding='utf-8') as f:
            for a, b in re.findall(r'^diff --git a/(\S+) b/(\S+)$', f.read(),
                                   re.M):
                names.update((a, b))
    return sorted(names)


def pristine(base, names, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in names:
        if os.path.exists(os.path.join(base, name)):
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(base, name), target)


def compare(what, names, folder, tree):
    for name in names:
        have, want = os.path.join(folder, name), os.path.join(tree, name)
        if os.path.exists(have) != os.path.exists(want):
            raise Bad(f'{what}: {name} is in one tree only')
        if not os.path.exists(have):
            continue
        if not filecmp.cmp(have, want, shallow=False):
            raise Bad(f'{what}: {name} differs')
        if os.access(have, os.X_OK) != os.access(want, os.X_OK):
            raise Bad(f'{what}: {name} is executable in one tree only')


def check_git(patches, names, args):
    work = os.path.join(args.build, 'check-patches', 'git')
    pristine(args.base, names, work)
    who = {f'GIT_{w}_{k}': 'check' for w in ('AUTHOR', 'COMMITTER')
           for k in ('NAME', 'EMAIL')}
    env = dict(who, GIT_CONFIG_GLOBAL='/dev/null', GIT_CONFIG_NOSYSTEM='1')
    run('git', 'init', '-q', cwd=work, **env)
    run('git', 'add', '-Af', cwd=work, **env)
    run('git', 'commit', '-q', '-m', 'base', cwd=work, **env)
    steps = compose.read_series(TOP)
    count = 0
    for nr, part in enumerate(compose.parts_of(steps), 1):
        # All files of the folder, as its user would.
        mails = sorted(glob.glob(f'{patches}/{nr}-{part.name}/*'))
        run('git', 'am', '-q', *mails, cwd=work, **env)
        compare(f'git am of {part.name}', names, work,
                composed(steps, part, names, args))
        count += len(mails)
    compare('git am', names, work, os.path.join(args.build, 'linux'))
    return count


def composed(steps, part, names, args):
    """The files as they are after that part."""
    folder = os.path.join(args.build, 'check-patches', 'stage')
    stage = compose.Staging(args.base, folder)
    compose.apply_steps(stage, compose.until(steps, part.name), TOP)
    for name in names:
        stage.fetch(name)
    return folder


def check_quilt(patches, names, args):
    work = os.path.join(args.build, 'check-patches', 'quilt')
    pristine(args.base, names, work)
    shutil.copytree(os.path.join(patches, 'quilt', 'patches'),
                    os.path.join(work, 'patches'))
    # No fuzz, and no file or setting of the user's.
    run('quilt', '--quiltrc', '-', 'push', '-a', '-q', '--fuzz=0', cwd=work)
    compare('quilt', names, work, os.path.join(args.build, 'linux'))


def check_untouched(names, args):
    """The composed tree differs from the base in those files alone."""
    done = subprocess.run(
        ['rsync', '-rlnc', '--delete', '--itemize-changes', '--exclude',
         '__pycache__', args.base + '/', os.path.join(args.build, 'linux') +
         '/'], text=True, capture_output=True, check=True)
    lines = [l.split(maxsplit=1) for l in done.stdout.splitlines()]
    other = [n for _, n in lines if not n.endswith('/') and n not in names]
    if other:
        raise Bad('not of the series: ' + ' '.join(other[:5]))


def check_maintainers(args):
    tree = os.path.join(args.build, 'linux')
    with open(os.path.join(TOP, 'MAINTAINERS'), encoding='utf-8') as f:
        title = f.readline().strip()
    ours = run('git', 'ls-files', '-co', '--exclude-standard', cwd=TOP)
    names = [n for n in ours.split('\n') if '/' in n and not n.startswith(
        ('series/', '.ci/', 'tools/testing/powernv/'))]
    names = [n for n in names if os.path.exists(os.path.join(TOP, n))]
    script = ('perl', 'scripts/get_maintainer.pl')
    for line in run(*script, '--self-test=sections', cwd=tree).split('\n'):
        if title in line:
            raise Bad(line)
    for name in names:
        out = run(*script, '--no-git', '--no-git-fallback', '--sections', '-f',
                  name, cwd=tree)
        if not re.search('^' + re.escape(title) + '$', out, re.M):
            raise Bad(f'{name}: not covered by our entry of MAINTAINERS')
    return len(names)


def timed(what, function, *args):
    start = time.monotonic()
    result = function(*args)
    print(f'{what}: {result or ""}{" " if result else ""}'
          f'good, {time.monotonic() - start:.1f} s', flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--base', required=True, help='the pristine base')
    p.add_argument('--build', required=True,
                   help='where the composed tree and patches/ lie')
    args = p.parse_args()
    patches = os.path.join(args.build, 'patches')
    names = touched(os.path.join(patches, 'quilt', 'patches'))
    try:
        timed('patches that git am takes', check_git, patches, names, args)
        timed('quilt push -a', check_quilt, patches, names, args)
        timed('no other file is touched', check_untouched, names, args)
        timed('files that MAINTAINERS covers', check_maintainers, args)
    except Bad as e:
        print(f'check-patches: {e}', file=sys.stderr)
        return 1
    shutil.rmtree(os.path.join(args.build, 'check-patches'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
