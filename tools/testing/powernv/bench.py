#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures our kernel against the unpatched base.

The same programs (spapr_bench, kvm_bench) run on both kernels, on a POWER9 and
a POWER8 host and on a partition of a POWER10, that count instructions, and with
four CPUs for the throughput of threads. Writes results.txt, results.json and plots to build/bench. The exit
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
import tomllib

sys.dont_write_bytecode = True
import machine      # noqa: E402
from machine import HERE    # noqa: E402

MACHINES = ('powernv9', 'powernv8')
# A hypervisor's instructions are not counted, but each hypercall is one.
PARTITIONS = ('pseries10',)
NAMES = {'powernv9': 'POWER9', 'powernv8': 'POWER8', 'pseries10': 'LPAR'}
KERNELS = ('ours', 'base')
# Of one call of a thread, as spapr_bench has them.
THREAD_ENTRIES = (1, 256, 4096)
LINE = re.compile(r'bench (\S+) (\S+) (\S+) median (\S+) runs (\d+)$')

# The program of each boot, its arguments, QEMU's options.
# The base takes 64 KiB for each region, whatever its size: 8 GiB of memory.
COUNT = ['--icount', '--mem', '8G']
BOOTS = {
    'cost': ('spapr_bench',
             'map empty removal register register_large', COUNT),
    'regions': ('spapr_bench', 'regions large', COUNT),
    'memory': ('spapr_bench', 'memory registry', COUNT),
    'kvm': ('kvm_bench', '', COUNT),
    # A boot of its own: register finds the memory that this leaves.
    'iommufd': ('spapr_bench', 'iommufd', COUNT),
}
# With pages of 4 KiB, which have huge ones of 1 GiB. Where pages are of 64 KiB the
# base does not survive to touch one; on POWER8 it never ends to pin one of 16 MiB.
BOOTS_4K = {'large_4k': ('spapr_bench', 'large register_large', COUNT)}
PREFIX_4K = 'pages_4k/'
APPEND = {'large_4k': ' hugepagesz=1G hugepages=3'}
MACHINES_4K = ('powernv9',)
PARTITION_BOOTS = {'map': ('spapr_bench', 'map', COUNT), 'kvm': BOOTS['kvm']}
# Says whose instructions they are; of our kernel.
PROFILE = 'profile'
# The base has no iommufd.
OURS_ONLY = (PROFILE, 'iommufd')
# Wall-clock time: nothing else runs meanwhile.
SMP_BOOTS = {'threads': ('spapr_bench', 'threads', ['--smp', '4'])}


# --- measuring ---------------------------------------------------------------

def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--ours', default=os.path.join(machine.BUILD, 'k64',
                                                  'vmlinux'))
    p.add_argument('--base', default=os.path.join(machine.BUILD, 'kbase',
                                                  'vmlinux'))
    p.add_argument('--ours-4k', default=os.path.join(machine.BUILD, 'k4',
                                                     'vmlinux'))
    p.add_argument('--base-4k', default=os.path.join(machine.BUILD, 'kbase4',
                                                     'vmlinux'))
    p.add_argument('--tests-dir', default=os.path.join(machine.BUILD, 'tests'))
    p.add_argument('--out', default=os.path.join(machine.BUILD, 'bench'))
    p.add_argument('--jobs', type=int, default=2, help='machines at a time')
    p.add_argument('--timeout', type=int, default=1800, help='of one machine')
    p.add_argument('--boots', default='', help='only these, comma separated: ' +
                   ', '.join([*BOOTS, *BOOTS_4K, 'map', PROFILE,
                             *SMP_BOOTS]) +
                   '; the rest as measured before')
    p.add_argument('--only', choices=KERNELS, help='only this kernel; the '
                   'other as measured before')
    p.add_argument('--report', action='store_true',
                   help='measure nothing, write the table and plots anew')
    return p.parse_args()


def command(args, kernel, name, boot_name, log):
    """What runs one machine."""
    vmlinux = getattr(args, kernel + '_4k' * (boot_name in BOOTS_4K))
    common = [name, '--kernel', vmlinux,
              '--tests-dir', args.tests_dir, '--timeout', str(args.timeout)]
    if boot_name == PROFILE:
        return [os.path.join(HERE, 'profile_calls.py'), *common, '--rows']
    program, words, qemu = {**BOOTS, **BOOTS_4K, **PARTITION_BOOTS,
                            **SMP_BOOTS}[boot_name]
    return [os.path.join(HERE, 'boot.py'), *common, *qemu,
            '--run', program, '--args', words, '--log', log + '.log',
            '--extra-append', 'kunit.enable=0' + APPEND.get(boot_name, ''),
            '--test-timeout', '1000000',
            '--quiet', str(args.timeout)]


def boot(args, kernel, name, boot_name):
    """Runs one machine; returns {row: (value, unit, median, runs)}."""
    log = os.path.join(args.out, 'log', f'{kernel}-{name}-{boot_name}')
    start = time.monotonic()
    run = subprocess.run(command(args, kernel, name, boot_name, log),
                         capture_output=True, text=True, check=False)
    with open(log + '.out', 'w', encoding='utf-8') as f:
        f.write(run.stdout + run.stderr)
    prefix = PREFIX_4K if boot_name in BOOTS_4K else ''
    rows = {}
    for line in run.stdout.split('\n'):
        m = LINE.match(line)
        if m:
            rows[prefix + m[1]] = (float(m[2]), m[3], float(m[4]), int(m[5]))
    seconds = time.monotonic() - start
    print(f'bench: {kernel:4} {NAMES[name]} {boot_name:8} {len(rows):4} rows '
          f'{seconds:5.0f} s', flush=True)
    if run.returncode:
        print('\n'.join(run.stdout.split('\n')[-4:]) + run.stderr, flush=True)
    return rows, run.returncode


def measure(args, results):
    """Fills results[kernel][machine]; returns what failed."""
    wanted = [b for b in args.boots.split(',') if b] or \
        [*BOOTS, *BOOTS_4K, *PARTITION_BOOTS, PROFILE, *SMP_BOOTS]
    failed = []

    def one(job):
        kernel, name, boot_name = job
        rows, status = boot(args, kernel, name, boot_name)
        results[kernel][name].update(rows)
        if status:
            failed.append(f'{kernel} {NAMES[name]} {boot_name}')

    os.makedirs(os.path.join(args.out, 'log'), exist_ok=True)
    for machines, boots, jobs in (
            (MACHINES, [*BOOTS, PROFILE], args.jobs),
            (MACHINES_4K, BOOTS_4K, args.jobs),
            (PARTITIONS, PARTITION_BOOTS, args.jobs), (MACHINES, SMP_BOOTS, 1)):
        # The base first: its machines take longest.
        todo = [(k, n, b) for b in sorted(boots, key=lambda b: b != 'regions')
                for k in reversed(KERNELS) for n in machines
                if b in wanted and args.only in (None, k) and
                not (k == 'base' and b in OURS_ONLY)]
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            list(pool.map(one, todo))
    return failed


# --- judging -----------------------------------------------------------------

class Line:
    """One line of the table: a figure of ours, the base's, and a limit."""

    def __init__(self, text, figure, per=1, unit='insn', only='', limit=None,
                 of_base=None, over_base=None, of_row=None, reason='',
                 accepted=None):
        self.text, self.unit, self.only = text, unit, only
        self.figure = figure_of(figure, per)
        self.limit = limit_of(self.figure, limit, of_base, over_base, of_row)
        self.reason = REASONS[reason] if reason else None
        self.accepted = accepted or {}
        if bool(reason) != bool(accepted):
            raise ValueError(f'{text}: a reason needs "accepted", and the '
                             'other way round')


def figure_of(name, per=1):
    """The function that finds a figure in one machine's rows."""
    if name.endswith('()'):
        return FIGURES[name[:-2]]
    return lambda rows: rows[name][0] / per


def limit_of(figure, limit, of_base, over_base, of_row):
    """The function of ours' rows and the base's; None without a limit."""
    if of_base is not None:
        return lambda ours, base: figure(base) * of_base
    if over_base is not None:
        return lambda ours, base: figure(base) + over_base
    if of_row:
        return lambda ours, base: ours[of_row[0]][0] * of_row[1]
    if isinstance(limit, str):
        return lambda ours, base: LIMITS[limit[:-2]](ours)
    if isinstance(limit, dict):
        return lambda ours, base: limit[ours['_name']]
    return limit if limit is None else lambda ours, base: limit


def best_sparse(rows):
    """Of the level counts that a kernel accepts, the one that takes least."""
    return min(v[0] for k, v in rows.items()
               if re.fullmatch(r'mem_sparse_1t/\d', k))


def uncharged(rows):
    """The most that was used beyond what was charged for it."""
    return max(v[0] - rows[k + '_charged'][0] for k, v in rows.items()
               if k + '_charged' in rows)


def a_run_of_4(rows):
    """16 bytes; less than a page of 64 KiB is not seen."""
    return 16 + 65536 / rows['mem_registry_run4_runs'][0]


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
    return '41 levels of 32 KiB, 12 of 24 bits each, because hardware wants ' \
        'levels of equal size; 3 levels take ' \
        f'{number(rows["mem_sparse_1t/3"][0])}'


def why_unpin(row):
    """unpin_user_page_range_dirty_lock() is called once for 512 pages."""
    return lambda rows: f'{rows[row][0] * 32:,.0f} for each page of 2 MiB, ' \
        'which the base takes to unpin it; for 64 MiB, ' + \
        shares(rows, 'unregister')


def why_one_register(rows):
    return shares(rows, 'register_one') + \
        f', {rows["profile_register_one/xarray"][0]:,.0f} the xarray of the ' \
        "container's regions, where the base has a list, of any length"


def why_srcu(rows):
    """One is of the memory slots; one is of what real mode finds of tables."""
    whole, srcu = (rows[f'profile_h_prod/{p}'][0] for p in ('all', 'srcu'))
    return f'of {whole:,.0f}, {srcu:,.0f} begin and end two read-side ' \
        'sections of SRCU, where the base has one'


# As spapr_bench has them, PROFILE_PAGES
IOMMUFD_PAGES = 256


def of_iommufd(rows, call):
    """Of a page, what is not the domain's and not firmware's."""
    whole, ours, firmware = (rows[f'profile_{call}/{part}'][0]
                             for part in ('all', 'ours', 'firmware'))
    return (whole - ours - firmware) / IOMMUFD_PAGES


def half_more(call):
    return lambda rows: 1.5 * of_iommufd(rows, call)


def a_page(rows, call):
    return 'of a page: iommufd, the IOMMU core and pinning ' \
        f'{of_iommufd(rows, call):,.0f}, the domain ' \
        f'{rows[f"profile_{call}/ours"][0] / IOMMUFD_PAGES:,.0f}, firmware ' \
        f'{rows[f"profile_{call}/firmware"][0] / IOMMUFD_PAGES:,.0f}'


def why_iommufd_unmap(rows):
    return a_page(rows, 'iommufd_unmap') + \
        '; iommufd asks the domain for the address of each page, to unpin it'


def why_iommufd_map_frag(rows):
    return a_page(rows, 'iommufd_map_frag') + \
        '; iommufd maps each run by a call, after which the PHB is invalidated'


FIGURES = {'best_sparse': best_sparse, 'uncharged': uncharged}
LIMITS = {'a_run_of_4': a_run_of_4}
LIMITS.update((call, half_more(call)) for call in (
    'iommufd_map', 'iommufd_unmap', 'iommufd_map_frag', 'iommufd_unmap_frag'))
REASONS = {'why_one_map': why_one('one_map'),
           'why_one_unmap': why_one('one_unmap'),
           'why_put': why_put, 'why_unpin_2m': why_unpin('unregister_2m'),
           'why_unpin_thp': why_unpin('unregister_thp'),
           'why_two_levels': why_two_levels, 'why_srcu': why_srcu,
           'why_one_register': why_one_register,
           'why_iommufd_unmap': why_iommufd_unmap,
           'why_iommufd_map_frag': why_iommufd_map_frag}


def read_lines():
    """The lines of the table, and those that README shows; see bench.toml."""
    with open(os.path.join(HERE, 'bench.toml'), 'rb') as f:
        data = tomllib.load(f)
    return [Line(**line) for line in data['line']], data['shown']


LINES, SHOWN = read_lines()


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
    """(line, machine, ours, base, limit, verdict, why) for each line."""
    judged = []
    for line in LINES:
        for name in [line.only] if line.only else MACHINES:
            if name in results['ours']:
                judged.append((line, name, *judge_line(line, name, results)))
    return judged


def judge_line(line, name, results):
    ours, base = (dict(results[k][name], _name=name) for k in KERNELS)
    mine, theirs = value(line.figure, ours), value(line.figure, base)
    limit = value(line.limit, ours, base) if line.limit else None
    if not line.limit:
        return mine, theirs, limit, '', ''
    if mine is None or limit is None:
        return mine, theirs, limit, 'not measured', ''
    if mine <= limit:
        return mine, theirs, limit, 'met', ''
    if name not in line.accepted:
        return mine, theirs, limit, 'NOT MET', ''
    if mine > line.accepted[name] * 1.1:
        return mine, theirs, limit, 'NOT MET, by more than before', ''
    return mine, theirs, limit, 'NOT MET', value(line.reason, ours) or ''


def table(lines):
    out = [f'{"":58} {"":6} {"ours":>12} {"base":>15} {"limit":>12}']
    for line, name, ours, base, limit, verdict, why in lines:
        unit = '' if line.unit == 'insn' else f' ({line.unit}s)'
        out.append(f'{line.text + unit:58} {NAMES[name]:6} {number(ours):>12} '
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


def gnuplot(out, name, text, size=(900, 560)):
    """Draws one plot twice."""
    width, height = size
    for kind, terminal in (
            ('svg', f'svg size {width},{height} dynamic background "white" '
             'font "sans-serif,14"'),
            ('png', f'pngcairo size {width},{height} font "sans,12"')):
        script = (f'set terminal {terminal}\n'
                  f'set output "{os.path.join(out, name)}.{kind}"\n' + text)
        run = subprocess.run(['gnuplot'], input=script, text=True, check=False,
                             capture_output=True)
        if run.returncode or run.stderr:
            raise machine.Missing(f'gnuplot: {name}: {run.stderr.strip()}')


def series(points_of):
    """Inline data and plot clauses of all that was measured."""
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


# The plot of the documentation: one entry of a call of many, and whole calls.
COSTS = [('One entry of a call of many',
          [('map, contiguous', 'map_contig', 1),
           ('map, fragmented', 'map_frag', 1),
           ('unmap', 'unmap', 1),
           ('H_PUT_TCE_INDIRECT', 'h_put_tce_indirect/512', 512),
           ('H_STUFF_TCE', 'h_stuff_tce/512', 512)]),
         ('Whole calls',
          [('H_PUT_TCE', 'h_put_tce', 1),
           ('map one entry', 'one_map/1', 1),
           ('the same, 65,536 regions', 'one_map/65536', 1),
           ('unmap an empty 2 GiB', 'unmap_empty', 1),
           ('remove a 1 TiB window', 'remove_1t', 1)])]


def bars(name, rows, results):
    """Inline data and plot clauses; KeyError when a figure is missing."""
    data, clauses = f'${name} << EOD\n', []
    for label, row, per in rows:
        data += f'"{label}" ' + ' '.join(
            f'{figure_of(row, per)(results[k][n]):.3f}' for k, n in STYLES)
        data += '\n'
    for i, ((kernel, host), style) in enumerate(STYLES.items()):
        color = re.search(r'lc (rgb "\S+")', style)[1]
        clauses.append(
            f'${name} using ($0 + {i * 0.2 - 0.3:.1f}):{i + 2}:(0.18)'
            f'{":xtic(1)" if not i else ""} with boxes fs solid lc {color} '
            f'title "{kernel}, {NAMES[host]}"')
    return data + 'EOD\n', ', '.join(clauses)


def plot_cost(out, results):
    """Nothing of it, if a part was not measured."""
    text = ''
    try:
        for i, (title, rows) in enumerate(COSTS):
            data, clauses = bars(f'cost{i}', rows, results)
            text += data + f'''
set title "{title}" noenhanced
set xrange [-0.6:{len(rows) - 0.4:.1f}]
set yrange [{'1:1e5' if not i else '1e2:1e9'}]
{'set key off' if i else ''}
plot {clauses}
'''
    except KeyError:
        return
    gnuplot(out, 'cost', f'''
set multiplot layout 1,{len(COSTS)}
set logscale y 10
set ylabel "guest instructions"
set grid ytics
set format y "10^{{%L}}"
set bmargin 8
set xtics rotate by -35 noenhanced
set key top left maxrows 2
{text}
unset multiplot
''', (1000, 460))


def plots(out, results):
    plot_cost(out, results)
    for name in CURVES:
        plot_curve(out, name, results)
    for entries in THREAD_ENTRIES:
        plot_threads(out, results, entries)


# --- all of it ---------------------------------------------------------------

def load(path):
    results = {k: {n: {} for n in MACHINES + PARTITIONS} for k in KERNELS}
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
