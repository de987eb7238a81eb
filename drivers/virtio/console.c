/* SPDX-License-Identifier: BSD-2-Clause */
/* The console device (virtio 1.2, 5.3): one port, a queue for each direction, emergency writes. */
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include "device.h"
#include "socle/drivers/virtio.h"
#include "socle/mm/frames.h"

enum { RX, TX, QUEUES };

enum {
	COLUMNS = 80, /* until virtio_console_resize() */
	ROWS = 24,
	ROWS_SHIFT = 16,
	PIECE = 256,	    /* bytes, on the stack */
	TURN_BYTES = 4096,  /* of output, before others may have the CPU */
	TURN_REQUESTS = 64, /* likewise */
};

struct virtio_console {
	struct virtio_device dev;
	struct virtio_console_config config; /* dev.lock */
	struct virtio_console_sink *sink;    /* constant once it is connected */
	uint32_t size; /* that @config is to have: columns, and rows by ROWS_SHIFT; atomic */
	bool open;     /* the driver gave buffers for input; atomic */
	bool held;     /* @chain waits to be sent; this and what follows: dev.lock */
	uint64_t sent; /* bytes of the request under way that are sent */
	struct virtio_chain chain; /* of which only a part could be sent */
};

static struct virtio_console *console(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_console, dev);
}

/* Sends the rest of dev.chain; false: not all, as the sink is full or the turn's @left used up. */
static bool send(struct virtio_console *c, uint32_t *left)
{
	struct virtio_ring *ring = &c->dev.queue[TX].ring;
	const struct virtio_chain *chain = &c->dev.chain;
	char text[PIECE];

	while (c->sent < chain->read_bytes) {
		uint64_t rest = MIN(chain->read_bytes - c->sent, (uint64_t)*left);
		size_t len = MIN(rest, (uint64_t)PIECE);
		size_t n = virtio_chain_read(ring, chain, c->sent, text, len);
		size_t taken = c->sink->put(c->sink, text, n);

		c->sent += taken;
		*left -= (uint32_t)taken;
		if (taken < n || !*left)
			return c->sent == chain->read_bytes;
		if (n < len) /* no memory: it has nothing more to say */
			return true;
	}
	return true;
}

static bool transmit(struct virtio_console *c)
{
	struct virtio_device *dev = &c->dev;
	uint32_t left = TURN_BYTES;

	for (unsigned i = 0; i < TURN_REQUESTS && left; i++) {
		if (c->held)
			dev->chain = c->chain;
		else if (!virtio_pop(dev, TX))
			return false;
		c->held = !send(c, &left);
		if (c->held) {
			/* Input uses dev.chain meanwhile. Who has room again says so. */
			c->chain = dev->chain;
			return !left;
		}
		virtio_push(dev, TX, 0);
		c->sent = 0;
	}
	return true;
}

static bool receive(struct virtio_console *c)
{
	struct virtio_device *dev = &c->dev;
	uint8_t bytes[PIECE];

	for (unsigned i = 0; i < TURN_REQUESTS; i++) {
		size_t len;

		/* Without bytes for it, a buffer stays where it is. */
		if (!c->sink->waiting(c->sink) || !virtio_pop(dev, RX))
			return false;
		len = c->sink->get(c->sink, bytes, MIN(dev->chain.write_bytes, (uint64_t)PIECE));
		len = virtio_chain_write(&dev->queue[RX].ring, &dev->chain, 0, bytes, len);
		virtio_push(dev, RX, (uint32_t)len);
	}
	return true;
}

/* Tells the driver of a new size. Linux looks at none before it is told of one, so @first. */
static void announce_size(struct virtio_console *c, bool first)
{
	uint32_t size = __atomic_load_n(&c->size, __ATOMIC_SEQ_CST);
	uint16_t cols = (uint16_t)size, rows = size >> ROWS_SHIFT;

	if (!first && c->config.cols == cols && c->config.rows == rows)
		return;
	c->config.cols = cols;
	c->config.rows = rows;
	virtio_config_changed(&c->dev);
}

static bool console_work(struct virtio_device *dev, unsigned queue)
{
	struct virtio_console *c = console(dev);
	bool first;

	if (queue == TX)
		return transmit(c);
	first = !c->open;
	/* Before we look for bytes and at the size: of what comes later we are told. */
	__atomic_store_n(&c->open, true, __ATOMIC_SEQ_CST);
	announce_size(c, first);
	return receive(c);
}

static void console_reset(struct virtio_device *dev)
{
	struct virtio_console *c = console(dev);

	__atomic_store_n(&c->open, false, __ATOMIC_SEQ_CST);
	c->held = false;
	c->sent = 0;
}

/* An emergency write: one byte, by a driver that need not have set anything up. */
static void console_write(struct virtio_device *dev, uint32_t offset, unsigned size, uint64_t value)
{
	struct virtio_console *c = console(dev);
	char byte = (char)value;

	/* Where there is no room it is lost: nobody waits here. */
	if (offset == offsetof(struct virtio_console_config, emerg_wr))
		(void)c->sink->put(c->sink, &byte, 1);
}

bool virtio_console_open(const struct virtio_console *c)
{
	return __atomic_load_n(&c->open, __ATOMIC_SEQ_CST);
}

void virtio_console_rx_ready(struct virtio_console *c)
{
	virtio_ask(&c->dev, RX);
}

void virtio_console_tx_ready(struct virtio_console *c)
{
	virtio_ask(&c->dev, TX);
}

void virtio_console_resize(struct virtio_console *c, uint16_t columns, uint16_t rows)
{
	__atomic_store_n(&c->size, columns | (uint32_t)rows << ROWS_SHIFT, __ATOMIC_SEQ_CST);
	if (virtio_console_open(c))
		virtio_ask(&c->dev, RX);
}

void virtio_console_connect(struct virtio_console *c, struct virtio_console_sink *sink)
{
	c->sink = sink;
}

status_t virtio_console_add(struct vm *vm, struct virtio_console **added)
{
	static const struct virtio_ops ops = {
		.work = console_work, .reset = console_reset, .config_write = console_write};
	static const struct virtio_kind kind = {
		.name = "virtio-console",
		.id = VIRTIO_ID_CONSOLE,
		.pci_class = 0x078000, /* other communication controller */
		.queues = QUEUES,
		.features = BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE),
		.ops = &ops,
	};
	struct virtio_console *c = pages_alloc(sizeof(*c), OWNER_VM_CORE);

	if (!c)
		return -S_NOMEM;
	c->config = (struct virtio_console_config){.cols = COLUMNS, .rows = ROWS};
	c->size = COLUMNS | ROWS << ROWS_SHIFT;
	c->dev.kind = &kind;
	c->dev.vm = vm;
	c->dev.config = (uint8_t *)&c->config;
	c->dev.config_size = sizeof(c->config);
	*added = c;
	return virtio_pci_add(&c->dev);
}
