#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Applies the series to the pristine base, once with git am, part by part, and
once with quilt, and compares: after each part with what its steps compose, and
at the end with the composed tree. Then asks get_maintainer.pl for every file of
ours, which has to answer with our entry.

No patch has more than LONGEST lines, so that one can review it. Files that are
new, removed or rewritten do not count. Each fix names the commit (Fixes:) or the
version that its fault came with.

Git compares trees by their ids, in the small repository of compose.py: only the
files that the series touches are in it. That it touches no others is seen by
comparing the composed tree with the base.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import compose                      # noqa: E402
from common import TOP, our_files   # noqa: E402


LONGEST = 1200
WHOLE = re.compile(r'^(?:new file|deleted file|dissimilarity index)', re.M)
SINCE = re.compile(r'^Fixes: [0-9a-f]{12} \(".*"\)$|\bLinux\s+\d+\.\d+\b', re.M)


class Bad(Exception):
    """What is wrong with the series."""


def run(*words, cwd):
    done = subprocess.run(words, cwd=cwd, text=True, capture_output=True,
                          check=False)
    if done.returncode:
        raise Bad(f'{" ".join(words[:2])}: {done.stdout}{done.stderr}')
    return done.stdout


def same(what, repo, commit):
    """Is the repository's work tree, all of it, what a commit has?"""
    repo.git('add', '-Af')
    differ = repo.git('diff', '--cached', '--stat', commit).strip()
    if differ:
        raise Bad(f'{what}: not what was composed:\n{differ}')


def check_git(args, repo):
    repo.git('checkout', '-q', '-B', 'am', repo.start)
    count = 0
    for nr, part in enumerate(compose.parts_of(repo.ends), 1):
        # All files of the folder, as its user would.
        mails = sorted(glob.glob(f'{args.patches}/{nr}-{part.name}/*'))
        repo.git('am', '-q', *mails, env=compose.author(TOP))
        same(f'git am of {part.name}', repo, compose.end_of(repo, part))
        count += len(mails)
    return count


def check_quilt(args, repo):
    repo.git('checkout', '-q', '-B', 'quilt', repo.start)
    # No fuzz, and no file or setting of the user's.
    os.environ['QUILT_PATCHES'] = f'{args.patches}/quilt/patches'
    run('quilt', '--quiltrc', '-', 'push', '-a', '-q', '--fuzz=0',
        cwd=repo.folder)
    shutil.rmtree(repo.path('.pc'))
    same('quilt', repo, list(repo.ends.values())[-1])


def lines_of_changes(text):
    """Of a patch, without files that are there or gone as a whole."""
    head, *files = re.split(r'^(?=diff --git )', text, flags=re.M)
    return sum(t.count('\n') for t in (head, *files) if not
               (t != head and WHOLE.search(t.split('\n--- ', maxsplit=1)[0])))


def check_letters(args, _):
    longest = 0
    for path in sorted(glob.glob(f'{args.patches}/[0-9]-*/*')):
        text = compose.read(path)
        name = os.path.relpath(path, args.patches)
        lines = lines_of_changes(text)
        if lines > LONGEST:
            raise Bad(f'{name}: {lines} lines of changes')
        message = re.split(r'^---$', text, maxsplit=1, flags=re.M)[0]
        if '-fixes/' in name and not SINCE.search(message):
            raise Bad(f'{name}: since when is there the fault?')
        longest = max(longest, lines)
    return f'{longest} lines at most,'


def check_tree(args, repo):
    """build/linux is what was composed, and else the base."""
    changed = repo.changed(args.tree, list(repo.ends.values())[-1])
    if changed:
        raise Bad('build/linux differs in ' + ' '.join(changed[:5]))
    lines = run('rsync', '-rlnc', '--delete', '--itemize-changes', '--exclude',
                '__pycache__', args.base + '/', args.tree + '/', cwd='/')
    other = [n for _, n in (l.split(maxsplit=1) for l in lines.splitlines())
             if not n.endswith('/') and n not in repo.names]
    if other:
        raise Bad('not of the series: ' + ' '.join(other[:5]))


def check_maintainers(args, _):
    with open(os.path.join(TOP, 'MAINTAINERS'), encoding='utf-8') as f:
        title = f.readline().strip()
    names = [n for n in our_files()
             if '/' in n and not n.startswith(compose.OWN)]
    script = ('perl', 'scripts/get_maintainer.pl')
    for line in run(*script, '--self-test=sections', cwd=args.tree).split('\n'):
        if title in line:
            raise Bad(line)
    for name in names:
        out = run(*script, '--no-git', '--no-git-fallback', '--sections', '-f',
                  name, cwd=args.tree)
        if not re.search('^' + re.escape(title) + '$', out, re.M):
            raise Bad(f'{name}: not covered by our entry of MAINTAINERS')
    return len(names)


CHECKS = {'patches, messages': check_letters,
          'patches that git am takes': check_git,
          'quilt push -a': check_quilt,
          'no other file is touched': check_tree,
          'files that MAINTAINERS covers': check_maintainers}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--base', required=True, help='the pristine base')
    p.add_argument('--build', required=True,
                   help='where the composed tree and patches/ lie')
    args = p.parse_args()
    args.tree = os.path.join(os.path.abspath(args.build), 'linux')
    args.patches = os.path.join(os.path.abspath(args.build), 'patches')
    folder = os.path.join(os.path.abspath(args.build), 'check-patches')
    try:
        repo = compose.Repo(args.base, folder).make(compose.read_series())
        for what, check in CHECKS.items():
            start = time.monotonic()
            print(f'{what}: {check(args, repo) or ""} good, '
                  f'{time.monotonic() - start:.1f} s', flush=True)
    except (Bad, compose.Broken) as e:
        print(f'check-patches: {e}', file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
