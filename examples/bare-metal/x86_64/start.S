/* SPDX-License-Identifier: MIT */
/*
 * Entered by PVH: protected mode, no paging. Maps the first GiB to itself, goes to long mode and calls
 * demo(). .bss is zero already: an ELF loader does that.
 */
	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18		/* name, description, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	movl	$(level3 + 3), level4		/* present, writable */
	movl	$(level2 + 3), level3
	xorl	%ecx, %ecx
	movl	$0x83, %eax			/* also: a large page */
1:	movl	%eax, level2(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$512, %ecx
	jne	1b
	movl	$level4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax			/* physical address extension */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx		/* EFER */
	rdmsr
	orl	$0x100, %eax			/* long mode */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000001, %eax		/* paging, protection */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $long_mode

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	leaq	stack_end(%rip), %rsp
	call	demo

	.section .rodata
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff		/* code, 64 bits */
	.quad 0x00cf93000000ffff		/* data */
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.balign 4096
level4:	.skip 4096
level3:	.skip 4096
level2:	.skip 4096
	.skip 64 * 1024
stack_end:
