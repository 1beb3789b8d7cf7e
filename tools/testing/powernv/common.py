# SPDX-License-Identifier: GPL-2.0
"""What the tools of this folder share: where things lie, which files are ours,
and which objects kbuild builds."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get('POWERNV_BUILD') or os.path.join(TOP, 'build')
CROSS = os.environ.get('CROSS_COMPILE', 'powerpc64le-linux-gnu-')
BE_CROSS = os.environ.get('BE_CROSS_COMPILE', 'powerpc64-linux-gnu-')
# Objects that a folder's Makefile names in a configuration, as Kbuild has them.
NAMED = '''all:;
include include/config/auto.conf
include $(srctree)/scripts/Kbuild.include
include $(srctree)/$(file)
objs := $(obj-y) $(obj-m) $(lib-y)
$(info $(objs) $(foreach o,$(objs:.o=),$($(o)-y) $($(o)-m) $($(o)-objs)))
'''


def main_error(error):
    """What a main() returns when something is missing."""
    print(f'error: {error}', file=sys.stderr)
    return 2


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def our_files(*ends, top=TOP):
    """Files of the repository; of one of git, without those that it ignores."""
    run = subprocess.run(
        ['git', '-C', top, 'ls-files', '-co', '--exclude-standard'],
        check=False, capture_output=True, text=True)
    if run.returncode == 0:
        names = run.stdout.split('\n')
    else:
        names = [os.path.relpath(os.path.join(d, f), top)
                 for d, _, files in os.walk(top) for f in files]
    return sorted(n for n in names if n.endswith(ends or '') and
                  os.path.isfile(os.path.join(top, n)) and
                  not n.startswith('.git/'))


def base_version(tree):
    """The version of a kernel's source, as its Makefile has it."""
    text = read(os.path.join(tree, 'Makefile'))
    found = [re.search(rf'^{k} = *(\S*)', text, re.M)
             for k in ('VERSION', 'PATCHLEVEL', 'SUBLEVEL')]
    return '.'.join(m.group(1) for m in found if m)


def make_words(tree, out, *words, cross=CROSS, jobs=os.cpu_count()):
    """A command that builds in a folder of its own."""
    return ['make', '-C', tree, f'O={out}', 'ARCH=powerpc',
            f'CROSS_COMPILE={cross}', f'-j{jobs}', *words]


def built_objects(tree, out, objects):
    """Those of the objects that the configuration of a folder has."""
    named = {}

    def ask(folder):
        if folder not in named:
            named[folder] = named_objects(tree, out, folder)
        return named[folder]

    def entered(folder):
        parent, name = os.path.split(folder)
        return parent in ('', 'arch') or \
            (name + '/' in ask(parent) and entered(parent))

    have = set()
    for folder in {os.path.dirname(o) for o in objects}:
        if entered(folder):
            # One Makefile names objects of virt/kvm, by ../../../.
            have |= {os.path.normpath(f'{folder}/{o}') for o in ask(folder)}
    return sorted(set(objects) & have)


def named_objects(tree, out, folder):
    for name in ('Kbuild', 'Makefile'):
        file = os.path.join(folder, name)
        if os.path.exists(os.path.join(tree, file)):
            break
    else:
        return set()
    return set(subprocess.run(
        ['make', '-s', '-C', out, '-f', '-', f'file={file}', f'obj={folder}',
         f'src={tree}/{folder}', 'SRCARCH=powerpc', f'srctree={tree}'],
        text=True, input=NAMED, stdout=subprocess.PIPE, check=True)
        .stdout.split())
