// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU, which shared_lines.py loads: it writes down each store
 * between two marks of a program, with its physical address.
 *
 * A mark is a no-op that no compiler makes, "xoris rN,rN,0": N is the number of
 * an operation that begins on this CPU, 0 its end. See bench_util.h.
 *
 * It writes a line for each event. CPU and operation are decimal, addresses are
 * hexadecimal:
 *
 *   M CPU OPERATION		a mark
 *   T CPU PC			a block of instructions begins
 *   S CPU PC ADDRESS ATOMIC	a store to memory
 *
 * Debian has no package with qemu-plugin.h, so what is used of it stands here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT		__attribute__((visibility("default")))
#define MAX_CPUS	64

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
typedef struct qemu_info_t qemu_info_t;

enum { CB_NO_REGS = 0 };
enum { MEM_WRITE = 2 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to,
			     size_t size);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t va);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *hwaddr);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id,
						      struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int cpu, void *),
					  int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu, void *),
					    int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned int cpu, uint32_t info,
						 uint64_t va, void *data),
				      int flags, int rw, void *data);

EXPORT int qemu_plugin_version = 4;

static unsigned int operation[MAX_CPUS];
static FILE *out;

static void on_mark(unsigned int cpu, void *data)
{
	operation[cpu] = (uintptr_t)data;
	fprintf(out, "M %u %u\n", cpu, operation[cpu]);
	fflush(out);
}

static void on_block(unsigned int cpu, void *data)
{
	if (operation[cpu])
		fprintf(out, "T %u %lx\n", cpu, (unsigned long)data);
}

static void store(unsigned int cpu, uint32_t info, uint64_t va, void *data,
		  bool atomic)
{
	struct qemu_plugin_hwaddr *where;

	if (!operation[cpu])
		return;
	where = qemu_plugin_get_hwaddr(info, va);
	if (!where || qemu_plugin_hwaddr_is_io(where))
		return;
	fprintf(out, "S %u %lx %lx %d\n", cpu, (unsigned long)data,
		(unsigned long)qemu_plugin_hwaddr_phys_addr(where), atomic);
}

static void on_store(unsigned int cpu, uint32_t info, uint64_t va, void *data)
{
	store(cpu, info, va, data, false);
}

static void on_atomic_store(unsigned int cpu, uint32_t info, uint64_t va,
			    void *data)
{
	store(cpu, info, va, data, true);
}

/* stbcx., sthcx., stwcx. and stdcx. */
static bool is_conditional(uint32_t insn)
{
	unsigned int op = insn >> 1 & 0x3ff;

	return insn >> 26 == 31 && insn & 1 &&
	       (op == 150 || op == 214 || op == 694 || op == 726);
}

static bool is_mark(uint32_t insn)
{
	return insn >> 26 == 27 && !(insn & 0xffff) &&
	       (insn >> 21 & 31) == (insn >> 16 & 31);
}

static void on_translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS,
					     (void *)qemu_plugin_tb_vaddr(tb));
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		void *pc = (void *)qemu_plugin_insn_vaddr(insn), *mark;
		uint32_t word = 0;

		/* The kernel and programs are little endian, as this machine. */
		qemu_plugin_insn_data(insn, &word, sizeof(word));
		mark = (void *)(uintptr_t)(word >> 21 & 31);
		if (is_mark(word))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
							       CB_NO_REGS,
							       mark);
		qemu_plugin_register_vcpu_mem_cb(insn, is_conditional(word) ?
						 on_atomic_store : on_store,
						 CB_NO_REGS, MEM_WRITE, pc);
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const qemu_info_t *info, int argc,
			       char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
