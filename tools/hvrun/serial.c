/* SPDX-License-Identifier: MIT */
/*
 * A 16550A as drivers see it: registers, FIFOs, interrupts. Bytes take no time, so the transmitter
 * is always empty, and input that finds no room waits outside: nothing is ever lost.
 */
#include "serial.h"

#include "console.h"
#include "ports.h"
#include "report.h"

#include <linux/kvm.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define RX_BYTES 64u

struct serial {
	int vm_fd;
	struct console *console;
	pthread_mutex_t lock; /* of all below */
	uint8_t ier, fcr, lcr, mcr, scratch;
	uint8_t divisor[2];
	bool tx_empty_event; /* "transmitter empty" is to be reported by interrupt */
	bool irq_level;
	bool input_waits;
	uint8_t rx[RX_BYTES];
	unsigned rx_first, rx_count;
};

static uint8_t interrupt_id(const struct serial *s)
{
	if ((s->ier & UART_IER_RDI) && s->rx_count > 0)
		return UART_IIR_RDI;
	if ((s->ier & UART_IER_THRI) && s->tx_empty_event)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_irq(struct serial *s)
{
	/* On a PC, OUT2 gates the interrupt. */
	const bool level = (s->mcr & UART_MCR_OUT2) && interrupt_id(s) != UART_IIR_NO_INT;
	struct kvm_irq_level irq = {.irq = SERIAL_IRQ, .level = level};

	if (level != s->irq_level)
		ioctl(s->vm_fd, KVM_IRQ_LINE, &irq); /* can't fail with an in-kernel irqchip */
	s->irq_level = level;
}

static void push_rx(struct serial *s, uint8_t byte)
{
	s->rx[(s->rx_first + s->rx_count++) % RX_BYTES] = byte;
}

static void drop_rx(struct serial *s, unsigned count)
{
	s->rx_first = (s->rx_first + count) % RX_BYTES;
	s->rx_count -= count;
	if (s->input_waits && s->rx_count == 0) {
		s->input_waits = false;
		console_input_room(s->console);
	}
}

static uint8_t read_rx(struct serial *s)
{
	const uint8_t byte = s->rx[s->rx_first];

	if (s->rx_count == 0)
		return 0;
	drop_rx(s, 1);
	return byte;
}

static uint8_t read_interrupt_id(struct serial *s)
{
	const uint8_t id = interrupt_id(s);

	if (id == UART_IIR_THRI)
		s->tx_empty_event = false;
	return (uint8_t)(id | ((s->fcr & UART_FCR_ENABLE_FIFO) ? 0xc0 : 0));
}

static uint8_t modem_status(const struct serial *s)
{
	const uint8_t mcr = s->mcr;

	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (uint8_t)(((mcr & UART_MCR_DTR) ? UART_MSR_DSR : 0) |
			 ((mcr & UART_MCR_RTS) ? UART_MSR_CTS : 0) |
			 ((mcr & UART_MCR_OUT1) ? UART_MSR_RI : 0) |
			 ((mcr & UART_MCR_OUT2) ? UART_MSR_DCD : 0));
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
	if ((s->lcr & UART_LCR_DLAB) && reg <= UART_DLM)
		return s->divisor[reg];
	switch (reg) {
	case UART_RX:
		return read_rx(s);
	case UART_IER:
		return s->ier;
	case UART_IIR:
		return read_interrupt_id(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return (uint8_t)(UART_LSR_TEMT | UART_LSR_THRE | (s->rx_count ? UART_LSR_DR : 0));
	case UART_MSR:
		return modem_status(s);
	default:
		return s->scratch;
	}
}

/* Returns whether value is a byte to print. */
static bool write_register(struct serial *s, unsigned reg, uint8_t value)
{
	if ((s->lcr & UART_LCR_DLAB) && reg <= UART_DLM) {
		s->divisor[reg] = value;
		return false;
	}
	switch (reg) {
	case UART_TX:
		s->tx_empty_event = true;
		if (!(s->mcr & UART_MCR_LOOP))
			return true;
		if (s->rx_count < RX_BYTES)
			push_rx(s, value);
		break;
	case UART_IER: /* enabling the interrupt reports a transmitter that is already empty */
		if (value & ~s->ier & UART_IER_THRI)
			s->tx_empty_event = true;
		s->ier = value & 0x0f;
		break;
	case UART_FCR:
		s->fcr = value;
		if (value & UART_FCR_CLEAR_RCVR)
			drop_rx(s, s->rx_count);
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scratch = value;
		break;
	default: /* LSR and MSR are read only */
		break;
	}
	return false;
}

static uint32_t serial_in(void *device, uint16_t port)
{
	struct serial *s = device;
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	value = read_register(s, port - SERIAL_PORT);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_out(void *device, uint16_t port, uint32_t value)
{
	struct serial *s = device;
	bool print;

	pthread_mutex_lock(&s->lock);
	print = write_register(s, port - SERIAL_PORT, (uint8_t)value);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	if (print)
		console_put(s->console, (uint8_t)value); /* may block */
}

size_t serial_receive(struct serial *serial, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;

	pthread_mutex_lock(&serial->lock);
	while (taken < len && serial->rx_count < RX_BYTES)
		push_rx(serial, bytes[taken++]);
	serial->input_waits = taken < len;
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

int serial_create(struct serial **out, int vm_fd, struct console *console, struct ports *ports)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return report(HVRUN_VMM_ERROR, "out of memory");
	s->vm_fd = vm_fd;
	s->console = console;
	pthread_mutex_init(&s->lock, NULL);
	ports_add(ports, &(struct port_range){SERIAL_PORT, 8, serial_in, serial_out, s});
	*out = s;
	return 0;
}

void serial_destroy(struct serial *serial)
{
	if (!serial)
		return;
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}
