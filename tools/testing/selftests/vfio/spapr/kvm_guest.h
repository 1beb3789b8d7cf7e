/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that does nothing but hypercalls: a loop of a dozen instructions in
 * real mode takes them from a list in its memory, and writes back what they
 * returned. So a test runs one of them or a thousand with one KVM_RUN, and they
 * take the path that they take in a real guest.
 *
 * As in spapr_util.h, what wraps a system call returns what it returned, or
 * -errno, and what no test is about ends the program with a message.
 */
#ifndef KVM_GUEST_H
#define KVM_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#define H_SUCCESS		0
#define H_PARAMETER		(-4)
/* The one error at which a Linux guest rolls a mapping back. */
#define H_NOT_ENOUGH_RESOURCES	(-44)
/* A hypercall that KVM passed on to user space, as a test sees it. */
#define H_TOO_HARD		9999

#define H_GET_TCE		0x1c
#define H_PUT_TCE		0x20
#define H_PROD			0xe4
#define H_STUFF_TCE		0x138
#define H_PUT_TCE_INDIRECT	0x13c

#define TCE_READ		1UL
#define TCE_WRITE		2UL
#define TCE_RW			(TCE_READ | TCE_WRITE)

/* Of one H_PUT_TCE_INDIRECT */
#define MAX_LIST		512

/* PR is a guest with the hash MMU in problem state: without hypervisor mode. */
enum mmu { HASH, RADIX, PR };

/* Where the guest's own memory is, and the TCE lists of vCPU 0 in it. */
#define GUEST_LOW_SIZE		0x100000UL
#define GUEST_MAX_VCPUS		7

struct vm {
	enum mmu mmu;
	int kvm;
	int fd;
	/* the VFIO device; -1 if there is none */
	int vfio;
	/* guest memory at 0: the code, the hypercalls, the TCE lists */
	char *low;
	unsigned int vcpus;
};

/* One hypercall, as the guest's code knows it. */
struct hcall {
	uint64_t nr;
	uint64_t arg[4];
	uint64_t pad;
	/* what it returned in r3 and r4 */
	int64_t ret;
	uint64_t out;
};

#define MAX_HCALLS		1024
/* TCE lists of one vCPU */
#define MAX_LISTS		16

struct vcpu {
	struct vm *vm;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	struct hcall *hcall;
	uint64_t hcall_gpa;
	/* MAX_LISTS lists of MAX_LIST; big-endian as PAPR wants them */
	uint64_t *list;
	uint64_t list_gpa;
};

/* Why there is no such guest on this machine; NULL if there is. */
const char *guest_missing(enum mmu mmu);
/* Some kind of guest that there is, if there is any. */
enum mmu guest_any(void);
/* Is this a POWER8, where hypercalls are handled in real mode? */
bool guest_has_real_mode(void);

void vm_create(struct vm *vm, enum mmu mmu);
/* Closes what vm_create() opened; the VM lives on in other fds, if any. */
void vm_close(struct vm *vm);
/* Memory at @gpa; size 0 removes it. */
int vm_memory(struct vm *vm, unsigned int slot, uint64_t gpa, const void *ua,
	      uint64_t size);
/* KVM_CREATE_SPAPR_TCE_64, in pages of 1 << @shift; the table's fd. */
int vm_liobn(struct vm *vm, uint64_t liobn, unsigned int shift, uint64_t offset,
	     uint64_t size);
/* KVM_CREATE_SPAPR_TCE: entries of 4 KiB, in bytes of bus addresses. */
int vm_liobn_32(struct vm *vm, uint64_t liobn, uint32_t window_size);
/* The VFIO device, made when it is first needed. */
int vm_group_add(struct vm *vm, int group_fd);
int vm_group_del(struct vm *vm, int group_fd);
int vm_attach(struct vm *vm, int group_fd, int table_fd);

void vcpu_create(struct vm *vm, struct vcpu *cpu);
void vcpu_close(struct vcpu *cpu);
/* Has the guest do the first @n hypercalls of its list. */
void vcpu_run(struct vcpu *cpu, unsigned int n);
/* A counter of the vCPU's by name; -ENOENT if there is no such counter. */
long vcpu_stat(struct vcpu *cpu, const char *name);

/* One more for the list, at @i. */
void hcall_set(struct vcpu *cpu, unsigned int i, uint64_t nr, uint64_t liobn,
	       uint64_t ioba, uint64_t arg2, uint64_t arg3);
/* Writes an entry of a TCE list. */
void list_set(struct vcpu *cpu, unsigned int list, unsigned int i,
	      uint64_t tce);
uint64_t list_gpa(const struct vcpu *cpu, unsigned int list);

long h_put_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t tce);
long h_put_tce_indirect(struct vcpu *cpu, uint64_t liobn, uint64_t ioba,
			uint64_t gpa, uint64_t n);
long h_stuff_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t tce,
		 uint64_t n);
long h_get_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t *tce);

#endif
