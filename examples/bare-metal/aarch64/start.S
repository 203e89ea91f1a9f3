/* SPDX-License-Identifier: MIT */
/*
 * Entered in EL1 with the MMU off, where memory is like a device's: no unaligned access, and exclusives
 * need not work. So the first two GiB are mapped to themselves, devices and normal memory, before
 * demo() is called. .bss is zero already: an ELF loader does that.
 */
	.text
	.globl start
start:
	ldr	x0, =0xff00		/* attribute 0: device, 1: normal, write back */
	msr	mair_el1, x0
	ldr	x0, =0x280803519	/* 39 bits, pages of 4 KiB, tables write back, inner shareable */
	msr	tcr_el1, x0
	adrp	x0, level1
	msr	ttbr0_el1, x0
	tlbi	vmalle1
	ic	iallu
	dsb	sy
	isb
	mrs	x0, sctlr_el1
	mov	x1, #0x1005		/* MMU, data and instruction cache */
	orr	x0, x0, x1
	bic	x0, x0, #2		/* no alignment checks */
	msr	sctlr_el1, x0
	isb
	adrp	x0, stack_end
	add	x0, x0, :lo12:stack_end
	mov	sp, x0
	bl	demo

	.section .data
	.balign 4096
level1:					/* blocks of 1 GiB, accessed */
	.quad 0x00000000 | 0x401	/* device */
	.quad 0x40000000 | 0x705	/* normal, inner shareable */
	.skip 4096 - 16

	.bss
	.balign 16
	.skip 64 * 1024
stack_end:
