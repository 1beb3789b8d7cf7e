#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures our kernel against the unpatched base.

The same programs (spapr_bench, kvm_bench) run on both kernels, on a POWER9 and
a POWER8 host that count instructions, and with four CPUs for the throughput of
threads. Writes results.txt, results.json and plots to build/bench. The exit
status is 0 when every limit is met or the table says with figures of this run
why not, 1 when one is missed without or by more than before, 2 when a machine
failed.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True
import machine      # noqa: E402

MACHINES = ('powernv9', 'powernv8')
NAMES = {'powernv9': 'POWER9', 'powernv8': 'POWER8'}
KERNELS = ('ours', 'base')
# Of one call of a thread, as spapr_bench has them.
THREAD_ENTRIES = (1, 256, 4096)
LINE = re.compile(r'bench (\S+) (\S+) (\S+) median (\S+) runs (\d+)$')

# What one boot runs: program, its arguments, QEMU.
# The base takes 64 KiB for each region, whatever its size: 8 GiB of memory.
COUNT = ['--icount', '--mem', '8G']
BOOTS = {
    'cost': ('spapr_bench', 'map empty removal register', COUNT),
    'regions': ('spapr_bench', 'regions', COUNT),
    'memory': ('spapr_bench', 'memory registry', COUNT),
    'kvm': ('kvm_bench', '', COUNT),
}
# Says whose instructions they are; of our kernel.
PROFILE = 'profile'
# Wall-clock time: nothing else runs meanwhile.
SMP_BOOTS = {'threads': ('spapr_bench', 'threads', ['--smp', '4'])}


# --- measuring ---------------------------------------------------------------

def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--ours', default=os.path.join(machine.BUILD, 'k64',
                                                  'vmlinux'))
    p.add_argument('--base', default=os.path.join(machine.BUILD, 'kbase',
                                                  'vmlinux'))
    p.add_argument('--tests-dir', default=os.path.join(machine.BUILD, 'tests'))
    p.add_argument('--out', default=os.path.join(machine.BUILD, 'bench'))
    p.add_argument('--jobs', type=int, default=2, help='machines at a time')
    p.add_argument('--timeout', type=int, default=1800, help='of one machine')
    p.add_argument('--boots', default='', help='only these, comma separated: ' +
                   ', '.join([*BOOTS, PROFILE, *SMP_BOOTS]) +
                   '; the rest as measured before')
    p.add_argument('--only', choices=KERNELS, help='only this kernel; the '
                   'other as measured before')
    p.add_argument('--report', action='store_true',
                   help='measure nothing, write the table and plots anew')
    return p.parse_args()


def command(args, kernel, name, boot_name, log):
    """What runs one machine."""
    common = [name, '--kernel', getattr(args, kernel),
              '--tests-dir', args.tests_dir, '--timeout', str(args.timeout)]
    if boot_name == PROFILE:
        return [os.path.join(machine.HERE, 'profile_calls.py'), *common, '--rows']
    program, words, qemu = {**BOOTS, **SMP_BOOTS}[boot_name]
    return [os.path.join(machine.HERE, 'boot.py'), *common, *qemu,
            '--run', program, '--args', words, '--log', log + '.log',
            '--extra-append', 'kunit.enable=0', '--test-timeout', '1000000',
            '--quiet', str(args.timeout)]


def boot(args, kernel, name, boot_name):
    """Runs one machine; returns {row: (value, unit, median, runs)}."""
    log = os.path.join(args.out, 'log', f'{kernel}-{name}-{boot_name}')
    start = time.monotonic()
    run = subprocess.run(command(args, kernel, name, boot_name, log),
                         capture_output=True, text=True, check=False)
    with open(log + '.out', 'w', encoding='utf-8') as f:
        f.write(run.stdout + run.stderr)
    rows = {}
    for line in run.stdout.split('\n'):
        m = LINE.match(line)
        if m:
            rows[m[1]] = (float(m[2]), m[3], float(m[4]), int(m[5]))
    seconds = time.monotonic() - start
    print(f'bench: {kernel:4} {NAMES[name]} {boot_name:8} {len(rows):4} rows '
          f'{seconds:5.0f} s', flush=True)
    if run.returncode:
        print('\n'.join(run.stdout.split('\n')[-4:]) + run.stderr, flush=True)
    return rows, run.returncode


def measure(args, results):
    """Fills results[kernel][machine]; returns what failed."""
    wanted = [b for b in args.boots.split(',') if b] or \
        [*BOOTS, PROFILE, *SMP_BOOTS]
    failed = []

    def one(job):
        kernel, name, boot_name = job
        rows, status = boot(args, kernel, name, boot_name)
        results[kernel][name].update(rows)
        if status:
            failed.append(f'{kernel} {NAMES[name]} {boot_name}')

    os.makedirs(os.path.join(args.out, 'log'), exist_ok=True)
    for boots, jobs in (([*BOOTS, PROFILE], args.jobs), (SMP_BOOTS, 1)):
        # The base first: its machines take longest.
        todo = [(k, n, b) for b in sorted(boots, key=lambda b: b != 'regions')
                for k in reversed(KERNELS) for n in MACHINES
                if b in wanted and args.only in (None, k) and
                (b, k) != (PROFILE, 'base')]
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            list(pool.map(one, todo))
    return failed


# --- judging -----------------------------------------------------------------

@dataclass
class Row:
    """One line of the table: a figure of ours, the base's, and a limit."""
    text: str
    ours: object        # function of one machine's rows
    limit: object = None        # the same, of ours' rows and the base's
    base: object = None         # ours, if not given
    unit: str = 'insn'
    only: str = ''
    why: object = None          # why the limit is not met, of ours' rows
    most: object = None         # up to where that is a reason


def get(row, per=1):
    return lambda r: r[row][0] / per


def fixed(power9, power8=None):
    return lambda ours, base: power8 if power8 and ours['_name'] == 'powernv8' \
        else power9


def accepted(power9, power8=None):
    """What was measured when the reason was given, and a tenth."""
    return fixed(power9 * 1.1, power8 and power8 * 1.1)


def times(row, factor):
    return lambda ours, base: ours[row][0] * factor


def of_base(row, factor=1.0):
    return lambda ours, base: base[row][0] * factor


def best_sparse(rows):
    """Of the level counts that a kernel accepts, the one that takes least."""
    return min(v[0] for k, v in rows.items()
               if re.fullmatch(r'mem_sparse_1t/\d', k))


def uncharged(rows):
    """The most that was used beyond what was charged for it."""
    return max(v[0] - rows[k + '_charged'][0] for k, v in rows.items()
               if k + '_charged' in rows)


def per_run(run):
    """16 bytes; less than a page of 64 KiB is not seen."""
    return lambda ours, base: 16 + 65536 / ours[
        f'mem_registry_run{run}_runs'][0]


def shares(rows, call):
    """Whose instructions the profiled call consists of, as a reason."""
    whole, ours, flushes, firmware = (
        rows[f'profile_{call}/{part}'][0]
        for part in ('all', 'ours', 'flushes', 'firmware'))
    text = f'of {whole:,.0f}, {ours:,.0f} are ours, {flushes:,.0f} flushes ' \
        'that mitigate speculation'
    return text + (f', {firmware:,.0f} firmware' if firmware else '')


def why_one(call):
    return lambda rows: shares(rows, call) + '; a call refused for its flags ' \
        f'costs {rows["refused"][0]:,.0f}'


def why_put(rows):
    return shares(rows, 'h_put_tce') + '; without a table a hypercall costs ' \
        f'{rows["h_put_tce_bare"][0]:,.0f}'


def why_two_levels(rows):
    return '41 levels of 32 KiB, 12 of 24 bits each, for hardware wants levels ' \
        f'of equal size; 3 levels take {number(rows["mem_sparse_1t/3"][0])}'


def list_row(text, row, limit):
    return Row(f'{text}, per entry', get(row, 512), fixed(limit))


ENTRY = 'one call of 4096, per entry'
ROWS = [
    Row(f'map 64 KiB entries, contiguous, {ENTRY}', get('map_contig'),
        fixed(16)),
    Row(f'map 64 KiB entries, fragmented, {ENTRY}', get('map_frag'),
        fixed(40)),
    Row('map over existing entries, contiguous, per entry', get('map_over'),
        fixed(60)),
    Row('map over existing entries, fragmented, per entry',
        get('map_over_frag'), fixed(60)),
    Row('map over existing entries, scattered, per entry',
        get('map_over_scattered'), fixed(60)),
    Row('unmap, per entry', get('unmap'), fixed(16)),
    Row('unmap fragmented memory, per entry', get('unmap_frag'), fixed(16)),
    Row('unmap entries mapped out of order, per entry',
        get('unmap_scattered')),
    Row('map 4 KiB entries, per entry', get('map_4k'), fixed(12)),
    Row('map 4 KiB entries, fragmented, per entry', get('map_4k_frag')),
    Row('map one entry, whole ioctl, 1 region', get('one_map/1'),
        fixed(2200, 1400), why=why_one('one_map'), most=accepted(2961, 2045)),
    Row('unmap one entry, whole ioctl, 1 region', get('one_unmap/1'),
        fixed(2200, 1400), why=why_one('one_unmap'),
        most=accepted(2910, 1994)),
    Row('map refused for its flags, whole ioctl', get('refused')),
    Row('map and unmap one entry, the sum', get('one_both/1')),
    Row('map one entry, 65,536 regions', get('one_map/65536'),
        times('one_map/1', 1.25)),
    Row('unmap one entry, 65,536 regions', get('one_unmap/65536'),
        times('one_unmap/1', 1.25)),
    Row('unmap an empty 2 GiB window of 4 KiB entries', get('unmap_empty'),
        fixed(20000)),
    Row('remove a 1 TiB window with 2 entries mapped', get('remove_1t'),
        fixed(600000)),
    Row('register memory, per 64 KiB page', get('register'),
        of_base('register')),
    Row('register contiguous shared memory, per page', get('register_contig'),
        of_base('register_contig')),
    Row('register fragmented shared memory, per page', get('register_frag'),
        of_base('register_frag')),
    Row('register one page, whole ioctl', get('register_one'),
        of_base('register_one')),
    Row('unregister memory, per page (the base does it later)',
        get('unregister')),
    Row('H_PUT_TCE, no table attached', get('h_put_tce_bare')),
    Row('H_PUT_TCE, table attached', get('h_put_tce'), fixed(1300),
        only='powernv8', why=why_put, most=accepted(1376)),
    Row('H_PUT_TCE, table attached (limit: 1.3 x not attached)',
        get('h_put_tce'), times('h_put_tce_bare', 1.3), only='powernv9',
        why=why_put, most=accepted(4160)),
    list_row('H_PUT_TCE_INDIRECT of 512', 'h_put_tce_indirect/512', 60),
    list_row('H_PUT_TCE_INDIRECT of 512, scattered',
             'h_put_tce_indirect_scattered/512', 60),
    list_row('H_PUT_TCE_INDIRECT of 512, fragmented memory',
             'h_put_tce_indirect_frag/512', 60),
    Row('H_PUT_TCE_INDIRECT of 512, runs of 3 pages, per entry',
        get('h_put_tce_indirect_runs/512', 512)),
    Row('H_PUT_TCE_INDIRECT of 512, the same scattered, per entry',
        get('h_put_tce_indirect_runs_scattered/512', 512)),
    list_row('H_STUFF_TCE of 512', 'h_stuff_tce/512', 20),
    list_row('H_STUFF_TCE of 512, scattered', 'h_stuff_tce_scattered/512', 20),
    Row('view of a full linear 1 TiB window', get('mem_view_1t'),
        of_base('mem_view_1t', 1 / 500), unit='byte'),
    Row('40 mappings over 1 TiB: tables and view', best_sparse,
        lambda ours, base: best_sparse(base) / 8, unit='byte'),
    Row('40 mappings over 1 TiB, 2 levels', get('mem_sparse_1t/2'),
        of_base('mem_sparse_1t/2', 1 / 8), unit='byte', why=why_two_levels,
        most=accepted(1480752)),
    Row('16 GiB window in its worst case', get('mem_worst_16g'), unit='byte'),
    Row('registry, runs of 4 pages, per run',
        get('mem_registry_run4_per_run'), per_run(4), unit='byte'),
    Row('registry, fragmented, per page',
        get('mem_registry_run1_per_page'), fixed(8.2), unit='byte'),
    Row('registry, runs of 4 pages, per page',
        get('mem_registry_run4_per_page'), fixed(8.2), unit='byte'),
    Row('most that a window or region uses uncharged', uncharged, fixed(0),
        unit='byte'),
]


def value(function, *rows):
    """None when what it needs was not measured."""
    try:
        return function(*rows)
    except (KeyError, ValueError):
        return None


def number(n):
    if n is None:
        return '-'
    return f'{n:,.1f}' if abs(n) < 1000 else f'{n:,.0f}'


def judge(results):
    """(row, machine, ours, base, limit, verdict, why) for each line."""
    lines = []
    for row in ROWS:
        for name in MACHINES:
            if row.only and row.only != name:
                continue
            ours, base = (dict(results[k][name], _name=name) for k in KERNELS)
            mine = value(row.ours, ours)
            limit = value(row.limit, ours, base) if row.limit else None
            verdict = ''
            if row.limit:
                verdict = 'not measured' if mine is None or limit is None \
                    else 'met' if mine <= limit else 'NOT MET'
            why = value(row.why, ours) \
                if row.why and verdict == 'NOT MET' else ''
            if why and mine > row.most(ours, base):
                verdict, why = 'NOT MET, by more than before', ''
            lines.append((row, name, mine, value(row.base or row.ours, base),
                          limit, verdict, why))
    return lines


def table(lines):
    out = [f'{"":58} {"":6} {"ours":>12} {"base":>15} {"limit":>12}']
    for row, name, ours, base, limit, verdict, why in lines:
        unit = '' if row.unit == 'insn' else f' ({row.unit}s)'
        out.append(f'{row.text + unit:58} {NAMES[name]:6} {number(ours):>12} '
                   f'{number(base):>15} {number(limit) if limit is not None else "":>12}'
                   f'  {verdict}'.rstrip())
        if why:
            out.append(f'    because {why}')
    return out


def thread_lines(results):
    out = ['', 'Throughput of threads that map and unmap disjoint ranges of '
           'one window, by wall', 'clock, as a ratio to one thread '
           f'(4 emulated CPUs on {os.cpu_count()} real ones):', '']
    for name in MACHINES:
        for entries in THREAD_ENTRIES:
            for kernel in KERNELS:
                ratios = thread_ratios(results[kernel][name], entries)
                if ratios:
                    one = results[kernel][name][f'threads_{entries}/1'][2]
                    out.append(f'{NAMES[name]:6} {kernel} {entries:4} entries '
                               'a call   ' + '   '.join(
                                   f'{n}: {r:.2f}' for n, r in ratios) +
                               f'   (1 is {one:,.0f} calls/s)')
    return out


def thread_ratios(rows, entries):
    """Of the medians: what else this machine does comes in between."""
    points = curve(rows, f'threads_{entries}', 2)
    return [(n, y / points[0][1]) for n, y in points]


# --- plots -------------------------------------------------------------------

def curve(rows, prefix, field=0):
    return sorted((int(k.rpartition('/')[2]), v[field])
                  for k, v in rows.items() if k.rpartition('/')[0] == prefix)


STYLES = {('ours', 'powernv9'): 'lw 3 dt 1 pt 7 lc rgb "#0060ad"',
          ('ours', 'powernv8'): 'lw 2 dt 2 pt 5 lc rgb "#4aa8e0"',
          ('base', 'powernv9'): 'lw 3 dt 1 pt 7 lc rgb "#c03000"',
          ('base', 'powernv8'): 'lw 2 dt 2 pt 5 lc rgb "#f09060"'}

CURVES = {
    'regions': ('Map one entry and unmap it, two ioctls',
                'registered regions', 'guest instructions', 'one_both'),
    'removal-entries': ('Remove a 1 TiB window of 64 KiB entries',
                        'mapped entries', 'guest instructions',
                        'remove_entries'),
    'removal-size': ('Remove a window with 2 entries mapped',
                     'size of the window, GiB', 'guest instructions',
                     'remove_size'),
    'indirect': ('H_PUT_TCE_INDIRECT, guest side to guest side',
                 'entries of the list', 'guest instructions',
                 'h_put_tce_indirect'),
    'indirect-scattered': ('H_PUT_TCE_INDIRECT, scattered guest pages',
                           'entries of the list', 'guest instructions',
                           'h_put_tce_indirect_scattered'),
}


def gnuplot(out, name, text):
    """Draws one plot twice."""
    for kind, terminal in (
            ('svg', 'svg size 900,560 dynamic background "white" '
             'font "sans-serif,14"'),
            ('png', 'pngcairo size 900,560 font "sans,12"')):
        script = (f'set terminal {terminal}\n'
                  f'set output "{os.path.join(out, name)}.{kind}"\n' + text)
        run = subprocess.run(['gnuplot'], input=script, text=True, check=False,
                             capture_output=True)
        if run.returncode or run.stderr:
            raise machine.Missing(f'gnuplot: {name}: {run.stderr.strip()}')


def series(points_of):
    """Inline data and plot clauses, for all that was measured."""
    data, clauses = '', []
    for (kernel, name), style in STYLES.items():
        points = points_of(kernel, name)
        if not points:
            continue
        block = f'${kernel}{name}'
        data += block + ' << EOD\n' + ''.join(
            f'{x} {y}\n' for x, y in points) + 'EOD\n'
        clauses.append(f'{block} using 1:2 with linespoints {style} '
                       f'title "{kernel}, {NAMES[name]}"')
    return data, ', \\\n     '.join(clauses)


def plot_curve(out, name, results):
    title, x, y, prefix = CURVES[name]
    data, clauses = series(lambda k, n: curve(results[k][n], prefix))
    if clauses:
        gnuplot(out, name, data + f'''
set title "{title}" noenhanced
set xlabel "{x}"
set ylabel "{y}"
set logscale x 2
set logscale y 10
set format x "%.0f"
set format y "10^{{%L}}"
set grid
set key outside right center
set xtics rotate by -45
plot {clauses}
''')


def plot_threads(out, results, entries):
    data, clauses = series(
        lambda k, n: thread_ratios(results[k][n], entries))
    if clauses:
        what = 'one entry' if entries == 1 else f'{entries} entries'
        gnuplot(out, f'threads-{entries}', data + f'''
set title "Map and unmap {what} a call, disjoint ranges of one window"
set xlabel "threads, on 4 emulated CPUs ({os.cpu_count()} real ones)"
set ylabel "throughput, 1 thread = 1"
set xtics (1, 2, 4)
set xrange [0.8:4.2]
set yrange [0:*]
set grid
set key outside right center
plot {clauses}
''')


BARS = [('map, contiguous', 'map_contig', 1, 16),
        ('map, fragmented', 'map_frag', 1, 40),
        ('map over', 'map_over', 1, 60),
        ('unmap', 'unmap', 1, 16),
        ('map 4 KiB', 'map_4k', 1, 12),
        ('H\\\\_PUT\\\\_TCE\\\\_INDIRECT', 'h_put_tce_indirect/512', 512, 60),
        ('H\\\\_STUFF\\\\_TCE', 'h_stuff_tce/512', 512, 20)]


def plot_bars(out, results):
    """What an entry costs, side by side, with the limits as lines."""
    keys = [k for k in STYLES if results[k[0]][k[1]].get('map_contig')]
    data = '$bars << EOD\n'
    for i, (label, row, per, limit) in enumerate(BARS):
        values = [value(get(row, per), results[k][n]) for k, n in keys]
        data += f'{i} {limit} "{label}" ' + ' '.join(
            '?' if v is None else f'{max(v, 0.1):.3f}' for v in values) + '\n'
    data += 'EOD\n'
    clauses = []
    for i, (kernel, name) in enumerate(keys):
        color = re.search(r'lc (rgb "\S+")', STYLES[kernel, name])[1]
        clauses.append(
            f'$bars using ($0 + {i * 0.2 - 0.3:.1f}):{i + 4}:(0.18)'
            f'{":xtic(3)" if not i else ""} with boxes fs solid lc {color} '
            f'title "{kernel}, {NAMES[name]}"')
    clauses.append('$bars using 1:2:(0.4) with xerrorbars pt 0 lw 3 '
                   'lc rgb "black" title "limit"')
    if keys:
        gnuplot(out, 'per-entry', data + f'''
set title "Cost of an entry"
set ylabel "guest instructions"
set logscale y 10
set yrange [1:*]
set datafile missing "?"
set grid ytics
set xtics rotate by -25
set key outside right center
plot {', '.join(clauses)}
''')


def plots(out, results):
    for name in CURVES:
        plot_curve(out, name, results)
    for entries in THREAD_ENTRIES:
        plot_threads(out, results, entries)
    plot_bars(out, results)


# --- all of it ---------------------------------------------------------------

def load(path):
    results = {k: {n: {} for n in MACHINES} for k in KERNELS}
    if os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            for kernel, machines in json.load(f).items():
                results[kernel].update(machines)
    return results


def main():
    args = arguments()
    args.out = os.path.abspath(args.out)
    path = os.path.join(args.out, 'results.json')
    anew = not (args.report or args.boots or args.only)
    results = load('' if anew else path)
    failed = []
    try:
        machine.build_init()
        if not args.report:
            failed = measure(args, results)
            with open(path, 'w', encoding='utf-8') as f:
                json.dump(results, f, indent=1)
        lines = judge(results)
        text = '\n'.join(table(lines) + thread_lines(results)) + '\n'
        with open(os.path.join(args.out, 'results.txt'), 'w',
                  encoding='utf-8') as f:
            f.write(text)
        print(text, end='')
        plots(args.out, results)
    except (machine.Missing, FileNotFoundError) as e:
        return machine.main_error(e)
    unmet = [l for l in lines if l[5] and l[5] != 'met']
    unexplained = [l for l in unmet if not l[6]]
    print(f'\n{sum(l[5] == "met" for l in lines)} limits met, {len(unmet)} not, '
          f'{len(unexplained)} of these without a reason; '
          f'{os.path.relpath(args.out)}/results.txt')
    for what in failed:
        print(f'FAILED: {what}')
    return 2 if failed else 1 if unexplained else 0


if __name__ == '__main__':
    sys.exit(main())
