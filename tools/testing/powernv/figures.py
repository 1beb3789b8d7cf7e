#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes what "make bench" and "make check" have found into README, the cover
letter and the documentation.

From build/bench/results.json come the table of costs in README and in
series/cover, and from build/bench/cost.svg the plot of the documentation. From
build/results.json of a whole "make check" come the numbers of cases in README's
table of machines. Figures that were not measured stay as they are, and are named.
"""
import argparse
import json
import os
import re
import sys

sys.dont_write_bytecode = True
import bench        # noqa: E402
import machine      # noqa: E402

DOC = 'Documentation/arch/powerpc/vfio-spapr-tce/'
SVG, TEXT = DOC + 'cost.svg', DOC + 'cost.rst'
# Where the text has the plot: before its first paragraph.
HEADING = '\n====\nCost\n====\n\n'
FIGURE = '''.. kernel-figure:: cost.svg
   :alt: Instructions of one entry of a call of many, and of whole calls

   Instructions with these changes ("ours") and without ("base")

'''
# A table of costs begins with the line of its machines, and ends as they all do.
COSTS = re.compile(r'(?m)^ +POWER9 +POWER8\n(?:.+\n)+')
# A line of README's table of machines: machine, page size in KiB, cases.
CASES = re.compile(r'(?m)^(    (\w[\w-]*) .*?\b(\d+) KiB .*? )( *\d+|-)$')
KERNELS = {'64': '64k', '4': '4k'}
BIG_ENDIAN = 'big-endian'


def short(n):
    """Five characters or so: 5.0, 512, 2,961, 257,254, 6.6 M, 121 M."""
    if n < 100:
        return f'{n:.1f}'
    if n < 1e6:
        return f'{n:,.0f}'
    return f'{n / 1e6:.{1 if n < 1e7 else 0}f} M'


def cost_table(results, lines, order):
    """The lines of a table; order is that of the kernels' columns."""
    out = [f'{"":40}{"POWER9":>13}{"POWER8":>19}',
           f'{"":36}' + ''.join(f'{k:>{w}}' for k, w in zip(
               order * 2, (9, 10, 9, 10)))]
    for line in lines:
        figure = bench.figure_of(line['figure'], line.get('per', 1))
        values = [bench.value(figure, results[k][m])
                  for m in bench.MACHINES for k in order]
        if None in values:
            raise KeyError(line['text'])
        out.append(f'{line["text"]:36}' + ''.join(
            f'{short(v):>{w}}' for v, w in zip(values, (9, 10, 9, 10))))
    return out


def replace_table(path, table, indent):
    text = read(path)
    new = ''.join((indent + line).rstrip() + '\n' for line in table)
    text, nr = COSTS.subn(lambda m: new, text)
    if nr != 1:
        raise LookupError(f'{path} has {nr} tables of costs')
    write(path, text)


def read(path):
    with open(os.path.join(machine.TOP, path), encoding='utf-8') as f:
        return f.read()


def write(path, text):
    """Says so if it is new."""
    full = os.path.join(machine.TOP, path)
    if os.path.exists(full) and read(path) == text:
        print(f'figures: {path} is as it was')
        return
    with open(full, 'w', encoding='utf-8') as f:
        f.write(text)
    print(f'figures: {path} written')


def costs():
    path = os.path.join(machine.BUILD, 'bench', 'results.json')
    if not os.path.exists(path):
        return ['no build/bench/results.json: make bench']
    results = bench.load(path)
    try:
        replace_table('README', cost_table(
            results, bench.SHOWN, ('ours', 'base')), '    ')
        replace_table('series/cover', cost_table(
            results, [l for l in bench.SHOWN if l.get('cover')],
            ('base', 'ours')), '  ')
    except KeyError as e:
        return [f'not measured: {e.args[0]}; tables of costs stay']
    return []


def plot():
    path = os.path.join(machine.BUILD, 'bench', 'cost.svg')
    if not os.path.exists(path):
        return [f'no build/bench/cost.svg; {SVG} stays']
    with open(path, encoding='utf-8') as f:
        head, _, text = f.read().partition('\n')
    text = re.sub(r'<desc>.*?</desc>\n', '', text)
    text = text.replace('<title>Gnuplot</title>',
                        '<title>Cost of entries</title>')
    text = re.sub(r'(?m)[ \t]+$', '', text)
    write(SVG, f'{head}\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n{text}')
    text = read(TEXT)
    if FIGURE not in text:
        text = text.replace(HEADING, HEADING + FIGURE)
        if FIGURE not in text:
            return [f'{TEXT} has no place for the plot']
        write(TEXT, text)
    return []


def cases():
    path = os.path.join(machine.BUILD, 'results.json')
    if not os.path.exists(path):
        return ['no build/results.json: make check']
    with open(path, encoding='utf-8') as f:
        results = json.load(f)
    # These run only when everything does.
    if not any(n.startswith('client ') for n in results):
        return ['the last "make check" was not whole; cases stay']
    lost = []

    def line(m):
        label = f'{m[2]}-{KERNELS.get(m[3], m[3])}'
        label += '-be' * (BIG_ENDIAN in m[1])
        boots = [r for n, r in results.items()
                 if n in (label, label + '-smp')]
        if not boots or any(r['failed'] for r in boots):
            lost.append(f'{label} did not run whole, or failed; its line stays')
            return m[0]
        nr = sum(len(r['passed']) for r in boots)
        return f'{m[1]}{nr:>{len(m[4])}}'

    write('README', CASES.sub(line, read('README')))
    return lost


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.parse_args()
    lost = costs() + plot() + cases()
    for what in lost:
        print(f'figures: {what}')
    return 1 if lost else 0


if __name__ == '__main__':
    sys.exit(main())
